"""SLURM that does not answer, other people's jobs, and requests that cannot be met (no cluster)."""

from __future__ import annotations

import errno
import getpass
import json
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from kedro.pipeline import node

from cyto_kedro.errors import ConfigError, RunStoppedError
from cyto_kedro.runner.adoption import take_over
from cyto_kedro.runner.backend import Cause, Ended, Refused, Submission, beyond
from cyto_kedro.runner.context import RunContext
from cyto_kedro.runner.flow import NodeRun
from cyto_kedro.runner.holding import Hold, by_folder
from cyto_kedro.runner.lease import path_of
from cyto_kedro.runner.planning import Array
from cyto_kedro.runner.process import whoami
from cyto_kedro.runner.records import TaskFile, TaskFolder, write_json
from cyto_kedro.runner.resources import Machine, Resources
from cyto_kedro.runner.slurm import watch
from cyto_kedro.runner.slurm.client import Client, Room, State, cause_of
from cyto_kedro.runner.slurm.watch import SlurmBackend

MACHINE = Machine(poll_s=0.01, poll_max_s=0.02, output_wait_s=0, max_array_size=4)


class Scripted(Client):
    """Answers what the test says."""

    def __init__(self) -> None:
        super().__init__(accounting=False)
        self.table: dict[str, State] | None = {}
        self.names: list[dict[str, set[str]] | None] = [{}]
        self.is_gone = False
        self.rooms: list[Room] = []
        self.accounts: dict[str, set[str]] = {}
        self.cancelled: list[str] = []

    def submit(self, script: Path) -> str:
        return "101"

    def queue(self, jobs: Iterable[str]) -> dict[str, State] | None:
        return self.table

    def ours(self, user: str | None = None) -> dict[str, set[str]] | None:
        return self.names.pop(0) if len(self.names) > 1 else self.names[0]

    def gone(self, job: str) -> bool:
        return self.is_gone

    def partitions(self) -> list[Room]:
        return self.rooms

    def associations(self) -> dict[str, set[str]]:
        return self.accounts

    def cancel(self, jobs: Iterable[str]) -> None:
        self.cancelled += jobs


def submission(runs: Path, run_id: str = "r1", **task: object) -> Submission:
    """An array of two tasks of a run, as its driver left it."""
    path = runs / run_id / "jobs" / "segment" / "001"
    path.mkdir(parents=True)
    batches = (({"fov": "a"},), ({"fov": "b"},))
    array = Array("segment", Resources(), batches)
    content = {
        **{"run_id": run_id, "project": str(runs.parent), "conf_source": str(runs.parent / "conf")},
        **{"env": None, "runtime_params": {}, "pipeline": "segmentation", "node": "segment"},
        **{"attempt": 1, "asked": {}, "batches": batches, "places": ["/d/labels"], **task},
    }
    folder = TaskFolder(path)
    write_json(folder.task, TaskFile.model_validate(content).model_dump_json())
    return Submission(array, folder, f"cyto:{run_id}:segment:001")


def watched(tmp_path: Path, client: Scripted) -> tuple[SlurmBackend, Submission]:
    sub = submission(tmp_path / "runs")
    backend = SlurmBackend(MACHINE, tmp_path, client)
    backend.submit(sub)
    backend._submitted["101"] -= 60  # not new any more
    return backend, sub


def ask(backend: SlurmBackend, rounds: int = 5) -> list[Ended]:
    found: list[Ended] = []
    for _ in range(rounds):
        found += backend.poll()
        time.sleep(0.02)
    return found


def test_an_empty_answer_is_not_the_end_of_the_jobs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = Scripted()
    backend, _ = watched(tmp_path, client)
    assert ask(backend) == []
    said = [line for line in caplog.messages if "nothing says that it has ended" in line]
    assert len(said) == 1 and "job 101 (cyto:r1:segment:001)" in said[0]
    client.table = {"101_0": State("RUNNING"), "101_1": State("PENDING", "Resources")}
    assert ask(backend) == []
    client.table, client.is_gone = {}, True  # the controller itself says that it knows no such job
    assert {each.cause for each in ask(backend)} == {Cause.LOST}


def test_a_folder_that_cannot_be_listed_for_a_moment_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(path: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    backend, _ = watched(tmp_path, Scripted())
    with monkeypatch.context() as share:
        share.setattr("os.scandir", stale)
        assert ask(backend) == []


def test_what_squeue_leaves_out_of_a_job_that_it_lists_is_over(tmp_path: Path) -> None:
    client = Scripted()
    backend, _ = watched(tmp_path, client)
    client.table = {"101_0": State("RUNNING")}
    assert [each.index for each in ask(backend)] == [1]


def test_cancelled_jobs_are_waited_for_while_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CANCEL_WAIT_S", 0.6)
    client = Scripted()
    backend, sub = watched(tmp_path, client)
    with pytest.raises(RunStoppedError, match=r"job 101 of an earlier run .* does not end"):
        backend.drop(sub)
    client.is_gone = True
    backend.drop(sub)


def test_a_silent_controller_at_a_resume_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "ASK_AGAIN_S", 0.01)
    client, sub = Scripted(), submission(tmp_path / "runs")
    client.names = [None, None, {sub.name: {"7"}}]
    (found,) = SlurmBackend(MACHINE, tmp_path, client).live(tmp_path / "runs")
    assert found.job == "7"
    assert sum("SLURM does not answer" in line for line in caplog.messages) == 2
    client.names = [None]
    machine = MACHINE.model_copy(update={"submit_wait_s": 0.05})
    with pytest.raises(RunStoppedError, match="does not say whether jobs of an earlier run"):
        SlurmBackend(machine, tmp_path, client).live(tmp_path / "runs")


