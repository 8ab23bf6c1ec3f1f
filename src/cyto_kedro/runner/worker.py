"""One batch of a node, in a process of its own: ``python -m cyto_kedro.runner.worker TASK INDEX``.

A worker starts the driver's session again (environment, runtime parameters, run id), imports the one
pipeline it needs, and runs the node over its groups with the hooks of nodes and datasets. Hooks of
whole pipelines run once, in the driver. It notes each group as it ends and writes its record last:
a batch without a record did not end. With ``--serve`` it takes batches from its standard input, one
JSON ``[task file, index]`` a line, and answers each by a line.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.framework.startup import bootstrap_project
from kedro.io import MemoryDataset
from kedro.pipeline.node import Node
from kedro.runner.task import Task

from cyto_kedro.currency import group_of
from cyto_kedro.errors import ConfigError, CytoError, GroupsFailedError
from cyto_kedro.journals import end_all
from cyto_kedro.kedro_private import catalog_for, open_context, with_func
from cyto_kedro.lift import is_lifted, restrict, spec_of
from cyto_kedro.runner.graph import groups_of
from cyto_kedro.runner.memory import peak_mb, reset_peak
from cyto_kedro.runner.planning import Key, key_of
from cyto_kedro.runner.records import (
    BatchRecord,
    GroupRecord,
    Kind,
    TaskFile,
    TaskFolder,
    read_task,
    write_json,
)

log = logging.getLogger(__name__)

_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def _configured(project: Path) -> str:
    """Configure Kedro for the project, or for the installed package alone; the package's name."""
    from kedro.framework.project import configure_project

    if (project / "pyproject.toml").is_file():
        return bootstrap_project(project).package_name
    configure_project("cyto_kedro")  # the folder of a `python -m cyto_kedro`
    return "cyto_kedro"


def kind_of(error: BaseException | None) -> Kind:
    """What sort of failure an exception stands for, by its chain of causes."""
    while error is not None:
        if isinstance(error, MemoryError):
            return "memory"
        if isinstance(error, OSError) and error.errno in _STORAGE:
            return "storage"
        error = error.__cause__ or error.__context__
    return "code"


def said(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:2000]


@dataclass(frozen=True)
class Started:
    """A session as a worker needs it."""

    catalog: Any
    hooks: Any
    node: Node


class Recorder:
    """A plugin that knows which group of the node is being saved, and notes each that is."""

    def __init__(self, node: Node, note: Callable[[GroupRecord], None]) -> None:
        self._node, self._note = node, note
        self.done: dict[Key, GroupRecord] = {}
        self.saving: dict[str, str] | None = None
        self._clock = time.monotonic()

    def _group(self, dataset: str, data: Any) -> dict[str, str]:
        if not is_lifted(self._node.func):
            return {}
        spec, out = spec_of(self._node.func), self._node.outputs.index(dataset)
        return group_of(spec, out, next(iter(data))) if data else {}

    @hook_impl(tryfirst=True)
    def before_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Keep the group whose saving might fail."""
        self.saving = self._group(dataset_name, data)

    @hook_impl(trylast=True)  # after the ledger: a group is done once it is current
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Note a group whose last output was saved."""
        if dataset_name != node.outputs[-1] or self.saving is None:
            return
        now = time.monotonic()
        record = GroupRecord(
            group=self.saving, state="done", seconds=round(now - self._clock, 4), peak_mb=peak_mb()
        )
        self.done[key_of(self.saving)] = record
        self._note(record)
        self.saving, self._clock = None, now
        reset_peak()


class Worker:
    """Runs batches, one after the other: one session for all of a run, a catalog for each pipeline."""

    def __init__(self) -> None:
        self._for: str | None = None
        self._session: tuple[Any, Any] | None = None
        self._opened: dict[str, tuple[Any, dict[str, Node]]] = {}

    def start(self, task: TaskFile) -> Started:
        """The session of `task`, with its node.

        Raises ConfigError if the pipeline has no node of that name.
        """
        from kedro.framework.project import pipelines

        array = {"pipeline", "node", "batches", "attempt", "asked", "places"}
        key = task.model_dump_json(exclude=array)
        if self._session is None or key != self._for:
            self._session, self._for, self._opened = self._open(task), key, {}
        context, hooks = self._session
        if task.pipeline not in self._opened:
            pipelines.set_requested([task.pipeline])
            named = {node.name: node for node in pipelines[task.pipeline].nodes}
            self._opened[task.pipeline] = catalog_for(context, task.pipeline, task.run_id), named
        catalog, nodes = self._opened[task.pipeline]
        if task.node not in nodes:
            raise ConfigError(f"pipeline {task.pipeline!r} has no node {task.node!r}")
        node = nodes[task.node]
        for name in (*node.inputs, *node.outputs):
            catalog.get(name, fallback_to_runtime_pattern=True)
        return Started(catalog, hooks, node)

    @staticmethod
    def _open(task: TaskFile) -> tuple[Any, Any]:
        """Context and hooks of a session like the driver's."""
        return open_context(
            task.run_id,
            Path(task.project),
            _configured(Path(task.project)),
            task.conf_source,
            task.env,
            task.runtime_params,
        )

    def run(self, path: Path, index: int) -> bool:
        """Run batch `index` of a task file and write its record; whether every group is done."""
        task = read_task(path)
        folder, groups = TaskFolder(path.parent), task.batches[index]
        began = datetime.now(UTC)
        where = {
            "host": socket.gethostname(),
            "job": _job(),
            "attempt": task.attempt,
        }
        reset_peak()
        # a batch that the cluster itself started again must not add to what its first try noted
        folder.progress(index).unlink(missing_ok=True)
        try:
            started = self.start(task)
            _join(started, task, folder, index, where)
            start_s = _age()
            records = run_groups(started, groups, lambda each: _note(folder, index, each))
        except Exception as error:
            log.exception("%s: batch %d failed before its first group", task.node, index)
            start_s = None
            records = [
                GroupRecord(group=group, state="failed", kind=kind_of(error), error=said(error))
                for group in groups
            ]
        record = BatchRecord(
            index=index,
            pid=os.getpid(),
            started=began,
            finished=datetime.now(UTC),
            start_s=start_s,
            peak_mb=max((each.peak_mb or 0.0 for each in records), default=0.0) or peak_mb(),
            groups=tuple(records),
            **where,
        )
        end_all()  # a batch with a record writes no more to ledgers
        write_json(folder.record(index), record.model_dump_json())
        folder.progress(index).unlink(missing_ok=True)  # the record says it all
        return all(each.state == "done" for each in records)


