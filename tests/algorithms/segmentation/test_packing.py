"""A frame's few pixels moved together: nothing is lost, and filters give what the frame gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.measure import label as components
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from cyto_kedro.algorithms.segmentation.cleanup import fill_holes, fill_label_holes
from cyto_kedro.algorithms.segmentation.frames import brightest_neighbour
from cyto_kedro.algorithms.segmentation.packing import Packing, depth, flood, within
from cyto_kedro.algorithms.segmentation.split import cut_by_distance, high_maxima, medians


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
        part = components(surface > seed % 4 - 1.01, connectivity=2)
        packing = Packing.of(part > 0, part)
        np.testing.assert_array_equal(high_maxima(surface, 0.3, part, packing), expected)
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


def _labels(seed: int) -> np.ndarray:
    """(Y, X) of some discs, many of them cut by the image's edge, some with holes or touching."""
    rng = np.random.default_rng(seed)
    shape = rng.integers(20, 160, 2)
    y, x = np.mgrid[: shape[0], : shape[1]]
    label = np.zeros(shape, np.int32)
    for k in range(1, rng.integers(2, 14)):
        far = np.hypot(y - rng.uniform(-3, shape[0] + 3), x - rng.uniform(-3, shape[1] + 3))
        radius = rng.uniform(2, 11)
        label[(far <= radius) & (far >= rng.choice([0, 0, 0, 0.4]) * radius)] = k
    return label


@pytest.mark.parametrize("seed", range(25))
def test_what_looks_a_few_pixels_far_sees_in_parts_apart_what_it_sees_in_the_frame(
    seed: int,
) -> None:
    label = _labels(seed)
    mask, reach = label > 0, 4
    wide = ndi.maximum_filter(mask, 2 * reach + 1)
    filters = (
        lambda a: ndi.gaussian_filter(a.astype(float), reach / 4),
        lambda a: ndi.minimum_filter(a, 3, mode="nearest"),
        lambda a: ndi.distance_transform_edt(a > 0) if (a == 0).any() else np.zeros(a.shape),
    )
    packings = Packing.apart(mask, reach)
    assert sum(each.mask.astype(int) for each in packings).max(initial=0) <= 1
    assert np.array_equal(sum((each.mask for each in packings), np.zeros_like(mask)), wide)
    for each in filters:
        found = np.zeros(label.shape)
        for packing in packings:
            packing.unpack(each(packing.pack(label, 0)).astype(float), found)
        if not mask.all():
            np.testing.assert_array_equal(found[wide], each(label)[wide])


def test_parts_apart_at_an_edge_lie_at_that_edge() -> None:
    label = np.zeros((200, 300), np.int32)
    places = ((0, 0), (0, 150), (0, 299), (100, 0), (100, 150), (100, 299), (199, 0), (199, 150))
    for k, (y, x) in enumerate(places, 1):
        label[max(y - 5, 0) : y + 6, max(x - 5, 0) : x + 6] = k
    (packing,) = Packing.apart(label > 0, 2)
    small = packing.pack(label, 0)
    assert small.size < 0.1 * label.size
    for edge, k in ((small[2], 2), (small[:, 0], 4), (small[:, -1], 6), (small[-1], 8)):
        assert k in edge and 5 not in edge
    assert small[0, 0] == 1 and small[0, -1] == 3 and small[-1, 0] == 7


@pytest.mark.parametrize("seed", range(12))
def test_cells_are_cut_where_the_whole_frame_cuts_them(seed: int) -> None:
    from skimage.measure import label as components

    label, diameter, h = _labels(100 + seed), 12.0, 0.05
    inside = label > 0
    same = (ndi.minimum_filter(label, 3) == label) & (ndi.maximum_filter(label, 3) == label)
    far = ndi.distance_transform_edt(same & inside | ((fill_label_holes(label) > 0) & ~inside))
    surface = ndi.gaussian_filter(2 * far / diameter, 0.05 * diameter)
    domes = reconstruction(surface - h, surface, "dilation")
    seeds = components(local_maxima(np.round(domes, 6)) & inside)
    basin = watershed(-surface, seeds, mask=inside)
    _, number = np.unique(basin[inside] * 1000 + label[inside], return_inverse=True)
    expected = np.zeros(label.shape, np.int64)
    expected[inside] = number + 1
    part, owner = cut_by_distance(label, diameter, h)
    # of equal heights which pixel is flooded first is open
    assert (part != expected).mean() < 0.002
    assert part.max() == expected.max()
    assert np.array_equal(owner[part], label)
