"""Regions of an image at every threshold, as a tree, and the choice of the best disjoint ones.

A connected part of ``image >= t`` lies within one of ``image >= t - 1``: all of them form the max-tree
(Salembier et al. 1998, doi:10.1109/83.663500). So every cell can have a threshold of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cyto_kedro.algorithms.segmentation.cleanup import drop_by_area
from cyto_kedro.algorithms.segmentation.packing import Packing


@dataclass(frozen=True)
class RegionTree:
    """Max-tree of an integer image; node 0 is its background, parents come before children.

    Attributes
    ----------
    parent : (n,) int64
        Parent of each node; that of node 0 is itself.
    level : (n,) int64
        Threshold of each node, ascending.
    inside : (Y, X) bool
        The m pixels above 0 in parts that are large enough; `node` and `lowest` are in raster order.
    node : (m,) int64
        The smallest region that each pixel lies in.
    lowest : (m,) int64
        The same for the lowest of each pixel and its edge-sharing neighbours.
    """

    parent: np.ndarray
    level: np.ndarray
    inside: np.ndarray
    node: np.ndarray
    lowest: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, smallest: float = 0.0) -> RegionTree:
        """Regions of `image` (Y, X) uint8, pixels connected through edges.

        Pixels at 0, and connected parts of the others with fewer than `smallest` pixels, are in no
        region but node 0. They cost next to nothing (`Packing`).
        """
        from skimage.measure import label as components
        from skimage.morphology import max_tree

        inside = drop_by_area(components(image > 0, connectivity=1), max(smallest, 1)) > 0
        packing = Packing.of(inside)
        small = packing.pack(image, 0)
        flat, up = small.ravel(), max_tree(small, connectivity=1)[0].ravel()
        # one pixel stands for each node: the root, or one whose parent is darker
        stands = (flat[up] != flat) | (up == np.arange(up.size))
        at = np.flatnonzero(stands)
        origin = np.full(flat.size, -1)  # numbers shall not depend on the packing
        origin[packing.at] = np.flatnonzero(inside)
        at = at[np.lexsort((origin[at], flat[at]))]
        number = np.zeros(flat.size, np.int64)
        number[at] = np.arange(at.size)
        node = np.where(stands, number, number[up])
        return cls(
            parent=number[up[at]],
            level=flat[at].astype(np.int64),
            inside=inside,
            node=node[packing.at],
            lowest=node[packing.at + _to_lowest_neighbour(image, packing.shape[1])[inside]],
        )

    def _down(self) -> list[slice]:
        """Nodes of each level above the root's, from the highest level."""
        start = np.flatnonzero(np.r_[True, np.diff(self.level) > 0, True])
        return [slice(a, b) for a, b in zip(start[-2:0:-1], start[:1:-1], strict=True)]

    def _total(self, own: np.ndarray) -> np.ndarray:
        """Sum of `own` (n,) over each node and all nodes within it."""
        for each in self._down():
            np.add.at(own, self.parent[each], own[each])
        return own

    def over_pixels(self, value: np.ndarray) -> np.ndarray:
        """(n,) sums of `value` (m,) over each region."""
        return self._total(np.bincount(self.node, value, self.parent.size))

    def over_contour(self, value: np.ndarray) -> np.ndarray:
        """(n,) sums of `value` (m,) over the inner contour of each region.

        A pixel lies on the contours of the regions that hold it but not its lowest neighbour. The
        image's edge is no contour.
        """
        count = self.parent.size
        own = np.bincount(self.node, value, count)
        return self._total(own - np.bincount(self.lowest, value, count))

    def best(self, value: np.ndarray) -> np.ndarray:
        """Disjoint nodes with the largest summed `value` (n,), as labels (Y, X) int32: node numbers.

        Nodes with a value of 0 or less, and node 0, are never chosen; of equals the outer one is.
        """
        below = np.zeros(value.size)  # best sum of the nodes within
        chosen = np.zeros(value.size, bool)
        for each in self._down():
            chosen[each] = (value[each] > 0) & (value[each] >= below[each])
            np.add.at(below, self.parent[each], np.maximum(value[each], below[each]))
        owner = np.zeros(value.size, np.int64)
        for each in reversed(self._down()):
            own = np.where(chosen[each], np.arange(each.start, each.stop), 0)
            above = owner[self.parent[each]]
            owner[each] = np.where(above > 0, above, own)
        label = np.zeros(self.inside.shape, np.int32)
        label[self.inside] = owner[self.node]
        return label


def _to_lowest_neighbour(image: np.ndarray, width: int) -> np.ndarray:
    """(Y, X) int32 steps from each pixel of `image`, uint8, to the lowest of it and its edge-sharing
    neighbours: of flat index, in an image of `width`. Which of equals does not matter to the tree."""
    padded = np.pad(image, 1, mode="edge")
    height, columns = image.shape
    steps = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)])
    lowest = image.astype(np.uint16) * 8
    for i, (y, x) in enumerate(steps[1:], 1):
        around = padded[1 + y : 1 + y + height, 1 + x : 1 + x + columns]
        np.minimum(lowest, around.astype(np.uint16) * 8 + np.uint16(i), out=lowest)
    return (steps @ (width, 1)).astype(np.int32)[lowest & 7]
