"""Fits of mean squared displacement and velocity autocorrelation over lags.

Every function takes many curves at once (tracks, or bootstrap samples): (b, L) arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from cyto_kedro.core.keys import divide

# points of the grid of persistence times; neighbours differ by about 2 %
GRID = 400
LEAST_TRACKS = 5  # a bootstrap of fewer says nothing


def effective_pairs(n_points: np.ndarray, span: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(k, L + 1) independent displacements in a track's mean squared displacement at each lag.

    Qian, Sheetz & Elson 1991, Biophys. J. 60:910, equation B4, for a track without gaps; scaled by
    the share of frames that were measured, and lags without a pair count nothing while the track
    keeps its total, as trackpy's `emsd` does.

    `n_points`, `span`: (k,) measured points, and frame intervals from the first to the last, plus
    one. `pairs`: (k, L + 1) pairs found at lags 0 to L.
    """
    n = span[:, None].astype(float)
    lag = np.broadcast_to(np.arange(pairs.shape[1], dtype=float), pairs.shape)
    inside = (lag >= 1) & (lag < n)
    with np.errstate(divide="ignore", invalid="ignore"):
        long = 1 / (1 + ((n - lag) ** 3 + 5 * lag - 4 * (n - lag) ** 2 * lag - n)
                    / (6 * (n - lag) * lag**2))  # fmt: skip
        short = 6 * (n - lag) ** 2 * lag / (2 * n - lag + 4 * n * lag**2 - 5 * lag**3)
    full = np.where(inside, np.where(lag > n / 2, long, short), 0.0)
    found = np.where(pairs > 0, full * (n_points / span)[:, None], 0.0)
    kept = divide((full * (n_points / span)[:, None]).sum(axis=1), found.sum(axis=1))
    return found * np.nan_to_num(kept)[:, None]


def resamples(n_tracks: int, n_samples: int, seed: int) -> np.ndarray:
    """(1 + b, k) float64: how often each track counts; row 0 is the data, the others a bootstrap.

    Fewer than `LEAST_TRACKS` tracks are not resampled.
    """
    ones = np.ones((1, n_tracks))
    if n_tracks < LEAST_TRACKS:
        return ones
    chances = np.full(n_tracks, 1 / n_tracks)
    drawn = np.random.default_rng(seed).multinomial(n_tracks, chances, size=n_samples)
    return np.concatenate([ones, drawn])


