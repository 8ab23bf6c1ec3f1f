"""The numbers drawn of motion: speeds, mean squared displacement, directions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.motion_figures import (
    MotionFigures,
    directions,
    draw_directions,
    draw_msd,
    draw_speeds,
    msd_curves,
)
from cyto_kedro.algorithms.reporting.quality_figures import QualityFigures, draw_quality

ROLES = {"T": "effector", "C": "target"}


def msd_of(fov: str, lag_min: np.ndarray, msd: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame({"lag_min": lag_min, "lag_frames": lag_min / 2, "msd_um2": msd})
    return table.assign(fov=fov, population="T", msd_px2=4 * msd)


def test_msd_is_the_mean_over_fields_at_lags_that_all_have() -> None:
    lag = np.arange(1, 6) * 2.0
    table = pd.concat([msd_of("a", lag, 3 * lag), msd_of("b", lag[:3], 5 * lag[:3])])
    curves, units = msd_curves(table, None)
    mean = curves[curves["fov"] == ""]
    assert units == ("µm²", "min") and mean["lag"].tolist() == [2, 4, 6]
    np.testing.assert_allclose(mean["msd"], 4 * mean["lag"])
    assert len(curves) == 8 + 3
    # the times of real films jitter
    table = pd.concat([msd_of("a", lag, 3 * lag), msd_of("b", 1.003 * lag, 5 * lag)])
    mean = msd_curves(table, None)[0].query("fov == ''")
    assert len(mean) == 5
    np.testing.assert_allclose(mean["msd"], 4 * lag, rtol=0.005)


def test_msd_of_other_frame_rates_is_interpolated_along_power_laws() -> None:
    fine, coarse = np.arange(1, 31) * 1.0, np.arange(1, 5) * 5.0
    table = pd.concat([msd_of("a", fine, fine**1.5), msd_of("b", coarse, 3 * coarse**1.5)])
    mean = msd_curves(table, None)[0].query("fov == ''")
    assert mean["lag"].tolist() == [5, 10, 15, 20]
    np.testing.assert_allclose(mean["msd"], 2 * mean["lag"] ** 1.5)


def test_msd_in_pixels_and_without_motion() -> None:
    table = msd_of("a", np.array([2.0, 4.0]), np.array([1.0, 0.0]))
    assert msd_curves(table, None)[0]["lag"].tolist() == [2, 2]  # zero has no logarithm
    curves, units = msd_curves(table.assign(msd_um2=np.nan), None)
    assert units == ("px²", "frames") and curves["msd"].tolist() == [4, 4]
    axes = draw_msd(curves, units, None, ROLES).axes
    assert axes[0].get_xlabel() == "lag (frames)" and axes[0].get_xscale() == "log"
    table = msd_of("a", np.array([2.0, 4.0, 8.0]), np.array([2.0, 4.0, 8.0]))
    axes = draw_msd(*msd_curves(table, None), None, ROLES).axes
    slope = [line for line in axes[0].lines if list(line.get_ydata()) == [2.0, 8.0]]
    assert slope, "slope 1 passes through a random walk's ends"
    assert {t.get_text().split(",")[0] for t in axes[0].texts} == {"slope 1", "slope 2"}
    labels = [t.get_text() for t in axes[0].get_xticklabels()]
    assert "5" in labels and not any("mathdefault" in t for t in labels)


def steps_of(velocity: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(velocity, columns=["velocity_x_px_per_frame", "velocity_y_px_per_frame"])
    return table.assign(fov="a", population="T")


def test_directions_are_as_in_the_picture() -> None:
    # right, up (y decreases), left, down, down; one at rest, one unknown
    velocity = [[1, 0], [0, -2], [-1, 0], [0, 3], [0, 1], [0, 0], [np.nan, np.nan]]
    found = directions([steps_of(np.array(velocity, float))], None).set_index("sector")
    assert found["n"].unique().tolist() == [5] and found["share"].sum() == pytest.approx(1)
    assert found.loc[[0, 4, 8, 12], "share"].tolist() == [0.2, 0.2, 0.2, 0.4]
    assert found["resultant"].iloc[0] == pytest.approx(0.2)
    fig = draw_directions(found.reset_index(), None, ROLES)
    assert fig.axes[0].get_title().endswith("5 steps, R = 0.20")


@given(
    arrays(float, (9, 2), elements=st.floats(-3, 3, allow_subnormal=False).map(lambda v: v + 0.07))
)
def test_a_quarter_turn_moves_directions_by_four_sectors(velocity: np.ndarray) -> None:
    # keep away from the edges of sectors, where rounding decides
    angle = np.arctan2(-velocity[:, 1], velocity[:, 0]) * 16 / (2 * np.pi)
    velocity = velocity[np.abs((angle - 0.5) - np.round(angle - 0.5)) > 1e-6]
    before = directions([steps_of(velocity)], None)
    turned = np.stack([velocity[:, 1], -velocity[:, 0]], axis=1)  # anticlockwise in the picture
    after = directions([steps_of(turned)], None)
    np.testing.assert_allclose(after["share"], np.roll(before["share"], 4))
    np.testing.assert_allclose(after["resultant"], before["resultant"], atol=1e-9)


def test_nothing_and_no_calibration(assay: dict, uncalibrated: dict) -> None:
    none = MotionFigures(dpi=40)({"roles": ROLES})["figures"]
    assert tuple(none) == ("speeds", "directions")  # msd where it was measured
    assert all(p.png.startswith(b"\x89PNG") and p.caption and not p.alt for p in none.values())
    said = draw_directions(directions([schemas.empty(schemas.Steps)], None), None, ROLES).axes[0]
    assert said.texts[0].get_text() == "No cell was seen to move."
    sheet, roles = assay["sample_sheet"], assay["roles"]
    axes = draw_speeds(uncalibrated["motility"], sheet, roles).axes[0]
    assert axes.get_ylabel() == "mean speed (px/frame)"
    axes = draw_speeds(assay["motility"], sheet, roles).axes[0]
    dots = [each for each in axes.collections if hasattr(each, "get_sizes")]
    assert sum(len(each.get_offsets()) for each in dots) == 48
    means = assay["motility"].query("population == 'TCell'").groupby("fov")["mean_speed_um_per_min"]
    drawn = sorted(float(line.get_ydata()[0]) for line in axes.get_lines())
    assert drawn == pytest.approx(sorted(means.mean()))  # a dot for each replicate


def test_quality_of_one_frame_and_of_none(assay: dict) -> None:
    assert draw_quality(assay["quality"].query("frame == 0")).axes
    assert (
        "No raw image" in draw_quality(schemas.empty(schemas.Quality)).axes[0].texts[0].get_text()
    )
    assert QualityFigures(dpi=40)(assay)["figures"]["quality"].png.startswith(b"\x89PNG")
