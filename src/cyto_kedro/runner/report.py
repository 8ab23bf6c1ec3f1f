"""What a run tells people: progress while it runs, a table of failures at its end."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyto_kedro.runner.backend import Ended
from cyto_kedro.runner.records import GroupRecord

SHOWN = 20  # failures in the table; all are in the run's manifest


@dataclass(frozen=True)
class Failure:
    """A group that was given up."""

    node: str
    group: Mapping[str, str]
    reason: str
    attempts: int
    log: Path | None = None
    tail: str = ""

    @property
    def where(self) -> str:
        """The group as a partition id, or a dash for a node without partitions."""
        return "/".join(self.group.values()) or "-"


def resume_command(incremental: bool, arguments: Sequence[str] | None = None) -> str:
    """The command that goes on where this run ended.

    A run that was not `incremental` comes from ``--all``, or from the ``run`` of another project,
    which is Kedro's and needs the flag.
    """
    words = list(sys.argv if arguments is None else arguments)
    flag = [] if incremental or "--all" in words else ["--only-missing-outputs"]
    if Path(words[0]).name not in ("kedro", "python -m kedro") or "run" not in words:
        return " ".join(["the same `kedro run ...`", *(f"with {each}" for each in flag)])
    return shlex.join(["kedro", *(word for word in words[1:] if word != "--all"), *flag])


def going_on(command: str) -> str:
    """What comes after a run that stopped."""
    return f"What is finished stays. Mend the cause, then go on with: {command}"


def failure_table(failures: Sequence[Failure], blocked: Iterable[str], command: str) -> str:
    """Failures as text: node, partition, reason, attempts, log file and its last lines."""
    nodes = list(dict.fromkeys(each.node for each in failures))
    blocked = list(blocked)
    head = (
        f"{len(nodes)} nodes failed: {', '.join(nodes)}; "
        f"{len(blocked)} that depend on them were not run in full"
    )
    lines = [f"{head}." if not blocked else f"{head} ({', '.join(blocked)})."]
    rows = [("node", "partition", "attempts", "reason")]
    for at, each in enumerate(failures[:SHOWN]):
        same = at > 0 and each.reason == failures[at - 1].reason
        rows.append((each.node, each.where, str(each.attempts), '"' if same else each.reason))
    widths = [min(60, max(len(row[i]) for row in rows)) for i in range(3)]
    said: set[tuple[Path | None, str]] = set()
    for number, row in enumerate(rows):
        lines.append("  ".join(cell.ljust(w) for cell, w in zip(row, [*widths, 0], strict=True)))
        if number == 0:
            continue
        failure = failures[number - 1]
        if failure.log is not None and (failure.log, failure.tail) not in said:
            said.add((failure.log, failure.tail))
            lines.append(f"    log: {failure.log}")
            lines += [f"    | {line}" for line in failure.tail.splitlines()]
    if len(failures) > SHOWN:
        lines.append(f"... and {len(failures) - SHOWN} more; all are in the run's manifest")
    lines.append(going_on(command))
    return "\n".join(lines)


def task_line(ended: Ended, done: int, failed: Sequence[GroupRecord], reason: str) -> str:
    """One ended batch as a JSON line for the run's manifest."""
    sub, record = ended.submission, ended.record
    asked = sub.array.resources
    line: dict[str, Any] = {
        "node": sub.array.node,
        "array": sub.folder.path.name,
        "index": ended.index,
        "job": sub.job_of(ended.index) or (record.job if record else None),
        "attempt": sub.array.attempt,
        "state": reason or "done",
        "detail": ended.detail,
        "groups": len(sub.array.batches[ended.index]),
        "done": done,
        "failed": [each.model_dump(exclude_none=True) for each in failed],
        "asked": {"mem_mb": asked.mem_mb, "time_s": asked.time_s, "cpus": asked.cpus_per_task},
        "log": str(sub.folder.log(ended.index)),
    }
    if record is not None:
        line |= {
            "host": record.host,
            "started": record.started.isoformat(),
            "finished": record.finished.isoformat(),
            "seconds": round((record.finished - record.started).total_seconds(), 3),
            "start_s": record.start_s,
            "peak_mb": record.peak_mb,
        }
    return json.dumps(line)


def usage(tasks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each node's tasks used of what they asked for, from the manifest's ``tasks``."""
    by_node: dict[str, list[Mapping[str, Any]]] = {}
    for task in tasks:
        by_node.setdefault(task["node"], []).append(task)
    rows = []
    for node, each in by_node.items():
        seconds = [task["seconds"] for task in each if task.get("seconds") is not None]
        peaks = [task["peak_mb"] for task in each if task.get("peak_mb")]
        rows.append(
            {
                "node": node,
                "tasks": len(each),
                "again": sum(task["attempt"] > 1 for task in each),
                "failed": sum(bool(task["failed"]) for task in each),
                "hosts": sorted({task["host"] for task in each if "host" in task}),
                "cpu_h": sum(
                    task["seconds"] * task["asked"]["cpus"]
                    for task in each
                    if task.get("seconds") is not None
                )
                / 3600,
                "time_s": max(seconds, default=None),
                "asked_time_s": max(task["asked"]["time_s"] for task in each),
                "peak_mb": max(peaks, default=None),
                "asked_mb": max(task["asked"]["mem_mb"] for task in each),
            }
        )
    return rows


def left(done: int, total: int, spent_s: float) -> str:
    """How long the rest will take, in words."""
    if not done or done >= total:
        return ""
    return f", {about(spent_s / done * (total - done))} left"


def about(seconds: float) -> str:
    """A time in words, as exact as it is known."""
    return f"about {seconds:.0f} s" if seconds < 120 else f"about {seconds / 60:.0f} min"
