"""Ledgers of whole runs: few files, whoever wrote them; older ones are taken over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cyto_kedro.corrections import put_in_place, writing
from cyto_kedro.journals import Journals, journals_of
from cyto_kedro.runner import PartitionRunner
from test_journals import LOCAL
from tiny_project import BLOCKS, LABEL_BLOCKS, Project

STAGES = ("preprocessing", "segmentation", "tabulation")
ONE = f"treated_1/TCell/{BLOCKS[0]}"


@pytest.fixture(scope="module")
def by_workers(tiny_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose masks and cells were made by worker processes, a batch per group."""
    made = Project.make(tmp_path_factory.mktemp("by_workers") / "project", tiny_raw)
    local = {"machine": {"cores": 2}, "default": {"mem": "500M", "time": "5", "batch_size": 1}}
    (made.path / "conf/resources/local.yml").write_text(json.dumps(local))
    made.run("ingestion", *STAGES, runner=PartitionRunner(resources="local"))
    return made


def ledgers(project: Project) -> dict[str, list[Path]]:
    """The files of each ledger of the results."""
    found = (project.path / "data").rglob(".ledger")
    return {
        each.parent.name: [path for path in each.rglob("*") if path.is_file()] for each in found
    }


def test_workers_leave_one_file_a_dataset_and_all_is_current(
    by_workers: Project, tmp_path: Path
) -> None:
    project = by_workers.copy(tmp_path / "project")
    files = ledgers(project)
    assert {"labels", "cells", "engine_labels"} <= files.keys()
    assert {name: len(each) for name, each in files.items() if len(each) != 1} == {}
    assert project.resume(*STAGES) == []
    for identity in LABEL_BLOCKS:
        assert project.catalog.get("labels").ledger.read(identity) is not None
    (project.path / "data/04_feature/cells" / f"{ONE}.parquet").unlink()
    assert ("cells", ONE) in project.resume(*STAGES)
    assert {len(each) for each in ledgers(project).values()} == {1}


def test_ledgers_of_one_file_a_partition_are_taken_over_and_nothing_is_made_again(
    by_workers: Project, tmp_path: Path
) -> None:
    project = by_workers.copy(tmp_path / "project")
    mask = project.path / "data/03_primary/labels" / f"{ONE}.tif"
    with writing(project.catalog, "labels"):
        put_in_place(project.catalog, "labels", ONE, mask, "Ana", "looked at it")
    kept = list((project.path / "data").rglob("*.journal"))
    count = 0
    for folder in {path.parent for path in kept}:
        made = Journals(LOCAL, str(folder))
        made.find("")
        for identity, (_, line) in made._newest.items():
            older = folder / f"{identity}.json"
            older.parent.mkdir(parents=True, exist_ok=True)
            older.write_bytes(line)
            count += 1
    journals_of(LOCAL, str(project.path / "data/03_primary/labels/.ledger")).end()
    for path in kept:
        path.unlink()
    assert count > 40
    saved = project.resume("ingestion", *STAGES)
    assert [each for each in saved if each[1]] == []  # ingestion itself looks anew in each run
    assert {len(each) for each in ledgers(project).values()} == {1}
    labels = project.catalog.get("labels")
    assert labels.correction(ONE).who == "Ana" and labels.ledger.read(ONE).correction is not None
    home = project.path / "data/corrections/03_primary/labels"
    assert sorted(path.suffix for path in home.rglob("*") if path.is_file()) == [".journal", ".tif"]
