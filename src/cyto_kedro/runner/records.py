"""What driver and worker tell each other through files: the task file, and a record per batch."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cyto_kedro.errors import ConfigError

log = logging.getLogger(__name__)

Kind = Literal["code", "memory", "storage"]


class TaskFile(BaseModel):
    """One array: the session to start, the node, and the groups of each batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    project: str
    conf_source: str
    env: str | None
    runtime_params: dict[str, Any]
    pipeline: str
    node: str
    attempt: int
    asked: dict[str, Any]
    batches: tuple[tuple[dict[str, str], ...], ...]
    places: tuple[str, ...] = ()  # where its node writes


class GroupRecord(BaseModel):
    """How one group of a batch ended."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    group: dict[str, str]
    state: Literal["done", "failed"]
    seconds: float | None = None
    peak_mb: float | None = None
    kind: Kind | None = None
    error: str | None = None


class BatchRecord(BaseModel):
    """A worker's last word on its batch; written whole, at the end."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    index: int
    host: str
    pid: int
    job: str | None = None
    attempt: int = 1
    started: datetime
    finished: datetime
    start_s: float | None = Field(default=None, description="process start to the node's start")
    peak_mb: float | None = None
    groups: tuple[GroupRecord, ...]


def read_task(path: Path) -> TaskFile:
    """The task file at `path`. Raises ConfigError if it cannot be read, or is torn."""
    try:
        return TaskFile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        text = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"the task file {path} cannot be read, so its partitions are not known ({text}): give the "
            "command of the run again, which makes what is missing"
        ) from error


def write_json(path: Path, text: str) -> None:
    """Put `text` at `path`, whole or not at all, on disk when this returns."""
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class TaskFolder:
    """The folder of one array: ``task.json``, ``<index>.json``, ``<index>.jsonl``, ``<index>.log``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def task(self) -> Path:
        """The task file."""
        return self.path / "task.json"

    def record(self, index: int) -> Path:
        """Where batch `index` leaves its record."""
        return self.path / f"{index}.json"

    def saved(self, index: int) -> Path:
        """Where batch `index` notes each partition as it is saved."""
        return self.path / f"{index}.partitions.jsonl"

    def progress(self, index: int) -> Path:
        """Where batch `index` notes each group as it ends, in case it is killed."""
        return self.path / f"{index}.groups.jsonl"

    def log(self, index: int) -> Path:
        """The log of batch `index`."""
        return self.path / f"{index}.log"

    def finished(self) -> set[int]:
        """Batches with a record, by one listing (which also refreshes a network share's cache).

        Empty where the share cannot say now (a stale handle): the next listing will.
        """
        try:
            with os.scandir(self.path) as entries:
                stems = [entry.name.removesuffix(".json") for entry in entries]
        except OSError as error:
            log.warning("%s cannot be listed now: %s", self.path, error)
            return set()
        return {int(stem) for stem in stems if stem.isdigit()}

    def read(self, index: int) -> BatchRecord | None:
        """The record of batch `index`, or None."""
        try:
            return BatchRecord.model_validate_json(self.record(index).read_bytes())
        except (OSError, ValidationError):
            return None

    def read_progress(self, index: int) -> list[GroupRecord]:
        """The groups that a batch ended before it was killed (a torn last line is left out)."""
        try:
            lines = self.progress(index).read_bytes().splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            try:
                found.append(GroupRecord.model_validate_json(line))
            except ValidationError:
                continue
        return found

    def groups(self, index: int) -> Sequence[GroupRecord]:
        """The groups that batch `index` ended, by its record, or by its progress where it has none."""
        progress = self.read_progress(index)  # first: it is removed once the record is there
        record = self.read(index)
        return progress if record is None else record.groups

    def tail(self, index: int, lines: int = 8) -> str:
        """The last lines of a batch's log."""
        try:
            with self.log(index).open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - 16384))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.rstrip().splitlines()[-lines:])
