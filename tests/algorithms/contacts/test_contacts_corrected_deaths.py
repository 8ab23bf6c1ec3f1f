"""What a person said of deaths holds for the cell that is there, whatever its track's number."""

from __future__ import annotations

import logging

import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts import ChangePointDeaths, HysteresisDeaths

# alive, dead from frame 3, dead at first sight, dead and alive again
LIVES = ("aaaaaa", "aaaddd", "dddddd", "addddaaaaaaa")


def called(make_points, make_tracks, said: list[tuple[int, float, bool]], cls=HysteresisDeaths):
    """Deaths and fates of `LIVES`, each 30 px from the next, with ``(frame, x, happened)``."""
    places = {
        ("T", i): dict.fromkeys(range(len(life)), (30.0 * i, 5.0))
        for i, life in enumerate(LIVES, 1)
    }
    points = make_points(places)
    rows = [
        {"population": "T", "frame": f, "label": i + 100, "alive_probability": 0.95 * (each == "a")}
        for i, life in enumerate(LIVES, 1)
        for f, each in enumerate(life)
    ]
    viability = schemas.filled(schemas.Viability, pd.DataFrame(rows).assign(fov="A"))
    given = pd.DataFrame(said, columns=["frame", "x_px", "happened"])
    given = given.assign(fov="A", population="T", event="death", y_px=5.0)
    made = cls()(
        viability=viability,
        track_points=points,
        tracks=make_tracks(points),
        event_corrections=schemas.conform(schemas.EventCorrections, given),
        pixel_size_um=0.5,
    )
    schemas.check(schemas.Deaths, made["deaths"]), schemas.check(schemas.Fates, made["fates"])
    return made["deaths"].set_index("track_id"), made["fates"].set_index("track_id")


@pytest.mark.parametrize("cls", [HysteresisDeaths, ChangePointDeaths])
def test_a_death_set_moved_and_cleared(make_points, make_tracks, cls) -> None:
    before, _ = called(make_points, make_tracks, [], cls)
    assert before.index.tolist() == [2] and before.loc[2, "evidence"] == "marker"
    said = [(4, 33.0, True), (0, 58.0, False), (5, 91.0, False), (2, 120.0, True)]
    deaths, fates = called(make_points, make_tracks, said, cls)
    assert deaths.index.tolist() == [1, 4]
    assert deaths["frame"].tolist() == [4, 2] and deaths["last_alive_frame"].tolist() == [3, 1]
    assert deaths["evidence"].tolist() == ["person", "person"]
    assert fates["died"].tolist() == [True, False, False, True]
    assert fates["death_frame"].dropna().tolist() == [4, 2]
    assert not fates["dead_at_first_sight"].any() and not fates["recovered"].any()


def test_one_that_fits_no_cell_is_said_and_left_out(make_points, make_tracks, caplog) -> None:
    said = [
        *((4, 45.0, True), (4, 200.0, True), (50, 30.0, False)),  # between cells, nowhere, later
        (0, 90.0, True),  # nobody is seen to die in its first frame
    ]
    with caplog.at_level(logging.WARNING):
        deaths, _ = called(make_points, make_tracks, said)
    assert deaths.index.tolist() == [2]
    assert [each.getMessage() for each in caplog.records if "fits no cell" in each.getMessage()]
    assert sum("fits no cell" in each.getMessage() for each in caplog.records) == 4


def test_the_last_word_counts(make_points, make_tracks) -> None:
    deaths, _ = called(make_points, make_tracks, [(2, 30.0, True), (5, 30.0, True)])
    assert deaths.loc[1, "frame"] == 5
    deaths, _ = called(make_points, make_tracks, [(2, 30.0, True), (5, 30.0, False)])
    assert deaths.index.tolist() == [2]