def test_jobs_of_others_are_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    client = Scripted()
    ours = submission(tmp_path / "runs")
    copied = submission(tmp_path / "runs", "r2", project=str(tmp_path / "the_original"))
    torn = submission(tmp_path / "runs", "r3")
    torn.folder.task.write_text('{"run_id": "r3", ')
    names = {"cyto:hello", "cyto:a:b", "cyto:../x:segment:001", "cyto:r9:segment:001"}
    names |= {ours.name, copied.name, torn.name}
    client.names = [{name: {"5"} for name in sorted(names)}]
    found = SlurmBackend(MACHINE, tmp_path, client).live(tmp_path / "runs")
    assert [each.name for each in found] == [ours.name]
    assert [f"({torn.name}) is left alone" in line for line in caplog.messages] == [True]


@pytest.mark.parametrize(
    ("places", "params", "resuming", "cancelled", "adopted"),
    [
        ({"/d/labels"}, {}, True, False, True),
        ({"/d/labels"}, {}, False, True, False),  # everything is to be run again
        ({"/d/labels"}, {"x": 1}, True, True, False),  # it would compute something else
        (
            {"/other/labels"},
            {"data": "/other"},
            True,
            False,
            False,
        ),  # of a live driver, or a dead one
        ({"/other/labels"}, {"data": "/other"}, False, False, False),
    ],
)
def test_a_second_run_on_other_data_leaves_the_first_ones_jobs(
    tmp_path: Path,
    places: set[str],
    params: dict[str, object],
    resuming: bool,
    cancelled: bool,
    adopted: bool,
) -> None:
    client, sub = Scripted(), submission(tmp_path / "runs")
    client.names, client.is_gone = [{sub.name: {"7"}}], True
    context = RunContext(tmp_path, tmp_path / "conf", None, params)
    backend = SlurmBackend(MACHINE, tmp_path, client)
    found = take_over(backend, context, {"segment"}, resuming, places)
    assert (client.cancelled == ["7"]) is cancelled
    assert [each.adopted for each in found] == [True] * adopted


def test_a_data_folder_that_is_reached_by_another_path_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    client = Scripted()
    sub = submission(tmp_path / "runs", places=[str(tmp_path / "link/labels")])
    client.names, client.is_gone = [{sub.name: {"7"}}], True
    context = RunContext(tmp_path, tmp_path / "conf", None, {})
    backend = SlurmBackend(MACHINE, tmp_path, client)
    assert take_over(backend, context, {"segment"}, True, {str(tmp_path / "data/labels")})


