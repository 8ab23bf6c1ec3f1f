"""Labels of overlapping tiles joined to labels of the field: a cell on a seam is one cell.

Neighbours are cut apart along seams, the middle lines of their overlaps; of each tile, its own side
of the seams is kept. Which labels of two tiles are one cell is decided where both tiles see: in
their common window, by an intersection over union above one half, which leaves every label at most
one partner (Kirillov et al. 2019, Panoptic Segmentation, section 4.1). A label without partner
belongs, whole, to the tile on whose side its centroid lies; a cell that the edge of a tile cuts off
is so replaced by the neighbour's whole one. Exact where cells are smaller than the overlap; a
larger cell is put together from its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, pairwise

import numpy as np
import scipy

from cyto_kedro.algorithms.segmentation.cleanup import renumber
from cyto_kedro.core.matching import partners
from cyto_kedro.errors import InputError

Window = tuple[slice, slice]


def stitch(tiles: Mapping[tuple[int, int], np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Labels of a field from those of its tiles.

    `tiles`: corner (y, x) of each tile in the field, in pixels -> its labels (T, Y, X). The tiles
    form a grid and cover the field. `shape`: height and width of the field. Returns (T, Y, X)
    uint32, numbered 1..n in every frame. Raises InputError if the tiles leave a part of the field
    out, or differ in the number of frames.
    """
    labels = [np.asarray(label) for label in tiles.values()]
    if len({len(label) for label in labels}) != 1:
        raise InputError(
            f"tiles with {[len(label) for label in labels]} frames are not of one block"
        )
    windows = [
        (slice(y, y + label.shape[1]), slice(x, x + label.shape[2]))
        for (y, x), label in zip(tiles, labels, strict=True)
    ]
    rows = _sides([window[0] for window in windows], shape[0])
    columns = _sides([window[1] for window in windows], shape[1])
    cores = [(rows[y], columns[x]) for y, x in tiles]
    out = np.zeros((len(labels[0]), *shape), np.uint32)
    for index, field in enumerate(out):
        _join([label[index] for label in labels], windows, cores, field)
    return out


def _sides(spans: list[slice], size: int) -> dict[int, slice]:
    """Start of each span along an axis -> the part of the axis on its side of the seams."""
    ordered = sorted({(span.start, span.stop) for span in spans})
    covered = [0, *(stop for _, stop in ordered)]
    gaps = [start > before for (start, _), before in zip(ordered, covered, strict=False)]
    if any(gaps) or covered[-1] != size:
        raise InputError(f"tiles over {ordered} do not cover an axis of {size} pixels")
    seams = [(b[0] + a[1]) // 2 for a, b in pairwise(ordered)]
    edges = [0, *seams, size]
    return {start: slice(edges[i], edges[i + 1]) for i, (start, _) in enumerate(ordered)}


def _join(
    labels: list[np.ndarray], windows: list[Window], cores: list[Window], field: np.ndarray
) -> None:
    """Fill `field` (Y, X) with the cells of one frame."""
    counts = [int(label.max(initial=0)) for label in labels]
    first = np.concatenate(
        ([0], np.cumsum(counts))
    )  # a label's number over all tiles: first + label
    pairs = [np.empty((2, 0), np.int64)]
    for a, b in combinations(range(len(labels)), 2):
        common = _common(windows[a], windows[b])
        if common is not None:
            mine, other = (labels[i][_within(windows[i], common)] for i in (a, b))
            pairs.append(partners(mine, other) + first[[a, b]][:, None])
    left, right = np.concatenate(pairs, axis=1)
    total = int(first[-1]) + 1
    graph = scipy.sparse.coo_array((np.ones(left.size, bool), (left, right)), shape=(total, total))
    cell = (scipy.sparse.csgraph.connected_components(graph, directed=False)[1] + 1).astype(
        np.uint32
    )  # from 1
    has_partner = np.zeros(total, bool)
    has_partner[left] = has_partner[right] = True
    outside = []
    for label, window, core, start, count in zip(
        labels, windows, cores, first, counts, strict=False
    ):
        numbers = start + np.arange(count + 1)
        alone = ~has_partner[numbers]
        alone[0] = False
        own = alone & _centred(label, window, core)
        name = np.where(own | ~alone, cell[numbers], 0)
        name[0] = 0
        field[core] = name[label[_within(window, core)]]
        outside.append(np.where(own, name, 0).astype(np.uint32))
    for label, window, name in zip(labels, windows, outside, strict=True):
        part = field[window]
        mine = name[label]
        np.copyto(part, mine, where=(part == 0) & (mine > 0))
    field[...] = renumber(field)


def _centred(label: np.ndarray, window: Window, core: Window) -> np.ndarray:
    """Whether the centroid of each label lies in the core of its tile."""
    area = np.maximum(np.bincount(label.ravel()), 1)
    inside = np.ones(area.size, bool)
    for axis, (span, own) in enumerate(zip(window, core, strict=True)):
        at = np.arange(span.start, span.stop, dtype=float).reshape(
            (-1, 1) if axis == 0 else (1, -1)
        )
        mean = np.bincount(label.ravel(), np.broadcast_to(at, label.shape).ravel()) / area
        inside &= (mean >= own.start - 0.5) & (mean < own.stop - 0.5)
    return inside


def _common(a: Window, b: Window) -> Window | None:
    spans = [slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(a, b, strict=True)]
    return None if any(s.start >= s.stop for s in spans) else (spans[0], spans[1])


def _within(window: Window, part: Window) -> Window:
    y, x = (slice(p.start - w.start, p.stop - w.start) for w, p in zip(window, part, strict=True))
    return y, x
