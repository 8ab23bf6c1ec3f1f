"""What breaks under a run is said with path and partition, and stops only what depends on it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from cyto_kedro import journals
from cyto_kedro.cli import cli
from cyto_kedro.errors import ConfigError, RunFailedError
from cyto_kedro.ledger_hooks import LedgerHooks
from cyto_kedro.runner import PartitionRunner, worker
from tiny_project import Project

BAD, GOOD = "treated_1/TCell/t0007-0008", "control_1/TCell/t0007-0008"


@pytest.fixture(scope="module")
def measured(tiny_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has run as far as tabulation."""
    made = Project.make(tmp_path_factory.mktemp("measured") / "project", tiny_raw)
    made.run("ingestion", "preprocessing", "segmentation", "tabulation")
    return made


@pytest.fixture
def project(measured: Project, tmp_path: Path) -> Project:
    """A copy of it, to change at will."""
    return measured.copy(tmp_path / "project")


def cells(project: Project, identity: str) -> Path:
    return project.path / "data/04_feature/cells" / f"{identity}.parquet"


def ledger(project: Project) -> Path:
    return project.path / "data/04_feature/cells/.ledger"


def resume(project: Project, said: str) -> str:
    with pytest.raises(RunFailedError, match=said) as caught:
        project.run("tabulation", runner=PartitionRunner(), only_missing=True)
    return str(caught.value)


def test_an_unreadable_ledger_stops_its_own_dataset(project: Project) -> None:
    (ledger(project) / "0f.journal").mkdir()  # as unreadable for root as for anybody
    before = cells(project, BAD).read_bytes()
    text = resume(project, rf"{BAD}: the ledger entry in .*cannot be read")
    assert "1 nodes failed: measure_cells" in text and str(ledger(project)) in text
    assert cells(project, BAD).read_bytes() == before  # it may be somebody's correction
    (ledger(project) / "0f.journal").rmdir()
    assert [each for each in project.resume("tabulation") if each[0] == "cells"] == []


def test_an_older_entry_that_is_unreadable_stops_its_own_partition(project: Project) -> None:
    cells(project, GOOD).unlink()
    shutil.rmtree(ledger(project))
    (ledger(project) / f"{BAD}.json").mkdir(parents=True)
    before = cells(project, BAD).read_bytes()
    text = resume(project, rf"{BAD}: the ledger entry in .*{BAD}\.json cannot be read")
    assert "measure_cells" in text and cells(project, BAD).read_bytes() == before
    assert cells(project, GOOD).exists()


