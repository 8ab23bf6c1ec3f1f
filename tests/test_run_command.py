from __future__ import annotations

import logging
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.startup import bootstrap_project

from cyto_kedro.cli import cli, run
from cyto_kedro.pipelines import segmentation
from cyto_kedro.run_command import with_needed
from tiny_project import Project, finished, fresh, project, session_folder, tiny_raw

__all__ = ["finished", "fresh", "project", "session_folder", "tiny_raw"]


def kedro(where: Project, *words: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    """``kedro run ...`` in the project's folder."""
    monkeypatch.chdir(where.path)
    metadata = bootstrap_project(where.path)
    return CliRunner().invoke(cli, ["run", *words], obj=metadata)


def saved(where: Project) -> set[str]:
    """Datasets of which the newest run saved something."""
    return {each["dataset"] for each in where.manifest()["partitions"]}


def test_all_of_kedros_options_are_there() -> None:
    ours = {option for param in run.params for option in param.opts}
    kedros = {option for param in kedro_run.params for option in param.opts}
    assert ours - kedros == {"--all"} and kedros <= ours


def test_a_fresh_clone_makes_what_a_named_pipeline_needs_and_then_skips_it(
    fresh: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done = kedro(fresh, "--pipelines", "segmentation", monkeypatch=monkeypatch)
    assert done.exit_code == 0, done.output
    assert {"manifest", "segmentation_images", "labels"} <= saved(fresh)
    assert "cells" not in saved(fresh)
    with caplog.at_level(logging.INFO, logger="cyto_kedro"):
        kedro(fresh, "--pipelines", "segmentation", monkeypatch=monkeypatch)
    assert saved(fresh) == {"manifest", "fields", "frames"}
    assert {"segment: current", "subtract: current"} <= set(caplog.messages)
    done = kedro(fresh, "--pipelines", "segmentation", "--all", monkeypatch=monkeypatch)
    assert done.exit_code == 0, done.output
    assert {"engine_labels", "labels"} <= saved(fresh)
    assert "segmentation_images" not in saved(fresh)  # what it needs was current
    fresh.block("segmentation", CancerCell={"name": "Otsu", "args": {}})
    done = kedro(fresh, "-p", "tabulation", monkeypatch=monkeypatch)
    assert done.exit_code == 0, done.output
    assert {"engine_labels", "labels", "cells"} <= saved(fresh)


def test_kedros_runners_stay_for_those_who_ask(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--runner", "SequentialRunner", "--pipelines", "segmentation")
    done = kedro(project, *words, monkeypatch=monkeypatch)
    assert done.exit_code == 0, done.output
    assert saved(project) == segmentation.create_pipeline().all_outputs()  # and nothing else


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--async",), "--async cannot be used here"),
        (("--runner", "SequentialRunner", "--async"), "--async cannot be used here"),
        (("--runner", "ParallelRunner"), "ParallelRunner cannot run these nodes"),
        (("--all", "--only-missing-outputs"), "opposite things"),
    ],
)
def test_what_cannot_run_is_refused_in_a_sentence(
    project: Project, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    before = project.files()
    done = kedro(project, "--pipelines", "segmentation", *words, monkeypatch=monkeypatch)
    assert done.exit_code != 0 and said in " ".join(done.output.split())
    assert project.files() == before


def test_what_a_pipeline_needs_of_others(finished: Project) -> None:
    bootstrap_project(finished.path)
    found: dict[str, Any] = with_needed(["segmentation"])
    assert sorted(found["pipelines"]) == ["ingestion", "preprocessing", "segmentation"]
    nodes = {each.name for each in segmentation.create_pipeline().nodes}
    assert set(found["to_nodes"]) == nodes >= {"segment", "subtract"}
    for alone in (["ingestion"], ["simulation"], ["__default__"], ["no_such_pipeline"]):
        assert with_needed(alone) == {"pipeline": None, "pipelines": alone, "to_nodes": []}
