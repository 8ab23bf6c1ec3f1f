"""What is handed on of a whole run: a paragraph for a paper, and an RO-Crate for a repository."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml
from kedro.io import DataCatalog

from cyto_kedro.algorithms.segmentation.threshold import Otsu
from cyto_kedro.algorithms.tracking.lap import LAP
from cyto_kedro.datasets.atomic import write_folder
from cyto_kedro.errors import InputError
from cyto_kedro.export.crate import outputs, write_crate
from cyto_kedro.export.methods import citations, paragraph
from cyto_kedro.runner import history
from tiny_project import Project


def run_of(block: dict, node: str) -> dict:
    return {
        "run_id": "r1",
        "nodes": [node],
        "parameters": block,
        "python": "3.12.1 (main)",
        "packages": {"cyto_kedro": "9.9", "numpy": "2.5", "stardist": "0.9", "ruff": "1"},
        "git": {"commit": "0123456789abcdef", "dirty": True},
    }


class Nodes:
    """A pipeline of one node."""

    def __init__(self, name: str, *inputs: str) -> None:
        self.nodes = [type("Node", (), {"name": name, "inputs": [*inputs]})]


TRACKING = {
    "tracking": {
        "T": {"name": "LAP", "args": {"max_distance_um": 15}},
        "C": {"name": "LAP", "args": {"max_distance_um": 15, "gap_closing_max_frames": 5}},
    }
}


def test_citations_are_those_of_the_description() -> None:
    assert citations(Otsu) == ["Otsu 1979"]
    assert "Jaqaman et al., Nature Methods 2008; TrackMate" in citations(LAP)


def test_the_paragraph_says_versions_settings_and_citations() -> None:
    text = paragraph(run_of(TRACKING, "track"), {"p": Nodes("track", "params:tracking")})
    assert (
        "cyto_kedro 9.9, commit 0123456789ab with changes of its own (Python 3.12.1; numpy 2.5"
        in text
    )
    assert "stardist" not in text and "ruff" not in text
    assert "T: LAP (max_distance = 15 µm) [1" in text
    assert "C: LAP (max_distance = 15 µm, gap_closing_max_frames = 5) [1" in text
    assert "\n[1] Jaqaman et al., Nature Methods 2008" in text


def test_what_did_not_run_is_not_in_it() -> None:
    blocks = TRACKING | {"segmentation": {"T": {"name": "Otsu"}, "C": {"name": "Otsu"}}}
    pipelines = {
        "p": Nodes("track", "params:tracking"),
        "q": Nodes("segment", "params:segmentation"),
    }
    assert "Otsu" not in paragraph(run_of(blocks, "track"), pipelines)
    assert "Segmentation: T: Otsu [1]" in paragraph(run_of(blocks, "segment"), pipelines)


def test_the_last_finished_run_is_taken(tmp_path: Path) -> None:
    for name, state, env in (("1", "done", None), ("2", "failed", None), ("3", "done", "mine")):
        (tmp_path / name).mkdir()
        held = {"run_id": name, "state": state, "env": env}
        (tmp_path / name / "manifest.json").write_text(json.dumps(held))
    assert history.find(tmp_path)["run_id"] == "1"
    assert history.find(tmp_path, env="mine")["run_id"] == "3"
    assert history.find(tmp_path, "2")["state"] == "failed"
    with pytest.raises(InputError, match="no run of the environment other was finished"):
        history.find(tmp_path, env="other")
    with pytest.raises(InputError, match=r"unknown run '4'|'4'"):
        history.find(tmp_path, "4")


@pytest.fixture(scope="module")
def crate(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crate") / "run"
    run = history.find(finished.path / "runs")
    write_folder(folder, lambda made: write_crate(made, run, finished.catalog, finished.path))
    return folder


def test_a_crate_describes_every_file_in_it(crate: Path) -> None:
    graph = json.loads((crate / "ro-crate-metadata.json").read_text(encoding="utf-8"))["@graph"]
    by_id = {each["@id"]: each for each in graph}
    assert len(by_id) == len(graph)
    files = {p.relative_to(crate).as_posix(): p for p in crate.rglob("*") if p.is_file()}
    del files["ro-crate-metadata.json"]
    assert files.keys() == {each["@id"] for each in graph if each["@type"] == "File"}
    for name, path in files.items():
        assert by_id[name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert by_id[name]["contentSize"] == str(path.stat().st_size)
    assert {"sample_sheet.csv", "parameters.yml", "run_manifest.json"} <= files.keys()
    assert "results/report.html" in files
    assert any(name.startswith("results/track_points/") for name in files)
    assert not any(name.endswith((".tif", ".tiff")) for name in files)
    assert not any("/." in name for name in files)
    parameters = yaml.safe_load(files["parameters.yml"].read_text(encoding="utf-8"))
    assert parameters == json.loads(files["run_manifest.json"].read_text())["parameters"]
    referred = [each["@id"] for each in by_id["./"]["hasPart"]]
    assert set(referred) == files.keys() and len(referred) == len(files)


@pytest.mark.companion("rocrate")
def test_the_crate_opens_in_its_own_library(crate: Path) -> None:
    from rocrate import rocrate

    read = rocrate.ROCrate(crate)
    (action,) = read.get_by_type("CreateAction")
    results = {each.id for each in action["result"]}
    assert "results/report.html" in results and "run_manifest.json" in results
    assert any(each["name"] == "cyto_kedro" for each in action["instrument"])
    assert {each.id for each in read.root_dataset["hasPart"]} >= results


def test_nothing_is_left_of_a_crate_that_failed(tmp_path: Path) -> None:
    def write(made: Path) -> None:
        (made / "a").write_text("b")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_folder(tmp_path / "crate", write)
    assert list(tmp_path.iterdir()) == []


def test_results_in_a_store_are_to_be_copied_first() -> None:
    entry = {"type": "cyto_kedro.datasets.TableDataset", "filepath": "memory://lab/a.parquet"}
    catalog = DataCatalog.from_config({"cells": entry})
    with pytest.raises(InputError, match=r"cells lies in memory:.*--params data=FOLDER"):
        list(outputs(catalog, {"partitions": [{"dataset": "cells"}]}))
