"""The runner that sends batches to Dask: on this machine, at an address, or in jobs of PBS, SGE, LSF.

A batch is one future. On its worker a process of its own runs it, the one that `resources=local` uses
(`runner/local.py`): so setup, threads, time limit and a kill for memory are what they are there, and a
process serves one batch after the other. Records, ledger and files are on the disk that all machines
share.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cyto_kedro.errors import ConfigError, RunStoppedError
from cyto_kedro.runner.backend import Backend, Cause, Ended, Submission
from cyto_kedro.runner.base import BatchRunner
from cyto_kedro.runner.context import RunContext
from cyto_kedro.runner.dask_cluster import CORES, MEMORY, connect
from cyto_kedro.runner.local import LocalBackend
from cyto_kedro.runner.planning import Array
from cyto_kedro.runner.records import BatchRecord, TaskFolder, read_task
from cyto_kedro.runner.resources import Machine, Resources

log = logging.getLogger(__name__)

LOOK_S = 0.05
CANCEL_WAIT_S = 30.0
ANSWER_S = 10.0


class DaskRunner(BatchRunner):
    """Runs each node as Dask futures, one per batch of partitions.

    ``kedro run --runner cyto_kedro.runner.DaskRunner`` starts a cluster on this machine;
    ``--runner-params scheduler=tcp://host:8786`` uses one that is there (or ``scheduler=/share/s.json``,
    the file that ``dask scheduler --scheduler-file`` writes); ``machine: cluster`` of the resources gets
    the workers from a queue. Needs ``pip install cyto_kedro[dask]``, here and on the workers, and a disk
    that all of them see at the same path.

    Parameters
    ----------
    resources
        Name of a file in ``conf/resources``, without ``.yml``.
    scheduler
        Address or file of a scheduler; None starts a cluster on this machine, or in a queue's jobs.
    dry_run
        Show the plan and run nothing.

    Raises
    ------
    MissingExtraError
        If Dask's package `distributed` is not installed.
    ConfigError
        If nobody answers at `scheduler`.
    """

    def __init__(
        self,
        resources: str | None = "local",
        scheduler: str | None = None,
        dry_run: bool = False,
        is_async: bool = False,
        again: Sequence[str] = (),
    ) -> None:
        super().__init__(resources, dry_run, is_async, again)
        self._scheduler = scheduler

    def _backend(self, machine: Machine, context: RunContext) -> Backend:
        return DaskBackend(machine, self._scheduler)


class DaskBackend:
    """Runs batches as futures (see `Backend`).

    Tasks ask for ``cores`` and ``memory_mb`` where every worker says what it has of them (``dask worker
    --resources "cores=8 memory_mb=32000"``; the cluster of this machine does). Else a task is one
    thread of a worker, whatever it asks for.
    """

    largest = 1_000_000

    def __init__(self, machine: Machine, scheduler: str | None) -> None:
        self._client, self._cluster, self._jobs = connect(machine, scheduler)
        workers = list(self._client.scheduler_info(n_workers=-1)["workers"].values())
        said = [each["resources"] for each in workers]
        if self._jobs is not None:  # they are not there yet
            said = [self._jobs.each]
        self._said = {
            name: max(each[name] for each in said)
            for name in (CORES, MEMORY)
            if said and all(name in each for each in said)
        }
        threads = sum(each["nthreads"] for each in workers)
        self.slots = max(1, threads if self._jobs is None else self._jobs.threads)
        self._waiting: deque[tuple[Submission, int]] = deque()
        self._futures: dict[tuple[Submission, int], Any] = {}

    def check(self, asked: Sequence[Resources]) -> None:
        """Nothing: what is too large fails by itself, and stops only what depends on it."""

    def limits(self, asked: Resources) -> tuple[float | None, float | None]:
        """The memory of the largest worker, where workers say it; as much time as they like."""
        return self._said.get(MEMORY), None

    def room(self) -> int:
        """All that there is: tasks wait here, and with the scheduler."""
        return self.largest

    def _needs(self, asked: Resources) -> dict[str, float]:
        """What a task asks of a worker, in Dask's words."""
        needs = {CORES: float(asked.cpus_per_task), MEMORY: asked.mem_mb}
        return {name: needs[name] for name in self._said}

    def submit(self, submission: Submission) -> None:
        """Take an array; one that could never run is refused for good."""
        array = submission.array
        if array.resources.gres:
            raise ConfigError(
                f"{array.node} asks for gres: {array.resources.gres}, which only SLURM can give: take "
                "the line out of conf/resources, and start Dask's workers on machines with a GPU"
            )
        for name, needed in self._needs(array.resources).items():
            if needed > self._said[name]:
                raise ConfigError(
                    f"{array.node} asks for {array.resources.cpus_per_task} cores and "
                    f"{array.resources.mem}, but the largest worker has {name}={self._said[name]:g}: "
                    "lower cpus_per_task or mem in conf/resources, or start larger workers"
                )
        self._waiting.extend((submission, index) for index in sorted(submission.open))

    def poll(self) -> list[Ended]:
        """Collect what ended, then send what may run.

        Raises RunStoppedError if the scheduler is gone.
        """
        if self._client.status not in ("running", "connecting"):
            raise RunStoppedError(
                "Dask's scheduler is gone: start it again, and give the same command to go on"
            )
        ended = []
        for key, future in list(self._futures.items()):
            if future.done() and (end := _ended(*key, future)) is not None:
                del self._futures[key]
                ended.append(end)
        self._send()
        return ended

    def _send(self) -> None:
        if self._jobs is not None and (self._waiting or self._futures):
            self._jobs.keep()
        live = [submission for submission, _ in self._futures]
        held: deque[tuple[Submission, int]] = deque()
        while self._waiting:
            submission, index = self._waiting.popleft()
            asked = submission.array.resources
            if asked.max_parallel and live.count(submission) >= asked.max_parallel:
                held.append((submission, index))
                continue
            self._futures[submission, index] = self._client.submit(
                run_batch,
                str(submission.folder.task),
                index,
                key=f"{submission.name}_{index}",
                resources=self._needs(asked),
                pure=False,
            )
            live.append(submission)
        self._waiting = held

    def states(self) -> Mapping[str, int]:
        """Tasks by node and state, as far as the client knows: sent, or held back here."""
        running = {key for keys in self._client.processing().values() for key in keys}
        found: Counter[str] = Counter()
        for (submission, _), future in self._futures.items():
            state = "running" if future.key in running else "pending"
            found[f"{submission.array.node} {state}"] += 1
        for submission, _ in self._waiting:
            found[f"{submission.array.node} pending"] += 1
        return found

    def cancel(self) -> None:
        """Stop all batches, and wait until none writes any more."""
        self._waiting.clear()
        if self._client.status != "running":
            return
        self._client.cancel(list(self._futures.values()), force=True)
        self._futures.clear()
        end = time.monotonic() + CANCEL_WAIT_S
        while time.monotonic() < end and sum(self._client.run(busy).values()):
            time.sleep(LOOK_S)

    def close(self) -> None:
        """Let go of the workers; a cluster of this machine ends."""
        if self._client.status == "running":
            if self._futures:
                self.cancel()
            self._client.run(let_go)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def live(self, runs: Path) -> list[Submission]:
        """Nothing: a batch ends when its driver is gone."""
        return []

    def adopt(self, submission: Submission) -> None:
        """Nothing of an earlier driver lives on."""

    def drop(self, submission: Submission) -> None:
        """Nothing of an earlier driver lives on."""

    def text(self, submission: Submission) -> str:
        """What the scheduler is asked for."""
        asked = self._needs(submission.array.resources) or "one thread of a worker"
        where = self._client.scheduler.address
        jobs = "" if self._jobs is None else f", in jobs of:\n{self._jobs.script}"
        return f"{len(submission.open)} futures at {where}, each: {asked}{jobs}"


