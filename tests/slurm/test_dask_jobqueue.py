"""Dask's workers in jobs of a real cluster, by dask-jobqueue."""

from __future__ import annotations

import json

import pytest
from cluster import PARTITION, Cluster, wait_for
from harness import FOVS, Assay, Bench, Driver, assert_equal

pytestmark = [pytest.mark.slurm, pytest.mark.companion("dask_jobqueue")]
WORDS = ("--pipelines", "segmentation", "--runner", "cyto_kedro.runner.DaskRunner")


def test_workers_in_jobs_make_what_a_plain_run_makes(
    assay: Assay, bench: Bench, cluster: Cluster
) -> None:
    """Jobs that end before the run, at their time limit say, are asked for again; its end ends them."""
    slow = f"{FOVS[0]}/TCell/0"
    assay.faults({slow: {"do": "wait"}})
    workers = {"type": "dask_jobqueue.SLURMCluster", "jobs": 2, "cores": 1, "memory": "700MiB"}
    where = {"queue": PARTITION, "walltime": "00:10:00", "interface": "lo"}
    assay.resources({"cluster": {**workers, **where}}, mem="600M")
    driver = Driver(assay, [*WORDS, "--runner-params", "resources=fault"], {})
    wait_for("the slow one", lambda: assay.calls()[slow] == 1, 150)
    first = set(cluster.live_jobs())
    assert 1 <= len(first) <= 2
    cluster.call("scancel", *first)
    wait_for("another job", lambda: assay.calls()[slow] == 2, 150)
    assert not first & set(cluster.live_jobs())
    (assay.path / "go_on").touch()
    driver.ok()
    assert_equal(assay.labels("engine_labels"), bench.engine_labels)
    assert_equal(assay.labels(), bench.labels)
    manifest = json.loads((assay.run_folder() / "manifest.json").read_text())
    assert {task["state"] for task in manifest["tasks"]} == {"done"}
    wait_for("no job", lambda: not cluster.live_jobs(), 60)
    jobs = cluster.jobs()
    Driver(assay, [*WORDS, "--runner-params", "resources=fault"], {}).ok()
    assert cluster.jobs() == jobs  # nothing to do, nothing submitted
