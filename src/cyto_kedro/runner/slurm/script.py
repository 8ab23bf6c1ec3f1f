"""The text that sbatch gets: one pure function."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from cyto_kedro.runner.resources import Resources, setup_lines


def directive(text: str) -> str:
    """A value of an ``#SBATCH`` line, quoted as sbatch itself (no shell) reads it."""
    if text and not set(text) & set(" \t\"'\\#"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def log_pattern(folder: Path) -> str:
    """Where tasks log: ``<folder>/<task>.log``, a percent sign of the folder doubled."""
    return str(folder).replace("%", "%%") + "/%a.log"


def script(
    asked: Resources,
    *,
    name: str,
    project: Path,
    folder: Path,
    tasks: Iterable[int],
) -> str:
    """The batch script of one array.

    Parameters
    ----------
    asked
        Resources of each task.
    name
        The job's name.
    project
        Where tasks start.
    folder
        The array's folder: it holds ``task.json``, logs go there.
    tasks
        Indices of the batches.

    Returns
    -------
    str
        A bash script. It ends in ``exec``: a task killed for its memory is then seen as such by
        SLURM. ``--no-requeue``: what a failed machine lost is submitted again by the driver, which
        counts the tries, instead of two minutes later by SLURM.
    """
    indices = list(tasks)
    whole = indices == list(range(len(indices)))
    array = f"0-{len(indices) - 1}" if whole else ",".join(map(str, indices))
    if asked.max_parallel is not None:
        array += f"%{asked.max_parallel}"
    options = {
        "job-name": name,
        "array": array,
        "chdir": str(project),
        "output": log_pattern(folder),
        "nodes": "1",
        "ntasks": "1",
        "cpus-per-task": str(asked.cpus_per_task),
        "mem": asked.mem,
        "time": asked.time,
        "partition": asked.partition,
        "account": asked.account,
        "qos": asked.qos,
        "gres": asked.gres,
        "constraint": asked.constraint,
    }
    lines = ["#!/bin/bash"]
    lines += [f"#SBATCH --{key}={directive(value)}" for key, value in options.items() if value]
    lines += ["#SBATCH --no-requeue", "#SBATCH --open-mode=truncate"]
    lines += [f"#SBATCH {option}" for option in asked.options]
    variables = dict(asked.threads())
    if asked.scratch:
        variables["TMPDIR"] = asked.scratch
    variables |= {"COLUMNS": "160", **asked.environment}
    lines += [f"export {key}={shlex.quote(value)}" for key, value in variables.items()]
    lines += setup_lines(asked.setup)
    command = [
        *asked.container,
        asked.python or sys.executable,
        *("-m", "cyto_kedro.runner.worker"),
        str(folder / "task.json"),
    ]
    lines.append(f'exec {shlex.join(command)} "$SLURM_ARRAY_TASK_ID"')
    return "\n".join(lines) + "\n"
