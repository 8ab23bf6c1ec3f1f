"""Groups of features against scikit-image, SciPy, closed forms and TrackMate."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError
from scipy.ndimage import binary_dilation, distance_transform_edt
from scipy.spatial import ConvexHull
from skimage.draw import ellipse
from skimage.feature import graycomatrix, graycoprops
from skimage.io import imread
from skimage.measure import EllipseModel, find_contours, regionprops_table
from skimage.morphology import disk

from cyto_kedro import registry, schemas
from cyto_kedro.algorithms.tabulation import texture
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tabulation.frame import ratio_of
from cyto_kedro.algorithms.tabulation.groups import FeatureGroup
from cyto_kedro.algorithms.tabulation.intensity import (
    LocalBackground,
    MassOffset,
    Quantiles,
    Rim,
)
from cyto_kedro.algorithms.tabulation.polygon import Polygon
from cyto_kedro.algorithms.tabulation.texture import Haralick
from cyto_kedro.errors import ConfigError
from cyto_kedro.parameters import Tabulation, given_in

ALL = [
    Quantiles(),
    LocalBackground(gap_px=1, width_px=3),
    Rim(depth_px=2),
    MassOffset(),
    Polygon(),
    Haralick(levels=8),
]
ANY_LABELS = hnp.arrays(np.uint8, (9, 11), elements=st.integers(0, 3))


def measure(label, image=None, groups=(), **more):
    """The table of a film, or of one frame (Y, X)."""
    label = np.asarray(label)
    label = label if label.ndim == 3 else label[None]
    channels = {} if image is None else {"A": np.reshape(image, label.shape)}
    data = {"label": label, "image": channels, "fov": "f1", "population": "TCell"}
    table = Features(groups=groups)(data | more)["dataframe"]
    return schemas.check(schemas.Cells, table)


def cells(seed, shape=(96, 120), n=30):
    """Ellipses that cut each other up, some at the border, and an image of each."""
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, np.uint32)
    for number in rng.choice(np.arange(1, 60_000), n, replace=False):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        a, b = rng.uniform(1, 12, 2)
        label[ellipse(y, x, a, b, shape, rotation=rng.uniform(0, np.pi))] = number
    return label, rng.integers(0, 4000, shape).astype(np.uint16)


def contour_points(mask):
    """All points of the contours of a mask at 0.5: the middles of pixel edges."""
    return find_contours(np.pad(mask, 2).astype(float), 0.5)


def assert_form(frame):
    table = measure(frame)
    truth = regionprops_table(frame.astype(int), properties=("label", "extent"))
    np.testing.assert_allclose(table["extent"], truth["extent"])
    for row in table.itertuples():
        contours = contour_points(frame == row.label)
        points = np.concatenate(contours)
        hull = points[ConvexHull(points).vertices]
        edges = np.roll(hull, -1, axis=0) - hull
        length = np.hypot(*edges.T)
        across = np.abs(np.cross(edges[:, None], points[None] - hull[:, None])).max(axis=1)
        assert row.feret_min_px == pytest.approx((across / length).min())
        contour = sum(np.hypot(*np.diff(each, axis=0).T).sum() for each in contours)
        assert row.convexity == pytest.approx(length.sum() / contour)


@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors")
@pytest.mark.parametrize("seed", range(2))
def test_extent_smallest_feret_and_convexity_on_cut_up_ellipses(seed):
    assert_form(cells(seed)[0])


@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors")
@settings(max_examples=40)
@given(ANY_LABELS)
def test_extent_smallest_feret_and_convexity_on_any_label_image(frame):
    if frame.any():
        assert_form(frame)


@settings(max_examples=60)
@given(ANY_LABELS)
def test_largest_feret_is_the_largest_of_all_pairs(frame):
    if not frame.any():
        return
    truth = regionprops_table(frame.astype(int), properties=("feret_diameter_max",))
    np.testing.assert_allclose(measure(frame)["feret_px"], truth["feret_diameter_max"])


def test_form_of_a_disc_a_square_and_a_pixel():
    label = np.zeros((120, 120), np.uint32)
    label[10:91, 10:91][disk(40) > 0] = 1
    label[100:110, 20:30] = 2
    label[115, 60] = 3
    disc, square, dot = measure(label).itertuples()
    assert disc.roundness == pytest.approx(1, abs=1e-3)
    # Digital outlines are longer than the curve: here 5 % (skimage.measure.perimeter gives the same).
    assert disc.circularity == pytest.approx(1, abs=0.1)
    assert disc.convexity == pytest.approx(1, abs=0.06)
    assert disc.feret_min_px == pytest.approx(80, abs=0.2)
    assert square.circularity == pytest.approx(4 * np.pi * 100 / 36**2)
    assert (square.extent, square.convexity, square.feret_min_px) == (1, 1, 10)
    # A square has the moments of a circle of diameter 4 sqrt(99 / 12).
    assert square.roundness == pytest.approx(400 / (np.pi * 16 * 99 / 12))
    assert np.isnan([dot.circularity, dot.roundness]).all()
    assert dot.feret_min_px == pytest.approx(np.sqrt(0.5))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_quantiles_are_those_of_numpy(dtype):
    label, image = cells(3)
    image = (image % 250).astype(dtype)
    table = measure(label, image, [Quantiles(quantiles=(0, 0.05, 0.5, 0.999, 1))])
    for row in table.itertuples():
        truth = np.quantile(image[label == row.label].astype(float), [0, 0.05, 0.5, 0.999, 1])
        ours = [row.A_q0, row.A_q5, row.A_q50, row.A_q99_9, row.A_q100]
        np.testing.assert_allclose(ours, truth, rtol=1e-12)


@pytest.mark.parametrize(("gap", "width"), [(0.0, 1.0), (1.0, 3.0), (2.5, 4.0)])
@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_local_background_is_that_of_a_distance_transform(gap, width, statistic):
    label, image = cells(4)
    group = LocalBackground(gap_px=gap, width_px=width, statistic=statistic)
    table = measure(label, image, [group])
    n_empty = 0
    for row in table.itertuples():
        mask = label == row.label
        far = distance_transform_edt(~mask)
        ring = image[(far > gap) & (far <= gap + width) & (label == 0)]
        if len(ring) == 0:
            n_empty += 1
            assert np.isnan([row.A_background, row.A_corrected_mean, row.A_corrected_sum]).all()
            continue
        background = getattr(np, statistic)(ring)
        assert row.A_background == pytest.approx(background)
        assert row.A_corrected_mean == pytest.approx(image[mask].mean() - background)
        assert row.A_corrected_sum == pytest.approx(image[mask].sum() - background * mask.sum())
    assert n_empty < len(table) / 2


def test_local_background_takes_a_slope_of_the_illumination_away():
    y, x = np.mgrid[:60, :200]
    label = np.zeros((60, 200), np.uint32)
    for number, centre in enumerate((30, 100, 170), 1):
        label[(y - 30) ** 2 + (x - centre) ** 2 <= 64] = number
    image = 100 + 2.0 * x + 50 * (label > 0)
    table = measure(label, image, [LocalBackground(gap_um=1, width_um=2)], pixel_size_um=0.5)
    np.testing.assert_allclose(table["A_corrected_mean"], 50)
    assert np.ptp(table["A_mean"]) == pytest.approx(280)


def test_a_ring_leaves_out_pixels_that_are_not_finite():
    label = np.zeros((20, 20), np.uint32)
    label[8:12, 8:12] = 1
    image = np.where(label > 0, 5.0, np.nan)
    image[6, 10] = 2.0
    row = measure(label, image, [LocalBackground(gap_px=0, width_px=3)]).iloc[0]
    assert (row["A_background"], row["A_corrected_mean"]) == (2, 3)


@pytest.mark.parametrize("depth", [1.0, 2.0, 3.3])
def test_rim_is_that_of_a_distance_transform(depth):
    label, image = cells(5)
    table = measure(label, image, [Rim(depth_px=depth)])
    for row in table.itertuples():
        mask = np.pad(label == row.label, 1)
        rim = (mask & (distance_transform_edt(mask) <= depth))[1:-1, 1:-1]
        inner = (label == row.label) & ~rim
        assert row.A_rim_mean == pytest.approx(image[rim].mean())
        if inner.any():
            assert row.A_interior_mean == pytest.approx(image[inner].mean())
            assert row.A_rim_ratio == pytest.approx(image[rim].mean() / image[inner].mean())
        else:
            assert np.isnan([row.A_interior_mean, row.A_rim_ratio]).all()


@settings(max_examples=40)
@given(ANY_LABELS, st.sampled_from([1.0, 1.5, 2.3]))
def test_rings_and_rims_on_any_label_image(frame, length):
    image = np.arange(99, dtype=float).reshape(frame.shape) ** 2
    table = measure(
        frame, image, [Rim(depth_px=length), LocalBackground(gap_px=1, width_px=length)]
    )
    for row in table.itertuples():
        mask = np.pad(frame == row.label, 1)
        rim = (mask & (distance_transform_edt(mask) <= length))[1:-1, 1:-1]
        assert row.A_rim_mean == pytest.approx(image[rim].mean())
        far = distance_transform_edt(frame != row.label)
        ring = image[(far > 1) & (far <= 1 + length) & (frame == 0)]
        truth = np.median(ring) if len(ring) else np.nan
        assert row.A_background == pytest.approx(truth, nan_ok=True)


def test_centre_of_mass_is_that_of_scikit_image():
    label, image = cells(6)
    table = measure(label, image + 1, [MassOffset()], pixel_size_um=0.5)
    wanted = ("label", "centroid", "centroid_weighted")
    truth = regionprops_table(label, image + 1, properties=wanted)
    for axis, name in enumerate("yx"):
        offset = truth[f"centroid_weighted-{axis}"] - truth[f"centroid-{axis}"]
        np.testing.assert_allclose(table[f"A_offset_{name}_px"], offset, atol=1e-9)
    length = np.hypot(table["A_offset_x_px"], table["A_offset_y_px"])
    np.testing.assert_allclose(table["A_offset_px"], length)
    np.testing.assert_allclose(table["A_offset_um"], length / 2)
    dark = measure(label, image * 0, [MassOffset()])
    assert dark.filter(like="offset").isna().all(axis=None)


@pytest.mark.parametrize("distance", [1, 3])
@pytest.mark.parametrize("limits", [{}, {"low": 500.0, "high": 3000.0}])
def test_texture_is_that_of_scikit_image(distance, limits, monkeypatch):
    monkeypatch.setattr(texture, "_CHUNK", 2000)  # so that cells come in several chunks
    label, image = cells(7, n=12)
    levels = 8
    table = measure(label, image, [Haralick(distance_px=distance, levels=levels, **limits)])
    n_seen = 0
    for row in table.itertuples():
        mask = label == row.label
        inside = image[mask].astype(float)
        low, high = limits.get("low", inside.min()), limits.get("high", inside.max())
        grey = np.clip((image - low) / max(high - low, 1) * levels, 0, levels - 1).astype(int)
        # The background is a level of its own, whose pairs are then left out.
        pictured = np.where(mask, grey + 1, 0).astype(np.uint8)
        angles = np.arange(4) * np.pi / 4
        matrix = graycomatrix(pictured, [distance], angles, levels + 1, symmetric=True)[1:, 1:]
        matrix = matrix[..., matrix.sum(axis=(0, 1, 2)) > 0]
        for name in texture.PROPERTIES:
            ours = getattr(row, f"A_haralick_{name}")
            if matrix.size == 0:
                assert np.isnan(ours)
                continue
            n_seen += 1
            assert ours == pytest.approx(graycoprops(matrix, name).mean(), rel=1e-9, abs=1e-9)
    assert n_seen > 30


def test_texture_tells_stripes_from_noise_and_not_bright_from_dark():
    label = np.ones((40, 40), np.uint32)
    noise = np.random.default_rng(0).integers(0, 100, label.shape).astype(float)
    stripes = 100.0 * (np.arange(40) // 4 % 2) * np.ones((40, 1))
    tables = [measure(label, each, [Haralick()]) for each in (noise, stripes, 3 * noise + 50)]
    assert tables[1]["A_haralick_homogeneity"][0] > 2 * tables[0]["A_haralick_homogeneity"][0]
    for name in texture.PROPERTIES:
        column = f"A_haralick_{name}"
        assert tables[2][column][0] == pytest.approx(tables[0][column][0])


def trackmate_spots(folder):
    """TrackMate's features by label (the only value of the image within each spot), and polygons."""
    spots = list(ET.parse(folder / "LabelImage.xml").iter("Spot"))
    table = pd.DataFrame([{k: v for k, v in spot.attrib.items() if k != "name"} for spot in spots])
    table = table.astype(float)
    table["label"] = table["MEDIAN_INTENSITY_CH1"].round().astype(int)
    polygons = [np.array(spot.text.split(), float).reshape(-1, 2) for spot in spots]
    return table, dict(zip(table["label"], polygons, strict=True))


