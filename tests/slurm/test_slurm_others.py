"""A controller that does not answer, other people's jobs, and requests that cannot be met."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from cluster import PARTITION, Cluster, wait_for
from harness import FOVS, Assay, Bench, assert_equal

from cyto_kedro.errors import ConfigError
from cyto_kedro.runner.resources import Machine, Resources
from cyto_kedro.runner.slurm.client import Client
from cyto_kedro.runner.slurm.watch import SlurmBackend
from tiny_project import Project

pytestmark = pytest.mark.slurm

VICTIM = f"{FOVS[1]}/TCell/8"


def complete(assay: Assay, bench: Bench) -> None:
    """All is there as a plain run makes it, and every group was begun and ended once."""
    assert_equal(assay.labels(), bench.labels)
    assert assay.calls() == assay.ends() == Counter(assay.groups())


def go_on(assay: Assay) -> None:
    """Let the tasks that wait go on."""
    (assay.path / "go_on").touch()


def test_a_controller_that_is_silent_at_a_resume_computes_nothing_twice(
    assay: Assay, bench: Bench, cluster: Cluster
) -> None:
    assay.resources({"output_wait_s": 1})
    assay.faults({"*": {"do": "wait"}})
    driver = assay.slurm()
    assay.wait_for_calls(4)
    driver.end()
    jobs = set(cluster.jobs())
    with cluster.silent():
        resumed = assay.slurm()
        wait_for("what it says", lambda: "SLURM does not answer" in resumed.text, 150)
        assert "is unknown; asked again" in resumed.text and len(assay.notes()) == 4
    wait_for("adoption", lambda: "adopted job" in resumed.text, 150)
    go_on(assay)
    resumed.ok()
    complete(assay, bench)
    assert set(cluster.jobs()) == jobs  # not one more


def test_a_controller_that_is_silent_in_mid_run_and_an_empty_squeue_resubmit_nothing(
    assay: Assay, bench: Bench, cluster: Cluster
) -> None:
    """The empty answers last longer than `output_wait_s`; then every line comes twice."""
    folder = assay.path / "double"
    folder.mkdir()
    real = shutil.which("squeue")
    (folder / "squeue").write_text(
        f'#!/bin/sh\nif [ -e "{folder}/blind" ]; then exit 0; fi\n"{real}" "$@" && "{real}" "$@"\n'
    )
    (folder / "squeue").chmod(0o755)
    assay.resources({"output_wait_s": 1})
    assay.faults({"*": {"do": "wait"}})
    driver = assay.slurm(env={"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"})
    assay.wait_for_calls(4)
    jobs = set(cluster.jobs())
    with cluster.silent():
        wait_for("the first silence", lambda: "squeue: " in driver.text, 150)
        wait_for("the second", lambda: driver.text.count("squeue: ") > 1, 150)
    (folder / "blind").touch()
    wait_for("what it says", lambda: "squeue does not list it" in driver.text, 150)
    assert len(assay.notes()) == 4 and set(cluster.jobs()) == jobs
    (folder / "blind").unlink()
    go_on(assay)
    driver.ok()
    complete(assay, bench)
    assert set(cluster.jobs()) == jobs


def test_runs_on_other_data_a_copied_project_and_a_strangers_job_do_not_meet(
    assay: Assay, bench: Bench, cluster: Cluster, tmp_path: Path
) -> None:
    words = ("--parsable", "--mem=50", "--output=/dev/null", "--hold", "--wrap=sleep 60")
    strangers = {
        cluster.call("sbatch", f"--job-name={name}", *words)
        for name in ("cyto:hello", "cyto:r1:segment:001")
    }
    assay.faults({"*": {"do": "wait"}})
    first = assay.slurm()
    assay.wait_for_calls(4)
    others = tmp_path / "other data"
    shutil.copytree(assay.path / "data", others, ignore=shutil.ignore_patterns(".leases"))
    shutil.copytree(assay.path, tmp_path / "copied")  # its runs/ too: they are the first's
    copied = Assay(Project(tmp_path / "copied"), assay.plugin, assay.slurm_conf)
    shutil.rmtree(copied.path / "data" / ".leases")
    for each in copied.path.glob("*.jsonl"):
        each.unlink()
    second = assay.slurm("--all", "--params", f"data={others}")
    third = copied.slurm()
    for driver in (second, third):  # the first one's tasks have all of the nodes
        wait_for("the reason", lambda d=driver: "pending (" in d.text, 150)  # type: ignore[misc]
    assert "writes other data: left alone" in second.text and len(assay.notes()) == 4
    for each in (assay, copied):
        go_on(each)
    for driver in (first, second, third):
        assert "cancelling" not in driver.ok().text
    assert_equal(assay.labels(), bench.labels)
    assert assay.ends() == Counter(2 * assay.groups())  # once each of the two
    complete(copied, bench)
    assert strangers <= set(cluster.live_jobs())


def test_two_clones_do_not_write_one_data_folder_while_a_driver_or_its_jobs_live(
    assay: Assay, bench: Bench, cluster: Cluster, tmp_path: Path
) -> None:
    clone = bench.prepared.copy(tmp_path / "clone", str(cluster.conf))
    there = ("--params", f"data={assay.path / 'data'}")
    assay.faults({"*": {"do": "wait"}})
    first = assay.slurm()
    assay.wait_for_calls(4)
    second, plain = clone.slurm(*there), clone.kedro("--pipelines", "segmentation", *there)
    for each in (second, plain):
        assert "is being written by run" in each.fails().text, each.text[-3000:]
    first.end()  # its jobs live
    segmentation = ("--pipelines", "segmentation")
    for start in (lambda: clone.slurm(*there), lambda: clone.kedro(*segmentation, *there)):
        text = start().fails().text  # one after the other: each holds the lease while it looks
        assert "still writes" in text and str(assay.path) in text, text[-3000:]
    resumed = assay.slurm()
    wait_for("adoption", lambda: "adopted job" in resumed.text, 150)
    go_on(assay)
    resumed.ok()
    complete(assay, bench)
    assert not clone.calls()


def test_what_the_cluster_does_not_have_is_refused_before_submission(
    assay: Assay, cluster: Cluster, tmp_path: Path
) -> None:
    backend = SlurmBackend(Machine(), tmp_path)
    backend.check([Resources(partition=PARTITION, account="lab", mem="8000M")])
    for asked, said in (
        ({"partition": "tset"}, "unknown partition 'tset'. Did you mean 'test'"),
        ({"account": "lob"}, "unknown account 'lob'. Did you mean 'lab'"),
        ({"qos": "nromal"}, "unknown qos 'nromal'. Did you mean 'normal'"),
        ({"mem": "9G"}, r"mem 9G is more than the largest node .* \(8000M\)"),
        ({"cpus_per_task": 2}, r"2 cores are more than the largest node .* has \(1\)"),
    ):
        with pytest.raises(ConfigError, match=said):
            backend.check([Resources.model_validate(asked)])
    script = tmp_path / "script.sh"
    for option in ("--mem=100G", "--gres=gpu:9", "--constraint=avx9"):
        script.write_text(f"#!/bin/sh\n#SBATCH {option}\ntrue\n")
        with pytest.raises(ConfigError, match="sbatch refused"):  # not: asked again for a day
            Client().submit(script)
    assert backend.limits(Resources(mem="5G")) == (8000, None)
    before = set(cluster.jobs())
    assay.resources(account="lob")
    assert "unknown account 'lob'" in assay.slurm().fails().text
    assert not set(cluster.jobs()) - before and not assay.calls()


def test_memory_grows_to_the_limit_and_the_task_then_fails_as_what_it_is(
    assay: Assay, bench: Bench
) -> None:
    assay.resources({"limits": {"mem": "900M"}}, attempts=5)
    assay.faults({VICTIM: {"do": "memory", "mb": 1000, "s": 3}})
    failed = assay.slurm().fails()
    assert "900M is all that the largest machine has, so it is not tried again" in failed.text
    assert assay.calls()[VICTIM] == 2 and len(assay.labels("engine_labels")) == 7


def test_waiting_jobs_say_why_and_those_that_never_start_fail(
    assay: Assay, bench: Bench, cluster: Cluster, tmp_path: Path
) -> None:
    failed = cluster.call("sbatch", "--parsable", "--mem=50", "--output=/dev/null", "--wrap=false")
    wait_for("the failure", lambda: failed not in cluster.live_jobs())
    assay.resources({"output_wait_s": 1}, options=[f"--dependency=afterok:{failed}"])
    never = assay.slurm().fails()
    assert "cannot start (SLURM: DependencyNeverSatisfied)" in never.text, never.text[-3000:]
    assert not cluster.live_jobs() and not assay.calls()

    assay.resources(options=["--hold"])
    held = assay.slurm()
    wait_for("the reason", lambda: "pending (JobHeldUser" in held.text, 150)
    (job,) = {each.partition("_")[0] for each in cluster.live_jobs()}
    cluster.call("scontrol", "release", job)
    held.ok()
    complete(assay, bench)


def test_a_setup_line_that_fails_stops_the_task_and_is_shown(assay: Assay) -> None:
    assay.resources({"output_wait_s": 1}, setup=["true", "cd /no/such/folder"])
    failed = assay.slurm().fails()
    assert "setup failed: cd /no/such/folder" in failed.text, failed.text[-3000:]
    assert not assay.calls()
