"""Weights beside their list: what is not as it was saved is refused, with the command that makes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DatasetError

from cyto_kedro.datasets.trained import TrainedEngine, TrainedEngines


@pytest.mark.parametrize(
    ("stage", "command"), [("segmentation", "training"), ("tabulation", "cell_classes")]
)
def test_weights_that_are_not_the_listed_ones(tmp_path: Path, stage: str, command: str) -> None:
    dataset = TrainedEngines(filepath=tmp_path / "listed.json")
    engine = TrainedEngine(b"numbers", "Engine", ".npz", {"n_cells": 3}, stage=stage)
    dataset.save({"TCell": engine})
    assert dataset.load() == {"TCell": engine}
    weights = tmp_path / f"TCell-{engine.version}.npz"
    weights.write_bytes(b"others")
    with pytest.raises(DatasetError, match=f"was changed; kedro run --pipelines {command}$"):
        dataset.load()
    weights.unlink()
    with pytest.raises(DatasetError, match=f"is not there; kedro run --pipelines {command}$"):
        dataset.load()