def interval(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile interval of each column of (1 + b, …) `samples`, whose row 0 is the estimate.

    Null without an estimate or samples, or where more than a twentieth of these have no value.
    """
    drawn = samples[1:]
    known = np.isfinite(drawn)
    enough = (known.sum(axis=0) >= 0.95 * len(drawn)) & (len(drawn) > 0) & np.isfinite(samples[0])
    if not enough.any():
        none = np.full(samples.shape[1:], np.nan)
        return none, none
    low, high = np.nanpercentile(np.where(enough, drawn, 0.0), (2.5, 97.5), axis=0)
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)


def with_interval(name: str, unit: str, samples: np.ndarray) -> dict[str, float]:
    """The estimate of (1 + b,) `samples` and its interval, as columns."""
    low, high = interval(samples)
    found = {"": samples[0], "_low": low, "_high": high}
    return {f"{name}{which}{unit}": float(value) for which, value in found.items()}


@dataclass(frozen=True)
class PowerLaw:
    """``MSD = c t^exponent``, and the diffusion coefficient of ``MSD = 2 D t`` per axis.

    All (b,): estimates, and the standard errors of `exponent` and of the log of `diffusion` if the
    motion is Brownian; `at_one` is c, the fitted value at t = 1.
    """

    exponent: np.ndarray
    exponent_se: np.ndarray
    diffusion: np.ndarray
    diffusion_log_se: np.ndarray
    at_one: np.ndarray
    n_lags: np.ndarray


def power_law(
    msd: np.ndarray, time: np.ndarray, weight: np.ndarray, pairs: np.ndarray, dimensions: int
) -> PowerLaw:
    """Fit each curve by weighted least squares of log MSD on log lag time.

    The diffusion coefficient is the weighted mean of ``MSD / (2 d t)``: unbiased for Brownian
    motion, where it does not depend on the lag. Errors allow for overlapping displacements, so that
    lags are not independent: for Brownian motion in d dimensions with K pairs at the smaller lag
    n <= m, relative covariance of MSD is ``2 / (d K n m) [n² (m - n + 1) + n (n - 1) (2 n - 1) / 3]``
    (squared overlap of two windows summed over their offsets; Qian et al. 1991, Michalet 2010,
    Phys. Rev. E 82:041914).

    `msd`, `weight`, `pairs`: (b, L) for lags 1 to L; lags with weight 0 or MSD 0 are left out.
    `time`: (L,) or (b, L) lag times.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(msd)
        x = np.broadcast_to(np.log(time), msd.shape)
    use = (weight > 0) & np.isfinite(y) & np.isfinite(x)
    w, x, y = (np.where(use, each, 0.0) for each in (weight, x, y))
    n_lags = use.sum(axis=1)
    total = w.sum(axis=1)
    x_mean, y_mean = divide((w * x).sum(axis=1), total), divide((w * y).sum(axis=1), total)
    off = np.where(use, x - np.nan_to_num(x_mean)[:, None], 0.0)
    spread = (w * off**2).sum(axis=1)
    slope = np.where(n_lags >= 2, divide((w * off * y).sum(axis=1), spread), np.nan)
    linear = np.divide(msd, 2 * dimensions * np.broadcast_to(time, msd.shape), where=use,
                       out=np.zeros(msd.shape))  # fmt: skip
    slope_weight = w * off * np.nan_to_num(divide(1, spread))[:, None]
    mean_weight = w * np.nan_to_num(divide(1, total))[:, None]
    return PowerLaw(
        slope,
        np.where(n_lags >= 2, _brownian_se(slope_weight, pairs, dimensions), np.nan),
        np.where(n_lags >= 1, divide((w * linear).sum(axis=1), total), np.nan),
        np.where(n_lags >= 1, _brownian_se(mean_weight, pairs, dimensions), np.nan),
        np.exp(y_mean - slope * x_mean),
        n_lags,
    )


@cache
def _overlaps(n_lags: int) -> np.ndarray:
    """(L, L) upper triangle: relative covariance of MSD at lags n <= m, times d K / 2."""
    n, m = np.meshgrid(*(np.arange(1.0, n_lags + 1),) * 2, indexing="ij")
    found = (n**2 * (m - n + 1) + n * (n - 1) * (2 * n - 1) / 3) / (n * m)
    return np.triu(found)


def _brownian_se(a: np.ndarray, pairs: np.ndarray, dimensions: int) -> np.ndarray:
    """(b,) standard error of ``sum(a * log MSD)``, for Brownian motion."""
    overlap = _overlaps(a.shape[1])
    # the pair (n, m) has the pairs of the smaller lag n below it
    scaled = np.divide(a, pairs, out=np.zeros(a.shape), where=pairs > 0)
    whole = 2 * np.einsum("bn,nm,bm->b", scaled, overlap, a, optimize=True)
    whole -= (scaled * a * np.diag(overlap)).sum(axis=1)
    return np.sqrt(np.maximum(2 / dimensions * whole, 0))


@dataclass(frozen=True)
class Profile:
    """Best fit of ``a f(t; P) + b`` over a grid of P; (b,) each, null where P is not resolved."""

    persistence: np.ndarray
    scale: np.ndarray
    offset: np.ndarray


def furth(msd: np.ndarray, time: np.ndarray, weight: np.ndarray, dimensions: int) -> Profile:
    """Fit ``MSD = 2 S² P (t - P (1 - exp(-t / P))) + 2 d sigma²``, the persistent random walk.

    Fürth 1920, Z. Phys. 2:244; S is the root mean square speed, P the persistence time, sigma the
    error of a position along one axis. Least squares of relative errors.

    Returns
    -------
    Profile
        `scale` is S, `offset` sigma.
    """
    fit = _profile(
        msd,
        time,
        divide(weight, msd**2),
        lambda t, p: 2 * p * (t + p * np.expm1(-t / p)),
        with_offset=True,
    )
    return Profile(fit.persistence, np.sqrt(fit.scale), np.sqrt(fit.offset / (2 * dimensions)))


def exponential(correlation: np.ndarray, time: np.ndarray, weight: np.ndarray) -> Profile:
    """Fit ``C = a exp(-t / P)`` by weighted least squares."""
    return _profile(correlation, time, weight, lambda t, p: np.exp(-t / p), with_offset=False)


def _profile(
    y: np.ndarray,
    time: np.ndarray,
    weight: np.ndarray,
    shape: Callable[[np.ndarray, np.ndarray], np.ndarray],
    with_offset: bool,
) -> Profile:
    """For each P of a grid the best a >= 0 and b >= 0 in closed form; then the best P.

    A grid finds the global optimum of all curves at once. P is null where the best lies at an end of
    the grid (a fifth of the smallest to five times the largest lag): the lags do not resolve it.
    """
    use = np.isfinite(y) & np.isfinite(weight) & (weight > 0) & np.isfinite(time)
    w, y = np.where(use, weight, 0.0), np.where(use, y, 0.0)
    known = time[np.isfinite(time) & (time > 0)]
    if not len(known):
        none = np.full(len(y), np.nan)
        return Profile(none, none, none)
    grid = np.geomspace(known.min() / 5, known.max() * 5, GRID)
    f = shape(np.where(np.isfinite(time), time, 1.0)[:, None], grid)  # (L, GRID)
    sff, sf, sfy = w @ f**2, w @ f, (w * y) @ f
    s1, sy, syy = (each.sum(axis=1)[:, None] for each in (w, w * y, w * y**2))
    a, b = divide(sfy, sff), np.zeros(sff.shape)
    if with_offset:
        det = sff * s1 - sf**2
        a2, b2 = divide(s1 * sfy - sf * sy, det), divide(sff * sy - sf * sfy, det)
        free = (b2 > 0) & (a2 > 0)
        a, b = np.where(free, a2, a), np.where(free, b2, b)
    a = np.maximum(np.nan_to_num(a), 0)
    cost = syy + a**2 * sff + b**2 * s1 - 2 * a * sfy - 2 * b * sy + 2 * a * b * sf
    best = cost.argmin(axis=1)
    rows = np.arange(len(y))
    enough = use.sum(axis=1) >= 3 + with_offset
    resolved = enough & (best > 0) & (best < GRID - 1) & (a[rows, best] > 0)
    inner = np.clip(best, 1, GRID - 2)
    left, here, right = (cost[rows, inner + shift] for shift in (-1, 0, 1))
    vertex = 0.5 * np.nan_to_num(divide(left - right, left - 2 * here + right))
    step = np.log(grid[1] / grid[0])
    persistence = grid[inner] * np.exp(step * np.clip(vertex, -0.5, 0.5))
    return Profile(
        *(np.where(resolved, v, np.nan) for v in (persistence, a[rows, best], b[rows, best]))
    )
