"""Batches in processes of this machine, bounded by its cores, memory and GPUs.

A worker process serves one batch after the other, so that Kedro is started once a slot and not once
a batch. Workers are told apart by what their tasks ask of the environment (threads, Python), and each
that asks for a GPU has one that no other is given.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cyto_kedro.errors import ConfigError, RunStoppedError
from cyto_kedro.runner.backend import Cause, Ended, Submission
from cyto_kedro.runner.gpus import VARIABLE, gpus_asked, gpus_here
from cyto_kedro.runner.memory import cores, total_mb
from cyto_kedro.runner.resources import SETUP_FAILED, Machine, Resources, megabytes, setup_lines

GRACE_S = 10.0
WORKER = ("-m", "cyto_kedro.runner.worker")


@dataclass(eq=False)
class Slot:
    """A worker process, and the batch it runs (None: idle)."""

    process: subprocess.Popen[bytes]
    kind: str
    gpus: tuple[str, ...] = ()
    task: tuple[Submission, int] | None = None
    began: float = 0.0
    heard: bytes = b""

    def end(self, submission: Submission, index: int, cause: Cause | None, why: str) -> Ended:
        """How the batch of this slot ended."""
        self.task = None
        return Ended(submission, index, submission.folder.read(index), cause, why)


class LocalBackend:
    """Runs batches in local processes (see `Backend`), started in `folder` (None: where this one is)."""

    largest = 1_000_000

    def __init__(self, machine: Machine, folder: Path | None = None) -> None:
        self._folder = folder
        self._cores = machine.cores or cores()
        if sys.platform == "win32":
            raise ConfigError(
                "worker processes need Linux or macOS, since Windows cannot wait on their pipes: "
                "leave out --runner-params resources=..., so that partitions run one after the "
                "other, or use WSL"
            )
        self._memory = megabytes(machine.memory) if machine.memory else 0.8 * total_mb()
        self._gpus: tuple[str, ...] | None = None  # asked for where a task needs one
        self.slots = self._cores
        self._waiting: deque[tuple[Submission, int]] = deque()
        self._slots: list[Slot] = []

    def check(self, asked: Sequence[Resources]) -> None:
        """Nothing: what is too large fails by itself, and stops only what depends on it."""

    def limits(self, asked: Resources) -> tuple[float | None, float | None]:
        """All of the memory that runs may use; as much time as they like."""
        return self._memory, None

    def room(self) -> int:
        """All that there is: tasks wait here."""
        return self.largest

    def submit(self, submission: Submission) -> None:
        """Take an array; one that could never run is refused for good."""
        asked = submission.array.resources
        n_gpus = gpus_asked(asked.gres)
        if n_gpus is None:
            raise ConfigError(
                f"{submission.array.node} asks for gres: {asked.gres}, which only a cluster can give: "
                "take the line out of conf/resources for this machine"
            )
        if n_gpus and self._gpus is None:
            self._gpus = gpus_here()
        if n_gpus > len(self._gpus or ()):
            there = f"nvidia-smi and {VARIABLE} tell of {len(self._gpus or ()) or 'none'} here"
            raise ConfigError(
                f"{submission.array.node} asks for gres: {asked.gres}, and {there}: take the line out "
                "of conf/resources for this machine (a task then sees all GPUs), or run it elsewhere"
            )
        if asked.cpus_per_task > self._cores or asked.mem_mb > self._memory:
            raise ConfigError(
                f"{submission.array.node} asks for {asked.cpus_per_task} cores and {asked.mem}, but "
                f"this machine gives {self._cores} and {self._memory:.0f}M: lower cpus_per_task or "
                "mem in conf/resources, or run it elsewhere"
            )
        self._waiting.extend((submission, index) for index in sorted(submission.open))

    def poll(self) -> list[Ended]:
        """Collect what ended, then start what fits."""
        ended = [each for slot in list(self._slots) if (each := self._look(slot)) is not None]
        self._fill()
        return ended

    def _look(self, slot: Slot) -> Ended | None:
        code = slot.process.poll()
        if code is not None:
            self._slots.remove(slot)
            _close(slot.process)
        if slot.task is None:
            return None
        submission, index = slot.task
        if code is not None:
            if code == -9:
                return slot.end(
                    submission, index, Cause.MEMORY, "killed; most likely out of memory"
                )
            why = "a line of setup failed" if code == SETUP_FAILED else f"code {code}"
            return slot.end(submission, index, Cause.CODE, f"the worker ended: {why}")
        assert slot.process.stdout is not None
        if select.select([slot.process.stdout], [], [], 0)[0]:
            slot.heard += os.read(slot.process.stdout.fileno(), 1 << 16)
        if f"ended {index}\n".encode() in slot.heard:  # what was said while it started aside
            slot.heard = b""
            return slot.end(submission, index, None, "")
        if time.monotonic() - slot.began > submission.array.resources.time_s:
            self._kill(slot)
            return slot.end(submission, index, Cause.TIME, submission.array.resources.time)
        return None

    def _fill(self) -> None:
        busy = [slot.task[0] for slot in self._slots if slot.task is not None]
        free = self._cores - sum(each.array.resources.cpus_per_task for each in busy)
        memory = self._memory - sum(each.array.resources.mem_mb for each in busy)
        taken = {gpu for slot in self._slots if slot.task is not None for gpu in slot.gpus}
        held: deque[tuple[Submission, int]] = deque()
        while self._waiting and free > 0:
            submission, index = self._waiting.popleft()
            asked = submission.array.resources
            full = asked.max_parallel and busy.count(submission) >= asked.max_parallel
            gpus = [each for each in self._gpus or () if each not in taken]
            n_gpus = gpus_asked(asked.gres) or 0
            if asked.cpus_per_task > free or asked.mem_mb > memory or full or n_gpus > len(gpus):
                held.append((submission, index))
                continue
            slot = self._idle(asked, submission.folder.log(index), gpus, n_gpus)
            taken.update(slot.gpus)
            slot.task, slot.began = (submission, index), time.monotonic()
            assert slot.process.stdin is not None
            line = json.dumps([str(submission.folder.task), index]) + "\n"
            try:
                slot.process.stdin.write(line.encode())
                slot.process.stdin.flush()
            except BrokenPipeError:  # it just died: the next look finds that
                pass
            busy.append(submission)
            free, memory = free - asked.cpus_per_task, memory - asked.mem_mb
        self._waiting.extendleft(reversed(held))

    def _idle(self, asked: Resources, log: Path, gpus: Sequence[str], n_gpus: int) -> Slot:
        """A worker for such tasks, with `n_gpus` of the free `gpus`.

        What the setup of a new one says goes to the first task's log.
        """
        words = [*asked.container, asked.python or sys.executable, *WORKER, "--serve"]
        kind = json.dumps(
            [words, asked.setup, asked.cpus_per_task, asked.environment, asked.scratch]
        )
        for slot in self._slots:
            if slot.task is None and slot.kind == kind and len(slot.gpus) == n_gpus:
                return slot
        for slot in [each for each in self._slots if each.task is None]:
            self._slots.remove(slot)  # made for other tasks: its memory is needed
            self._kill(slot)
        if asked.setup:  # what the lines print must not be taken for a worker's answers
            lines = "\n".join(setup_lines(asked.setup))
            shell = f'{{\n{lines}\n}} >>"$1" 2>&1\nshift\nexec "$@"'
            words = ["bash", "-c", shell, "bash", str(log), *words]
        scratch = {"TMPDIR": asked.scratch} if asked.scratch else {}
        own = tuple(gpus[:n_gpus])
        chosen = {VARIABLE: ",".join(own)} if own else {}
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=self._folder,
                env={**os.environ, **asked.threads(), **scratch, **asked.environment, **chosen},
                start_new_session=True,  # a Ctrl-C at the terminal is the driver's to handle
            )
        except OSError as error:
            raise RunStoppedError(
                f"a worker cannot be started: {words[0]} ({error}): check container and python in "
                "conf/resources"
            ) from error
        slot = Slot(process, kind, own)
        self._slots.append(slot)
        return slot

    def _kill(self, slot: Slot) -> None:
        slot.process.terminate()
        try:
            slot.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            slot.process.kill()
            slot.process.wait()
        _close(slot.process)
        if slot in self._slots:
            self._slots.remove(slot)

    def states(self) -> Mapping[str, int]:
        """Tasks by node and state."""
        found: dict[str, int] = {}
        for slot in self._slots:
            if slot.task is not None:
                name = f"{slot.task[0].array.node} running"
                found[name] = found.get(name, 0) + 1
        for submission, _ in self._waiting:
            name = f"{submission.array.node} pending"
            found[name] = found.get(name, 0) + 1
        return found

    def cancel(self) -> None:
        """Stop all workers."""
        self._waiting.clear()
        self.close()

    def close(self) -> None:
        """Stop all workers; a busy one unwinds, so that nothing is left half written."""
        for slot in self._slots:
            slot.process.terminate()
        for slot in list(self._slots):
            self._kill(slot)

    def live(self, runs: Path) -> list[Submission]:
        """Nothing: local workers end with their driver."""
        return []

    def adopt(self, submission: Submission) -> None:
        """Nothing of an earlier driver lives on."""

    def drop(self, submission: Submission) -> None:
        """Nothing of an earlier driver lives on."""

    def text(self, submission: Submission) -> str:
        """How a batch would be started by hand."""
        return f"{sys.executable} -m cyto_kedro.runner.worker {submission.folder.task} INDEX"


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                continue
