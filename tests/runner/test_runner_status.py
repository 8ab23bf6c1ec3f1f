"""Run status under our runners, read back as kedro-viz reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro_viz.api.rest.responses.run_events import transform_events_to_structured_format
from kedro_viz.integrations.kedro.hooks_utils import EVENTS_DIR, EVENTS_FILE, hash_node
from kedro_viz.integrations.kedro.run_hooks import pipeline_run_hook

from cyto_kedro.errors import RunFailedError
from cyto_kedro.runner import PartitionRunner
from cyto_kedro.runner.status import events
from tiny_project import Project

PIPELINE = Pipeline(
    [
        node(lambda a: a, "a", "b", name="first"),
        node(lambda b: b, "b", "c", name="second"),
        node(lambda c: c, "c", "d", name="third"),
    ]
)


def status_of(found: list[dict[str, Any]]) -> dict[str, tuple[str, float]]:
    """Node -> status and seconds, as kedro-viz shows them; "" for the run."""
    shown = transform_events_to_structured_format(found)
    names = {hash_node(each): each.name for each in PIPELINE.nodes}
    told = {names[key]: (each.status.value, each.duration) for key, each in shown.nodes.items()}
    return told | {"": (shown.pipeline.status.value, 0.0)}


def events_of(left: dict[str, Any], error: Exception | None = None, **errors: str) -> Any:
    catalog = DataCatalog({"b": MemoryDataset()})
    return events(PIPELINE, catalog, left, errors, error)


def test_seconds_are_those_of_all_partitions_and_what_is_current_succeeded() -> None:
    saved = [{"node": "first", "seconds": 1.5}, {"node": "first", "seconds": 2.0}]
    told = status_of(events_of({"partitions": [*saved, {"node": "second", "seconds": None}]}))
    assert told["first"] == ("success", 3.5) and told["third"] == ("success", 0.0)
    assert told[""][0] == "success"


def test_what_a_worker_lost_failed_and_what_did_not_run_is_not_told() -> None:
    lost = {"node": "second", "failed": [{"group": {"fov": "a"}, "error": "out of memory"}]}
    left = {
        "partitions": [{"node": each, "seconds": 1.0} for each in ("first", "second")],
        "tasks": [{"node": "first", "failed": []}, lost],
    }
    found = events_of(left, RunFailedError("1 node failed"))
    told = status_of(found)
    assert told["second"][0] == "failed" and "third" not in told and told[""][0] == "failed"
    assert [each["error"] for each in found if each["event"] == "on_node_error"] == [
        "out of memory"
    ]
    here = status_of(events_of({"partitions": []}, RunFailedError("x"), first="ValueError: y"))
    assert here["first"][0] == "failed"


def read(project: Project) -> Any:
    text = (project.path / EVENTS_DIR / EVENTS_FILE).read_text(encoding="utf-8")
    return transform_events_to_structured_format(json.loads(text))


def test_a_run_of_the_whole_analysis_is_told_and_a_partial_one_is_not(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.path)  # kedro-viz looks for its project here
    shutil.rmtree(project.path / EVENTS_DIR, ignore_errors=True)  # of the run that was copied
    pipeline_run_hook._should_collect_events = True  # as a run of the same process leaves it
    project.run("ingestion", runner=PartitionRunner())
    assert not Path(project.path / EVENTS_DIR / EVENTS_FILE).exists()
    project.run(runner=PartitionRunner(), only_missing=True)
    shown = read(project)
    assert shown.pipeline.status.value == "success" and shown.pipeline.duration > 0
    assert {each.status.value for each in shown.nodes.values()} == {"success"}
    names = {each.name for each in shown.datasets.values()}
    assert {"labels", "report"} <= names
    assert next(each for each in shown.datasets.values() if each.name == "report").size > 1000
