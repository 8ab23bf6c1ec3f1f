"""Encounters by hand, dwell times against a Kaplan-Meier estimate worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.bouts import Bouts
from cyto_kedro.algorithms.contacts.encounters import DwellSurvival, Encounters

STILL = (5.0, 5.0)


def bouts_of(contacts, points, **fields):
    return Bouts(**fields)({"contacts": contacts, "dataframe": points})["bouts"]


def encounters_of(contacts, points, **fields):
    data = {"bouts": bouts_of(contacts, points, **fields), "dataframe": points}
    return schemas.check(schemas.Encounters, Encounters()(data)["encounters"])


def test_a_pair_by_hand(make_points, make_contacts):
    points = make_points(
        {
            ("T", 1): {f: STILL for f in range(30) if f != 20},
            ("C", 1): dict.fromkeys(range(25), STILL),
        }
    )
    contacts = make_contacts([(f, "T", 1, "C", 1) for f in (3, 4, 6, 10, 24)])
    (row,) = encounters_of(contacts, points, max_gap_frames=1).to_dict("records")
    assert (row["first_contact_frame"], row["first_contact_min"]) == (3, 6.0)
    assert not row["first_contact_censored"]
    assert (row["last_contact_frame"], row["n_bouts"]) == (24, 3)
    assert (row["contact_frames"], row["contact_min"]) == (5, 8 + 2 + 2)  # frame 5 is bridged
    assert (row["mean_recontact_frames"], row["mean_recontact_min"]) == (9.0, 18.0)  # 4 and 14
    assert (row["joint_frames"], row["joint_min"]) == (24, 48.0)  # 25 less frame 20
    assert row["contact_share"] == 5 / 24
    assert row["bouts_per_hour"] == pytest.approx(3 / 0.8)


def test_pairs_do_not_mix_and_no_contact_is_no_row(make_points, make_contacts):
    points = make_points({(p, n): dict.fromkeys(range(5), STILL) for p in "TC" for n in (1, 2)})
    contacts = make_contacts([(0, "T", 1, "C", 2), (2, "T", 2, "C", 1), (4, "T", 2, "T", 1)])
    table = encounters_of(contacts, points)
    assert table["n_bouts"].tolist() == [1, 1, 1]
    assert table["first_contact_censored"].sum() == 1
    assert table["mean_recontact_min"].isna().all()
    assert len(encounters_of(make_contacts([]), points)) == 0
    untimed = make_points({(p, 1): {0: STILL} for p in "TC"}, interval_min=None)
    table = encounters_of(make_contacts([(0, "T", 1, "C", 1)], interval_min=None), untimed)
    names = ["first_contact_min", "contact_min", "joint_min", "bouts_per_hour"]
    assert table[names].isna().all(axis=None) and table["joint_frames"].tolist() == [1]


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_encounters_conserve_contact_frames(seed):
    rng = np.random.default_rng(seed)
    n, tracks = 12, [("T", 1), ("T", 2), ("C", 1), ("C", 2)]
    seen = {track: set(np.flatnonzero(rng.random(n) < 0.8)) or {0} for track in tracks}
    points = pd.DataFrame(
        [(*track, f) for track, frames in seen.items() for f in frames],
        columns=["population", "track_id", "frame"],
    ).assign(fov="A", label=1, interpolated=False, x_px=0.0, y_px=0.0, x_um=0.0, y_um=0.0)
    points = schemas.conform(schemas.TrackPoints, points.assign(time_min=2.0 * points["frame"]))
    rows, joint = [], {}
    for i, a in enumerate(tracks):
        for b in tracks[i + 1 :]:
            both = seen[a] & seen[b]
            joint[*a, *b] = len(both)
            rows += [(f, *a, *b) for f in both if rng.random() < 0.4]
    columns = ["frame", "population_a", "track_id_a", "population_b", "track_id_b"]
    contacts = pd.DataFrame(rows, columns=columns)
    contacts = contacts.assign(fov="A", time_min=2.0 * contacts["frame"])
    table = encounters_of(contacts, points, max_gap_frames=int(rng.integers(0, 3)))
    number = contacts.groupby(columns[1:]).size()
    mine = table.set_index(columns[1:])
    assert mine["contact_frames"].to_dict() == number.to_dict()
    assert mine["joint_frames"].to_dict() == {key: joint[key] for key in number.index}
    first = contacts.groupby(columns[1:])["frame"].min()
    assert mine["first_contact_frame"].to_dict() == first.to_dict()


def dwell(rows, **fields):
    """Curves of (fov, duration_min, censored_start, censored_end) of T and C."""
    names = ["fov", "duration_min", "censored_start", "censored_end"]
    bouts = pd.DataFrame(rows, columns=names).assign(
        population_a="T", population_b="C", track_id_a=1, track_id_b=np.arange(len(rows)) + 1,
        bout=1, start_frame=0, end_frame=0, n_contact_frames=1, start_min=0.0,
        n_frames=[int(row[1]) if row[1] == row[1] else 3 for row in rows],
    )  # fmt: skip
    fields_table = pd.DataFrame({"fov": ["A", "B"], "condition": ["x", "x"]})
    found = DwellSurvival(**fields)({"bouts": bouts, "fields": fields_table})["dwell"]
    return schemas.check(schemas.Dwell, found)


ROWS = [
    ("A", 2.0, False, False),
    ("A", 4.0, False, True),
    ("A", 6.0, False, False),
    ("B", 6.0, False, False),
    ("B", 8.0, False, True),
    ("B", 30.0, True, False),
]


def test_dwell_times_by_hand():
    table = dwell(ROWS)
    assert table["level"].unique().tolist() == ["condition", "fov"]
    pooled = table[table["level"] == "condition"]
    assert pooled["time_min"].tolist() == [0, 2, 4, 6, 8]
    # 5 bouts begin in view: 4/5 outlast 2 min; 3 are left at 6 min, of which 1 lasts on
    np.testing.assert_allclose(pooled["survival"], [1, 0.8, 0.8, 0.8 / 3, 0.8 / 3])
    assert pooled["n_at_risk"].tolist() == [5, 5, 4, 3, 1]
    assert set(pooled["n_bouts"]) == {5} and set(pooled["n_left_out"]) == {1}
    inside = (pooled["survival_low"] <= pooled["survival"]) & (
        pooled["survival"] <= pooled["survival_high"]
    )
    assert inside.all()
    # Greenwood, log-log, of the first step: exp(+-1.96 sd) on -log(0.8), sd² = (1/(5·4)) / log(0.8)²
    sd = np.sqrt(1 / 20) / abs(np.log(0.8))
    expected = 0.8 ** np.exp([1.959964 * sd, -1.959964 * sd])
    row = pooled.iloc[1]
    np.testing.assert_allclose([row["survival_low"], row["survival_high"]], expected, rtol=1e-5)
    assert table[table["level"] == "fov"].groupby("group").size().to_dict() == {"A": 4, "B": 3}


def test_bouts_under_way_can_be_counted_as_new():
    table = dwell(ROWS, unseen_start="count_as_new")
    assert set(table.loc[table["level"] == "condition", "n_bouts"]) == {6}
    assert table["time_min"].max() == 30


def test_dwell_times_of_exponential_bouts_in_a_short_film():
    """Leaving out bouts under way at the start is unbiased; to count them as new is not needed."""
    rng = np.random.default_rng(3)
    start, last = rng.uniform(-200, 60, 6000), 60.0
    length = rng.gamma(4, 5, 6000)  # mean 20 min, not memoryless
    met = (start + length > 0) & (start < last)
    start, length = start[met], length[met]
    duration = np.minimum(start + length, last) - np.maximum(start, 0)
    rows = list(zip(["A"] * len(start), duration, start < 0, start + length > last, strict=True))
    truth = (np.sort(rng.gamma(4, 5, 100_000)) > 20).mean()

    def at_20(**fields):
        curve = dwell(rows, **fields)
        curve = curve[(curve["level"] == "fov") & (curve["time_min"] <= 20)]
        return curve["survival"].iloc[-1]

    assert abs(at_20() - truth) < 0.04
    assert abs(at_20(unseen_start="count_as_new") - truth) > 0.04


def test_dwell_ordinary_cases():
    only = dwell([("A", 30.0, True, False)])
    assert only["survival"].tolist() == [1, 1] and set(only["n_bouts"]) == {0}
    untimed = dwell([("A", np.nan, False, False), ("A", np.nan, False, True)])
    assert untimed["time_min"].isna().all() and untimed["time_frames"].max() == 3
    empty = {"bouts": schemas.empty(schemas.Bouts), "fields": pd.DataFrame({"fov": ["A"]})}
    assert len(schemas.check(schemas.Dwell, DwellSurvival()(empty)["dwell"])) == 0


def test_a_field_without_times_does_not_put_its_condition_in_frames():
    """Truth: the curve of the timed field alone; a blank condition is one of its own."""
    met = {"population_a": "N", "population_b": "T", "track_id_a": [1, 2, 3]}
    timed = schemas.filled(
        schemas.Bouts, met | {"fov": "A", "duration_min": [2.0, 4.0, 6.0], "n_frames": [1, 2, 3]}
    )
    untimed = timed.assign(fov="B", duration_min=np.nan, n_frames=[50, 60, 70])
    fields = pd.DataFrame({"fov": ["A", "B"], "condition": "x"})
    alone = DwellSurvival()(bouts=timed, fields=fields)["dwell"]
    both = DwellSurvival()(bouts=pd.concat([timed, untimed]), fields=fields)["dwell"]
    found, truth = (each[each["level"] == "condition"] for each in (both, alone))
    columns = ["time_min", "time_frames", "n_at_risk", "survival", "n_bouts"]
    pd.testing.assert_frame_equal(
        found[columns].reset_index(drop=True), truth[columns].reset_index(drop=True)
    )
    assert set(found["n_left_out"]) == {3}
    own = both[(both["level"] == "fov") & (both["group"] == "B")]
    assert own["time_frames"].max() == 70 and own["time_min"].isna().all()
    blank = fields.assign(condition=["x", None])
    named = DwellSurvival()(bouts=pd.concat([timed, untimed]), fields=blank)["dwell"]
    assert set(named.loc[named["level"] == "condition", "group"]) == {"x", "(no condition)"}
