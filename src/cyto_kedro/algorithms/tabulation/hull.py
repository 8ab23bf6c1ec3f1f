"""Convex hulls of all cells of a frame at once.

The hull of a mask is a left and a right chain over its rows. A chain is pruned for all cells
together: a point on or behind the line between its two neighbours is no vertex, and dropping all
such points at once, again and again, leaves exactly the vertices. Integer arithmetic throughout.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cyto_kedro.algorithms.tabulation.masks import Masks, by_cell, ranges, spans


class Hulls(NamedTuple):
    """Measures of the convex hull of every cell, (n_cells,) float64; see `hull_measures`."""

    area_px: np.ndarray
    feret_px: np.ndarray
    feret_min_px: np.ndarray
    perimeter_px: np.ndarray


class _Chains(NamedTuple):
    """Points sorted by (chain, t): chain c is the left side of cell c, chain n + c its right side;
    t is the row; v is the column x on the left, -x on the right, so both are lower envelopes."""

    chain: np.ndarray
    t: np.ndarray
    v: np.ndarray


class _Rings(NamedTuple):
    """Vertices of closed convex polygons, in order around each, grouped by cell."""

    cell: np.ndarray
    y: np.ndarray
    x: np.ndarray
    next: np.ndarray  # index of the vertex after it
    previous: np.ndarray


def hull_measures(masks: Masks) -> Hulls:
    """Area, perimeter and Feret diameters of the convex hull of every cell.

    Definitions of `skimage.measure.regionprops`: a pixel stands for the middles of its four
    edges; the hull image holds every pixel whose centre lies in, or on the edge of, their convex
    hull; the largest Feret diameter is the largest distance between points of the outline of that
    image, again taken at the middles of pixel edges. The smallest Feret diameter (the least distance
    of two parallel lines that hold the cell between them) and the perimeter are of the hull itself.

    Antipodal vertices are found by the angles of the edges (rotating calipers, Toussaint 1983).
    """
    n = len(masks.labels)
    if n == 0:
        return Hulls(*np.zeros((4, 0)))
    hull, owner, rows = _hull(masks)
    # The rows whose centre is between a vertex and the next; the last vertex of a chain has none.
    count = np.diff(hull.t // 2, append=0)
    count[spans(hull.chain)[1]] = 0
    dt, dv = (np.diff(each, append=0).astype(np.float64) for each in (hull.t, hull.v))
    base, dv, dt = (np.repeat(each, count) for each in (hull.v * dt - dv * hull.t, dv, 2 * dt))
    # Half of the chain's value at the row's centre, rounded up: exactly, since a quotient of whole
    # numbers that is not whole is farther from one than it is rounded.
    n_rows, inner = len(rows), np.ceil((base + dv * (2 * np.tile(rows, 2) + 1)) / dt)
    inner = inner.astype(rows.dtype)
    left, right = inner[:n_rows], -inner[n_rows:]
    full = right >= left
    area = np.bincount(owner, right - left + 1, n)

    image = _rings(_sides(owner[full], rows[full], left[full], right[full], n), n)
    outline = _rings(hull, n)
    edge_y, edge_x = _edges(outline)
    length = np.hypot(edge_y, edge_x)
    return Hulls(
        area_px=area,
        feret_px=_largest(image, _antipodes(*_edges(image), image)),
        feret_min_px=_smallest(outline, edge_y, edge_x, length) / 2,
        perimeter_px=np.bincount(outline.cell, length, n) / 2,
    )


def hull_vertices(masks: Masks) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Corners of the convex hull of every cell: cell, y, x, and the place of the corner after it.

    Grouped by cell, in order around it with the outside to the right of the way (y down: down the
    left side, up the right), in pixels; a pixel stands for the middles of its four edges.
    """
    if not len(masks.labels):
        return (np.zeros(0, np.int64), *np.zeros((2, 0)), np.zeros(0, np.int64))
    rings = _rings(_hull(masks)[0], len(masks.labels))
    return rings.cell, (rings.y - 1) / 2, rings.x / 2, rings.next


