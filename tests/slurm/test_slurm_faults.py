"""Faults that a run on a cluster survives, each on a real one.

After each: what a plain ``kedro run`` makes is there, value for value; nothing is partial; nothing
was computed twice without need (`Assay.calls` counts what the algorithm was asked for).
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cluster import URGENT, Cluster, wait_for
from harness import FOVS, Assay, Bench, Driver, assert_equal

from cyto_kedro.pipelines import segmentation
from cyto_kedro.runner import history

pytestmark = pytest.mark.slurm

VICTIM = f"{FOVS[1]}/TCell/8"  # a group as the algorithm names it
VICTIM_ID = f"{FOVS[1]}/TCell/t0008-0015"  # its partition


def complete(assay: Assay, bench: Bench) -> None:
    """All outputs are there, equal to those of a plain run, and nothing lies beside them."""
    assert_equal(assay.labels("engine_labels"), bench.engine_labels)
    assert_equal(assay.labels(), bench.labels)
    assert assay.leftovers() == []


def once(assay: Assay, *but: str) -> None:
    """Every group was begun once, apart from those in `but`."""
    calls = assay.calls()
    assert {k: v for k, v in calls.items() if k not in but} == {
        each: 1 for each in assay.groups() if each not in but
    }


def task_of(cluster: Cluster, assay: Assay, where: str) -> str:
    """The id under which squeue lists the running task that works on a group."""
    job = next(each["job"] for each in assay.notes() if each["where"] == where)
    shown = cluster.call("scontrol", "show", "job", job).split()
    known = dict(each.split("=", 1) for each in shown if "=" in each)
    if "ArrayTaskId" in known:
        return f"{known['ArrayJobId']}_{known['ArrayTaskId']}"
    return str(job)


def test_a_task_over_its_memory_is_run_again_with_more(assay: Assay, bench: Bench) -> None:
    assay.faults({VICTIM: {"do": "memory", "mb": 700, "s": 3}})  # always: only more memory helps
    assay.slurm().ok()
    complete(assay, bench)
    once(assay, VICTIM)
    assert assay.calls()[VICTIM] == 2


def test_a_task_over_its_time_is_run_again(assay: Assay, bench: Bench, cluster: Cluster) -> None:
    assay.faults({VICTIM: {"do": "sleep", "s": 300, "first": 1}})
    driver = assay.slurm()
    wait_for("the victim's call", lambda: assay.calls()[VICTIM], 60)
    cluster.call("scontrol", "update", f"jobid={task_of(cluster, assay, VICTIM)}", "EndTime=now")
    driver.ok(150)
    complete(assay, bench)
    once(assay, VICTIM)
    assert assay.calls()[VICTIM] == 2


def test_a_node_that_goes_down_costs_only_what_ran_on_it(
    assay: Assay, bench: Bench, cluster: Cluster
) -> None:
    assay.faults({"*": {"do": "sleep", "s": 6, "first": 1}})
    driver = assay.slurm()
    assay.wait_for_calls(4)
    dead = assay.notes()[-1]["host"]
    assert dead in cluster.nodes
    cluster.call("scontrol", "update", f"nodename={dead}", "state=down", "reason=test")
    hit = {each["where"] for each in assay.notes() if each["host"] == dead} - set(assay.ends())
    driver.ok(240)
    complete(assay, bench)
    once(assay, *hit)
    assert hit and all(assay.calls()[each] == 2 for each in hit)


def test_a_dead_slurmd_whose_task_ends_all_the_same_costs_nothing(
    assay: Assay, bench: Bench, cluster: Cluster
) -> None:
    """SLURM may not learn how the task ended; its own record says it."""
    assay.faults({"*": {"do": "sleep", "s": 5, "first": 1}})
    driver = assay.slurm()
    assay.wait_for_calls(4)
    dead = assay.notes()[-1]["host"]
    cluster.kill_node(dead)
    driver.ok(240)
    complete(assay, bench)
    once(assay)


def test_a_preempted_task_is_run_again_as_it_was(
    assay: Assay, bench: Bench, cluster: Cluster
) -> None:
    assay.faults({"*": {"do": "sleep", "s": 6, "first": 1}})
    driver = assay.slurm()
    assay.wait_for_calls(4)
    wanted = assay.notes()[-1]["host"]
    words = ("--parsable", f"--partition={URGENT}", f"--nodelist={wanted}", "--mem=500")
    cluster.call("sbatch", *words, "--output=/dev/null", "--wrap=sleep 1")
    hit = {each["where"] for each in assay.notes() if each["host"] == wanted} - set(assay.ends())
    driver.ok(240)
    assert "preempted" in driver.text, driver.text[-4000:]
    complete(assay, bench)
    once(assay, *hit)
    assert hit and all(assay.calls()[each] == 2 for each in hit)


def test_a_task_cancelled_by_someone_else_stops_no_other(
    assay: Assay, bench: Bench, cluster: Cluster
) -> None:
    assay.faults({VICTIM: {"do": "sleep", "s": 100, "first": 1}})
    driver = assay.slurm()
    wait_for("the victim's call", lambda: assay.calls()[VICTIM], 60)
    cluster.call("scancel", task_of(cluster, assay, VICTIM))
    if driver.wait() != 0:  # someone wanted it to end: it is reported, and a resume makes it
        assert "then go on with" in driver.text and "cancel" in driver.text.lower()
        assert set(assay.labels("engine_labels")) == set(bench.engine_labels) - {VICTIM_ID}
        assay.slurm().ok()
    complete(assay, bench)
    once(assay, VICTIM)
    assert assay.calls()[VICTIM] == 2


def test_jobs_outlive_a_killed_driver_and_the_next_one_takes_them_over(
    assay: Assay, bench: Bench, cluster: Cluster
) -> None:
    assay.faults({"*": {"do": "sleep", "s": 4, "first": 1}})
    driver = assay.slurm()
    assay.wait_for_ends(2)
    driver.send(signal.SIGKILL)
    driver.process.wait()
    assert cluster.live_jobs()  # the array runs on
    finished = set(assay.ends())
    killed = history.read(assay.run_folder())  # what it did is known although it said no last word
    assert killed["state"] == "killed" and len(killed["partitions"]) >= 2
    resumed = assay.slurm().ok(180)
    complete(assay, bench)
    calls = assay.calls()
    assert all(calls[each] == 1 for each in finished), resumed.text[-3000:]
    assert max(calls.values()) <= 2
    assert assay.ends() == Counter(assay.groups()), "finished twice"
    assert not cluster.live_jobs()


def test_a_controller_that_is_away_for_20_s_is_waited_for(
    assay: Assay, bench: Bench, cluster: Cluster
) -> None:
    assay.resources(max_parallel=2)  # the other two tasks cannot start without a controller
    assay.faults({"*": {"do": "sleep", "s": 4, "first": 1}})
    driver = assay.slurm()
    assay.wait_for_calls(2)
    cluster.stop_controller()
    time.sleep(20)
    assert driver.process.poll() is None, driver.text[-4000:]
    cluster.start_controller()
    driver.ok(180)
    complete(assay, bench)
    once(assay)


def test_a_refusing_sbatch_is_asked_again(assay: Assay, bench: Bench, cluster: Cluster) -> None:
    """No task may be submitted for a while, then three at a time."""
    limit = ("sacctmgr", "-i", "modify", "user", "root", "set")
    cluster.call(*limit, "MaxSubmitJobs=0")
    try:
        driver = assay.slurm()
        wait_for("a refusal", lambda: "AssocMaxSubmitJobLimit" in driver.text, 60)
        time.sleep(2)
        assert driver.process.poll() is None, driver.text[-4000:]
        assert not assay.calls()
        cluster.call(*limit, "MaxSubmitJobs=3")
        driver.ok(180)
    finally:
        cluster.call(*limit, "MaxSubmitJobs=-1")
    complete(assay, bench)
    once(assay)


def test_a_corrupt_input_stops_its_own_partition_only(
    many: Assay, bench: Bench, cluster: Cluster, tmp_path: Path
) -> None:
    assay = many.copy(tmp_path / "many", str(cluster.conf))
    assay.resources(batch_size=16)
    identity = f"{FOVS[1]}/TCell/t0005-0005"
    image = assay.path / f"data/02_intermediate/segmentation_images/{identity}.recipe.json"
    good = image.read_bytes()
    image.write_bytes(good[: len(good) // 2])
    # asked for alone: a whole pipeline makes a spoilt input again first
    nodes = ",".join(each.name for each in segmentation.create_pipeline().nodes)
    failed = assay.slurm("--nodes", nodes).fails()
    found = assay.labels("engine_labels")
    assert len(found) == 63 and identity not in found
    for key in set(found) - {identity}:
        fov, population, block = key.split("/")
        frame = int(block[1:5])
        whole = bench.engine_labels[
            f"{fov}/{population}/t{frame // 8 * 8:04d}-{frame // 8 * 8 + 7:04d}"
        ]
        np.testing.assert_array_equal(found[key][0], whole[frame % 8])
    assert "t0005-0005" in failed.text and "then go on with" in failed.text, failed.text
    assert max(assay.calls().values()) == 1  # the code's own error is not tried again
    image.write_bytes(good)
    assay.slurm().ok()
    assert len(assay.labels("engine_labels")) == len(assay.labels()) == 64
    assert assay.calls() == Counter(assay.groups())


def test_without_accounting_the_record_and_the_log_decide(
    bench: Bench, cluster_without_accounting: Cluster, tmp_path: Path
) -> None:
    """Arrays of three tasks at most, too."""
    assay = bench.prepared.copy(tmp_path / "p", str(cluster_without_accounting.conf))
    other = f"{FOVS[0]}/CancerCell/0"
    assay.faults({VICTIM: {"do": "memory", "mb": 700, "s": 3}, other: {"do": "raise", "first": 1}})
    failed = assay.slurm().fails(180)
    assert "the test wants" in failed.text
    assert assay.calls()[VICTIM] == 2 and assay.calls()[other] == 1
    assay.slurm().ok()
    complete(assay, bench)
    once(assay, VICTIM, other)
    assert assay.calls()[other] == 2


@pytest.fixture(params=["size=4k,nr_inodes=2", "ro"], ids=["full", "read-only"])
def bad_disk(assay: Assay, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The folder of the results on a file system that cannot be written."""
    folder = assay.path / "data" / "03_primary"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", request.param, "tmpfs", str(folder)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("file systems may not be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=False)


