"""What each cell does in windows of a fixed length: how it moves, its shape, what is around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.contacts.kinematics import PER_TIME, turning_angles
from cyto_kedro.algorithms.contacts.trajectories import (
    KEYS,
    UNITS,
    Trajectories,
    length,
    trajectories,
)
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import divide, fov_of, ranges, starts_of
from cyto_kedro.core.units import PositiveDuration

SIDES = ("own", "other")
LEAST_STEPS = 3  # of a window: with fewer there is no turning to speak of
Columns = dict[str, np.ndarray]


class Cut(TypedDict):
    """A row for each window, and one for each track without any."""

    track_windows: TableOf[schemas.TrackWindows]


class TrackWindows(Algorithm):
    """Cut each track into windows of one length and measure its motion, shape and surroundings there.

    Notes
    -----
    A track's first window begins at its first point, the next ones `step` later each, as long as the
    whole window lies within the track. Both ends are points of the window, so windows that follow each
    other share a point and no step. **Only points count in which the cell was seen**, as in
    `Kinematics`: a gap is one step over its real time, and interpolated points change nothing. A
    window counts if the cell was seen in a share `min_seen` of its frames, in four at least, and if
    the film does not pause in it. From a cell's death on (`fates`) it has no windows.

    **reach** is the radius of gyration, the root mean square distance of the points from their mean: its
    square is half the mean squared displacement of all pairs. **towards**: the cosine between a step and
    the direction, at its start, to the nearest other cell.

    Examples
    --------
    >>> rows = {"population": "T", "track_id": 1, "frame": range(9), "label": 1, "y_px": 4.0}
    >>> points = schemas.filled(schemas.TrackPoints, rows | {"x_px": [*range(5), *[4] * 4]})
    >>> made = TrackWindows(duration_frames=4, step_frames=4)(track_points=points)["track_windows"]
    >>> made[["window", "start_frame", "end_frame", "speed_px_per_frame"]].values.tolist()
    [[1.0, 0.0, 4.0, 1.0], [2.0, 4.0, 8.0, 0.0]]
    """

    duration: PositiveDuration = Field(
        default=PositiveDuration(min=20.0, frames=10), description="of a window"
    )
    step: PositiveDuration | None = Field(
        default=None, description="from a window's start to the next one's; null: its duration"
    )
    min_seen: float = Field(
        default=0.6, gt=0, le=1, description="share of a window's frames in which the cell was seen"
    )

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        cells: TableOf[schemas.Cells] | None = None,
        neighbours: TableOf[schemas.Neighbours] | None = None,
        fates: TableOf[schemas.Fates] | None = None,
    ) -> Cut:
        """Cut the tracks of one field, all populations.

        Raises
        ------
        InputError
            If tables of several fields are given, or time does not rise along a track.
        """
        fov_of(track_points)
        tracks = trajectories(track_points)
        if not len(tracks.run):
            return {"track_windows": schemas.empty(schemas.TrackWindows)}
        n_alive = _n_alive(tracks, fates)
        owner, number, low, high = self._cut(tracks, Clock(track_points), track_points, n_alive)
        row, of = ranges(low, high - low)
        told = _moving(tracks, row, of, low, high) | _looking(tracks, cells, row, of, len(low))
        told |= _around(tracks, neighbours, track_points, row, of, low)
        # a track without a window stands for itself, unmeasured
        none = np.setdiff1d(np.arange(len(tracks.first)), owner)
        parts = (
            tracks.keys.iloc[owner].assign(window=number, n_points=high - low, **told),
            tracks.keys.iloc[none].assign(window=0, n_points=n_alive[none]),
        )
        table = pd.concat(parts, ignore_index=True)
        begin, end = np.append(low, tracks.first[none]), np.append(high - 1, tracks.last[none])
        for name, at in (("start", begin), ("end", end)):
            table[f"{name}_frame"], table[f"{name}_min"] = tracks.frame[at], tracks.time_min[at]
        table = table.sort_values([*KEYS, "window"])
        return {"track_windows": schemas.filled(schemas.TrackWindows, table)}

    def _cut(
        self, tracks: Trajectories, clock: Clock, points: pd.DataFrame, n_alive: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Track, number, and first and one past the last point of each window that counts."""
        duration, timed = self.duration.timed("duration", tracks.timed)
        unit, time = ("min", tracks.time_min) if timed else ("frames", tracks.frame)
        step = duration if self.step is None else self.step.in_unit("step", unit)
        frames = clock.frames if timed else np.unique(points["frame"].to_numpy(np.int64))
        filmed = clock.minutes if timed else frames.astype(float)
        jitter = np.nan_to_num(clock.jitter_min) if timed else 0.1
        # a track's points after its death come last, and it ends before them
        last = tracks.first + np.maximum(n_alive, 1) - 1
        lasting = time[last] - time[tracks.first]
        n = np.floor((lasting - duration + jitter) / step).astype(np.int64) + 1
        n = np.where(n_alive > 0, np.maximum(n, 0), 0)
        at, owner = ranges(np.zeros(len(n), np.int64), n)
        start = time[tracks.first[owner]] + at * step
        # one rising key over all tracks, so that a window's points are found at once
        span = float(np.ptp(time)) + 2 * duration + 1
        key = tracks.run * span + time - time.min()
        wanted = owner * span + start - time.min()
        low = np.searchsorted(key, wanted - jitter)
        high = np.searchsorted(key, wanted + duration + jitter, side="right")
        # frames in which nobody was seen count too
        ends = (np.interp(start + d, filmed, frames) for d in (duration + jitter, -jitter))
        expected = np.floor(next(ends)) - np.ceil(next(ends)) + 1
        seen = high - low
        good = (seen >= self.min_seen * expected) & (seen > LEAST_STEPS)
        nominal = (np.interp(start + d, filmed, frames) for d in (jitter, duration - jitter))
        before, after = np.floor(next(nominal)), np.ceil(next(nominal))
        good &= ~np.asarray(clock.paused(before, after), bool)
        number = at + 1
        return owner[good], number[good], low[good], high[good]


