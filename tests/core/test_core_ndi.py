"""Filters of our own give SciPy's values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as scipy_ndi

from cyto_kedro.core import ndi

DTYPES = (np.float32, np.int32, np.uint32, bool)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 3), (5, 40), (33, 64), (4, 9, 20)])
def test_extremes_in_squares(shape: tuple[int, ...], dtype: type) -> None:
    values = np.random.default_rng(1).normal(20, 9, shape)
    image = values > 25 if dtype is bool else values.astype(dtype)
    for size in (1, 3, 5, 9, 41):
        for mode in ("nearest", "reflect", "mirror"):
            for name in ("minimum_filter", "maximum_filter"):
                found = getattr(ndi, name)(image, size, mode=mode)
                expected = getattr(scipy_ndi, name)(image, size, mode=mode)
                np.testing.assert_array_equal(found, expected, f"{name} {size} {mode}")
                assert found.dtype == image.dtype


def test_even_windows_and_other_edges_are_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        ndi.minimum_filter(np.zeros((9, 9)), 4)
    with pytest.raises(ValueError, match="constant"):
        ndi.maximum_filter(np.zeros((9, 9)), 3, mode="constant")


def test_all_else_is_scipys() -> None:
    assert ndi.gaussian_filter is scipy_ndi.gaussian_filter
