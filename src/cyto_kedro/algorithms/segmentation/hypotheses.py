"""What the cells of a frame may be: regions that compete, from labels, their cuts and their unions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy

from cyto_kedro.algorithms.segmentation.cleanup import largest_parts
from cyto_kedro.algorithms.segmentation.nuclei import ellipse_fill
from cyto_kedro.algorithms.segmentation.packing import Packing, flood
from cyto_kedro.algorithms.segmentation.packing import depth as depth_of
from cyto_kedro.algorithms.segmentation.split import cut_by_distance
from cyto_kedro.core import ndi

SAME = 0.85  # IoU over which two regions are one
ENGINE, OTHER, CUT, UNION, CARRIED = range(5)
# IoU over which masks of two engines are one choice, the first one's, where neither touches another
SAME_CELL = 0.4
_SHARED = 0.3  # of the smaller, over which two masks touch
_DEPTH = 0.03
_ROUND = 0.97  # fill of an ellipse: what fills more is not cut
_LEAST_PART = 0.12  # of a typical area: smaller parts are no cells
_LEAST_UNION = 0.9  # fill of an ellipse by two labels that may be one cell
# of a division: daughters' share on the mother and size beside hers, ratio of sizes, IoU of both
# with her, and the distance of their middle from her centre over that of the two
_ON_MOTHER, _DAUGHTER, _SISTERS, _IN_PLACE, _OFF_MIDDLE = 0.3, 0.9, 0.4, 0.6, 0.35

Overlaps = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Regions:
    """Regions of one frame; they may share pixels."""

    #: (p,) flat pixel and region of each entry, by region
    pixel: np.ndarray
    region: np.ndarray
    #: (n,) where each comes from: the first engine, another one, a cut, a union, a neighbouring frame
    origin: np.ndarray
    #: (n,) how many sources have it
    votes: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def of(cls, label: np.ndarray, origin: int) -> Regions:
        """The regions of labels (Y, X)."""
        pixel = np.flatnonzero(label)
        number = label.ravel()[pixel]
        area = np.bincount(number)
        n = int(np.count_nonzero(area))
        small = (
            number.astype(np.uint16) if area.size < 2**16 else number
        )  # sorted ten times as fast
        order = np.argsort(small, kind="stable")
        region = np.repeat(np.arange(n), area[area > 0])
        return cls(pixel[order], region, np.full(n, origin), np.ones(n, np.int64), label.shape)

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Regions:
        """No region."""
        empty = np.zeros(0, np.int64)
        return cls(empty, empty, empty, empty, shape)

    def __len__(self) -> int:
        """Regions."""
        return len(self.origin)

    @property
    def area(self) -> np.ndarray:
        """(n,) pixels."""
        return np.bincount(self.region, minlength=len(self))

    def come_from(self, origin: int) -> Regions:
        """The same, of another origin."""
        return replace(self, origin=np.full(len(self), origin))

    def matrix(self, shift: tuple[int, int] = (0, 0)) -> scipy.sparse.csc_matrix:
        """(pixels, regions) of 0 and 1; moved by `shift`, what leaves the frame is left out."""
        pixel, region = self.pixel, self.region
        if shift != (0, 0):
            y, x = np.divmod(pixel, self.shape[1])
            y, x = y + shift[0], x + shift[1]
            seen = (y >= 0) & (y < self.shape[0]) & (x >= 0) & (x < self.shape[1])
            pixel, region = (y * self.shape[1] + x)[seen], region[seen]
        start = np.append(0, np.cumsum(np.bincount(region, minlength=len(self))))
        size = self.shape[0] * self.shape[1], len(self)
        return scipy.sparse.csc_matrix((np.ones(len(pixel), np.int32), pixel, start), shape=size)

    def sums(self) -> list[np.ndarray]:
        """(n,) sums of y, x, y², x², xy from the frame's middle."""
        y, x = (
            at - n / 2
            for at, n in zip(np.divmod(self.pixel, self.shape[1]), self.shape, strict=True)
        )
        return [np.bincount(self.region, each, len(self)) for each in (y, x, y * y, x * x, x * y)]

    def centre(self) -> np.ndarray:
        """(n, 2) y and x of each region's centre."""
        y, x = np.divmod(self.pixel, self.shape[1])
        sums = [np.bincount(self.region, each, len(self)) for each in (y, x)]
        return np.stack(sums, axis=1) / np.maximum(self.area, 1)[:, None]

    def on_contour(self) -> np.ndarray:
        """(p,) bool: entries that share an edge with a pixel that is not of the region."""
        height, width = self.shape
        y, x = np.divmod(self.pixel, width)
        key = self.region * (height * width) + self.pixel
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        outer = np.zeros(len(key), bool)
        for step, inside in (
            (-width, y > 0),
            (width, y < height - 1),
            (-1, x > 0),
            (1, x < width - 1),
        ):
            at = np.minimum(np.searchsorted(ordered, key + step), max(len(key) - 1, 0))
            outer |= inside & (ordered[at] != key + step)
        return outer

    def contour_mean(self, image: np.ndarray) -> np.ndarray:
        """(n,) mean of `image` (Y, X) over the inner contour of each region."""
        at = self.on_contour()
        region, value = self.region[at], image.ravel()[self.pixel[at]]
        count = np.maximum(np.bincount(region, minlength=len(self)), 1)
        return np.bincount(region, value, len(self)) / count

    def take(self, which: np.ndarray) -> Regions:
        """Those of `which`, (n,) bool."""
        kept = which[self.region]
        number = np.cumsum(which) - 1
        return Regions(
            self.pixel[kept],
            number[self.region[kept]],
            self.origin[which],
            self.votes[which],
            self.shape,
        )

    def labels(self, which: np.ndarray) -> np.ndarray:
        """(Y, X) int32 of the regions `which`, 1 + region; where two meet the smaller is on top."""
        label = np.zeros(self.shape[0] * self.shape[1], np.int32)
        rank = np.argsort(np.argsort(-self.area, kind="stable"), kind="stable")
        kept = np.flatnonzero(which[self.region])
        kept = kept[np.argsort(rank[self.region[kept]], kind="stable")]
        label[self.pixel[kept]] = 1 + self.region[kept]
        return label.reshape(self.shape)


