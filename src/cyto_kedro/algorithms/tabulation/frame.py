"""One frame of cells and images, with what several measures share computed once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cyto_kedro.algorithms.tabulation.masks import Masks, spans
from cyto_kedro.algorithms.tabulation.outline import Outlines, measure_outlines
from cyto_kedro.errors import InputError

#: unsigned integers of which sums and sums of squares of a cell fit wider integers
SMALL = (np.dtype(np.uint8), np.dtype(np.uint16))


@dataclass
class FrameCells:
    """The cells of one frame and the images they are measured on.

    Per-cell arrays are in the order of ``masks.labels``; per-pixel arrays are grouped by cell.
    """

    masks: Masks
    images: dict[str, np.ndarray]  #: channel -> (Y, X)
    where: str = "frame 0"  #: field, population and frame, for messages
    pixel_size_um: float | None = None
    #: channel -> (Y, X) bool, which pixels were filmed, of channels where it is not all of them
    filmed: dict[str, np.ndarray] = field(default_factory=dict)
    _held: dict[Hashable, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.masks.labels)

    @cached_property
    def count(self) -> np.ndarray:
        """Pixels of every cell, (n_cells,) int64."""
        length = self.masks.run_x1 - self.masks.run_x0 + 1
        return np.add.reduceat(length, spans(self.masks.run_cell)[0])

    @cached_property
    def start(self) -> np.ndarray:
        """Place of every cell's first pixel in the per-pixel arrays, (n_cells,) int64."""
        return np.cumsum(self.count) - self.count

    @cached_property
    def pixels(self) -> np.ndarray:
        """Index of all cell pixels in the raveled frame, (n_pixels,)."""
        masks = self.masks
        start = masks.run_y * masks.shape[1] + masks.run_x0
        length = masks.run_x1 - masks.run_x0 + 1
        # Steps of one pixel, and of what leads from the end of a run to the next.
        step = np.ones(int(length.sum()), np.int64)
        begin = np.cumsum(length) - length
        step[begin] = np.diff(start, prepend=0) - np.append(0, length[:-1])[: len(length)] + 1
        step[:1] -= 1
        return np.cumsum(step, out=step)

    @cached_property
    def owner(self) -> np.ndarray:
        """Index of the cell of every cell pixel, (n_pixels,)."""
        return np.repeat(np.arange(len(self)), self.count)

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of every cell pixel, (n_pixels,) each."""
        y, x = np.divmod(self.pixels, self.masks.shape[1])
        return y, x

    @cached_property
    def outlines(self) -> Outlines:
        """Lengths of the outlines."""
        return measure_outlines(self.masks)

    def shared(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` returns, made once a frame for each `key`."""
        if key not in self._held:
            self._held[key] = make()
        return self._held[key]

    def values(self, channel: str) -> np.ndarray:
        """Values of all cell pixels in `channel`, in its dtype, (n_pixels,)."""
        return self.shared(("values", channel), lambda: self.images[channel].take(self.pixels))

    def total(self, channel: str) -> np.ndarray:
        """Sum of every cell, (n_cells,) float64.

        Raises InputError if a pixel within a cell is not finite.
        """
        return self.shared(("total", channel), lambda: self._total(channel))

    def _total(self, channel: str) -> np.ndarray:
        values = self.values(channel)
        if values.dtype in SMALL and self.count.max(initial=0) < 1 << 16:  # fits 32 bits: faster
            return np.add.reduceat(values, self.start, dtype=np.uint32).astype(np.float64)
        total = np.add.reduceat(values, self.start, dtype=np.float64)
        if not np.isfinite(total).all():
            raise InputError(
                f"{self.where}, channel {channel!r}: {int((~np.isfinite(values)).sum())} pixels "
                "within cells are NaN or infinite, so intensities cannot be measured; mend the "
                "image or exclude the frame"
            )
        return total

    def ordered(self, channel: str) -> np.ndarray:
        """Values of `channel` grouped by cell and sorted within each, in its dtype."""
        return self.shared(
            ("ordered", channel), lambda: sorted_by_cell(self.values(channel), self.count)
        )

    def quantile(self, channel: str, q: float) -> np.ndarray:
        """Quantile `q` of every cell, linear between order statistics as in `numpy.quantile`."""
        ordered, place = self.ordered(channel), q * (self.count - 1)
        below = np.floor(place).astype(np.int64)
        low = ordered[self.start + below].astype(np.float64)
        high = ordered[self.start + np.minimum(below + 1, self.count - 1)]
        return low + (high - low) * (place - below)


def ratio_of(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """`over` / `under`, NaN where `under` is not above 0."""
    return np.divide(over, under, out=np.full(len(over), np.nan), where=under > 0)


def sorted_by_cell(values: np.ndarray, count: np.ndarray) -> np.ndarray:
    """`values`, grouped by cell, sorted within each cell.

    Cell and value share one unsigned integer where they fit, so that a plain sort does both.
    """
    n = len(count)
    if values.dtype.kind in "ub" and values.dtype.itemsize <= 2 and n <= 1 << 16:
        key = np.repeat(np.arange(n, dtype=np.uint32) << np.uint32(16), count)
        key |= values
        key.sort()
        return key.astype(np.uint16)
    if values.dtype == np.float32:
        # IEEE bits sort like the numbers once negatives are inverted and positives lifted.
        bits = values.view(np.uint32)
        sign = np.uint32(1 << 31)
        key = np.repeat(np.arange(n, dtype=np.uint64) << np.uint64(32), count)
        key |= np.where(bits & sign, ~bits, bits | sign)
        key.sort()
        bits = key.astype(np.uint32)
        return np.where(bits & sign, bits ^ sign, ~bits).view(np.float32)
    order = np.argsort(values)
    cell = np.repeat(np.arange(n, dtype=np.min_scalar_type(n)), count)
    return values[order[np.argsort(cell[order], kind="stable")]]