@pytest.mark.shared
def test_polygon_is_that_of_trackmate(shared_data):
    folder = shared_data / "trackmate_reference" / "morphology"
    label = imread(folder / "LabelImage.tif").astype(np.uint32)
    theirs, _ = trackmate_spots(folder)
    both = measure(label, groups=[Polygon()]).merge(theirs, on="label", validate="1:1")
    assert len(both) == len(theirs) == 469
    # The mask of label 8105 has a second piece of four pixels, which TrackMate leaves out.
    whole = both[both["label"] != 8105]
    for ours, name, scale in (
        ("x_px", "POSITION_X", 1),
        ("y_px", "POSITION_Y", 1),
        ("area_px", "AREA", 1),
        ("polygon_perimeter_px", "PERIMETER", 1),
        ("polygon_circularity", "CIRCULARITY", 1),
        ("polygon_solidity", "SOLIDITY", 1),
        ("polygon_major_axis_px", "ELLIPSE_MAJOR", 2),
        ("polygon_minor_axis_px", "ELLIPSE_MINOR", 2),
    ):
        np.testing.assert_allclose(whole[ours], scale * whole[name], rtol=1e-9, err_msg=ours)
    odd = both[both["label"] == 8105].iloc[0]
    assert odd["area_px"] - odd["AREA"] == pytest.approx(4)
    # What the pixel definitions give for the same cells, as docs/features.md says.
    for ours, name, low, high in (
        ("perimeter_px", "PERIMETER", 0.85, 0.95),
        ("circularity", "CIRCULARITY", 1.15, 1.35),
        ("solidity", "SOLIDITY", 1.0, 1.03),
        ("major_axis_px", "ELLIPSE_MAJOR", 1.98, 2.02),
    ):
        assert low < (whole[ours] / whole[name]).median() < high


