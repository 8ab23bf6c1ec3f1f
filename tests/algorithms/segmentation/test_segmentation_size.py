"""How wide cells are without being told: even ones, textured ones, and a word where it is not clear."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy import ndimage as ndi

from cyto_kedro.algorithms.preprocessing.parts import Part
from cyto_kedro.algorithms.segmentation.frames import FieldFrame
from cyto_kedro.algorithms.segmentation.size import (
    AssumedSize,
    CellSize,
    _opened,
    assumed,
    cell_size,
    film_size,
    spread,
)
from cyto_kedro.registry import build


def nuclei(
    diameter: float, snr: float, clumps: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Sparse nuclei, even or a few bright clumps each, in noise: image (Y, X) float32, true labels."""
    rng = np.random.default_rng(seed)
    size = int(np.clip(diameter * 9, 200, 520))
    y, x = np.mgrid[:size, :size]
    truth, signal = np.zeros((size, size), int), np.zeros((size, size))
    step, reach, number = int(diameter * 2), int(diameter), 0
    for cy in range(step // 2 + 4, size - step // 3, step):
        for cx in range(step // 2 + 4, size - step // 3, step):
            a, b = diameter / 2 * rng.uniform(0.9, 1.15, 2)
            near = tuple(slice(max(c - reach, 0), c + reach + 1) for c in (cy, cx))
            rows, columns = y[near], x[near]
            inside = ((rows - cy) / a) ** 2 + ((columns - cx) / b) ** 2 < 1
            truth[near][inside] = number = number + 1
            texture = np.full(inside.shape, 0.0 if clumps else 0.5)
            for _ in range(clumps):
                at_y, at_x = cy + rng.uniform(-0.6, 0.6) * a, cx + rng.uniform(-0.6, 0.6) * b
                spread = 2 * (diameter * rng.uniform(0.1, 0.15)) ** 2
                distance = (rows - at_y) ** 2 + (columns - at_x) ** 2
                texture += rng.uniform(0.5, 1) * np.exp(-distance / spread)
            signal[near] += inside * (0.12 + texture)
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


def frames_of(images: list[np.ndarray]) -> list[FieldFrame]:
    return [FieldFrame(each, each, number=number) for number, each in enumerate(images)]


def film(diameter: float, count: int, empty: int, clumps: int = 4) -> np.ndarray:
    """`count` frames of textured nuclei, and `empty` ones of noise alone before and after them."""
    rng = np.random.default_rng(7)
    shown = [nuclei(diameter, 10, clumps, seed)[0] for seed in range(count)]
    shape = nuclei(diameter, 10, clumps)[0].shape
    noise = [rng.normal(100, 6, shape).astype(np.float32) for _ in range(empty)]
    return np.stack([*noise[: empty // 2], *shown, *noise[empty // 2 :]])


@pytest.mark.parametrize("diameter", [8, 14, 25, 40, 80])
@pytest.mark.parametrize("clumps", [0, 4, 9])
def test_a_film_has_one_size_near_the_true_one(diameter: int, clumps: int) -> None:
    images = [nuclei(diameter, snr, clumps, seed)[0] for seed, snr in enumerate((5, 10, 15))]
    size = film_size(frames_of(images))
    assert size is not None and size.sure and size.n_frames == 3
    assert size.diameter == pytest.approx(diameter, rel=0.35)


def test_empty_frames_have_no_say_in_a_films_size() -> None:
    alone, among = (film_size(frames_of(list(film(30, 3, empty)))) for empty in (0, 9))
    assert alone == among
    assert film_size(frames_of(list(film(30, 0, 4)))) is None


def test_all_frames_of_a_film_are_segmented_with_one_size_whatever_the_blocks() -> None:
    images = np.stack([nuclei(30, 15, clumps, 0)[0] for clumps in (0, 3, 0, 6, 3, 0, 6, 0, 3)])
    engine = build("segmentation", "Otsu")
    size = engine.film_size(images)
    whole = engine({"image": images})["label"]
    for length in (1, 4):
        for start in range(0, len(images), length):
            block = images[start : start + length]
            told = engine({"image": block, "typical_diameter_px": size.diameter})["label"]
            assert np.array_equal(told, whole[start : start + length])


def test_frames_are_taken_from_all_over_the_film() -> None:
    assert sorted(spread(13)) == list(range(13)) and list(spread(1)) == [0]
    first = sorted(list(spread(1000))[:8])
    assert first[0] == 0 and max(np.diff(first)) <= 130


def test_two_ways_that_agree_are_believed() -> None:
    assert CellSize(20, 21, 60).believed == ("blobs", "regions")  # widths are of crowds
    textured = CellSize(10, 40, 45)  # blobs are clumps
    assert textured.believed == ("regions", "widths") and 35 < textured.diameter < 45
    assert CellSize(20, 22, 23).clear and not textured.clear
    unsure = CellSize(10, 25, 60)
    assert not unsure.sure and unsure.diameter == pytest.approx(0.87 * 60)
    assert "the safe one" in unsure.doubt() and "agree" in textured.doubt()
    assert CellSize(20, 22, 23).doubt() == ""
    tiny = CellSize(6, 6, 6)  # phase contrast, taken for fluorescence
    assert tiny.sure and not tiny.clear and "no fluorescence" in tiny.doubt()


def test_what_a_film_is_segmented_with() -> None:
    sure, unsure = CellSize(20, 22, 24), CellSize(8, 22, 70)
    assert assumed(sure) == AssumedSize(sure.diameter, "film")
    assert assumed(unsure).diameter == unsure.diameter and assumed(unsure).doubt
    assert assumed(None) == AssumedSize(None, "none")


def test_doubt_is_said_with_field_and_diameter(caplog: pytest.LogCaptureFixture) -> None:
    image = nuclei(80, 15, 4, 1)[0]
    data = {"image": np.stack([image, image]), "fov": "B07", "frame_start": 30}
    size = build("segmentation", "Otsu").film_size(data["image"])
    assert size is not None and size.doubt()
    with caplog.at_level(logging.WARNING):
        build("segmentation", "Otsu")(data)
    assert len(caplog.messages) == 1
    for word in ("B07", "Otsu", "px is assumed", "diameter_um"):
        assert word in caplog.messages[0]
    caplog.clear()
    build("segmentation", "Otsu", {"diameter_px": 60})(data)
    build("segmentation", "Otsu")({"image": nuclei(40, 15, 0)[0][None]})
    assert not caplog.messages


def test_what_is_many_times_as_large_as_a_cell_is_none() -> None:
    y, x = np.mgrid[:300, :300]
    image = nuclei(20, 15, 0)[0][:200, :200]
    image = np.pad(image, ((0, 100), (0, 100)), mode="reflect")
    image += 200 * ((y - 220) ** 2 + (x - 220) ** 2 < 75**2)
    for name in ("Otsu", "LocalThreshold", "Nuclei", "Li"):
        label = build("segmentation", name, {"diameter_px": 20})({"image": image[None]})["label"]
        assert np.bincount(label.ravel())[1:].max() <= 10 * np.pi / 4 * 20**2


@pytest.mark.parametrize("radius", [0.0, 1.0, 2.3, 5**0.5, 7.1, 19.4])
def test_foreground_under_discs_is_an_opening(radius: float) -> None:
    mask = np.pad(ndi.gaussian_filter(np.random.default_rng(5).normal(size=(120, 150)), 6) > 0, 25)
    at = np.arange(-20, 21)
    disc = np.hypot(at[:, None], at) <= radius
    expected = int(ndi.binary_opening(mask, disc).sum())
    assert _opened(ndi.distance_transform_edt(mask), radius) == expected
    assert expected or radius > 15