def test_a_disk_that_cannot_be_written_is_called_by_its_name(
    assay: Assay, bench: Bench, bad_disk: Path
) -> None:
    assay.resources(batch_size=4)
    failed = assay.slurm().fails()
    assert "No space left" in failed.text or "Read-only file system" in failed.text
    assert max(assay.calls().values(), default=0) <= 1  # another try would find it the same
    assert not assay.labels("engine_labels")
    subprocess.run(["umount", str(bad_disk)], check=True)
    assay.slurm().ok()
    complete(assay, bench)


def test_ctrl_c_cancels_the_jobs_and_says_what_is_kept(
    assay: Assay, bench: Bench, cluster: Cluster
) -> None:
    assay.faults({"*": {"do": "sleep", "s": 4, "first": 1}})
    driver = assay.slurm()
    assay.wait_for_ends(2)
    driver.send(signal.SIGINT)
    assert driver.wait(30) != 0
    wait_for("the jobs' end", lambda: not cluster.live_jobs(), 20)
    assert "Go on with: kedro run" in driver.text, driver.text[-3000:]
    kept = set(assay.ends())
    assert 2 <= len(kept) < 8
    found = assay.labels("engine_labels")
    assert_equal(found, {key: bench.engine_labels[key] for key in found})
    assert len(found) >= len(kept) - 4  # what was being saved at that moment may be lost
    current = {k for k in kept if assay.has(k)}
    assay.slurm().ok()
    complete(assay, bench)
    assert all(assay.calls()[each] == 1 for each in current)


