"""Pixels that were never filmed change nothing about the cells elsewhere, and hold none."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import ndimage as ndi

from cyto_kedro.algorithms.segmentation import frames
from cyto_kedro.algorithms.segmentation.frames import Frames
from cyto_kedro.errors import InputError
from cyto_kedro.registry import build

SIZE = 384
Y, X = np.mgrid[:SIZE, :SIZE]
ENGINES = ["LocalThreshold", "Otsu", "Li", "Nuclei", "BlobSeeds"]
MARGINS = {
    "rows": Y < 8,
    "one row": Y < 1,
    "both sides": (X < 20) | (X >= SIZE - 13),
    "frame": (Y < 9) | (Y >= SIZE - 9) | (X < 9) | (X >= SIZE - 9),
    "turned": abs((Y - 192) * np.cos(0.12) + (X - 192) * np.sin(0.12)) > 180,
    "corner tile": (Y < 30) & (X < 200),
}


def film(seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A camera's background of 100 with 9 dim nuclei: image (Y, X) float, centres (9, 2)."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[60 + 128 * np.arange(3)] * 2, indexing="ij"), -1).reshape(-1, 2)
    centres = grid + rng.integers(-8, 9, grid.shape)
    clean = np.zeros((SIZE, SIZE))
    for y, x in centres:
        a, b = rng.uniform(14, 22, 2)
        cell = ((Y - y) / a) ** 2 + ((X - x) / b) ** 2 < 1
        clean = np.maximum(clean, rng.uniform(20, 40) * cell)
    return 100 + ndi.gaussian_filter(clean, 2) + rng.normal(0, 1.5, clean.shape), centres


def labels(name: str, image: np.ndarray, **keys: Any) -> np.ndarray:
    args = {"nucleus": "A"} if name == "SeededGrowth" else {}
    stack = image[None]
    data = {"image": {"A": stack, "B": stack} if args else stack, **keys}
    return np.asarray(build("segmentation", name, args)(data)["label"][0])


def picture(dtype: str) -> np.ndarray:
    """The film in a camera's pixels, or in those that preprocessing makes."""
    image = film()[0]
    return (image - 80 * (dtype == "uint8")).round().clip(0).astype(dtype)


@cache
def found_in_whole(name: str, dtype: str) -> np.ndarray:
    """What an engine finds where all was filmed."""
    return labels(name, picture(dtype))


def assert_same_cells(name: str, cut: np.ndarray, margin: np.ndarray) -> None:
    """Every cell of the whole film clear of the margin is in `cut`, nearly the same, and no other."""
    truth, found = found_in_whole(name, cut.dtype.name), labels(name, cut)
    assert not found[margin].any()
    near = ndi.binary_dilation(margin, iterations=12)
    clear = np.setdiff1d(truth, truth[near])
    assert len(clear) >= 3
    for cell in clear:
        mask = truth == cell
        other = found == np.bincount(found[mask]).argmax()
        assert (mask & other).sum() / (mask | other).sum() > 0.8
    assert len(np.setdiff1d(found, found[near])) == len(clear)


@pytest.mark.parametrize("name", [*ENGINES, "SeededGrowth"])
@pytest.mark.parametrize("margin", MARGINS.values(), ids=MARGINS)
def test_same_cells_beside_margins(name: str, margin: np.ndarray) -> None:
    assert_same_cells(name, np.where(margin, np.uint16(0), picture("uint16")), margin)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("value", [np.nan, 0.0, -3.0])
def test_margins_of_floats(name: str, value: float) -> None:
    margin = MARGINS["both sides"]
    assert_same_cells(name, np.where(margin, np.float32(value), picture("float32")), margin)


@pytest.mark.parametrize("name", ENGINES)
def test_margins_of_8_bits(name: str) -> None:
    margin = MARGINS["turned"]
    assert_same_cells(name, np.where(margin, np.uint8(0), picture("uint8")), margin)


@pytest.mark.parametrize("name", ENGINES)
def test_what_was_filmed_may_be_told(name: str) -> None:
    image = film()[0].astype(np.float32)
    shown = np.broadcast_to(X >= 200, (1, SIZE, SIZE))
    image[:, :200] += 50 * np.sin(Y[:, :200] / 9)  # nothing that one would see of a margin
    told = labels(name, image, valid=shown)
    assert not told[:, :200].any() and 3 <= told.max() <= 6


@pytest.mark.parametrize("name", ENGINES)
def test_cells_that_a_margin_cuts_are_at_the_border(name: str) -> None:
    image, centres = film()
    x = int(np.sort(centres[:, 1])[0])
    image[:, :x] = 0
    found = build("segmentation", name, {"clear_border": True})({"image": image[None]})["label"][0]
    assert found.any() and not found[:, x : x + 2].any()
    assert labels(name, image)[:, x : x + 2].any()


def test_nan_within_the_frame_is_refused() -> None:
    image = film()[0].astype(np.float32)
    image[:9] = np.nan
    image[200, 200] = np.nan
    with pytest.raises(InputError, match="1 pixels of the image are NaN"):
        labels("Otsu", image)
    with pytest.raises(InputError, match="NaN"):
        labels("Otsu", np.full((40, 40), np.nan, np.float32))


def test_tiles_know_the_margin_of_their_field(monkeypatch: pytest.MonkeyPatch) -> None:
    image = film()[0].astype(np.float32)
    image[:21] = 0
    monkeypatch.setattr(frames, "_WHOLE_PX", 200**2)
    tile = Frames(image[None, :30, 100:300], image[None], (0, 100))[0]
    assert tile.own_filmed is not None and not tile.own_filmed[:21].any()
    assert tile.own_filmed[27:].all()
    assert tile.sample().min() > 90
    assert all(part.pixels.min() > 90 for part in tile.windows())
