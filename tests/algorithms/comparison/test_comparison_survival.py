"""Curves per condition and replicate, bounds for lost tracks, and what must leave them unchanged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killing_tables import bouts_of, fates_of, killing

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.comparison.contact import ContactHazards, ContactSurvival
from cyto_kedro.algorithms.comparison.episodes import episodes, spells
from cyto_kedro.algorithms.comparison.survival import LostBounds, SurvivalCurves
from cyto_kedro.core.groups import design
from cyto_kedro.core.watched import watched
from cyto_kedro.errors import ConfigError
from cyto_kedro.registry import build


def whole(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["replicate"] == "(all)"]


def with_frames(fates: pd.DataFrame, n_frames: int = 10) -> dict:
    fovs = sorted(fates["fov"].unique())
    frames = pd.DataFrame(
        {"fov": np.repeat(fovs, n_frames), "frame": [*range(n_frames)] * len(fovs)}
    )
    frames["time_s"] = frames["frame"] * 120.0
    return {"fates": fates, "frames": frames, "design": design(pd.DataFrame({"fov": fovs}))}


def test_curves_per_condition_and_replicate() -> None:
    assay = killing(0, 2.0, {"control": 1.0, "treated": 3.0}, n_replicates=3, n_cells=40)
    table = schemas.check(schemas.SurvivalCurves, SurvivalCurves()(assay)["survival_curves"])
    assert table["replicate"].nunique() == 7 and table["time_frames"].isna().all()
    last = whole(table).groupby(["condition", "kind"]).last()["estimate"]
    assert last[("treated", "survival")] < last[("control", "survival")]
    # of independent cells exp(-H) and S are nearly one
    both = whole(table).pivot_table(
        index=["condition", "time_min"], columns="kind", values="estimate"
    )
    assert np.abs(np.exp(-both["cumulative_hazard"]) - both["survival"]).max() < 0.02
    # wells differ: the band by replicate is the wider one
    inner = whole(table)[whole(table)["estimate"].between(0.1, 0.6)]
    wide = inner["high_clustered"] - inner["low_clustered"]
    assert (wide > inner["high"] - inner["low"]).mean() > 0.9
    ones = table[table["replicate"] != "(all)"]
    assert ones["low_clustered"].isna().all() and ones["low"].notna().any()
    assert table["few_at_risk"].tolist() == (table["at_risk"] < 10).tolist()


def test_bounds_worked_example() -> None:
    # minutes: 1 dies at 8, 2 lost at 4, 3 lost at 12, 4 leaves by the border at 6, 5 to the end
    fates = fates_of(
        [0] * 5,
        [4, 2, 6, 3, 9],
        [True, False, False, False, False],
        end_reason=["film_end", "lost", "merge", "border", "film_end"],
    )
    table = LostBounds()(with_frames(fates))["survival_bounds"]
    table = whole(schemas.check(schemas.SurvivalBounds, table)).set_index("time_min")
    assert table.loc[18, ["estimate", "all_lost_died", "none_lost_died"]].tolist() == pytest.approx(
        # at risk at 8: three, of them one dies; all: 4/5 at 4, 2/3 at 8, 1/2 at 12; none: 3/4 at 8
        [2 / 3, 4 / 5 * 2 / 3 * 1 / 2, 3 / 4]
    )
    assert table["n_lost"].tolist() == [0, 1, 1, 1, 2, 2] and (table["n_cells"] == 5).all()
    left = LostBounds(lost=("border",))(with_frames(fates))["survival_bounds"]
    assert whole(left)["n_lost"].max() == 1
    with pytest.raises(ConfigError, match="unknown end reason 'gone'"):
        build("comparison", "LostBounds", {"lost": ["gone"]})


def test_ordinary_cases() -> None:
    nobody = with_frames(fates_of([0], [9], [False])) | {"fates": schemas.empty(schemas.Fates)}
    for algorithm, name in (
        (SurvivalCurves(), "survival_curves"),
        (LostBounds(), "survival_bounds"),
    ):
        table = algorithm(nobody)[name]
        assert table.empty and [*schemas.dtypes(schemas.TABLES[name])] == [*table.columns]
        one = with_frames(fates_of([0], [9], [True]))
        assert whole(algorithm(one)[name])["estimate"].min() == 0 or name == "survival_bounds"
        untimed = one | {"fates": one["fates"].assign(entry_min=np.nan, exit_min=np.nan)}
        table = algorithm(untimed)[name]
        assert table["time_min"].isna().all() and table["time_frames"].max() == 9
        schemas.check(schemas.TABLES[name], table)
    # a film of one frame: nobody was ever at risk
    still = with_frames(fates_of([0, 0], [0, 0], [False, False]), n_frames=1)
    assert SurvivalCurves()(still)["survival_curves"].empty
    dead = fates_of([0, 0], [5, 9], [True, False], dead_at_first_sight=[False, True])
    table = SurvivalCurves()(with_frames(dead))["survival_curves"]
    assert table["at_risk"].max() == 1


@st.composite
def cells(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fates and bouts of up to 25 targets in two fields."""
    n = draw(st.integers(2, 20))
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    entry = rng.integers(0, 6, n)
    leave = entry + rng.integers(0, 14, n)
    reasons = rng.choice(["film_end", "lost", "border"], n)
    fov = rng.choice(["A", "B"], n)
    fates = fates_of(entry, leave, rng.random(n) < 0.5, fov, end_reason=reasons)
    m = rng.integers(0, 3 * n)
    cell = rng.integers(1, n + 1, m)
    start = rng.integers(0, 20, m)
    stop = start + rng.integers(0, 5, m)
    return fates, bouts_of(cell, start, stop, fov[cell - 1], effector=rng.integers(1, 5, m))


