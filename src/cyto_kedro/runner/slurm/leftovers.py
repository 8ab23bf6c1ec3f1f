"""Jobs that a dead driver left in the queue: they write on, although its lease is void."""

from __future__ import annotations

import getpass
import logging
from pathlib import Path
from typing import Any

from cyto_kedro.errors import ConfigError
from cyto_kedro.runner.records import TaskFolder, read_task
from cyto_kedro.runner.slurm.client import NAME, Client

log = logging.getLogger(__name__)


def still_writes(holder: dict[str, Any], place: Path) -> str | None:
    """Why `place` is not free although the driver that held it is dead; None where it is.

    `holder`: what its lease says of the driver: user, run, and the folder of its project's runs.
    `place`: the path of an output.
    """
    runs = Path(str(holder.get("runs") or ""))
    if not holder.get("runs") or next(runs.glob("*/jobs/*/*/job.json"), None) is None:
        return None  # it submitted nothing
    dead = f"run {holder.get('run_id')} of {runs.parent} is dead"
    try:
        user = str(holder.get("user"))
        names = Client().ours(None if user == getpass.getuser() else user)
    except (ConfigError, KeyError):
        log.warning("%s; whether jobs of it still go on cannot be told here, without squeue", dead)
        return None
    if names is None:
        return (
            f"{dead}, and SLURM does not say whether jobs of it still write {place}: start again when "
            "`squeue` answers"
        )
    for name, jobs in names.items():
        match = NAME.fullmatch(name)
        assert match is not None
        folder = TaskFolder(runs / match["run"] / "jobs" / match["node"] / match["number"])
        try:
            task = read_task(folder.task)
        except ConfigError:  # another project's
            continue
        if Path(task.project).resolve() != runs.parent.resolve() or place.resolve() not in {
            Path(each).resolve() for each in task.places if "://" not in each
        }:
            continue
        return (
            f"{dead}, but its job {min(jobs)} ({name}) still writes {place}: wait for it, take it over "
            f"by giving that run's command again in {runs.parent}, or cancel it: scancel {min(jobs)}"
        )
    return None
