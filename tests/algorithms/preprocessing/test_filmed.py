"""What was filmed: margins of every origin are found; backgrounds and saturation are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage as ndi

from cyto_kedro.algorithms.preprocessing.filmed import filmed

Y, X = np.mgrid[:200, :240]


def scene(
    dtype: Any = np.uint16, level: float = 100, noise: float = 2.0, seed: int = 0
) -> np.ndarray:
    """Blurred cells on the noise of a camera."""
    rng = np.random.default_rng(seed)
    cells = np.zeros(Y.shape)
    for y, x in rng.uniform(10, 190, (12, 2)):
        cells = np.maximum(cells, 60 * ((Y - y) ** 2 + (X - x) ** 2 < 90))
    image = level + ndi.gaussian_filter(cells, 2) + rng.normal(0, noise, Y.shape)
    return (
        image.astype(dtype) if np.dtype(dtype).kind == "f" else image.round().clip(0).astype(dtype)
    )


MARGINS = {
    "top rows": Y < 8,
    "one row": Y < 1,
    "one column on the right": X >= 239,
    "two sides": (Y >= 190) | (X < 11),
    "frame": (Y < 5) | (Y > 190) | (X < 7) | (X > 230),
    "turned": np.abs((Y - 100) * np.cos(0.3) + (X - 120) * np.sin(0.3)) > 100,
    "one tile of a mosaic missing": (Y < 100) & (X > 150),
    "shifted tiles": ((X < 120) & (Y < 9)) | ((X >= 120) & (Y >= 188)),
    "round field stop": (Y - 100) ** 2 + (X - 120) ** 2 > 98**2,
}


@pytest.mark.parametrize("margin", MARGINS.values(), ids=MARGINS)
@pytest.mark.parametrize(
    ("dtype", "level", "noise"),
    [(np.uint16, 100, 2.0), (np.uint8, 12, 1.5), (np.float32, 0.0, 2.0), (np.uint8, 8, 0.6)],
)
def test_margins_of_zeros(margin: np.ndarray, dtype: Any, level: float, noise: float) -> None:
    image = scene(dtype, level, noise)
    image[margin] = 0
    np.testing.assert_array_equal(filmed(image), ~margin)


@pytest.mark.parametrize("value", [0, 17, 65_535])
def test_margin_of_another_value(value: int) -> None:
    image = scene()
    image[:6] = value
    np.testing.assert_array_equal(filmed(image), Y >= 6)


def test_nan_is_not_filmed() -> None:
    image = scene(np.float32)
    image[:, :9] = np.nan
    np.testing.assert_array_equal(filmed(image), X >= 9)


def test_a_turned_frame_loses_what_interpolation_mixed() -> None:
    turned = ndi.rotate(scene(np.float64), 7, reshape=True, order=1, cval=0.0)
    whole = ndi.rotate(np.ones(Y.shape), 7, reshape=True, order=1, cval=0.0)
    found = filmed(turned)
    assert not found[whole < 0.5].any()
    assert found[whole == 1].mean() > 0.999
    assert turned[found].min() > 80


BACKGROUNDS = {
    "noise": scene(),
    "dim 8 bit, a third zeros": scene(np.uint8, 0.5, 1.0),
    "dim 8 bit, nearly all zeros": scene(np.uint8, 0, 0.3),
    "cells on an even background": (scene(np.float32, 0, 0) > 5) * scene(np.float32, 0, 0),
    "one spheroid that fades": np.maximum(200 - np.hypot(Y - 100, X - 120) * 2.5, 0).astype(
        np.uint8
    ),
    "black": np.zeros(Y.shape, np.uint16),
    "saturated corner": np.where((Y < 40) & (X < 50), 4095, scene()).astype(np.uint16),
    "mask of one cell": ((Y > 50) & (X > 50) & (Y < 90) & (X < 90)).astype(np.uint16),
    "mask of many cells": ((Y // 20) % 2 * ((X // 20) % 2) * (1 + Y // 20 * 12 + X // 20)).astype(
        np.uint16
    ),
    "mask of half the frame": (Y > 90).astype(np.uint16),
}


@pytest.mark.parametrize("image", BACKGROUNDS.values(), ids=BACKGROUNDS)
def test_whatever_is_no_margin_was_filmed(image: np.ndarray) -> None:
    assert filmed(image).all()


def test_a_dim_background_beside_a_margin() -> None:
    image = scene(np.uint8, 0.6, 1.0)  # a third of the filmed pixels are zeros too
    image[:20] = 0
    found = filmed(image)
    assert not found[:19].any()
    assert found[22:].all()  # single zeros that touch the margin go with it


def test_film_by_frames() -> None:
    film = np.stack([scene(seed=i) for i in range(4)])
    for t, frame in enumerate(film[:3]):
        frame[: t + 1] = 0  # a stage that drifts, registered elsewhere
    film[3] = 0  # the lamp was off
    masks = filmed(film)
    assert [int((~each).sum()) for each in masks] == [240, 480, 720, 0]
