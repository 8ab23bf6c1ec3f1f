"""A whole ``kedro run`` with SlurmRunner where only SLURM's commands are fakes: no cluster needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_slurm
import pytest
import yaml

from tiny_project import Project

pytestmark = pytest.mark.slow

RESOURCES: dict[str, Any] = {
    "machine": {"poll_s": 0.2, "poll_max_s": 0.5, "output_wait_s": 3},
    "default": {"mem": "500M", "time": "5", "batch_size": 4},
}


def slurm(
    project: Project, commands: Path, *words: str, machine: dict[str, float] | None = None
) -> subprocess.CompletedProcess[str]:
    """``kedro run`` of the segmentation through the commands in a folder."""
    folder = project.path / "conf" / "resources"
    folder.mkdir(exist_ok=True)
    content = RESOURCES | {"machine": RESOURCES["machine"] | (machine or {})}
    (folder / "fake.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    given = ["--runner", "cyto_kedro.runner.SlurmRunner", "--runner-params", "resources=fake"]
    return subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--pipelines", "segmentation", *given, *words],
        cwd=project.path,
        env={**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def contents(project: Project) -> dict[str, str | None]:
    """Hash of every planned partition that segmentation makes."""
    plan = project.catalog.load("manifest")
    held = {name: project.catalog.get(name) for name in ("engine_labels", "labels")}
    return {f"{n} {each}": held[n].content(each) for n in held for each in plan.ids(held[n].grain)}


def test_a_refusal_and_a_killed_task_later_the_labels_are_those_of_a_plain_run(
    project: Project, tmp_path: Path
) -> None:
    before = contents(project)
    assert all(before.values())
    commands = fake_slurm.install(tmp_path / "bin", {"refuse": 1, "kill": 1})
    project.block("segmentation", TCell={"name": "Otsu", "args": {"diameter_px": 14}})
    project.run("segmentation")
    expected = contents(project)
    assert expected != before
    for each in (project.path / "data" / "03_primary").rglob("*.tif"):
        each.unlink()

    done = slurm(project, commands)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert contents(project) == expected
    assert "not accepted now" in done.stdout and "out of memory" in done.stdout
    jobs = [json.loads(each.read_text()) for each in (tmp_path / "bin/state").glob("*.job")]
    assert max(len(each["tasks"]) for each in jobs) <= 2  # indices end below MaxArraySize - 1
    scripts = [Path(each["script"]).read_text() for each in jobs]
    assert sorted({line for text in scripts for line in text.splitlines() if "--mem" in line}) == [
        "#SBATCH --mem=1000M",
        "#SBATCH --mem=500M",
    ]
    asked = (tmp_path / "bin/state/squeue.calls").read_text().splitlines()
    assert all(line.count("-j") == 1 for line in asked if "--me" not in line)  # one call for all

    n_jobs = len(jobs)
    again = slurm(project, commands, "--only-missing-outputs")
    assert again.returncode == 0 and "segment: current" in again.stdout
    assert len(list((tmp_path / "bin/state").glob("*.job"))) == n_jobs


def test_a_silent_controller_and_an_empty_squeue_compute_nothing_twice(
    project: Project, tmp_path: Path
) -> None:
    """An empty answer for longer than `output_wait_s`, and a stranger's job of a name like ours."""
    expected = contents(project)
    shutil.rmtree(project.path / "data" / "03_primary")
    commands = fake_slurm.install(tmp_path / "bin", {"silent": 1, "blind": 60})
    done = slurm(project, commands, machine={"output_wait_s": 0.5, "poll_max_s": 0.2})
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert contents(project) == expected
    jobs = [json.loads(each.read_text()) for each in (tmp_path / "bin/state").glob("*.job")]
    groups = [
        tuple(sorted(group.items()))
        for job in jobs
        for batch in json.loads(Path(job["script"]).with_name("task.json").read_text())["batches"]
        for group in batch
    ]
    assert len(groups) == len(set(groups)) and "SLURM does not answer" in done.stdout
    assert not (tmp_path / "bin/state/scancel.calls").exists()
