"""Further analyses run when asked for, and are in the report while they fit the other results."""

from __future__ import annotations

import logging

import pytest

from tiny_project import Project

FURTHER = ("Mean squared displacement", "Further analyses")


def report(project: Project) -> str:
    return (project.path / "data" / "08_reporting" / "report.html").read_text(encoding="utf-8")


def test_default_makes_what_report_results_and_comparison_read() -> None:
    from kedro.framework.project import configure_project

    from cyto_kedro.pipeline_registry import register_pipelines

    configure_project("cyto_kedro")
    pipelines = register_pipelines()
    default, extended = pipelines["__default__"], pipelines["extended"]
    assert len(default.nodes) <= 35
    assert not {each.name for each in default.nodes} & {each.name for each in extended.nodes}
    wanted = ["report", "results", "results_csv", *pipelines["comparison"].outputs()]
    needed = {each.name for each in default.to_outputs(*wanted).nodes}
    assert {each.name for each in default.nodes} == needed


@pytest.mark.slow
def test_report_shows_what_is_there_and_current(
    project: Project, fresh: Project, caplog: pytest.LogCaptureFixture
) -> None:
    assert all(title in report(project) for title in FURTHER)
    contacts = project.read("parameters_contacts")["contacts"]
    project.block("contacts", msd={**contacts["msd"], "args": {"max_lag_frames": 3}})
    with caplog.at_level(logging.WARNING):
        project.run("reporting")
    assert "msd_figure is left out of what write_report makes" in caplog.text
    assert "kedro run --pipelines extended,reporting" in caplog.text
    assert not any(title in report(project) for title in FURTHER)

    fresh.run()
    assert not any(title in report(fresh) for title in FURTHER)
    assert not (fresh.path / "data" / "07_model_output" / "msd").exists()
