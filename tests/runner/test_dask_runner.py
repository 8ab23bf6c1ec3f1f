"""Batches as Dask futures: the files that `resources=local` makes, faults kept apart, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cyto_kedro.errors import ConfigError, MissingExtraError, RunFailedError, RunStoppedError
from cyto_kedro.runner import DaskRunner
from cyto_kedro.runner.backend import Submission
from cyto_kedro.runner.dask_cluster import JobWorkers
from cyto_kedro.runner.dask_runner import DaskBackend
from cyto_kedro.runner.planning import Array
from cyto_kedro.runner.process import alive
from cyto_kedro.runner.records import TaskFile, TaskFolder
from cyto_kedro.runner.resources import Machine, Resources
from tiny_project import LABEL_BLOCKS, Project


def test_without_distributed_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"distributed.*cyto_kedro\[dask\].*=local"):
        DaskBackend(Machine(), None)


JOB = {"jobs": 3, "cores": 8, "memory": "32GB", "queue": "short", "python": "python3"}
# what each asks for: cores, memory, time, queue
SCRIPTS = {
    "PBSCluster": (
        {"walltime": "02:00:00", "account": "lab"},
        {"-q short", "-A lab", "-l select=1:ncpus=8:mem=30GB", "-l walltime=02:00:00"},
    ),
    "SGECluster": (
        {"walltime": "02:00:00", "project": "lab", "resource_spec": "h_vmem=4G"},
        {"-q short", "-P lab", "-l h_vmem=4G", "-l h_rt=02:00:00"},
    ),
    "LSFCluster": (
        {"walltime": "02:00", "project": "lab", "lsf_units": "mb"},
        {"-q short", '-P "lab"', "-n 8", "-M 32000", "-W 02:00"},
    ),
    "SLURMCluster": (
        {"walltime": "02:00:00", "account": "lab"},
        {"-p short", "-A lab", "--cpus-per-task=8", "--mem=30G", "-t 02:00:00"},
    ),
}


@pytest.mark.companion("dask_jobqueue")
@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_job_asks_for_what_the_resources_say(kind: str, tmp_path: Path) -> None:
    more, lines = SCRIPTS[kind]
    machine = Machine(cluster={"type": f"dask_jobqueue.{kind}", **JOB, **more})
    backend = DaskBackend(machine, None)
    try:
        array = Array("segment", Resources(cpus_per_task=2, mem="4G"), (({},),))
        script = backend.text(Submission(array, TaskFolder(tmp_path), "any"))
        asked = {each.partition(" ")[2] for each in script.splitlines() if each[:1] == "#"}
        assert lines <= asked
        assert "each: {'cores': 2.0, 'memory_mb': 4096.0}" in script
        assert "--nthreads 8" in script and "--resources cores=8,memory_mb=30517" in script
        assert backend.slots == 24 and backend.limits(array.resources) == (30517.0, None)
        assert backend._cluster.worker_spec == {}  # a dry run submits nothing
    finally:
        backend.close()


@pytest.mark.companion("dask_jobqueue")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": "dask_jobqueue.PBCluster"}, "PBCluster"),
        ({"type": "dask_jobqueue.PBSCluster", "memory": "4GB"}, "cores of a job must be said"),
        ({"type": "dask_jobqueue.PBSCluster", **JOB, "wall_time": "1"}, "wall_time"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=rf"machine: cluster: .*{said}.*walltime"):
        DaskBackend(Machine(cluster=given), None)


def test_without_dask_jobqueue_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(MissingExtraError, match=r"cyto_kedro\[jobqueue\]"):
        JobWorkers({"type": "dask_jobqueue.PBSCluster"})


def resources(project: Project, **content: Any) -> None:
    folder = project.path / "conf" / "resources"
    (folder / "local.yml").write_text(yaml.safe_dump(content))


def saved(project: Project, dataset: str) -> set[str]:
    return {e["partition"] for e in project.manifest()["partitions"] if e["dataset"] == dataset}


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """A scheduler with one worker of two threads, in processes of their own, by its file."""
    file = tmp_path / "scheduler.json"
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{kind}", *more],
            env=here,
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
        )
        for kind, more in (
            ("scheduler", ["--scheduler-file", str(file), "--port", "0", "--no-dashboard"]),
            (
                "worker",
                ["--scheduler-file", str(file), "--nthreads", "2", "--no-dashboard", "--no-nanny"],
            ),
        )
    ]
    yield str(file)
    for process in reversed(started):
        process.terminate()
        process.wait(30)


@pytest.mark.slow
@pytest.mark.companion("distributed")
def test_a_local_cluster_gives_the_same_bytes_and_resumes(project: Project) -> None:
    folders = ("03_primary", "04_feature")
    before = project.results(*folders)
    for name in folders:
        shutil.rmtree(project.path / "data" / name)
    image = project.path / (
        "data/02_intermediate/segmentation_images/treated_1/TCell/t0007-0008.recipe.json"
    )
    good, stamp = image.read_bytes(), image.stat()
    image.write_bytes(good[: len(good) // 2])
    resources(project, default={"batch_size": 4})
    with pytest.raises(RunFailedError, match="treated_1/TCell/t0007-0008"):
        project.run("segmentation", runner=DaskRunner())
    assert saved(project, "engine_labels") == LABEL_BLOCKS - {"treated_1/TCell/t0007-0008"}
    image.write_bytes(good)
    os.utime(image, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    project.run("segmentation", "tabulation", runner=DaskRunner(), only_missing=True)
    assert saved(project, "cells") == LABEL_BLOCKS
    assert project.results(*folders) == before
    for task in project.manifest()["tasks"]:
        assert task["state"] == "done" and task["asked"]["mem_mb"] == 2048
    project.run("segmentation", "tabulation", runner=DaskRunner(), only_missing=True)
    assert project.manifest()["partitions"] == []


@pytest.mark.slow
@pytest.mark.companion("distributed")
def test_any_scheduler_gives_the_same_bytes(scheduler: str, project: Project) -> None:
    before = project.results("03_primary")
    shutil.rmtree(project.path / "data/03_primary")
    resources(project, default={"max_parallel": 1, "batch_size": 8})
    project.run("segmentation", runner=DaskRunner(scheduler=scheduler))
    assert project.results("03_primary") == before
    assert {task["host"] for task in project.manifest()["tasks"]}


@pytest.mark.companion("distributed")
def test_what_no_worker_has_is_refused_by_the_node(project: Project) -> None:
    resources(project, machine={"cores": 1, "memory": "2G"}, default={"mem": "9G"})
    with pytest.raises(RunFailedError, match=r"9G, but the largest worker has memory_mb=2048"):
        project.run("segmentation", runner=DaskRunner(), nodes=["subtract"])


DRIVER = """
import sys, time
from pathlib import Path
from cyto_kedro.runner.backend import Submission
from cyto_kedro.runner.dask_runner import DaskBackend
from cyto_kedro.runner.planning import Array
from cyto_kedro.runner.records import TaskFolder
from cyto_kedro.runner.resources import Machine, Resources

