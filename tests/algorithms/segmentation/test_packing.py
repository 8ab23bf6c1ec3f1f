"""A frame's few pixels moved together: nothing is lost, and filters give what the frame gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from cyto_kedro.algorithms.segmentation.cleanup import fill_holes, fill_label_holes
from cyto_kedro.algorithms.segmentation.frames import brightest_neighbour
from cyto_kedro.algorithms.segmentation.packing import Packing, depth, flood, within
from cyto_kedro.algorithms.segmentation.split import high_maxima, medians


def _smooth(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = rng.integers(3, 90, 2)
    image = ndi.gaussian_filter(rng.normal(size=shape), rng.uniform(0.3, 3))
    return (image / image.std()).astype(np.float32)


def test_parts_keep_their_form_and_do_not_touch() -> None:
    corners = np.ones((3, 3), bool)
    for seed in range(30):
        image = _smooth(seed)
        mask = image > 1
        packing = Packing.of(mask)
        small = packing.pack(image, -9)
        assert np.isin(small, [*image[mask], -9]).all()
        assert (small > -9).sum() == mask.sum()
        assert ndi.label(small > -9, corners)[1] == ndi.label(mask, corners)[1]
        assert small.size <= (mask.shape[0] + 2) * (mask.shape[1] + 2)
        np.testing.assert_array_equal(
            packing.unpack(small, np.full_like(image, -9))[mask], image[mask]
        )
        # every pixel has the neighbours it had
        around = [ndi.maximum_filter(np.where(a > -9, a, -9), 3, mode="constant", cval=-9) for a in
                  (np.where(mask, image, -9), small)]  # fmt: skip
        np.testing.assert_array_equal(
            packing.unpack(around[1], around[0].copy())[mask], around[0][mask]
        )


def test_far_apart_cells_take_little_room() -> None:
    mask = np.zeros((1000, 1000), bool)
    mask[::100, ::100] = True
    assert np.prod(Packing.of(mask).shape) < 1200


@pytest.mark.parametrize("mask", [np.zeros((5, 7), bool), np.ones((5, 7), bool)])
def test_no_pixel_and_all_pixels(mask: np.ndarray) -> None:
    packing = Packing.of(mask)
    image = np.arange(35.0).reshape(5, 7)
    result = packing.unpack(packing.pack(image, -1), np.zeros_like(image))
    np.testing.assert_array_equal(result, np.where(mask, image, 0))


@pytest.mark.parametrize("band", [1, 2**19])
def test_high_maxima_are_those_of_the_whole_frame(
    band: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cyto_kedro.algorithms.segmentation.split._BAND_PX", band)
    for seed in range(60):
        surface = np.maximum(_smooth(seed), seed % 4 - 1)  # much, half, little of it flat
        domes = np.round(reconstruction(surface - 0.3, surface, "dilation"), 6)
        expected = local_maxima(domes) & (surface > surface.min())
        np.testing.assert_array_equal(high_maxima(surface, 0.3), expected)
    assert not high_maxima(np.ones((5, 5), np.float32), 0.3).any()


def test_holes_are_those_scipy_fills_and_go_to_the_nearest_label() -> None:
    for seed in range(60):
        mask = _smooth(seed) > seed % 3 - 1
        np.testing.assert_array_equal(fill_holes(mask, np.inf), ndi.binary_fill_holes(mask))
        label = ndi.label(mask)[0]
        label[np.random.default_rng(seed).random(mask.shape) < 0.05] = 0
        nearest = ndi.distance_transform_edt(
            label == 0, return_distances=False, return_indices=True
        )
        holes = ndi.binary_fill_holes(label > 0) & (label == 0)
        expected = np.where(holes, label[tuple(nearest)], label)
        np.testing.assert_array_equal(fill_label_holes(label), expected)


def test_a_flood_of_packed_parts_is_that_of_the_frame() -> None:
    for seed in range(60):
        image, rng = _smooth(seed), np.random.default_rng(seed)
        image = np.round(image, seed % 3)  # with ties, that the order of pixels decides
        mask = image > seed % 4 - 1.5
        seeds = np.where(rng.random(image.shape) < 0.05, rng.integers(1, 99, image.shape), 0)
        expected = watershed(image, seeds, mask=mask)
        np.testing.assert_array_equal(flood(image, seeds, mask), expected)


@pytest.mark.parametrize("strip", [1, 200, 2**20])
def test_distances_are_scipys(strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyto_kedro.algorithms.segmentation.packing._STRIP_PX", strip)
    for seed in range(40):
        mask = _smooth(seed) > seed % 4 - 1
        if mask.all():
            continue
        truth = ndi.distance_transform_edt(mask)
        np.testing.assert_array_equal(depth(mask), truth)
        for reach in (0.0, 0.7, 2**0.5, 2.8, 5**0.5, 5.0, 20.0):
            np.testing.assert_array_equal(within(~mask, reach), truth <= reach)
    assert not within(np.zeros((5, 5), bool), 3).any()


def test_medians_are_scipys() -> None:
    rng = np.random.default_rng(2)
    for values in (rng.normal(0, 9, 4000), np.round(rng.normal(0, 3, 4000)), rng.random(40)):
        values = values.astype(np.float32)
        number = rng.integers(0, 30, values.size).astype(np.int32)
        present = np.unique(number)
        found = medians(values, number, 35)
        np.testing.assert_array_equal(found[present], ndi.median(values, number, present))
        assert not found[31:].any()


def test_the_brightest_neighbour_is_not_the_pixel_itself() -> None:
    around = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
    for seed in range(20):
        image = _smooth(seed)
        expected = ndi.maximum_filter(image, footprint=around, mode="nearest")
        np.testing.assert_array_equal(brightest_neighbour(image), expected)
