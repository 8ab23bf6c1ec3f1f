"""Convex hulls of all cells of a frame at once.

The hull of a mask is a left and a right chain over its rows. A chain is pruned for all cells
together: a point on or behind the line between its two neighbours is no vertex, and dropping all
such points at once, again and again, leaves exactly the vertices. Integer arithmetic throughout.
"""

from __future__ import annotations

import numpy as np

from cyto_kedro.algorithms.tabulation.masks import Masks, by_cell, ranges


def hull_measures(masks: Masks) -> tuple[np.ndarray, np.ndarray]:
    """Area of the convex hull image and largest Feret diameter of every cell.

    Definitions of `skimage.measure.regionprops`: a pixel stands for the middles of its four
    edges; the hull image holds every pixel whose centre lies in, or on the edge of, their convex
    hull; the Feret diameter is the largest distance between points of the outline of that image,
    again taken at the middles of pixel edges.

    Returns
    -------
    area_px, feret_px : (n_cells,) float64
    """
    n = len(masks.labels)
    if n == 0:
        return np.zeros(0), np.zeros(0)
    height, width = masks.shape
    # Runs of a row lie in order of x: the first has the left end, the last the right end.
    key = masks.run_cell * height + masks.run_y
    first = np.flatnonzero(np.diff(key, prepend=-1))
    last = np.append(first[1:], len(key)) - 1
    cell, row = masks.run_cell[first], masks.run_y[first]
    chain, t, v = _vertices(cell, row, masks.run_x0[first], masks.run_x1[last], n)

    # Doubled coordinates make the middles of pixel edges integers.
    t_span, v_span = 2 * height + 2, 4 * width + 4
    ts = np.concatenate([2 * t - 1, 2 * t, 2 * t + 1]) + 1
    vs = np.concatenate([2 * v, 2 * v - 1, 2 * v]) + 2 * width + 1
    code = np.sort((np.tile(chain, 3) * t_span + ts) * v_span + vs)
    place, vs = np.divmod(code, v_span)
    keep = np.diff(place, prepend=-1) != 0
    chain, ts = np.divmod(place[keep], t_span)
    chain, ts, vs = _prune(chain, ts, vs[keep] - 2 * width - 1)

    top = row[np.flatnonzero(np.diff(cell, prepend=-1))]
    bottom = row[np.append(np.flatnonzero(np.diff(cell)), len(cell) - 1)]
    rows, owner = ranges(top, bottom - top + 1)
    left = _ceil_half(chain, ts, vs, owner, 2 * rows + 1, t_span)
    right = -_ceil_half(chain, ts, vs, owner + n, 2 * rows + 1, t_span)
    area = np.bincount(owner, right - left + 1, n)

    full = right >= left
    return area, _feret(*_vertices(owner[full], rows[full], left[full], right[full], n), n)


def _vertices(
    cell: np.ndarray, row: np.ndarray, left: np.ndarray, right: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hull vertices as (chain, row, value): chain c is the left side of cell c, value x; chain
    n + c its right side, value -x, so that both are lower envelopes."""
    return _prune(np.concatenate([cell, cell + n]), np.tile(row, 2), np.concatenate([left, -right]))


def _prune(
    chain: np.ndarray, t: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices of the lower envelope of every chain; points sorted by (chain, t)."""
    while len(t) > 2:
        before, after = t[1:-1] - t[:-2], t[2:] - t[:-2]
        below = before * (v[2:] - v[:-2]) > (v[1:-1] - v[:-2]) * after
        keep = np.ones(len(t), bool)
        keep[1:-1] = below | (chain[2:] != chain[:-2])
        if keep.all():
            break
        chain, t, v = chain[keep], t[keep], v[keep]
    return chain, t, v


def _ceil_half(
    chain: np.ndarray,
    t: np.ndarray,
    v: np.ndarray,
    query_chain: np.ndarray,
    query_t: np.ndarray,
    t_span: int,
) -> np.ndarray:
    """Half of the envelope's value at (chain, t), rounded up, exactly."""
    at = np.searchsorted(chain * t_span + t, query_chain * t_span + query_t, side="right") - 1
    dt = t[at + 1] - t[at]
    numerator = v[at] * dt + (v[at + 1] - v[at]) * (query_t - t[at])
    return -(-numerator // (2 * dt))


def _feret(chain: np.ndarray, t: np.ndarray, v: np.ndarray, n: int) -> np.ndarray:
    """Largest distance between edge middles of two vertex pixels of a cell.

    Over all choices of edges of two pixels (dy, dx) apart, the largest squared distance is
    dy² + dx² + 2 max(|dy|, |dx|) + 1.
    """
    cell = chain % n
    order = by_cell(cell, n)
    cell, y, x = cell[order], t[order], np.where(chain < n, v, -v)[order]
    # Every cell has a vertex on each side, so at least one pair (of one pixel with itself, maybe).
    end = np.cumsum(np.bincount(cell, minlength=n))
    later = np.arange(1, len(cell) + 1)
    other, one = ranges(later, end[cell] - later)
    dy, dx = np.abs(y[one] - y[other]), np.abs(x[one] - x[other])
    square = dy * dy + dx * dx + 2 * np.maximum(dy, dx) + 1
    first_pair = np.flatnonzero(np.diff(cell[one], prepend=-1))
    return np.sqrt(np.maximum.reduceat(square, first_pair))