def test_a_full_disk_under_the_ledger_stops_its_own_partition(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for identity in (BAD, GOOD):
        cells(project, identity).unlink()
    project.catalog.get("cells").ledger.remove(BAD)
    append = journals._append

    def full(path: str, text: bytes, new: bool, sync: bool) -> None:
        if BAD.encode() in text and "cells" in path:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        append(path, text, new, sync)

    with monkeypatch.context() as disk:
        disk.setattr(journals, "_append", full)
        text = resume(project, rf"{BAD}: it is saved, but its ledger entry .*No space left")
    assert "measure_cells  treated_1/TCell/t0007-0008" in text
    assert cells(project, GOOD).exists()
    saved = project.resume("tabulation")  # with room again, it is made
    assert ("cells", BAD) in saved and ("cells", GOOD) not in saved


def test_equal_results_copied_without_their_ledger_are_not_kept_twice(
    measured: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(measured.path, tmp_path / "copy", ignore=shutil.ignore_patterns(".ledger"))
    copied = Project(tmp_path / "copy")
    changed = copied.path / "data/03_primary/engine_labels" / f"{BAD}.tif"
    changed.write_bytes(changed.read_bytes() + b"a person's")
    saved = copied.resume("ingestion", "preprocessing", "segmentation", "tabulation")
    assert ("cells", BAD) in saved
    aside = [path for path in (copied.path / "data/aside").rglob("*") if path.is_file()]
    assert [path.read_bytes()[-10:] for path in aside] == [b"a person's"]
    assert sum("may be somebody's work" in line for line in caplog.messages) == 1
    assert cells(copied, BAD).read_bytes() == cells(measured, BAD).read_bytes()
    again = copied.resume("preprocessing", "segmentation", "tabulation")
    assert again == []


def test_runs_that_cannot_be_written_are_named_before_anything_runs(fresh: Project) -> None:
    (fresh.path / "runs").write_text("a file")
    with pytest.raises(ConfigError, match=r"runs/.* cannot be written .*Make the folder writable"):
        fresh.run("ingestion")
    assert [path.name for path in (fresh.path / "data").iterdir()] == [".leases"]


@contextmanager
def disk(folder: Path, options: str) -> Iterator[None]:
    """A small file system of its own at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("file systems may not be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("options", "said"), [("ro", "Read-only file system"), ("size=4k", "No space left")]
)
def test_a_real_disk_of_runs_that_cannot_be_written(
    project: Project, options: str, said: str
) -> None:
    shutil.rmtree(project.path / "runs")
    before = project.files()
    with disk(project.path / "runs", options):
        with pytest.raises(ConfigError, match=rf"runs/.* cannot be written .*{said}"):
            project.run("tabulation", runner=PartitionRunner())
        assert project.files() == before


def test_a_real_full_disk_under_the_ledger(project: Project) -> None:
    folder = project.path / "data/04_feature/cells"
    shutil.rmtree(folder)
    with disk(folder / ".ledger", "size=1M,nr_inodes=1"):
        text = resume(project, r"its ledger entry .*No space left")
    assert f"measure_cells  {GOOD}" in text and list(ledger(project).iterdir()) == []
    saved = project.resume("tabulation")  # with room again, all of it is made
    assert ("cells", BAD) in saved and ("cells", GOOD) in saved


def test_a_run_goes_on_when_its_own_record_finds_no_room(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for identity in (BAD, GOOD):
        cells(project, identity).unlink()
    opened = Path.open

    def full(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.name == "partitions.jsonl" and "a" in args:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    project.run("tabulation", runner=PartitionRunner(), only_missing=True)
    assert cells(project, BAD).exists() and cells(project, GOOD).exists()
    told = [line for line in caplog.messages if "its manifest will lack" in line]
    assert len(told) == 1 and "No space left" in told[0]


def test_nothing_of_a_record_is_tried_twice_over(tmp_path: Path) -> None:
    hooks = LedgerHooks()
    hooks._partitions, hooks._unwritten = tmp_path / "no_folder" / "partitions.jsonl", False
    hooks._append({"a": 1})
    assert hooks._unwritten


@pytest.mark.parametrize("text", ['{"run_id": "r", "ba', None])
def test_a_torn_task_file_is_named(
    tmp_path: Path, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "task.json"
    if text is not None:
        path.write_text(text)
    assert worker.main([str(path), "0"]) == 1
    assert f"the task file {path} cannot be read" in capsys.readouterr().err


def local(project: Project, **default: Any) -> None:
    folder = project.path / "conf/resources"
    folder.mkdir(exist_ok=True)
    content = {"machine": {"cores": 1}, "default": {"mem": "300M", "time": "5"} | default}
    (folder / "local.yml").write_text(yaml.safe_dump(content))


def test_container_and_setup_hold_on_this_machine(project: Project) -> None:
    cells(project, BAD).unlink()
    seen = project.path / "seen"
    local(
        project,
        setup=["echo loaded", "export LOADED=yes"],
        container=["sh", "-c", f'echo "$LOADED" > {seen}; exec "$@"', "container"],
    )
    project.run("tabulation", runner=PartitionRunner(resources="local"), only_missing=True)
    assert cells(project, BAD).exists() and seen.read_text() == "yes\n"


def test_a_setup_line_that_fails_stops_the_task_and_is_shown(project: Project) -> None:
    cells(project, BAD).unlink()
    local(project, setup=["true", "cd /no/such/folder", "touch never"])
    with pytest.raises(RunFailedError, match="setup failed: cd /no/such/folder"):
        project.run("tabulation", runner=PartitionRunner(resources="local"), only_missing=True)
    assert not (project.path / "never").exists()


def test_prune_keeps_the_newest_and_what_still_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.path)
    metadata = bootstrap_project(project.path)

    def run(name: str, **more: Any) -> Path:
        folder = project.path / "runs" / name
        (folder / "jobs").mkdir(parents=True)
        content = {"run_id": name, "state": "done", "command": ["kedro", "run"], **more}
        (folder / "manifest.json").write_text(json.dumps(content))
        return folder

    done, other = run("2020-01-01"), run("2020-01-02", state="failed")
    live = run("2020-01-03", state="running", pid=os.getpid())
    queued = run("2020-01-04", state="running", pid=2**22 + 5)
    newest = max((project.path / "runs").iterdir())
    listed = CliRunner().invoke(cli, ["cyto", "prune", "--keep", "1"], obj=metadata)
    assert "2 runs" in listed.output and done.exists(), listed.output
    CliRunner().invoke(cli, ["cyto", "prune", "--keep", "1", "--yes"], obj=metadata)
    assert not done.exists() and not other.exists()
    assert live.exists() and queued.exists() and newest.exists()
    os.utime(queued, (1, 1))
    CliRunner().invoke(cli, ["cyto", "prune", "--keep", "1", "--yes"], obj=metadata)
    assert not queued.exists()
