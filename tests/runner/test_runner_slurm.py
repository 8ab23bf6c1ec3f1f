"""The SLURM backend without SLURM: a client that answers as scripted, and clients on PATH."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cyto_kedro.errors import ConfigError
from cyto_kedro.runner.backend import Cause, Ended, Refused, Submission
from cyto_kedro.runner.context import RunContext
from cyto_kedro.runner.feed import Feed
from cyto_kedro.runner.planning import Array
from cyto_kedro.runner.records import BatchRecord, GroupRecord, TaskFile, TaskFolder, write_json
from cyto_kedro.runner.resources import Machine, Resources
from cyto_kedro.runner.slurm import client as client_module
from cyto_kedro.runner.slurm.client import Client, State, cause_of, environment
from cyto_kedro.runner.slurm.watch import SlurmBackend

MACHINE = Machine(poll_s=0.01, poll_max_s=0.04, output_wait_s=0, max_jobs=6, max_array_size=4)


class Scripted(Client):
    """Answers what the test says, and counts the calls."""

    def __init__(self) -> None:
        super().__init__(accounting=False)
        self.scripts: list[Path] = []
        self.refuse: list[Exception] = []
        self.table: dict[str, State] | None = {}
        self.names: dict[str, set[str]] = {}
        self.asked = 0
        self.cancelled: list[str] = []

    def submit(self, script: Path) -> str:
        if self.refuse:
            raise self.refuse.pop(0)
        self.scripts.append(script)
        return str(100 + len(self.scripts))

    def queue(self, jobs: Iterable[str]) -> dict[str, State] | None:
        self.asked += 1
        return self.table

    def ours(self) -> dict[str, set[str]] | None:
        return self.names

    def cancel(self, jobs: Iterable[str]) -> None:
        self.cancelled += jobs

    def gone(self, job: str) -> bool:
        return True  # no real controller is asked, where one is installed


def array(n: int = 2, **asked: object) -> Array:
    batches = tuple(({"fov": f"f{index}"},) for index in range(n))
    return Array("segment", Resources.model_validate(asked), batches)


def submission(tmp_path: Path, n: int = 2, number: int = 1) -> Submission:
    path = tmp_path / "runs" / "r1" / "jobs" / "segment" / f"{number:03d}"
    path.mkdir(parents=True)
    return Submission(array(n), TaskFolder(path), f"cyto:r1:segment:{number:03d}")


def record(sub: Submission, index: int) -> None:
    now = datetime.now(UTC)
    done = GroupRecord(group={"fov": f"f{index}"}, state="done")
    text = BatchRecord(index=index, host="c1", pid=1, started=now, finished=now, groups=(done,))
    write_json(sub.folder.record(index), text.model_dump_json())


def ask(backend: SlurmBackend, rounds: int = 5) -> list[Ended]:
    found: list[Ended] = []
    for _ in range(rounds):
        found += backend.poll()
        time.sleep(0.02)
    return found


def test_the_record_is_the_last_word_whatever_slurm_says(tmp_path: Path) -> None:
    client, sub = Scripted(), submission(tmp_path)
    backend = SlurmBackend(MACHINE, tmp_path, client)
    backend.submit(sub)
    client.table = {"101_0": State("FAILED"), "101_1": State("RUNNING")}
    record(sub, 0)
    (ended,) = ask(backend)
    assert ended.index == 0 and ended.record is not None and ended.cause is None
    assert backend.states() == {"segment running": 1}
    client.table = None  # the controller is away: nothing is lost
    assert ask(backend) == []
    record(sub, 1)
    assert [each.index for each in ask(backend)] == [1]
    assert backend.room() == MACHINE.max_jobs
    asked = client.asked
    ask(backend)
    assert client.asked == asked  # nothing to ask for


@pytest.mark.parametrize(
    ("state", "log", "cause"),
    [
        (State("OUT_OF_MEMORY"), "", Cause.MEMORY),
        # linuxproc: FAILED 0:9, and only the log says why
        (
            State("FAILED", "JobLaunchFailure"),
            "slurmstepd: Step exceeded memory limit",
            Cause.MEMORY,
        ),
        (State("TIMEOUT"), "", Cause.TIME),
        (State("FAILED"), "slurmstepd: *** JOB 5 CANCELLED AT x DUE TO TIME LIMIT ***", Cause.TIME),
        (State("NODE_FAIL"), "", Cause.NODE),
        (State("PREEMPTED"), "", Cause.PREEMPTED),
        (State("CANCELLED"), "", Cause.CANCELLED),
        (State("FAILED", "NonZeroExitCode"), "Traceback ...", Cause.CODE),
        (State("FAILED", "0:53"), "", Cause.NODE),
        (State("COMPLETED"), "", Cause.LOST),
        (None, "", Cause.LOST),
        (None, "slurmstepd: error: Detected 1 oom-kill event(s)", Cause.MEMORY),
    ],
)
def test_causes(tmp_path: Path, state: State | None, log: str, cause: Cause) -> None:
    assert cause_of(state, log)[0] is cause
    client, sub = Scripted(), submission(tmp_path, 1)
    backend = SlurmBackend(MACHINE, tmp_path, client)
    backend.submit(sub)
    backend._submitted["101"] -= 60
    client.table = {} if state is None else {"101_0": state}
    if log:
        sub.folder.log(0).write_text(log + "\n")
    found = ask(backend, 3) or (time.sleep(0), ask(backend, 3))[1]
    assert [(each.cause, each.record) for each in found] == [(cause, None)]


def test_polling_backs_off_while_nothing_changes(tmp_path: Path) -> None:
    client, sub = Scripted(), submission(tmp_path, 4)
    backend = SlurmBackend(Machine(poll_s=0.02, poll_max_s=10, max_array_size=4), tmp_path, client)
    backend.submit(sub)
    client.table = {f"101_{index}": State("RUNNING") for index in range(4)}
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        backend.poll()
        time.sleep(0.002)
    # 0.02 s, growing by half each time: 7 calls in 0.6 s instead of 30, for all four tasks at once
    assert 3 <= client.asked <= 9


def context(tmp_path: Path) -> RunContext:
    return RunContext(tmp_path, tmp_path / "conf", None)


def test_arrays_are_cut_and_fed_in(tmp_path: Path) -> None:
    client = Scripted()
    backend = SlurmBackend(MACHINE, tmp_path, client)
    feed = Feed(backend, context(tmp_path), "r1", MACHINE, {"segment": ["segmentation"]})
    feed.push(array(11))
    assert feed.submit()
    # MaxArraySize 4, six tasks at once
    assert [_tasks(each) for each in client.scripts] == [4, 2]
    client.table = {}
    for sub in list(backend._live):
        for index in sorted(sub.open):
            record(sub, index)
    assert len(ask(backend, 1)) == 6
    feed.submit()
    assert [_tasks(each) for each in client.scripts] == [4, 2, 4, 1]


def _tasks(script: Path) -> int:
    return len(TaskFile.model_validate_json((script.parent / "task.json").read_bytes()).batches)


def test_a_refusal_is_asked_again_with_less_and_an_impossible_wish_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cyto_kedro.runner.feed.REFUSED_S", 0.01)
    client = Scripted()
    feed = Feed(
        SlurmBackend(MACHINE, tmp_path, client),
        context(tmp_path),
        "r1",
        MACHINE,
        {"segment": ["s"]},
    )
    client.refuse = [Refused("submit limit"), Refused("submit limit")]
    feed.push(array(4))
    for _ in range(30):
        feed.submit()
        time.sleep(0.01)
    assert [_tasks(each) for each in client.scripts] == [1, 2, 1]
    client.refuse = [ConfigError("invalid partition")]
    feed.push(array(2))
    feed.submit()
    assert [reason for _, reason in feed.refused] == ["invalid partition"]


def test_an_sbatch_that_timed_out_may_have_been_heard(tmp_path: Path) -> None:
    client, sub = Scripted(), submission(tmp_path)
    client.refuse = [Refused("Socket timed out")]
    client.names = {sub.name: {"77"}}
    SlurmBackend(MACHINE, tmp_path, client).submit(sub)
    assert sub.job == "77" and client.scripts == []
    noted = json.loads((sub.folder.path / "job.json").read_text())
    assert noted == {"name": sub.name, "job": "77", "state": "submitted"}


def test_jobs_of_a_dead_driver_are_found_by_name(tmp_path: Path) -> None:
    client = Scripted()
    feed = Feed(
        SlurmBackend(MACHINE, tmp_path, client),
        context(tmp_path),
        "r1",
        MACHINE,
        {"segment": ["s"]},
    )
    feed.push(array(3))
    feed.submit()
    client.names = {"cyto:r1:segment:001": {"101"}, "cyto:elsewhere:segment:001": {"5"}}
    folder = TaskFolder(tmp_path / "runs/r1/jobs/segment/001")
    write_json(folder.record(1), "{}")
    (found,) = SlurmBackend(MACHINE, tmp_path, client).live(tmp_path / "runs")
    assert found.job == "101" and found.open == {0, 2} and found.array.n_groups == 3


# -- the client commands, as programs on PATH -----------------------------------------------------


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs; PATH holds it first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def test_the_clients_output_is_read(commands: Path, tmp_path: Path) -> None:
    program(commands, "sbatch", f'printf "%s\\n" "$@" > {tmp_path}/said; echo "123;cluster"')
    program(commands, "squeue", "echo '123_0|RUNNING|None'; echo '123_1|PENDING|Resources'")
    program(commands, "sacct", "echo '123_0|CANCELLED by 1000|0:15'")
    program(commands, "scontrol", "echo 'MaxArraySize            = 1001'")
    client = Client()
    assert client.submit(tmp_path / "a b.sh") == "123"
    assert (tmp_path / "said").read_text().splitlines() == ["--parsable", f"{tmp_path}/a b.sh"]
    assert client.queue(["123"]) == {
        "123_0": State("RUNNING", "None"),
        "123_1": State("PENDING", "Resources"),
    }
    assert client.accounted(["123"]) == {"123_0": State("CANCELLED", "0:15")}
    assert client.max_array_size() == 1001


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (
            "Batch job submission failed: Job violates accounting/QOS policy (job submit limit)",
            Refused,
        ),
        ("sbatch: error: Unable to contact slurm controller (connect failure)", Refused),
        ("Slurm temporarily unable to accept job, sleeping and retrying", Refused),
        ("sbatch: error: invalid partition specified: nope", ConfigError),
        ("Memory specification can not be satisfied", ConfigError),
    ],
)
def test_what_sbatch_refuses_for_a_while_and_for_good(
    commands: Path, tmp_path: Path, said: str, error: type[Exception]
) -> None:
    program(commands, "sbatch", f"echo '{said}' >&2; exit 1")
    with pytest.raises(error, match=r"sbatch|policy|unable|contact"):
        Client().submit(tmp_path / "x.sh")


def test_a_client_that_cannot_answer_is_no_verdict(commands: Path) -> None:
    program(commands, "squeue", "echo 'slurm_load_jobs error: Unable to contact' >&2; exit 1")
    program(commands, "sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    client = Client()
    assert client.queue(["1"]) is None and client.ours() is None
    assert client.accounted(["1"]) == {} == client.accounted(["1"])
    program(
        commands, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
    )
    assert client.queue(["1"]) == {}


def test_a_surrounding_job_does_not_leak_into_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100")
    monkeypatch.setenv("SBATCH_PARTITION", "login")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    found = environment()
    assert "SLURM_MEM_PER_NODE" not in found and "SBATCH_PARTITION" not in found
    assert found["SLURM_CONF"] == "/etc/slurm.conf"


def test_without_slurm_it_says_where_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="sbatch is not on PATH"):
        Client().submit(tmp_path / "x.sh")


def test_a_slow_controller_is_a_refusal(
    commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*args: object, **more: object) -> None:
        raise subprocess.TimeoutExpired("sbatch", 60)

    monkeypatch.setattr(client_module.subprocess, "run", slow)
    with pytest.raises(Refused, match="timed out"):
        Client().submit(tmp_path / "x.sh")
