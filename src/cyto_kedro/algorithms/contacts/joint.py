"""In which frames both cells of a pair were detected."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cyto_kedro.core.clock import Clock
from cyto_kedro.core.keys import MISSING, Keys, find, size


class Joint:
    """Frames in which both cells of each pair were detected (not interpolated).

    Parameters
    ----------
    points
        `schemas.TrackPoints` of one field.
    pairs
        Columns of `PAIR`, one row per pair.

    Attributes
    ----------
    first, last : (n_pairs,) int64
        First and last joint frame; −1 where there is none.
    frames : (n_pairs,) int64
        Number of joint frames.
    """

    def __init__(self, points: pd.DataFrame, pairs: pd.DataFrame) -> None:
        points = points[~points["interpolated"].to_numpy(bool)]
        n_track = size(points["track_id"], pairs["track_id_a"], pairs["track_id_b"])
        # two spare frames: one before the film and one after it can be asked for
        self._n = n = size(points["frame"]) + 2
        names = (points["population"], pairs["population_a"], pairs["population_b"])
        keys = Keys(names, n_track, n)
        code = keys.code(points["population"])
        seen = np.sort(
            keys.pack(code, points["track_id"].to_numpy(), points["frame"].to_numpy() + 1)
        )
        tracks = {
            side: keys.pack(
                keys.code(pairs[f"population_{side}"]), pairs[f"track_id_{side}"].to_numpy()
            )
            for side in "ab"
        }
        low, high = ({s: np.searchsorted(seen, t + e) for s, t in tracks.items()} for e in (0, n))
        self._ends = {side: _ends(seen, low[side], high[side], tracks[side]) for side in "ab"}
        # of each pair the frames of the cell that was seen in fewer, if the other was seen too
        fewer = high["a"] - low["a"] <= high["b"] - low["b"]
        start = np.where(fewer, low["a"], low["b"])
        count = np.where(fewer, high["a"], high["b"]) - start
        pair = np.repeat(np.arange(len(pairs)), count)
        at = np.arange(len(pair)) + np.repeat(start - np.cumsum(count) + count, count)
        frame = seen[at] - np.where(fewer, tracks["a"], tracks["b"])[pair]
        other = np.where(fewer, tracks["b"], tracks["a"])[pair] + frame
        both = find(seen, other) != MISSING
        pair, frame = pair[both], frame[both]
        # of frames counted from 1
        self._joint = pair * n + frame
        rows = np.arange(len(pairs))
        low_, high_ = np.searchsorted(pair, rows), np.searchsorted(pair, rows, side="right")
        self.frames = high_ - low_
        self.first, self.last = _ends(self._joint, low_, high_, rows * n)

    def count(self, pair: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Joint frames of each pair in ``[start, stop)``."""
        low, high = (np.searchsorted(self._joint, pair * self._n + f + 1) for f in (start, stop))
        return high - low

    def minutes(
        self, clock: Clock, pair: np.ndarray, start: np.ndarray, stop: np.ndarray
    ) -> np.ndarray:
        """What the joint frames of each pair in ``[start, stop)`` stand for; null without times."""
        summed = np.concatenate([[0.0], np.cumsum(clock.duration_min(self._joint % self._n - 1))])
        low, high = (np.searchsorted(self._joint, pair * self._n + f + 1) for f in (start, stop))
        return summed[high] - summed[low]

    def cause(self, pair: np.ndarray, frame: np.ndarray, step: int, film: int) -> np.ndarray:
        """What stands before (`step` −1) or after (1) contact at `frame`: `schemas.Bouts`.

        `film`: first or last frame of the film.
        """
        beside = find(self._joint, pair * self._n + frame + step + 1) != MISSING
        end = {side: self._ends[side][step > 0][pair] == frame for side in "ab"}
        conditions = [beside, frame == film, end["a"] & end["b"], end["a"], end["b"]]
        names = ["seen", "film", "tracks", "track_a", "track_b"]
        return np.select(conditions, names, "unseen").astype(object)


def _ends(
    keys: np.ndarray, low: np.ndarray, high: np.ndarray, base: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First and last frame of the stretches ``keys[low:high]``; −1 for an empty one."""
    if not len(keys):
        return np.full(len(low), -1), np.full(len(low), -1)
    some, top = low < high, len(keys) - 1
    first, last = keys[np.minimum(low, top)] - base - 1, keys[np.maximum(high - 1, 0)] - base - 1
    return np.where(some, first, -1), np.where(some, last, -1)