folder = Path(sys.argv[2])
backend = DaskBackend(Machine(), sys.argv[1])
backend.submit(Submission(Array("segment", Resources(), (({},),)), TaskFolder(folder), "sleeps"))
while True:
    backend.poll()
    time.sleep(0.1)
"""


def wait_for(what: Callable[[], object]) -> object:
    end = time.monotonic() + 300
    while not (found := what()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


@pytest.mark.slow
@pytest.mark.companion("distributed")
def test_a_batch_ends_when_its_driver_is_killed(scheduler: str, tmp_path: Path) -> None:
    """Its worker lives on, and the batch would write what the next driver writes."""
    pid, folder = tmp_path / "pid", tmp_path / "001"
    sleeper = tmp_path / "python.sh"
    sleeper.write_text(f"#!/bin/sh\necho $$ > {pid}.part\nmv {pid}.part {pid}\nexec sleep 1000\n")
    sleeper.chmod(0o755)
    folder.mkdir()
    asked = Resources(python=str(sleeper)).model_dump(mode="json")
    session: dict[str, Any] = {
        "conf_source": "conf",
        "env": None,
        "runtime_params": {},
        "attempt": 1,
    }
    task = TaskFile(
        run_id="r",
        project=str(tmp_path),
        pipeline="p",
        node="segment",
        asked=asked,
        batches=(({},),),
        **session,
    )
    (folder / "task.json").write_text(task.model_dump_json())
    words = [sys.executable, "-c", DRIVER, scheduler, str(folder)]
    driver = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        assert wait_for(pid.exists)
        assert alive(int(pid.read_text()))
    finally:
        driver.kill()
        driver.wait()
    assert wait_for(lambda: not alive(int(pid.read_text())))


@pytest.mark.companion("distributed")
def test_nobody_at_the_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyto_kedro.runner.dask_cluster.CONNECT_S", 0.5)
    with pytest.raises(ConfigError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9'"):
        DaskBackend(Machine(), "tcp://127.0.0.1:9")


@pytest.mark.slow
@pytest.mark.companion("distributed")
def test_a_cancelled_run_stops_its_batches(project: Project) -> None:
    """A Ctrl-C while a batch runs: its process ends, nothing is half written, a resume goes on."""
    before = project.results("03_primary")
    shutil.rmtree(project.path / "data/03_primary")
    resources(project, machine={"cores": 1}, default={"batch_size": 8})
    runner = DaskRunner()
    begun = threading.Event()
    backends: list[DaskBackend] = []
    make = runner._backend

    def watched(*args: Any) -> Any:
        backends.append(make(*args))
        poll = backends[0].poll

        def interrupted() -> Any:
            if backends[0]._futures and next(project.path.glob("runs/*/jobs/*/*/0.log"), None):
                begun.set()
                raise KeyboardInterrupt
            return poll()

        backends[0].poll = interrupted  # type: ignore[method-assign]
        return backends[0]

    runner._backend = watched  # type: ignore[method-assign]
    with pytest.raises(RunStoppedError, match="Ctrl-C"):
        project.run("segmentation", runner=runner)
    assert begun.is_set()
    quiet = project.files()
    time.sleep(3)
    assert project.files() == quiet
    project.run("segmentation", runner=DaskRunner(), only_missing=True)
    assert project.results("03_primary") == before
