"""Assays without a death marker: contacts, bouts and motion are told, and nobody is called dead."""

from __future__ import annotations

import pandas as pd

from tiny_project import Project


def test_contacts_and_motion_need_no_death_marker(project: Project) -> None:
    before = {name: project.table(name) for name in ("contacts", "bouts", "motility")}
    project.assay(markers={})
    project.run("ingestion", "contacts")
    for name, table in before.items():
        pd.testing.assert_frame_equal(project.table(name), table)
        assert len(table), name
    for name in ("viability", "observed_deaths", "deaths", "fates", "kills"):
        assert not len(project.table(name)), name
    assert not len(project.catalog.load("attack_models"))


def test_an_assay_without_a_marker_has_networks_and_a_report(project: Project) -> None:
    project.assay(markers={})
    project.run()
    assert len(project.table("contact_measures"))
    report = project.catalog.load("report")
    assert "unknown" in report
    assert project.catalog.load("summary_by_fov")["deaths"].isna().all()


def test_a_population_that_the_marker_does_not_tell_of_lives(project: Project) -> None:
    """`death_marker: false` for effectors: none of them dies, and targets die as before."""
    before = {name: project.table(name) for name in ("fates", "viability", "deaths")}
    populations = project.read("parameters")["assay"]["populations"]
    populations["TCell"]["death_marker"] = False
    project.assay(populations=populations)
    project.block("contacts", viability={"name": "AdaptiveViability", "args": {"threshold": -1e9}})
    project.run("ingestion", "contacts")
    seen = project.table("viability")
    effectors = seen["population"] == "TCell"
    assert effectors.any() and not seen.loc[effectors, "dead"].any()
    assert set(seen.loc[effectors, "alive_probability"]) == {1.0}
    # the threshold calls all dead: so is every target, and the parameter was in force
    assert seen.loc[~effectors, "dead"].mean() > 0.9
    fates = project.table("fates").query("population == 'TCell'")
    mine = before["fates"].query("population == 'TCell'")
    assert len(fates) == len(mine) and not fates[["died", "dead_at_first_sight"]].any(axis=None)
    assert len(project.table("effector_tallies")) == len(fates)
