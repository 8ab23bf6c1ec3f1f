"""Contacts and kills that a person set or cleared: exactly these come out."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts import Bouts, ContactJoin
from cyto_kedro.algorithms.contacts.attribution import KillLikelihood
from cyto_kedro.algorithms.contacts.kills import KillShares
from cyto_kedro.algorithms.contacts.positions import CentroidDistance

ROLES = {"N": "effector", "T": "target"}
# cells stand still, 30 px apart: N1 at 0, N2 at 30, T1 at 60, T2 at 90
PLACES = {("N", 1): 0.0, ("N", 2): 30.0, ("T", 1): 60.0, ("T", 2): 90.0}
N1, N2, T1, T2 = PLACES


def said(*rows: tuple[Any, ...]) -> pd.DataFrame:
    """Corrections ``(event, frame, cell, other, happened, last_frame)``, three pixels off the cells."""
    made = [
        {
            "fov": "A",
            "event": event,
            "frame": frame,
            "population": one[0],
            "x_px": PLACES[one] + 3,
            "y_px": 5.0,
            "other_population": other[0] if other else "",
            "other_x_px": PLACES[other] - 3 if other else np.nan,
            "other_y_px": 5.0 if other else np.nan,
            "happened": happened,
            "last_frame": last[0] if last else None,
        }
        for event, frame, one, other, happened, *last in rows
    ]
    table = pd.DataFrame(made).astype({"last_frame": "Int64"})
    return schemas.check(schemas.EventCorrections, schemas.conform(schemas.EventCorrections, table))


@pytest.fixture
def points(make_points) -> pd.DataFrame:
    lives = {cell: dict.fromkeys(range(10), (x, 5.0)) for cell, x in PLACES.items()}
    return make_points(lives, interpolated={("T", 1, 5)})


def touches(*rows: tuple[int, tuple[str, int], tuple[str, int]]) -> pd.DataFrame:
    names = ["frame", "population_a", "label_a", "population_b", "label_b"]
    table = pd.DataFrame(
        [(f, a[0], a[1] + 100, b[0], b[1] + 100) for f, a, b in rows], columns=names
    )
    more = {"distance_px": 1.0, "distance_um": 0.5, "definition": "masks within 2 px"}
    return schemas.filled(schemas.Touches, table.assign(fov="A", **more))


def pairs(contacts: pd.DataFrame, *more: str) -> list[tuple[Any, ...]]:
    names = ["frame", "population_a", "track_id_a", "population_b", "track_id_b", *more]
    return list(contacts[names].itertuples(index=False, name=None))


def test_contacts_set_and_cleared_and_the_bouts_of_them(points: pd.DataFrame) -> None:
    found = touches(*((f, N1, T1) for f in (1, 2, 3)), (2, N2, T2))
    given = said(
        ("contact", 2, T1, N1, False, 3),  # sides as the person clicked them
        ("contact", 4, T1, N1, True, 7),  # in 5 T1 was not seen
        ("contact", 2, N2, T2, True),  # it is there already, with its measures
        ("contact", 7, T1, T2, True),
        ("death", 4, T1, None, True),
    )
    asked = {"track_points": points, "touches": found, "event_corrections": given}
    contacts = ContactJoin()(asked, pixel_size_um=0.5)["contacts"]
    schemas.check(schemas.Contacts, contacts)
    assert pairs(contacts, "definition") == [
        (1, *N1, *T1, "masks within 2 px"),
        (2, *N2, *T2, "masks within 2 px"),
        (4, *N1, *T1, "set by hand"),
        (6, *N1, *T1, "set by hand"),
        (7, *N1, *T1, "set by hand"),
        (7, *T1, *T2, "set by hand"),
    ]
    new = contacts[contacts["definition"] == "set by hand"]
    assert new["centre_distance_px"].tolist() == [60.0, 60.0, 60.0, 30.0]
    assert new["centre_distance_um"].tolist() == [30.0, 30.0, 30.0, 15.0]
    assert new["time_min"].tolist() == [8.0, 12.0, 14.0, 14.0]
    assert not contacts["repaired"].any()
    assert new["distance_px"].isna().all() and contacts["distance_px"].notna().sum() == 2
    bouts = Bouts()(contacts=contacts, track_points=points)["bouts"]
    mine = bouts[(bouts["track_id_a"] == 1) & (bouts["population_a"] == "N")]
    ran = ["start_frame", "end_frame", "n_contact_frames", "duration_min"]
    assert mine[ran].to_numpy().tolist() == [[1, 1, 1, 2.0], [4, 7, 3, 8.0]]


def test_the_last_word_on_a_frame_counts(points: pd.DataFrame) -> None:
    given = said(("contact", 2, N1, T1, True, 4), ("contact", 3, T1, N1, False))
    made = CentroidDistance(max_distance_px=2)(
        track_points=points, event_corrections=given, pixel_size_um=0.5
    )["contacts"]
    assert pairs(made) == [(2, *N1, *T1), (4, *N1, *T1)]
    other = points.assign(track_id=points["track_id"] + 40)
    made = ContactJoin()(
        track_points=other, touches=touches((3, N1, T1)), event_corrections=given, pixel_size_um=0.5
    )["contacts"]
    assert pairs(made) == [(2, "N", 41, "T", 41), (4, "N", 41, "T", 41)]


def test_without_a_word_nothing_changes(points: pd.DataFrame) -> None:
    found = touches((1, N1, T1))
    plain = ContactJoin()(track_points=points, touches=found)["contacts"]
    given = said(("death", 4, T1, None, True), ("kill", 4, T1, N1, True))
    same = ContactJoin()(
        track_points=points, touches=found, event_corrections=given, pixel_size_um=0.5
    )["contacts"]
    pd.testing.assert_frame_equal(plain, same)


def test_a_contact_that_fits_no_two_cells_is_said_and_left_out(
    points: pd.DataFrame, caplog
) -> None:
    given = said(
        ("contact", 2, N1, T1, True), ("contact", 5, N1, T1, True), ("contact", 2, N1, N1, True)
    )
    gone = points[points["track_id"].ne(1) | points["population"].ne("T") | points["frame"].ne(2)]
    with caplog.at_level(logging.WARNING):
        made = ContactJoin()(
            track_points=gone, touches=touches(), event_corrections=given, pixel_size_um=0.5
        )["contacts"]
    assert not len(made)
    told = [each.getMessage() for each in caplog.records]
    assert len(told) == 3 and all("fits no two cells" in each for each in told)
    assert '"touches T" in frame 2 at y 5, x 3' in told[0]


def attributed(points, make_contacts, given: pd.DataFrame | None, rule: Any = None) -> Any:
    """Kills of: T1 dies in 8, touched by N1 in 5 to 7 and by N2 in 1 and 2; T2 dies in 9, untouched."""
    contacts = make_contacts(
        [(f, *N1, *T1) for f in (5, 6, 7)] + [(f, *N2, *T1) for f in (1, 2)] + [(9, *N2, *T2)]
    )
    died = {"population": "T", "track_id": [1, 2], "frame": [8, 8], "time_min": 16.0}
    deaths = schemas.filled(schemas.Deaths, {**died, "fov": "A", "last_alive_frame": 7})
    cells = pd.DataFrame([*PLACES], columns=["population", "track_id"]).assign(
        fov="A", last_frame=9
    )
    cells["died"] = cells["population"] == "T"
    cells["death_frame"] = cells["died"].map({True: 8, False: pd.NA})
    fates = schemas.filled(schemas.Fates, cells.assign(end_reason="film_end"))
    rule = rule or KillShares(half_life_min=None, half_life_frames=None, min_share=0)
    made = rule(
        {"deaths": deaths, "contacts": contacts, "fates": fates, "populations": ROLES},
        track_points=points,
        event_corrections=given,
        pixel_size_um=0.5,
        time_min=2.0 * np.arange(10),
    )
    schemas.check(schemas.Kills, made["kills"]), schemas.check(schemas.Deaths, made["deaths"])
    return made["kills"], made["deaths"].set_index("track_id")


def shares(kills: pd.DataFrame) -> dict[tuple[int, int], float]:
    keys = zip(kills["target_track_id"], kills["effector_track_id"], strict=True)
    return dict(zip(keys, kills["share"].round(9), strict=True))


def test_kills_set_and_cleared(points: pd.DataFrame, make_contacts) -> None:
    kills, deaths = attributed(points, make_contacts, None)
    assert shares(kills) == {(1, 1): 0.6, (1, 2): 0.4} and not kills["by_hand"].any()
    assert deaths["verdict"].tolist() == ["kill", "no_contact"]

    kills, deaths = attributed(points, make_contacts, said(("kill", 8, T1, N2, True)))
    assert shares(kills) == {(1, 2): 1.0} and kills["by_hand"].all()
    facts = [
        "contact_frames",
        "first_contact_frame",
        "last_contact_frame",
        "since_last_contact_min",
    ]
    assert kills[facts].to_numpy().tolist() == [[2, 1, 2, 12.0]]
    assert kills["credit"].tolist() == [1.0]
    assert deaths.loc[1, ["verdict", "n_killers", "p_background"]].tolist() == ["kill", 1, 0.0]

    kills, deaths = attributed(points, make_contacts, said(("kill", 8, T1, N1, False)))
    assert shares(kills) == {(1, 2): 1.0} and not kills["by_hand"].any()
    both = said(("kill", 8, T1, N1, False), ("kill", 3, T1, N2, False))
    kills, deaths = attributed(points, make_contacts, both)
    assert kills.empty
    assert deaths.loc[1, ["verdict", "n_killers", "p_background"]].tolist() == [
        "background",
        0,
        1.0,
    ]

    both = said(("kill", 8, T1, N1, True), ("kill", 8, T1, N2, True))
    assert shares(attributed(points, make_contacts, both)[0]) == {(1, 1): 0.5, (1, 2): 0.5}
    last = said(("kill", 8, T1, N1, True), ("kill", 7, T1, N1, False))
    assert shares(attributed(points, make_contacts, last)[0]) == {(1, 2): 1.0}


def test_credits_of_a_learnt_rule_still_sum_to_the_chance(points, make_contacts) -> None:
    rule = KillLikelihood(max_p_background=1.0, min_share=0, credit_by="expected")
    kills, deaths = attributed(points, make_contacts, None, rule)
    assert len(kills) == 2
    assert kills["credit"].sum() == pytest.approx(1 - deaths.loc[1, "p_background"])
    cleared, after = attributed(points, make_contacts, said(("kill", 8, T1, N1, False)), rule)
    assert shares(cleared) == {(1, 2): 1.0}
    assert cleared["credit"].sum() == pytest.approx(kills["credit"].sum())
    assert after.loc[1, "p_background"] == pytest.approx(deaths.loc[1, "p_background"])
    # the likeliest has the whole share, and the other's is 0: with the one cleared nobody is left
    rule = KillLikelihood(max_p_background=1.0, min_share=0.45)
    assert shares(attributed(points, make_contacts, None, rule)[0]) == {(1, 2): 1.0}
    cleared, after = attributed(points, make_contacts, said(("kill", 8, T1, N2, False)), rule)
    assert cleared.empty and after.loc[1, "verdict"] == "background"


def test_kills_that_cannot_be_are_said_and_left_out(points, make_contacts, caplog) -> None:
    given = said(
        ("kill", 8, T2, N1, True),  # never touched it
        ("kill", 8, T2, N2, True),  # touched it after the death
        ("kill", 8, N1, N2, True),  # does not die
        ("kill", 50, T1, N1, True),  # after the film
    )
    with caplog.at_level(logging.WARNING):
        kills, _ = attributed(points, make_contacts, given)
    assert shares(kills) == {(1, 1): 0.6, (1, 2): 0.4}
    told = [each.getMessage() for each in caplog.records]
    assert [("never in contact" in each, "does not die" in each) for each in told] == [
        (False, False),
        (False, True),
        (True, False),
        (True, False),
    ]


def test_the_body_stands_for_the_death_that_left_it(points, make_contacts) -> None:
    """A target clicked where it lies dead, which is a track of its own."""
    body = points[points["track_id"].eq(1) & points["population"].eq("T") & points["frame"].ge(8)]
    parted = pd.concat([points.drop(body.index), body.assign(track_id=7)], ignore_index=True)
    contacts = make_contacts([(f, *N1, *T1) for f in (5, 6, 7)])
    died = {"population": ["T"], "track_id": 1, "frame": 8, "body_track_id": 7, "fov": "A"}
    made = KillShares(half_life_min=None, half_life_frames=None, window_frames=1)(
        deaths=schemas.filled(schemas.Deaths, died),
        contacts=contacts.assign(time_min=np.nan),
        populations=ROLES,
        track_points=parted,
        event_corrections=said(("kill", 8, T1, N1, False)),
        pixel_size_um=0.5,
    )
    assert made["kills"].empty and made["deaths"]["verdict"].tolist() == ["background"]
