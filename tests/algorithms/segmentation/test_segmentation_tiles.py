"""Engines without weights find in tiles what they find in the field in one piece."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage as ndi

from cyto_kedro.algorithms.segmentation import frames
from cyto_kedro.algorithms.segmentation.frames import Frames
from cyto_kedro.algorithms.segmentation.stitching import stitch
from cyto_kedro.errors import InputError
from cyto_kedro.registry import build

SIZE, SIDE, OVERLAP = 340, 190, 40
STARTS = range(0, SIZE - OVERLAP, SIDE - OVERLAP)


def uneven() -> np.ndarray:
    """Dim small cells on one side, bright large ones on the other, empty rows, haze and noise."""
    rng = np.random.default_rng(4)
    light = np.zeros((SIZE, SIZE))
    y, x = np.mgrid[:SIZE, :SIZE]
    for _ in range(80):
        cy, cx = rng.uniform((0, 0), (SIZE * 0.7, SIZE))
        radius, bright = (6, 150) if cx < SIZE / 2 else (9, 900)
        light[np.hypot(y - cy, x - cx) < radius] = bright * rng.uniform(0.7, 1.3)
    haze = 100 + 80 * np.sin(x / 150) + 0.2 * y
    return rng.poisson(ndi.gaussian_filter(light, 1.2) + haze).astype(np.float32)[None]


def in_tiles(image: np.ndarray, engine: Any, **keys: Any) -> np.ndarray:
    found = {}
    for y in STARTS:
        for x in STARTS:
            data = {"image": image[:, y : y + SIDE, x : x + SIDE], "corner": (y, x), **keys}
            found[y, x] = engine(data)["label"]
    return stitch(found, (SIZE, SIZE))[0]


def unlike(truth: np.ndarray, found: np.ndarray) -> int:
    """Cells of `truth` without a partner of IoU > 0.95, and the difference of the counts."""
    pair, both = np.unique(np.stack((truth.ravel(), found.ravel())), axis=1, return_counts=True)
    a, b = pair
    iou = both / (np.bincount(truth.ravel())[a] + np.bincount(found.ravel())[b] - both)
    partners = int(((a > 0) & (b > 0) & (iou > 0.95)).sum())
    return max(int(truth.max()), int(found.max())) - partners


@pytest.mark.parametrize(
    ("name", "windows"),
    [
        ("Otsu", False),
        ("LocalThreshold", False),
        ("Otsu", True),
        ("Li", True),
        ("LocalThreshold", True),
        ("Nuclei", True),
        ("BlobSeeds", True),
    ],
)
def test_tiles_equal_the_field(name: str, windows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if windows:  # as in fields of over 2048 x 2048
        monkeypatch.setattr(frames, "_WHOLE_PX", 200**2)
        monkeypatch.setattr(frames, "_WINDOW_PX", 96)
    field, engine = uneven(), build("segmentation", name)
    whole = engine({"image": field})["label"][0]
    assert whole.max() > 20
    assert unlike(whole, in_tiles(field, engine, field=field)) == 0
    # what a tile alone would find: its own diameter and thresholds
    assert unlike(whole, in_tiles(field, engine)) > 0


def test_borders_are_those_of_the_field() -> None:
    field, engine = uneven(), build("segmentation", "Otsu", {"clear_border": True})
    whole = engine({"image": field})["label"][0]
    assert not (whole[[0, -1]].any() or whole[:, [0, -1]].any())
    assert unlike(whole, in_tiles(field, engine, field=field)) == 0


def test_windows_are_spread_over_the_field_and_bounded() -> None:
    large = np.arange(2100 * 4000, dtype=np.float32).reshape(1, 2100, 4000)
    windows = [each.image for each in Frames(large)[0].windows()]
    assert {each.shape for each in windows} == {(512, 512)}
    assert len(windows) == 8
    rows, columns = np.divmod([int(each[0, 0]) for each in windows], 4000)
    assert len(set(rows)) >= 4 and len(set(columns)) >= 4
    tile = Frames(large[:, :900, :900], large, (0, 0))[0]
    for ours, theirs in zip(tile.windows(), windows, strict=True):
        np.testing.assert_array_equal(ours.image, theirs)
    small = large[:, :100, :100]
    alone = Frames(small)[0]
    assert alone.windows()[0] is alone.part
    bad = np.full((1, 9, 9), np.nan)
    with pytest.raises(InputError, match="frame 7"):
        Frames(small, bad, frame_start=7)[0].windows()


def test_a_margin_lies_in_the_field_and_on_the_grid() -> None:
    field = np.arange(100 * 130, dtype=np.float32).reshape(1, 100, 130)
    for y, x in ((0, 0), (0, 75), (23, 40), (50, 80)):
        image = field[0, y : y + 50, x : x + 50]
        part, inner = Frames(image[None], field, (y, x))[0].with_margin(20, 7)
        wide = part.image
        np.testing.assert_array_equal(wide[inner], image)
        first_y, first_x = divmod(int(wide[0, 0]), 130)
        assert first_y % 7 == first_x % 7 == 0
        assert y - first_y >= min(20, y) and x - first_x >= min(20, x)
        assert first_y + wide.shape[0] >= min(y + 70, 100)
        assert first_x + wide.shape[1] >= min(x + 70, 130)
    alone = Frames(image[None])[0]
    assert alone.with_margin(20, 7)[0] is alone.part
