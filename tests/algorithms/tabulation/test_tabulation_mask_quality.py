"""Evidence of masks against spoilt masks of drawn cells; quality of tracks against values by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage as ndi

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.frame_evidence import frame_evidence
from cyto_kedro.algorithms.tabulation.mask_evidence import Scene, _gradient, _tops, cell_evidence
from cyto_kedro.algorithms.tabulation.mask_quality import MaskEvidence, MaskQuality
from cyto_kedro.errors import InputError

SIDE, RADIUS, PITCH = 240, 10, 40


def drawn(scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """25 cells on a grid, blurred, with noise: image and true masks (Y, X)."""
    y, x = np.mgrid[: SIDE * scale, : SIDE * scale] / scale
    number = np.zeros(y.shape, np.uint32)
    for k in range(25):
        cy, cx = 40 + PITCH * (k // 5), 40 + PITCH * (k % 5)
        number[(y - cy) ** 2 + (x - cx) ** 2 < RADIUS**2] = k + 1
    light = ndi.gaussian_filter((number > 0).astype(float), scale)
    noise = np.random.default_rng(1).normal(0, 3, light.shape)
    return (20 + 100 * light + noise).astype(np.float32), number


def expected(image: np.ndarray, label: np.ndarray) -> float:
    return float(evidence(image, label)["expected_f1"].iloc[0])


def evidence(image: np.ndarray, label: np.ndarray) -> pd.DataFrame:
    return MaskEvidence()(image=image[None], label=label[None])["mask_evidence"]


def test_right_masks_are_trusted_and_each_way_to_spoil_them_costs():
    image, label = drawn()
    best = expected(image, label)
    assert best > 0.9
    away, at = ndi.distance_transform_edt(label == 0, return_indices=True)
    inside = ndi.distance_transform_edt(label > 0)
    spoilt = {
        "dilated": np.where(away <= 9, label[tuple(at)], 0),
        "eroded": np.where(inside > 4, label, 0),
        "shifted": np.roll(label, 10, 0),
        "joined": np.where(away <= 21, (label[tuple(at)] + 1) // 2, 0),
        "elsewhere": np.roll(label, PITCH // 2, (0, 1)),
    }
    flag = MaskQuality().least_f1
    for how, masks in spoilt.items():
        assert expected(image, masks.astype(np.uint32)) < flag, how
    assert expected(image, spoilt["elsewhere"].astype(np.uint32)) < 0.05
    assert "brightness falls" in evidence(image, np.roll(label, 10, 0))["reason"].iloc[0]


def test_cells_cut_in_two_and_more_of_them_missed_cost_more():
    image, label = drawn()
    y = np.mgrid[:SIDE, :SIDE][0]
    centre = np.r_[0, [40 + PITCH * (k // 5) for k in range(25)]]
    half = (y > centre[label]) & (label > 0)
    values = [
        expected(image, np.where(half & (label <= n), label + 25, label)) for n in (0, 8, 16, 25)
    ]
    assert values == sorted(values, reverse=True) and values[-1] < values[0] - 0.02
    whole = evidence(image, np.where(half, label + 25, label))
    assert "valley" in whole["reason"].iloc[0]
    values = [expected(image, np.where(label > n, label, 0)) for n in (0, 5, 10, 15, 20)]
    assert values == sorted(values, reverse=True) and values[-1] < 0.75
    assert "missed" in evidence(image, np.where(label > 10, label, 0))["reason"].iloc[0]


def test_neither_light_nor_magnification_count():
    image, label = drawn()
    best = expected(image, label)
    assert expected(7 * image + 500, label) == pytest.approx(best, abs=0.01)
    assert expected(*drawn(2)) == pytest.approx(best, abs=0.06)


def test_an_empty_frame_is_no_bad_frame():
    image, label = drawn()
    none = np.zeros_like(label)
    noise = np.random.default_rng(2).normal(20, 3, image.shape).astype(np.float32)
    assert np.isnan(expected(noise, none))
    assert np.isnan(expected(np.zeros_like(image), none))
    assert expected(image, none) < 0.1
    assert expected(noise, label) < 0.3  # masks of nothing


def test_excluded_frames_have_no_row_and_shapes_must_agree():
    image, label = drawn()
    stack, labels = np.stack([image] * 3), np.stack([label] * 3)
    table = MaskEvidence()(image=stack, label=labels, frame_start=4, excluded=(5,))["mask_evidence"]
    assert table["frame"].tolist() == [4, 6] and table["n_cells"].tolist() == [25, 25]
    schemas.check(schemas.MaskEvidence, table)
    with pytest.raises(InputError, match=r"field 'A1', 'T'.*must be alike"):
        MaskEvidence()(image=stack, label=labels[:2], fov="A1", population="T")


def seen(f1: list[float], n: int = 10) -> pd.DataFrame:
    rows = {"fov": "A1", "population": "T", "frame": range(len(f1)), "n_cells": n}
    return schemas.filled(schemas.MaskEvidence, rows).assign(expected_f1=f1, reason="holes")


def test_a_field_is_flagged_by_the_mean_of_its_frames_and_stops_if_asked():
    good = MaskQuality(least_f1=0.7)(mask_evidence=seen([0.9, 0.6, np.nan]))["mask_quality"]
    assert good["field_f1"].tolist() == [0.75] * 3 and not good["flagged"].any()
    bad = MaskQuality(least_f1=0.8)(mask_evidence=seen([0.9, 0.6]))["mask_quality"]
    assert bad["flagged"].all()
    with pytest.raises(InputError, match=r"field A1, T: .* F1 of 0\.75 .*worst in frame 1: holes"):
        MaskQuality(least_f1=0.8, stop=True)(
            mask_evidence=seen([0.9, 0.6]), fov="A1", population="T"
        )
    nothing = MaskQuality()(mask_evidence=seen([np.nan]))["mask_quality"]
    assert not nothing["flagged"].any()


def test_links_and_areas_by_hand():
    """Two cells, 10 px apart; one moves by 6 px once, the other halves its area once."""
    base = {"fov": "A1", "population": "T", "y_px": 5.0}
    frame, label = np.repeat([0, 1, 2], 2), np.tile([1, 2], 3)
    x = [0.0, 10, 0, 10, 6, 10]
    points = schemas.filled(
        schemas.TrackPoints,
        {**base, "frame": frame, "track_id": label, "label": label, "x_px": x},
    )
    cells = schemas.filled(
        schemas.Cells,
        {**base, "frame": frame, "label": label, "x_px": x, "area_px": [9.0, 9, 9, 4.5, 9, 4.5]},
    )
    tracks = schemas.filled(
        schemas.Tracks,
        {
            "fov": "A1", "population": "T", "track_id": [1, 2, 3], "first_frame": 0,
            "last_frame": [2, 2, 0], "n_points": 3, "end_reason": ["film_end", "film_end", "lost"],
        },
    )  # fmt: skip
    made = MaskQuality()(
        mask_evidence=seen([0.9] * 3, 2), cells=cells, track_points=points, tracks=tracks
    )["mask_quality"]
    assert made["area_jumps"].tolist()[1:] == [0.5, 0]
    assert made["links_unsure"].tolist()[1:] == [0, 0.5]  # 6 px, the other cell is 4 px off
    assert made["lost"].tolist()[1:] == [0.5, 0]
    assert np.isnan(made["links_unsure"].iloc[0])


def test_long_links_by_hand() -> None:
    """Six cells in a row, 20 px apart, that step by 1 to 6, then 8, 9.5, 11, 14, 15.9 and 16 px.

    Of the second steps 11 px and more are over half of the way to another cell (20 px, or less where
    that one came nearer), and 15.9 and 16 over 0.9 of the longest.
    """
    steps = np.array([[0.0] * 6, [1, 2, 3, 4, 5, 6], [8, 9.5, 11, 14, 15.9, 16]])
    rows = {
        "fov": "A1", "population": "T", "frame": np.repeat([0, 1, 2], 6),
        "label": np.tile(range(6), 3), "track_id": np.tile(range(6), 3),
        "x_px": np.tile(100.0 * np.arange(6), 3), "y_px": np.cumsum(steps, 0).ravel(),
    }  # fmt: skip
    points = pd.DataFrame(rows)
    # a still one beside each, 20 px from where its second step ends
    beside = points[points["frame"] == 2].assign(x_px=lambda one: one["x_px"] + 20)
    beside = pd.concat([beside.assign(frame=t) for t in range(3)])
    points = pd.concat(
        [points, beside.assign(label=beside["label"] + 6, track_id=beside["track_id"] + 6)]
    )
    made = MaskQuality()(
        mask_evidence=seen([0.9] * 3, 12),
        track_points=schemas.filled(schemas.TrackPoints, points.to_dict("list")),
    )["mask_quality"]
    assert made["links_unsure"].iloc[2] == pytest.approx(4 / 12)
    assert made["links_at_reach"].tolist()[1:] == [0, pytest.approx(2 / 12)]


@pytest.mark.parametrize(
    ("usual", "odd", "jumps"),
    [
        (40, 60, False),  # half as many again, but 3.2 sd of a Poisson count
        (40, 70, True),
        (400, 490, False),  # 4.5 sd, but less than a quarter more
        (400, 510, True),
        (400, 310, True),
    ],
)
def test_what_number_of_cells_jumps(usual: int, odd: int, jumps: bool) -> None:
    table = seen([0.9] * 15, usual)
    table.loc[7, "n_cells"] = odd
    made = MaskQuality()(mask_evidence=table)["mask_quality"]
    assert np.flatnonzero(made["jumps"]).tolist() == [7] * jumps


@pytest.mark.parametrize(("n", "jumps"), [(4, False), (10, True)])
def test_few_cells_that_change_do_not_jump(n: int, jumps: bool) -> None:
    """Half of the cells double; of four that is two."""
    rows = {"fov": "A1", "population": "T", "frame": np.repeat([0, 1], n), "y_px": 5.0}
    rows |= {"label": np.tile(range(1, n + 1), 2), "x_px": np.tile(40.0 * np.arange(n), 2)}
    area = np.r_[np.full(n, 30.0), np.full(n // 2, 60.0), np.full(n - n // 2, 30.0)]
    made = MaskQuality()(
        mask_evidence=seen([0.9, 0.9], n),
        cells=schemas.filled(schemas.Cells, {**rows, "area_px": area}),
        track_points=schemas.filled(schemas.TrackPoints, {**rows, "track_id": rows["label"]}),
    )["mask_quality"]
    assert made["area_jumps"].iloc[1] == 0.5 and made["jumps"].iloc[1] == jumps


def test_light_beside_a_mask_that_is_a_little_small_is_no_missed_cell() -> None:
    image, label = drawn()  # all 25 cells have a mask: none is missed
    inside = ndi.distance_transform_edt(label > 0)
    for cut, measures in ((0, ["missed_faint"]), (2, ["missed", "missed_area", "missed_bright"])):
        scene = Scene.of(image, np.where(inside > cut, label, 0))
        found = frame_evidence(scene, cell_evidence(scene))
        assert [found[name] for name in measures] == [0] * len(measures), cut
    small = np.where(inside > 1, label, 0)
    scene = Scene.of(image, small)
    assert frame_evidence(scene, cell_evidence(scene))["missed"] == 0
    fewer = Scene.of(image, np.where(small > 5, small, 0))
    found = frame_evidence(fewer, cell_evidence(fewer))
    assert found["missed"] == pytest.approx(5 / 25)


def test_cells_that_come_into_view_or_leave_it_do_not_jump():
    """Six cells: three enter at the border and grow threefold; whole in view, that would be a jump."""
    base = {"fov": "A1", "population": "T", "y_px": 5.0}
    frame, label = np.repeat([0, 1], 6), np.tile(range(1, 7), 2)
    area = np.r_[np.full(3, 20.0), np.full(3, 60.0), np.full(6, 60.0)]
    rows = {**base, "frame": frame, "label": label, "x_px": 40.0 * label}
    points = schemas.filled(schemas.TrackPoints, {**rows, "track_id": label})
    cells = schemas.filled(schemas.Cells, {**rows, "area_px": area})
    for border, share, jumps in ((area < 60, 0.0, False), (area < 0, 0.5, True)):
        made = MaskQuality()(
            mask_evidence=seen([0.9, 0.9], 6),
            cells=cells.assign(on_border=border),
            track_points=points,
        )["mask_quality"]
        assert made["area_jumps"].iloc[1] == share and made["jumps"].iloc[1] == jumps


def test_a_frame_with_other_numbers_jumps():
    table = seen([0.9] * 15, 40)
    table.loc[7, "n_cells"] = 95
    made = MaskQuality()(mask_evidence=table)["mask_quality"]
    assert np.flatnonzero(made["jumps"]).tolist() == [7]
    steady = seen([0.9] * 15, 40).assign(n_cells=[40, 43, 38, 47, 35] * 3)
    assert not MaskQuality()(mask_evidence=steady)["mask_quality"]["jumps"].any()


def test_slopes_and_tops_are_those_of_whole_images():
    rng = np.random.default_rng(7)
    image = np.round(rng.normal(0, 3, (40, 61)), 1).astype(np.float32)
    pixels = np.flatnonzero(rng.random(image.size) < 0.4)
    for found, whole in zip(_gradient(image, pixels), np.gradient(image), strict=True):
        np.testing.assert_array_equal(found, whole.ravel()[pixels])
    for reach in (1, 2, 4):
        highest = (image == ndi.maximum_filter(image, 2 * reach + 1)).ravel()
        np.testing.assert_array_equal(_tops(image, pixels, reach), pixels[highest[pixels]])


def test_labels_may_be_of_any_size():
    image, label = drawn()
    sparse = np.where(label > 0, label.astype(np.uint32) * 150_000_000, 0).astype(np.uint32)
    one, other = (MaskEvidence()(image=image[None], label=each[None]) for each in (label, sparse))
    pd.testing.assert_frame_equal(one["mask_evidence"], other["mask_evidence"])
