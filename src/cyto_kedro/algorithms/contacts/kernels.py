"""Gaussian kernels in two dimensions: density over boxes, at points, and the bandwidth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy

_CANDIDATES = 8
_LEAST_CELLS = 500  # with fewer, the likeliest bandwidth is off by more than about a tenth
_BAND = 512  # cells computed at once
_REACH = 6.0  # kernels end here, standard deviations: 1.5e-8 of their height


def inside(xy: np.ndarray, h: float, shape: tuple[int, int]) -> np.ndarray:
    """Share of the mass of each kernel that lies in the image, (n,), in (0.24, 1].

    `xy`: (n, 2) x and y in pixels, within the image (from -0.5 to its size less 0.5). `h`: standard
    deviation of the kernel, px. `shape`: rows and columns of the image.
    """
    low, high = (
        scipy.special.ndtr((-0.5 - xy) / h),
        scipy.special.ndtr((np.array(shape[::-1]) - 0.5 - xy) / h),
    )
    return (high - low).prod(axis=1)


def _bands(y: np.ndarray, h: float) -> Iterator[tuple[slice, float, float]]:
    """Slices of the sorted `y`, and how far the kernels of each reach."""
    for at in range(0, len(y), _BAND):
        band = y[at : at + _BAND]
        yield slice(at, at + len(band)), band[0] - _REACH * h, band[-1] + _REACH * h


def density_map(
    xy: np.ndarray, h: float, shape: tuple[int, int], boxes: tuple[int, int]
) -> np.ndarray:
    """Mean density over each of ``boxes`` (rows, columns) of the image, cells per px², float32.

    Zeros without cells; null where there are cells and `h` is null. The sum times the area of a box
    is the number of cells. Parameters are those of `inside`.
    """
    if not len(xy) or np.isnan(h):
        return np.full(boxes, np.nan if len(xy) else 0.0, np.float32)
    xy = xy[np.argsort(xy[:, 1], kind="stable")]
    edges_y, edges_x = (
        np.linspace(-0.5, side - 0.5, n + 1) for side, n in zip(shape, boxes, strict=True)
    )
    total = np.zeros(boxes)
    for band, low, high in _bands(xy[:, 1], h):
        x, y = xy[band].T
        first = max(0, int(np.searchsorted(edges_y, low, side="right")) - 1)
        stop = min(boxes[0], int(np.searchsorted(edges_y, high)))
        mass_y = np.diff(scipy.special.ndtr((edges_y[first : stop + 1, None] - y) / h), axis=0)
        mass_x = np.diff(scipy.special.ndtr((edges_x[:, None] - x) / h), axis=0) / inside(
            xy[band], h, shape
        )
        total[first:stop] += mass_y @ mass_x.T
    area = shape[0] / boxes[0] * (shape[1] / boxes[1])
    return (total / area).astype(np.float32)


def density_at(
    points: np.ndarray, xy: np.ndarray, h: float, weight: np.ndarray, *, same: bool
) -> tuple[np.ndarray, np.ndarray]:
    """``sum_j weight_j exp(-|p - xy_j|² / 2h²) / (2 pi h²)`` at each of `points`, cells per px²; its
    gradient along x and y, (m, 2), cells per px³.

    `points`, `xy`: (m, 2) and (n, 2), px. `weight`: (n,), one over `inside`. `same`: `points` are
    `xy`: a point does not count itself.
    """
    total, gradient = np.zeros(len(points)), np.zeros((len(points), 2))
    middle = xy.mean(axis=0) if len(xy) else np.zeros(2)
    order, sources = (np.argsort(each[:, 1], kind="stable") for each in (points, xy))
    level = xy[sources, 1]
    for band, low, high in _bands(points[order, 1], h):
        near = sources[np.searchsorted(level, low) : np.searchsorted(level, high, side="right")]
        exponent = scipy.spatial.distance.cdist(
            points[order[band]], xy[near], "sqeuclidean"
        ).astype(np.float32)
        exponent *= np.float32(-0.5 / h**2)
        kernel, at = np.exp(exponent, out=exponent), order[band]
        total[at] = kernel @ weight[near]
        pull = kernel @ (weight[near, None] * (xy[near] - middle))
        gradient[at] = pull - total[at, None] * (points[at] - middle)
    if same:  # a cell has no pull on itself
        total -= weight
    mass = 2 * np.pi * h**2
    return np.maximum(total, 0) / mass, gradient / (mass * h**2)


def scott_bandwidth(xy: np.ndarray) -> float:
    """``s n^(-1/6)``, `s` the root mean variance of x and y; null for one place or fewer."""
    if len(xy) < 2:
        return np.nan
    s = float(np.sqrt(xy.var(axis=0, ddof=1).mean()))
    return s * len(xy) ** (-1 / 6) if s > 0 else np.nan


def likelihood_bandwidth(
    frames: Sequence[np.ndarray], limits: tuple[float, float], max_pairs: int
) -> tuple[float, bool]:
    """The bandwidth of largest leave-one-out likelihood, summed over frames.

    Parameters
    ----------
    frames
        (n_t, 2) positions in each frame, px; cells of different frames are not compared.
    limits
        Narrowest and widest bandwidth, px.
    max_pairs
        Above so many pairs, the likelihood is summed over every k-th cell (500 at least), each still
        against all others of its frame.

    Returns
    -------
    tuple
        The bandwidth (null where no frame holds two cells), and whether it is at a limit.
    """
    frames = [xy for xy in frames if len(xy) > 1]
    if not frames:
        return np.nan, False
    stride = -(-sum(len(xy) ** 2 for xy in frames) // max_pairs)
    stride = max(1, min(stride, sum(map(len, frames)) // _LEAST_CELLS))
    pairs, nearest, lengths, offset = [], [], [], 0
    for xy in frames:
        rows = np.arange(-offset % stride, len(xy), stride)
        offset += len(xy)
        squared = scipy.spatial.distance.cdist(xy[rows], xy, "sqeuclidean")
        squared[np.arange(len(rows)), rows] = np.inf
        least = squared.min(axis=1)
        # relative to the nearest neighbour: the sum of a lone cell does not underflow
        pairs.append((squared - least[:, None]).astype(np.float32).ravel())
        nearest.append(least)
        lengths.append(np.full(len(rows), len(xy)))
    squared, least, n = (np.concatenate(each) for each in (pairs, nearest, lengths))
    starts = np.cumsum(n) - n
    work = np.empty_like(squared)

    def loss(log_h: float) -> float:
        scale = 0.5 * np.exp(-2 * log_h)
        np.multiply(squared, np.float32(-scale), out=work)
        kernel = np.add.reduceat(np.exp(work, out=work), starts)
        return float(2 * log_h * len(n) + (scale * least - np.log(kernel)).sum())

    tried = np.linspace(np.log(limits[0]), np.log(limits[1]), _CANDIDATES)
    best = int(np.argmin([loss(each) for each in tried]))
    around = tried[max(best - 1, 0)], tried[min(best + 1, _CANDIDATES - 1)]
    found = scipy.optimize.minimize_scalar(
        loss, bounds=around, method="bounded", options={"xatol": 1e-3}
    ).x
    at_limit = min(found - tried[0], tried[-1] - found) < 5e-3
    return float(np.exp(found)), at_limit
