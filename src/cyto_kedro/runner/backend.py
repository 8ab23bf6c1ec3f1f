"""What a driver asks of the place where batches run: this machine, or a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from cyto_kedro.runner.planning import Array
from cyto_kedro.runner.records import BatchRecord, GroupRecord, TaskFile, TaskFolder
from cyto_kedro.runner.resources import Resources


class Cause(StrEnum):
    """Why a group is not done."""

    CODE = "error"
    STORAGE = "storage"
    MEMORY = "out of memory"
    TIME = "time limit"
    NODE = "node failure"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    NEVER = "cannot start"
    LOST = "lost"

    @property
    def restart(self) -> bool:
        """Not the node's own fault: run again as it was."""
        return self in (Cause.NODE, Cause.PREEMPTED, Cause.LOST)

    @property
    def grows(self) -> bool:
        """Run again with more of what was too small."""
        return self in (Cause.MEMORY, Cause.TIME)


@dataclass(eq=False)
class Submission:
    """An array that was handed to a backend, and its folder ``runs/<run>/jobs/<node>/<number>``."""

    array: Array
    folder: TaskFolder
    name: str
    job: str | None = None
    adopted: bool = False
    open: set[int] = field(default_factory=set)
    task: TaskFile | None = None  # of an array of an earlier driver

    def __post_init__(self) -> None:
        self.open = set(range(len(self.array.batches)))

    def job_of(self, index: int) -> str | None:
        """The cluster's name of a task."""
        return None if self.job is None else f"{self.job}_{index}"


@dataclass(frozen=True)
class Ended:
    """A batch that ended: with a record, or for a cause that the backend found."""

    submission: Submission
    index: int
    record: BatchRecord | None = None
    cause: Cause | None = None
    detail: str = ""


def why(ended: Ended, found: GroupRecord | None) -> tuple[Cause, str]:
    """Why a group is not done, and in words."""
    if found is not None and found.state == "failed":
        cause = {"memory": Cause.MEMORY, "storage": Cause.STORAGE}.get(found.kind or "", Cause.CODE)
        text = found.error or cause.value
        return cause, text if cause is Cause.CODE else f"{cause.value}: {text}"
    cause = ended.cause or Cause.LOST
    return cause, f"{cause.value} ({ended.detail})" if ended.detail else cause.value


def may_retry(array: Array, cause: Cause) -> bool:
    """Whether what an array lost to `cause` is run again."""
    asked = array.resources
    if cause.grows:
        return array.attempt - array.restarts < asked.attempts
    return cause.restart and array.restarts < asked.restarts


def beyond(asked: Resources, cause: Cause, limits: tuple[float | None, float | None]) -> str:
    """Why asking for more does not help, since a task had the most that there is; else empty."""
    if cause is Cause.MEMORY and limits[0] is not None and asked.mem_mb >= limits[0]:
        return f"{asked.mem} is all that the largest machine has, so it is not tried again"
    if cause is Cause.TIME and limits[1] is not None and asked.time_s >= limits[1]:
        return f"{asked.time} is the longest time that there is, so it is not tried again"
    return ""


class Refused(Exception):
    """A backend cannot take the array now, but may later (a submit limit, a busy controller)."""


class Backend(Protocol):
    """Runs batches."""

    slots: int

    @property
    def largest(self) -> int:
        """How many tasks an array may have."""

    def check(self, asked: Sequence[Resources]) -> None:
        """Refuse, before anything runs, what could never run here; raises `ConfigError`."""

    def limits(self, asked: Resources) -> tuple[float | None, float | None]:
        """The most memory (MiB) and time (s) that a task like this can get; None: unknown."""

    def room(self) -> int:
        """How many more tasks may be handed in."""

    def submit(self, submission: Submission) -> None:
        """Take an array whose folder holds its task file; raises `Refused` where it cannot now."""

    def poll(self) -> list[Ended]:
        """The batches that ended since the last call; returns soon."""

    def states(self) -> Mapping[str, int]:
        """How many tasks of each state (running, pending) there are, by node and state."""

    def cancel(self) -> None:
        """Stop everything that was submitted."""

    def live(self, runs: Path) -> list[Submission]:
        """What an earlier driver left running."""

    def adopt(self, submission: Submission) -> None:
        """Watch over an array of an earlier driver."""

    def drop(self, submission: Submission) -> None:
        """Stop an array of an earlier driver, and wait until it is gone."""

    def text(self, submission: Submission) -> str:
        """How the array would be started, for a dry run."""

    def close(self) -> None:
        """Let go of what is held."""
