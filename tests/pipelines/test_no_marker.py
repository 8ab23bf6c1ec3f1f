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
