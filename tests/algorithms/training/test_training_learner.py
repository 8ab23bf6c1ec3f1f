"""What learners have in common: how wide cells are over fields of different magnification."""

from __future__ import annotations

import numpy as np
import pytest

from cyto_kedro.algorithms.training.learner import Example, typical_diameter


def squares(n: int, side: int, pixel_size_um: float | None) -> Example:
    label = np.zeros((30, 30 * n), np.int64)
    for k in range(n):
        label[:side, 30 * k : 30 * k + side] = k + 1
    return Example(np.zeros(label.shape), label, pixel_size_um)


def test_the_typical_cell_is_the_median_of_all_each_in_its_own_pixels() -> None:
    """Three squares of 10 px at 0.5 um, one of 20 px at 1 um: the usual cell is 5 um wide."""
    of_area = 2 / np.sqrt(np.pi)  # diameter of a disc over the side of a square as large
    fields = [squares(3, 10, 0.5), squares(1, 20, 1.0)]
    assert typical_diameter(fields) == pytest.approx((10 * of_area, 5 * of_area))
    pixels, physical = typical_diameter([*fields, squares(1, 10, None)])
    assert pixels == pytest.approx(10 * of_area) and physical is None
