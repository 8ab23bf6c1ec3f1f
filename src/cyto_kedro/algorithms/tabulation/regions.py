"""Regions around and within the cells of a frame, as horizontal runs; no loop over cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cyto_kedro.algorithms.tabulation.masks import Masks, ranges, spans


class Runs(NamedTuple):
    """Stretches of columns ``x0 .. x1`` (inclusive) of row ``y`` that belong to ``cell``."""

    cell: np.ndarray
    y: np.ndarray
    x0: np.ndarray
    x1: np.ndarray

    def pixels(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Index of every pixel in the raveled frame of `width` columns, and its cell."""
        at, run = ranges(self.y * width + self.x0, self.x1 - self.x0 + 1)
        return at, self.cell[run]


def cell_runs(masks: Masks) -> Runs:
    """The cells themselves."""
    return Runs(masks.run_cell, masks.run_y, masks.run_x0, masks.run_x1)


def dilate(runs: Runs, radius: float, shape: tuple[int, int]) -> Runs:
    """All pixels of the frame at most `radius` from a pixel of the same cell, centre to centre.

    Cells do not hinder each other: two of these regions may overlap. Runs of a cell do not.
    """
    dy = np.arange(-int(radius), int(radius) + 1)
    half = np.sqrt(radius * radius - dy * dy).astype(np.int64)
    y = runs.y[:, None] + dy
    inside = (y >= 0) & (y < shape[0])
    x0 = np.maximum(runs.x0[:, None] - half, 0)
    x1 = np.minimum(runs.x1[:, None] + half, shape[1] - 1)
    cell = np.broadcast_to(runs.cell[:, None], y.shape)
    start, end = _ends(Runs(cell[inside], y[inside], x0[inside], x1[inside]), shape)
    start.sort()
    end.sort()
    # A run of the union begins where all earlier runs have ended, and ends where no other has begun.
    rank = np.arange(len(start))
    first = start[np.searchsorted(end, start, side="right") == rank]
    last = end[np.searchsorted(start, end, side="left") == rank + 1]
    return _runs(first, last, shape)


def subtract(runs: Runs, others: Runs, shape: tuple[int, int]) -> Runs:
    """Pixels of `runs` that are not of the same cell in `others`; runs of a cell do not overlap."""
    bounds = [np.sort(each) for each in (*_ends(runs, shape), *_ends(others, shape))]
    cuts = np.sort(np.concatenate(bounds))
    a0, a1, b0, b1 = (np.searchsorted(each, cuts, side="right") for each in bounds)
    piece = np.flatnonzero((a0 > a1) & (b0 == b1) & (np.diff(cuts, append=0) > 0))
    return _runs(cuts[piece], cuts[piece + 1], shape)


def ring(masks: Masks, gap_px: float, width_px: float) -> Runs:
    """Pixels farther than `gap_px` from a cell, and at most `gap_px` + `width_px`."""
    runs = cell_runs(masks)
    inner, outer = (dilate(runs, each, masks.shape) for each in (gap_px, gap_px + width_px))
    return subtract(outer, inner, masks.shape)


def interior(masks: Masks, depth_px: float) -> Runs:
    """Pixels of every cell farther than `depth_px` from any pixel that is not of it.

    Beyond the frame is not of the cell.
    """
    height, width = masks.shape
    shape = height + 2, width + 2  # one pixel around the frame
    n = len(masks.labels)
    runs = Runs(masks.run_cell, masks.run_y + 1, masks.run_x0 + 1, masks.run_x1 + 1)
    first, last = spans(runs.cell)
    rows, owner = ranges(runs.y[first] - 1, runs.y[last] - runs.y[first] + 3)
    x0, x1 = np.minimum.reduceat(runs.x0, first), np.maximum.reduceat(runs.x1, first)
    # The pixel outside that is nearest to a pixel of the cell is at most one beyond its box.
    box = Runs(np.arange(n)[owner], rows, x0[owner] - 1, x1[owner] + 1)
    outside = subtract(box, runs, shape)
    kept = subtract(runs, dilate(outside, depth_px, shape), shape)
    return Runs(kept.cell, kept.y - 1, kept.x0 - 1, kept.x1 - 1)


def _ends(runs: Runs, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Start and end (exclusive) of every run as places along one line of all rows of all cells."""
    row = (runs.cell.astype(np.int64) * shape[0] + runs.y) * (shape[1] + 1)
    return row + runs.x0, row + runs.x1 + 1


def _runs(start: np.ndarray, end: np.ndarray, shape: tuple[int, int]) -> Runs:
    row, x0 = np.divmod(start, shape[1] + 1)
    cell, y = np.divmod(row, shape[0])
    return Runs(cell, y, x0, x0 + (end - start) - 1)