def _ended(submission: Submission, index: int, future: Any) -> Ended | None:
    """How a batch ended, by its future; None: its worker is gone with the answer, it runs again."""
    if future.status == "finished":
        try:
            record, cause, detail = future.result(timeout=ANSWER_S)
        except TimeoutError:  # what it wrote last is on disk all the same
            record, cause, detail = submission.folder.read(index), None, ""
            if record is None:
                return None
        return Ended(submission, index, record, cause, detail)
    if future.status != "error":
        return Ended(submission, index, None, Cause.LOST, "the scheduler dropped it")
    error = future.exception()
    died = type(error).__name__ == "KilledWorker"
    return Ended(submission, index, None, Cause.NODE if died else Cause.CODE, str(error))


# -- on the worker --------------------------------------------------------------------------------

_IDLE: list[tuple[str, LocalBackend]] = []  # project, with a process that waits for its next batch
_BUSY: set[int] = set()  # threads that run one


def run_batch(task: str, index: int) -> tuple[BatchRecord | None, Cause | None, str]:
    """Run batch `index` of a task file in a process of this machine; how it ended.

    It is stopped as soon as nobody wants it any more: cancelled, or the driver is gone.

    Raises ConfigError if the task file is not there: the worker does not see the driver's disk.
    """
    from distributed import get_worker

    read = read_task(Path(task))
    asked = Resources.model_validate(read.asked)
    array = Array(read.node, asked, tuple(tuple(batch) for batch in read.batches), read.attempt)
    submission = Submission(array, TaskFolder(Path(task).parent), Path(task).parent.name)
    submission.open = {index}
    worker = get_worker()
    key = worker.get_current_task()
    backend = _backend_for(read.project)
    _BUSY.add(threading.get_ident())
    try:
        backend.submit(submission)
        while not (ended := backend.poll()):
            if getattr(worker.state.tasks.get(key), "state", None) != "executing":
                raise RunStoppedError(f"{read.node}: batch {index} is not wanted any more")
            time.sleep(LOOK_S)
    except BaseException:
        backend.close()
        raise
    finally:
        _BUSY.discard(threading.get_ident())
    _IDLE.append((read.project, backend))
    return ended[0].record, ended[0].cause, ended[0].detail


def _backend_for(project: str) -> LocalBackend:
    """An idle one, with its process, if there is one and it is of this project; else a new one."""
    while _IDLE:
        try:
            known, backend = _IDLE.pop()
        except IndexError:  # another thread took it
            break
        if known == project:
            return backend
        backend.close()
    # what fits is Dask's to say
    return LocalBackend(Machine(cores=1_000_000, memory="1000000G"), Path(project))


def busy() -> int:
    """How many batches this worker runs."""
    return len(_BUSY)


def let_go() -> None:
    """End the processes that wait for a batch."""
    while _IDLE:
        _IDLE.pop()[1].close()
