"""Label operations and subtraction on masks small enough to check by eye."""

from __future__ import annotations

import numpy as np
import pytest

from cyto_kedro.algorithms.segmentation.cleanup import (
    CleanUp,
    SubtractPopulation,
    check_labels,
    fill_holes,
    largest_parts,
)
from cyto_kedro.algorithms.segmentation.labels import ImageToLabel
from cyto_kedro.errors import ConfigError, InputError
from cyto_kedro.registry import build

FRAME = np.array(
    [
        [5, 5, 0, 0, 0, 0, 0],
        [5, 5, 0, 9, 9, 9, 0],
        [0, 0, 0, 9, 0, 9, 0],
        [0, 5, 0, 9, 9, 9, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
)


def test_clean_up() -> None:
    def clean(**args: object) -> np.ndarray:
        return CleanUp(**args)({"label": FRAME[None]})["label"][0]  # type: ignore[arg-type]

    out = clean(largest_part=True)
    assert out.dtype == np.uint32
    assert out[2, 4] == 2
    assert out[3, 1] == 0
    assert out[0, 0] == 1
    assert np.unique(clean(relabel=False)).tolist() == [0, 5, 9]
    assert np.unique(clean(clear_border=True, relabel=False)).tolist() == [0, 9]
    assert np.unique(clean(min_area_px=6, relabel=False)).tolist() == [0, 9]
    assert np.unique(clean(max_area_px=6, relabel=False)).tolist() == [0, 5]
    assert clean(fill_holes=False)[2, 4] == 0


def test_areas_in_um2_need_the_pixel_size() -> None:
    step = CleanUp(min_area_um2=6 * 0.25)
    out = step({"label": FRAME[None], "pixel_size_um": 0.5})["label"]
    assert out.max() == 1
    with pytest.raises(ConfigError, match="pixel size"):
        step({"label": FRAME[None]})
    # both: pixels where the film is not calibrated
    both = CleanUp(min_area_um2=1, min_area_px=6)({"label": FRAME[None]})["label"]
    np.testing.assert_array_equal(both, out)


def test_holes_up_to_an_area() -> None:
    mask = FRAME == 9
    assert fill_holes(mask, 1)[2, 4]
    assert not fill_holes(mask, 0.5)[2, 4]


def test_first_of_equal_parts_is_kept() -> None:
    assert largest_parts(np.array([[3, 0, 3, 0, 4]])).tolist() == [[3, 0, 0, 0, 4]]


def test_subtract_objects() -> None:
    label = np.array([[[1, 1, 1, 1, 2, 2, 2, 2]]])
    other = np.array([[[0, 0, 7, 7, 7, 0, 0, 0]]])
    out = SubtractPopulation()({"label": label, "subtract": [other]})["label"]
    assert out.tolist() == [[[0, 0, 0, 0, 2, 2, 2, 2]]]
    strict = SubtractPopulation(min_overlap=0.75)({"label": label, "subtract": [other]})["label"]
    assert strict.tolist() == label.tolist()
    both = SubtractPopulation()({"label": label, "subtract": [other, np.roll(other, 2, 2)]})
    assert not both["label"].any()
    assert (
        SubtractPopulation()({"label": label, "subtract": []})["label"].tolist() == label.tolist()
    )


def test_subtract_pixels_splits_and_drops() -> None:
    label = np.array([[[4, 4, 4, 4, 4, 4, 9, 9]]])
    other = np.array([[[0, 0, 0, 1, 0, 0, 0, 1]]])
    data = {"label": label, "subtract": [other]}
    out = SubtractPopulation(mode="pixels", min_area_px=2)(data)["label"]
    assert out.tolist() == [[[4, 4, 4, 0, 10, 10, 0, 0]]]
    assert SubtractPopulation(mode="pixels")(data)["label"].tolist() == [
        [[4, 4, 4, 0, 10, 10, 9, 0]]
    ]


def test_subtract_refuses_other_shapes_and_useless_arguments() -> None:
    label = np.zeros((2, 4, 4), int)
    with pytest.raises(InputError, match="differ in shape"):
        SubtractPopulation()({"label": label, "subtract": [label[:1]]})
    with pytest.raises(ConfigError, match="no effect"):
        build("segmentation", "SubtractPopulation", {"min_area_px": 3})


@pytest.mark.parametrize("value", [-1, 0.5, np.nan, 2.0**32])
def test_values_that_are_no_labels(value: float) -> None:
    stack = np.zeros((2, 3, 3))
    stack[1, 2, 0] = value
    with pytest.raises(InputError, match=r"frame 6.*\(2, 0\)"):
        check_labels(stack, 5)


def test_large_labels_survive() -> None:
    top = np.array([[[2**32 - 1]]], np.int64)
    assert check_labels(top).item() == 2**32 - 1


def test_image_to_label() -> None:
    assert ImageToLabel()({"image": FRAME[None]})["label"].max() == 9
    assert ImageToLabel(relabel=True)({"image": FRAME[None]})["label"].max() == 2
    binary = ImageToLabel(binary=True)({"image": (FRAME[None] > 0) * 255})["label"]
    assert binary.dtype == np.uint32
    assert binary.max() == 3
    assert ImageToLabel(binary=True)({"image": np.zeros((0, 4, 4))})["label"].shape == (0, 4, 4)
    with pytest.raises(InputError, match="image, frame 2"):
        ImageToLabel()({"image": -FRAME[None], "frame_start": 2})
