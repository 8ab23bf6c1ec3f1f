"""Velocity autocorrelation of populations: how long a cell remembers its direction."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.contacts.motion_fits import (
    exponential,
    interval,
    resamples,
    with_interval,
)
from cyto_kedro.algorithms.contacts.trajectories import (
    UNITS,
    Trajectories,
    add_by_lag,
    length,
    pairs_by_lag,
    trajectories,
)
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import divide, fov_of, run_ids, starts_of

PER_TIME2 = {"px": "px2_per_frame2", "um": "um2_per_min2"}


class Correlated(TypedDict):
    """`fits`: fov, population and the columns of `schemas.MotionFits` of ``autocorrelation_…``."""

    velocity_autocorrelation: TableOf[schemas.VelocityAutocorrelation]
    fits: pd.DataFrame


class VelocityAutocorrelation(Algorithm):
    """Mean product of a cell's velocities a lag apart, per population, and its persistence time.

    Examples
    --------
    >>> frames = np.arange(20)
    >>> rows = {"track_id": 1, "frame": frames, "label": 1, "x_px": 2.0 * frames, "y_px": 0.0}
    >>> points = schemas.filled(schemas.TrackPoints, rows)
    >>> found = VelocityAutocorrelation()(track_points=points)["velocity_autocorrelation"]
    >>> found["mean_cosine"].head(3).tolist()
    [1.0, 1.0, 1.0]

    Notes
    -----
    ``C(lag) = <v(t) · v(t + lag)>`` over all pairs of steps of one track, all tracks together; only
    steps of one frame interval count, since the velocity across a gap is a mean over the gap.
    `normalised` is C over C(0); the mean cosine is that of the angle between the steps, which speed
    does not enter (celltrackR's `overallNormDot`). Intervals, 95 %, are of a bootstrap over tracks.

    An error of position makes C(0) too large and C at one frame interval too small, at no other lag.
    So ``a exp(-lag / P)`` is fitted from the second lag on: for a persistent random walk these lags
    decay exactly so, whatever the frame interval. P is null where the lags do not resolve it.
    """

    max_lag_frames: int | None = Field(
        default=None,
        ge=2,
        description="longest lag, in median frame intervals; null: a quarter of the longest track, "
        "at least 8 where it has that many",
    )
    n_bootstrap: int = Field(default=200, ge=0, description="samples of tracks for the intervals")
    seed: int = Field(default=0, description="of the bootstrap")

    def run(self, track_points: TableOf[schemas.TrackPoints]) -> Correlated:
        """Measure one field, one or more populations.

        Interpolated points are left out; ``z_um`` and ``z_px`` are read where present.

        Raises
        ------
        InputError
            If tables of several fields are given, or time does not rise along a track.
        """
        points = track_points
        fov_of(points)
        table = schemas.VelocityAutocorrelation
        parts = [
            self._population(trajectories(of)) for _, of in points.groupby("population", sort=True)
        ]
        if not parts:
            fits = schemas.empty(schemas.MotionFits)
            names = [name for name in fits if str(name).startswith("autocorrelation_")]
            fits = fits[["fov", "population", *names]]
            return {"velocity_autocorrelation": schemas.empty(table), "fits": fits}
        whole = pd.concat([part[0] for part in parts], ignore_index=True)
        return {
            "velocity_autocorrelation": schemas.conform(table, whole),
            "fits": pd.DataFrame([part[1] for part in parts]),
        }

    def _population(self, tracks: Trajectories) -> tuple[pd.DataFrame, dict[str, Any]]:
        clock = tracks.clock
        step = np.flatnonzero(np.rint(tracks.previous(clock)) == 1)
        first = starts_of(tracks.run[step])
        longest = int(np.rint((clock[tracks.last] - clock[tracks.first]).max(initial=0)))
        max_lag = min(self.max_lag_frames or max(longest // 4, 8), max(longest - 1, 0))
        velocity = {
            "px": tracks.previous(tracks.xy["px"])[step]
            / tracks.previous(tracks.frame)[step, None],
            "um": tracks.previous(tracks.xy["um"])[step]
            / tracks.previous(tracks.time_min)[step, None],
        }
        run = run_ids(first, len(step))  # tracks without a step are none here
        sums = _products(run, clock[step], velocity, (len(first), max_lag + 1))
        pairs, frames = sums.pop("pairs"), np.arange(max_lag + 1.0)
        total = pairs.sum(axis=0)
        interval_min = np.median(tracks.previous(tracks.time_min)[step]) if len(step) else np.nan
        key = {name: tracks.keys[name].iloc[0] for name in ("fov", "population")}
        found = pd.DataFrame(
            {
                "lag": frames.astype(np.int64),
                "lag_min": frames * interval_min,
                "n_tracks": (pairs > 0).sum(axis=0),
                "n_pairs": total,
            }
        ).assign(**key)
        draws = resamples(len(first), self.n_bootstrap, self.seed)
        count = draws @ pairs
        cosines = sums.pop("cosine")
        found["mean_cosine"] = divide(cosines.sum(axis=0), sums.pop("cosines").sum(axis=0))
        row: dict[str, Any] = dict(key)
        known = "um" if tracks.timed and tracks.calibrated else "px"
        for unit in UNITS:
            curve = divide(draws @ sums[unit], count)
            found[f"autocorrelation_{PER_TIME2[unit]}"] = curve[0]
            if unit == known:
                normalised = divide(curve, curve[:, :1])
                found["normalised"] = normalised[0]
                found["normalised_low"], found["normalised_high"] = interval(normalised)
            start = slice(2, None)  # lags 0 and 1 hold the error of positions
            time = frames[start] * (1.0 if unit == "px" else interval_min)
            fit = exponential(curve[:, start], time, count[:, start])
            span = "frames" if unit == "px" else "min"
            row |= with_interval("autocorrelation_persistence", f"_{span}", fit.persistence)
        return found[found["n_pairs"] > 0], row


def _products(
    run: np.ndarray, clock: np.ndarray, velocity: dict[str, np.ndarray], shape: tuple[int, int]
) -> dict[str, np.ndarray]:
    """(k, L + 1) sums over pairs of steps: their number, products of velocities, cosines.

    ``"cosines"`` counts the pairs of which a cosine is known (no step of length 0).
    """
    names = ("pairs", "cosine", "cosines", *velocity)
    sums = {name: np.zeros(shape) for name in names}
    if not len(run):
        return sums
    speed = length(velocity["px"])[:, None]
    unit = np.divide(velocity["px"], speed, out=np.zeros(velocity["px"].shape), where=speed > 0)
    here = np.arange(len(run))
    same = (here, here, np.zeros(len(run), np.int64))
    for early, late, lag in (same, *pairs_by_lag(run, clock, shape[1] - 1)):
        at = run[early]
        add_by_lag(sums["pairs"], at, lag, 1.0)
        add_by_lag(sums["cosine"], at, lag, _dot(unit, early, late))
        add_by_lag(sums["cosines"], at, lag, (speed[early] * speed[late] > 0)[:, 0].astype(float))
        for name, v in velocity.items():
            add_by_lag(sums[name], at, lag, _dot(v, early, late))
    return sums


def _dot(vectors: np.ndarray, early: np.ndarray, late: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", vectors[early], vectors[late])
