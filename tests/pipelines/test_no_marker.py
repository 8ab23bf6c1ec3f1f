"""Assays without a death marker: contacts, bouts and motion are told, and nobody is called dead."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.parameters import ContactsSpec
from cyto_kedro.pipelines.contacts.nodes import assess_viability
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
    project.block("contacts", viability={"name": "MarkerThreshold", "args": {"threshold": -1e9}})
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
    assert len(project.table("effectors")) == len(fates)


@pytest.mark.parametrize("unmarked", [(), ("N",), ("N", "T")])
def test_cells_of_an_unmarked_population_are_alive_however_bright(
    unmarked: tuple[str, ...],
) -> None:
    state = {"A1": {"background": 10.0, "unit": 5.0, "threshold": 100.0}}
    cells = {
        name: schemas.filled(
            schemas.Cells,
            {"fov": "A1", "population": name, "label": [1, 2], "PI_median": [9.0, 900.0]},
        )
        for name in ("N", "T")
    }
    manifest = SimpleNamespace(
        populations=("N", "T"),
        unmarked=unmarked,
        markers={"death": "PI"},
        sources={"N": ("green",), "T": ("red",)},
    )
    made = assess_viability(
        {"fov": "A1", "block": "t0000-0000"},
        cells,
        touches=schemas.empty(schemas.Touches),
        viability_state={"N": state, "T": state},
        fields=schemas.filled(schemas.Fields, {"fov": ["A1"], "n_frames": 1}),
        manifest=manifest,  # type: ignore[arg-type]
        viability=ContactsSpec(name="MarkerThreshold"),
    )
    for name, table in made.items():
        assert table["dead"].tolist() == [False, name not in unmarked], name
        assert (table["alive_probability"].iloc[1] == 1.0) == (name in unmarked)
        assert table["marker_signal"].tolist() == [9.0, 900.0]  # what was measured stays
