"""Steps after linking, on tracks whose right answer is known by construction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.tracking.common import tracks_of
from cyto_kedro.algorithms.tracking.divisions import CallDivisions
from cyto_kedro.algorithms.tracking.lap import LAP
from cyto_kedro.algorithms.tracking.links import assemble, links_of
from cyto_kedro.algorithms.tracking.repairs import RepairMerges
from cyto_kedro.algorithms.tracking.steps import (
    InterpolateGaps,
    JoinFragments,
    MinimumLength,
    RemoveStill,
)
from cyto_kedro.errors import ConfigError, InputError
from cyto_kedro.parameters import Tracking

STEPS = [
    InterpolateGaps(),
    MinimumLength(min_points=2),
    RemoveStill(max_spread_px=1),
    JoinFragments(max_distance_px=5),
    CallDivisions(max_distance_px=5),
    RepairMerges(),
]


def table_of(rows):
    """`Cells` of (frame, label, y, x, area) rows."""
    table = pd.DataFrame(rows, columns=["frame", "label", "y_px", "x_px", "area_px"])
    for name in schemas.dtypes(schemas.Cells):
        if name not in table:
            table[name] = {"fov": "f1", "population": "T", "on_border": False}.get(name, 1)
    return schemas.conform(schemas.Cells, table)


def linked(rows, reach=5.0, **more):
    """The data of a step: tracks of a linker, and the cells."""
    cells = table_of(rows)
    data = {"cells": cells, "shape": (200, 200), "n_frames": 30}
    linker = LAP(max_distance_px=reach, **{"gap_closing_max_frames": 0, **more})
    return {**data, **linker(data)}


def after(step, data):
    """Points and tracks after a step."""
    points = schemas.check(schemas.TrackPoints, step(data)["track_points"])
    tracks = tracks_of(points, data["cells"], 30, (200, 200))
    return points, schemas.check(schemas.Tracks, tracks)


def still(y, x, frames, label=1, area=20.0):
    return [(t, label, y, x, area) for t in frames]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_ordinary_cases(step):
    linker = LAP(max_distance_px=5)
    for rows in ([], still(5, 5, [0]), still(5, 5, [3, 4, 6])):
        cells = table_of(rows) if rows else schemas.empty(schemas.Cells)
        points = linker({"cells": cells, "n_frames": 8})["track_points"]
        again = step({"track_points": points, "cells": cells})["track_points"]
        schemas.check(schemas.TrackPoints, again)
        assert set(points.columns) <= set(again.columns)
        if rows and not isinstance(step, MinimumLength):
            pd.testing.assert_frame_equal(again[points.columns], points)


@pytest.mark.parametrize("split", [False, True])
def test_taking_tracks_apart_and_putting_them_together_changes_nothing(split):
    rng = np.random.default_rng(2)
    rows = [
        (t, n + 1, *p, 20.0) for t in range(12) for n, p in enumerate(rng.uniform(0, 60, (12, 2)))
    ]
    data = linked(rows, 12, gap_closing_max_frames=3, splitting=split, merging=split)
    points = data["track_points"]
    again = assemble(*links_of(points), None, None)
    pd.testing.assert_frame_equal(again, points)
    assert points["interpolated"].any()
    assert points["merged_into_track_id"].notna().any() == split
    assert points["parent_track_id"].notna().any() == split


def test_gaps_up_to_a_length_are_filled():
    rows = still(5, 5, [0, 1, 3, 4, 8]) + still(50, 50, [0, 2], label=2)
    data = linked(rows, gap_closing_max_frames=9, interpolate_gaps=False)
    data["time_min"] = np.arange(30) ** 2.0
    points, tracks = after(InterpolateGaps(max_gap_frames=2), data)
    made = points[points["interpolated"]]
    assert made[["track_id", "frame"]].values.tolist() == [[1, 2], [2, 1]]
    assert made["time_min"].tolist() == [4.0, 1.0]
    assert made["label"].isna().all()
    assert after(InterpolateGaps(), data)[0]["interpolated"].sum() == 5
    assert tracks["n_points"].tolist() == [5, 2]


def test_short_tracks_are_dropped():
    data = linked(still(5, 5, range(4)) + still(50, 50, range(3), label=2))
    points, tracks = after(MinimumLength(min_points=4), data)
    assert tracks["n_points"].tolist() == [4]
    assert points["track_id"].unique().tolist() == [1]
    assert len(after(MinimumLength(min_points=5), data)[1]) == 0


def test_still_debris_is_dropped_and_resting_cells_are_not():
    jitter = [(t, 1, 5 + 0.3 * (t % 2), 5.0, 20.0) for t in range(20)]
    moving = [(t, 2, 50.0, 50 + 1.0 * t, 20.0) for t in range(20)]
    resting = still(100, 100, range(20), label=3, area=300.0)
    brief = still(150, 150, range(5), label=4)
    # once seen as one with something large
    merged = [(t, 5, 200.0, 200.0, 3000.0 if t == 7 else 20.0) for t in range(20)]
    data = linked(jitter + moving + resting + brief + merged)
    step = RemoveStill(max_spread_px=0.5, max_area_px=100)
    assert set(after(step, data)[0]["label"]) == {2, 3, 4}
    assert set(after(RemoveStill(max_spread_px=0.5), data)[0]["label"]) == {2, 4}
    # the spread of the jitter is its standard deviation, 0.15 px
    assert 1 in set(after(RemoveStill(max_spread_px=0.149), data)[0]["label"])
    assert 1 not in set(after(RemoveStill(max_spread_px=0.151), data)[0]["label"])
    assert set(after(RemoveStill(max_spread_um=0.5), {**data, "pixel_size_um": 2.0})[0]["label"])
    with pytest.raises(ConfigError, match="needs the pixel size"):
        after(RemoveStill(max_spread_um=0.5), data)


def test_fragments_are_joined_where_the_cell_was_going():
    """Two cells walk at 3 px a frame and are lost for 4 frames; a third cell stays nearby."""
    walk = [(t, 1, 20.0, 20 + 3.0 * t, 20.0) for t in (*range(6), *range(10, 15))]
    other = [(t, 2, 80.0, 80 - 3.0 * t, 20.0) for t in (*range(6), *range(10, 15))]
    late = still(20, 38, range(9, 15), label=3)  # begins near where the first was lost
    data = linked(walk + other + late)
    assert len(data["tracks"]) == 5
    points, tracks = after(JoinFragments(max_distance_px=4), data)
    assert len(tracks) == 3
    assert all(len(set(g["label"])) == 1 for _, g in points.groupby("track_id"))
    assert not points["interpolated"].any()
    assert after(InterpolateGaps(), {**data, "track_points": points})[0]["interpolated"].sum() == 8
    # without the velocity the one that begins nearby is taken, or none
    blind = after(JoinFragments(max_distance_px=4, velocity_steps=0), data)[0]
    assert (blind.groupby("track_id")["label"].agg(lambda s: len(set(s))) > 1).any()
    assert len(after(JoinFragments(max_distance_px=4, max_gap_frames=3), data)[1]) == 5
    alike = JoinFragments(max_distance_px=4, min_area_ratio=0.9)
    data["cells"].loc[data["cells"]["frame"] > 8, "area_px"] = 15.0
    assert len(after(alike, data)[1]) == 5


def mitosis(offset=0.0, area=(60.0, 60.0), mother=100.0):
    """A cell at x = 50 that divides at frame 5 into two, 6 px apart about 50 + offset."""
    rows = still(50, 50, range(5), area=mother)
    rows += still(50, 47 + offset, range(5, 10), area=area[0])
    return rows + still(50, 53 + offset, range(5, 10), label=2, area=area[1])


@pytest.mark.parametrize("reach", [5.0, 2.5], ids=["mother goes on", "mother ends"])
def test_a_division_is_called(reach):
    data = linked(mitosis(), reach)
    assert len(data["tracks"]) == (2 if reach == 5 else 3)
    points, tracks = after(CallDivisions(max_distance_px=5), data)
    assert tracks["parent_track_id"].fillna(0).tolist() == [0, 1, 1]
    assert tracks["end_reason"].tolist()[0] == "division"
    assert tracks["first_frame"].tolist() == [0, 5, 5]
    # again: the same; and what the linker called is judged by the same tests
    assert after(CallDivisions(max_distance_px=5), {**data, "track_points": points})[1].equals(
        tracks
    )
    strict = CallDivisions(max_distance_px=5, max_daughter_size=0.5)
    undone = after(strict, {**data, "track_points": points})[1]
    assert undone["parent_track_id"].isna().all()
    assert len(undone) == 2


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (mitosis(offset=2.9), "one stays, another turns up beside it"),
        (mitosis(area=(60.0, 20.0)), "daughters differ"),
        (mitosis(area=(95.0, 95.0)), "daughters are as large as the mother"),
        ([row for row in mitosis() if row[1] == 1 or row[0] == 5], "seen once"),
    ],
)
def test_what_is_no_division(rows, why):
    data = linked(rows)
    assert after(CallDivisions(max_distance_px=7), data)[1]["parent_track_id"].isna().all(), why


def test_daughters_seen_in_two_frames_are_enough():
    rows = [row for row in mitosis() if row[0] <= 6]
    tracks = after(CallDivisions(max_distance_px=7), linked(rows))[1]
    assert tracks["parent_track_id"].fillna(0).tolist() == [0, 1, 1]


def test_a_cell_is_part_of_one_division_at_most():
    rows = mitosis() + still(55, 50, range(5, 10), label=3, area=60.0)
    tracks = after(CallDivisions(max_distance_px=7, max_offset=1), linked(rows))[1]
    assert tracks["parent_track_id"].notna().sum() == 2


def test_divisions_need_cells_and_known_columns():
    data = linked(mitosis())
    with pytest.raises(ConfigError, match="Did you mean 'area_px'"):
        after(CallDivisions(max_distance_px=5, alike={"area": 0.5}), data)
    with pytest.raises(InputError, match="needs their table"):
        CallDivisions(max_distance_px=5)({"track_points": data["track_points"]})


def test_yaml_says_which_steps_follow_which_linker():
    block = {
        "T": {"name": "Overlap", "steps": [{"name": "MinimumLength", "args": {"min_points": 3}}]}
    }
    spec = Tracking.model_validate(block).root["T"]
    assert [type(each.make()) for each in spec.steps] == [MinimumLength]
    longer = {"T": {**block["T"], "steps": [{"name": "MinimumLength", "args": {"min_points": 4}}]}}
    assert spec.fingerprint() != Tracking.model_validate(longer).root["T"].fingerprint()
    with pytest.raises(ValueError, match="MinimumLength is a step after linking"):
        Tracking.model_validate({"T": {"name": "MinimumLength", "args": {"min_points": 3}}})
    with pytest.raises(ValueError, match="Overlap is a linker, not a step"):
        Tracking.model_validate({"T": {"name": "Overlap", "steps": [{"name": "Overlap"}]}})
    with pytest.raises(ValueError, match="Did you mean 'MinimumLength'"):
        Tracking.model_validate({"T": {"name": "Overlap", "steps": [{"name": "MinimumLenght"}]}})
