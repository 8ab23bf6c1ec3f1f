"""Broken tracks change no headline: films simulated with truth, their tracks cut at random."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.episodes import episodes, first_contact, spells
from cyto_kedro.algorithms.contacts.deaths import HysteresisDeaths
from cyto_kedro.algorithms.contacts.tallies import CellTallies
from cyto_kedro.algorithms.reporting.findings import answers
from cyto_kedro.algorithms.reporting.summary import Summary
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from cyto_kedro.core.survival import kaplan_meier
from cyto_kedro.core.watched import cell_ids, goes_on, n_cells, n_living, watched

ROLES = {"TCell": "effector", "CancerCell": "target"}
FRAMES = 50


@cache
def film(seed: int) -> dict[str, Any]:
    made = SimulatedAssay(seed=seed, size_px=256, n_frames=FRAMES, n_effectors=12, n_targets=25)(
        fov="A"
    )
    return {name: made[name] for name in ("track_points", "tracks", "time_s")}


def broken(points: pd.DataFrame, tracks: pd.DataFrame, cuts: float, seed: int, gap: int = 4) -> Any:
    """Points and tracks with `cuts` breaks a track on average, up to `gap` frames missing at each."""
    rng = np.random.default_rng(seed)
    points = points.sort_values(["population", "track_id", "frame"], ignore_index=True)
    cut = pd.Series(rng.random(len(points)) < cuts / FRAMES)
    piece = cut.groupby([points["population"], points["track_id"]]).cumsum()
    hidden = np.zeros(len(points), bool)
    for at in np.flatnonzero(cut):
        hidden[at : at + int(rng.integers(0, gap + 1))] = True
    key = ["population", "track_id"]
    old = points.assign(old=points["track_id"], piece=piece)[~hidden]
    ids = old.groupby("population", group_keys=False)[["old", "piece"]].apply(
        lambda one: one.groupby(["old", "piece"]).ngroup() + 1
    )
    points = old.assign(track_id=ids.sort_index())
    ends = points.groupby(["fov", *key]).agg(
        first_frame=("frame", "min"), last_frame=("frame", "max"), n_points=("frame", "size"),
        old=("old", "first"),
    ).reset_index()  # fmt: skip
    known = tracks[["population", "track_id", "last_frame", "end_reason"]]
    known = known.rename(columns={"track_id": "old", "last_frame": "true_last"})
    ends = ends.merge(known, on=["population", "old"])
    whole = ends["last_frame"] == ends["true_last"]
    ends["end_reason"] = ends["end_reason"].where(whole, "lost")
    return schemas.filled(schemas.TrackPoints, points.to_dict("list")), schemas.filled(
        schemas.Tracks, ends.to_dict("list")
    )


def told(seed: int, cuts: float, **args: Any) -> tuple[pd.Series, pd.DataFrame, str]:
    """The summary's row, fates, and the sentence of the report, of a film with broken tracks."""
    held = film(seed)
    points, tracks = held["track_points"], held["tracks"]
    dead = points.set_index(["population", "frame", "label"])["dead"]
    if cuts:
        points, tracks = broken(points, tracks, cuts, seed)
    else:
        points = schemas.filled(schemas.TrackPoints, points.to_dict("list"))
    rows = pd.MultiIndex.from_frame(points[["population", "frame", "label"]])
    alive = np.where(dead.reindex(rows).to_numpy(bool), 0.02, 0.98)
    columns = points[["fov", "population", "frame", "label"]].to_dict("list")
    viability = schemas.filled(
        schemas.Viability, {**columns, "alive_probability": alive, "dead": alive < 0.5}
    )
    fates = HysteresisDeaths(**args)(viability=viability, track_points=points, tracks=tracks)[
        "fates"
    ]
    frame = np.arange(FRAMES)
    frames = {"fov": "A", "frame": frame, "time_s": held["time_s"], "excluded": False}
    made = Summary()(
        fields=schemas.filled(schemas.Fields, {"fov": ["A"], "n_frames": FRAMES}),
        frames=schemas.filled(schemas.Frames, frames),
        track_points=points,
        fates=fates,
        roles=ROLES,
    )
    return made["by_condition"].iloc[0], fates, answers(made["by_condition"])[0][1]


