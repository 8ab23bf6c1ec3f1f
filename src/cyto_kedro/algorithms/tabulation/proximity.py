"""Geometry of touches: which masks of a frame lie within reach, how far apart, along what length.

Exact, by integer squared distances between outline pixels. Among pairs whose bounding boxes are
within reach, the outline pixels of each cell that lie within reach of the other's box are compared
all with all. Where cells are so large or scattered that this is the longer way, the surroundings of
every outline pixel are looked up instead. Nothing is done for pairs of cells that are far apart, so
the work grows with pixels and with close pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cyto_kedro.algorithms.tabulation.masks import by_cell, compact, index_of, ranges

# Pixel pairs compared at once: bounds memory at some 100 MB however large the cells are.
_CHUNK = 2_000_000
# A lookup of a pixel costs about as much as comparing this many pairs.
_LOOKUP_COST = 4
# Keeps sqrt(2) - 1 in reach of a distance written with few digits.
_SLACK = 1e-9


@dataclass(frozen=True)
class Outlines:
    """Outline pixels of all cells of a frame, grouped by cell in (population, label) order.

    An outline pixel has a 4-neighbour that is not of its own cell; beyond the image counts as not.
    """

    frames: list[np.ndarray]  # raveled, per population
    cells: np.ndarray  # (n_populations, n_pixels) bool: not background
    shape: tuple[int, int]
    population: np.ndarray  # per cell
    label: np.ndarray
    start: np.ndarray  # first outline pixel of the cell
    count: np.ndarray
    box: np.ndarray  # (4, n_cells): first and last row, first and last column
    y: np.ndarray  # per outline pixel
    x: np.ndarray
    flat: np.ndarray  # its place in the raveled frame

    @property
    def offsets(self) -> np.ndarray:
        """First cell of every population."""
        return np.searchsorted(self.population, np.arange(len(self.frames)))

    def in_mask(self, cell: np.ndarray, pixel: np.ndarray) -> np.ndarray:
        """Whether each of `pixel` (places in a raveled frame) lies in the mask of its `cell`."""
        inside = np.zeros(len(pixel), bool)
        for population, frame in enumerate(self.frames):
            its = np.flatnonzero(self.population[cell] == population)
            inside[its] = frame[pixel[its]] == self.label[cell[its]]
        return inside


class Reader:
    """Reads the outlines of the frames of a film, one at a time.

    Its work arrays serve every frame (fresh ones cost a third of the time, in page faults), so
    that the `Outlines` of one frame hold until the next is read.

    Parameters
    ----------
    shape
        Rows and columns of a frame.
    n_populations
        Number of label frames that are read together.
    """

    def __init__(self, shape: tuple[int, int], n_populations: int) -> None:
        self._shape = shape
        self._cells = np.empty((n_populations, shape[0] * shape[1]), bool)
        self._inner, self._same, self._rim = np.empty((3, shape[0] * shape[1]), bool)

    def outlines(self, frames: list[np.ndarray]) -> Outlines:
        """Outlines of the cells of one label frame (Y, X) of each population."""
        height, width = self._shape
        flat_frames = [np.ascontiguousarray(frame).ravel() for frame in frames]
        rims = [self._outline(*each) for each in zip(flat_frames, self._cells, strict=True)]
        labels, cells, flats, n_before = [], [], [], 0
        for frame, rim in zip(flat_frames, rims, strict=True):
            found, cell = compact(frame.take(rim))
            order = by_cell(cell, len(found))
            labels.append(found)
            cells.append(cell.take(order) + n_before)
            flats.append(rim.take(order))
            n_before += len(found)
        cell, flat = np.concatenate(cells), np.concatenate(flats)
        y = flat // max(width, 1)
        x = flat - y * width
        count = np.bincount(cell, minlength=n_before)
        start = np.cumsum(count) - count
        box = np.zeros((4, 0), np.int64)
        if len(cell):
            low, high = np.minimum.reduceat, np.maximum.reduceat
            box = np.stack([low(y, start), high(y, start), low(x, start), high(x, start)])
        return Outlines(
            frames=flat_frames,
            cells=self._cells,
            shape=(height, width),
            population=np.repeat(np.arange(len(frames)), [len(each) for each in labels]),
            label=np.concatenate(labels),
            start=start,
            count=count,
            box=box,
            y=y,
            x=x,
            flat=flat,
        )

    def _outline(self, frame: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Places of outline pixels in a raveled frame, in raster order; fills `cells`."""
        width = self._shape[1]
        inner, same = self._inner, self._same
        np.not_equal(frame, 0, out=cells)
        np.copyto(inner, cells)
        for step in (1, width):
            if 0 < step < len(frame):
                alike = np.equal(frame[step:], frame[:-step], out=same[step:])
                inner[step:] &= alike
                inner[:-step] &= alike
        edge = inner.reshape(self._shape)
        edge[:1] = edge[-1:] = edge[:, :1] = edge[:, -1:] = False
        return where(np.logical_xor(cells, inner, out=self._rim))


