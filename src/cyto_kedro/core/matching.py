"""Cells of two label images that are the same cells."""

from __future__ import annotations

import numpy as np


def n_matched(true: np.ndarray, found: np.ndarray, least_iou: float = 0.5) -> int:
    """How many cells of two label images (Y, X) are the same: they overlap by over `least_iou`.

    Intersection over union; from one half on no cell can have two partners.
    """
    if not 0.5 <= least_iou < 1:
        raise ValueError(f"least_iou must be 0.5 or more, and below 1: {least_iou}")
    true, found = np.asarray(true, np.int64), np.asarray(found, np.int64)
    area_true, area_found = np.bincount(true.ravel()), np.bincount(found.ravel())
    both = (true > 0) & (found > 0)
    pair, shared = np.unique(true[both] * area_found.size + found[both], return_counts=True)
    a, b = np.divmod(pair, area_found.size)
    return int((shared / (area_true[a] + area_found[b] - shared) > least_iou).sum())


def n_cells(label: np.ndarray) -> int:
    """How many cells a label image holds."""
    return int(np.count_nonzero(np.bincount(np.asarray(label, np.int64).ravel())[1:]))
