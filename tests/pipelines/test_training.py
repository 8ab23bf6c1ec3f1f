"""From a corrected mask to an engine that a configuration names."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError

from cyto_kedro.corrections import keep
from cyto_kedro.errors import ConfigError, InputError
from tiny_project import Project

LEARNER = {"name": "TrainPixelForest", "args": {"trees": 8, "pixels": 20000}}


def test_nothing_is_learnt_from_masks_that_nobody_looked_at(project: Project) -> None:
    with pytest.raises(InputError, match="no masks to learn from"):
        project.run("training")
    project.block("training", split="donr")
    with pytest.raises(ConfigError, match="donr"):
        project.run("training")


@pytest.mark.slow
def test_a_correction_makes_an_engine_that_a_run_uses(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = project.catalog
    labels = catalog.get("labels")
    names = [f"{fov}/CancerCell/t0000-0006" for fov in ("treated_1", "control_1")]
    for name in names:
        keep(catalog, "labels", name, labels.load_one(name), Path("mine.tif"), "Ada", "looked at")
    project.block("training", learner=LEARNER)
    with caplog.at_level(logging.INFO):
        project.run("training")
    scores = pd.read_parquet(project.path / "data" / "06_models" / "training_scores.parquet")
    assert {*scores["population"]} == {"CancerCell"} and {*scores["group"]} == {
        "treated_1",
        "control_1",
    }
    learnt, in_use = scores[scores["learnt"]], scores[~scores["learnt"]]
    assert (in_use["f1"] > 0.99).all()  # the truth here is what the engine in use made
    assert learnt["f1"].mean() > 0.8 and {*learnt["engine"]} == {"PixelForest"}

    folder = project.path / "data" / "06_models" / "trained_engines"
    listed = json.loads((folder / "trained_engines.json").read_text())["CancerCell"]
    assert {*listed["card"]["masks"]} == set(names) and listed["card"]["left_out"][
        "PixelForest (learnt)"
    ] > 0.8
    path = folder / listed["file"]
    assert listed["version"] in path.name and f"model: {path}" in caplog.text
    assert project.catalog.load("trained_engines")["CancerCell"].weights == path.read_bytes()

    engine = {"name": "PixelForest", "args": {"model": str(path)}}
    project.block("segmentation", CancerCell=engine)
    redone = {each for each in project.resume("segmentation") if each[0] == "engine_labels"}
    assert redone and {identity.split("/")[1] for _, identity in redone} == {"CancerCell"}
    before = labels.load_one(names[0])
    made = catalog.load("engine_labels")[names[0]]()
    assert np.abs((made > 0).mean() / (before > 0).mean() - 1) < 0.2

    path.write_bytes(path.read_bytes() + b"0")
    with pytest.raises(DatasetError, match="was changed"):
        project.catalog.load("trained_engines")
