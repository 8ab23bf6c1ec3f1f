"""Tables of both linkers on films whose tracks are known by construction."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import construct
from cyto_kedro.algorithms.tracking.common import tracks_of
from cyto_kedro.algorithms.tracking.lap import LAP
from cyto_kedro.algorithms.tracking.links import chains
from cyto_kedro.algorithms.tracking.trackpy import TrackPy
from cyto_kedro.errors import ConfigError, InputError

BOTH = pytest.mark.parametrize(
    "linker",
    [TrackPy(search_range_px=6, memory=2), LAP(max_distance_px=6, gap_closing_max_frames=3)],
    ids=["TrackPy", "LAP"],
)


def cells(rows, fov="f1"):
    """`Cells` from (frame, label, y, x[, on_border]) rows."""
    table = pd.DataFrame([(*row, False)[:5] for row in rows])
    table.columns = ["frame", "label", "y_px", "x_px", "on_border"][: table.shape[1]]
    for name in schemas.dtypes(schemas.Cells):
        if name not in table:
            table[name] = {"fov": fov, "population": "TCell"}.get(name, 1)
    return schemas.conform(schemas.Cells, table) if rows else schemas.empty(schemas.Cells)


def track(linker, table, n_frames=5, shape=(100, 100), size=None, times=None):
    data = {"dataframe": table, "n_frames": n_frames, "shape": shape}
    result = linker(data | {"pixel_size_um": size, "time_min": times})
    points = schemas.check(schemas.TrackPoints, result["dataframe"])
    return points, schemas.check(schemas.Tracks, result["tracks"])


@BOTH
def test_known_walks_are_followed_and_numbered_by_first_sight(linker):
    # Rows shuffled; labels neither consecutive nor the same from frame to frame.
    rows = [(t, 90 - 7 * t, 20.0 + t, 30.0) for t in range(5)]
    rows += [(t, 3 + 5 * t, 60.0, 40.0 + 2 * t) for t in range(5)]
    rows += [(t, 1, 80.0, 80.0) for t in range(2, 5)]
    table = cells(rows).sample(frac=1, random_state=0)
    points, tracks = track(linker, table, size=0.5, times=np.arange(5) * 1.5)
    assert tracks["first_frame"].tolist() == [0, 0, 2]
    assert tracks["n_points"].tolist() == [5, 5, 3]
    assert points.loc[points["track_id"] == 1, "label"].tolist() == [3, 8, 13, 18, 23]
    assert points.loc[points["track_id"] == 2, "label"].tolist() == [90, 83, 76, 69, 62]
    assert points.loc[points["track_id"] == 3, "time_min"].tolist() == [3.0, 4.5, 6.0]
    assert (points["x_um"] == points["x_px"] * 0.5).all()
    assert set(tracks["end_reason"]) == {"film_end"}
    assert tracks["parent_track_id"].isna().all()


@BOTH
def test_a_cell_that_blinks_keeps_its_track_and_is_interpolated(linker):
    table = cells([(0, 1, 10, 10), (1, 1, 10, 12), (4, 7, 13, 15)])
    points, tracks = track(linker, table, n_frames=6)
    assert points["frame"].tolist() == [0, 1, 2, 3, 4]
    assert points["interpolated"].tolist() == [False, False, True, True, False]
    assert points["label"].isna().tolist() == [False, False, True, True, False]
    np.testing.assert_allclose(points["y_px"], [10, 10, 11, 12, 13])
    np.testing.assert_allclose(points["x_px"], [10, 12, 13, 14, 15])
    assert tracks[["n_points", "last_frame", "end_reason"]].values.tolist() == [[3, 4, "lost"]]
    without = linker.model_copy(update={"interpolate_gaps": False})
    assert track(without, table, n_frames=6)[0]["frame"].tolist() == [0, 1, 4]


@BOTH
def test_ordinary_cases(linker):
    empty_points, empty_tracks = track(linker, cells([]))
    points, tracks = track(linker, cells([(2, 9, 5, 5)]))
    assert len(empty_points) == len(empty_tracks) == 0
    assert empty_points.dtypes.equals(points.dtypes)
    assert empty_tracks.dtypes.equals(tracks.dtypes)
    assert points[["track_id", "frame", "label"]].values.tolist() == [[1, 2, 9]]
    assert points[["time_min", "x_um", "y_um"]].isna().all(axis=None)
    one_frame = cells([(0, 1, 5, 5), (0, 2, 50, 50)])
    assert track(linker, one_frame, n_frames=1)[1]["end_reason"].tolist() == ["film_end"] * 2
    # Three empty frames are more than either may bridge.
    gap = cells([(0, 1, 5, 5), (4, 1, 5, 5)])
    assert len(track(linker, gap)[1]) == 2


@BOTH
def test_end_reasons(linker):
    rows = [(t, 1, 50.0, 50.0) for t in range(3)]  # vanishes in the middle
    rows += [(t, 2, 20.0, 90.0 + 4 * t) for t in range(3)]  # at 98, moving 4 a frame: out
    rows += [(t, 3, 80.0, 9.0 - 3 * t) for t in range(3)]  # at 3, moving -3: still in
    rows += [(t, 4, 30.0, 10.0, t == 2) for t in range(3)]  # its last mask touches the edge
    rows += [(t, 5, 70.0, 70.0) for t in range(5)]
    expected = ["lost", "border", "lost", "border", "film_end"]
    assert track(linker, cells(rows))[1]["end_reason"].tolist() == expected
    wide = linker.model_copy(update={"border_px": 3.0})
    assert track(wide, cells(rows))[1]["end_reason"].tolist()[2] == "border"


@BOTH
def test_short_tracks_are_dropped_and_numbers_close_up(linker):
    rows = [(0, 1, 5, 5), *((t, 2, 50, 50) for t in range(3))]
    points, tracks = track(linker.model_copy(update={"min_points": 2}), cells(rows))
    assert tracks[["track_id", "n_points"]].values.tolist() == [[1, 3]]
    assert points["label"].tolist() == [2, 2, 2]
    nothing, none = track(linker.model_copy(update={"min_points": 9}), cells(rows))
    assert len(nothing) == len(none) == 0


@BOTH
def test_row_order_and_shift_in_time_do_not_matter(linker):
    rng = np.random.default_rng(0)
    rows = [(t, n + 1, *p) for t in range(5) for n, p in enumerate(rng.uniform(0, 100, (30, 2)))]
    table = cells(rows)
    points, tracks = track(linker, table)
    again = track(linker, table.sample(frac=1, random_state=1))
    assert again[0].equals(points)
    assert again[1].equals(tracks)
    late = track(linker, table.assign(frame=table["frame"] + 40), n_frames=45)[0]
    assert late.assign(frame=late["frame"] - 40).equals(points)


@BOTH
def test_random_walks_of_known_identity(linker):
    """Steps of 1.5 px sd among 120 cells in 400²: nearest neighbours are some 18 px apart."""
    rng = np.random.default_rng(3)
    walk = rng.uniform(0, 400, (120, 2)) + rng.normal(0, 1.5, (30, 120, 2)).cumsum(axis=0)
    seen = rng.random((30, 120)) > 0.03
    frame, who = np.nonzero(seen)
    label = np.concatenate([rng.permutation(n) + 1 for n in seen.sum(axis=1)])
    table = cells(list(zip(frame, label, *walk[frame, who].T, strict=True)))
    truth = dict(zip(zip(frame, label, strict=True), who, strict=True))
    points, _ = track(linker, table, n_frames=30, shape=(400, 400))
    real = points[~points["interpolated"]].sort_values(["track_id", "frame"])
    identity = [truth[key] for key in zip(real["frame"], real["label"], strict=True)]
    linked = real["track_id"].diff().eq(0).to_numpy()[1:]
    right = (np.diff(identity) == 0)[linked].sum()
    possible = seen.sum() - 120
    assert right / linked.sum() > 0.985
    assert right / possible > 0.985


@BOTH
def test_nothing_is_logged(linker, caplog):
    with caplog.at_level(logging.INFO):
        track(linker, cells([(t, 1, 5, 5) for t in range(3)]))
    assert not caplog.records


@BOTH
def test_bad_tables(linker):
    row = (0, 1, 5.0, 5.0)
    with pytest.raises(InputError, match="several fields"):
        track(linker, pd.concat([cells([row]), cells([row], fov="f2")]))
    with pytest.raises(InputError, match=r"'f1'.*'TCell': label 1 is twice in frame 0"):
        track(linker, cells([row, row]))
    with pytest.raises(InputError, match="frame 5, but the film has frames 0 to 4"):
        track(linker, cells([(5, 1, 5.0, 5.0)]))
    with pytest.raises(InputError, match="label 4 in frame 2 is not finite"):
        track(linker, cells([row, (2, 4, np.nan, 5.0)]))
    with pytest.raises(InputError, match="3 times for a film of 5 frames"):
        track(linker, cells([row]), times=np.zeros(3))


@pytest.mark.parametrize(
    "linker", [TrackPy(search_range_um=3), LAP(max_distance_um=3)], ids=["TrackPy", "LAP"]
)
def test_micrometres_need_a_pixel_size(linker):
    table = cells([(0, 1, 10, 10), (1, 1, 10, 15)])
    assert len(track(linker, table, size=0.5)[1]) == 1  # 5 px of 6
    assert len(track(linker, table, size=1.0)[1]) == 2  # 5 px of 3
    with pytest.raises(ConfigError, match=r"=3.* needs the pixel size"):
        track(linker, table)
    with pytest.raises(ConfigError, match=r"needs (search_range|max_distance)_um or \w+_px"):
        construct(type(linker))


def links(*pairs):
    return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])


def test_chains_cut_at_divisions():
    #  0 - 1 < 2 - 4      6 alone
    #        < 3 - 5
    number, parent, _ = chains(7, *links((0, 1), (1, 2), (1, 3), (2, 4), (3, 5)))
    assert number.tolist() == [1, 1, 2, 3, 2, 3, 4]
    assert parent.tolist() == [0, 1, 1, 0]


def test_a_parent_left_with_one_daughter_goes_on_as_that_daughter():
    number, parent, _ = chains(5, *links((0, 1), (1, 2), (1, 3), (2, 4)), min_points=2)
    assert number.tolist() == [1, 1, 1, 0, 1]
    assert parent.tolist() == [0]


def test_daughters_of_a_dropped_parent_have_none():
    number, parent, _ = chains(5, *links((0, 1), (0, 2), (1, 3), (2, 4)), min_points=2)
    assert number.tolist() == [0, 1, 2, 1, 2]
    assert parent.tolist() == [0, 0]


def test_tracks_joined_by_hand_end_where_the_joined_track_does() -> None:
    """Two fragments given one track_id are one track; a daughter keeps its parent's new name."""
    cells = pd.DataFrame(
        {
            "frame": [0, 1, 3, 4, 4],
            "label": [1, 1, 5, 2, 3],
            "x_px": [10.0, 11.0, 13.0, 20.0, 8.0],
            "y_px": [20.0, 20.0, 20.0, 20.0, 20.0],
            "on_border": [False, False, False, False, False],
        }
    )
    points = cells.drop(columns="on_border").assign(
        fov="A1",
        population="TCell",
        track_id=[7, 7, 7, 9, 12],
        label=cells["label"].astype("Int64"),
        parent_track_id=pd.array([None, None, None, 7, 7], dtype="Int64"),
    )
    tracks = tracks_of(points, cells, n_frames=6, shape=(50, 50)).set_index("track_id")
    assert tracks["first_frame"].to_dict() == {7: 0, 9: 4, 12: 4}
    assert tracks["last_frame"].to_dict() == {7: 3, 9: 4, 12: 4}
    assert tracks.loc[7, "n_points"] == 3
    assert tracks["end_reason"].to_dict() == {7: "division", 9: "lost", 12: "lost"}
    assert tracks["parent_track_id"].dropna().to_dict() == {9: 7, 12: 7}


def test_a_track_point_without_its_cell_is_named() -> None:
    cells = pd.DataFrame(
        {"frame": [0], "label": [1], "x_px": [1.0], "y_px": [1.0], "on_border": [True]}
    )
    points = cells.drop(columns="on_border").assign(fov="A1", population="TCell", track_id=1)
    points["label"] = pd.array([4], dtype="Int64")
    with pytest.raises(InputError, match="track 1 has label 4 in frame 0"):
        tracks_of(points, cells, n_frames=1, shape=(9, 9))