@pytest.mark.shared
def test_polygon_ellipse_is_the_fit_of_scikit_image(shared_data):
    theirs, polygons = trackmate_spots(shared_data / "trackmate_reference" / "morphology")
    for row in theirs.iloc[:40].itertuples():
        fit = EllipseModel.from_estimate(polygons[row.label])
        assert max(fit.axis_lengths) == pytest.approx(row.ELLIPSE_MAJOR, rel=1e-9)


def test_polygon_of_known_shapes():
    label = np.zeros((60, 60), np.uint32)
    label[5:9, 10:22] = 1  # 4 rows of 12
    label[20:30, 20:30] = 2
    label[22:24, 22:24] = 0  # with a hole
    table = measure(label, groups=[Polygon()])
    assert table["polygon_perimeter_px"].tolist() == [32, 48]
    assert table["polygon_solidity"].tolist() == [1, 0.96]
    assert table["polygon_circularity"][0] == pytest.approx(4 * np.pi * 48 / 32**2)
    assert np.isnan(table["polygon_major_axis_px"][0])  # four corners: many ellipses fit
    y, x = np.mgrid[:200, :200]
    tilted = ((x - 100) + (y - 100)) ** 2 / 2 / 80**2 + (
        (x - 100) - (y - 100)
    ) ** 2 / 2 / 40**2 <= 1
    row = measure(tilted.astype(np.uint32), groups=[Polygon()]).iloc[0]
    assert row["polygon_major_axis_px"] == pytest.approx(160, rel=0.01)
    assert row["polygon_minor_axis_px"] == pytest.approx(80, rel=0.01)


