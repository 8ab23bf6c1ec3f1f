"""An engine that looks over time, in a run: block length, excluded frames, staleness."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_project import Project

STAGES = ("ingestion", "preprocessing", "segmentation")
ENGINE = {"name": "OverTime", "args": {"window_frames": 4, "context_frames": 2}}


def labels(project: Project, fov: str = "treated_1", population: str = "TCell") -> np.ndarray:
    """The film of a field's labels."""
    catalog = project.catalog
    every, group = catalog.load("labels"), {"fov": fov, "population": population}
    ids = catalog.load("manifest").ids(("fov", "population", "block"), group)
    return np.concatenate([np.asarray(every[each]()) for each in ids])


@pytest.fixture
def made(project: Project) -> Project:
    """Run with the engine, 7 frames a block."""
    project.block("segmentation", TCell=ENGINE)
    project.run(*STAGES)
    return project


def test_labels_do_not_depend_on_the_length_of_blocks(made: Project) -> None:
    whole = labels(made)
    assert whole.any()
    made.assay(block_length=3)
    made.run(*STAGES)
    assert np.array_equal(labels(made), whole)


def test_what_is_current_is_not_made_again_and_what_is_not_is(made: Project) -> None:
    saved = {name for name, _ in made.resume(*STAGES)}
    assert "engine_labels" not in saved
    spec = made.read("parameters_segmentation")["segmentation"]["TCell"]
    made.block("segmentation", TCell={**spec, "args": {**spec["args"], "least_edge": 0.1}})
    again = [where for name, where in made.resume(*STAGES) if name == "engine_labels"]
    assert again and all("/TCell/" in where for where in again)