def joined(parts: Sequence[Regions]) -> Regions:
    """All regions, of equal ones (IoU over `SAME`) the first, with the votes of each of its frame."""
    first = parts[0]
    start = np.cumsum([0, *(len(each) for each in parts)])
    every = Regions(
        np.concatenate([each.pixel for each in parts]),
        np.concatenate([each.region + s for each, s in zip(parts, start, strict=False)]),
        np.concatenate([each.origin for each in parts]),
        np.concatenate([each.votes for each in parts]),
        first.shape,
    )
    i, j, iou, _ = overlaps(every, every)
    alike = (iou > SAME) & (i < j)
    kept, votes = np.ones(len(every), bool), every.votes.copy()
    for one, two in sorted(zip(i[alike].tolist(), j[alike].tolist(), strict=True)):
        if kept[one] and kept[two]:
            kept[two] = False
            if every.origin[two] < CARRIED:  # from a neighbouring frame it is no new sight
                votes[one] += votes[two]
    return Regions(every.pixel, every.region, every.origin, votes, every.shape).take(kept)


def overlaps(one: Regions, two: Regions, shift: tuple[int, int] = (0, 0)) -> Overlaps:
    """Pairs that share pixels, `one` moved by `shift`: their rows, IoU, and share of the smaller."""
    shared = (one.matrix(shift).T @ two.matrix()).tocoo()
    a, b = one.area[shared.row], two.area[shared.col]
    return (
        shared.row.astype(np.int64),
        shared.col.astype(np.int64),
        shared.data / (a + b - shared.data),
        shared.data / np.minimum(a, b),
    )