@pytest.mark.parametrize("seed", [1, 3])
def test_the_headline_of_broken_tracks_is_near_that_of_true_ones(seed: int) -> None:
    true, *_ = told(seed, 0)
    cut, fates, said = told(seed, 4)
    pieces = int((fates["population"] == "CancerCell").sum())
    assert pieces > 2.5 * true["targets"]  # what was counted before
    living = [row["targets"] - row["dead_at_first_sight"] for row in (true, cut)]
    assert living[1] == pytest.approx(living[0], abs=2)
    assert f"{cut['deaths']:.0f} of {living[1]:.0f} living targets" in said
    assert cut["targets"] == pytest.approx(true["targets"], rel=0.1)
    assert true["deaths"] - cut["deaths"] in (0, 1, 2)  # those that fell into a long gap
    assert cut["share_died"] == pytest.approx(true["share_died"], abs=0.07)
    assert cut["effector_hours"] == pytest.approx(true["effector_hours"], rel=0.05)
    assert cut["targets_at_once"] == true["targets_at_once"]
    cells = film(seed)["track_points"].groupby("population")["cell"].nunique()
    assert cut["effectors"] == pytest.approx(cells["TCell"], abs=2)  # over 60 tracks


def fates_of(rows: list[tuple[int, int, bool, str, int | None]]) -> pd.DataFrame:
    """Fates of (first, last frame, died, end reason, past), a minute a frame; dying in the last."""
    first, last, died, reason, past = zip(*rows, strict=True)
    table = pd.DataFrame({"track_id": range(1, len(rows) + 1)}).assign(
        fov="A", population="T", first_frame=first, last_frame=last, died=died, end_reason=reason
    )
    table["death_frame"] = table["last_frame"].astype("Int64").where(table["died"])
    table["past_track_id"] = pd.array(past, dtype="Int64")
    times = {
        "entry_min": table["first_frame"].astype(float),
        "exit_min": table["last_frame"].astype(float),
    }
    return schemas.filled(
        schemas.Fates, table.assign(**times, start_reason="entered").to_dict("list")
    )


def test_pieces_leave_person_time_and_survival_as_they_were() -> None:
    """Closed form: five cells, one cut twice with gaps; Kaplan-Meier is as of the whole ones."""
    others = [(0, 9, True, "film_end", None), (0, 20, False, "film_end", None)]
    others += [(0, 6, True, "film_end", None), (3, 20, False, "film_end", None)]
    whole = watched(fates_of([(0, 14, True, "film_end", None), *others]))[0]
    pieces = [(0, 4, False, "lost", None), (7, 8, False, "lost", 1), (11, 14, True, "film_end", 2)]
    fates = fates_of(pieces + others)
    cut = watched(fates)[0]
    assert (cut["leave"] - cut["entry"]).sum() == (whole["leave"] - whole["entry"]).sum() == 66
    curves = [
        kaplan_meier(*(each[c].to_numpy() for c in ("entry", "leave", "event")))
        for each in (whole, cut)
    ]
    assert curves[1]["survival"].iloc[-1] == pytest.approx(curves[0]["survival"].iloc[-1])
    # 4 at risk at 6 and 5 in all later on: the fifth comes at 3
    assert curves[0]["survival"].iloc[-1] == pytest.approx(4 / 5 * 3 / 4 * 2 / 3)
    assert cell_ids(fates).tolist() == [1, 1, 1, 4, 5, 6, 7]
    assert goes_on(fates).tolist() == [True, True, *[False] * 5]
    assert (len(cut), n_cells(cut)) == (7, 5)


def touch(*bouts: tuple[int, int, int]) -> pd.DataFrame:
    """Bouts of (target, effector, frame), three frames each, a minute a frame."""
    target, effector, frame = (np.array(each) for each in zip(*bouts, strict=True))
    columns = {"fov": "A", "population_a": "E", "track_id_a": effector, "population_b": "T"}
    columns |= {"track_id_b": target, "start_frame": frame, "end_frame": frame + 2, "n_frames": 3}
    times = {"start_min": frame.astype(float), "duration_min": 3.0}
    return schemas.filled(schemas.Bouts, columns | times)


def test_a_cell_that_was_found_again_was_touched_before() -> None:
    """Cut in three, a target has the first contact and the episodes that it has whole."""
    roles = {"E": "effector", "T": "target"}
    hunters = [(0, 20, False, "film_end", None)] * 2
    whole = fates_of([(0, 20, True, "film_end", None), *hunters])
    pieces = [(0, 6, False, "lost", None), (9, 11, False, "lost", 1), (13, 20, True, "film_end", 2)]
    hunted = [(0, 7, False, "lost", None), (8, 20, False, "film_end", 4)]
    cut = fates_of([*pieces, *hunted, hunters[0]])
    whole.loc[1:, "population"] = cut.loc[3:, "population"] = "E"
    known = {}
    for name, fates, bouts in (
        ("whole", whole, touch((1, 2, 3), (1, 2, 14), (1, 3, 17))),
        ("cut", cut, touch((1, 4, 3), (3, 5, 14), (3, 6, 17))),
    ):
        rows = watched(fates[fates["population"] == "T"])[0]
        found = spells(rows, bouts, roles, "min", fates=fates)
        first = first_contact(rows, found)
        # person-time not touched, contacts that end it, episodes in contact and with n met
        free = np.minimum(rows["leave"], first) - rows["entry"]
        met = ((first > rows["entry"]) & (first <= rows["leave"])).sum()
        made = episodes(rows, found)
        made["time"] = made["stop"] - made["start"]
        by = made.groupby(["ever_touched", "n_effectors", "n_met"])[["time", "event"]].sum()
        known[name] = (free.clip(lower=0).sum(), met, by.to_dict())
    assert known["cut"] == known["whole"]
    assert known["whole"][:2] == (3, 1)


