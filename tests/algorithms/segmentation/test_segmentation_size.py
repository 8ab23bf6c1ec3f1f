"""How wide cells are without being told: even ones, textured ones, and a word where it is not clear."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy import ndimage as ndi

from cyto_kedro.algorithms.preprocessing.parts import Part
from cyto_kedro.algorithms.segmentation.size import CellSize, cell_size
from cyto_kedro.registry import build


def nuclei(
    diameter: float, snr: float, clumps: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Sparse nuclei, even or a few bright clumps each, in noise: image (Y, X) float32, true labels."""
    rng = np.random.default_rng(seed)
    size = int(np.clip(diameter * 9, 200, 520))
    y, x = np.mgrid[:size, :size]
    truth, signal = np.zeros((size, size), int), np.zeros((size, size))
    step = int(diameter * 2)
    for cy in range(step // 2 + 4, size - step // 3, step):
        for cx in range(step // 2 + 4, size - step // 3, step):
            a, b = diameter / 2 * rng.uniform(0.9, 1.15, 2)
            inside = ((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 < 1
            truth[inside] = truth.max() + 1
            texture = np.full(truth.shape, 0.0 if clumps else 0.5)
            for _ in range(clumps):
                at_y, at_x = cy + rng.uniform(-0.6, 0.6) * a, cx + rng.uniform(-0.6, 0.6) * b
                spread = 2 * (diameter * rng.uniform(0.1, 0.15)) ** 2
                distance = (y - at_y) ** 2 + (x - at_x) ** 2
                texture += rng.uniform(0.5, 1) * np.exp(-distance / spread)
            signal += inside * (0.12 + texture)
    image = 100 + ndi.gaussian_filter(100 * signal, 1.2)
    return (image + rng.normal(0, 60 / snr, image.shape)).astype(np.float32), truth


def f1(truth: np.ndarray, label: np.ndarray) -> float:
    pair, both = np.unique(np.stack((truth.ravel(), label.ravel())), axis=1, return_counts=True)
    a, b = pair.astype(int)
    areas = np.bincount(truth.ravel())[a], np.bincount(label.ravel())[b]
    hits = ((a > 0) & (b > 0) & (both > 0.5 * (areas[0] + areas[1] - both))).sum()
    return float(2 * hits / (truth.max() + label.max()))


@pytest.mark.parametrize("diameter", [14, 25, 40, 80])
@pytest.mark.parametrize("snr", [5, 15])
def test_even_cells_are_as_wide_as_both_ways_say(diameter: int, snr: int) -> None:
    size = cell_size([Part(nuclei(diameter, snr, 0)[0])])
    assert size is not None and size.clear
    assert size.diameter == pytest.approx(diameter, rel=0.25)


@pytest.mark.parametrize("diameter", [40, 55, 80])
def test_textured_nuclei_are_not_taken_for_their_clumps(diameter: int) -> None:
    image, truth = nuclei(diameter, 10, 9)
    size = cell_size([Part(image)])
    assert size is not None and size.diameter > 0.6 * diameter
    found = build("segmentation", "LocalThreshold")({"image": image[None]})["label"][0]
    as_blobs = {"diameter_px": size.blobs}
    cut = build("segmentation", "LocalThreshold", as_blobs)({"image": image[None]})["label"][0]
    assert f1(truth, found) >= 0.9 and f1(truth, found) >= f1(truth, cut)


def test_doubt_is_said_with_field_frame_and_diameter(caplog: pytest.LogCaptureFixture) -> None:
    image = nuclei(60, 15, 4)[0]
    data = {"image": np.stack([image, image]), "fov": "B07", "frame_start": 30}
    with caplog.at_level(logging.WARNING):
        build("segmentation", "Otsu")(data)
    assert len(caplog.messages) == 1
    for word in ("B07", "Otsu", "2 of 2 frames", "frame 31", "px is assumed", "diameter_um"):
        assert word in caplog.messages[0]
    caplog.clear()
    build("segmentation", "Otsu", {"diameter_px": 60})(data)
    build("segmentation", "Otsu")({"image": nuclei(40, 15, 0)[0][None]})
    assert not caplog.messages


def test_the_larger_one_is_assumed() -> None:
    assert CellSize(20, None).diameter == 20 and CellSize(20, None).clear
    assert CellSize(20, 50).diameter == pytest.approx(0.87 * 50) and not CellSize(20, 50).clear
    assert CellSize(20, 21).diameter == 20 and CellSize(20, 30).clear
    assert cell_size([Part(np.zeros((8, 8), np.float32))]) is None
