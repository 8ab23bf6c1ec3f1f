"""Bodies: dead cells found anew where a living one was lost."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from cyto_kedro.core.keys import MISSING, starts_of


class Bodies(NamedTuple):
    """How far and how long a body may lie from where its cell was lost."""

    reach_um: float | None
    reach_px: float | None
    max_gap_frames: int


def find_bodies(
    points: pd.DataFrame, tracks: pd.DataFrame, alive: np.ndarray, dead: np.ndarray, rule: Bodies
) -> np.ndarray:
    """The row in `tracks` of each track's body, or `MISSING`.

    Parameters
    ----------
    points
        `schemas.TrackPoints` with labels.
    tracks
        `schemas.Tracks`, sorted by population and track_id.
    alive, dead
        Tracks that were alive to their end, and that were dead at first sight.
    """
    body = np.full(len(tracks), MISSING)
    lost = np.flatnonzero(alive & (tracks["end_reason"] == "lost").to_numpy())
    begun = np.flatnonzero(dead & (tracks["first_frame"] > 0).to_numpy())
    if not (len(lost) and len(begun)):
        return body
    calibrated = rule.reach_um is not None and points["x_um"].notna().all()
    reach, unit = (rule.reach_um, "um") if calibrated else (rule.reach_px, "px")
    if not reach:
        return body
    points = points.sort_values(["population", "track_id", "frame"], ignore_index=True)
    first = starts_of(points["population"].to_numpy(object), points["track_id"].to_numpy())
    last = np.append(first[1:], len(points)) - 1
    place = points[[f"y_{unit}", f"x_{unit}"]].to_numpy(float)
    trees = [
        scipy.spatial.cKDTree(place[end[rows]]) for end, rows in ((last, lost), (first, begun))
    ]
    near = trees[0].sparse_distance_matrix(trees[1], reach, output_type="ndarray")
    pairs = pd.DataFrame({"lost": lost[near["i"]], "body": begun[near["j"]], "far": near["v"]})
    population = tracks["population"].to_numpy(object)
    gap = (
        tracks["first_frame"].to_numpy(np.int64)[pairs["body"]]
        - tracks["last_frame"].to_numpy(np.int64)[pairs["lost"]]
        - 1
    )
    kept = (gap >= 0) & (gap <= rule.max_gap_frames)
    pairs = pairs[kept & (population[pairs["lost"]] == population[pairs["body"]])]
    nearest = pairs.sort_values("far", kind="stable")
    one = nearest.drop_duplicates("lost").merge(nearest.drop_duplicates("body"))
    body[one["lost"].to_numpy(np.int64)] = one["body"].to_numpy(np.int64)
    return body
