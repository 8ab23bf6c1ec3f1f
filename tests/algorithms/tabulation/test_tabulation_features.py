"""`Features` against scikit-image, NumPy and closed forms."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.draw import ellipse
from skimage.io import imread
from skimage.measure import regionprops_table

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.errors import InputError

SAME_AS = {
    "label": "label",
    "y_px": "centroid-0",
    "x_px": "centroid-1",
    "bbox_y0_px": "bbox-0",
    "bbox_x0_px": "bbox-1",
    "bbox_y1_px": "bbox-2",
    "bbox_x1_px": "bbox-3",
    "area_px": "area",
    "perimeter_px": "perimeter",
    "major_axis_px": "axis_major_length",
    "minor_axis_px": "axis_minor_length",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "feret_px": "feret_diameter_max",
}


def measure(label, image=None, **more):
    data = {
        "label": label,
        "image": image or {},
        "fov": "f1",
        "population": "TCell",
        "frame_start": 0,
        "pixel_size_um": None,
        "time_min": None,
    }
    table = Features()(data | more)["dataframe"]
    return schemas.check(schemas.Cells, table)


def blobs(seed, n_frames=1, shape=(128, 160), n=40):
    """Ellipses that cut each other up, some at the border; labels not consecutive."""
    rng = np.random.default_rng(seed)
    label = np.zeros((n_frames, *shape), np.uint32)
    for frame in label:
        for number in rng.choice(np.arange(1, 60_000), n, replace=False):
            y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
            a, b = rng.uniform(1, 12, 2)
            frame[ellipse(y, x, a, b, shape, rotation=rng.uniform(0, np.pi))] = number
    return label


def assert_like_skimage(frame):
    table = measure(frame[None])
    wanted = ["label", "centroid", "bbox", "orientation"]
    wanted += [name for name in SAME_AS.values() if "-" not in name and name != "label"]
    truth = regionprops_table(frame, properties=wanted)
    assert len(table) == len(truth["label"])
    for ours, theirs in SAME_AS.items():
        # The square root of scikit-image's rounding error, where we are at 0 exactly, is 1e-7.
        np.testing.assert_allclose(table[ours], truth[theirs], rtol=1e-9, atol=1e-6, err_msg=ours)
    # An axis has no sign, and a mask as wide as high has no axis.
    tilted = table["eccentricity"].to_numpy() > 1e-3
    turn = (table["orientation_rad"] - truth["orientation"]).to_numpy()[tilted]
    np.testing.assert_allclose(np.sin(turn), 0, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_shape_is_that_of_scikit_image_on_cut_up_ellipses(seed):
    assert_like_skimage(blobs(seed)[0])


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.uint8, (9, 11), elements=st.integers(0, 3)))
def test_shape_is_that_of_scikit_image_on_any_label_image(frame):
    if frame.any():
        assert_like_skimage(frame.astype(np.uint32))


@pytest.mark.shared
def test_shape_is_that_of_scikit_image_on_real_masks(shared_data):
    folder = shared_data / "ctc_Fluo-N2DH-GOWT1_seq01_f40" / "01_GT" / "SEG"
    assert_like_skimage(imread(folder / "man_seg005.tif").astype(np.uint32))
    image = shared_data / "trackmate_reference" / "morphology" / "LabelImage.tif"
    assert_like_skimage(imread(image).astype(np.uint32)[:400, :400])


def test_closed_forms():
    label = np.zeros((1, 30, 40), np.uint32)
    label[0, 5:9, 10:22] = 7  # 4 rows of 12
    label[0, 20, 30] = 9
    table = measure(label, pixel_size_um=0.5, time_min=np.array([2.5]), frame_start=3)
    box, dot = table.iloc[0], table.iloc[1]
    assert (box["label"], box["frame"], box["time_min"]) == (7, 3, 2.5)
    assert (box["y_px"], box["x_px"], box["y_um"], box["x_um"]) == (6.5, 15.5, 3.25, 7.75)
    assert (box["area_px"], box["area_um2"]) == (48, 12)
    assert (box["perimeter_px"], box["perimeter_um"]) == (28, 14)
    # Variance of 0 .. n-1 is (n² - 1) / 12; an axis is 4 standard deviations.
    assert box["major_axis_px"] == pytest.approx(4 * np.sqrt(143 / 12))
    assert box["minor_axis_px"] == pytest.approx(4 * np.sqrt(15 / 12))
    assert abs(box["orientation_rad"]) == pytest.approx(np.pi / 2)
    assert box["solidity"] == 1
    # From the middle of an end's corner edge to that of the opposite corner.
    assert box["feret_px"] == pytest.approx(np.hypot(12, 3))
    assert (dot["area_px"], dot["feret_px"], dot["solidity"], dot["eccentricity"]) == (1, 1, 1, 0)
    assert not table["on_border"].any()


def test_on_border_is_touching_any_edge():
    label = np.zeros((1, 10, 10), np.uint32)
    label[0, 0, 4], label[0, 9, 4], label[0, 4, 0], label[0, 4, 9], label[0, 4, 4] = range(1, 6)
    assert measure(label)["on_border"].tolist() == [True, True, True, True, False]


def test_on_border_is_where_registration_moved_the_edge_to():
    label = np.zeros((2, 10, 10), np.uint32)
    label[:, 2, 4], label[:, 6, 4], label[:, 4, 3], label[:, 4, 6] = range(1, 5)
    found = measure(label, filmed_yx=np.array([[0, 10, 0, 10], [2, 7, 4, 6]]))
    assert not found.loc[found["frame"] == 0, "on_border"].any()
    assert found.loc[found["frame"] == 1, "on_border"].all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_intensity_statistics_are_those_of_numpy(dtype):
    label = blobs(5, n_frames=2)
    values = np.random.default_rng(1).normal(100, 60, label.shape)
    image = (values.clip(0, 255) if dtype.startswith("u") else values).astype(dtype)
    table = measure(label, {"Dead": image})
    for row in table.itertuples():
        inside = image[row.frame][label[row.frame] == row.label].astype(float)
        truth = [
            inside.sum(),
            inside.mean(),
            np.median(inside),
            inside.std(),
            inside.min(),
            inside.max(),
        ]
        ours = [getattr(row, f"Dead_{stat}") for stat in schemas.STATS]
        np.testing.assert_allclose(ours, truth, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("side", [210, 250, 300])
def test_sums_of_the_brightest_large_cells_do_not_overflow(side):
    image = np.full((1, 310, 310), 65535, np.uint16)
    image[0, :, ::2] = np.random.default_rng(0).integers(0, 65535, (310, 155))
    label = np.zeros(image.shape, np.uint32)
    label[0, :side, :side] = 1
    row = measure(label, {"A": image}).iloc[0]
    inside = image[label > 0].astype(float)
    np.testing.assert_allclose(row["A_sum"], inside.sum(), rtol=1e-12)
    np.testing.assert_allclose(row["A_sd"], inside.std(), rtol=1e-9)


def test_dask_and_blocks_give_the_same_table():
    label, image = blobs(2, n_frames=5), np.random.default_rng(0).random((5, 128, 160))
    times = np.arange(5) * 2.0
    whole = measure(label, {"A": image}, time_min=times)
    lazy = measure(
        da.from_array(label, (2, -1, -1)), {"A": da.from_array(image, (1, -1, -1))}, time_min=times
    )
    parts = [
        measure(label[a:b], {"A": image[a:b]}, frame_start=a, time_min=times[a:b])
        for a, b in ((0, 2), (2, 5))
    ]
    assert lazy.equals(whole)
    assert pd.concat(parts, ignore_index=True).equals(whole)


def test_empty_frames_and_an_empty_film():
    label = np.zeros((3, 20, 20), np.uint32)
    image = {"A": np.zeros((3, 20, 20), np.float32)}
    empty = measure(label, image)
    label[1, 4:8, 4:8] = 12
    one = measure(label, image)
    assert len(empty) == 0
    assert one["frame"].tolist() == [1]
    assert empty.dtypes.equals(one.dtypes)
    assert one[["time_min", "x_um", "area_um2", "perimeter_um"]].isna().all(axis=None)


def test_largest_uint32_label():
    label = np.zeros((1, 5, 5), np.uint32)
    label[0, 1:3, 1:3] = 2**32 - 1
    assert measure(label)["label"].tolist() == [2**32 - 1]


def test_bad_input_names_field_population_channel_and_frame():
    label = np.zeros((2, 8, 8), np.uint32)
    label[1, 2:5, 2:5] = 1
    image = np.ones((2, 8, 8))
    image[1, 3, 3] = np.nan
    with pytest.raises(InputError, match=r"'f1'.*'TCell'.*frame 8.*'Dead'.*1 pixels"):
        measure(label, {"Dead": image}, frame_start=7)
    with pytest.raises(InputError, match=r"channel 'Dead' has shape \(1, 8, 8\)"):
        measure(label, {"Dead": image[:1]})
    with pytest.raises(InputError, match=r"must be whole numbers .*got float64"):
        measure(label.astype(float))
    with pytest.raises(InputError, match="frame 1: negative label -1"):
        measure(-label.astype(np.int32))
    with pytest.raises(InputError, match=r"got\s+shape \(8, 8\)"):
        measure(label[0])
    with pytest.raises(InputError, match="1 times for 2 frames"):
        measure(label, time_min=np.zeros(1))


def test_nan_outside_the_cells_does_not_matter():
    label = np.zeros((1, 8, 8), np.uint32)
    label[0, 2:5, 2:5] = 1
    image = np.where(label > 0, 3.0, np.nan)
    assert measure(label, {"A": image})["A_median"].tolist() == [3.0]


def test_cells_beside_pixels_never_filmed_are_at_the_border_and_take_no_background_there():
    rng = np.random.default_rng(0)
    image = (100 + rng.normal(0, 2, (1, 60, 60))).astype(np.float32)
    image[0, :20] = 0
    label = np.zeros((1, 60, 60), np.uint32)
    label[0, 20:26, 5:11], label[0, 22:28, 25:31], label[0, 40:46, 40:46] = 1, 2, 3
    groups = [{"name": "LocalBackground", "args": {"gap_px": 1, "width_px": 8}}]
    for told in (None, image[0] > 0, image > 0):
        table = Features(groups=groups)(label=label, image={"A": image}, valid=told)["cells"]
        assert table["on_border"].tolist() == [True, False, False]
        np.testing.assert_allclose(table["A_background"], 100, atol=1)
