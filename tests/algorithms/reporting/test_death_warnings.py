"""Doubts about who is called dead stand in the report: lives with a known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.deaths import HysteresisDeaths
from cyto_kedro.algorithms.reporting.death_warnings import death_warnings, effectors_die_fast
from cyto_kedro.algorithms.reporting.findings import answers, doubts
from cyto_kedro.algorithms.reporting.summary import Summary

LEVEL = {"a": 0.95, "d": 0.05}
ROLES = {"T": "target", "N": "effector"}


def lived(
    lives: dict[tuple[str, int], tuple[float, str]], excluded: tuple[int, ...] = ()
) -> pd.DataFrame:
    """Fates of (population, track) -> (place, life): a letter a frame, a alive, d dead, . not seen."""
    parts = []
    for (population, track), (x, life) in lives.items():
        seen = np.array([f for f, letter in enumerate(life) if letter != "."])
        rows = {"population": population, "track_id": track, "frame": seen, "label": track}
        level = [LEVEL[life[f]] for f in seen]
        place = {"x_px": x, "y_px": 5.0, "x_um": x, "y_um": 5.0, "time_min": 2.0 * seen}
        parts.append(pd.DataFrame({**rows, **place, "alive_probability": level}))
    table = pd.concat(parts).assign(dead=lambda each: each["alive_probability"] < 0.5)
    points = schemas.filled(schemas.TrackPoints, table.to_dict("list") | {"fov": "A"})
    viability = schemas.filled(schemas.Viability, table.to_dict("list") | {"fov": "A"})
    ends = table.groupby(["population", "track_id"])["frame"].agg(["min", "max"]).reset_index()
    last = max(len(life) for _, life in lives.values()) - 1
    tracks = ends.rename(columns={"min": "first_frame", "max": "last_frame"})
    tracks["end_reason"] = np.where(tracks["last_frame"] == last, "film_end", "lost")
    tracks = schemas.filled(schemas.Tracks, tracks.to_dict("list") | {"fov": "A"})
    called = [
        HysteresisDeaths()(
            viability=viability[viability["population"] == name],
            track_points=points[points["population"] == name],
            tracks=tracks[tracks["population"] == name],
            excluded=excluded,
        )["fates"]
        for name in sorted(tracks["population"].unique())
    ]
    return pd.concat(called, ignore_index=True)


PIECES = {
    ("T", 1): (10.0, "aaaddd........"),  # dies, and its body is lost
    ("T", 2): (11.0, "......ddd....."),  # found again,
    ("T", 3): (12.0, "..........dddd"),  # and again
    ("T", 4): (50.0, "aaaaa........."),  # lost alive,
    ("T", 5): (51.0, "......dddddddd"),  # its body
    ("T", 6): (90.0, "......dddddddd"),  # from nowhere
    ("T", 7): (120.0, "dddddddddddddd"),  # dead when filming began
    ("T", 8): (150.0, "aaaaaaaaaaaaaa"),
}


def test_pieces_of_a_dead_cell_are_no_cells_of_their_own() -> None:
    fates = lived(PIECES).set_index("track_id")
    assert fates["past_track_id"].dropna().to_dict() == {2: 1, 3: 2, 5: 4}
    assert fates.index[fates["died"]].tolist() == [1, 4]
    fields = schemas.filled(schemas.Fields, {"fov": ["A"], "n_frames": 14})
    row = Summary()(fields=fields, fates=fates.reset_index(), roles={"T": "target"})["by_fov"]
    # cells 1, 4, 6, 7 and 8: two die, two are dead when first seen
    counted = row[["targets", "deaths", "dead_at_first_sight"]].iloc[0].tolist()
    assert counted == [5, 2, 2]


def test_a_dead_track_from_nowhere_and_a_switch_are_said_in_the_report() -> None:
    lives = PIECES | {("T", 9): (190.0, "addddaaaaaaaaa")}
    said = death_warnings(lived(lives), {})
    late, back = (
        said["what"][said["what"].str.contains(word)] for word in ("begin dead", "alive aft")
    )
    assert "1 tracks begin dead" in late.iloc[0] and "(tracks 6)" in late.iloc[0]
    assert "1 of 9 tracks" in back.iloc[0] and "(tracks 9)" in back.iloc[0]
    assert "dead at first sight" in death_warnings(lived({("T", 1): (1.0, "dddd")}), {})["what"][0]
    assert death_warnings(lived({("T", 1): (1.0, "aaaa")}), {}).empty
    assert death_warnings(schemas.empty(schemas.Fates), {}).empty


def test_fields_judged_apart_are_said() -> None:
    states = {"T": {"A": {"estimated_apart": True}, "B": {"estimated_apart": False}}, "N": {}}
    said = death_warnings(lived(PIECES), states)
    assert said["what"].str.contains("judged by this field alone").sum() == 1


def test_an_excluded_first_frame_is_no_late_entry() -> None:
    lives = {("T", 1): (1.0, ".aaa"), ("T", 2): (50.0, "..aa")}
    assert lived(lives, excluded=(0,))["start_reason"].tolist() == ["film_start", "entered"]
    assert lived(lives)["start_reason"].tolist() == ["entered", "entered"]


def test_effectors_that_die_far_faster_than_targets_are_said() -> None:
    row = {"effector_deaths": 8, "effector_watched": 10.0, "deaths": 5, "target_watched": 25.0}
    assert "4.0 times as often as targets (8 deaths)" in effectors_die_fast(row)
    assert not effectors_die_fast(row | {"effector_deaths": 4})  # twice is not above twice
    assert not effectors_die_fast(row | {"effector_deaths": 2, "effector_watched": 1.0})
    assert "no target does" in effectors_die_fast(row | {"deaths": 0})
    lives = {("N", i): (9.0 * i, "aaadddddd") for i in range(1, 5)}
    fates = lived(lives | {("T", i): (9.0 * i, "aaaaaaaaa") for i in range(1, 5)})
    fields = schemas.filled(schemas.Fields, {"fov": ["A"], "n_frames": 9})
    total = Summary()(fields=fields, fates=fates, roles=ROLES)["by_condition"]
    assert total["effector_watched"].iloc[0] == pytest.approx(4 * 6 / 60)
    assert any("does the death marker tell of them" in each for each in doubts(total.iloc[0]))


def test_the_headline_says_how_many_targets_are_in_view_at_once() -> None:
    """Three tracks too far apart to be one cell are three living targets, and one at once."""
    lives = {
        ("T", 1): (1.0, "aaa......"),
        ("T", 2): (40.0, "...aaa..."),
        ("T", 3): (80.0, "......aaa"),
    }
    fates = lived(lives)
    frame = np.arange(9)
    points = {"population": "T", "track_id": 1 + frame // 3, "frame": frame, "label": 1, "fov": "A"}
    points = schemas.filled(schemas.TrackPoints, points)
    fields = schemas.filled(schemas.Fields, {"fov": ["A"], "n_frames": 9})
    given = {"fields": fields, "fates": fates, "track_points": points, "roles": {"T": "target"}}
    frames = schemas.filled(schemas.Frames, {"fov": "A", "frame": frame, "time_s": 120.0 * frame})
    text = answers(Summary()(given, frames=frames)["by_condition"])[0][1]
    assert "0 of 3 living targets" in text and "at most 1 of them are in view at once" in text
