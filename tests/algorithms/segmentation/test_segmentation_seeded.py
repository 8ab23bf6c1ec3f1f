"""Cells grown from nuclei, on pictures whose outlines are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cyto_kedro.algorithms.segmentation.seeded import SeededGrowth
from cyto_kedro.errors import ConfigError, InputError
from cyto_kedro.registry import build

Y, X = np.mgrid[:80, :120]
CENTRES = ((40, 40), (40, 74))


def disc(y: float, x: float, radius: float) -> np.ndarray:
    return (Y - y) ** 2 + (X - x) ** 2 <= radius**2


def picture() -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Two touching cells of radius 18 with nuclei of radius 7, debris without nucleus, camera noise."""
    rng = np.random.default_rng(0)
    nuclei = sum(400.0 * disc(*at, 7) for at in CENTRES)
    distances = [np.hypot(Y - y, X - x) for y, x in CENTRES]
    cells = np.max([np.where(d <= 18, 300 - 8 * d, 0) for d in distances], axis=0)
    cells += 300.0 * disc(12, 105, 6)
    image = {
        "Nuclei": rng.poisson(nuclei + 20)[None].astype(np.float32),
        "Cytoplasm": rng.poisson(cells + 20)[None].astype(np.float32),
    }
    nearest = np.argmin(distances, axis=0)
    return image, [(nearest == i) & (distances[i] <= 18) for i in range(2)]


def grow(image: dict[str, np.ndarray], **args: Any) -> np.ndarray:
    settings = {"nucleus": "Nuclei", "engine": "Otsu", "engine_args": {"diameter_px": 14}} | args
    return SeededGrowth(**settings)({"image": image, "pixel_size_um": 0.5})["label"]


@pytest.mark.parametrize("threshold", ["li", "otsu"])
def test_each_nucleus_becomes_its_cell(threshold: str) -> None:
    image, truth = picture()
    label = grow(image, threshold=threshold)[0]
    assert label.dtype == np.uint32
    assert sorted(np.unique(label)) == [0, 1, 2]  # the debris has no nucleus
    for (y, x), cell in zip(CENTRES, truth, strict=True):
        found = label == label[y, x]
        assert (found & cell).sum() / (found | cell).sum() > 0.85  # a rim of one pixel is 0.11


def test_growth_stops_at_the_distance() -> None:
    image, _ = picture()
    nuclei = SeededGrowth(
        nucleus="Nuclei",
        engine="ImageToLabel",
        engine_args={"binary": True},
        threshold="none",
        max_distance_um=2.5,
    )
    image["Nuclei"] = np.any([disc(*at, 7) for at in CENTRES], axis=0)[None].astype(np.uint8)
    label = nuclei({"image": image, "pixel_size_um": 0.5})["label"][0]
    near = np.min([np.hypot(Y - y, X - x) for y, x in CENTRES], axis=0)
    assert (label[near <= 11.5] > 0).all() and not label[near > 12.01].any()
    with pytest.raises(ConfigError, match="pixel size"):
        nuclei({"image": image})


def test_frames_without_nuclei_are_empty() -> None:
    image, _ = picture()
    film = {
        "Nuclei": np.concatenate((image["Nuclei"] * 0, image["Nuclei"])),
        "Cytoplasm": np.repeat(image["Cytoplasm"], 2, 0),
    }
    label = grow(film)
    assert not label[0].any()
    np.testing.assert_array_equal(label[1], grow(image)[0])
    flat = {**image, "Cytoplasm": image["Cytoplasm"] * 0}
    assert (grow(flat) > 0).sum() < 2 * 14**2  # nothing but the nuclei


def test_what_cannot_be_is_named() -> None:
    image, _ = picture()
    with pytest.raises(InputError, match=r"'Nuclei'.*combine: separate"):
        grow(image["Nuclei"])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="one more"):
        grow({"Nuclei": image["Nuclei"]})
    for args, message in (
        ({"engine_args": {"diamter": 3}}, "diamter"),
        ({"threshold": "none"}, "max_distance_um"),
        ({"engine": "Otsu2"}, "engine"),
    ):
        with pytest.raises(ConfigError, match=message):
            build("segmentation", "SeededGrowth", {"nucleus": "Nuclei", **args})