def test_all_groups_do_not_depend_on_blocks_and_empty_frames_are_ordinary():
    frames = [cells(seed, shape=(60, 70), n=9) for seed in range(3)]
    label = np.stack([each for each, _ in frames])
    image = np.stack([each for _, each in frames])
    label[1] = 0
    whole = measure(label, image, ALL)
    parts = [measure(label[t], image[t], ALL, frame_start=t) for t in range(3)]
    assert len(parts[1]) == 0
    assert all(part.dtypes.equals(whole.dtypes) for part in parts)
    assert pd.concat([parts[0], parts[2]], ignore_index=True).equals(whole)
    assert whole["A_offset_um"].isna().all()
    none = measure(label[:0], image[:0], ALL)
    assert none.dtypes.equals(whole.dtypes)


def test_a_single_pixel_in_a_frame_of_one_is_ordinary():
    table = measure(np.ones((1, 1), np.uint32), np.full((1, 1), 7.0), ALL)
    assert table["A_rim_mean"].tolist() == [7]
    nothing = ("A_background", "A_interior_mean", "A_haralick_contrast", "polygon_major_axis_px")
    assert table[list(nothing)].isna().all(axis=None)


def test_a_group_may_be_of_one_channel_only():
    label, image = cells(1)
    data = {"label": label[None], "image": {"A": image[None], "B": image[None]}}
    data |= {"fov": "f1", "population": "TCell"}
    table = Features(groups=[Quantiles(channels=("B",), quantiles=(0.5,))])(data)["dataframe"]
    assert "B_q50" in table and "A_q50" not in table
    with pytest.raises(ConfigError, match=r"'f1'.*Quantiles.*unknown channel 'Bb'.*mean 'B'"):
        Features(groups=[Quantiles(channels=("Bb",))])(data)


