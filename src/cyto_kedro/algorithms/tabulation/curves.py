"""Touches of cells whose outlines were drawn: exact distances of polygons, and from them to masks.

Outlines are cut into short straight pieces; the outline pixels of a mask, moved to its edge, are
pieces of no length. Of each pair of cells with near boxes, the pieces within reach of the other's box
are compared all with all. So the work grows with outlines and close pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cyto_kedro.algorithms.tabulation.drawn import Drawn
from cyto_kedro.algorithms.tabulation.masks import by_cell, ranges
from cyto_kedro.algorithms.tabulation.proximity import Outlines, chunks, near_boxes, overlaps

# Longest piece, in pixels: lengths of contact are right to about this.
_PIECE = 0.5
_SLACK = 1e-9


@dataclass(frozen=True)
class Curves:
    """Pieces of the outlines of all cells of a frame, grouped by cell."""

    lines: Outlines
    drawn: np.ndarray  # (n_cells,) bool: of corners; else of a mask
    start: np.ndarray  # first piece of the cell
    count: np.ndarray
    box: np.ndarray  # (4, n_cells): least and greatest y, least and greatest x
    length: np.ndarray  # (n_cells,) length of the outline
    y0: np.ndarray  # per piece: its ends
    x0: np.ndarray
    y1: np.ndarray
    x1: np.ndarray
    weight: np.ndarray  # length that it stands for


def curves_of(lines: Outlines, drawn: Drawn) -> Curves:
    """The outlines of a frame: corners where they were `drawn`, else `lines`, moved to the edge."""
    n = len(lines.label)
    is_drawn = np.zeros(n, bool)
    is_drawn[drawn.cell] = True
    dy, dx = drawn.y[drawn.after] - drawn.y, drawn.x[drawn.after] - drawn.x
    length = np.hypot(dy, dx)
    parts = np.maximum(np.ceil(length / _PIECE), 1).astype(np.int64)
    step, edge = ranges(np.zeros(len(parts), np.int64), parts)
    share = step / parts[edge]
    # a piece ends exactly where the next one starts: the outline has no gaps
    last = step == parts[edge] - 1
    ends = []
    for at, along in ((drawn.y, dy), (drawn.x, dx)):
        start = at[edge] + share * along[edge]
        end = np.append(start[1:], 0.0)
        end[last] = at[drawn.after[edge[last]]]
        ends += [start, end]
    y0, y1, x0, x1 = ends
    point, owner = ranges(lines.start[~is_drawn], lines.count[~is_drawn])
    cell = np.concatenate([drawn.cell[edge], np.flatnonzero(~is_drawn)[owner]])
    order = by_cell(cell, n)
    y, x = lines.y[point].astype(float), lines.x[point].astype(float)
    y0, x0, y1, x1, weight = (
        np.concatenate(each)[order]
        for each in ((y0, y), (x0, x), (y1, y), (x1, x), ((length / parts)[edge], np.ones(len(y))))
    )
    count = np.bincount(cell, minlength=n)
    first = np.cumsum(count) - count
    low, high = np.minimum.reduceat, np.maximum.reduceat
    box = np.stack([low(y0, first), high(y0, first), low(x0, first), high(x0, first)])
    total = np.bincount(cell[order], weight, n)
    return Curves(lines, is_drawn, first, count, box, total, y0, x0, y1, x1, weight)


def curve_touches(curves: Curves, reach: float) -> dict[str, np.ndarray]:
    """Touches in one frame of pairs of which a cell was drawn; the columns of `frame_touches`.

    `near_a` and `near_b` are lengths here, in pixels. The distance of two drawn outlines is exact, 0
    where they cross or one lies in the other; that to a mask is to its outline pixels.
    """
    reach += _SLACK
    first, second = near_boxes(curves.box, reach)
    some = curves.drawn[first] | curves.drawn[second]
    first, second = first[some], second[some]
    n = len(first)
    square, near_a, near_b = np.full(n, np.inf), np.zeros(n), np.zeros(n)
    for cut in chunks(curves.count[first] + curves.count[second]):
        a, b = first[cut], second[cut]
        sides = [_Side(curves, own, other, reach) for own, other in ((a, b), (b, a))]
        nearest = _compare(curves, sides[0], sides[1], len(a), reach * reach)
        for side, near in zip(sides, (near_a, near_b), strict=True):
            weight = curves.weight[side.piece] * side.hit
            near[cut] = np.bincount(side.pair, weight, len(a))
            nearest[side.pair[side.within]] = 0.0
        square[cut] = nearest
    overlap = overlaps(curves.lines, first, second)
    square[overlap > 0] = 0.0
    kept = np.flatnonzero(square <= reach * reach)
    return {
        "a": first[kept],
        "b": second[kept],
        "distance_px": np.sqrt(square[kept]),
        "near_a": near_a[kept],
        "near_b": near_b[kept],
        "overlap_px": overlap[kept].astype(np.float64),
        "length_a": curves.length[first[kept]],
        "length_b": curves.length[second[kept]],
    }


class _Side:
    """Pieces of the cells `own` within reach of the box of `other`, sorted by pair.

    ``within``: the middle of the piece lies in the other, drawn cell. ``hit``: it counts as contact.
    """

    def __init__(self, curves: Curves, own: np.ndarray, other: np.ndarray, reach: float) -> None:
        piece, pair = ranges(curves.start[own], curves.count[own])
        top, bottom, left, right = curves.box[:, other]
        y = np.stack([curves.y0[piece], curves.y1[piece]])
        x = np.stack([curves.x0[piece], curves.x1[piece]])
        near = (y.max(0) >= top[pair] - reach) & (y.min(0) <= bottom[pair] + reach)
        near &= (x.max(0) >= left[pair] - reach) & (x.min(0) <= right[pair] + reach)
        self.piece, self.pair = piece[near], pair[near]
        self.y, self.x = y[:, near].mean(0), x[:, near].mean(0)
        self.within = np.zeros(len(self.piece), bool)
        whole = curves.drawn[other][self.pair]
        inside = (self.y >= top[self.pair]) & (self.y <= bottom[self.pair]) & whole
        inside &= (self.x >= left[self.pair]) & (self.x <= right[self.pair])
        at = np.flatnonzero(inside)
        self.within[at] = _inside(curves, other[self.pair[at]], self.y[at], self.x[at])
        self.hit = self.within.copy()
        self._in_masks(curves, other, np.flatnonzero(~whole))

    def _in_masks(self, curves: Curves, other: np.ndarray, at: np.ndarray) -> None:
        height, width = curves.lines.shape
        y, x = np.rint(self.y[at]).astype(int), np.rint(self.x[at]).astype(int)
        seen = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        at, pixel = at[seen], y[seen] * width + x[seen]
        self.hit[at] = curves.lines.in_mask(other[self.pair[at]], pixel)


def _inside(curves: Curves, cell: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Whether points lie in the drawn outline of their `cell`: an odd number of edges to their right."""
    found = np.zeros(len(cell), bool)
    for cut in chunks(curves.count[cell]):
        piece, point = ranges(curves.start[cell[cut]], curves.count[cell[cut]])
        above, below = curves.y0[piece], curves.y1[piece]
        level = y[cut][point]
        passed = np.flatnonzero((above > level) != (below > level))
        piece, point, level = piece[passed], point[passed], level[passed]
        share = (level - curves.y0[piece]) / (curves.y1[piece] - curves.y0[piece])
        right = curves.x0[piece] + share * (curves.x1[piece] - curves.x0[piece]) > x[cut][point]
        found[cut] = np.bincount(point, right, cut.stop - cut.start) % 2 == 1
    return found


