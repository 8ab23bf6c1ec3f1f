"""Tallies per effector and target of a film worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.bouts import Bouts
from cyto_kedro.algorithms.contacts.deaths import HysteresisDeaths
from cyto_kedro.algorithms.contacts.kills import KillShares
from cyto_kedro.algorithms.contacts.tallies import CellTallies

ROLES = {"N": "effector", "T": "target", "X": "other"}
# effector 1 touches target 1 in 2-5 (it dies in 6), target 2 in 10-11 (it dies in 13) and once more
# when it is dead; effector 2 touches target 2 in 11 only, and target 3, which lives, in 1-2 and 8
TOUCH = (
    [(f, "N", 1, "T", 1) for f in range(2, 6)]
    + [(f, "T", 2, "N", 1) for f in (10, 11, 17)]
    + [(11, "T", 2, "N", 2)]
    + [(f, "N", 2, "T", 3) for f in (1, 2, 8)]
)
DEATH = {("T", 1): 6, ("T", 2): 13, ("T", 4): 0, ("N", 3): 4}


def tally(make_points, make_tracks, make_contacts, interval_min=2.0, touch=TOUCH):
    cells = [("T", n) for n in (1, 2, 3, 4)] + [("N", n) for n in (1, 2, 3)]
    points = make_points(
        {cell: dict.fromkeys(range(20), (0.0, 50.0 * k)) for k, cell in enumerate(cells)},
        interval_min=interval_min,
    )
    dead = np.array(
        [
            frame >= DEATH.get((population, track), 99)
            for population, track, frame in points[["population", "track_id", "frame"]].to_numpy()
        ]
    )
    viability = points[["fov", "population", "frame"]].assign(
        label=points["label"].astype(np.int64), marker_signal=0.0, dead=dead,
        alive_probability=np.where(dead, 0.01, 0.99),
    )  # fmt: skip
    data = {"viability": viability, "dataframe": points, "tracks": make_tracks(points)}
    data |= {"contacts": make_contacts(touch, interval_min), "populations": ROLES}
    data["bouts"] = Bouts()(data)["bouts"]
    data |= HysteresisDeaths()(data)
    data |= KillShares(window_frames=30, half_life_min=None, half_life_frames=None, min_share=0)(
        data
    )
    data["time_min"] = None if interval_min is None else interval_min * np.arange(20)
    found = CellTallies()(data)
    schemas.check(schemas.EffectorTallies, found["effectors"])
    schemas.check(schemas.TargetTallies, found["targets"])
    return [found[name].set_index("track_id") for name in ("effectors", "targets")] + [data]


def test_effectors(make_points, make_tracks, make_contacts):
    table, _, data = tally(make_points, make_tracks, make_contacts)
    assert table.index.tolist() == [1, 2, 3]
    assert table["n_targets"].tolist() == [2, 2, 0]
    assert table["n_bouts"].tolist() == [2, 3, 0]  # that with the dead target is none
    assert table["contact_frames"].tolist() == [6, 4, 0]
    assert table["contact_min"].tolist() == [12, 8, 0]
    assert table["kills"].tolist() == pytest.approx([1 + 2 / 3, 1 / 3, 0])
    assert table["kills"].sum() == pytest.approx((data["deaths"]["n_killers"] > 0).sum())
    assert table["n_victims"].tolist() == [2, 0, 0]
    assert table["serial_killer"].tolist() == [True, False, False]
    assert table["died"].tolist() == [False, False, True]
    assert table["last_frame"].tolist() == [19, 19, 4]
    assert table["observed_min"].tolist() == [38, 38, 8]
    first = table.loc[1]
    # from 2 to 6 and from 10 to 13, in frames; let go in 5, next touched in 10
    assert first["first_contact_to_death_min"] == pytest.approx((8 + 6) / 2)
    assert first["search_min"] == pytest.approx(10)
    assert first["bouts_per_kill"] == pytest.approx(2 / (5 / 3))
    assert first["kills_per_h"] == pytest.approx(5 / 3 / 38 * 60)
    assert first["kills_per_contact_h"] == pytest.approx(5 / 3 / 12 * 60)
    assert table.loc[2:, ["search_min", "first_contact_to_death_min"]].isna().all(axis=None)


def test_a_next_victim_that_was_touched_before_took_no_search(
    make_points, make_tracks, make_contacts
):
    """Effector 1 lets go of target 1 in frame 5, and has had target 2 since frame 4."""
    touch = [(f, "N", 1, "T", 1) for f in range(2, 6)] + [(f, "N", 1, "T", 2) for f in range(4, 12)]
    table, _, _ = tally(make_points, make_tracks, make_contacts, touch=touch)
    assert table["n_victims"].tolist() == [2, 0, 0]
    assert table["search_min"].fillna(-1).tolist() == [0, -1, -1]


def test_a_minute_at_two_targets_is_one_minute_of_touching(make_points, make_tracks, make_contacts):
    both = [*TOUCH, *((f, "N", 2, "T", 1) for f in (1, 2))]  # it is at target 3 in these frames
    table, _, _ = tally(make_points, make_tracks, make_contacts, touch=both)
    assert table["contact_min"].tolist() == [12, 12, 0]
    assert table["touching_min"].tolist() == [12, 8, 0]


def test_targets(make_points, make_tracks, make_contacts):
    _, table, _ = tally(make_points, make_tracks, make_contacts)
    assert table["fate"].tolist() == ["killed", "killed", "alive", "dead_at_first_sight"]
    assert table["n_effectors"].tolist() == [1, 2, 1, 0]
    assert table["n_hits"].tolist() == [1, 2, 2, 0]
    assert table["contact_frames"].tolist() == [4, 3, 3, 0]
    assert table["contact_min"].tolist() == [8, 6, 6, 0]
    assert table["first_contact_frame"].tolist() == [2, 10, 1, pd.NA]
    assert table["first_contact_to_death_min"][:2].tolist() == [8, 6]
    assert table["last_contact_to_death_min"][:2].tolist() == [2, 4]
    assert table["observed_min"].tolist()[:3] == [12, 26, 38] and np.isnan(table["observed_min"][4])
    assert table["n_killers"].tolist() == [1, 2, 0, 0]


def test_uncalibrated_time_is_null(make_points, make_tracks, make_contacts):
    effectors, targets, _ = tally(make_points, make_tracks, make_contacts, None)
    for table in (effectors, targets):
        minutes = [name for name in table if name.endswith(("_min", "_per_h", "_contact_h"))]
        assert table[minutes].isna().all(axis=None)
    assert effectors["contact_frames"].tolist() == [6, 4, 0]
    assert effectors["kills"].sum() == pytest.approx(2)


def test_no_cells_at_all():
    names = ("fates", "deaths", "kills", "contacts", "bouts")
    data = {name: schemas.empty(schemas.TABLES[name]) for name in names}
    found = CellTallies()({**data, "populations": ROLES, "time_min": np.arange(3.0)})
    for name, table in (("effectors", schemas.EffectorTallies), ("targets", schemas.TargetTallies)):
        assert not len(schemas.check(table, found[name]))