def test_a_parameter_changed_before_the_resume_redoes_what_it_touches(
    assay: Assay, bench: Bench
) -> None:
    bad = f"{FOVS[0]}/CancerCell/0"
    assay.faults({bad: {"do": "raise", "first": 1}})
    failed = assay.slurm().fails()
    assert "the test wants" in failed.text and FOVS[0] in failed.text
    assay.set_segmentation(TCell=0.5)
    assay.slurm().ok()
    calls = assay.calls()
    touched = {each for each in assay.groups() if "/TCell/" in each} | {bad}
    assert calls == {each: 2 if each in touched else 1 for each in assay.groups()}
    found = assay.labels()
    same = [each for each in found if "/CancerCell/" in each]
    assert_equal({k: found[k] for k in same}, {k: bench.labels[k] for k in same})
    changed = [each for each in found if "/TCell/" in each]
    assert len(changed) == 4
    assert all((found[each] > 0).sum() < (bench.labels[each] > 0).sum() for each in changed)


def test_two_drivers_do_not_write_one_project_at_once(assay: Assay, bench: Bench) -> None:
    assay.faults({"*": {"do": "wait"}})
    first = assay.slurm()
    assay.wait_for_calls(2)
    second = assay.slurm().fails()  # refused, and it says who holds what
    assert "is being written by run" in second.text, second.text[-3000:]
    (assay.path / "go_on").touch()
    first.ok()
    complete(assay, bench)
    once(assay)


def test_the_driver_can_be_a_job_itself(assay: Assay, bench: Bench, cluster: Cluster) -> None:
    script = Driver.script(assay)
    job = cluster.call(
        *("sbatch", "--parsable", "--mem=900", "--ntasks=1"),
        *(f"--output={assay.path}/driver_job.log", "--time=10", str(script)),
    )
    wait_for("the driver's job", lambda: job not in cluster.live_jobs(), 150)
    log = (assay.path / "driver_job.log").read_text()
    assert cluster.jobs()[job][0] == "COMPLETED", log[-4000:]
    complete(assay, bench)
    once(assay)
    assert {each["job"] for each in assay.notes()} and job not in {
        each["job"] for each in assay.notes()
    }
