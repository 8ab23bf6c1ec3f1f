"""Time at risk: a pause of the film is nobody's. Truth: the same film with the pause cut out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.contact import ContactHazards, ContactSurvival
from cyto_kedro.algorithms.comparison.replicates import ReplicateValues
from cyto_kedro.algorithms.comparison.survival import LostBounds, SurvivalCurves
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.groups import design
from cyto_kedro.core.watched import common_end, film_ends, watched, without_pauses

ROLES = {"N": "effector", "T": "target"}
DT, PAUSE = 2.0, 60.0
BEFORE = 10  # the film pauses after this frame


def film(paused: bool, fov: str, n: int = 40, offset: float = 3.0) -> pd.DataFrame:
    time = offset + DT * np.arange(n)
    time[BEFORE + 1 :] += PAUSE if paused else 0.0
    rows = {"fov": fov, "frame": np.arange(n), "time_s": 60 * time, "excluded": False}
    return pd.DataFrame(rows)


def assay(paused: bool) -> dict[str, Any]:
    """Two conditions of three wells; only the wells of one condition pause."""
    rng = np.random.default_rng(3)
    fields, frames, fates, bouts = [], [], [], []
    for condition in ("calm", "paused"):
        for replicate in range(3):
            fov = f"{condition}{replicate}"
            film_of = film(paused and condition == "paused", fov)
            minute = film_of["time_s"].to_numpy() / 60
            n = 30
            entry = rng.integers(0, 6, n)
            leave = np.minimum(entry + 1 + rng.geometric(0.05, n), 39)
            died = leave < 39
            start = entry + rng.integers(1, 12, n)
            table = pd.DataFrame({"fov": fov, "population": "T", "track_id": np.arange(1, n + 1)})
            table = table.assign(
                first_frame=entry,
                last_frame=leave,
                died=died,
                dead_at_first_sight=False,
                entry_min=minute[entry],
                exit_min=minute[leave],
                end_reason="lost",
                death_frame=pd.array(leave, dtype="Int64"),
            )
            table.loc[~died, "death_frame"] = pd.NA
            met = start < leave
            touched = {"population_a": "N", "track_id_a": 1, "population_b": "T"}
            touched |= {"track_id_b": table["track_id"][met], "start_frame": start[met]}
            touched |= {"end_frame": start[met], "n_frames": 1, "start_min": minute[start[met]]}
            bouts.append(schemas.filled(schemas.Bouts, touched | {"duration_min": DT, "fov": fov}))
            fates.append(schemas.conform(schemas.Fates, table))
            frames.append(film_of)
            fields.append({"fov": fov, "condition": condition, "replicate": fov})
    motility, kills, points = (
        schemas.empty(schemas.TABLES[name]) for name in ("motility", "kills", "track_points")
    )
    return {
        "frames": pd.concat(frames, ignore_index=True),
        "fates": pd.concat(fates, ignore_index=True),
        "bouts": pd.concat(bouts, ignore_index=True),
        "design": design(pd.DataFrame(fields)),
        "populations": ROLES, "motility": motility, "kills": kills, "track_points": points,
    }  # fmt: skip


@pytest.mark.parametrize(
    "maker, name",
    [
        (SurvivalCurves(), "survival_curves"),
        (LostBounds(), "survival_bounds"),
        (ContactSurvival(min_at_risk=3), "contact_survival"),
        (ContactHazards(terms=("in_contact",), lasting_min=6.0), "hazards"),
        (ReplicateValues(), "replicate_summaries"),
    ],
)
def test_every_estimate_is_that_of_the_film_with_the_pause_cut_out(maker: Any, name: str) -> None:
    found, cut_out = (maker(assay(paused))[name] for paused in (True, False))
    assert len(found)
    pd.testing.assert_frame_equal(found, cut_out, rtol=1e-9)


def test_the_rate_of_death_divides_by_the_minutes_of_frames_that_were_filmed() -> None:
    data = assay(True)
    made = ReplicateValues()(data)["replicate_summaries"]
    rate = made[made["measure"] == "death_rate"].set_index("replicate")["value"]
    for fov, mine in data["fates"].groupby("fov"):
        hours = DT * (mine["last_frame"] - mine["first_frame"]).sum() / 60
        assert rate[fov] == pytest.approx(mine["died"].sum() / hours, rel=1e-12)


def test_a_pause_stands_for_one_interval_and_fields_without_times_keep_theirs() -> None:
    frames = pd.concat([film(True, "A"), film(False, "B"), film(True, "C").assign(time_s=np.nan)])
    minutes = pd.Series([23.0, 24.0, 30.0, 85.0, 87.0])
    for fov, shown in (("A", [23.0, 24.0, 25.0, 25.0, 27.0]), ("B", minutes), ("C", minutes)):
        found = without_pauses(pd.Series(fov, minutes.index), minutes, frames)
        assert found.tolist() == pytest.approx(list(shown))
    assert film_ends(frames, "min").dropna().to_dict() == {"A": 81.0, "B": 81.0}
    clock = Clock.of_times(film(True, "A")["time_s"] / 60)
    assert clock.watched_min(np.arange(40)) == pytest.approx(DT * np.arange(40))


def test_a_film_without_a_pause_keeps_its_times_to_the_last_digit() -> None:
    rng = np.random.default_rng(0)
    data = assay(False)
    jitter = np.sort(rng.normal(0, 5, len(data["frames"])))
    frames = data["frames"].assign(time_s=data["frames"]["time_s"] + jitter)
    pd.testing.assert_frame_equal(watched(data["fates"], frames)[0], watched(data["fates"])[0])


def test_rates_of_films_of_different_length_are_over_the_time_that_all_have() -> None:
    """Truth: the longer films cut to the length of the shorter ones."""
    data = assay(False)
    late = data["design"].loc[data["design"]["condition"] == "paused", "fov"]
    last = 19
    short = {**data, "frames": data["frames"][data["frames"]["frame"] <= last]}
    frames, fates = data["frames"], data["fates"]
    cut = {**data, "frames": frames[(frames["frame"] <= last) | ~frames["fov"].isin(late)]}

    def ended(fates: pd.DataFrame) -> pd.DataFrame:
        fates = fates[fates["first_frame"] < last].copy()
        over = fates["last_frame"] > last
        fates.loc[over, ["died", "death_frame"]] = False, pd.NA
        fates["last_frame"] = fates["last_frame"].clip(upper=last)
        fates["exit_min"] = fates["exit_min"].clip(upper=3.0 + DT * last)
        return fates

    short["fates"] = ended(fates)
    of_late = fates["fov"].isin(late)
    cut["fates"] = pd.concat([fates[~of_late], ended(fates[of_late])])
    found, truth = (ReplicateValues()(each)["replicate_summaries"] for each in (cut, short))
    for measure in ("death_rate", "first_contact_rate"):
        one, other = (
            table[table["measure"] == measure].set_index("replicate") for table in (found, truth)
        )
        assert one["value"].to_dict() == pytest.approx(other["value"].to_dict(), rel=1e-9)
        assert one["statistic"].str.endswith("to 41 min, which all replicates reach").all()
        assert not other["statistic"].str.contains("reach").any()


def test_kills_and_hours_end_with_the_shortest_film() -> None:
    frames = pd.concat([film(False, "A", n=11, offset=0.0), film(False, "B", n=31, offset=0.0)])
    design_of = design(pd.DataFrame({"fov": ["A", "B"], "condition": ["x", "y"]}))
    points = {"population": "N", "track_id": 1, "label": 1}
    points = pd.concat(
        schemas.filled(schemas.TrackPoints, points | {"fov": fov, "frame": np.arange(n)})
        for fov, n in (("A", 11), ("B", 31))
    )
    kills = {"fov": ["A", "B", "B"], "target_population": "T", "target_track_id": [1, 1, 2]}
    kills |= {"effector_population": "N", "effector_track_id": 1, "share": 1.0}
    kills = schemas.filled(schemas.Kills, kills | {"death_frame": [10, 10, 11]})
    fates = schemas.filled(
        schemas.Fates, {"fov": ["A", "B"], "population": "N", "track_id": 1, "last_frame": [10, 30]}
    )
    data = assay(False) | {"frames": frames, "design": design_of, "track_points": points}
    data |= {"kills": kills, "fates": fates, "bouts": schemas.empty(schemas.Bouts)}
    made = ReplicateValues()(data)["replicate_summaries"]
    rates = made[made["measure"] == "kills_per_effector_per_hour"].set_index("replicate")["value"]
    assert rates.to_dict() == pytest.approx({"A": 3.0, "B": 3.0})  # one kill in 20 minutes


def test_excluded_last_frames_end_a_film_earlier() -> None:
    frames = pd.concat([film(False, fov, n=11, offset=0.0) for fov in "AB"])
    design_of = design(pd.DataFrame({"fov": ["A", "B"], "condition": ["x", "y"]}))
    assert common_end(frames, design_of, "min") is None
    late = (frames["fov"] == "B") & (frames["frame"] > 4)
    cut = frames.assign(excluded=frames["excluded"] | late)
    expected = common_end(frames[~late], design_of, "min")
    assert expected is not None and common_end(cut, design_of, "min") == expected
    assert film_ends(cut, "frames").to_dict() == {"A": 10, "B": 4}
