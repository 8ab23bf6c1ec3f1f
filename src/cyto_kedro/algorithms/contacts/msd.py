"""Mean squared displacement of tracks and populations, and what is fitted to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict, cast

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.contacts.motion_fits import (
    LEAST_TRACKS,
    effective_pairs,
    furth,
    interval,
    power_law,
    resamples,
    with_interval,
)
from cyto_kedro.algorithms.contacts.trajectories import (
    UNITS,
    Trajectories,
    add_by_lag,
    pairs_by_lag,
    trajectories,
)
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import divide, fov_of

Z95 = 1.959964


@dataclass(frozen=True)
class LagSums:
    """What pairs of points add up to, by track and lag."""

    #: (k, L + 1) float64, number of pairs at lags 0 to L
    pairs: np.ndarray
    #: ``"px"`` and ``"um"`` -> (k, L + 1) float64, sum of squared displacements
    square: dict[str, np.ndarray]
    #: frames, minutes: (k, L + 1) float64, sum of real times between, in frames and minutes
    frames: np.ndarray
    minutes: np.ndarray


def lag_sums(tracks: Trajectories, max_lag: int) -> LagSums:
    """Sum all pairs of points of each track, up to `max_lag` median frame intervals apart.

    Gaps, unequal lengths and uneven times need no special care: a pair counts at the lag that is
    nearest to its own time. Time grows as points times `max_lag`.
    """
    shape = (len(tracks.first), max_lag + 1)
    found = LagSums(
        np.zeros(shape),
        {unit: np.zeros(shape) for unit in UNITS},
        np.zeros(shape),
        np.zeros(shape),
    )
    timed, units = tracks.timed, UNITS if tracks.calibrated else UNITS[:1]
    for early, late, lag in pairs_by_lag(tracks.run, tracks.clock, max_lag):
        run = tracks.run[early]
        add_by_lag(found.pairs, run, lag, 1.0)
        add_by_lag(found.frames, run, lag, tracks.frame[late] - tracks.frame[early])
        if timed:
            add_by_lag(found.minutes, run, lag, tracks.time_min[late] - tracks.time_min[early])
        for unit in units:
            off = tracks.xy[unit][late] - tracks.xy[unit][early]
            add_by_lag(found.square[unit], run, lag, np.einsum("ij,ij->i", off, off))
    return found


class Displaced(TypedDict):
    """`fits` lacks the columns of velocity autocorrelation."""

    msd: TableOf[schemas.Msd]
    track_fits: TableOf[schemas.TrackFits]
    fits: TableOf[schemas.MotionFits]


class MeanSquaredDisplacement(Algorithm):
    """Mean squared displacement (MSD) over lags, per track and per population, with fits.

    Examples
    --------
    >>> frames = np.arange(20)
    >>> rows = {"track_id": 1, "frame": frames, "label": 1, "x_px": 2.0 * frames, "y_px": 0.0}
    >>> points = schemas.filled(schemas.TrackPoints, rows)
    >>> MeanSquaredDisplacement()(track_points=points)["msd"]["msd_px2"].head(3).tolist()
    [4.0, 16.0, 36.0]

    Notes
    -----
    A track's MSD at a lag is the mean over all pairs of its measured points that far apart; a lag is
    a whole number of median frame intervals of real time (of frames where times are unknown), and a
    pair across a gap counts at its own lag. A population's MSD is the mean of its tracks', each
    weighted by its number of independent displacements (Qian, Sheetz & Elson 1991, Biophys. J.
    60:910; as trackpy's `emsd`). Its intervals, 95 %, are of a bootstrap over tracks, so they hold
    for cells of one field, not for replicates.

    Of each curve: exponent, the slope of log MSD over log lag (1 a random walk, 2 straight, below 1
    confined), and D, the mean of ``MSD / (2 d t)`` over the lags used: a diffusion coefficient where
    the exponent is near 1, else only a summary of these lags. A track's intervals, 95 %, hold for
    Brownian motion: they allow for overlapping lags, not for persistence, which makes them too
    narrow. To a population's curve Fürth's formula for the persistent random walk is fitted too:
    root mean square speed, persistence time, and the error of a position. Persistence is null where
    the lags do not resolve it.
    """

    max_lag_frames: int | None = Field(
        default=None,
        ge=1,
        description="longest lag, in median frame intervals; null: a quarter of the longest track, "
        "at least 8 where it has that many",
    )
    n_bootstrap: int = Field(default=200, ge=0, description="samples of tracks for the intervals")
    seed: int = Field(default=0, description="of the bootstrap")

    def run(self, track_points: TableOf[schemas.TrackPoints]) -> Displaced:
        """Measure one field, one or more populations.

        Interpolated points are left out; ``z_um`` and ``z_px`` are read where present.

        Raises
        ------
        InputError
            If tables of several fields are given, or time does not rise along a track.
        """
        points = track_points
        fov_of(points)
        tables = {"msd": schemas.Msd, "track_fits": schemas.TrackFits, "fits": schemas.MotionFits}
        if not len(points):
            none = {name: schemas.empty(table) for name, table in tables.items()}
            return cast("Displaced", none)
        parts = [
            self._population(trajectories(of)) for _, of in points.groupby("population", sort=True)
        ]
        whole = (pd.concat(each, ignore_index=True) for each in zip(*parts, strict=True))
        made = {
            name: schemas.conform(table, each)
            for (name, table), each in zip(tables.items(), whole, strict=True)
        }
        return cast("Displaced", made)

    def longest_lag(self, tracks: Trajectories) -> int:
        """The longest lag used, in median frame intervals."""
        span = tracks.clock[tracks.last] - tracks.clock[tracks.first]
        longest = int(np.rint(span.max(initial=0)))
        if self.max_lag_frames is None:
            return max(longest // 4, min(longest, 8))
        return min(self.max_lag_frames, longest)

    def _population(self, tracks: Trajectories) -> tuple[pd.DataFrame, ...]:
        sums = lag_sums(tracks, self.longest_lag(tracks))
        span = np.rint(tracks.clock[tracks.last] - tracks.clock[tracks.first]) + 1
        weight = effective_pairs(tracks.last - tracks.first + 1, span, sums.pairs)[:, 1:]
        curves = {unit: divide(sums.square[unit], sums.pairs)[:, 1:] for unit in UNITS}
        if not tracks.calibrated:
            curves["um"][:] = np.nan
        dimensions = {unit: tracks.xy[unit].shape[1] for unit in UNITS}
        msd, fits = self._ensemble(tracks, sums, curves, weight, dimensions)
        return msd, self._tracks(tracks, sums, curves, weight, span, dimensions), fits

    def _tracks(
        self,
        tracks: Trajectories,
        sums: LagSums,
        curves: dict[str, np.ndarray],
        weight: np.ndarray,
        span: np.ndarray,
        dimensions: dict[str, int],
    ) -> pd.DataFrame:
        """`schemas.TrackFits`: lags up to a quarter of a track's own span, at least three."""
        lag = np.arange(1, weight.shape[1] + 1)
        own = np.where(lag <= np.maximum(span[:, None] // 4, 3), weight, 0.0)
        found = tracks.keys.assign(n_points=tracks.last - tracks.first + 1)
        for unit, t, time in (("px", "frame", sums.frames), ("um", "min", sums.minutes)):
            per = f"{unit}2_per_{t}"
            lags = divide(time, sums.pairs)[:, 1:]
            if unit == "um" and not tracks.timed:
                lags = np.full(lags.shape, np.nan)
            fit = power_law(curves[unit], lags, own, sums.pairs[:, 1:], dimensions[unit])
            enough = fit.n_lags >= 3
            factor = np.exp(Z95 * fit.diffusion_log_se)
            found[f"diffusion_{per}"] = np.where(enough, fit.diffusion, np.nan)
            found[f"diffusion_low_{per}"] = np.where(enough, fit.diffusion / factor, np.nan)
            found[f"diffusion_high_{per}"] = np.where(enough, fit.diffusion * factor, np.nan)
            if unit == "px" or (tracks.timed and tracks.calibrated):
                half = Z95 * fit.exponent_se
                found["n_lags"] = fit.n_lags
                found["exponent"] = np.where(enough, fit.exponent, np.nan)
                found["exponent_low"] = np.where(enough, fit.exponent - half, np.nan)
                found["exponent_high"] = np.where(enough, fit.exponent + half, np.nan)
        return found

    def _ensemble(
        self,
        tracks: Trajectories,
        sums: LagSums,
        curves: dict[str, np.ndarray],
        weight: np.ndarray,
        dimensions: dict[str, int],
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """`schemas.Msd`, and the row of `schemas.MotionFits`."""
        moving = weight.sum(axis=1) > 0  # tracks of one point tell nothing
        n_tracks, weight = int(moving.sum()), weight[moving]
        draws = resamples(n_tracks, self.n_bootstrap, self.seed)
        total = draws @ weight
        pairs = sums.pairs[:, 1:].sum(axis=0)
        times = {"px": divide(sums.frames[:, 1:].sum(axis=0), pairs)}
        minutes = divide(sums.minutes[:, 1:].sum(axis=0), pairs)
        times["um"] = minutes if tracks.timed else np.full(len(pairs), np.nan)
        msd = pd.DataFrame(
            {
                "fov": tracks.keys["fov"].iloc[0],
                "population": tracks.keys["population"].iloc[0],
                "lag": np.arange(1, len(pairs) + 1),
                "lag_frames": times["px"],
                "lag_min": times["um"],
                "n_tracks": (sums.pairs[:, 1:] > 0).sum(axis=0),
                "n_pairs": pairs,
                "n_independent": weight.sum(axis=0),
            }
        )
        row: dict[str, Any] = {
            "fov": tracks.keys["fov"].iloc[0],
            "population": tracks.keys["population"].iloc[0],
            "n_tracks": n_tracks,
            "n_lags": int((pairs > 0).sum()),
        }
        for unit in UNITS:
            samples = divide(draws @ (weight * np.nan_to_num(curves[unit][moving])), total)
            if unit == "um" and not tracks.calibrated:
                samples[:] = np.nan
            low, high = interval(samples)
            msd[f"msd_{unit}2"] = samples[0]
            msd[f"msd_low_{unit}2"], msd[f"msd_high_{unit}2"] = low, high
            chosen = unit == ("um" if tracks.timed and tracks.calibrated else "px")
            row |= self._fitted(unit, samples, times[unit], total, dimensions[unit], chosen)
        row["note"] = _note(tracks, row)
        return msd[msd["n_pairs"] > 0], pd.DataFrame([row])

    def _fitted(
        self,
        unit: str,
        samples: np.ndarray,
        time: np.ndarray,
        weight: np.ndarray,
        dimensions: int,
        with_exponent: bool,
    ) -> dict[str, float]:
        """Columns of `schemas.MotionFits` of one unit of length; `samples` and `weight` (1 + b, L)."""
        law = power_law(samples, time, weight, weight, dimensions)
        walk = furth(samples, time, weight, dimensions)
        t, span = ("frame", "frames") if unit == "px" else ("min", "min")
        return {
            **(with_interval("exponent", "", law.exponent) if with_exponent else {}),
            **with_interval("diffusion", f"_{unit}2_per_{t}", law.diffusion),
            f"msd_at_1_{t}_{unit}2": law.at_one[0],
            **with_interval("furth_speed", f"_{unit}_per_{t}", walk.scale),
            **with_interval("persistence", f"_{span}", walk.persistence),
            f"position_error_{unit}": walk.offset[0],
        }


def _note(tracks: Trajectories, row: dict[str, Any]) -> str:
    """Why a value of `row` is null."""
    reasons = {
        "pixel size unknown: no µm": not tracks.calibrated,
        "frame times unknown: no minutes": not tracks.timed,
        f"fewer than {LEAST_TRACKS} tracks: no intervals": row["n_tracks"] < LEAST_TRACKS,
        "the lags do not resolve the persistence time": np.isnan(row["persistence_frames"]),
    }
    return "; ".join(reason for reason, true in reasons.items() if true)
