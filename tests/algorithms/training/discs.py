"""Masks of nine discs, none in its place."""

from __future__ import annotations

import numpy as np


def discs(
    rng: np.random.Generator, at: tuple[int, int, int], jitter: int, radius: float
) -> np.ndarray:
    """Labels (128, 128) of discs about `at`, moved by up to `jitter` pixels."""
    y, x = np.mgrid[:128, :128]
    label = np.zeros((128, 128), np.uint32)
    for number, (cy, cx) in enumerate(((y, x) for y in at for x in at), 1):
        cy, cx = np.array((cy, cx)) + rng.integers(-jitter, jitter + 1, 2)
        label[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = number
    return label
