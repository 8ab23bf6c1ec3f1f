"""Deaths and fates of hand-written lives, and what holds for any life."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.deaths import HysteresisDeaths
from cyto_kedro.errors import InputError

# a life: one letter per frame; . not detected, i interpolated, a alive, d dead, u undecided
LEVEL = {"a": 0.95, "d": 0.05, "u": 0.5}


@pytest.fixture
def judge(make_points, make_tracks):
    def run(*lives: str, **fields) -> tuple[pd.DataFrame, pd.DataFrame]:
        tracks = {
            ("T", i): {f: (0.0, 0.0) for f, letter in enumerate(life) if letter != "."}
            for i, life in enumerate(lives, 1)
        }
        made_up = {
            ("T", i, f)
            for i, life in enumerate(lives, 1)
            for f, letter in enumerate(life)
            if letter == "i"
        }
        points = make_points(tracks, interpolated=made_up)
        rows = [
            ("A", "T", f, i + 100, LEVEL[letter])
            for i, life in enumerate(lives, 1)
            for f, letter in enumerate(life)
            if letter in LEVEL
        ]
        columns = ["fov", "population", "frame", "label", "alive_probability"]
        viability = pd.DataFrame(rows, columns=columns)
        viability = viability.assign(marker_signal=1.0, dead=viability["alive_probability"] < 0.5)
        data = {
            "viability": schemas.conform(schemas.Viability, viability).sample(
                frac=1, random_state=1
            ),
            "dataframe": points.sample(frac=1, random_state=2),
            "tracks": make_tracks(points),
        }
        result = HysteresisDeaths(**fields)(data)
        return (
            schemas.check(schemas.Deaths, result["deaths"]),
            schemas.check(schemas.Fates, result["fates"]),
        )

    return run


@pytest.mark.parametrize(
    ("life", "death", "first_sight"),
    [
        ("aaaaaaaa", None, False),
        ("aaaddddd", 3, False),
        ("aaauuddd", 5, False),  # undecided frames keep the state before them
        ("aaadduud", 3, False),
        ("aaaaaaad", 7, False),  # near the end a short run counts if it ends dead
        ("aadaaaaa", None, False),  # a flicker
        ("aadaaddd", 5, False),
        ("aadddaaaaaaaa", None, False),  # lit by a neighbour: the dead do not recover
        ("dddddddd", None, True),
        ("d", None, True),
        ("a", None, False),
        ("uddddddd", None, True),
        ("daaaaddd", 5, False),
        ("ddddaddd", None, True),  # dead before it was ever reliably alive
        ("aa..dddd", 4, False),
        ("aaiidddd", 4, False),
        ("..aadddd", 4, False),
        ("uuuuuuuu", None, False),
    ],
)
def test_lives(judge, life, death, first_sight):
    deaths, fates = judge(life)
    fate = fates.iloc[0]
    assert fate["dead_at_first_sight"] == first_sight
    assert fate["died"] == (death is not None)
    assert deaths["frame"].tolist() == ([] if death is None else [death])
    assert pd.isna(fate["death_frame"]) if death is None else fate["death_frame"] == death
    last = max(f for f, letter in enumerate(life) if letter != "i")
    assert fate["entry_min"] == 2 * (len(life) - len(life.lstrip(".")))
    assert fate["exit_min"] == 2 * (last if death is None else death)


def test_parameters_change_what_they_say(judge):
    life = "aaddaaadddddd"
    assert judge(life)[0]["frame"].tolist() == [7]
    assert judge(life, min_dead_frames=2)[0]["frame"].tolist() == [2]
    assert judge(life, min_dead_frames=2, min_dead_share=0.8)[0]["frame"].tolist() == [7]
    _, fates = judge("aadddd", min_alive_frames=3)
    assert fates["dead_at_first_sight"].tolist() == [True]
    assert judge("aauddd", dead_below=0.6, alive_above=0.6)[0]["frame"].tolist() == [2]
    with pytest.raises(ValueError, match="dead and alive at once"):
        HysteresisDeaths(dead_below=0.7, alive_above=0.3)


def test_many_tracks_keep_their_own_lives(judge):
    deaths, fates = judge("aaadddd", "aaaaaaa", "ddddddd", ".aaaddd", "aadddd.")
    assert dict(zip(deaths["track_id"], deaths["frame"], strict=True)) == {1: 3, 4: 4, 5: 2}
    assert deaths["last_alive_frame"].tolist() == [2, 3, 1]
    assert deaths["time_min"].tolist() == [6, 8, 4]
    assert (deaths["n_killers"] == 0).all()
    assert fates["dead_at_first_sight"].tolist() == [False, False, True, False, False]
    assert fates["last_frame"].tolist() == [6, 6, 6, 6, 5]


def test_ordinary_cases(judge, make_points, make_tracks):
    deaths, fates = judge()
    assert len(deaths) == len(fates) == 0
    # another population's tracks have no viability, and so no fate
    points = make_points({("N", 1): {0: (0, 0)}})
    data = {
        "viability": schemas.empty(schemas.Viability),
        "dataframe": points,
        "tracks": make_tracks(points),
    }
    assert len(HysteresisDeaths()(data)["fates"]) == 0


def test_points_of_an_unlisted_track_are_refused(make_points, make_tracks):
    points = make_points({("T", 1): {0: (0, 0)}, ("T", 2): {0: (9, 9)}})
    tracks = make_tracks(points)
    viability = points[["fov", "population", "frame", "label"]].assign(
        marker_signal=1.0, alive_probability=0.9, dead=False
    )
    viability = schemas.conform(schemas.Viability, viability)
    with pytest.raises(InputError, match="T, frame 0: track 2 has points but is not in the table"):
        HysteresisDeaths()({"viability": viability, "dataframe": points, "tracks": tracks[:1]})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("adu.", min_size=1, max_size=20), min_size=1, max_size=6))
def test_at_most_one_death_and_never_before_life(lives):
    lives = [life if life.strip(".") else "a" for life in lives]
    rows = [
        ("A", "T", i, f, LEVEL[letter])
        for i, life in enumerate(lives, 1)
        for f, letter in enumerate(life)
        if letter != "."
    ]
    points = pd.DataFrame(rows, columns=["fov", "population", "track_id", "frame", "p"])
    points = points.assign(time_min=np.nan, x_um=np.nan, label=points["track_id"].astype("Int64"))
    points = points.assign(x_px=9.0, y_px=9.0)
    tracks = points.groupby(["fov", "population", "track_id"], as_index=False).agg(
        first_frame=("frame", "min"), last_frame=("frame", "max")
    )
    data = {
        "viability": points.rename(columns={"p": "alive_probability"}),
        "dataframe": points,
        "tracks": tracks.assign(end_reason="lost"),
    }
    result = HysteresisDeaths()(data)
    deaths = schemas.check(schemas.Deaths, result["deaths"])  # the key is one row per track
    fates = schemas.check(schemas.Fates, result["fates"])
    assert len(fates) == len(lives)
    assert not (fates["died"] & fates["dead_at_first_sight"]).any()
    assert fates["died"].sum() == len(deaths)
    for track, frame in zip(deaths["track_id"], deaths["frame"], strict=True):
        life = lives[track - 1]
        assert life[frame] == "d"
        assert "a" in life[:frame]


BODY = {
    # lost alive in frame 9; its body lies 3 µm off from frame 11 on
    "lost": dict.fromkeys(range(10), (20.0, 20.0)),
    "body": dict.fromkeys(range(11, 20), (26.0, 20.0)),
    "other": dict.fromkeys(range(20), (60.0, 20.0)),
}


def with_bodies(
    make_points, make_tracks, places=BODY, reason="lost", turn=False, shift=0.0, **fields
):
    """Deaths and fates of a lost cell (1), a dead one nearby (2) and a bystander (3)."""
    moved = [
        {f: (shift + (-y if turn else x), shift + (x if turn else y)) for f, (x, y) in one.items()}
        for one in places.values()
    ]
    points = make_points({("T", n): one for n, one in enumerate(moved, start=1)})
    tracks = make_tracks(points)
    tracks.loc[tracks["track_id"] == 1, "end_reason"] = reason
    viability = points[["fov", "population", "frame"]].assign(
        label=points["label"].astype(np.int64),
        marker_signal=1.0,
        alive_probability=np.where(points["track_id"] == 2, 0.01, 0.99),
        dead=points["track_id"] == 2,
    )
    found = HysteresisDeaths(**fields)(
        {"viability": viability, "dataframe": points, "tracks": tracks}
    )
    return schemas.check(schemas.Deaths, found["deaths"]), found["fates"].set_index("track_id")


@pytest.mark.parametrize(("turn", "shift"), [(False, 0.0), (True, 0.0), (False, 300.25)])
def test_a_cell_lost_beside_a_new_body_died(make_points, make_tracks, turn, shift):
    deaths, fates = with_bodies(make_points, make_tracks, turn=turn, shift=shift)
    row = deaths.iloc[0]
    assert len(deaths) == 1 and (row["track_id"], row["frame"], row["time_min"]) == (1, 11, 22.0)
    assert (row["evidence"], row["body_track_id"], row["last_alive_frame"]) == ("body", 2, 9)
    assert fates["died"].tolist() == [True, False, False]
    assert fates["dead_at_first_sight"].tolist() == [False, True, False]
    assert fates["end_reason"].tolist() == ["lost", "film_end", "film_end"]
    assert fates["exit_min"].tolist() == [22.0, 38.0, 38.0]


def test_what_is_no_body(make_points, make_tracks):
    def died(**fields) -> int:
        return len(with_bodies(make_points, make_tracks, **fields)[0])

    late = BODY | {"body": dict.fromkeys(range(13, 20), (26.0, 20.0))}
    assert died(body_reach_um=2.9) == died(body_reach_um=0) == died(body_reach_um=None) == 0
    assert died(body_reach_um=None, body_reach_px=6.0) == 1
    assert died(places=late) == 0 and died(places=late, body_max_gap_frames=3) == 1
    assert died(reason="border") == died(reason="film_end") == 0
    # as near to it as to one that was lost still nearer: each body has one cell
    two = {**BODY, "other": dict.fromkeys(range(10), (25.0, 20.0))}
    deaths, _ = with_bodies(make_points, make_tracks, places=two)
    assert deaths["track_id"].tolist() == [
        1
    ]  # the nearer one is no lost track but at the film's end


def test_the_clock_of_a_daughter_starts_at_the_division(make_points, make_tracks):
    points = make_points(
        {("T", 1): {0: (0, 0), 1: (0, 0)}, ("T", 2): {2: (0, 0)}, ("T", 3): {2: (9, 9)}}
    )
    tracks = make_tracks(points)
    tracks.loc[tracks["track_id"] == 2, "parent_track_id"] = 1
    tracks.loc[tracks["track_id"] == 1, "end_reason"] = "division"
    viability = points[["fov", "population", "frame"]].assign(
        label=points["label"].astype(np.int64), marker_signal=1.0, alive_probability=0.9, dead=False
    )
    fates = HysteresisDeaths()({"viability": viability, "dataframe": points, "tracks": tracks})[
        "fates"
    ]
    assert fates["start_reason"].tolist() == ["film_start", "division", "entered"]
    assert fates["entry_min"].tolist() == [0.0, 4.0, 4.0]
    assert fates["end_reason"].tolist() == ["division", "film_end", "film_end"]