def where(mask: np.ndarray) -> np.ndarray:
    """``np.flatnonzero`` of a long bool array that is False nearly everywhere, eight at a time."""
    whole = len(mask) // 8 * 8
    block = np.flatnonzero(mask[:whole].view(np.uint64) != 0)
    found = np.flatnonzero(mask[:whole].reshape(-1, 8)[block])
    rest = np.flatnonzero(mask[whole:]) + whole
    return np.concatenate([block[found >> 3] * 8 + (found & 7), rest])


def frame_touches(
    lines: Outlines, reach_px: float, apart: float = 1.0, look_around: bool = True
) -> dict[str, np.ndarray]:
    """Touches in one frame.

    Parameters
    ----------
    lines
        Outlines of the frame.
    reach_px
        Largest distance between masks.
    apart
        How far the points of two outlines are apart where the distance is 0: pixel centres of
        masks that share an edge are one pixel apart.
    look_around
        False for points that are not in the centre of pixels.

    Returns
    -------
    columns ``a``, ``b`` (indices of cells in `lines`, a the smaller), ``distance_px``, ``near_a``,
    ``near_b`` (outline pixels of each within reach of the other), ``overlap_px``; in order of
    (a, b).
    """
    radius = reach_px + apart + _SLACK
    first, second = near_boxes(lines.box, radius)
    limit = radius * radius
    n_lookups = len(lines.flat) * len(lines.frames) * np.pi * limit
    longer = _expected_pairs(lines, first, second, radius) > _LOOKUP_COST * n_lookups
    way = _look_around if look_around and longer else _compare
    square, near_a, near_b = way(lines, first, second, limit)
    overlap = overlaps(lines, first, second)
    square[overlap > 0] = 0
    near = np.flatnonzero(square <= limit)
    order = near[np.argsort(first[near] * len(lines.label) + second[near])]
    return {
        "a": first[order],
        "b": second[order],
        "distance_px": np.maximum(np.sqrt(square[order]) - apart, 0.0),
        "near_a": near_a[order],
        "near_b": near_b[order],
        "overlap_px": overlap[order].astype(np.float64),
    }


