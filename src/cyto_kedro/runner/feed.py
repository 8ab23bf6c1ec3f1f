"""Feeding arrays to a backend: cut to what it takes, asked again where it refuses."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cyto_kedro.errors import ConfigError, RunFailedError
from cyto_kedro.runner.backend import Backend, Refused, Submission
from cyto_kedro.runner.context import RunContext
from cyto_kedro.runner.planning import Array, safe_name
from cyto_kedro.runner.records import TaskFile, TaskFolder, write_json
from cyto_kedro.runner.resources import Machine

log = logging.getLogger(__name__)

REFUSED_S, REFUSED_MAX_S = 2.0, 60.0


class Feed:
    """The arrays that wait to be handed in.

    Parameters
    ----------
    homes
        For each node the registered pipelines that hold it, the smallest first.
    places
        For each node where it writes: a later driver asks whether a job that still runs concerns it.
    """

    def __init__(
        self,
        backend: Backend,
        context: RunContext,
        run_id: str,
        machine: Machine,
        homes: Mapping[str, Sequence[str]],
        places: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._backend, self._context, self._run_id = backend, context, run_id
        self._machine, self._homes, self._places = machine, homes, places or {}
        self._queue: deque[Array] = deque()
        self._live: Counter[str] = Counter()
        self._numbers: Counter[str] = Counter()
        self._until, self._since, self._wait = 0.0, 0.0, REFUSED_S
        self._piece = 1 << 20
        self._submitted: list[Submission] = []
        self.refused: list[tuple[Array, str]] = []

    def push(self, array: Array) -> None:
        """Queue an array, joined to one that waits and asks for the same."""
        for at, other in enumerate(self._queue):
            if replace(other, batches=()) == replace(array, batches=()):
                self._queue[at] = replace(other, batches=(*other.batches, *array.batches))
                return
        self._queue.append(array)

    def ended(self, node: str) -> None:
        """Count a task that ended."""
        self._live[node] -= 1

    def kept(self) -> int:
        """Partitions that batches saved before they were cancelled."""
        self._submitted = [each for each in self._submitted if each.open]
        return sum(
            group.state == "done"
            for each in self._submitted
            for index in each.open
            for group in each.folder.groups(index)
        )

    def submit(self) -> bool:
        """Hand in what there is room for; what is refused for good is put into `refused`.

        Raises RunFailedError if nothing was accepted for ``submit_wait_s``.
        """
        if time.monotonic() < self._until:
            return False
        held: list[Array] = []
        moved = False
        while self._queue:
            array = self._queue.popleft()
            room = min(self._backend.room(), self._backend.largest, self._piece)
            # arrays of one node do not know of each other: one at a time keeps max_parallel
            if room < 1 or (array.resources.max_parallel and self._live[array.node]):
                held.append(array)
                continue
            first = replace(array, batches=array.batches[:room])
            try:
                submission = self._prepare(first)
                self._backend.submit(submission)
                self._submitted.append(submission)
            except Refused as error:
                self._later(first, error)
                held.append(array)
                break
            except OSError as error:
                where = self._context.runs
                self.refused.append((array, f"{where}: its task file cannot be written: {error}"))
                continue
            except ConfigError as error:
                self.refused.append((array, str(error)))
                continue
            self._live[array.node] += len(first.batches)
            self._since, self._wait, moved = 0.0, REFUSED_S, True
            self._piece *= 2
            if array.batches[room:]:
                self._queue.appendleft(replace(array, batches=array.batches[room:]))
        self._queue.extendleft(reversed(held))
        return moved

    def _later(self, array: Array, error: Refused) -> None:
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since > self._machine.submit_wait_s:
            raise RunFailedError(f"no job was accepted any more: {error}") from error
        log.warning(
            "%s: not accepted now, asked again in %.0f s: %s", array.node, self._wait, error
        )
        self._piece = max(1, len(array.batches) // 2)  # a limit may leave room for less
        self._until = now + self._wait
        self._wait = min(2 * self._wait, REFUSED_MAX_S)

    def _prepare(self, array: Array) -> Submission:
        """Give an array its folder and task file."""
        homes = self._homes.get(array.node)
        if not homes:
            raise ConfigError(
                f"node {array.node!r} is in no registered pipeline, so a worker could not find it"
            )
        self._numbers[array.node] += 1
        name, number = safe_name(array.node), self._numbers[array.node]
        path = self._context.runs / self._run_id / "jobs" / name / f"{number:03d}"
        path.mkdir(parents=True, exist_ok=True)
        folder = TaskFolder(path)
        task = TaskFile(
            run_id=self._run_id,
            project=str(self._context.project),
            conf_source=str(self._context.conf_source),
            env=self._context.env,
            runtime_params=dict(self._context.runtime_params),
            pipeline=homes[0],
            node=array.node,
            attempt=array.attempt,
            asked=array.resources.model_dump(mode="json"),
            batches=tuple(tuple(dict(group) for group in batch) for batch in array.batches),
            places=tuple(self._places.get(array.node, ())),
        )
        write_json(folder.task, task.model_dump_json())
        return Submission(array, folder, f"cyto:{self._run_id}:{name}:{number:03d}")