def _compare(curves: Curves, one: _Side, other: _Side, n: int, limit: float) -> np.ndarray:
    """Smallest squared distance of each of `n` pairs; marks pieces whose middle is within reach."""
    square = np.full(n, np.inf)
    count = np.bincount(other.pair, minlength=n)
    start = np.cumsum(count) - count
    for part in chunks(count[one.pair]):
        rows = part.start + np.flatnonzero(count[one.pair[part]])
        if not len(rows):
            continue
        length = count[one.pair[rows]]
        column, row = ranges(start[one.pair[rows]], length)
        row = rows[row]
        p, q = one.piece[row], other.piece[column]
        middle = _to_piece(curves, one.y[row], one.x[row], q)
        one.hit[row[middle <= limit]] = True
        nearest = np.minimum(middle, _to_piece(curves, curves.y0[p], curves.x0[p], q))
        middle = _to_piece(curves, other.y[column], other.x[column], p)
        other.hit[column[middle <= limit]] = True
        np.minimum(nearest, middle, out=nearest)
        np.minimum(nearest, _to_piece(curves, curves.y0[q], curves.x0[q], p), out=nearest)
        nearest[_cross(curves, p, q)] = 0.0
        first = np.cumsum(length) - length
        np.minimum.at(square, one.pair[rows], np.minimum.reduceat(nearest, first))
    return square


def _to_piece(curves: Curves, y: np.ndarray, x: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """Squared distance of points from pieces."""
    y0, x0 = curves.y0[piece], curves.x0[piece]
    ey, ex = curves.y1[piece] - y0, curves.x1[piece] - x0
    y, x = y - y0, x - x0
    along = (y * ey + x * ex) / np.maximum(ey * ey + ex * ex, 1e-300)
    np.clip(along, 0.0, 1.0, out=along)
    y -= along * ey
    x -= along * ex
    return np.asarray(y * y + x * x)


def _cross(curves: Curves, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Whether pieces cross: each has its ends on both sides of the other's line."""

    def side(line: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        y0, x0 = curves.y0[line], curves.x0[line]
        return np.asarray((curves.x1[line] - x0) * (y - y0) - (curves.y1[line] - y0) * (x - x0))

    of_q = side(p, curves.y0[q], curves.x0[q]) * side(p, curves.y1[q], curves.x1[q])
    of_p = side(q, curves.y0[p], curves.x0[p]) * side(q, curves.y1[p], curves.x1[p])
    return (of_q < 0) & (of_p < 0)