def outcome(
    fates: pd.DataFrame, bouts: pd.DataFrame, *algorithms: Algorithm
) -> dict[str, pd.DataFrame]:
    data = with_frames(fates, 40) | {
        "bouts": bouts,
        "reference": None,
        "populations": {"TCell": "effector", "CancerCell": "target"},
    }
    data["design"] = design(
        pd.DataFrame({"fov": ["A", "B"], "condition": "x", "replicate": ["1", "2"]})
    )
    found = {}
    for algorithm in algorithms:
        found |= algorithm(data)
    return found


@settings(max_examples=4)
@given(cells())
def test_names_and_order_of_cells_do_not_matter(made: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    fates, bouts = made
    every = (SurvivalCurves(), LostBounds(), ContactSurvival(), ContactHazards())
    want = outcome(fates, bouts, *every)
    flip = {old: 1000 - old for old in range(1000)}
    renamed = fates.assign(track_id=fates["track_id"].map(flip)).sample(frac=1, random_state=0)
    met = bouts.assign(
        track_id_b=bouts["track_id_b"].map(flip), track_id_a=bouts["track_id_a"].map(flip)
    ).sample(frac=1, random_state=0)
    for name, table in outcome(renamed, met, *every).items():
        pd.testing.assert_frame_equal(table, want[name], rtol=1e-6, atol=1e-9)


@settings(max_examples=4)
@given(cells(), st.sampled_from([0.25, 3.0]), st.sampled_from([0.0, 7.5]))
def test_the_clock_does_not_matter(
    made: tuple[pd.DataFrame, pd.DataFrame], factor: float, offset: float
) -> None:
    """Another frame interval, or a film that begins later, scales times and nothing else."""
    fates, bouts = made
    want = outcome(fates, bouts, SurvivalCurves(), ContactHazards())
    slow = fates.assign(
        entry_min=fates["entry_min"] * factor + offset, exit_min=fates["exit_min"] * factor + offset
    )
    met = bouts.assign(
        start_min=bouts["start_min"] * factor + offset, duration_min=bouts["duration_min"] * factor
    )
    found = outcome(slow, met, SurvivalCurves(), ContactHazards())
    for name, table in want.items():
        if "time_min" in table:
            table = table.assign(time_min=table["time_min"] * factor + offset)
        pd.testing.assert_frame_equal(found[name], table, rtol=1e-6, atol=1e-9)


@settings(max_examples=8)
@given(cells())
def test_episodes_conserve_time_and_deaths_and_bounds_hold(
    made: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    fates, bouts = made
    rows, unit = watched(fates)
    roles = {"TCell": "effector", "CancerCell": "target"}
    table = episodes(rows, spells(rows, bouts, roles, unit))
    assert (table["stop"] > table["start"]).all()
    each = table.assign(time=table["stop"] - table["start"]).groupby(["fov", "track_id"])
    together = rows.set_index(["fov", "track_id"])
    assert each["event"].sum().to_dict() == together["event"].to_dict()
    assert each["time"].sum().to_dict() == (together["leave"] - together["entry"]).to_dict()
    bounds = LostBounds()(with_frames(fates, 40))["survival_bounds"].dropna(
        subset=["estimate", "all_lost_died", "none_lost_died"]
    )
    assert (bounds["all_lost_died"] <= bounds["estimate"] + 1e-9).all()
    assert (bounds["estimate"] <= bounds["none_lost_died"] + 1e-9).all()