def test_jobs_of_a_dead_driver_guard_what_they_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another clone of the project, or a run without SLURM, on the same data folder."""
    place, runs = tmp_path / "data/03_primary/labels", tmp_path / "clone/runs"
    sub = submission(runs, places=[str(place)])
    (lease,) = by_folder([str(place)], None)
    holder = {"run_id": "r1", **whoami(), "pid": 2**22 + 9, "user": getpass.getuser()}
    path = path_of(lease, "03_primary/labels")
    answers: list[dict[str, set[str]] | None] = [{sub.name: {"7"}}, None, {"cyto:r9:x:001": {"8"}}]
    monkeypatch.setattr(Client, "ours", lambda self, user=None: answers[0])

    def hold(**more: object) -> Hold:
        return Hold([str(place)], "r2", **more)  # type: ignore[arg-type]

    def die() -> None:
        lease.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**holder, "runs": str(runs)}))

    die()
    with hold():  # it submitted nothing
        pass
    die()
    (sub.folder.path / "job.json").write_text("{}")
    with (
        pytest.raises(RunStoppedError, match=r"its job 7 \(cyto:r1:segment:001\) still writes"),
        hold(),
    ):
        pass
    with hold(runs=runs, adopts=True):  # its own project takes them over
        pass
    die()
    del answers[0]
    with pytest.raises(RunStoppedError, match="SLURM does not say whether jobs of it"), hold():
        pass
    assert "r1" in path.read_text()  # the next one is told, too
    del answers[0]
    with hold():
        assert "r2" in path.read_text()


@pytest.mark.parametrize("reason", ["PartitionConfig", "DependencyNeverSatisfied"])
def test_what_will_never_start_fails_and_is_cancelled(tmp_path: Path, reason: str) -> None:
    client = Scripted()
    backend, _ = watched(tmp_path, client)
    client.table = {"101_0": State("PENDING", reason), "101_1": State("PENDING", "JobHeldUser")}
    (ended,) = ask(backend)
    assert (ended.index, ended.cause, ended.detail) == (0, Cause.NEVER, f"SLURM: {reason}")
    assert client.cancelled == ["101_0"] and not Cause.NEVER.restart
    state = NodeRun(node(lambda x: x, "x", "y", name="segment"), total=2)
    assert "1 pending (JobHeldUser 1)" in state.progress(backend.states())


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("allocation failure: Requested node configuration is not available", ConfigError),
        ("Batch job submission failed: Invalid account or account/partition combin", ConfigError),
        ("Batch job submission failed: Invalid qos specification", ConfigError),
        ("Batch job submission failed: Requested partition not available (down)", Refused),
        ("Requested nodes are busy or not available now: try again", Refused),
    ],
)
def test_what_can_never_be_met_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, error: type[Exception]
) -> None:
    program = tmp_path / "sbatch"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(error):
        Client().submit(tmp_path / "x.sh")


ROOMS = [Room("short", True, 8000, 4, "1:00:00"), Room("big", False, 64000, 32, "infinite")]


def test_memory_grows_to_the_largest_node_and_no_further(tmp_path: Path) -> None:
    client = Scripted()
    client.rooms = ROOMS
    backend = SlurmBackend(MACHINE, tmp_path, client)
    asked = Resources(mem="5G", time="50")
    limits = backend.limits(asked)
    assert limits == (8000, 3600)
    grown = asked.more(mem=True, time=True, limits=limits)
    assert (grown.mem, grown.time_s) == ("8000M", 3600)
    assert beyond(asked, Cause.MEMORY, limits) == ""
    assert "all that the largest machine has" in beyond(grown, Cause.MEMORY, limits)
    assert "the longest time that there is" in beyond(grown, Cause.TIME, limits)
    assert backend.limits(Resources(partition="big")) == (64000, None)
    own = Machine.model_validate({"limits": {"mem": "6G", "time": "2:00:00"}})
    assert SlurmBackend(own, tmp_path, client).limits(asked) == (6144, 7200)
    assert SlurmBackend(MACHINE, tmp_path, Scripted()).limits(asked) == (None, None)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"partition": "shrot"}, "unknown partition 'shrot'. Did you mean 'short'"),
        ({"account": "lob"}, "unknown account 'lob'. Did you mean 'lab'"),
        ({"account": "lab", "qos": "long"}, "unknown qos 'long'"),
        (
            {"mem": "9G"},
            r"mem 9G is more than the largest node of the default partition has \(8000M",
        ),
        (
            {"cpus_per_task": 5},
            r"5 cores are more than the largest node of the default .* has \(4\)",
        ),
    ],
)
def test_what_there_is_not_is_refused_before_anything_is_submitted(
    tmp_path: Path, asked: dict[str, str], said: str
) -> None:
    client = Scripted()
    backend = SlurmBackend(MACHINE, tmp_path, client)
    backend.check([Resources.model_validate(asked)])  # nothing is known: sbatch will say
    client.rooms, client.accounts = ROOMS, {"lab": {"normal"}, "other": {"long"}}
    backend = SlurmBackend(MACHINE, tmp_path, client)
    backend.check([Resources(partition="big", mem="60G", account="lab", qos="normal")])
    with pytest.raises(ConfigError, match=said):
        backend.check([Resources.model_validate(asked)])


def test_a_sinfo_that_was_silent_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "ASK_AGAIN_MAX_S", 0.5)
    client = Scripted()
    backend = SlurmBackend(MACHINE, tmp_path, client)
    assert backend.limits(Resources()) == (None, None)
    client.rooms = ROOMS
    assert backend.limits(Resources()) == (None, None)  # not at once
    time.sleep(0.6)
    assert backend.limits(Resources()) == (8000, 3600)


def test_what_the_cluster_has_is_read_off_its_own_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    client = Client()
    assert client.partitions() == [] and client.associations() == {} and client.gone("1")
    for name, body in (
        ("sinfo", "echo 'short*|8000+|4+|1:00:00'; echo 'big|64000|32|infinite'"),
        ("sacctmgr", "echo 'lab|normal,long'; echo 'other|'"),
        (
            "scontrol",
            "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1",
        ),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    assert client.partitions() == ROOMS
    assert client.associations() == {"lab": {"normal", "long"}, "other": set()}
    assert not client.gone("1")  # no answer is not "none"
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho 'Invalid job id specified' >&2; exit 1\n")
    assert client.gone("1")


def test_a_setup_that_failed_is_named() -> None:
    log = "Lmod has detected an error\nsetup failed: module load Pyhton\n"
    assert cause_of(State("FAILED", "NonZeroExitCode"), log) == (
        Cause.CODE,
        "setup failed: module load Pyhton",
    )
