"""The measured points of many tracks as plain arrays: what every motion measure starts from.

All functions take coordinates (n, D) of any dimension: 2 for films, 3 where a table has `z_um` (or
`z_px`), such as tracks that were made elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cyto_kedro.core.keys import run_ids, starts_of
from cyto_kedro.errors import InputError

UNITS = ("px", "um")
KEYS = ["population", "track_id"]


@dataclass(frozen=True)
class Trajectories:
    """Measured points in order of population, track and frame."""

    #: their table, (n) rows
    points: pd.DataFrame
    #: (n,) int64, number of the track (0, 1, …) of each point
    run: np.ndarray
    #: first, last: (k,) int64, first and last point of each track
    first: np.ndarray
    last: np.ndarray
    #: frame, time_min: (n,) float64; time is null where unknown
    frame: np.ndarray
    time_min: np.ndarray
    #: ``"px"`` and ``"um"`` -> (n, D) float64; µm null where unknown
    xy: dict[str, np.ndarray]

    @property
    def keys(self) -> pd.DataFrame:
        """(k) rows: fov, population and track_id of each track."""
        return self.points[["fov", *KEYS]].iloc[self.first].reset_index(drop=True)

    @property
    def timed(self) -> bool:
        """Whether every point has a time."""
        return bool(len(self.time_min)) and not np.isnan(self.time_min).any()

    @property
    def calibrated(self) -> bool:
        """Whether every point has micrometres."""
        return bool(len(self.run)) and not np.isnan(self.xy["um"]).any()

    @property
    def clock(self) -> np.ndarray:
        """(n,) float64, time in units of the median frame interval; frames where it is unknown."""
        if not self.timed:
            return self.frame
        frame, at = np.unique(self.frame, return_index=True)
        if len(frame) < 2:
            return self.frame
        interval = np.median(np.diff(self.time_min[at]) / np.diff(frame))
        return self.time_min / interval

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(k, …) sums of (n, …) `values` over each track."""
        return np.add.reduceat(values, self.first, axis=0) if len(self.first) else values[:0]

    def previous(self, values: np.ndarray) -> np.ndarray:
        """(n, …) difference from each point's previous one; null at the first of a track."""
        out = np.full(values.shape, np.nan)
        out[1:] = values[1:] - values[:-1]
        out[self.first] = np.nan
        return out

    def following(self, values: np.ndarray) -> np.ndarray:
        """(n, …) the value at each point's next one; null at the last of a track."""
        out = np.full(values.shape, np.nan)
        out[:-1] = values[1:]
        out[self.last] = np.nan
        return out


def trajectories(points: pd.DataFrame) -> Trajectories:
    """The measured points of `schemas.TrackPoints` (any order) of one field.

    Raises InputError if time does not rise along a track.
    """
    seen = points[~points["interpolated"].to_numpy(bool)]
    seen = seen.sort_values([*KEYS, "frame"], ignore_index=True)
    first = starts_of(*(seen[key].to_numpy() for key in KEYS))
    found = Trajectories(
        seen,
        run_ids(first, len(seen)),
        first,
        np.append(first[1:], len(seen))[: len(first)] - 1,
        seen["frame"].to_numpy(np.float64),
        seen["time_min"].to_numpy(np.float64),
        {unit: coordinates(seen, unit) for unit in UNITS},
    )
    falls = (found.previous(found.frame) <= 0) | (found.previous(found.time_min) <= 0)
    if falls.any():
        row = seen.iloc[int(np.flatnonzero(falls)[0])]
        raise InputError(
            f"field {row['fov']!r}, {row['population']} track {row['track_id']}, frame "
            f"{row['frame']}: time does not rise from the track's previous point, so no speed can "
            f"be computed; correct the frame times of this field, or give frame_interval_s"
        )
    return found


def coordinates(points: pd.DataFrame, unit: str) -> np.ndarray:
    """(n, D) float64, x, y and, where the table has it, z."""
    axes = [f"{axis}_{unit}" for axis in "xyz" if f"{axis}_{unit}" in points.columns]
    return points[axes].to_numpy(np.float64)


def length(vectors: np.ndarray) -> np.ndarray:
    """(n,) Euclidean lengths of (n, D) vectors; exact where `hypot` is, without overflow."""
    if vectors.shape[1] == 2:
        return np.hypot(vectors[:, 0], vectors[:, 1])
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors))


def pairs_by_lag(
    run: np.ndarray, clock: np.ndarray, max_lag: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Every pair of points of one track at most `max_lag` frame intervals apart.

    Parameters
    ----------
    run, clock
        (n,) as in `Trajectories`, in order of run and clock.

    Yields
    ------
    tuple
        Arrays (p,): earlier point, later point, lag as the nearest whole number (0 to `max_lag`).
        One tuple for each distance in rows, so the work is n times `max_lag` at most, whatever
        the gaps; memory is that of one tuple.
    """
    early = np.arange(len(run))
    for shift in range(1, len(run)):
        early = early[early < len(run) - shift]
        late = early + shift
        lag = np.rint(clock[late] - clock[early])
        # points are in order of time, so what is too far away stays so for every larger shift
        near = (run[late] == run[early]) & (lag <= max_lag)
        early, late, lag = early[near], late[near], lag[near].astype(np.int64)
        if not len(early):
            return
        yield early, late, lag


def add_by_lag(
    total: np.ndarray, run: np.ndarray, lag: np.ndarray, values: np.ndarray | float
) -> None:
    """Add `values` (p,), or a number, to ``total[run, lag]`` in place; `total` is (k, L)."""
    np.add.at(total.reshape(-1), run * total.shape[1] + lag, values)