def test_two_groups_with_the_same_columns_are_refused():
    with pytest.raises(ConfigError, match=r"Rim would write over \['A_interior_mean'"):
        measure(*cells(0), [Rim(depth_px=1), Rim(depth_px=3)])


def test_groups_are_named_in_yaml_and_checked():
    named = {"name": "Quantiles", "args": {"quantiles": [0.1]}}
    made = registry.build("tabulation", "Features", {"groups": [named, {"name": "Polygon"}]})
    assert [type(each).__name__ for each in made.groups] == ["Quantiles", "Polygon"]
    dumped = made.model_dump(mode="json")["groups"]
    assert dumped[0] == {
        "name": "Quantiles",
        "args": {"channels": None, "quantiles": [0.1]},
        "version": 1,
    }
    for groups, message in (
        ([{"name": "Quantile"}], "unknown feature group 'Quantile'. Did you mean 'Quantiles'"),
        ([{"name": "Rim", "args": {"deepth_px": 1}}], "Did you mean 'depth_px'"),
        ([{"name": "Rim", "args": {"depth_px": 0}}], "Rim.depth: .*greater than 0"),
        ([{"name": "Rim", "depth_px": 2}], "a group is written"),
        ({"name": "Rim"}, "expected a list of groups"),
        ([{"name": "Quantiles", "args": {"quantiles": [95]}}], "0.05 means 5 %"),
        ([{"name": "Haralick", "args": {"low": 2, "high": 1}}], "must be below high"),
    ):
        with pytest.raises(ConfigError, match=message):
            registry.build("tabulation", "Features", {"groups": groups})


def test_a_group_by_itself_is_no_table_and_its_lengths_are_known_before_a_run():
    touches = {"name": "Touches", "args": {"max_distance_px": 2}}
    with pytest.raises((ConfigError, ValidationError), match="group of features"):
        Tabulation.model_validate({"features": {"name": "Polygon"}, "touches": touches})
    rim = {"name": "Rim", "args": {"depth_um": 1}}
    features = {"name": "Features", "args": {"groups": [rim]}}
    block = {"features": features, "steps": [], "touches": touches}
    found = given_in("um", "px", {"tabulation": block})
    assert found == ["tabulation.features.args.groups[0].depth_um"]
    with pytest.raises(ConfigError, match="depth_um=1"):
        measure(*cells(0), Features(groups=[rim]).groups)


def test_a_group_of_another_package_is_found_by_name():
    class EdgeDistance(FeatureGroup):
        """Distance of the cell to the edge of the image."""

        def measure(self, cells):
            y, x = cells.places
            height, width = cells.masks.shape
            near = np.minimum.reduce([y, x, height - 1 - y, width - 1 - x])
            return {"edge_px": np.minimum.reduceat(near, cells.start).astype(float)}

    label = np.zeros((20, 20), np.uint32)
    label[3:6, 8:9] = 4
    assert measure(label, groups=[{"name": "EdgeDistance"}])["edge_px"].tolist() == [3]


def test_ring_pixels_of_a_dilation_agree():
    """The dilation behind the ring is that of SciPy with a disc."""
    from cyto_kedro.algorithms.tabulation.masks import read_masks
    from cyto_kedro.algorithms.tabulation.regions import cell_runs, dilate

    label, _ = cells(8)
    masks = read_masks(label)
    for radius in (1, 4):
        at, owner = dilate(cell_runs(masks), radius, label.shape).pixels(label.shape[1])
        for index, number in enumerate(masks.labels):
            truth = np.flatnonzero(binary_dilation(label == number, disk(radius)))
            np.testing.assert_array_equal(np.sort(at[owner == index]), truth)


def test_every_cell_has_a_rim_however_shallow():
    label = np.zeros((12, 12), np.uint32)
    label[2:9, 3:10] = 1
    image = np.random.default_rng(0).random((12, 12))
    shallow, outline = (measure(label, image, [Rim(depth_px=depth)]) for depth in (0.5, 1))
    assert shallow["A_rim_mean"].tolist() == outline["A_rim_mean"].tolist()


def test_no_ratio_to_what_is_not_above_zero():
    found = ratio_of(np.array([1.0, 1, 1]), np.array([2.0, 0, -2]))
    np.testing.assert_array_equal(found, [0.5, np.nan, np.nan])