def test_tallies_of_a_target_count_from_its_first_contact() -> None:
    """Touched at 3 and 5 in its first track, dying at 20 in its third: 17 and 15 minutes."""
    pieces = [(9, 11, False, "lost", 3), (13, 20, True, "film_end", 1), (0, 8, False, "lost", None)]
    fates = fates_of([*pieces, (0, 20, False, "film_end", None)])
    fates["death_min"] = fates["death_frame"].astype(float)
    fates.loc[3, "population"] = "E"
    deaths = schemas.filled(
        schemas.Deaths,
        {"fov": "A", "population": "T", "track_id": [2], "frame": 20, "time_min": 20.0},
    )
    frame = np.array([3, 4, 5])
    contacts = {"fov": "A", "population_a": "E", "track_id_a": 4, "population_b": "T"}
    contacts |= {"track_id_b": 3, "frame": frame, "time_min": frame.astype(float)}
    made = CellTallies()(
        fates=fates,
        deaths=deaths,
        kills=schemas.empty(schemas.Kills),
        contacts=schemas.filled(schemas.Contacts, contacts),
        bouts=touch((3, 4, 3)),
        populations={"E": "effector", "T": "target"},
        time_min=np.arange(21.0),
    )["targets"].set_index("track_id")
    assert made["first_contact_frame"].tolist() == [3, 3, 3]
    assert made.loc[2, "first_contact_to_death_min"] == 17
    assert made.loc[2, "last_contact_to_death_min"] == 15


def test_a_cell_that_came_back_over_the_border_was_not_watched_outside() -> None:
    fates = fates_of([(0, 4, False, "border", None), (9, 12, False, "film_end", 1)])
    rows = watched(fates)[0]
    assert (rows["leave"] - rows["entry"]).tolist() == [4, 3] and n_cells(rows) == 1


def test_gaps_between_pieces_count_as_living() -> None:
    fates = fates_of([(0, 1, False, "lost", None), (4, 5, False, "film_end", 1)])
    points = pd.DataFrame(
        {"fov": "A", "population": "T", "track_id": [1, 1, 2, 2], "frame": [0, 1, 4, 5]}
    )
    living = n_living([points], fates)
    assert living.to_dict() == {("T", "A", frame): 1 for frame in range(6)}
    assert n_living([points[:1], points[1:]], fates).equals(living)  # however it is cut
    others = n_living([points.assign(population="N")], fates)
    assert others.sum() == 4  # of another population


def test_strangers_are_no_pieces() -> None:
    """Far away, too late, in another population, begun before the end: cells of their own."""
    still = [(f, 10.0) for f in range(20)]
    tracks = {1: [(f, 50 + f % 2) for f in range(5)], 2: still, 3: [(f, 51.0) for f in range(6, 9)]}
    tracks |= {4: [(f, 80.0) for f in range(7, 20)], 5: [(f, 52.0) for f in range(12, 20)]}
    rows = [
        {"track_id": t, "frame": f, "x_px": x, "y_px": 5.0}
        for t, at in tracks.items()
        for f, x in at
    ]
    table = pd.DataFrame(rows)
    points = schemas.filled(
        schemas.TrackPoints,
        {**table.to_dict("list"), "population": "T", "label": table["track_id"].tolist()},
    )
    ends = table.groupby("track_id")["frame"].agg(["min", "max"]).reset_index()
    reason = np.where(ends["max"] == 19, "film_end", "lost")
    ends = {"track_id": ends["track_id"], "first_frame": ends["min"], "last_frame": ends["max"]}
    tracks_ = schemas.filled(schemas.Tracks, {**ends, "population": "T", "end_reason": reason})
    columns = {
        "population": "T",
        "frame": table["frame"],
        "label": table["track_id"],
        "alive_probability": 0.9,
    }
    seen = schemas.filled(schemas.Viability, columns)

    def past(gap: int) -> dict[int, int]:
        caller = HysteresisDeaths(max_lost={"min": 0, "frames": gap})
        fates = caller(viability=seen, track_points=points, tracks=tracks_)["fates"]
        return fates.set_index("track_id")["past_track_id"].dropna().to_dict()

    assert past(3) == {3: 1, 5: 3}
    assert past(2) == {3: 1}
    assert past(0) == {}
