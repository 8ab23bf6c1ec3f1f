"""The cluster that the other tests rest on does what a cluster does."""

from __future__ import annotations

import socket
from pathlib import Path

import parts
import pytest
from cluster import CGROUPS, Cluster, ClusterError, alive, missing, running, up, wait_for

pytestmark = pytest.mark.slurm

# touches 300 MB at a stroke, and stays
GREEDY = "exec python3 -c 'import time; x = b\"x\" * (300 << 20); time.sleep(20)'"


def submit(cluster: Cluster, *words: str) -> str:
    """Job id of an sbatch."""
    return cluster.call("sbatch", "--parsable", *words)


def ended(cluster: Cluster, job: str) -> str:
    """State in which a job ends."""
    wait_for(f"end of job {job}", lambda: job not in cluster.live_jobs())
    return cluster.jobs()[job][0]


def test_an_array_of_one_task_runs(cluster: Cluster, tmp_path: Path) -> None:
    job = submit(
        cluster, "--array=0-0", "--mem=50", f"--output={tmp_path}/%a.log", "--wrap=hostname"
    )
    assert ended(cluster, f"{job}_0") == "COMPLETED"
    assert (tmp_path / "0.log").read_text().split(".")[0].strip() == socket.gethostname()


def test_a_job_over_its_memory_is_out_of_memory(cluster: Cluster, tmp_path: Path) -> None:
    job = submit(cluster, "--mem=60", f"--output={tmp_path}/log", f"--wrap={GREEDY}")
    expected = "OUT_OF_MEMORY" if "task/cgroup" in cluster.conf.read_text() else "FAILED"
    assert ended(cluster, job) == expected


def test_accounting_knows_the_jobs_and_limits_their_number(
    cluster: Cluster, tmp_path: Path
) -> None:
    job = submit(cluster, "--mem=50", f"--output={tmp_path}/log", "--wrap=true")

    def found() -> bool:
        return cluster.call("sacct", "-n", "-X", "-P", "-j", job, "-o", "state") == "COMPLETED"

    wait_for("sacct", found, 20)
    cluster.call("sacctmgr", "-i", "modify", "user", "root", "set", "MaxSubmitJobs=2")
    try:
        with pytest.raises(ClusterError, match="AssocMaxSubmitJobLimit"):
            submit(cluster, "--array=0-2", "--output=/dev/null", "--wrap=true")
    finally:
        cluster.call("sacctmgr", "-i", "modify", "user", "root", "set", "MaxSubmitJobs=-1")


def test_without_accounting_sacct_fails_and_long_arrays_are_refused(
    cluster_without_accounting: Cluster, tmp_path: Path
) -> None:
    bare = cluster_without_accounting
    assert not bare.accounting
    with pytest.raises(ClusterError, match="accounting storage is disabled"):
        bare.call("sacct")
    with pytest.raises(ClusterError, match="Invalid job array"):
        submit(bare, "--array=0-3", "--wrap=true")
    job = submit(bare, "--array=0-2", "--mem=50", f"--output={tmp_path}/%a.log", "--wrap=true")
    assert ended(bare, f"{job}_2") == "COMPLETED"


def test_the_controller_comes_back_with_its_jobs(cluster: Cluster, tmp_path: Path) -> None:
    job = submit(cluster, "--mem=50", f"--output={tmp_path}/log", "--wrap=sleep 20")
    wait_for("start", lambda: cluster.live_jobs()[job][0] == "RUNNING")
    cluster.stop_controller()
    assert "DOWN" in cluster.call("scontrol", "ping", check=False)
    cluster.start_controller()
    assert cluster.live_jobs()[job][0] == "RUNNING"


def test_down_leaves_no_daemon_and_no_job(cluster_folder: Path, tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(f"no SLURM cluster here: {reason}")
    with running(cluster_folder / "c", accounting=False, n_nodes=2) as other:
        job = submit(
            other,
            *("--mem=50", f"--output={tmp_path}/log"),
            f"--wrap=echo $$ > {tmp_path}/pid; exec sleep 60",
        )
        wait_for("start", lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        assert other.live_jobs()[job][0] == "RUNNING"
        pids = [*other.daemons().values(), *other.steps(), int((tmp_path / "pid").read_text())]
        assert len(pids) == 1 + 1 + 2 + 1 + 1  # munged, slurmctld, two slurmd, a step, its job
        assert all(alive(each) for each in pids)
        with pytest.raises(ClusterError, match="not empty"):
            up(other.state, accounting=False)
        names = other.nodes
    assert not any(alive(each) for each in pids)
    assert not other.daemons() and not other.steps()
    assert not [each for name in names for each in CGROUPS.glob(f"*/slurm_{name}")]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(parts, "PATH", "/nowhere")
    reason = missing()
    assert reason is not None and ("root" in reason or "apt-get install slurmctld" in reason)
    with pytest.raises(ClusterError, match=r"root|apt-get"):
        up(tmp_path / "cluster")
    assert not (tmp_path / "cluster").exists()
