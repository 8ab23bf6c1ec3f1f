"""Regions of an image at every threshold, as a tree, and the choice of the best disjoint ones.

A connected part of ``image >= t`` lies within one of ``image >= t - 1``: all of them form the max-tree
(Salembier et al. 1998, doi:10.1109/83.663500). So every cell can have a threshold of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RegionTree:
    """Max-tree of an integer image; node 0 is the whole image, parents come before children.

    Attributes
    ----------
    parent : (n,) int64
        Parent of each node; that of the root is itself.
    level : (n,) int64
        Threshold of each node, ascending.
    node : (Y, X) int64
        The smallest region that each pixel lies in.
    lowest : (Y, X) int64
        The same for the lowest of each pixel and its edge-sharing neighbours.
    """

    parent: np.ndarray
    level: np.ndarray
    node: np.ndarray
    lowest: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray) -> RegionTree:
        """Tree of `image` (Y, X), unsigned, at least 3 x 3; regions are connected through edges."""
        from skimage.morphology import max_tree

        flat, up = image.ravel(), max_tree(image, connectivity=1)[0].ravel()
        # one pixel stands for each node: the root, or one whose parent is darker
        stands = (flat[up] != flat) | (up == np.arange(up.size))
        at = np.flatnonzero(stands)
        at = at[np.argsort(flat[at], kind="stable")]
        number = np.zeros(flat.size, np.int64)
        number[at] = np.arange(at.size)
        node = number[np.where(stands, np.arange(flat.size), up)]
        return cls(
            parent=number[up[at]],
            level=flat[at].astype(np.int64),
            node=node.reshape(image.shape),
            lowest=node[_lowest_neighbour(image)],
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
        """(n,) sums of `value` (Y, X) over each region."""
        return self._total(np.bincount(self.node.ravel(), value.ravel(), self.parent.size))

    def over_contour(self, value: np.ndarray) -> np.ndarray:
        """(n,) sums of `value` (Y, X) over the inner contour of each region.

        A pixel lies on the contours of the regions that hold it but not its lowest neighbour. The
        image's edge is no contour.
        """
        count, flat = self.parent.size, value.ravel()
        own = np.bincount(self.node.ravel(), flat, count)
        return self._total(own - np.bincount(self.lowest.ravel(), flat, count))

    def best(self, value: np.ndarray) -> np.ndarray:
        """Disjoint nodes with the largest summed `value` (n,), as labels (Y, X): node numbers.

        Nodes with a value of 0 or less, and the root, are never chosen; of equals the outer one is.
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
        return owner[self.node]


def _lowest_neighbour(image: np.ndarray) -> np.ndarray:
    """(Y, X) flat index of the lowest of each pixel and its edge-sharing neighbours."""
    padded = np.pad(image, 1, mode="edge")
    height, width = image.shape
    steps = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)])
    around = np.stack([padded[1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in steps])
    y, x = steps[around.argmin(0)].transpose(2, 0, 1)
    rows = np.clip(np.arange(height)[:, None] + y, 0, height - 1)
    return rows * width + np.clip(np.arange(width) + x, 0, width - 1)
