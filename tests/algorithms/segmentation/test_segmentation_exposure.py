"""One configuration for fields whose exposures differ by ten, a hundredfold in all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml
from scipy import ndimage as ndi
from test_segmentation_threshold import f1

from cyto_kedro.registry import build

EXPOSURES = (0.1, 1.0, 10.0)


@pytest.fixture(scope="module")
def configured(project_root: Any) -> dict[str, Any]:
    """The engines of `conf/base`, by population."""
    text = (project_root / "conf/base/parameters_segmentation.yml").read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(text)["segmentation"]
    return found


def filmed(exposure: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells of 8 to 12 px radius, threefold in brightness, in photons: (image (1, Y, X) uint16, labels).

    At `exposure` 1 a cell has 300 to 900 photons a pixel over a background of 60; the camera reads with
    a noise of 2 and an offset of 100. At a tenth the dimmest cells have 30 photons over 6.
    """
    rng = np.random.default_rng(seed)
    truth, light = np.zeros((220, 220), int), np.full((220, 220), 60.0)
    y, x = np.mgrid[:220, :220]
    for cy in range(20, 220, 30):
        for cx in range(20, 220, 30):
            cell = np.hypot(y - cy - rng.uniform(-2, 2), x - cx - rng.uniform(-2, 2)) < rng.uniform(
                8, 12
            )
            truth[cell] = truth.max() + 1
            light[cell] += rng.uniform(300, 900)
    counts = rng.poisson(exposure * ndi.gaussian_filter(light, 1.2)) + rng.normal(
        100, 2, light.shape
    )
    return counts.clip(0, 65535).round().astype(np.uint16)[None], truth


@pytest.mark.parametrize("population", ["TCell", "CancerCell"])
def test_one_configuration_serves_exposures_a_hundredfold_apart(
    configured: dict[str, Any], population: str
) -> None:
    engine = build("segmentation", configured[population]["name"], configured[population]["args"])
    scores = {}
    for exposure in EXPOSURES:
        films = [filmed(exposure, seed) for seed in range(3)]
        scores[exposure] = f1(
            [(truth, engine({"image": image})["label"][0]) for image, truth in films]
        )
    assert min(scores.values()) >= 0.97, scores


@pytest.mark.parametrize("population", ["TCell", "CancerCell"])
def test_outlines_do_not_hang_on_the_exposure(configured: dict[str, Any], population: str) -> None:
    """The same photons in other units (gain, bit depth): the same masks, but for the last pixels."""
    engine = build("segmentation", configured[population]["name"], configured[population]["args"])
    image, _ = filmed(1.0, seed=3)
    one = engine({"image": image})["label"] > 0
    for gain in (0.5, 10.0):
        other = engine({"image": (image * gain).astype(np.float32)})["label"] > 0
        assert (one & other).sum() / (one | other).sum() >= 0.995
