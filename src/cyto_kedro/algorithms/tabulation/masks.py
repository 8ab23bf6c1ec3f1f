"""What features and touches both read off one label frame: runs, outlines, ragged ranges.

A label frame is read as horizontal runs (stretches of one label in one row) and outline pixels,
which are far fewer than pixels; every step after is one NumPy call over all cells of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cyto_kedro.core.keys import ranges as ranges
from cyto_kedro.core.stack import read_frame as read_frame

# Largest label for which a table of all labels up to it is cheaper than a search.
_TABLE_SIZE = 1 << 20


@dataclass(frozen=True)
class Masks:
    """The cells of one label frame of shape (Y, X).

    ``flat`` is the frame with one pixel of background around it, raveled; ``outline`` indexes it:
    the pixels with a 4-neighbour that is not of their own label (beyond the image counts as not);
    ``rim`` marks them in a frame like ``flat``.
    Runs and outline are grouped by cell, each in raster order; ``run_cell`` and ``outline_cell``
    index `labels`, which are ascending. Rows and columns of runs are those of the frame;
    ``run_x1`` is inclusive.
    """

    labels: np.ndarray
    shape: tuple[int, int]
    flat: np.ndarray
    rim: np.ndarray
    outline: np.ndarray
    outline_cell: np.ndarray
    run_cell: np.ndarray
    run_y: np.ndarray
    run_x0: np.ndarray
    run_x1: np.ndarray

    @property
    def stride(self) -> int:
        """Distance in `flat` from a pixel to the one below it."""
        return self.shape[1] + 2


def read_masks(frame: np.ndarray) -> Masks:
    """Read the cells of `frame`, (Y, X) of an unsigned or non-negative integer dtype."""
    height, width = frame.shape
    stride = width + 2
    padded = np.zeros((height + 2, stride), frame.dtype)
    padded[1:-1, 1:-1] = frame
    flat = padded.ravel()
    # step[i]: pixel i differs from the one before it; the padding makes rows end in a step.
    step = np.zeros(len(flat) + 1, bool)
    np.not_equal(flat[1:], flat[:-1], out=step[1:-1])
    fall = np.zeros(len(flat) + stride, bool)
    np.not_equal(flat[stride:], flat[:-stride], out=fall[stride : len(flat)])
    rim = step[:-1] | step[1:]
    rim |= fall[: len(flat)]
    rim |= fall[stride:]
    rim &= flat != 0
    outline = np.flatnonzero(rim)

    cut = np.flatnonzero(step)
    value = flat[cut]
    start = np.flatnonzero(value)
    labels, run_cell = compact(value[start])
    order = by_cell(run_cell, len(labels))
    start, run_cell = start[order], run_cell[order]
    outline_cell = index_of(labels, flat[outline])
    order = by_cell(outline_cell, len(labels))
    run_y, run_x0 = np.divmod(cut[start], stride)
    return Masks(
        labels=labels,
        shape=(height, width),
        flat=flat,
        rim=rim,
        outline=outline.take(order),
        outline_cell=outline_cell.take(order),
        run_cell=run_cell,
        run_y=run_y - 1,
        run_x0=run_x0 - 1,
        # A run ends where the next step is: every run is followed by another or by background.
        run_x1=run_x0 - 2 + cut[start + 1] - cut[start] if len(start) else run_x0,
    )


def by_cell(cell: np.ndarray, n: int) -> np.ndarray:
    """Order that groups by `cell`, 0 .. n - 1, and keeps the order within; fast for small n."""
    return np.argsort(cell.astype(np.min_scalar_type(n)), kind="stable")


def compact(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct `values`, ascending, as int64, and the index of every value among them."""
    if len(values) == 0 or values.max() >= _TABLE_SIZE:
        labels, index = np.unique(values, return_inverse=True)
        return labels.astype(np.int64), index
    seen = np.zeros(int(values.max()) + 1, bool)
    seen[values] = True
    labels = np.flatnonzero(seen)
    return labels, index_of(labels, values)


def index_of(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Index of every one of `values` among the ascending `labels`, which hold them all."""
    if len(labels) == 0 or labels[-1] >= _TABLE_SIZE:
        return np.searchsorted(labels, values)
    table = np.zeros(labels[-1] + 1, np.int64)
    table[labels] = np.arange(len(labels))
    return table[values]


def spans(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last index of every stretch of equal values of `group`."""
    change = np.ones(len(group) + 1, bool)
    np.not_equal(group[1:], group[:-1], out=change[1:-1])
    edge = np.flatnonzero(change)
    return edge[:-1], edge[1:] - 1
