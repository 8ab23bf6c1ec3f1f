"""Kaplan-Meier with delayed entry against hand-worked and published tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.survival import (
    at_risk,
    contact_intervals,
    kaplan_meier,
    median,
    target_intervals,
)


def by_hand(entry: np.ndarray, leave: np.ndarray, event: np.ndarray) -> dict[float, float]:
    """Product over death times of (1 - deaths / those with entry < t <= leave)."""
    share, out = 1.0, {}
    for t in np.unique(leave[event]):
        risk = ((entry < t) & (t <= leave)).sum()
        share *= 1 - ((leave == t) & event).sum() / risk
        out[float(t)] = share
    return out


def test_freireich_6mp_published() -> None:
    # Freireich et al. 1963, 6-MP arm; estimates as in Klein & Moeschberger (2003), table 4.1
    t = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35])
    event = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    curve = kaplan_meier(np.zeros(21), t, event).set_index("time")
    want = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {k: round(curve.loc[k, "survival"], 3) for k in want} == want
    assert curve.loc[10, "at_risk"] == 15
    assert median(curve.reset_index()) == 23


def test_delayed_entry_worked_example() -> None:
    # at 2: three at risk (the one entering at 2 is not yet); at 4: three; at 5: two
    entry = np.array([0, 0, 2, 3, 0.0])
    leave = np.array([2, 5, 4, 5, 3.0])
    event = np.array([1, 1, 1, 0, 0], dtype=bool)
    curve = kaplan_meier(entry, leave, event).set_index("time")
    assert curve.loc[[0, 2, 4, 5], "survival"].tolist() == pytest.approx([1, 2 / 3, 4 / 9, 2 / 9])
    assert curve.loc[[2, 3, 4, 5], "at_risk"].tolist() == [3, 3, 3, 2]
    assert curve.loc[[2, 3, 4, 5], "events"].tolist() == [1, 0, 1, 1]
    # Greenwood on the log(-log) scale at 2: var log S = 1 / (3 * 2)
    half = 1.959964 * np.sqrt(1 / 6) / abs(np.log(2 / 3))
    limits = (2 / 3) ** np.exp([half, -half])
    assert curve.loc[2, ["lower", "upper"]].tolist() == pytest.approx(limits.tolist(), abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_random_delayed_entry_equals_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    entry = rng.integers(5, 25, 60).astype(float)
    entry[:20] = 5
    leave = entry + rng.integers(1, 30, 60)
    event = rng.random(60) < 0.4
    curve = kaplan_meier(entry, leave, event).set_index("time")["survival"]
    assert curve.index[0] == 5 and curve.iloc[0] == 1
    want = by_hand(entry, leave, event)
    assert curve[list(want)].tolist() == pytest.approx(list(want.values()))


def test_nothing_observed_and_median_not_reached() -> None:
    none = np.array([])
    assert kaplan_meier(none, none, none).empty
    assert np.isnan(median(kaplan_meier(none, none, none)))
    assert np.isnan(median(kaplan_meier(np.zeros(2), np.array([3, 4]), np.array([False, False]))))
    assert at_risk(
        np.array([0, 0, 2.0]), np.array([1, 5, 5.0]), np.array([0, 1, 2, 3])
    ).tolist() == [*(2, 2, 1, 2)]


def test_target_intervals_leave_out_what_was_not_watched() -> None:
    fates = pd.DataFrame(
        {
            "fov": "A",
            "population": ["C", "C", "C", "C", "T"],
            "track_id": [1, 2, 3, 4, 1],
            "first_frame": [0, 2, 0, 6, 0],
            "last_frame": [9, 9, 9, 6, 9],
            "dead_at_first_sight": [False, False, True, False, False],
            "died": [True, False, False, False, True],
            "death_frame": pd.array([4, None, None, None, 3], dtype="Int64"),
            "entry_min": [0.0, 5.0, 0.0, 15.0, 0.0],
            "exit_min": [10.0, 22.5, 22.5, 15.0, 7.5],
            "end_reason": "film_end",
        }
    )
    fates = schemas.conform(schemas.Fates, fates)
    roles = {"T": "effector", "C": "target"}
    rows, unit = target_intervals(fates, roles)
    assert unit == "min"
    assert rows[["track_id", "entry", "leave", "event"]].values.tolist() == [
        [1, 0.0, 10.0, True],
        [2, 5.0, 22.5, False],
    ]
    rows, unit = target_intervals(fates.assign(entry_min=np.nan), roles)
    assert unit == "frames"
    assert rows[["entry", "leave"]].values.tolist() == [[0.0, 4.0], [2.0, 9.0]]
    assert target_intervals(schemas.empty(schemas.Fates), roles)[0].empty


def test_contact_intervals_take_effector_target_bouts_seen_to_begin(assay: dict) -> None:
    bouts = assay["bouts"]
    same = bouts.assign(population_b="TCell")
    rows, unit = contact_intervals(pd.concat([bouts, same]), assay["roles"])
    seen = bouts[~bouts["censored_start"]]
    assert unit == "min" and len(rows) == len(seen) < len(bouts)
    assert (~rows["event"]).sum() == seen["censored_end"].sum()
    swapped = bouts.rename(columns={"population_a": "population_b", "population_b": "population_a"})
    assert len(contact_intervals(swapped, assay["roles"])[0]) == len(seen)
    rows, unit = contact_intervals(bouts.assign(duration_min=np.nan), assay["roles"])
    assert unit == "frames" and rows["duration"].tolist() == seen["n_frames"].tolist()


def test_curve_ends_where_nobody_is_left() -> None:
    """A second cohort that enters after the first has gone has nothing to go on from."""
    entry, leave = np.array([0.0, 0.0, 20.0]), np.array([14.0, 14.0, 22.0])
    censored = kaplan_meier(entry, leave, np.array([False, False, False]))
    assert (censored["survival"] == 1).all()
    assert censored["time"].max() == 14
    died = kaplan_meier(entry, leave, np.array([True, False, False]))
    assert died["survival"].iloc[-1] == pytest.approx(0.5)