def divisions_of(
    before: Regions,
    after: Regions,
    shift: tuple[int, int] = (0, 0),
    between: Overlaps | None = None,
    within: Overlaps | None = None,
) -> np.ndarray:
    """(k, 3) rows: a region of `before`, moved by `shift`, and two of `after` it may have become.

    The two lie on it, share no pixels, are smaller than it and alike in size, on either side of its
    centre, and have come apart: halves that fill its place are a cut, no division. `between`, `within`:
    `overlaps` of both and of `after` with itself, where they are known.
    """
    i, j, iou, _ = between or overlaps(before, after, shift)
    area, of = before.area, after.area
    shared = iou / (1 + iou) * (area[i] + of[j])
    fits = (shared > _ON_MOTHER * of[j]) & (of[j] < _DAUGHTER * area[i])
    i, j, shared = i[fits], j[fits], shared[fits]
    rows = pd.DataFrame({"mother": i, "one": j, "shared": shared})
    both = rows.merge(rows, on="mother", suffixes=("", "_2"))
    both = both[both["one"] < both["one_2"]].rename(columns={"one_2": "two"})
    i, j, k = both[["mother", "one", "two"]].to_numpy(np.int64).T
    x, y, _, _ = within or overlaps(after, after)
    apart = ~pd.MultiIndex.from_arrays([j, k]).isin(pd.MultiIndex.from_arrays([x, y]))
    alike = np.minimum(of[j], of[k]) >= _SISTERS * np.maximum(of[j], of[k])
    shared = both["shared"].to_numpy() + both["shared_2"].to_numpy()
    filled = shared / (area[i] + of[j] + of[k] - shared)
    mother, daughter = before.centre() + shift, after.centre()
    far = np.hypot(*(daughter[j] - daughter[k]).T)
    off = np.hypot(*((daughter[j] + daughter[k]) / 2 - mother[i]).T)
    fits = apart & alike & (filled < _IN_PLACE) & (off < _OFF_MIDDLE * far)
    return np.stack([i, j, k], axis=1)[fits]


def fill_of(regions: Regions) -> np.ndarray:
    """(n,) area over that of the ellipse with the same second moments."""
    return ellipse_fill(regions.area, *regions.sums())


def of_labels(
    sources: Sequence[np.ndarray], diameter: float, same_cell: float = SAME_CELL
) -> Regions:
    """Regions of the labels (Y, X) of each engine, of their cuts and of the unions of two."""
    whole = [Regions.of(label, 0) for label in sources]
    found = _of_engines(whole, same_cell)
    for label, regions in zip(sources, whole, strict=True):
        if len(regions):
            found.append(_cuts(regions, diameter, _DEPTH))
            found.append(_unions(label, regions))
    return joined(found)


def _of_engines(whole: Sequence[Regions], same_cell: float) -> list[Regions]:
    """Labels of each engine; where a later one has the same single cell, a vote for the first one's."""
    found = [each.come_from(min(k, 1)) for k, each in enumerate(whole)]
    first = found[0]
    for k, other in enumerate(found[1:], start=1):
        i, j, iou, share = overlaps(first, other)
        real = share > _SHARED
        alone = (np.bincount(i[real], minlength=len(first))[i] == 1) & (
            np.bincount(j[real], minlength=len(other))[j] == 1
        )
        same = real & alone & (iou > same_cell)
        votes = first.votes.copy()
        votes[i[same]] += 1
        first = replace(first, votes=votes)
        kept = np.ones(len(other), bool)
        kept[j[same]] = False
        found[k] = other.take(kept)
    return [first, *found[1:]]


def _cuts(whole: Regions, diameter: float, depth: float) -> Regions:
    odd = whole.take(fill_of(whole) < _ROUND)
    if not len(odd):
        return odd
    label = odd.labels(np.ones(len(odd), bool))
    part, owner = cut_by_distance(label, diameter, depth)
    cut = (np.bincount(owner) > 1)[owner] & (owner > 0)
    return _large(Regions.of(np.where(cut[part], part + 1, 0), CUT), diameter)


def _large(regions: Regions, diameter: float) -> Regions:
    return regions.take(regions.area >= _LEAST_PART * np.pi / 4 * diameter**2)


