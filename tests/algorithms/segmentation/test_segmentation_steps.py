"""Steps that reshape labels, on shapes whose result is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.morphology import disk, opening

from cyto_kedro.algorithms.base import construct
from cyto_kedro.algorithms.segmentation.steps import SmoothOutlines, SplitTouching
from cyto_kedro.errors import ConfigError

ROWS, COLUMNS = np.mgrid[:80, :120]


def disc(y: float, x: float, radius: float) -> np.ndarray:
    return np.hypot(ROWS - y, COLUMNS - x) < radius


def test_a_pair_is_cut_at_its_waist_and_a_disc_is_left() -> None:
    left, right, alone = disc(25, 30, 15), disc(25, 54, 15), disc(60, 95, 15)
    label = np.where(left | right, 7, np.where(alone, 3, 0))
    found = SplitTouching(diameter_px=30)({"label": label[None]})["label"][0]
    assert found.dtype == np.uint32
    assert found.max() == 3
    np.testing.assert_array_equal(found > 0, label > 0)
    assert len(np.unique(found[alone])) == 1
    for half in (left & (COLUMNS < 40), right & (COLUMNS > 44)):
        assert len(np.unique(found[half])) == 1
    um = SplitTouching(diameter_um=15)({"label": label[None], "pixel_size_um": 0.5})["label"][0]
    np.testing.assert_array_equal(um, found)


def test_an_opening_takes_a_spur_off_and_keeps_numbers() -> None:
    body, spur = disc(40, 40, 15), (abs(ROWS - 40) < 2) & (abs(COLUMNS - 70) < 25)
    label = np.where(body | spur, 9, 0)
    found = SmoothOutlines(radius_px=4)({"label": label[None]})["label"][0]
    truth = opening((label > 0).astype(np.uint8), disk(4)) > 0
    assert (truth ^ (found > 0)).sum() <= 0.02 * truth.sum()
    assert set(np.unique(found)) == {0, 9}


def test_neighbours_keep_their_border() -> None:
    label = np.where(disc(40, 60, 25), np.where(COLUMNS < 60, 1, 2), 0)
    found = SmoothOutlines(radius_px=3)({"label": label[None]})["label"][0]
    both = ndi.binary_erosion(label > 0, iterations=4) & (abs(COLUMNS - 60) < 5)
    middle = both & (abs(ROWS - 40) < 15)
    np.testing.assert_array_equal(found[middle], label[middle])


@pytest.mark.parametrize("step", [SplitTouching(diameter_px=9), SmoothOutlines(radius_px=2)])
def test_empty_frames_and_units(step: SplitTouching | SmoothOutlines) -> None:
    for shape in ((0, 8, 8), (2, 8, 8)):
        result = step({"label": np.zeros(shape, np.uint32)})["label"]
        assert result.shape == shape
        assert not result.any()
    with pytest.raises(ConfigError, match=r"needs (diameter|radius)_um or (diameter|radius)_px"):
        construct(type(step))
