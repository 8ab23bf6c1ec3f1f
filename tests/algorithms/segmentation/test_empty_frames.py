"""Engines invent nothing where there is nothing: noise, uneven light, black, saturated, a hot pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage as ndi
from test_segmentation_size import nuclei

from cyto_kedro.algorithms.segmentation.classical import Classical
from cyto_kedro.algorithms.segmentation.frames import FieldFrame
from cyto_kedro.algorithms.segmentation.seeded import SeededGrowth
from cyto_kedro.algorithms.segmentation.standing_out import standing_out
from cyto_kedro.registry import algorithms, build

SIDE = 256
CLASSICAL = sorted(
    name for name, kind in algorithms("segmentation").items() if issubclass(kind, Classical)
)
Y, X = np.mgrid[:SIDE, :SIDE] / SIDE


def noise(sd: float, seed: int = 0, correlated_px: float = 0.0) -> np.ndarray:
    image = np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE))
    if correlated_px:
        image = ndi.gaussian_filter(image, correlated_px)
    return sd * image / image.std()


def photons(mean: float) -> np.ndarray:
    return np.random.default_rng(1).poisson(mean, (SIDE, SIDE)).astype(float)


HOT, DUST = np.zeros((2, SIDE, SIDE))
HOT[100, 120] = 4000.0
DUST[(Y - 0.4) ** 2 + (X - 0.6) ** 2 < 0.04**2] = 400.0
VIGNETTE = 1000 * (1 - 0.7 * ((Y - 0.5) ** 2 + (X - 0.5) ** 2) / 0.5)
EMPTY: dict[str, np.ndarray] = {
    "noise of sd 1": 100 + noise(1),
    "noise of sd 10": 100 + noise(10),
    "noise of sd 100": 1000 + noise(100),
    "noise of whole numbers": np.round(100 + noise(0.8)),
    "noise of neighbours somewhat alike": 100 + noise(10, correlated_px=0.7),
    "noise of neighbours alike": 100 + noise(10, correlated_px=1.0),
    "noise of many neighbours alike": 100 + noise(10, correlated_px=3.0),
    "smooth noise on a slope": 100 + 300 * X + noise(10, 2, correlated_px=1.5),
    "few photons": photons(0.3),
    "photons": photons(20),
    "slope": 100 + 1000 * X,
    "slope in noise": 100 + 1000 * X + noise(5),
    "steep slope in noise": 100 + 8000 * X + 2000 * Y + noise(20),
    "vignetting in noise": VIGNETTE + noise(5),
    "gradient and vignetting": VIGNETTE + 300 * Y + 200 * X + noise(10),
    "black": np.zeros((SIDE, SIDE)),
    "saturated": np.full((SIDE, SIDE), 65535.0),
    "hot pixel": 100 + noise(3) + HOT,
    "hot pixel without noise": 100 + HOT,
}


def cells(engine: str, image: np.ndarray, **args: Any) -> int:
    found = build("segmentation", engine, args)({"image": image[None].astype(np.float32)})
    return int(found["label"].max())


@pytest.mark.parametrize("engine", CLASSICAL)
@pytest.mark.parametrize("what", EMPTY)
def test_nothing_is_found_where_nothing_is(engine: str, what: str) -> None:
    assert cells(engine, EMPTY[what]) == 0
    assert cells(engine, EMPTY[what], diameter_px=20) == 0


@pytest.mark.parametrize("engine", CLASSICAL)
@pytest.mark.parametrize("correlated_px", [0.0, 1.0, 3.0])
def test_dust_is_one_at_most(engine: str, correlated_px: float) -> None:
    image = 100 + noise(5, 0, correlated_px) + DUST
    assert cells(engine, image) <= 1 and cells(engine, image, diameter_px=20) <= 1


@pytest.mark.parametrize("engine", CLASSICAL)
def test_empty_frames_among_others_stay_empty(engine: str) -> None:
    shown = [nuclei(25, 15, 0, seed)[0] for seed in range(2)]
    size = shown[0].shape[0]
    bare = [np.random.default_rng(n).normal(100, 4, (size, size)) for n in range(2)]
    film = np.stack([bare[0], shown[0], bare[1], shown[1]]).astype(np.float32)
    label = build("segmentation", engine)({"image": film})["label"]
    assert [bool(frame.any()) for frame in label] == [False, True, False, True]


def test_cells_grow_from_no_nuclei_where_there_are_none() -> None:
    engine = SeededGrowth(nucleus="Nucleus", engine="Otsu")
    for image in EMPTY.values():
        frames = {"Nucleus": image[None], "Cell": image[None] + noise(1, 3)}
        assert not np.asarray(engine(image=frames)["label"]).any()


@pytest.mark.parametrize("what", EMPTY)
@pytest.mark.parametrize("diameter", [12, 24, 40])
def test_what_a_network_invents_is_taken_out(what: str, diameter: int) -> None:
    """Labels all over an empty frame, as networks make them of noise that is stretched."""
    label = np.zeros((SIDE, SIDE), np.uint32)
    step = int(1.3 * diameter)
    for number, (y, x) in enumerate(np.ndindex(SIDE // step, SIDE // step)):
        at_y, at_x = (y + 0.5) * step, (x + 0.5) * step
        label[(Y * SIDE - at_y) ** 2 + (X * SIDE - at_x) ** 2 < diameter**2 / 4] = number + 1
    image = EMPTY[what].astype(np.float32)
    frame = FieldFrame(image, image)
    left = np.unique(standing_out(label, [frame], 3.0))
    assert len(left) - 1 <= (1 if "hot" in what else 0)
