"""Percentiles, medians, histograms and Otsu's threshold are NumPy's and scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from cyto_kedro.core.ranks import Ranks

RNG = np.random.default_rng(6)
NOISE = RNG.normal(0, 12, 9000)
PIXELS = {
    "noise": NOISE.astype(np.float32),
    "cells": np.maximum(NOISE, 300 * RNG.random(9000) ** 9 - 5).astype(np.float32),
    "double": NOISE + 1e5,
    "small": (NOISE * 1e-30).astype(np.float32),
    "halves": np.round(NOISE / 6).astype(np.float32) / 2,
    "whole": np.round(NOISE + 90).astype(np.uint16),
    "zeros": np.where(NOISE > 20, NOISE, 0).astype(np.float32),
    "signed zeros": np.sign(NOISE).astype(np.float32) * (NOISE > 9),
    "one value": np.full(50, 3.5, np.float32),
    "one": np.float32([2.25]),
    "two": np.float32([-4, 7]),
    "image": NOISE.astype(np.float32).reshape(90, 100).T,
}


@pytest.mark.parametrize("name", PIXELS)
def test_answers_are_numpys(name: str) -> None:
    pixels = PIXELS[name]
    light, ordered = Ranks(pixels), np.sort(pixels, axis=None)
    some = RNG.integers(0, pixels.size, 40)
    np.testing.assert_array_equal(light.at(some), ordered[some])
    for percent in (0, 1, 37.5, 50, 99.9, 100, (0.5, 100), (0.1, 2, 99.5, 99.9)):
        found, expected = light.percentile(percent), np.percentile(pixels, percent)
        np.testing.assert_array_equal(found, expected)
        assert np.asarray(found).dtype == np.asarray(expected).dtype
    for bins, limits in (
        *((256, None), (1, None), (64, (ordered[0], ordered[-1]))),
        *((128, (-7.3, 22.1)), (9, (0, 9.5)), (5, (1e6, 2e6)), (5, (-2e6, -1e6))),
    ):
        counts, edges = light.histogram(bins, limits)
        expected_counts, expected_edges = np.histogram(pixels, bins, limits)
        np.testing.assert_array_equal(edges, expected_edges)
        np.testing.assert_array_equal(counts, expected_counts)
    assert light.otsu() == float(
        threshold_otsu(np.asarray(pixels, float if name == "whole" else None))
    )


@pytest.mark.parametrize("count", [1, 2, 4001, 9000])
def test_of_the_least_and_of_what_is_made_of_them(count: int) -> None:
    pixels = PIXELS["cells"]
    light, least = Ranks(pixels), np.sort(pixels)[:count]
    assert light.percentile(75, count) == np.percentile(least, 75)
    assert light.median(count, lambda x: 3.1 - x) == np.median(3.1 - least)

    def root(x: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(x - 2.5, 0))

    assert light.percentile(99.9, change=root) == np.percentile(root(pixels), 99.9)
