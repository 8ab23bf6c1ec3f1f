"""What the nodes of killing left of a whole run, held against each other."""

from __future__ import annotations

import pytest

from tiny_project import Project


def test_tallies_add_up(finished: Project) -> None:
    effectors, targets = finished.table("effectors"), finished.table("targets")
    kills, deaths, fates = (finished.table(name) for name in ("kills", "deaths", "fates"))
    mine = deaths[deaths["population"] == "CancerCell"]
    assert effectors["kills"].sum() == pytest.approx(kills["share"].sum())
    assert kills["share"].sum() == pytest.approx((mine["n_killers"] > 0).sum())
    assert len(targets) == (fates["population"] == "CancerCell").sum()
    assert targets["death_frame"].notna().sum() == len(mine)
    assert set(mine["verdict"]) <= {"kill", "background", "no_contact"}
    assert (mine["verdict"].eq("kill") == (mine["n_killers"] > 0)).all()
    assert (kills["credit"] <= 1 - kills["p_background"] + 1e-9).all()


def test_the_law_is_of_the_assay_and_of_each_condition(finished: Project) -> None:
    models = finished.catalog.load("attack_models")
    fields = finished.catalog.load("fields")
    assert set(models["condition"]) == {"", *fields["condition"]}
    assert set(models["target_population"]) == {"CancerCell"}
    whole = models[models["condition"] == ""].iloc[0]
    targets = finished.table("targets")
    alive = targets["fate"] != "dead_at_first_sight"
    assert whole["n_targets"] == alive.sum()
    assert whole["n_deaths"] == targets["death_frame"].notna().sum()


def test_a_fixed_rule_learns_nothing(project: Project) -> None:
    project.block("contacts", kills={"name": "KillShares"})
    project.run("contacts")
    assert not len(project.catalog.load("attack_models"))
    assert project.table("kills")["p_background"].isna().all()
    assert set(project.table("targets")["fate"]) <= {
        "killed",
        "no_contact",
        "alive",
        "dead_at_first_sight",
    }
