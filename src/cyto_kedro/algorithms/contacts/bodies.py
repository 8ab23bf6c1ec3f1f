"""Tracks that are the rest of another: bodies of cells lost alive, and cells found again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from cyto_kedro.algorithms.tracking.masks import best_pairs
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.keys import MISSING, starts_of

_FAR = (0.95, 1.5)  # quantile of what cells move in the time that one was missing, and times that


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


def find_again(
    points: pd.DataFrame,
    tracks: pd.DataFrame,
    ended: np.ndarray,
    begun: np.ndarray,
    rule: Bodies,
) -> np.ndarray:
    """The row in `tracks` that each track goes on as, or `MISSING`.

    A cell is looked for one and a half times as far as 19 of 20 cells of its population move in the
    time that it was missing, which the tracks themselves tell, and within `rule.reach` anyway. Of all
    ways to join, each end and beginning at most once, that of least distance in units of this reach
    is taken.

    Parameters
    ----------
    points, tracks
        As for `find_bodies`.
    ended, begun
        Tracks that ended before their cell did, and that began late.
    """
    goes_on = np.full(len(tracks), MISSING)
    if not (ended.any() and begun.any()):
        return goes_on
    points = points.sort_values(["population", "track_id", "frame"], ignore_index=True)
    population = points["population"].to_numpy(object)
    first = starts_of(population, points["track_id"].to_numpy())
    last = np.append(first[1:], len(points)) - 1
    place = points[[f"y_{rule.unit}", f"x_{rule.unit}"]].to_numpy(float)
    frame, clock = points["frame"].to_numpy(np.int64), rule.clock
    track = np.repeat(np.arange(len(first)), last - first + 1)
    interval = 1.0 if clock is None else clock.interval_min
    most = int(rule.max_gap / interval + 1e-9) + 1
    for name in np.unique(population.astype(str)):
        mine = population[first] == name
        lost, new = np.flatnonzero(ended & mine), np.flatnonzero(begun & mine)
        reach = np.maximum(_reaches(place, frame, track, mine[track], most), rule.reach)
        if not (len(lost) and len(new)):
            continue
        trees = [scipy.spatial.cKDTree(place[end]) for end in (last[lost], first[new])]
        far = float(reach.max()) * (1 + 1e-9)
        near = trees[0].sparse_distance_matrix(trees[1], far, output_type="ndarray")
        source, target = lost[near["i"]], new[near["j"]]
        before, after = frame[last[source]], frame[first[target]]
        missing, slack = (after - before - 1).astype(float), 1e-9
        if clock is not None:
            missing, slack = clock(after) - clock(before) - interval, clock.jitter_min
        reach_here = reach[np.clip(after - before, 1, len(reach)) - 1]
        kept = (
            (after > before)
            & (missing <= rule.max_gap + slack)
            & (near["v"] <= reach_here * (1 + 1e-9))
        )
        share = near["v"][kept] / np.maximum(reach_here[kept], 1e-9)
        one, other = best_pairs(source[kept], target[kept], 1.05 - share)
        goes_on[one] = other
    return goes_on


def _reaches(
    place: np.ndarray, frame: np.ndarray, track: np.ndarray, mine: np.ndarray, most: int
) -> np.ndarray:
    """(n,) how far to look for a cell 1, 2, … frames later; the last one told holds for later ones."""
    told = [0.0]
    for lag in range(1, min(most, len(frame) - 1) + 1):
        step = (track[lag:] == track[:-lag]) & (frame[lag:] - frame[:-lag] == lag) & mine[lag:]
        moved = np.hypot(*(place[lag:] - place[:-lag])[step].T)
        if not len(moved):
            break
        told.append(max(_FAR[1] * float(np.quantile(moved, _FAR[0])), told[-1]))
    return np.array(told[1:] or told)
