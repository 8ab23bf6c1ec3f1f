"""Percentiles and histograms of one image's pixels, several of each, without sorting them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

_BITS = 16  # of a pixel's place among the others that are counted


class Ranks:
    """Pixels counted once by their leading bits; what is asked for is looked up in few of them.

    Answers are NumPy's, to the last bit. NumPy partitions all pixels for a percentile, and searches
    the bin of each for a histogram.

    Parameters
    ----------
    pixels
        Real numbers of any shape and dtype, at least one; none is NaN.

    Examples
    --------
    >>> light = Ranks(np.arange(101.0))
    >>> float(light.percentile(25)), light.histogram(2)[0].tolist()
    (25.0, [50, 51])
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = np.ravel(pixels)
        place = _place(self.pixels)
        self._lowest, highest = int(place.min()), int(place.max())
        self._shift = max((highest - self._lowest).bit_length() - _BITS, 0)
        place -= self._lowest
        place >>= self._shift
        self._bin = place.astype(np.uint16)
        self._count = np.bincount(self._bin)
        self._below = np.concatenate([[0], np.cumsum(self._count)])

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.pixels.size

    @cached_property
    def ends(self) -> np.ndarray:
        """The least and the largest value."""
        return self.at([0, self.size - 1])

    def at(self, ranks: Sequence[int] | np.ndarray) -> np.ndarray:
        """Values of the pixels that are at `ranks`, from 0, in ascending order."""
        wanted = np.asarray(ranks, np.int64)
        found = np.empty(wanted.shape, self.pixels.dtype)
        which = np.searchsorted(self._below, wanted, "right") - 1
        for each in np.unique(which):
            own = wanted[which == each] - self._below[each]
            alike = self.pixels[self._bin == each]
            found[which == each] = np.partition(alike, np.unique(own))[own]
        return found

    def at_most(self, value: float) -> int:
        """How many pixels are `value` or less."""
        return int(np.count_nonzero(self.pixels <= value))

    def percentile(
        self,
        percent: float | Sequence[float],
        count: int | None = None,
        change: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> np.ndarray:
        """`np.percentile`, of the `count` least pixels, after a `change` that keeps their order."""
        last = (self.size if count is None else count) - 1
        place = last * np.true_divide(percent, 100)
        low = np.floor(place).astype(np.int64)
        ends = self.at(np.stack([low, np.minimum(low + 1, last)]))
        below, above = ends if change is None else change(ends)
        share = place - low
        if np.ndim(percent) == 0:
            share = float(share)  # as NumPy, which then keeps single precision
        step = above - below
        return np.where(share < 0.5, below + step * share, above - step * (1 - share))[()]

    def median(self, count: int, change: Callable[[np.ndarray], np.ndarray]) -> float:
        """`np.median` of the `count` least pixels, after a `change` that keeps or turns their order."""
        return float(np.median(change(self.at([(count - 1) // 2, count // 2]))))

    def histogram(
        self, bins: int, limits: tuple[float, float] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """`np.histogram`: counts (bins,), edges (bins + 1,)."""
        edges = np.histogram_bin_edges(self.ends, bins, limits)
        at = (_place(edges) - self._lowest) >> self._shift
        at = np.clip(at, -1, len(self._count))
        looked = np.zeros(len(self._count) + 2, bool)
        looked[at] = True  # -1, and one past the last: none of the pixels
        looked = looked[:-2]
        beside = np.sort(self.pixels[looked[self._bin]])
        surely = np.concatenate([[0, 0], np.cumsum(np.where(looked, 0, self._count))])
        less = surely[at + 1] + np.searchsorted(beside, edges)
        less[-1] += np.searchsorted(beside, edges[-1], "right") - np.searchsorted(beside, edges[-1])
        return np.diff(less), edges

    def otsu(self) -> float:
        """Otsu's threshold, as scikit-image's of 256 bins where pixels are floats."""
        from skimage.filters import threshold_otsu

        low, high = self.ends
        if low == high:
            return float(low)
        counts, edges = self.histogram(256)
        return float(threshold_otsu(hist=(counts, (edges[:-1] + edges[1:]) / 2)))


def _place(values: np.ndarray) -> np.ndarray:
    """int64 that rise as `values` do, rounded to single precision: their bits."""
    bits = (values.astype(np.float32) + 0).view(np.int32)  # -0 + 0 is 0
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)
