"""Kinematics of tracks: per point (`schemas.Steps`) and per track (`schemas.Motility`).

Real times, also uneven ones, are used wherever a time enters. **Only measured points make steps.**
A step goes from one measured point of a track to the next measured one, over its real time: a gap
of three frames is one step of three frames. Interpolated points stay in the steps table (column
`interpolated`) with their net displacement and null step columns, so no mean counts the straight
line across a gap twice, and results are equal whether or not a tracker filled its gaps.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.contacts.common import divide, fov_of, need, run_ids, starts_of
from cyto_kedro.errors import InputError


class Kinematics(Algorithm):
    """Displacements, velocities, turning angles; path, straightness, arrest of whole tracks.

    Reads ``"dataframe"``: `schemas.TrackPoints` of one field, one or more populations.
    Returns ``"steps"``: `schemas.Steps` with the extra column `interpolated`, and ``"motility"``:
    `schemas.Motility`, both sorted by population, track and frame.

    Notes
    -----
    Velocity is the displacement from the previous measured point over the time between. The
    turning angle of a point is the unsigned angle, 0 to pi, between the step into it and the step
    out of it; null at a track's ends and beside a step of length 0. Of a track: path length is the
    sum of its steps, straightness is net displacement over path (celltrackR's `straightness`),
    mean speed is path over duration, so that it weighs a step by its time, and the arrest
    coefficient is the share of the track's time spent in steps slower than the threshold
    (Beltman et al. 2009, Nat. Rev. Immunol. 9:789).
    """

    arrest_speed_um_per_min: float | None = Field(
        default=2.0, gt=0, description="slower is arrested; used where µm and minutes are known"
    )
    arrest_speed_px_per_frame: float | None = Field(
        default=None, gt=0, description="slower is arrested; used where they are unknown"
    )

    def __call__(self, data: Data) -> Data:
        """Return ``{"steps", "motility"}`` of the tracks in ``data["dataframe"]``.

        Raises
        ------
        InputError
            If tables of several fields are given, or time does not rise along a track.
        """
        (points,) = need(data, "dataframe")
        fov_of(points)
        if not len(points):
            steps = schemas.empty(schemas.Steps).assign(interpolated=pd.Series(dtype=bool))
            return {"steps": steps, "motility": schemas.empty(schemas.Motility)}
        points = points.sort_values(["population", "track_id", "frame"], ignore_index=True)
        measured = np.flatnonzero(~points["interpolated"].to_numpy(bool))
        steps = _steps(points, measured)
        return {
            "steps": schemas.conform(schemas.Steps, steps),
            "motility": schemas.conform(schemas.Motility, self._motility(steps.iloc[measured])),
        }

    def _motility(self, steps: pd.DataFrame) -> pd.DataFrame:
        frame = steps["frame"].to_numpy(np.int64)
        time = steps["time_min"].to_numpy(float)
        first = starts_of(steps["population"].to_numpy(), steps["track_id"].to_numpy())
        last = np.append(first[1:], len(steps)) - 1
        run = run_ids(first, len(steps))

        def total(values: np.ndarray) -> np.ndarray:
            return np.bincount(run, weights=values, minlength=len(first))

        step_px = steps["displacement_from_previous_px"].to_numpy(float)
        step_um = steps["displacement_from_previous_um"].to_numpy(float)
        net_um = steps["net_displacement_um"].to_numpy(float)[last]
        path_px = total(np.nan_to_num(step_px))
        path_um = np.where(np.isnan(net_um), np.nan, total(np.nan_to_num(step_um)))
        frames, minutes = frame[last] - frame[first], time[last] - time[first]
        net_px = steps["net_displacement_px"].to_numpy(float)[last]
        return pd.DataFrame(
            {
                "fov": steps["fov"].to_numpy()[first],
                "population": steps["population"].to_numpy()[first],
                "track_id": steps["track_id"].to_numpy()[first],
                "n_points": last - first + 1,
                "duration_frames": frames,
                "duration_min": minutes,
                "path_length_px": path_px,
                "path_length_um": path_um,
                "net_displacement_px": net_px,
                "net_displacement_um": net_um,
                # rounding can put the net of a straight line above its path
                "straightness": np.minimum(divide(net_px, path_px), 1.0),
                "mean_speed_px_per_frame": divide(path_px, frames),
                "mean_speed_um_per_min": divide(path_um, minutes),
                "arrest_coefficient": self._arrest(steps, total),
            }
        )

    def _arrest(self, steps: pd.DataFrame, total) -> np.ndarray:  # type: ignore[no-untyped-def]
        speed_um = steps["speed_um_per_min"].to_numpy(float)
        if self.arrest_speed_um_per_min is not None and not np.isnan(speed_um).all():
            speed, limit = speed_um, self.arrest_speed_um_per_min
            dt = steps["dt_from_previous_min"].to_numpy(float)
        else:
            speed = steps["speed_px_per_frame"].to_numpy(float)
            dt = steps["dt_frames_from_previous"].to_numpy(float)
            limit = self.arrest_speed_px_per_frame or np.nan
        known = ~np.isnan(speed) & ~np.isnan(limit)
        return divide(
            total(np.where(known & (speed < limit), dt, 0)), total(np.where(known, dt, 0))
        )


def _steps(points: pd.DataFrame, measured: np.ndarray) -> pd.DataFrame:
    """The steps table of sorted `points`; `measured` are the positions of measured rows."""
    n = len(points)
    frame = points["frame"].to_numpy(float)
    time = points["time_min"].to_numpy(float)
    tracks = [points["population"].to_numpy(), points["track_id"].to_numpy()]
    first = starts_of(*tracks)
    run = run_ids(first, n)

    # previous measured point of every measured point (within its track), else none
    has = np.zeros(n, bool)
    previous = np.zeros(n, np.int64)
    same = run[measured[1:]] == run[measured[:-1]]
    has[measured[1:][same]] = True
    previous[measured[1:][same]] = measured[:-1][same]

    def back(values: np.ndarray) -> np.ndarray:
        return np.where(has, values - values[previous], np.nan)

    xy = {unit: _xy(points, unit) for unit in ("px", "um")}
    d = {unit: (back(x), back(y)) for unit, (x, y) in xy.items()}
    length = {unit: np.hypot(*d[unit]) for unit in d}
    dt_frames, dt_min = back(frame), back(time)
    _check_times(points, dt_frames, dt_min)

    to_next = np.full(n, np.nan)
    turn = np.full(n, np.nan)
    here, after = previous[has], np.flatnonzero(has)
    to_next[here] = length["px"][after]
    dx, dy = d["px"]
    cross = dx[here] * dy[after] - dy[here] * dx[after]
    dot = dx[here] * dx[after] + dy[here] * dy[after]
    moved = length["px"][here] * length["px"][after] > 0
    turn[here] = np.where(moved, np.arctan2(np.abs(cross), dot), np.nan)

    # net displacement is from the first measured point; a track never starts interpolated
    start = first[run]
    net = {unit: np.hypot(x - x[start], y - y[start]) for unit, (x, y) in xy.items()}
    return pd.DataFrame(
        {
            "fov": points["fov"],
            "population": points["population"],
            "track_id": points["track_id"],
            "frame": points["frame"],
            "time_min": time,
            "dt_frames_from_previous": dt_frames,
            "dt_from_previous_min": dt_min,
            "displacement_from_previous_px": length["px"],
            "displacement_from_previous_um": length["um"],
            "displacement_to_next_px": to_next,
            "velocity_x_px_per_frame": dx / dt_frames,
            "velocity_y_px_per_frame": dy / dt_frames,
            "velocity_x_um_per_min": d["um"][0] / dt_min,
            "velocity_y_um_per_min": d["um"][1] / dt_min,
            "speed_px_per_frame": length["px"] / dt_frames,
            "speed_um_per_min": length["um"] / dt_min,
            "turning_angle_rad": turn,
            "net_displacement_px": net["px"],
            "net_displacement_um": net["um"],
            "interpolated": points["interpolated"],
        }
    )


def _xy(points: pd.DataFrame, unit: str) -> tuple[np.ndarray, np.ndarray]:
    return points[f"x_{unit}"].to_numpy(float), points[f"y_{unit}"].to_numpy(float)


def _check_times(points: pd.DataFrame, dt_frames: np.ndarray, dt_min: np.ndarray) -> None:
    bad = (dt_frames <= 0) | (dt_min <= 0)
    if bad.any():
        row = points.iloc[int(np.flatnonzero(bad)[0])]
        raise InputError(
            f"field {row['fov']!r}, {row['population']} track {row['track_id']}, frame "
            f"{row['frame']}: time does not rise from the track's previous point, so no speed can "
            f"be computed; correct the frame times of this field, or give frame_interval_s"
        )
