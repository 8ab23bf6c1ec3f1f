"""The client commands of SLURM, called with lists of words and read as text."""

from __future__ import annotations

import getpass
import logging
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cyto_kedro.errors import ConfigError
from cyto_kedro.runner.backend import Cause, Refused

log = logging.getLogger(__name__)

TIMEOUT_S = 60.0
ASK_S = 10.0  # records are not read while squeue waits for an absent controller
KEPT = ("SLURM_CONF", "SLURM_CLUSTERS")
NAME = re.compile(r"cyto:(?P<run>[^:/]+):(?P<node>[A-Za-z0-9._-]+):(?P<number>\d{3,})")
# what sbatch says where asking again never helps
_NEVER = re.compile(
    r"Requested node configuration is not available|invalid partition|invalid account|invalid qos|"
    r"Invalid generic resource|Memory specification|More processors requested|Invalid feature|"
    r"Requested time limit is invalid|User's group not permitted|not permitted to use",
    re.IGNORECASE,
)
# what sbatch says where asking again later helps
_LATER = re.compile(
    r"submit ?limit|MaxSubmit|MaxJobCount|JobCount|temporarily|Unable to contact|timed out|Socket|"
    r"Connection refused|try again|Resource busy|Zero Bytes|slurmctld|communication|not available|"
    r"Job violates accounting/QOS policy",
    re.IGNORECASE,
)
_MEMORY_LOG = re.compile(
    r"exceeded memory limit|oom[-_ ]?kill|Out Of Memory|OUT_OF_MEMORY|out-of-memory", re.IGNORECASE
)
_ENDINGS = {
    "OUT_OF_MEMORY": Cause.MEMORY,
    "TIMEOUT": Cause.TIME,
    "DEADLINE": Cause.CANCELLED,
    "NODE_FAIL": Cause.NODE,
    "BOOT_FAIL": Cause.NODE,
    "PREEMPTED": Cause.PREEMPTED,
    "CANCELLED": Cause.CANCELLED,
    "REVOKED": Cause.CANCELLED,
}
NEVER_STARTS = frozenset(
    {
        *("DependencyNeverSatisfied", "BadConstraints", "PartitionConfig", "PartitionNodeLimit"),
        *("PartitionTimeLimit", "InvalidAccount", "InvalidQOS", "AccountNotAllowed"),
        *("QOSNotAllowed", "QOSMaxWallDurationPerJobLimit", "AssocMaxWallDurationPerJobLimit"),
        *(
            "QOSMaxMemoryPerJob",
            "AssocMaxMemPerJob",
            "QOSMaxCpuPerJobLimit",
            "AssocMaxCpuPerJobLimit",
        ),
    }
)
GONE = frozenset({*_ENDINGS, "COMPLETED", "FAILED"})


@dataclass(frozen=True)
class State:
    """What SLURM says of a task: state, and its reason (squeue) or exit code (sacct)."""

    name: str
    reason: str = ""

    @property
    def over(self) -> bool:
        """Whether the task will not run any more."""
        return self.name in GONE

    @property
    def never(self) -> bool:
        """Whether it waits for what will not come."""
        return self.name == "PENDING" and self.reason.strip("()") in NEVER_STARTS

    @property
    def waits(self) -> str:
        """What it waits for, in SLURM's word; empty where SLURM does not say, or it runs."""
        reason = self.reason.strip("()")
        return reason if self.name == "PENDING" and reason not in ("", "None") else ""


@dataclass(frozen=True)
class Room:
    """What nodes of a partition have: one line of sinfo."""

    partition: str
    default: bool
    mem_mb: int
    cores: int
    time: str


def environment() -> dict[str, str]:
    """This process's environment without what a surrounding job put there.

    A driver may be a job itself; its ``SLURM_*`` and ``SBATCH_*`` would become options of our jobs.
    """
    return {
        key: value
        for key, value in os.environ.items()
        if key in KEPT or not key.startswith(("SLURM_", "SBATCH_", "SLURMD_", "SRUN_", "SQUEUE_"))
    }


