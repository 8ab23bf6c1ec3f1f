"""Bodies: dead cells found anew where a living one was lost."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from cyto_kedro.core.clock import Clock
from cyto_kedro.core.keys import MISSING, starts_of


class Bodies(NamedTuple):
    """How far, in which unit (``um`` or ``px``), and how long a body may lie from its cell's end.

    The time missing between them is in minutes with a `clock`, else in frames.
    """

    reach: float
    unit: str
    max_gap: float
    clock: Clock | None


def find_bodies(
    points: pd.DataFrame, tracks: pd.DataFrame, alive: np.ndarray, dead: np.ndarray, rule: Bodies
) -> np.ndarray:
    """The row in `tracks` of each track's body, or `MISSING`.

    `points`: `schemas.TrackPoints` with labels. `tracks`: `schemas.Tracks`, sorted by population
    and track_id. `alive`, `dead`: tracks that were alive to their end, and that were dead at first
    sight.
    """
    body = np.full(len(tracks), MISSING)
    lost = np.flatnonzero(alive & (tracks["end_reason"] == "lost").to_numpy())
    begun = np.flatnonzero(dead & (tracks["first_frame"] > 0).to_numpy())
    if not (len(lost) and len(begun)):
        return body
    if not rule.reach:
        return body
    reach, unit = rule.reach * (1 + 1e-9), rule.unit
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
    begins = tracks["first_frame"].to_numpy(np.int64)[pairs["body"]]
    ends = tracks["last_frame"].to_numpy(np.int64)[pairs["lost"]]
    missing = (begins - ends - 1).astype(float)
    if rule.clock is not None:
        missing = rule.clock(begins) - rule.clock(ends) - rule.clock.interval_min
    slack = 1e-9 if rule.clock is None else rule.clock.jitter_min
    kept = (begins > ends) & (missing <= rule.max_gap + slack)
    pairs = pairs[kept & (population[pairs["lost"]] == population[pairs["body"]])]
    nearest = pairs.sort_values("far", kind="stable")
    one = nearest.drop_duplicates("lost").merge(nearest.drop_duplicates("body"))
    body[one["lost"].to_numpy(np.int64)] = one["body"].to_numpy(np.int64)
    return body
