"""Job arrays as a backend: submitted, watched with one call a round, cancelled, adopted."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from cyto_kedro.errors import ConfigError, RunStoppedError, unknown
from cyto_kedro.runner.backend import Ended, Refused, Submission
from cyto_kedro.runner.planning import Array
from cyto_kedro.runner.records import TaskFolder, read_task, write_json
from cyto_kedro.runner.resources import Machine, Resources, megabytes, seconds
from cyto_kedro.runner.slurm.client import NAME, Cause, Client, Room, State, cause_of
from cyto_kedro.runner.slurm.script import script

log = logging.getLogger(__name__)

BACK_OFF = 1.5
CANCEL_WAIT_S = 60.0
ASK_AGAIN_S, ASK_AGAIN_MAX_S = 2.0, 60.0  # while the controller is silent
TOLD_S = 60.0
NEW_S = 15.0  # a task that squeue does not list this long after sbatch is taken for gone


class SlurmBackend:
    """Runs batches as tasks of job arrays (see `Backend`).

    A task's own record is the last word on it; squeue is asked in one call for all jobs, less
    often the longer nothing changes; sacct, where there is accounting, only for tasks that squeue
    forgot and that left no record.
    """

    slots = 64

    _changed = False

    def __init__(self, machine: Machine, project: Path, client: Client | None = None) -> None:
        self._machine, self._project = machine, project
        self._client = client or Client(machine.accounting)
        self._largest = machine.max_array_size
        self._live: list[Submission] = []
        self._next, self._wait = 0.0, machine.poll_s
        self._states: dict[str, State] = {}
        self._missing: dict[tuple[str, int], float] = {}  # task -> since when it is over
        self._submitted: dict[str, float] = {}
        self._known: list[Room] = []
        self._ask_rooms = 0.0
        self._told = -TOLD_S

    @property
    def largest(self) -> int:
        """Tasks of one array."""
        if self._largest is None:
            self._largest = self._client.max_array_size()
        return max(1, self._largest)

    def room(self) -> int:
        """Tasks that may be submitted under our own cap."""
        return self._machine.max_jobs - sum(len(each.open) for each in self._live)

    def text(self, submission: Submission) -> str:
        """The batch script."""
        return script(
            submission.array.resources,
            name=submission.name,
            project=self._project,
            folder=submission.folder.path,
            tasks=sorted(submission.open),
        )

    def submit(self, submission: Submission) -> None:
        """Write the script and hand it to sbatch; the job's name is on disk before, its id after."""
        path = submission.folder.path / "script.sh"
        write_json(path, self.text(submission))
        self._note(submission, "submitting")
        try:
            submission.job = self._client.submit(path)
        except Refused as refused:
            # a call that timed out may have been heard all the same
            known = self._ours().get(submission.name)
            if not known:
                self._note(submission, "refused")
                raise
            log.info("%s was accepted although sbatch said: %s", submission.name, refused)
            submission.job = min(known)
        self._note(submission, "submitted")
        log.info(
            "%s: submitted job %s, %d tasks",
            *(submission.array.node, submission.job, len(submission.open)),
        )
        self._watch(submission)

    def _ours(self) -> dict[str, set[str]]:
        """Live jobs of ours; waited for, since no answer does not mean that there are none.

        Raises RunStoppedError if there was none for ``submit_wait_s``.
        """
        pause, end = ASK_AGAIN_S, time.monotonic() + self._machine.submit_wait_s
        while (found := self._client.ours()) is None:
            if time.monotonic() >= end:
                raise RunStoppedError(
                    "SLURM does not say whether jobs of an earlier run still go on, which would write "
                    "what this run writes: start again when `squeue --me` answers"
                )
            log.warning(
                "SLURM does not answer: whether jobs of an earlier run still go on is unknown; asked "
                "again in %.0f s",
                pause,
            )
            time.sleep(pause)
            pause = min(2 * pause, ASK_AGAIN_MAX_S)
        return found

    def check(self, asked: Sequence[Resources]) -> None:
        """Refuse partitions, accounts and QOS that do not exist, and more than the largest node has.

        Raises ConfigError, naming what is asked for, and what there is.
        """
        rooms, associations = self._rooms(), self._client.associations()
        names = sorted({room.partition for room in rooms})
        qos: set[str] = set().union(*associations.values()) if associations else set()
        for each in asked:
            if names and each.partition:
                for name in each.partition.split(","):
                    if name not in names:
                        raise ConfigError(f"resources: {unknown('partition', name, names)}")
            if associations and each.account and each.account not in associations:
                raise ConfigError(f"resources: {unknown('account', each.account, associations)}")
            of_account = associations.get(each.account or "", qos)
            if of_account and each.qos and each.qos not in of_account:
                raise ConfigError(f"resources: {unknown('qos', each.qos, of_account)}")
            largest = self.limits(each)[0]
            if largest is not None and each.mem_mb > largest:
                raise ConfigError(
                    f"resources: mem {each.mem} is more than the largest node of "
                    f"{each.partition or 'the default partition'} has ({largest:.0f}M): ask for "
                    "less, or for another partition"
                )
            cores = max((room.cores for room in self._of(each)), default=0)
            if 0 < cores < each.cpus_per_task:
                raise ConfigError(
                    f"resources: {each.cpus_per_task} cores are more than the largest node of "
                    f"{each.partition or 'the default partition'} has ({cores}): lower cpus_per_task, "
                    "or ask for another partition"
                )

    def limits(self, asked: Resources) -> tuple[float | None, float | None]:
        """The largest node's memory and the longest time of the task's partitions."""
        said, own = self._machine.limits, self._of(asked)
        mem = megabytes(said.mem) if said.mem else max((room.mem_mb for room in own), default=None)
        if said.time:
            return mem, seconds(said.time)
        try:
            return mem, max((seconds(room.time) for room in own), default=None)
        except ValueError:  # infinite
            return mem, None

    def _of(self, asked: Resources) -> list[Room]:
        names = asked.partition.split(",") if asked.partition else []
        return [r for r in self._rooms() if (r.partition in names if names else r.default)]

    def _rooms(self) -> list[Room]:
        # sinfo may be silent for a while
        if not self._known and time.monotonic() >= self._ask_rooms:
            self._known = self._client.partitions()
            self._ask_rooms = time.monotonic() + ASK_AGAIN_MAX_S
        return self._known

    def _watch(self, submission: Submission) -> None:
        self._live.append(submission)
        assert submission.job is not None
        self._submitted[submission.job] = time.monotonic()
        self._wait = self._machine.poll_s
        self._next = time.monotonic() + self._wait

    def _note(self, submission: Submission, state: str) -> None:
        path = submission.folder.path / "job.json"
        content = {"name": submission.name, "job": submission.job, "state": state}
        write_json(path, json.dumps(content))

    def poll(self) -> list[Ended]:
        """Batches with a new record, and such as SLURM says are over without one."""
        ended = self._recorded()
        now = time.monotonic()
        if self._live and now >= self._next:
            ended += self._ask(now)
            changed = bool(ended) or self._changed
            longest = self._machine.poll_max_s
            self._wait = self._machine.poll_s if changed else min(self._wait * BACK_OFF, longest)
            self._next = time.monotonic() + self._wait
        for each in ended:
            each.submission.open.discard(each.index)
        self._live = [each for each in self._live if each.open]
        return ended

    def _recorded(self) -> list[Ended]:
        found = []
        for sub in self._live:
            for index in sorted(sub.open & sub.folder.finished()):
                record = sub.folder.read(index)
                if record is not None:
                    found.append(Ended(sub, index, record))
                    sub.open.discard(index)
        return found

    def _ask(self, now: float) -> list[Ended]:
        jobs = [each.job for each in self._live if each.open and each.job is not None]
        self._changed = False
        if not jobs:
            return []
        states = self._client.queue(jobs)
        if states is None:  # the controller is away: the jobs run on without it
            return []
        self._changed = states != self._states
        self._states = states
        over: list[tuple[Submission, int, State | None]] = []
        for sub in self._live:
            assert sub.job is not None
            fresh = now - self._submitted[sub.job] < NEW_S
            for index in sorted(sub.open):
                state = states.get(f"{sub.job}_{index}")
                if (not fresh) if state is None else (state.over or state.never):
                    over.append((sub, index, state))
                else:
                    self._missing.pop((sub.job, index), None)
        return self._resolve(over, now, {each.partition("_")[0] for each in states})

    def _resolve(
        self, over: list[tuple[Submission, int, State | None]], now: float, listed: set[str]
    ) -> list[Ended]:
        """What to make of tasks that are over and have no record (yet), or will never start.

        Of a job that squeue leaves out whole, the controller itself has to say that it is gone.
        """
        forgotten = {sub.job for sub, _, state in over if state is None and sub.job is not None}
        accounted = self._client.accounted(forgotten) if forgotten else {}
        unsaid = {job for job in forgotten - listed if not self._client.gone(job)}
        ended = []
        for sub, index, state in over:
            assert sub.job is not None
            state = state or accounted.get(f"{sub.job}_{index}")
            if state is not None and not (state.over or state.never):  # sacct trails behind
                state = None
            if state is None and sub.job in unsaid:
                self._say_unknown(sub, now)
                continue
            if state is not None and state.never:
                cause, detail = Cause.NEVER, f"SLURM: {state.reason}"
            else:
                cause, detail = cause_of(state, sub.folder.tail(index, 40))
            since = self._missing.setdefault((sub.job, index), now)
            # a shared file system may show the record of a task that ended late
            sure = cause not in (Cause.LOST, Cause.CODE, Cause.NEVER)
            grace = min(2.0, self._machine.output_wait_s) if sure else self._machine.output_wait_s
            if now - since < grace:
                self._changed = True  # look again soon
                continue
            if cause is Cause.NEVER:
                self._client.cancel([f"{sub.job}_{index}"])
            record = sub.folder.read(index)
            ended.append(Ended(sub, index, record, None if record else cause, detail))
        return ended

    def _say_unknown(self, sub: Submission, now: float) -> None:
        if now - self._told >= TOLD_S:
            self._told = now
            log.warning(
                "job %s (%s): squeue does not list it, but nothing says that it has ended: waited for",
                *(sub.job, sub.name),
            )

    def states(self) -> Mapping[str, int]:
        """Tasks by node and state, as of the last call."""
        found: Counter[str] = Counter()
        for sub in self._live:
            for index in sub.open:
                state = self._states.get(f"{sub.job}_{index}")
                name = "pending" if state is None or state.name == "PENDING" else "running"
                found[f"{sub.array.node} {name}"] += 1
                if state is not None and state.waits:
                    found[f"{sub.array.node} waits: {state.waits}"] += 1
        return found

    def cancel(self) -> None:
        """Cancel all jobs of the run, and wait until their tasks are gone."""
        jobs = [each.job for each in self._live if each.job is not None]
        self._client.cancel(jobs)
        if not self._gone(jobs):
            log.error(
                "whether the jobs of this run have ended is unknown, and they may write on: see `squeue "
                "-j %s`, then scancel",
                ",".join(jobs),
            )
        self._live = []

    def _gone(self, jobs: list[str]) -> bool:
        end = time.monotonic() + CANCEL_WAIT_S
        while jobs and time.monotonic() < end:
            states = self._client.queue(jobs)
            left = states is None or not all(each.over for each in states.values())
            if not left and (states or all(self._client.gone(job) for job in jobs)):
                return True
            time.sleep(0.5)
        return not jobs

    def live(self, runs: Path) -> list[Submission]:
        """Arrays of earlier runs of this project that the cluster still holds.

        Jobs of a copy of this project, or of any other, are not ours.
        """
        found = []
        for name, jobs in self._ours().items():
            match = NAME.fullmatch(name)
            if match is None:
                continue
            folder = TaskFolder(runs / match["run"] / "jobs" / match["node"] / match["number"])
            if not folder.task.exists():  # another project's
                continue
            try:
                task = read_task(folder.task)
                array = Array(
                    task.node, Resources.model_validate(task.asked), task.batches, task.attempt
                )
            except (ConfigError, ValidationError) as error:
                log.warning("job %s (%s) is left alone: %s", min(jobs), name, error)
                continue
            if Path(task.project).resolve() != self._project.resolve():
                continue
            submission = Submission(array, folder, name, job=min(jobs), task=task)
            submission.open -= folder.finished()
            found.append(submission)
        return found

    def adopt(self, submission: Submission) -> None:
        """Watch over an array of an earlier driver."""
        self._watch(submission)

    def drop(self, submission: Submission) -> None:
        """Cancel an array of an earlier driver.

        Raises RunStoppedError if its tasks do not end: they would write what this run writes.
        """
        assert submission.job is not None
        self._client.cancel([submission.job])
        if not self._gone([submission.job]):
            raise RunStoppedError(
                f"job {submission.job} of an earlier run was cancelled but does not end, and would "
                f"write the same partitions as this run: see `squeue -j {submission.job}`, then "
                "start again"
            )

    def close(self) -> None:
        """Nothing is held."""
