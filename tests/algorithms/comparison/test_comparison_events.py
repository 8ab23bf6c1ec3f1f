"""Columns around events and the events' curves, by hand and against lifelines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from scipy import stats

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.events import EventSignals, FollowEvents
from cyto_kedro.core.groups import design
from cyto_kedro.errors import ConfigError

ROLES = {"TCell": "effector", "CancerCell": "target"}
CELL = ["fov", "population", "track_id"]


def field(signal: dict[int, list[float]], fov: str = "A1") -> dict[str, Any]:
    """Effectors that glow by `signal`, track -> value per frame; two targets; frames of 2 min."""
    rows = [
        (fov, "TCell", track, frame, 2.0 * frame, track, value)
        for track, values in signal.items()
        for frame, value in enumerate(values)
    ]
    rows += [(fov, "CancerCell", t, f, 2.0 * f, t, 0.0) for t in (1, 2) for f in range(6)]
    names = [*CELL, "frame", "time_min", "label", "glow"]
    table = pd.DataFrame(rows, columns=names)
    points = schemas.filled(
        schemas.TrackPoints, table.drop(columns="glow").assign(x_px=0.0, y_px=0.0)
    )
    return {"track_points": points.assign(glow=table["glow"]), "populations": ROLES}


def follow(data: dict[str, Any], **args: Any) -> dict[str, pd.DataFrame]:
    made = FollowEvents(columns=("glow",), **args)(data)
    schemas.check(schemas.EventTimes, made["event_times"])
    schemas.check(schemas.EventSums, made["event_sums"])
    return made


def test_the_first_frame_in_which_a_condition_holds() -> None:
    data = field({1: [0, 0, 5, 9, 9], 2: [7, 7, 7, 7, 7], 3: [0, 0, 0, 0, 1], 4: [0, 5, 0, 5, 5]})
    times = follow(data, define={"on": "glow > 4"})["event_times"].query("event == 'on'")
    times = times[times["population"] == "TCell"].set_index("track_id")
    assert times["frame"].astype("float").to_dict() == pytest.approx(
        {1: 2, 2: np.nan, 3: np.nan, 4: 1}, nan_ok=True
    )
    assert times["at_first_sight"].to_dict() == {1: False, 2: True, 3: False, 4: False}
    assert times["exit_min"].to_dict() == {1: 4.0, 2: 8.0, 3: 8.0, 4: 2.0}
    longer = follow(data, define={"on": "glow > 4"}, min_frames=2)["event_times"]
    longer = longer.query("event == 'on' and population == 'TCell'").set_index("track_id")["frame"]
    assert (longer[1], longer[4]) == (2, 3)  # one frame at 1 is not two in a row


def test_sums_by_the_time_from_the_event() -> None:
    data = field({1: [0, 0, 5, 9, 9], 4: [0, 5, 1, 2, 3]})
    sums = follow(data, define={"on": "glow > 4"}, window={"min": 4.0})["event_sums"]
    sums = sums.set_index("lag_min")
    assert sums["sum"].to_dict() == {-4.0: 0, -2.0: 0, 0.0: 10, 2.0: 10, 4.0: 11}
    assert sums["n"].to_dict() == {-4.0: 1, -2.0: 2, 0.0: 2, 2.0: 2, 4.0: 2}
    assert sums.loc[4.0, "squares"] == 81 + 4 and sums.loc[4.0, "lag_frames"] == 2


def test_contact_death_and_kill_are_read_off_the_tables() -> None:
    data = field({1: [0.0] * 6, 2: [0.0] * 6, 3: [0.0] * 6})
    bouts = [(1, 1, 3, False), (1, 2, 1, True), (2, 2, 4, False), (3, 1, 5, False)]
    bouts = pd.DataFrame(
        bouts, columns=["track_id_a", "track_id_b", "start_frame", "censored_start"]
    )
    names = {"fov": "A1", "population_a": "TCell", "population_b": "CancerCell"}
    data["bouts"] = schemas.filled(schemas.Bouts, bouts.assign(**names))
    gone = pd.DataFrame({"fov": "A1", "population": "CancerCell", "track_id": [1], "frame": [4]})
    data["deaths"] = schemas.filled(schemas.Deaths, gone)
    shares = {
        "effector_track_id": [1, 2],
        "share": [0.7, 0.3],
        "target_track_id": 1,
        "death_frame": 4,
    }
    names = {"fov": "A1", "effector_population": "TCell", "target_population": "CancerCell"}
    data["kills"] = schemas.filled(schemas.Kills, pd.DataFrame(shares).assign(**names))
    times = follow(data)["event_times"].set_index(["event", "population", "track_id"])
    frames = times["frame"].astype(float)
    assert times.loc[("contact", "TCell", 1), "at_first_sight"]  # one was under way when first seen
    assert frames["contact", "TCell", 2] == 4 and frames["contact", "TCell", 3] == 5
    assert frames["contact", "CancerCell", 1] == 3
    assert (
        frames["death", "CancerCell", 1] == 4 and not times.loc[("death", "TCell", 1), "happened"]
    )
    assert frames["kill", "TCell", 1] == 4 and np.isnan(frames["kill", "TCell", 2])
    # after its death a target has no contact: it was watched until then
    assert times.loc[("kill", "CancerCell", 1), "exit_min"] == 8.0


def test_unknown_columns_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"comparison.events: unknown column 'glo'.*glow"):
        FollowEvents(columns=("glo",))(field({1: [1.0]}))


def assay() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    parts = []
    for fov in ("A1", "A2", "A3"):
        signal = {t: list(rng.random(6) + (np.arange(6) > rng.integers(1, 9))) for t in range(1, 9)}
        parts.append(FollowEvents(columns=("glow",), define={"on": "glow > 1"})(field(signal, fov)))
    sheet = pd.DataFrame({"fov": ["A1", "A2", "A3"], "condition": "drug", "replicate": list("123")})
    joined = {n: pd.concat(each[n] for each in parts) for n in ("event_times", "event_sums")}
    return joined | {"design": design(sheet)}


def test_conditions_are_means_of_replicates_with_t_limits() -> None:
    data = assay()
    signals = EventSignals(min_tracks=1)(data)["event_signals"]
    schemas.check(schemas.EventSignals, signals)
    sums = data["event_sums"].query("event == 'on' and population == 'TCell'")
    means = (sums["sum"] / sums["n"]).groupby([sums["lag_min"], sums["fov"]]).sum()
    mine = signals.query("event == 'on' and population == 'TCell' and replicate == '(all)'")
    assert len(mine) > 3
    for row in mine.to_dict("records"):
        each = means[row["lag_min"]]
        low, high = stats.t.interval(0.95, 2, each.mean(), stats.sem(each))
        assert row["mean"] == pytest.approx(each.mean()) and row["n_replicates"] == 3
        assert (row["low"], row["high"]) == pytest.approx((low, high))


def test_the_curve_of_an_event_is_lifelines() -> None:
    data = assay()
    curves = EventSignals()(data)["event_curves"]
    schemas.check(schemas.EventCurves, curves)
    times = data["event_times"].query(
        "event == 'on' and population == 'TCell' and not at_first_sight"
    )
    fit = KaplanMeierFitter().fit(times["exit_min"], times["happened"], entry=times["entry_min"])
    mine = curves.query("event == 'on' and population == 'TCell' and replicate == '(all)'")
    assert mine["estimate"].to_numpy() == pytest.approx(
        fit.predict(mine["time_min"].to_numpy()).to_numpy()
    )
    assert mine["events"].sum() == times["happened"].sum() > 3
