"""Batches in processes of this machine: the same bytes, faults kept apart, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from cyto_kedro.cli import cli
from cyto_kedro.errors import ConfigError, RunFailedError
from cyto_kedro.runner import PartitionRunner, SlurmRunner
from cyto_kedro.runner.local import LocalBackend
from cyto_kedro.runner.resources import Machine
from tiny_project import BLOCKS, FOVS, LABEL_BLOCKS, Project


def local(**more: Any) -> PartitionRunner:
    return PartitionRunner(resources="local", **more)


def resources(project: Project, **content: Any) -> None:
    folder = project.path / "conf" / "resources"
    folder.mkdir(exist_ok=True)
    (folder / "local.yml").write_text(yaml.safe_dump(content))


def saved(project: Project, dataset: str) -> set[str]:
    return {e["partition"] for e in project.manifest()["partitions"] if e["dataset"] == dataset}


def test_without_what_only_posix_has_all_but_worker_processes_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = "import sys; sys.modules['resource'] = None; import cyto_kedro.hooks, cyto_kedro.runner"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        with pytest.raises(ConfigError, match=r"need Linux or macOS.*WSL"):
            LocalBackend(Machine())


def test_processes_give_the_same_bytes_and_leave_a_record(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = ("03_primary", "04_feature")
    before = project.results(*folders)
    for name in folders:
        shutil.rmtree(project.path / "data" / name)
    project.run("segmentation", "tabulation", runner=local())
    assert project.results(*folders) == before
    run = project.manifest()
    assert run["state"] == "done"
    for name in ("engine_labels", "labels", "cells"):
        assert saved(project, name) == LABEL_BLOCKS
    for each in run["partitions"]:
        assert each["host"] and each["attempt"] == 1 and len(each["content"]) == 32
    for task in run["tasks"]:
        assert task["state"] == "done" and task["done"] == task["groups"]
        assert 20 < task["peak_mb"] < 2000 and task["asked"]["mem_mb"] == 1024
    # what is current is not run again
    project.run("segmentation", "tabulation", runner=local(), only_missing=True)
    assert project.manifest()["partitions"] == []
    monkeypatch.chdir(project.path)
    shown = CliRunner().invoke(
        cli, ["cyto", "runs", run["run_id"]], obj=bootstrap_project(project.path)
    )
    assert "/ 1024 M" in shown.output and "segment " in shown.output


def test_a_corrupt_partition_stops_no_other_and_is_resumed_alone(project: Project) -> None:
    before = project.results("03_primary")
    image = (
        project.path
        / "data/02_intermediate/segmentation_images/treated_1/TCell/t0007-0008.recipe.json"
    )
    good, stamp = image.read_bytes(), image.stat()
    image.write_bytes(good[: len(good) // 2])
    shutil.rmtree(project.path / "data/03_primary")
    resources(project, default={"batch_size": 4})
    with pytest.raises(RunFailedError) as raised:
        project.run("segmentation", runner=local())
    said = str(raised.value)
    assert "1 nodes failed: segment; 1 that depend on them were not run in full (subtract)" in said
    assert "treated_1/TCell/t0007-0008" in said and "--only-missing-outputs" in said
    assert ".log" in said and "control_1" not in said
    run = project.manifest()
    assert saved(project, "engine_labels") == LABEL_BLOCKS - {"treated_1/TCell/t0007-0008"}
    # what does not need it goes on: the other three of four blocks are subtracted
    assert len(saved(project, "labels")) == 6
    assert "treated_1/TCell/t0007-0008" not in saved(project, "labels")
    (failed,) = [each for task in run["tasks"] for each in task["failed"]]
    assert failed["group"] == {"fov": "treated_1", "population": "TCell", "tile": "t0007-0008"}
    image.write_bytes(good)
    os.utime(image, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    project.run("segmentation", runner=local(), only_missing=True)
    # the size of its cells is estimated anew, of all frames; no other film is segmented again
    film = {f"treated_1/TCell/{block}" for block in ("t0000-0006", "t0007-0008")}
    assert {"treated_1/TCell/t0007-0008"} <= saved(project, "engine_labels") <= film
    assert project.results("03_primary") == before


def test_tiles_are_groups_of_their_own(project: Project) -> None:
    project.assay(tiles={"side_px": 64, "overlap_px": 30})
    shutil.rmtree(project.path / "data/03_primary")
    project.run("ingestion", "preprocessing", "segmentation")
    before = project.results("03_primary")
    shutil.rmtree(project.path / "data/03_primary")
    resources(project, default={"batch_size": 8}, nodes={"segment[TCell]": {"batch_size": 2}})
    project.run("segmentation", runner=local())
    assert project.results("03_primary") == before
    tiles = saved(project, "engine_labels")
    assert len(tiles) == 4 * len(LABEL_BLOCKS)
    assert f"treated_1/TCell/{BLOCKS[0]}.y0000-x0033" in tiles
    path = "data/03_primary/engine_labels/treated_1/CancerCell"
    (lost,) = (project.path / path).glob(f"{BLOCKS[1]}.y0033-x0000.tif")
    lost.unlink()
    project.run("segmentation", runner=local(), only_missing=True)
    assert saved(project, "engine_labels") == {f"treated_1/CancerCell/{lost.stem}"}
    assert saved(project, "labels") == set()  # the same bytes came out
    assert project.results("03_primary") == before


def test_a_partition_that_cannot_be_saved_stops_no_other_of_its_batch(project: Project) -> None:
    before = project.results("03_primary")
    path = project.path / "data/03_primary/engine_labels/control_1/CancerCell/t0000-0006.tif"
    path.unlink()
    path.mkdir()  # nothing can be renamed over a folder
    resources(project, default={"batch_size": 8})
    with pytest.raises(RunFailedError, match=r"control_1/CancerCell/t0000-0006 .*directory"):
        project.run("segmentation", runner=local())
    assert saved(project, "engine_labels") == LABEL_BLOCKS - {"control_1/CancerCell/t0000-0006"}
    assert [each["node"] for each in project.manifest()["tasks"]].count("segment") == 1
    path.rmdir()
    project.run("segmentation", runner=local(), only_missing=True)
    assert project.results("03_primary") == before


def test_a_dry_run_shows_the_plan_and_runs_nothing(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    before = project.files()
    resources(
        project,
        default={"batch_size": 2, "time": "30"},
        nodes={"segment[TCell]": {"gres": "gpu:1"}},
    )
    project.run("segmentation", runner=SlurmRunner(resources="local", dry_run=True))
    shown = capsys.readouterr().out
    assert "segment: 4 partitions in 2 tasks" in shown and "#SBATCH --gres=gpu:1" in shown
    # sizes 2 tasks, segment 2 arrays of 2, subtract 2 (4 fields x blocks); half an hour each
    assert "In all: 8 tasks" in shown and "at most 4.0 CPU hours" in shown
    assert project.files() == before
    assert not list((project.path / "runs").glob("*/jobs"))


def test_what_lives_only_in_memory_is_refused(project: Project) -> None:
    path = next(
        p for p in (project.path / "conf/base").glob("catalog*.yml") if "\nlabels:" in p.read_text()
    )
    content = yaml.safe_load(path.read_text())
    del content["engine_labels"]
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    before = project.files()
    with pytest.raises(ConfigError, match=r"'engine_labels' .*lives only in memory.*catalog"):
        project.run("segmentation", runner=local())
    assert project.files() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"default": {"cpu_per_task": 1}}, "Did you mean 'cpus_per_task'"),
        ({"nodes": {"segmnt": {}}}, "unknown node 'segmnt'. Did you mean 'segment'"),
    ],
)
def test_resources_are_checked_before_anything_runs(
    project: Project, content: dict[str, Any], said: str
) -> None:
    resources(project, **content)
    with pytest.raises(ConfigError) as raised:
        project.run("segmentation", runner=local())
    assert said in str(raised.value)


def test_more_than_the_machine_has_is_refused_by_the_node(project: Project) -> None:
    resources(project, machine={"memory": "2G"}, default={"mem": "9G"})
    with pytest.raises(RunFailedError, match=r"asks for 1 cores and 9G, but this machine gives"):
        project.run("segmentation", runner=local())


def test_slurm_needs_its_resources() -> None:
    with pytest.raises(ConfigError, match="resources=slurm"):
        SlurmRunner()


def test_a_workers_record_is_json_on_disk(project: Project) -> None:
    project.run("segmentation", runner=local(), nodes=["subtract"])
    (folder,) = project.path.glob("runs/*/jobs/subtract/001")
    newest = [json.loads(each.read_text()) for each in sorted(folder.glob("[0-9].json"))]
    assert sum(len(each["groups"]) for each in newest) == len(FOVS) * len(BLOCKS)
    assert all(Path(folder, f"{each['index']}.log").exists() for each in newest)