def near_boxes(box: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of cells, smaller index first, whose boxes are at most `radius` apart in y and x."""
    order = np.argsort(box[0], kind="stable")
    y0, y1, x0, x1 = box[:, order]
    # Sweep along y: the later-starting partners of a box start before its last row + radius.
    here = np.arange(len(order))
    count = np.searchsorted(y0, y1 + radius, side="right") - here - 1
    later, one = ranges(here + 1, count)
    near = (x0[later] - x1[one] <= radius) & (x0[one] - x1[later] <= radius)
    p, q = order[one[near]], order[later[near]]
    return np.minimum(p, q), np.maximum(p, q)


def _expected_pairs(lines: Outlines, first: np.ndarray, second: np.ndarray, radius: float) -> float:
    """Rough number of pixel pairs that `_compare` will look at.

    An outline is taken to be spread evenly around its box.
    """
    pairs = np.ones(len(first))
    for own, other in ((first, second), (second, first)):
        a, b = lines.box[:, own], lines.box[:, other]
        near = np.minimum(a[1], b[1] + radius) - np.maximum(a[0], b[0] - radius) + 1
        near += np.minimum(a[3], b[3] + radius) - np.maximum(a[2], b[2] - radius) + 1
        pairs *= lines.count[own] * near / (a[1] - a[0] + a[3] - a[2] + 2)
    return float(pairs.sum())


def _compare(
    lines: Outlines, first: np.ndarray, second: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smallest squared centre distance of outlines, and outline pixels of each side within reach.

    Returns
    -------
    square, near_a, near_b : (n_pairs,) float64
        `square` is above `limit` where no two outline pixels are within it.
    """
    n = len(first)
    square, near_a, near_b = np.full(n, np.inf), np.zeros(n), np.zeros(n)
    for cut in chunks(lines.count[first] + lines.count[second]):
        a, b = first[cut], second[cut]
        pair_a, at_a, hit_a = _close_to_box(lines, a, b, limit)
        pair_b, at_b, hit_b = _close_to_box(lines, b, a, limit)
        n_b = np.bincount(pair_b, minlength=len(a))
        start_b = np.cumsum(n_b) - n_b
        for part in chunks(n_b[pair_a]):
            # Pixels of side a that have any of side b to be compared with.
            rows = part.start + np.flatnonzero(n_b[pair_a[part]])
            if len(rows) == 0:
                continue
            length = n_b[pair_a[rows]]
            other, owner = ranges(start_b[pair_a[rows]], length)
            dy = lines.y[at_a[rows]][owner] - lines.y[at_b][other]
            dx = lines.x[at_a[rows]][owner] - lines.x[at_b][other]
            distance = dy * dy + dx * dx
            hit_b[other[distance <= limit]] = True
            nearest = np.minimum.reduceat(distance, np.cumsum(length) - length)
            hit_a[rows] |= nearest <= limit
            np.minimum.at(square, cut.start + pair_a[rows], nearest)
        near_a[cut] = np.bincount(pair_a, hit_a, len(a))
        near_b[cut] = np.bincount(pair_b, hit_b, len(a))
    return square, near_a, near_b


def chunks(work: np.ndarray) -> list[slice]:
    """Cut items that make `work` each into slices of about `_CHUNK`."""
    total = np.cumsum(work)
    cuts = np.searchsorted(total, np.arange(_CHUNK, total[-1] if len(total) else 0, _CHUNK))
    return [slice(a, b) for a, b in zip([0, *cuts], [*cuts, len(work)], strict=True)]


def _look_around(
    lines: Outlines, first: np.ndarray, second: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same as `_compare`, by looking up every pixel within reach of an outline pixel."""
    n, (height, width) = len(lines.label), lines.shape
    code = first * n + second
    order = np.argsort(code)
    square, near_a, near_b = np.full(len(first), np.inf), np.zeros(len(first)), np.zeros(len(first))
    reach = int(np.sqrt(limit))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    distance = dy * dy + dx * dx
    within = distance <= limit
    cell = np.repeat(np.arange(n), lines.count)
    known = [
        (frame, lines.label[lines.population == p], offset)
        for p, (frame, offset) in enumerate(zip(lines.frames, lines.offsets, strict=True))
    ]
    step = max(1, 10 * _CHUNK // n)
    for low in range(0, len(cell), step):
        own, y, x = cell[low : low + step], lines.y[low : low + step], lines.x[low : low + step]
        met = np.zeros((len(own), n), bool)
        for oy, ox, far in zip(dy[within], dx[within], distance[within], strict=True):
            inside = (y + oy >= 0) & (y + oy < height) & (x + ox >= 0) & (x + ox < width)
            here = np.flatnonzero(inside)
            at = (y[here] + oy) * width + x[here] + ox
            for frame, labels, offset in known:
                value = frame.take(at)
                some = np.flatnonzero(value)
                pixel, other = here[some], index_of(labels, value[some]) + offset
                foreign = other != own[pixel]
                pixel, other = pixel[foreign], other[foreign]
                met[pixel, other] = True
                pair = _pair_of(code, order, own[pixel], other, n)
                np.minimum.at(square, pair, far)
        pixel, other = np.nonzero(met)
        pair = _pair_of(code, order, own[pixel], other, n)
        is_a = own[pixel] < other
        near_a += np.bincount(pair[is_a], minlength=len(first))
        near_b += np.bincount(pair[~is_a], minlength=len(first))
    return square, near_a, near_b


def _pair_of(
    code: np.ndarray, order: np.ndarray, one: np.ndarray, other: np.ndarray, n: int
) -> np.ndarray:
    """Index of the pairs of cells (`one`, `other`), in any order, among `code`."""
    wanted = np.minimum(one, other) * n + np.maximum(one, other)
    return order[np.searchsorted(code, wanted, sorter=order)]


def _close_to_box(
    lines: Outlines, own: np.ndarray, other: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outline pixels of `own` within reach of the box of `other`, for every pair.

    Returns
    -------
    pair, pixel, inside
        Sorted by pair; `inside` says that the pixel lies in the other mask itself, where it is
        within reach although the other's outline may be far.
    """
    pixel, pair = ranges(lines.start[own], lines.count[own])
    y0, y1, x0, x1 = lines.box[:, other]
    y, x = lines.y[pixel], lines.x[pixel]
    dy = np.maximum(np.maximum(y0[pair] - y, y - y1[pair]), 0)
    dx = np.maximum(np.maximum(x0[pair] - x, x - x1[pair]), 0)
    near = dy * dy + dx * dx <= limit
    pair, pixel = pair[near], pixel[near]
    return pair, pixel, lines.in_mask(other[pair], lines.flat[pixel])


def overlaps(lines: Outlines, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Number of pixels each pair of cells has in common, (n_pairs,)."""
    n, offsets = len(lines.label), lines.offsets
    codes = []
    for p, one in enumerate(lines.frames):
        for q in range(p + 1, len(lines.frames)):
            both = where(lines.cells[p] & lines.cells[q])
            if len(both):
                a = index_of(lines.label[lines.population == p], one[both]) + offsets[p]
                b = index_of(lines.label[lines.population == q], lines.frames[q][both])
                codes.append(a * n + b + offsets[q])
    if not codes or len(first) == 0:
        return np.zeros(len(first), np.int64)
    code, count = np.unique(np.concatenate(codes), return_counts=True)
    at = np.minimum(np.searchsorted(code, first * n + second), len(code) - 1)
    return np.where(code[at] == first * n + second, count[at], 0)


def dilated_overlap(
    lines: Outlines, first: np.ndarray, second: np.ndarray, overlap: np.ndarray, radius: float
) -> np.ndarray:
    """Number of pixels of the image within `radius` of both cells of each pair, (n_pairs,) int64.

    `overlap`: pixels that the two masks have in common. `radius`: of the disk that each mask is
    dilated by, in pixels between centres.
    """
    radius += _SLACK
    reach, n_pixels = int(radius), len(lines.frames[0])
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    disk = dy * dy + dx * dx <= radius * radius
    result = np.zeros(len(first), np.int64)
    for cut in chunks((lines.count[first] + lines.count[second]) * disk.sum()):
        pair = first[cut], second[cut]
        rings = []
        for own, other in (pair, pair[::-1]):
            at, pixel, _ = _close_to_box(lines, own, other, 4 * radius * radius)
            y, x = lines.y[pixel, None] + dy[disk], lines.x[pixel, None] + dx[disk]
            inside = (y >= 0) & (y < lines.shape[0]) & (x >= 0) & (x < lines.shape[1])
            code = at[:, None] * n_pixels + y * lines.shape[1] + x
            rings.append(np.unique(code[inside]))
        code = np.union1d(*rings)
        at, pixel = np.divmod(code, n_pixels)
        masks = [lines.in_mask(cell[at], pixel) for cell in pair]
        # the ring around an outline, and the mask itself however far from its outline
        dilated = [
            mask | np.isin(code, ring, assume_unique=True)
            for mask, ring in zip(masks, rings, strict=True)
        ]
        shared = np.bincount(at, dilated[0] & dilated[1], len(pair[0]))
        counted = np.bincount(at, masks[0] & masks[1], len(pair[0]))
        result[cut] = shared + overlap[cut] - counted
    return result
