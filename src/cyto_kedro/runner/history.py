"""What a run leaves in its folder, ``runs/<run_id>``, read back while it runs and after it ended."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyto_kedro.errors import InputError, unknown
from cyto_kedro.process import alive, is_here
from cyto_kedro.runner.lease import is_over

log = logging.getLogger(__name__)

QUEUE_S = 30 * 86400.0  # how long a job may wait


def collect(folder: Path) -> dict[str, Any]:
    """The partitions that were saved, and what became of each task, as far as the run has come.

    Returns ``partitions``: one item each, from the driver and from all workers; ``tasks``: one item
    per batch, only where a runner started batches.
    """
    workers = sorted(folder.glob("jobs/*/*/*.partitions.jsonl"))
    files = [folder / "partitions.jsonl", *workers]
    found: dict[str, Any] = {"partitions": [each for path in files for each in lines(path)]}
    if tasks := list(lines(folder / "tasks.jsonl")):
        found["tasks"] = tasks
    return found


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a run; of one that did not end, with what it did so far.

    ``state`` is ``done``, ``failed``, ``running``, or ``killed`` where the process that drove it is
    gone without a word (its jobs may run on; a resuming run takes them over). Of a run on another
    machine its lease tells: it is void, or another run's.
    """
    run: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if run["state"] != "running":
        return run
    lease = run.get("lease")
    if is_here(run):
        gone = not alive(run.get("pid"), run.get("born"))
    else:
        gone = lease is not None and is_over(Path(lease), str(run.get("run_id")))
    if gone:
        run["state"] = "killed"
    return run | collect(folder)


def find(runs: Path, run_id: str | None = None, env: str | None = None) -> dict[str, Any]:
    """The manifest of a run, by default of the last one of an environment that was finished.

    Raises InputError if there is none.
    """
    folders = sorted(path.parent for path in runs.glob("*/manifest.json"))
    if run_id is not None:
        if run_id not in (names := [each.name for each in folders]):
            raise InputError(unknown("run", run_id, names))
        return read(runs / run_id)
    for folder in reversed(folders):
        run = read(folder)
        if run["state"] == "done" and run.get("env") == env:
            return run
    raise InputError(
        f"no run of the environment {env or 'base'} was finished yet in {runs}: start kedro run, or "
        "name another environment with --env"
    )


def old_runs(runs: Path, keep: int) -> list[tuple[Path, int]]:
    """Folders of runs that ended, but for the newest `keep`, with their sizes in bytes."""
    folders = sorted(path.parent for path in runs.glob("*/manifest.json"))
    found = []
    for folder in folders[: max(0, len(folders) - keep)]:
        try:
            state = read(folder)["state"]
        except (OSError, ValueError, KeyError):
            state = "unreadable"
        waits = state == "killed" and (folder / "jobs").is_dir()  # maybe in a cluster's queue
        if state != "running" and not (waits and time.time() - folder.stat().st_mtime < QUEUE_S):
            sizes = (each.stat().st_size for each in folder.rglob("*") if each.is_file())
            found.append((folder, sum(sizes)))
    return found


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON lines of a file; a last one that a killed process left torn is skipped."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            log.warning("%s: skipped a torn line", path)
