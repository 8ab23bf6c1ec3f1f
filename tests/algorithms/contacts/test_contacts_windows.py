"""Windows of tracks: closed forms, and what gaps, pauses and deaths do to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.neighbours import Neighbours
from cyto_kedro.algorithms.contacts.windows import TrackWindows

SIZE = 0.5  # µm


def track(x: object, y: object = 0.0, minutes: object = None, **more: object) -> pd.DataFrame:
    """Track points of one cell, x and y in µm, a frame every minute unless `minutes` says else."""
    place = np.asarray(x, float)
    rows: dict = {"fov": "A", "population": "T", "track_id": 1, "frame": np.arange(len(place))}
    rows |= {"label": 1, "x_um": place, "y_um": y, "x_px": place / SIZE}
    rows |= {"y_px": np.asarray(y, float) / SIZE}
    rows["time_min"] = np.arange(len(place), dtype=float) if minutes is None else minutes
    return schemas.filled(schemas.TrackPoints, {**rows, **more})


def cut(points: pd.DataFrame, duration: float = 10, **others: object) -> pd.DataFrame:
    args = {name: others.pop(name) for name in ("step_min", "min_seen") if name in others}
    made = TrackWindows(duration_min=duration, **args)(track_points=points, **others)
    return schemas.check(schemas.TrackWindows, made["track_windows"])


def test_straight_on_and_back_and_forth() -> None:
    made = cut(track(2.0 * np.arange(21)))
    assert made[["window", "start_frame", "end_frame"]].values.tolist() == [[1, 0, 10], [2, 10, 20]]
    assert made["n_points"].tolist() == [11, 11]
    for name, value in {
        "speed_um_per_min": 2.0,
        "speed_px_per_frame": 4.0,
        "straightness": 1.0,
        "persistence": 1.0,
        "speed_variation": 0.0,
        # of n points d apart: d sqrt((n² - 1) / 12)
        "reach_um": 2.0 * np.sqrt(120 / 12),
        "reach_px": 4.0 * np.sqrt(120 / 12),
    }.items():
        assert made[name].to_numpy() == pytest.approx([value] * 2), name
    back = cut(track(2.0 * (np.arange(21) % 2)))
    assert back["persistence"].to_numpy() == pytest.approx([-1, -1])
    assert back["straightness"].to_numpy() == pytest.approx([0, 0])
    assert back["speed_um_per_min"].to_numpy() == pytest.approx([2, 2])


def test_windows_begin_with_the_track_and_may_overlap() -> None:
    points = track(np.arange(25.0))
    points = points[points["frame"] >= 3]
    assert cut(points)["start_frame"].tolist() == [3, 13]
    assert cut(points, step_min=5)["start_frame"].tolist() == [3, 8, 13]
    assert cut(points, step_min=5)["window"].tolist() == [1, 2, 3]


def test_a_track_shorter_than_a_window_has_one_row_without_measures() -> None:
    both = pd.concat([track(np.arange(10.0)), track(np.arange(11.0), track_id=2)])
    made = cut(both)
    assert made[["track_id", "window", "n_points"]].values.tolist() == [[1, 0, 10], [2, 1, 11]]
    assert np.isnan(made.loc[0, "speed_um_per_min"]) and made.loc[0, "end_frame"] == 9


def test_interpolated_points_change_nothing_and_a_gap_is_one_step() -> None:
    rng = np.random.default_rng(3)
    whole = track(*rng.normal(0, 3, (2, 31)).cumsum(axis=1))
    seen = whole[~whole["frame"].isin([4, 5, 13])]
    filled = whole.assign(interpolated=~whole["frame"].isin(seen["frame"]))
    filled.loc[filled["interpolated"], ["x_px", "x_um"]] = 99.0
    assert_frame_equal(cut(seen), cut(filled))
    path = np.hypot(*np.diff(seen.loc[seen["frame"] <= 10, ["x_um", "y_um"]].to_numpy().T)).sum()
    assert cut(seen)["speed_um_per_min"].iloc[0] == pytest.approx(path / 10)


def test_a_window_in_which_the_cell_is_seldom_seen_does_not_count() -> None:
    points = track(np.arange(31.0), interpolated=np.isin(np.arange(31), range(12, 17)))
    made = cut(points)  # 6 of 11 frames seen in the second
    assert made["window"].tolist() == [1, 3]
    assert cut(points, min_seen=0.5)["n_points"].tolist() == [11, 6, 11]
    assert_frame_equal(made, cut(points[~points["interpolated"]]))


def test_no_window_spans_a_pause_of_the_film() -> None:
    minutes = np.append(np.arange(16.0), 100 + np.arange(25.0))
    made = cut(track(np.arange(41.0), minutes=minutes))
    assert made["start_min"].tolist() == [0, 100, 110]
    assert made["speed_um_per_min"].to_numpy() == pytest.approx(np.ones(len(made)))


def test_without_times_windows_are_in_frames() -> None:
    points = track(np.arange(21.0), minutes=np.nan)
    made = TrackWindows(duration_min=20, duration_frames=10)(track_points=points)["track_windows"]
    assert made["start_frame"].tolist() == [0, 10] and made["start_min"].isna().all()
    assert made["speed_px_per_frame"].to_numpy() == pytest.approx([2, 2])
    assert made["speed_um_per_min"].isna().all()


def test_from_its_death_on_a_cell_does_nothing() -> None:
    points = pd.concat([track(np.arange(31.0), track_id=each) for each in (1, 2, 3)])
    fates = {"fov": "A", "population": "T", "track_id": [1, 2, 3], "last_frame": 30}
    fates |= {"death_frame": pd.array([21, pd.NA, pd.NA], "Int64")}
    fates |= {"dead_at_first_sight": [False, False, True]}
    made = cut(points, fates=schemas.filled(schemas.Fates, fates))
    windows = made.groupby("track_id")["window"].agg(list).to_dict()
    assert windows == {1: [1, 2], 2: [1, 2, 3], 3: [0]}


def test_masks_contact_and_the_nearest_cell() -> None:
    """A cell goes straight to one of another kind, which rests; both touch from frame 6 on."""
    near = track(np.arange(11.0))
    other = track(np.full(11, 20.0), population="C")
    aside = track(np.zeros(11), y=np.full(11, -8.0), track_id=2)
    points = pd.concat([near, other, aside], ignore_index=True)
    pair = {"fov": "A", "frame": range(6, 11), "population_a": "T", "track_id_a": 1}
    contacts = schemas.filled(schemas.Contacts, pair | {"population_b": "C", "track_id_b": 1})
    found = Neighbours()(
        track_points=points,
        contacts=contacts,
        populations={"T": "effector", "C": "target"},
        shape=(60, 60),
        pixel_size_um=SIZE,
    )["neighbours"]
    cells = {
        "fov": "A",
        "population": "T",
        "frame": range(11),
        "label": 1,
        "area_px": [90, 110] * 5 + [100],
    }
    cells = schemas.filled(schemas.Cells, cells | {"major_axis_px": 10.0, "minor_axis_px": 8.0})
    made = cut(points, neighbours=found, cells=cells).set_index(["population", "track_id"])
    one = made.loc[("T", 1)]
    assert one["contact_other"] == pytest.approx(5 / 11) and one["contact_own"] == 0
    assert one["distance_other_um"] == pytest.approx(15.0)
    assert one["distance_own_um"] == pytest.approx(np.hypot(np.arange(11), 8).mean())
    assert one["towards_other"] == pytest.approx(1.0)
    way = np.arange(10) / np.hypot(np.arange(10), 8)
    assert one["towards_own"] == pytest.approx(-way.mean())
    assert one["elongation"] == pytest.approx(0.2)
    assert one["area_variation"] == pytest.approx(np.sqrt(10 / 11) * 0.1)
    assert np.isnan(made.loc[("C", 1), "distance_own_um"])
    assert np.isnan(made.loc[("C", 1), "towards_other"])  # it takes no step


def test_order_of_rows_and_no_rows() -> None:
    rng = np.random.default_rng(5)
    parts = [track(*rng.normal(0, 3, (2, 25)).cumsum(axis=1), track_id=i) for i in (1, 2, 3)]
    points = pd.concat(parts, ignore_index=True)
    assert_frame_equal(cut(points), cut(points.sample(frac=1, random_state=1)))
    none = cut(points[:0])
    assert none.empty and list(none) == list(schemas.empty(schemas.TrackWindows))
