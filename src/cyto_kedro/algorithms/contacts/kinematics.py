"""Kinematics of tracks: per point (`schemas.Steps`) and per track (`schemas.Motility`).

Real times, also uneven ones, are used wherever a time enters. **Only measured points make steps.**
A step goes from one measured point of a track to the next measured one, over its real time: a gap
of three frames is one step of three frames. Interpolated points stay in the steps table (column
`interpolated`) with their net displacement and null step columns, so no mean counts the straight
line across a gap twice, and results are equal whether or not a tracker filled its gaps.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.contacts.trajectories import (
    KEYS,
    UNITS,
    Trajectories,
    coordinates,
    length,
    trajectories,
)
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import divide, fov_of, run_ids, starts_of

STILL = 1e-9  # a shorter step (px or µm) is rounding, which has no direction
PER_TIME = {"px": "px_per_frame", "um": "um_per_min"}


class Motion(TypedDict):
    """Sorted by population, track and frame; steps with the extra column `interpolated`."""

    steps: TableOf[schemas.Steps]
    motility: TableOf[schemas.Motility]


class Kinematics(Algorithm):
    """Displacements, velocities, turning angles; path, straightness, arrest, shape of whole tracks.

    Examples
    --------
    >>> rows = {"track_id": 1, "frame": [0, 1, 2], "label": 1, "x_px": [0, 3, 3], "y_px": [0, 4, 8]}
    >>> points = schemas.filled(schemas.TrackPoints, rows)
    >>> motility = Kinematics()(track_points=points)["motility"]
    >>> motility[["path_length_px", "mean_speed_px_per_frame"]].values.tolist()
    [[9.0, 4.5]]

    Notes
    -----
    Per point: velocity is the displacement from the previous measured point over the time between;
    `central_speed` is the distance from the previous to the next point over the time between these
    (at a track's ends, of its one step), which is what Imaris calls Speed. The turning angle is the
    unsigned angle, 0 to pi, between the step into the point and the step out of it; null at a
    track's ends and beside a step of length 0.

    A step across a pause of the film (`core.clock`) has a displacement, but no velocity, speed or angle:
    how the cell moved meanwhile is unknown. It takes part in neither side of mean speed and arrest.

    Per track: path is the sum of the steps, straightness net displacement over path (celltrackR's
    `straightness`, TrackMate's confinement ratio), mean speed path over duration, so that a step
    weighs by its time; the statistics of step speed (mean, median, sd, min, max) weigh steps alike,
    as TrackMate's. The arrest coefficient is the share of the track's time spent in steps slower
    than the threshold (Beltman et al. 2009, Nat. Rev. Immunol. 9:789). The largest displacement is
    the largest distance from the first point; displacement ratio is net over largest displacement,
    outreach ratio largest displacement over path, asphericity ``sum((e - m)²) / (D (D - 1) m²)``
    of the D variances e of the positions along their principal axes, with mean m (Mokhtari et al.
    2013, PLoS ONE 8:e80808; as in celltrackR, but null below three points); the radius of gyration
    is ``sqrt(sum e)``, the root mean square distance from the mean position. Directional
    persistence is the mean cosine of the turning angles: 1 straight on, 0 no memory of direction,
    -1 back and forth.
    """

    version = 3

    arrest_speed_um_per_min: float | None = Field(
        default=2.0, gt=0, description="slower is arrested; used where µm and minutes are known"
    )
    arrest_speed_px_per_frame: float | None = Field(
        default=None, gt=0, description="slower is arrested; used where they are unknown"
    )

    def run(self, track_points: TableOf[schemas.TrackPoints]) -> Motion:
        """Measure the tracks of one field, one or more populations.

        With a column `z_um` (or `z_px`) µm (or pixel) measures are in 3-D.

        Raises
        ------
        InputError
            If tables of several fields are given, or time does not rise along a track.
        """
        fov_of(track_points)
        if not len(track_points):
            steps = schemas.empty(schemas.Steps)
            steps["interpolated"] = pd.Series(dtype=bool)
            return {"steps": steps, "motility": schemas.empty(schemas.Motility)}
        points = track_points.sort_values([*KEYS, "frame"], ignore_index=True)
        tracks = trajectories(points)
        before = tracks.frame - np.nan_to_num(tracks.previous(tracks.frame))
        paused = Clock(points).paused(before.astype(np.int64), tracks.frame.astype(np.int64))
        measures = _steps(tracks, paused)
        return {
            "steps": schemas.from_columns(schemas.Steps, _placed(points, measures)),
            "motility": schemas.from_columns(
                schemas.Motility, self._motility(tracks, measures, paused)
            ),
        }

    def _motility(
        self, tracks: Trajectories, steps: dict[str, np.ndarray], paused: np.ndarray
    ) -> dict:
        first, last, keys = tracks.first, tracks.last, tracks.keys
        n_points = last - first + 1
        frames = tracks.frame[last] - tracks.frame[first]
        minutes = tracks.time_min[last] - tracks.time_min[first]
        found: dict[str, np.ndarray] = {
            **{str(key): keys[key].to_numpy() for key in keys},
            "n_points": n_points,
            "duration_frames": frames,
            "duration_min": minutes,
        }
        # ratios are of isotropic coordinates: pixels in the plane, µm where there is a depth
        unit = "um" if tracks.xy["um"].shape[1] > 2 else "px"
        passed = (steps["dt_frames_from_previous"], steps["dt_from_previous_min"])
        for each, duration, dt in zip(UNITS, (frames, minutes), passed, strict=True):
            far = length(tracks.xy[each] - tracks.xy[each][first][tracks.run])
            step = steps[f"displacement_from_previous_{each}"]
            net, path = far[last], tracks.sums(np.nan_to_num(step))
            path[np.isnan(net)] = np.nan
            largest = np.maximum.reduceat(far, first)
            unseen, away = (tracks.sums(np.where(paused, values, 0.0)) for values in (step, dt))
            found |= {
                f"path_length_{each}": path,
                f"net_displacement_{each}": net,
                f"max_displacement_{each}": largest,
                f"mean_speed_{PER_TIME[each]}": divide(path - unseen, duration - away),
                **_speeds(tracks, steps[f"speed_{PER_TIME[each]}"], PER_TIME[each]),
            }
            if each == unit:
                found |= {
                    # rounding can put the net of a straight line above its path
                    "straightness": np.minimum(divide(net, path), 1.0),
                    "displacement_ratio": divide(net, largest),
                    "outreach_ratio": np.minimum(divide(largest, path), 1.0),
                }
            found |= _spread(tracks, each, shape=each == unit)
        turn = steps["turning_angle_rad"]
        for time, name in ((tracks.frame, "frame"), (tracks.time_min, "min")):
            rate = turn / tracks.following(tracks.previous(time))
            found[f"mean_directional_change_rad_per_{name}"] = _mean(tracks, rate)
        found["mean_turning_angle_rad"] = _mean(tracks, turn)
        found["directional_persistence"] = _mean(tracks, np.cos(turn))
        found["arrest_coefficient"] = self._arrest(tracks, steps)
        return found

    def _arrest(self, tracks: Trajectories, steps: dict[str, np.ndarray]) -> np.ndarray:
        speed_um = steps["speed_um_per_min"]
        if self.arrest_speed_um_per_min is not None and not np.isnan(speed_um).all():
            speed, limit = speed_um, self.arrest_speed_um_per_min
            dt = steps["dt_from_previous_min"]
        else:
            speed, dt = steps["speed_px_per_frame"], steps["dt_frames_from_previous"]
            limit = self.arrest_speed_px_per_frame or np.nan
        known = ~np.isnan(speed) & ~np.isnan(limit)
        slow = tracks.sums(np.where(known & (speed < limit), dt, 0))
        return divide(slow, tracks.sums(np.where(known, dt, 0)))


def _steps(tracks: Trajectories, paused: np.ndarray) -> dict[str, np.ndarray]:
    """Step measures of the measured points, (n,) float64 each; `paused`: the film did before one."""
    dt = {"px": tracks.previous(tracks.frame), "um": tracks.previous(tracks.time_min)}
    found = {"dt_frames_from_previous": dt["px"], "dt_from_previous_min": dt["um"]}
    rows = np.arange(len(tracks.run))
    before = np.where(paused, rows, np.maximum(rows - 1, tracks.first[tracks.run]))
    pause_next = tracks.following(paused.astype(float)) == 1
    after = np.where(pause_next, rows, np.minimum(rows + 1, tracks.last[tracks.run]))
    lasting = {unit: np.where(paused, np.nan, each) for unit, each in dt.items()}
    for unit, time in zip(UNITS, (tracks.frame, tracks.time_min), strict=True):
        xy, rate = tracks.xy[unit], PER_TIME[unit]
        moved = tracks.previous(xy)
        step = length(moved)
        found |= {
            f"displacement_from_previous_{unit}": step,
            f"displacement_to_next_{unit}": tracks.following(step),
            **{
                f"velocity_{a}_{rate}": d / lasting[unit]
                for a, d in zip("xyz", moved.T, strict=False)
            },
            f"speed_{rate}": step / lasting[unit],
            f"central_speed_{rate}": divide(
                length(xy[after] - xy[before]), time[after] - time[before]
            ),
            f"path_length_{unit}": _path(tracks, step, xy),
        }
    deep = "um" if tracks.xy["um"].shape[1] > 2 else "px"
    moved = np.where(paused[:, None], np.nan, tracks.previous(tracks.xy[deep]))
    found["turning_angle_rad"] = turning_angles(tracks, moved)
    return found


def _path(tracks: Trajectories, step: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(n,) length of each track up to each point; null where coordinates are."""
    total = np.cumsum(np.nan_to_num(step))
    path = total - total[tracks.first][tracks.run]
    return np.where(np.isnan(xy).any(axis=1), np.nan, path)


def turning_angles(tracks: Trajectories, moved: np.ndarray) -> np.ndarray:
    """(n,) angle, 0 to pi, between the steps into and out of each point, in any dimension.

    By Kahan's formula ``2 atan2(|a|b| - b|a||, |a|b| + b|a||)``, exact also near 0 and pi. Null
    beside a step of length 0 (below `STILL`).
    """
    into, out = moved, tracks.following(moved)
    a, b = length(into)[:, None], length(out)[:, None]
    turn = 2 * np.arctan2(length(into * b - out * a), length(into * b + out * a))
    return np.where(np.minimum(a, b)[:, 0] > STILL, turn, np.nan)


def _mean(tracks: Trajectories, values: np.ndarray) -> np.ndarray:
    """(k,) mean over each track of the values that are known."""
    known = ~np.isnan(values)
    return divide(tracks.sums(np.where(known, values, 0.0)), tracks.sums(known.astype(float)))


def _speeds(tracks: Trajectories, speed: np.ndarray, rate: str) -> dict[str, np.ndarray]:
    """Statistics of step speed over each track; null without steps."""
    mean = _mean(tracks, speed)
    n = tracks.sums((~np.isnan(speed)).astype(np.int64))  # steps
    square = np.nan_to_num((speed - mean[tracks.run]) ** 2)
    # the first point of a track has no step, nor one after a pause; NaN sorts to the track's end
    ordered = speed[np.lexsort((speed, tracks.run))]
    half = tracks.first + n // 2
    low = ordered[tracks.first + np.maximum(n - 1, 0) // 2]
    none = n == 0
    found = {
        "mean_step": mean,
        "median": np.where(n % 2 == 1, ordered[half], (low + ordered[half]) / 2),
        "sd": np.sqrt(divide(tracks.sums(square), n - 1)),
        "min": ordered[tracks.first],
        "max": ordered[tracks.first + np.maximum(n - 1, 0)],
    }
    return {
        f"{name}_speed_{rate}": np.where(none | np.isnan(mean), np.nan, value)
        for name, value in found.items()
    }


def _spread(tracks: Trajectories, unit: str, shape: bool) -> dict[str, np.ndarray]:
    """Radius of gyration, and with `shape` the asphericity, from the covariance of positions."""
    xy = tracks.xy[unit]
    n = (tracks.last - tracks.first + 1)[:, None]
    off = xy - (tracks.sums(xy) / n)[tracks.run]
    covariance = tracks.sums(off[:, :, None] * off[:, None, :]) / n[:, :, None]
    trace = np.trace(covariance, axis1=1, axis2=2)
    found = {f"radius_of_gyration_{unit}": np.sqrt(trace)}
    if shape:
        # sum of squared eigenvalues is the trace of the square: no eigenvalues are needed
        d = xy.shape[1]
        squares = np.einsum("kij,kij->k", covariance, covariance)
        ratio = (d * divide(squares, trace**2) - 1) / (d - 1)
        found["asphericity"] = np.where(n[:, 0] < 3, np.nan, np.clip(ratio, 0, 1))
    return found


def _placed(points: pd.DataFrame, measures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns of the steps table: keys of all points, measures where a point was measured."""
    measured = ~points["interpolated"].to_numpy(bool)
    keys = ("fov", *KEYS, "frame", "time_min")
    found = {key: points[key].to_numpy() for key in keys}
    for name, values in measures.items():
        found[name] = np.full(len(points), np.nan)
        found[name][measured] = values
    first = starts_of(*(points[key].to_numpy() for key in KEYS))
    start = first[run_ids(first, len(points))]
    for unit in UNITS:
        # from the first measured point; a track never starts interpolated
        xy = coordinates(points, unit)
        found[f"net_displacement_{unit}"] = length(xy - xy[start])
    return {**found, "interpolated": points["interpolated"].to_numpy(bool)}
