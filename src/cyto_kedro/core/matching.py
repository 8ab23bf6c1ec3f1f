"""Cells of two label images that are the same cells."""

from __future__ import annotations

import numpy as np


def partners(a: np.ndarray, b: np.ndarray, least_iou: float = 0.5) -> np.ndarray:
    """Labels (2, n) of two label images (Y, X) that are one cell: they overlap by over `least_iou`.

    Intersection over union; from one half on no cell can have two partners.
    """
    if not 0.5 <= least_iou < 1:
        raise ValueError(f"least_iou must be 0.5 or more, and below 1: {least_iou}")
    width = int(b.max(initial=0)) + 1
    pair, both = np.unique(a.ravel().astype(np.int64) * width + b.ravel(), return_counts=True)
    of_a, of_b = pair // width, pair % width
    area_a, area_b = np.bincount(of_a, both), np.bincount(of_b, both)
    iou = both / (area_a[of_a] + area_b[of_b] - both)
    same = (of_a > 0) & (of_b > 0) & (iou > least_iou)
    return np.stack((of_a[same], of_b[same]))


def n_matched(true: np.ndarray, found: np.ndarray, least_iou: float = 0.5) -> int:
    """How many cells of two label images (Y, X) are `partners`."""
    return int(partners(true, found, least_iou).shape[1])


def n_cells(label: np.ndarray) -> int:
    """How many cells a label image holds."""
    return int(np.count_nonzero(np.bincount(np.asarray(label, np.int64).ravel())[1:]))
