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


@pytest.mark.parametrize("mode", ["reflect", "nearest", "mirror"])
@pytest.mark.parametrize("shape", [(1, 3), (5, 40), (200, 64), (601, 71)])
def test_gaussians_in_strips(shape: tuple[int, int], mode: str) -> None:
    noise = np.random.default_rng(2).normal(20, 9, shape)
    for image in (noise.astype(np.float32), noise, noise.astype(np.float32)[:, ::-1]):
        for sigma in (0.0, 0.5, 1.7, 9.0):
            for given in ({}, {"output": np.float32}, {"order": (0, 2)} if sigma else {}):
                found = ndi.gaussian_filter(image, sigma, mode=mode, **given)
                expected = scipy_ndi.gaussian_filter(image, sigma, mode=mode, **given)
                np.testing.assert_array_equal(found, expected, f"{sigma} {given}")
                assert found.dtype == expected.dtype
            if sigma:
                found = ndi.gaussian_laplace(image, sigma, mode=mode)
                expected = scipy_ndi.gaussian_laplace(image, sigma, mode=mode)
                np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(1, 3), (64, 40), (600, 64)])
def test_slopes_in_strips(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(3).normal(20, 9, shape).astype(np.float32)
    for axis in (0, 1):
        np.testing.assert_array_equal(ndi.sobel(image, axis), scipy_ndi.sobel(image, axis))
    for each in (image, image.astype(float)):
        np.testing.assert_array_equal(ndi.laplace(each), scipy_ndi.laplace(each))
    second = (1.0, -2.0, 1.0)
    expected = scipy_ndi.convolve1d(scipy_ndi.convolve1d(image, second, 0), second, 1)
    np.testing.assert_array_equal(ndi.second_differences(image), expected)


def test_stacks_are_filtered_by_scipy() -> None:
    image = np.random.default_rng(4).normal(20, 9, (3, 20, 30))
    found = ndi.gaussian_filter(image, (0, 2, 2), mode="nearest")
    np.testing.assert_array_equal(
        found, scipy_ndi.gaussian_filter(image, (0, 2, 2), mode="nearest")
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (70, 3), (150, 90)])
@pytest.mark.parametrize("share", [0.002, 0.05, 0.5])
def test_nearest_pixels(shape: tuple[int, int], share: float) -> None:
    rng = np.random.default_rng(5)
    for mask in (rng.random(shape) < share, scipy_ndi.gaussian_filter(rng.random(shape), 2) > 0.51):
        mask[0, 0] = True
        away, place = scipy_ndi.distance_transform_edt(~mask, return_indices=True)
        index = place[0] * shape[1] + place[1]
        for reach in (0.0, 1.0, 2.9, 7.3, 22.9, 23.0, 30.5, 31.0, 500.0):
            pixel, distance, of = ndi.nearest(mask, reach)
            np.testing.assert_array_equal(pixel, np.flatnonzero(away <= reach))
            np.testing.assert_array_equal(distance, away[away <= reach])
            np.testing.assert_array_equal(of, index[away <= reach])
    assert not ndi.nearest(np.zeros(shape, bool), 4.0)[0].size


def test_all_else_is_scipys() -> None:
    assert ndi.median_filter is scipy_ndi.median_filter