class Client:
    """sbatch, squeue, sacct, scancel and scontrol."""

    def __init__(self, accounting: bool | None = None) -> None:
        self._accounting = accounting

    def _call(
        self, words: Sequence[str], timeout_s: float = TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                list(words),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                env=environment(),
                check=False,
            )
        except FileNotFoundError as error:
            raise ConfigError(
                f"{words[0]} is not on PATH: SlurmRunner has to be started where jobs can be "
                "submitted (a login node, or inside a job)"
            ) from error
        except subprocess.TimeoutExpired:
            text = f"{words[0]}: timed out after {timeout_s:.0f} s"
            return subprocess.CompletedProcess(list(words), 124, "", text)

    def submit(self, script: Path) -> str:
        """Submit a script; the job's id.

        Raises Refused if asking again later may help: a limit, a busy or absent controller. Raises
        ConfigError if it will not: an unknown partition, more memory than any machine has.
        """
        done = self._call(["sbatch", "--parsable", str(script)])
        if done.returncode == 0 and (match := re.match(r"(\d+)", done.stdout.strip())):
            return match[1]
        said = " ".join((done.stderr or done.stdout).split())
        if _LATER.search(said) and not _NEVER.search(said):
            raise Refused(said)
        raise ConfigError(f"sbatch refused {script}: {said or f'exit code {done.returncode}'}")

    def queue(self, jobs: Iterable[str]) -> dict[str, State] | None:
        """State of every task of `jobs`, ended ones too while SLURM remembers; None if it cannot say."""
        words = ["squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r", "-j", ",".join(jobs)]
        done = self._call(words, ASK_S)
        if done.returncode != 0:
            if "Invalid job id" in done.stderr:  # all of them are forgotten
                return {}
            log.warning("squeue: %s", " ".join(done.stderr.split()))
            return None
        return _states(done.stdout)

    def ours(self, user: str | None = None) -> dict[str, set[str]] | None:
        """Live jobs of a user (default: this one) that have one of our names: name -> job ids."""
        whose = ["--me"] if user is None else ["-u", user]
        words = ["squeue", "-h", "-r", *whose, "-t", "PD,R,S,CG,CF,RQ,ST", "-o", "%A|%F|%j"]
        done = self._call(words)
        if done.returncode != 0:
            log.warning("squeue: %s", " ".join(done.stderr.split()))
            return None
        found: dict[str, set[str]] = {}
        for line in done.stdout.splitlines():
            _, job, name = line.split("|", 2)
            if NAME.fullmatch(name):
                found.setdefault(name, set()).add(job)
        return found

    def accounted(self, jobs: Iterable[str]) -> dict[str, State]:
        """State of every task by sacct; empty where there is no accounting."""
        if self._accounting is False:
            return {}
        done = self._call(
            ["sacct", "-n", "-P", "-X", "-D", "-o", "JobID,State,ExitCode", "-j", ",".join(jobs)]
        )
        if done.returncode != 0:
            if self._accounting is None:
                log.info("no accounting (sacct: %s)", " ".join(done.stderr.split()))
                self._accounting = False
            return {}
        return _states(done.stdout)

    def gone(self, job: str) -> bool:
        """Whether the controller says that it knows no such job; no answer is not "none"."""
        try:
            done = self._call(["scontrol", "-o", "show", "job", job], ASK_S)
        except ConfigError:
            return True  # no scontrol: squeue's word is all there is
        return done.returncode != 0 and "Invalid job id" in done.stderr

    def partitions(self) -> list[Room]:
        """What each partition's nodes have; empty where sinfo cannot say."""
        try:
            done = self._call(["sinfo", "-h", "-e", "-o", "%P|%m|%c|%l"], ASK_S)
        except ConfigError:
            return []
        found = []
        for line in done.stdout.splitlines() if done.returncode == 0 else ():
            name, mem, cpus, limit = [*line.split("|"), "", "", ""][:4]
            if name and (numbers := [re.match(r"\d+", each) for each in (mem, cpus)])[0]:
                mb, cores = (int(each[0]) if each else 0 for each in numbers)
                found.append(Room(name.rstrip("*"), name.endswith("*"), mb, cores, limit))
        return found

    def associations(self) -> dict[str, set[str]]:
        """This user's accounts, each with its QOS; empty where there is no accounting."""
        try:
            user = f"user={getpass.getuser()}"
            words = ["sacctmgr", "-n", "-P", "show", "assoc", user, "format=account,qos"]
            done = self._call(words, ASK_S)
        except (ConfigError, OSError, KeyError):
            return {}
        found: dict[str, set[str]] = {}
        for line in done.stdout.splitlines() if done.returncode == 0 else ():
            account, _, qos = line.partition("|")
            if account:
                found.setdefault(account, set()).update(filter(None, qos.split(",")))
        return found

    def cancel(self, jobs: Iterable[str]) -> None:
        """Cancel jobs, in one call."""
        jobs = list(jobs)
        if jobs:
            done = self._call(["scancel", *jobs])
            if done.returncode != 0:
                log.warning("scancel: %s", " ".join(done.stderr.split()))

    def max_array_size(self) -> int:
        """How many tasks an array may have (MaxArraySize; indices end one below it)."""
        done = self._call(["scontrol", "show", "config"])
        match = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE)
        return int(match[1]) if match else 1001


def _states(text: str) -> dict[str, State]:
    found: dict[str, State] = {}
    for line in text.splitlines():
        identity, name, reason = [*line.split("|", 2), "", ""][:3]
        found[identity] = State(name.split()[0] if name else "", reason)  # "CANCELLED by 1000"
    return found


def cause_of(state: State | None, log_text: str) -> tuple[Cause, str]:
    """Why a task ended without its own record: by SLURM's state, then by its log.

    Without cgroups SLURM calls a task killed for its memory FAILED, exit 0:9, and only its log says
    why; a job that nobody remembers, and one that ended well but left no record, is lost.
    """
    detail = "" if state is None else " ".join(filter(None, (state.name, state.reason)))
    if (failed := re.search(r"^setup failed: .*$", log_text, re.MULTILINE)) is not None:
        return Cause.CODE, failed[0]
    if state is not None and state.name in _ENDINGS:
        return _ENDINGS[state.name], detail
    if _MEMORY_LOG.search(log_text):
        return Cause.MEMORY, detail
    for words, cause in (
        ("DUE TO TIME LIMIT", Cause.TIME),
        ("DUE TO NODE FAILURE", Cause.NODE),
        ("DUE TO PREEMPTION", Cause.PREEMPTED),
        ("CANCELLED AT", Cause.CANCELLED),
    ):
        if words in log_text:
            return cause, detail
    if state is not None and state.name == "FAILED":
        # launch failures leave no log at all: nothing of ours ran
        return (Cause.CODE, detail) if log_text.strip() else (Cause.NODE, f"{detail}, no log")
    return Cause.LOST, detail or "SLURM does not know it any more"
