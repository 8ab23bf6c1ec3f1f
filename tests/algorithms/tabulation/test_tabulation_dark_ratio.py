"""Images that are no fluorescence: drawn cells darker than their background, or with dark rims."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro.algorithms.segmentation.threshold import LocalThreshold, Otsu
from cyto_kedro.algorithms.tabulation.expected_f1 import NO_FLUORESCENCE
from cyto_kedro.algorithms.tabulation.mask_quality import MaskEvidence, MaskQuality

Profile = np.ndarray


def drawn(kind: str, seed: int = 1, noise: float = 2.0, size: int = 256) -> np.ndarray:
    """30 cells, some 20 px wide, each a profile by distance from its centre, in its radii (1, Y, X)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size].astype(float)
    image = np.full((size, size), 120.0)
    for cy, cx, radius, height in zip(
        *rng.uniform(0, size, (2, 30)), rng.uniform(8, 12, 30), rng.uniform(20, 40, 30), strict=True
    ):
        at = np.hypot(y - cy, x - cx) / radius
        disc, ring = np.exp(-(at**4)), np.exp(-(((at - 1.2) / 0.2) ** 2))
        profile = {
            "phase": ring - disc,  # dark, with a halo
            "brightfield": 0.8 * np.exp(-((at / 0.6) ** 4)) - ring,
            "relief": 6 * np.gradient(disc, axis=0),
            "fluorescence": disc,
            "uneven fluorescence": disc,
        }[kind]
        image += height * profile
    if kind.startswith("uneven"):
        image += 60 * (1 - (x / size - 0.4) ** 2 - (y / size - 0.6) ** 2)
    return (image + rng.normal(0, noise, image.shape)).astype(np.float32)[None]


def test_few_bright_cells_in_a_corner_do_not_darken_the_rest() -> None:
    y, x = np.mgrid[:96, :96]
    image = np.random.default_rng(1).normal(20, 1, (96, 96))
    for cy, cx in ((20, 20), (45, 25), (30, 50), (60, 55)):
        image += 150 * np.exp(-((np.hypot(y - cy, x - cx) / 9) ** 4))
    row = judged(image.astype(np.float32)[None], LocalThreshold())
    assert row["n_cells"] == 4 and row["dark_ratio"] < 0.05


def judged(image: np.ndarray, engine: Otsu | LocalThreshold) -> pd.Series:
    label = engine(image=image)["label"]
    made = MaskEvidence()(image=image, label=label)["mask_evidence"]
    return MaskQuality()(mask_evidence=made)["mask_quality"].iloc[0]


@pytest.mark.parametrize("engine", [Otsu(), LocalThreshold()])
@pytest.mark.parametrize("kind", ["phase", "brightfield", "relief"])
@pytest.mark.parametrize("noise", [1.0, 5.0])
def test_what_is_no_fluorescence_is_flagged_by_name(
    kind: str, engine: Otsu | LocalThreshold, noise: float
) -> None:
    row = judged(drawn(kind, noise=noise), engine)
    assert row["n_cells"] > 5  # what they call cells
    assert row["dark_ratio"] > 0.25 and row["flagged"] and row["reason"] == NO_FLUORESCENCE


@pytest.mark.parametrize("kind", ["fluorescence", "uneven fluorescence"])
@pytest.mark.parametrize("noise", [1.0, 5.0])
def test_fluorescence_is_not_darker_than_its_background(kind: str, noise: float) -> None:
    row = judged(drawn(kind, noise=noise), LocalThreshold())
    assert row["dark_ratio"] < 0.1 and row["reason"] != NO_FLUORESCENCE