def corner_hull_area(masks: Masks) -> np.ndarray:
    """Area of the convex hull of the pixels as squares, (n_cells,) float64."""
    n = len(masks.labels)
    cell, row, left, right = _row_ends(masks)
    side = np.concatenate([cell, cell + n])
    corners = _lowest(
        np.concatenate([side, side]),
        np.concatenate([row, row, row + 1, row + 1]),
        np.tile(np.concatenate([left, -right - 1]), 2),
    )
    same = np.diff(corners.chain) == 0
    strip = np.diff(corners.t) * (corners.v[1:] + corners.v[:-1])
    return -np.bincount(corners.chain[:-1][same] % n, strip[same], n) / 2


def _row_ends(masks: Masks) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cell, row, first and last column of every row of every cell."""
    # Runs of a row lie in order of x: the first has the left end, the last the right end.
    first, last = spans(masks.run_cell * masks.shape[0] + masks.run_y)
    return masks.run_cell[first], masks.run_y[first], masks.run_x0[first], masks.run_x1[last]


def _hull(masks: Masks) -> tuple[_Chains, np.ndarray, np.ndarray]:
    """Hull of the middles of pixel edges in doubled coordinates, rows moved by one half; and
    (cell, row) of every row from the first to the last of each cell."""
    n = len(masks.labels)
    height, width = masks.shape
    cell, row, x0, x1 = _row_ends(masks)
    # Twice the product of two lengths in doubled coordinates must fit.
    kind = np.int32 if 2 * (2 * height + 2) * (4 * width + 4) < 2**31 else np.int64
    chain, t, v = _sides(cell, row.astype(kind), x0.astype(kind), x1.astype(kind), n)
    # Doubled coordinates make the middles of pixel edges integers: (t, v) becomes (2t + 1, 2v) and
    # its neighbours above and below at 2v, and 2v - 1 at its own height.
    ts = (2 * t[:, None] + np.array([0, 1, 2], kind)).ravel()
    vs = (2 * v[:, None] + np.array([0, -1, 0], kind)).ravel()
    points = _lowest(np.repeat(chain, 3), ts, vs)

    first, last = spans(cell)
    top, bottom = row[first], row[last]
    rows, owner = ranges(top, bottom - top + 1)
    return points, owner, rows.astype(kind)


def _lowest(chain: np.ndarray, t: np.ndarray, v: np.ndarray) -> _Chains:
    """Vertices among points in any order, of which several may lie in one row of a chain."""
    # Chain, t and v share the bits of one number, so that a plain sort does.
    shift = int(np.abs(v).max(initial=0))
    v_bits, t_bits = (2 * shift).bit_length(), int(t.max(initial=0)).bit_length()
    code = (chain.astype(np.int64) << t_bits) | t
    code = (code << v_bits) | (v + shift)
    code.sort()
    code = code[spans(code >> v_bits)[0]]
    v = (code & ((1 << v_bits) - 1)) - shift
    code >>= v_bits
    return _prune(code >> t_bits, (code & ((1 << t_bits) - 1)).astype(t.dtype), v.astype(t.dtype))


def _sides(
    cell: np.ndarray, row: np.ndarray, left: np.ndarray, right: np.ndarray, n: int
) -> _Chains:
    """Hull vertices of rows from `left` to `right`, sorted by (cell, row)."""
    return _prune(np.concatenate([cell, cell + n]), np.tile(row, 2), np.concatenate([left, -right]))


def _prune(chain: np.ndarray, t: np.ndarray, v: np.ndarray) -> _Chains:
    """Vertices of the lower envelope of every chain; points sorted by (chain, t)."""
    while len(t) > 2:
        dt, dv = np.diff(t), np.diff(v)
        # Left of the turn: dt[i] * (dv[i] + dv[i + 1]) > dv[i] * (dt[i] + dt[i + 1]).
        keep = np.ones(len(t), bool)
        np.greater(dt[:-1] * dv[1:], dv[:-1] * dt[1:], out=keep[1:-1])
        keep[1:-1] |= chain[2:] != chain[:-2]
        if keep.all():
            break
        at = np.flatnonzero(keep)
        chain, t, v = chain[at], t[at], v[at]
    return _Chains(chain, t, v)


def _rings(chains: _Chains, n: int) -> _Rings:
    """The two chains of every cell joined to one ring: down the left side, up the right."""
    split = int(np.searchsorted(chains.chain, n))
    cell = np.concatenate([chains.chain[:split], chains.chain[split:][::-1] - n])
    y = np.concatenate([chains.t[:split], chains.t[split:][::-1]])
    x = np.concatenate([chains.v[:split], -chains.v[split:][::-1]])
    order = by_cell(cell, n)
    cell, y, x = cell[order], y[order], x[order]
    # The top (and the bottom) of both sides may be one point; the first vertex of a cell is always
    # left, and is the same as its last where the top is a point.
    start, end = spans(cell)
    keep = np.ones(len(cell), bool)
    keep[1:] = (y[1:] != y[:-1]) | (x[1:] != x[:-1]) | (cell[1:] != cell[:-1])
    keep[end] &= (y[end] != y[start]) | (x[end] != x[start])
    keep[start] = True
    cell, y, x = cell[keep], y[keep], x[keep]
    start, end = spans(cell)
    after, before = np.arange(1, len(cell) + 1), np.arange(-1, len(cell) - 1)
    after[end], before[start] = start, end
    return _Rings(cell, y, x, after, before)


def _edges(rings: _Rings) -> tuple[np.ndarray, np.ndarray]:
    """Edge from every vertex to the next, (dy, dx)."""
    return rings.y[rings.next] - rings.y, rings.x[rings.next] - rings.x


def _antipodes(dy: np.ndarray, dx: np.ndarray, rings: _Rings) -> np.ndarray:
    """For every edge (dy, dx) the vertex farthest from its line (either one where two are)."""
    # Down the left side and up the right, with y down, the angles of the edges fall from pi to -pi
    # (the edge that closes the ring along the top), so one key sorts the edges of all cells. The
    # farthest vertex is where the ring turns through the opposite direction.
    angle = np.arctan2(dy, dx)
    angle[angle == np.pi] = -np.pi
    turn = rings.cell * 8.0
    at = np.searchsorted(turn - angle, turn - np.where(angle > 0, angle - np.pi, angle + np.pi))
    first, last = spans(rings.cell)
    return np.where(at > last[rings.cell], first[rings.cell], at)


def _largest(rings: _Rings, far: np.ndarray) -> np.ndarray:
    """Largest distance between edge middles of two vertex pixels of a cell.

    Over all choices of edges of two pixels (dy, dx) apart, the largest squared distance is
    dy² + dx² + 2 max(|dy|, |dx|) + 1. The middles of the edges are vertices of the sum of the
    polygon and one small square, whose antipodal vertices belong to antipodal pixels.
    """
    y, x = rings.y.astype(np.int64), rings.x.astype(np.int64)
    square = np.zeros(len(y), np.int64)
    # Each antipodal pair is met from one of its ends; of parallel edges both ends are looked at.
    for other in (far, rings.next[far], rings.previous[far]):
        dy, dx = np.abs(y - y[other]), np.abs(x - x[other])
        np.maximum(square, dy * dy + dx * dx + 2 * np.maximum(dy, dx) + 1, out=square)
    return np.sqrt(np.maximum.reduceat(square, spans(rings.cell)[0]))


def _smallest(rings: _Rings, dy: np.ndarray, dx: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Least distance between two parallel lines that hold the polygon: one lies along an edge."""
    far = _antipodes(dy, dx, rings)
    y, x = rings.y.astype(np.int64), rings.x.astype(np.int64)
    width = (dx * (y[far] - y) - dy * (x[far] - x)) / length
    return np.minimum.reduceat(np.abs(width), spans(rings.cell)[0])
