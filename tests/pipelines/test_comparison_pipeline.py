"""The comparison of the whole assay, made by ``kedro run``: against lifelines and the other tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter

from cyto_kedro import schemas
from cyto_kedro.errors import ConfigError
from tiny_project import Project

TABLES = (
    *("survival_curves", "survival_bounds", "contact_survival", "hazards"),
    *("replicate_summaries", "comparisons"),
)


@pytest.fixture(scope="module")
def catalog(finished: Project) -> Any:
    return finished.catalog


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_of_its_schema(catalog: Any, name: str) -> None:
    table = catalog.load(name)
    assert len(schemas.check(schemas.TABLES[name], table)) > 0
    conditions = set(table["condition"])
    assert conditions <= {"treated", "control", "(all)"} and "treated" in conditions


def test_the_curve_of_each_condition_is_lifelines_of_its_fates(
    finished: Project, catalog: Any
) -> None:
    fates = finished.table("fates")
    curves = catalog.load("survival_curves")
    curves = curves[(curves["replicate"] == "(all)") & (curves["kind"] == "survival")]
    for (condition, population), curve in curves.groupby(["condition", "population"]):
        mine = fates[(fates["fov"] == f"{condition}_1") & (fates["population"] == population)]
        # a piece of a cell that was lost in view goes on where the piece before it ended
        past = mine.set_index("track_id").reindex(mine["past_track_id"])
        lost = past["end_reason"].eq("lost").to_numpy()
        exits = pd.Series(past["exit_min"].to_numpy(), mine.index)
        mine = mine.assign(entry_min=mine["entry_min"].mask(lost, exits))
        mine = mine[~mine["dead_at_first_sight"] & (mine["exit_min"] > mine["entry_min"])]
        fit = KaplanMeierFitter().fit(mine["exit_min"], mine["died"], entry=mine["entry_min"])
        assert curve["estimate"].to_numpy() == pytest.approx(
            fit.predict(curve["time_min"].to_numpy()).to_numpy()
        )
        assert curve["events"].sum() == mine["died"].sum()
    assert curves["events"].sum() > 0, "the test assay says nothing of it"


def test_rates_are_those_of_the_summary(catalog: Any) -> None:
    """`kills_per_effector_per_hour` and speeds, computed apart by the report."""
    summary = catalog.load("summary_by_condition").set_index("condition")
    values = catalog.load("replicate_summaries").set_index(["measure", "population", "condition"])
    for condition in ("treated", "control"):
        rate = values.loc[("kills_per_effector_per_hour", "TCell", condition), "value"]
        assert rate == pytest.approx(summary.loc[condition, "kills_per_effector_per_hour"])
        speed = values.loc[("mean_speed", "TCell", condition), "value"]
        assert speed == pytest.approx(summary.loc[condition, "speed_TCell"])


def test_one_replicate_a_side_gives_no_p_and_says_so(catalog: Any) -> None:
    comparisons, hazards = catalog.load("comparisons"), catalog.load("hazards")
    # the sample sheet calls this field control
    assert set(comparisons["reference"]) == {"control"}
    assert comparisons[["p", "p_holm", "p_permutation"]].isna().all().all()
    assert comparisons["note"].str.contains("no p-value").all()
    assert comparisons["difference"].notna().any()
    assert hazards["p"].isna().all() and (hazards["note"] != "").all()


def test_groups_by_another_column_of_the_sheet(project: Project) -> None:
    project.block("comparison", condition="control", replicate="fov", reference="True")
    project.run("comparison")
    table = project.catalog.load("comparisons")
    assert table[["reference", "condition"]].drop_duplicates().values.tolist() == [
        ["True", "False"]
    ]
    assert not table["paired"].any() and np.isnan(table["p"]).all()
    project.block("comparison", condition="dosis")
    with pytest.raises(ConfigError, match="unknown column of the sample sheet 'dosis'"):
        project.run("comparison")