def run_groups(
    started: Started, groups: Sequence[dict[str, str]], note: Callable[[GroupRecord], None]
) -> list[GroupRecord]:
    """Run the node over `groups`; one that fails, even while it is saved, stops no other."""
    node, catalog, hooks = started.node, started.catalog, started.hooks
    recorder = Recorder(node, note)
    hooks.register(recorder)
    failed: dict[Key, GroupRecord] = {}

    def fail(group: dict[str, str], error: BaseException) -> None:
        record = GroupRecord(group=group, state="failed", kind=kind_of(error), error=said(error))
        failed[key_of(group)] = record
        note(record)

    remaining = list(groups)
    try:
        while remaining:
            func = restrict(node.func, remaining) if is_lifted(node.func) else node.func
            try:
                Task(
                    node=with_func(node, func), catalog=catalog, hook_manager=hooks, is_async=False
                ).execute()
                error: Exception | None = None
            except GroupsFailedError as several:
                for group, each in several.failures:
                    fail(group, each)
                error = None
            except Exception as other:
                log.error("%s: %s", node.name, other, exc_info=not isinstance(other, CytoError))
                error = other
                if recorder.saving is not None:
                    fail(recorder.saving, other)
                    recorder.saving = None
                else:  # an input that all groups share, or the node as a whole
                    for group in remaining:
                        if key_of(group) not in recorder.done:
                            fail(group, other)
            ended = recorder.done.keys() | failed.keys()
            left = [group for group in remaining if key_of(group) not in ended]
            if left and (error is None or len(left) == len(remaining)):
                for group in left:
                    fail(group, error or ConfigError("the node ended without saving this group"))
                break
            remaining = left
    finally:
        hooks.unregister(recorder)
        for name in node.inputs:
            if not isinstance(catalog.get(name), MemoryDataset):
                catalog.release(name)
    both = recorder.done | failed
    return [both[key_of(group)] for group in groups]


def execute(node: Node, catalog: Any, hooks: Any, run_id: str) -> list[GroupRecord]:
    """Run a node in the driver's process; the groups that failed, even while they were saved."""
    if not is_lifted(node.func):
        Task(
            node=node, catalog=catalog, hook_manager=hooks, is_async=False, run_id=run_id
        ).execute()
        return []
    groups = [dict(group) for group in groups_of(node, catalog)]
    records = run_groups(Started(catalog, hooks, node), groups, lambda record: None)
    failed = [each for each in records if each.state == "failed"]
    if failed:
        log.error("%s: %d of %d groups failed", node.name, len(failed), len(records))
    return failed


def _join(
    started: Started, task: TaskFile, folder: TaskFolder, index: int, where: dict[str, Any]
) -> None:
    """Let plugins that keep something of a run (our ledger) know which run this is a part of."""
    folder.saved(index).unlink(missing_ok=True)
    for plugin in started.hooks.get_plugins():
        join = getattr(plugin, "join_run", None)
        if join is not None:
            join(task.run_id, started.catalog, folder.saved(index), where)


def _note(folder: TaskFolder, index: int, record: GroupRecord) -> None:
    with folder.progress(index).open("a", encoding="utf-8") as file:
        file.write(record.model_dump_json() + "\n")


def _job() -> str | None:
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def _age() -> float | None:
    """Seconds since this process was started (Linux)."""
    try:
        ticks = int(
            Path("/proc/self/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[19]
        )
        up = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return round(up - ticks / os.sysconf("SC_CLK_TCK"), 3)


def _serve() -> None:
    """Run the batches that a local driver names; stop as soon as it is gone."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    lines: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put("")
        if busy.is_set():  # the driver is gone: leave no half-written file, compute nothing twice
            os.kill(os.getpid(), signal.SIGTERM)

    busy, worker = threading.Event(), Worker()
    threading.Thread(target=listen, daemon=True).start()
    while line := lines.get():
        busy.set()
        path, index = json.loads(line)
        with TaskFolder(Path(path).parent).log(index).open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        worker.run(Path(path), index)
        sys.stdout.flush()
        sys.stderr.flush()
        busy.clear()
        answers.write(f"ended {index}\n")
        answers.flush()


def _stop(number: int, frame: Any) -> None:
    # SLURM's SIGTERM comes some seconds before its SIGKILL: unwinding removes half-written files
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    """Run one batch (``TASK INDEX``), or serve (``--serve``); 0 when every group is done."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        if list(arguments) == ["--serve"]:
            _serve()
            return 0
        path, index = arguments
        return 0 if Worker().run(Path(path), int(index)) else 1
    except ConfigError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
