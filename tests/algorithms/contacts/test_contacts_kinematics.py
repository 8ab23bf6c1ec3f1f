"""Kinematics against closed forms and invariances; other programs: test_motion_parity.py."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.kinematics import Kinematics
from cyto_kedro.errors import InputError


def run(points: pd.DataFrame, **fields) -> tuple[pd.DataFrame, pd.DataFrame]:
    result = Kinematics(**fields)({"dataframe": points})
    return (
        schemas.check(schemas.Steps, result["steps"]),
        schemas.check(schemas.Motility, result["motility"]),
    )


def table(track, frame, x, y, time_min=None, pixel_size_um=1.0) -> pd.DataFrame:
    """Track points of plain arrays."""
    return schemas.conform(
        schemas.TrackPoints,
        pd.DataFrame(
            {
                "fov": "A",
                "population": "T",
                "frame": frame,
                "time_min": np.asarray(frame, float) if time_min is None else time_min,
                "x_px": np.asarray(x, float),
                "y_px": np.asarray(y, float),
                "x_um": np.asarray(x, float) * pixel_size_um,
                "y_um": np.asarray(y, float) * pixel_size_um,
                "track_id": track,
                "label": 1,
                "interpolated": False,
            }
        ),
    )


def test_three_four_five_with_uneven_times(make_points):
    points = make_points(
        {("T", 1): {0: (0, 0), 1: (3, 4), 3: (3, 10)}}, times={0: 0.0, 1: 2.0, 3: 7.0}
    )
    steps, motility = run(points, arrest_speed_um_per_min=1.0)
    np.testing.assert_allclose(steps["displacement_from_previous_px"], [np.nan, 5, 6])
    np.testing.assert_allclose(steps["displacement_from_previous_um"], [np.nan, 2.5, 3])
    np.testing.assert_allclose(steps["displacement_to_next_px"], [5, 6, np.nan])
    np.testing.assert_allclose(steps["dt_frames_from_previous"], [np.nan, 1, 2])
    np.testing.assert_allclose(steps["dt_from_previous_min"], [np.nan, 2, 5])
    np.testing.assert_allclose(steps["speed_px_per_frame"], [np.nan, 5, 3])
    np.testing.assert_allclose(steps["speed_um_per_min"], [np.nan, 1.25, 0.6])
    np.testing.assert_allclose(steps["velocity_y_px_per_frame"], [np.nan, 4, 3])
    np.testing.assert_allclose(steps["velocity_x_um_per_min"], [np.nan, 0.75, 0])
    # from the direction (3, 4) to (0, 6): cosine 4/5
    np.testing.assert_allclose(steps["turning_angle_rad"], [np.nan, np.arccos(0.8), np.nan])
    np.testing.assert_allclose(steps["net_displacement_px"], [0, 5, np.hypot(3, 10)])
    row = motility.iloc[0]
    assert (row["n_points"], row["duration_frames"], row["duration_min"]) == (3, 3, 7)
    assert row["path_length_px"] == pytest.approx(11)
    assert row["path_length_um"] == pytest.approx(5.5)
    assert row["straightness"] == pytest.approx(np.hypot(3, 10) / 11)
    assert row["mean_speed_px_per_frame"] == pytest.approx(11 / 3)
    assert row["mean_speed_um_per_min"] == pytest.approx(5.5 / 7)
    assert row["arrest_coefficient"] == pytest.approx(5 / 7)


def test_interpolated_points_do_not_change_any_speed(make_points):
    places = {0: (0, 0), 1: (2, 0), 2: (4, 0), 3: (6, 0), 4: (6, 3)}
    filled = make_points({("T", 1): places}, interpolated={("T", 1, 2)})
    without = filled[~filled["interpolated"]]
    steps, motility = run(filled)
    steps_without, motility_without = run(without)
    pd.testing.assert_frame_equal(motility, motility_without)
    measured = steps[~steps["interpolated"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(measured, steps_without)
    between = steps[steps["interpolated"]].iloc[0]
    assert np.isnan(between["speed_px_per_frame"]) and between["net_displacement_px"] == 4


def test_uncalibrated_film_has_null_um_and_min(make_points):
    points = make_points(
        {("T", 1): {0: (0, 0), 1: (1, 0), 2: (9, 0)}}, pixel_size_um=None, interval_min=None
    )
    steps, motility = run(points)
    for name in [*steps.columns, *motility.columns]:
        if name.endswith(("_um", "_min")):
            held = steps if name in steps else motility
            assert held[name].isna().all(), name
    assert motility["arrest_coefficient"].isna().all()
    _, motility = run(points, arrest_speed_px_per_frame=2.0)
    assert motility["arrest_coefficient"].iloc[0] == 0.5


def test_ordinary_cases(make_points):
    steps, motility = run(make_points({}))
    assert len(steps) == len(motility) == 0 and "interpolated" in steps
    steps, motility = run(make_points({("T", 4): {7: (1, 2)}}))
    assert motility["path_length_px"].tolist() == [0] and motility["straightness"].isna().all()
    assert steps["speed_px_per_frame"].isna().all() and len(steps) == 1
    _, motility = run(make_points({("T", 4): {0: (1, 2), 1: (1, 2)}}))
    assert motility["straightness"].isna().all() and motility["arrest_coefficient"].tolist() == [1]


def test_order_of_rows_and_other_populations_do_not_matter(make_points):
    one = {("T", 1): {0: (0, 0), 1: (3, 4)}}
    both = {**one, ("N", 1): {0: (9, 9), 1: (0, 0), 2: (5, 5)}}
    alone, _ = run(make_points(one))
    mixed, _ = run(make_points(both).sample(frac=1, random_state=3))
    mine = mixed[mixed["population"] == "T"].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, alone)


def test_falling_time_and_several_fields_are_refused(make_points):
    points = make_points({("T", 3): {0: (0, 0), 1: (1, 1)}}, times={0: 5.0, 1: 4.0})
    with pytest.raises(InputError, match=r"'A'.*T track 3, frame 1: time does not rise"):
        run(points)
    with pytest.raises(InputError, match="several fields"):
        run(pd.concat([points, points.assign(fov="B")]))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 30),
    st.integers(0, 2**32 - 1),
    st.floats(-3, 3),
    st.floats(-500, 500),
    st.floats(-500, 500),
)
def test_motility_is_the_same_wherever_and_however_turned(n, seed, angle, dx, dy):
    rng = np.random.default_rng(seed)
    xy = rng.normal(size=(n, 2)).cumsum(axis=0) * 5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = xy @ turn.T + [dx, dy]
    frame = np.arange(n)
    steps, motility = run(table(1, frame, *xy.T))
    steps_moved, motility_moved = run(table(1, frame, *moved.T))
    numbers = motility.select_dtypes("number").columns
    np.testing.assert_allclose(motility[numbers], motility_moved[numbers], atol=1e-6)
    np.testing.assert_allclose(
        steps["turning_angle_rad"], steps_moved["turning_angle_rad"], atol=1e-5
    )
    assert 0 <= motility["straightness"].iloc[0] <= 1


def test_central_speed_spans_both_neighbours_and_uses_real_time(make_points):
    points = make_points(
        {("T", 1): {0: (0, 0), 1: (9, 9), 3: (3, 4)}}, times={0: 0.0, 1: 2.0, 3: 5.0}
    )
    steps, _ = run(points)
    one_sided = [np.hypot(9, 9), np.hypot(6, 5) / 2]
    np.testing.assert_allclose(
        steps["central_speed_px_per_frame"], [one_sided[0], 5 / 3, one_sided[1]]
    )
    np.testing.assert_allclose(steps["central_speed_um_per_min"].iloc[1], 2.5 / 5)
    np.testing.assert_allclose(steps["displacement_to_next_um"].iloc[0], np.hypot(9, 9) / 2)
    np.testing.assert_allclose(steps["path_length_px"].iloc[-1], np.hypot(9, 9) + np.hypot(6, 5))


def test_shape_measures_of_known_figures(make_points):
    circle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    there_and_back = [0, 1, 2, 3, 4, 3, 2]
    points = make_points(
        {
            ("T", 1): {i: (10 * np.cos(a), 10 * np.sin(a)) for i, a in enumerate(circle)},
            ("T", 2): {i: (x, 2.0 * x) for i, x in enumerate(there_and_back)},
            ("T", 3): {0: (0, 0), 1: (1, 0)},
        }
    )
    _, motility = run(points)
    motility = motility.set_index("track_id")
    round_, line, short = (motility.loc[i] for i in (1, 2, 3))
    assert round_["radius_of_gyration_px"] == pytest.approx(10)
    assert round_["asphericity"] == pytest.approx(0, abs=1e-12)
    assert round_["max_displacement_px"] == pytest.approx(20)
    assert round_["mean_turning_angle_rad"] == pytest.approx(2 * np.pi / 400)
    assert round_["directional_persistence"] == pytest.approx(np.cos(2 * np.pi / 400))
    assert line["asphericity"] == pytest.approx(1)
    assert line["displacement_ratio"] == pytest.approx(0.5)
    assert line["outreach_ratio"] == pytest.approx(4 / 6)
    assert line["directional_persistence"] == pytest.approx((4 - 1) / 5)  # one turn back of five
    assert np.isnan(short["asphericity"]) and np.isnan(short["sd_speed_px_per_frame"])
    assert short["median_speed_px_per_frame"] == short["max_speed_px_per_frame"] == 1


def test_statistics_of_speed_are_those_of_pandas():
    rng = np.random.default_rng(5)
    n = rng.integers(1, 9, 40)
    track = np.repeat(np.arange(1, 41), n)
    frame = np.concatenate([rng.choice(20, each, replace=False) for each in n])
    points = table(track, frame, *rng.normal(size=(2, len(track))))
    steps, motility = run(points)
    grouped = steps.groupby("track_id")["speed_um_per_min"]
    for name, how in (("mean_step", "mean"), *((each,) * 2 for each in ("median", "min", "max"))):
        np.testing.assert_allclose(motility[f"{name}_speed_um_per_min"], grouped.agg(how))
    np.testing.assert_allclose(motility["sd_speed_um_per_min"], grouped.std())


def test_a_depth_is_measured_where_the_table_has_one():
    points = table([1, 1, 1], [0, 1, 2], [0, 0, 0], [0, 3, 3]).assign(z_um=[0.0, 4.0, 4.0])
    points["x_um"] = [0.0, 0.0, 2.0]
    steps, motility = run(points)
    np.testing.assert_allclose(steps["displacement_from_previous_um"], [np.nan, 5, 2])
    np.testing.assert_allclose(steps["velocity_z_um_per_min"], [np.nan, 4, 0])
    np.testing.assert_allclose(steps["turning_angle_rad"].iloc[1], np.pi / 2)
    # pixels have no depth here; ratios are of the coordinates that do
    assert motility["path_length_px"].iloc[0] == 3
    assert motility["straightness"].iloc[0] == pytest.approx(np.sqrt(29) / 7)