def _unions(label: np.ndarray, regions: Regions) -> Regions:
    """Two labels beside each other that together fill an ellipse."""
    pairs = touching(label)
    n = len(pairs)
    if not n:
        return Regions.none(regions.shape)
    numbers = np.unique(label.ravel()[regions.pixel[np.diff(regions.region, prepend=-1) > 0]])
    pairs = np.searchsorted(numbers, pairs)  # rows of regions, which are in the labels' order
    area = regions.area
    start, size = (np.cumsum(area) - area)[pairs].ravel(), area[pairs].ravel()
    within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    pixel = regions.pixel[np.repeat(start, size) + within]
    region = np.repeat(np.arange(n), size.reshape(n, 2).sum(1))
    order = np.lexsort((pixel, region))
    found = Regions(pixel[order], region, np.full(n, UNION), np.ones(n, np.int64), regions.shape)
    return found.take(fill_of(found) >= _LEAST_UNION)


def touching(label: np.ndarray) -> np.ndarray:
    """(k, 2) pairs of labels of a frame with pixels that share an edge."""
    codes, n = [], np.int64(int(label.max()) + 1)
    for one, two in ((label[1:], label[:-1]), (label[:, 1:], label[:, :-1])):
        at = (one != two) & (one > 0) & (two > 0)
        a, b = one[at], two[at]
        codes.append(np.minimum(a, b) * n + np.maximum(a, b))
    return np.stack(np.divmod(np.unique(np.concatenate(codes)), n), axis=1)


def carried(
    before: np.ndarray, label: np.ndarray, shift: tuple[int, int], diameter: float
) -> Regions:
    """Labels cut where two or more cells of the frame `before` (Y, X), moved by `shift`, lie in one.

    Each pixel goes to the cell that it lies deepest in, or nearest to.
    """
    moved = _moved(before, shift)
    n_before, n = int(moved.max()) + 1, int(label.max()) + 1
    area = np.maximum(np.bincount(moved.ravel()), 1)
    both = np.flatnonzero((moved > 0) & (label > 0))
    shared = np.bincount(
        moved.ravel()[both].astype(np.int64) * n + label.ravel()[both], minlength=n_before * n
    ).reshape(n_before, n)
    inside = shared > 0.5 * area[:, None]  # of the cell before, in the label
    several = inside.sum(0) > 1
    if not several.any():
        return Regions.none(label.shape)
    owner = np.where(inside.any(1), inside.argmax(1), 0)
    mask = several[label]
    seeds = np.where(mask & (owner[moved] == label), moved, 0)
    inner = np.zeros(label.shape)
    for packing in Packing.apart(mask, 1):
        packing.unpack(depth_of(_interior(packing.pack(seeds, 0))), inner)
    at = np.flatnonzero(seeds)
    number, far = seeds.ravel()[at], inner.ravel()[at]
    highest = np.zeros(n_before)
    np.maximum.at(highest, number, far)
    core = np.zeros(seeds.size, np.int32)
    core[at] = np.where(far > 0.4 * highest[number], number, 0)
    part = flood(-inner, core.reshape(label.shape), mask)
    part = np.where(owner[part] == label, part, 0)
    return _large(Regions.of(largest_parts(part), CARRIED), diameter)


def _interior(label: np.ndarray) -> np.ndarray:
    same = (ndi.minimum_filter(label, 3) == label) & (ndi.maximum_filter(label, 3) == label)
    return same & (label > 0)


def _moved(label: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    """`label` moved by whole pixels; what comes in is background."""
    if shift == (0, 0):
        return label
    result = np.zeros_like(label)
    (top, bottom), (left, right) = (
        (max(s, 0), size + min(s, 0)) for s, size in zip(shift, label.shape, strict=True)
    )
    dy, dx = shift
    if top < bottom and left < right:
        result[top:bottom, left:right] = label[top - dy : bottom - dy, left - dx : right - dx]
    return result


def with_parts(label: np.ndarray, parts: Regions) -> np.ndarray:
    """`label` (Y, X) in which `parts` are labels of their own, after the highest."""
    if not len(parts):
        return label
    result = label.astype(np.int32)
    result.ravel()[parts.pixel] = int(label.max()) + 1 + parts.region  # they share no pixels
    return result