def _n_alive(tracks: Trajectories, fates: pd.DataFrame | None) -> np.ndarray:
    """(k,) points of each track before its cell's death."""
    if fates is None or fates.empty:
        return tracks.last - tracks.first + 1
    frame = fates["death_frame"].astype("Float64").fillna(np.inf).to_numpy(float)
    frame = np.where(fates["dead_at_first_sight"].astype(bool), -1, frame)
    ends = fates[KEYS].assign(dies=frame)
    dies = tracks.keys[KEYS].merge(ends, on=KEYS, how="left")["dies"].fillna(np.inf)
    return tracks.sums((tracks.frame < dies.to_numpy()[tracks.run]).astype(np.int64))


def _mean(values: np.ndarray, of: np.ndarray, n: int) -> np.ndarray:
    """(n,) mean of the values that are known, by window."""
    known = ~np.isnan(values)
    total = np.bincount(of[known], values[known], minlength=n)
    return divide(total, np.bincount(of[known], minlength=n))


def _variation(values: np.ndarray, of: np.ndarray, n: int) -> np.ndarray:
    """(n,) standard deviation over the mean, by window."""
    mean = _mean(values, of, n)
    return divide(np.sqrt(_mean((values - mean[of]) ** 2, of, n)), mean)


def _moving(
    tracks: Trajectories,
    row: np.ndarray,
    of: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> Columns:
    """Measures of motion; `row`, `of`: points of the windows and the window of each."""
    n, first = len(low), low[of]
    step, inner = row > first, (row > first) & (row < high[of] - 1)
    deep = "um" if tracks.xy["um"].shape[1] > 2 else "px"
    found: Columns = {}
    for unit, time in zip(UNITS, (tracks.frame, tracks.time_min), strict=True):
        xy = tracks.xy[unit]
        moved = length(tracks.previous(xy))
        path = np.bincount(of[step], moved[row[step]], minlength=n)
        found[f"speed_{PER_TIME[unit]}"] = divide(path, time[high - 1] - time[low])
        middle = np.stack([_mean(axis[row], of, n) for axis in xy.T], axis=1)
        found[f"reach_{unit}"] = np.sqrt(_mean(length(xy[row] - middle[of]) ** 2, of, n))
        if unit == deep:
            net = length(xy[high - 1] - xy[low])
            found["straightness"] = np.minimum(divide(net, path), 1.0)
            speed = divide(moved, tracks.previous(tracks.frame))
            found["speed_variation"] = _variation(speed[row[step]], of[step], n)
            turn = np.cos(turning_angles(tracks, tracks.previous(xy)))
            found["persistence"] = _mean(turn[row[inner]], of[inner], n)
    return found


def _looking(
    tracks: Trajectories, cells: pd.DataFrame | None, row: np.ndarray, of: np.ndarray, n: int
) -> Columns:
    """Measures of the masks."""
    if cells is None or cells.empty:
        return {}
    key = ["population", "frame", "label"]
    names = ["area_px", "major_axis_px", "minor_axis_px"]
    mine = tracks.points[key].astype({"label": "Int64"})
    shape = mine.merge(cells[[*key, *names]].astype({"label": "Int64"}), on=key, how="left")
    area, long, short = (shape[name].to_numpy(float)[row] for name in names)
    return {
        "area_variation": _variation(area, of, n),
        "elongation": _mean(1 - divide(short, long), of, n),
    }


def _around(
    tracks: Trajectories,
    neighbours: pd.DataFrame | None,
    points: pd.DataFrame,
    row: np.ndarray,
    of: np.ndarray,
    low: np.ndarray,
) -> Columns:
    """Measures of contact, and of distance and direction to the nearest cell."""
    if neighbours is None or neighbours.empty:
        return {}
    n, step = len(low), row > low[of]
    found: Columns = {}
    moved = tracks.previous(tracks.xy["px"][:, :2])
    for side, near in _sides(tracks, neighbours, points):
        found[f"contact_{side}"] = _mean(near["touching"].to_numpy(float)[row], of, n)
        for unit in UNITS:
            distance = near[f"nearest_distance_{unit}"].to_numpy(float)
            found[f"distance_{side}_{unit}"] = _mean(distance[row], of, n)
        way = near[["x_px", "y_px"]].to_numpy(float) - tracks.xy["px"][:, :2]
        way = np.roll(way, 1, axis=0)  # at a step's start
        cosine = divide((moved * way).sum(axis=1), length(moved) * length(way))
        found[f"towards_{side}"] = _mean(cosine[row[step]], of[step], n)
    return found


def _sides(
    tracks: Trajectories, neighbours: pd.DataFrame, points: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame]]:
    """For each of `SIDES` and each measured point: whether it touches one, and the nearest."""
    key = [*KEYS, "frame"]
    own = neighbours["neighbour_population"] == neighbours["population"]
    place = points[[*key, "x_px", "y_px"]].rename(
        columns={"population": "neighbour_population", "track_id": "nearest_track_id"}
    )
    place = place.astype({"nearest_track_id": "Int64"})
    for side, mine in zip(SIDES, (neighbours[own], neighbours[~own]), strict=True):
        touching = (mine["n_contacts"] > 0).astype("Float64").where(mine["n_contacts"].notna())
        mine = mine.assign(touching=touching)
        any_of = mine.groupby(key, sort=False)["touching"].max()
        mine = mine.sort_values([*key, "nearest_distance_px", "neighbour_population"])
        mine = mine.drop(columns="touching").iloc[starts_of(*(mine[k].to_numpy() for k in key))]
        mine = mine.merge(any_of.reset_index(), on=key).merge(
            place, on=["neighbour_population", "nearest_track_id", "frame"], how="left"
        )
        near = tracks.points[key].merge(mine, on=key, how="left")
        near["touching"] = near["touching"].astype("Float64").to_numpy(float, na_value=np.nan)
        yield side, near
