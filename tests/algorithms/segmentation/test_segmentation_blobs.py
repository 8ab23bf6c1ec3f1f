"""Blobs against their closed form, against scikit-image, and as seeds of cells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from cyto_kedro.algorithms.base import construct
from cyto_kedro.algorithms.segmentation.blobs import BlobSeeds, _strongest, blobs
from cyto_kedro.errors import ConfigError

ROWS, COLUMNS = np.mgrid[:120, :150]
METHODS = pytest.mark.parametrize("method", ["log", "dog"])
SIGMAS = np.geomspace(2, 16, 61)


def strongest(image: np.ndarray, method: str) -> tuple[np.ndarray, float, float]:
    at, sigma, response = blobs(image, SIGMAS, method)  # type: ignore[arg-type]
    best = int(response.argmax())
    return at[best], float(sigma[best]), float(response[best])


@METHODS
@pytest.mark.parametrize("sd", [3.0, 5.0, 9.0])
def test_a_gaussian_blob_has_its_own_scale_and_half_its_height(method: str, sd: float) -> None:
    squared = (ROWS - 50) ** 2 + (COLUMNS - 80) ** 2
    at, sigma, response = strongest(40 * np.exp(-squared / (2 * sd**2)) + 7, method)
    np.testing.assert_array_equal(at, (50, 80))
    assert sigma == pytest.approx(sd, rel=0.03)
    assert response == pytest.approx(20, rel=0.02)


@METHODS
@pytest.mark.parametrize("radius", [6, 12])
def test_a_disc_of_radius_r_has_scale_r_over_root_2(method: str, radius: int) -> None:
    disc = 10.0 * (np.hypot(ROWS - 50, COLUMNS - 80) <= radius)
    at, sigma, response = strongest(disc, method)
    np.testing.assert_array_equal(at, (50, 80))
    assert sigma * 2**0.5 == pytest.approx(radius, rel=0.1)
    assert response == pytest.approx(10 * 2 / np.e, rel=0.1)


def test_blobs_are_those_of_scikit_image() -> None:
    from skimage.feature import blob_log

    rng = np.random.default_rng(0)
    image = np.zeros(ROWS.shape)
    for y in range(20, 110, 25):
        for x in range(20, 140, 25):
            squared = (ROWS - y) ** 2 + (COLUMNS - x) ** 2
            image += rng.uniform(1, 3) * np.exp(-squared / (2 * rng.uniform(3, 5) ** 2))
    sigmas = np.linspace(2, 8, 10)
    theirs = blob_log(image, 2, 8, 10, threshold=0.2, overlap=1.0, exclude_border=False)
    at, sigma, response = blobs(image, sigmas, "log")
    ours = np.column_stack((at, sigma))[response > 0.2]
    np.testing.assert_allclose(np.unique(ours, axis=0), np.unique(theirs, axis=0))


@given(st.integers(0, 1000), st.floats(0, 1))
def test_of_overlapping_blobs_the_strongest_stay(seed: int, overlap: float) -> None:
    rng = np.random.default_rng(seed)
    at, radius = rng.integers(0, 30, (25, 2)), rng.uniform(2, 6, 25)
    strength = rng.integers(1, 9, 25).astype(float)  # with ties
    kept: list[int] = []
    for i in np.lexsort((at[:, 1], at[:, 0], -strength)):
        gaps = np.hypot(*(at[kept] - at[i]).T)
        if not (gaps < overlap * (radius[kept] + radius[i])).any():
            kept.append(int(i))
    found = np.flatnonzero(_strongest(at, radius, strength, overlap))
    np.testing.assert_array_equal(found, np.sort(kept))


@pytest.mark.parametrize("method", ["log", "dog"])
def test_each_cell_of_a_cluster_is_found_and_debris_is_not(method: str) -> None:
    centres = [(40, 50), (40, 67), (55, 58), (90, 120)]
    image = np.zeros(ROWS.shape)
    for y, x in centres:
        squared = (ROWS - y) ** 2 + (COLUMNS - x) ** 2
        image = np.maximum(image, 600 * np.exp(-squared / (2 * 5.0**2)))
    image[90:92, 30:32] = 900  # too small for a cell
    image += np.random.default_rng(0).normal(100, 8, image.shape)
    label = construct(BlobSeeds, {"method": method, "diameter_px": 16})({"image": image[None]})
    found = label["label"][0]
    assert sorted({int(found[at]) for at in centres}) == [1, 2, 3, 4]
    assert found.max() == 4


def test_scales_in_order() -> None:
    with pytest.raises(ConfigError, match=r"largest=0\.5 is less than smallest=0\.8"):
        construct(BlobSeeds, {"smallest": 0.8, "largest": 0.5})


@pytest.mark.shared
def test_real_targets_are_found(shared_data: Path) -> None:
    """Recall of expert masks in one field; a floor a little under what was measured."""
    path = shared_data / "celldetective_adcc_dev" / "401_snap_1_2_29.json"
    channels = json.loads(path.read_text())["channels"]
    image = tifffile.imread(path.with_suffix(".tif"))[channels.index("live_nuclei_channel")]
    truth = tifffile.imread(path.with_name(path.stem + "_labelled.tif"))
    data = {"image": image[None], "pixel_size_um": 0.3112}
    engine = BlobSeeds(diameter_um=12, smallest=0.6, min_height=0.15)  # dim among bright ones
    found = engine(data)["label"][0]
    pair, both = np.unique(np.stack((truth.ravel(), found.ravel())), axis=1, return_counts=True)
    a, b = pair.astype(int)
    union = np.bincount(truth.ravel().astype(int))[a] + np.bincount(found.ravel())[b] - both
    hits = int(((a > 0) & (b > 0) & (both > 0.5 * union)).sum())
    assert hits / (len(np.unique(truth)) - 1) > 0.5
