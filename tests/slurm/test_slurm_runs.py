"""Runs on a real cluster in which nothing goes wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from cluster import Cluster, wait_for
from harness import FOVS, Assay, Bench, assert_equal

from cyto_kedro.runner import history

pytestmark = pytest.mark.slurm


def test_segmentation_is_what_a_plain_run_makes_and_its_record_says_how(
    assay: Assay, bench: Bench, cluster: Cluster
) -> None:
    assay.resources(subtract_here=False)
    driver = assay.slurm()
    while driver.process.poll() is None:  # at every moment whole partitions or none
        found = assay.labels("engine_labels")
        assert_equal(found, {key: bench.engine_labels[key] for key in found})
        time.sleep(0.1)
    driver.ok()
    assert_equal(assay.labels("engine_labels"), bench.engine_labels)
    assert_equal(assay.labels(), bench.labels)
    assert assay.leftovers() == []
    assert sorted(assay.calls().values()) == [1] * 8
    notes = assay.notes()
    assert all(each["job"] and each["host"] in cluster.nodes for each in notes)
    assert {each["threads"] for each in notes} == {"1"}  # cpus_per_task
    assert not (assay.path / "x").exists()  # `a b; touch x` never met a shell

    folder = assay.run_folder()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["state"] == "done"
    saved = {(each["dataset"], each["partition"]) for each in manifest["partitions"]}
    made = {(n, i) for n in ("engine_labels", "labels") for i in bench.labels}
    plan = {(name, None) for name in ("manifest", "fields", "frames")}  # looked at anew each run
    assert made <= saved and saved - made <= plan
    hosts = [each["host"] for each in manifest["partitions"] if each["dataset"] == "engine_labels"]
    assert len(hosts) == 8 and set(hosts)
    assert list(folder.rglob("*.sbatch")) or list(folder.rglob("*.sh")), "no script was kept"
    assert list(folder.rglob("*.log"))
    assert "segment" in driver.text

    # nothing is left to do: no job is submitted
    before = set(cluster.jobs())
    assay.slurm().ok()
    assert not set(cluster.jobs()) - before  # the cluster may have forgotten older ones
    assert sorted(assay.calls().values()) == [1] * 8


def test_a_node_starts_on_what_its_producer_has_finished(
    assay: Assay, bench: Bench, cluster: Cluster
) -> None:
    slow = f"{FOVS[0]}/TCell/0"
    assay.resources(subtract_here=False, batch_size=1)
    assay.faults({slow: {"do": "wait"}})
    driver = assay.slurm()
    # three of four fields x blocks have all that they need; the fourth waits for the slow one
    wait_for("six labels", lambda: len(assay.labels()) == 6, 240)
    assert assay.ends()[slow] == 0 and driver.process.poll() is None
    (assay.path / "go_on").touch()
    driver.ok()
    assert_equal(assay.labels(), bench.labels)
    assert sorted(assay.calls().values()) == [1] * 8
    tasks = history.read(assay.run_folder())["tasks"]
    assert sum(each["node"] == "subtract" for each in tasks) == 4


def test_a_dry_run_shows_the_plan_and_submits_nothing(assay: Assay, cluster: Cluster) -> None:
    before = set(cluster.jobs())
    driver = assay.slurm("--runner-params", "resources=fault,dry_run=true").ok()
    assert "#SBATCH" in driver.text and "segment" in driver.text
    assert not set(cluster.jobs()) - before  # the cluster may have forgotten older ones
    assert not assay.calls() and not assay.labels("engine_labels")


def test_an_unknown_key_of_the_resources_is_refused_before_submission(
    assay: Assay, cluster: Cluster
) -> None:
    before = set(cluster.jobs())
    assay.resources(cpu_per_task=2)
    driver = assay.slurm().fails()
    assert "cpus_per_task" in driver.text
    assert not set(cluster.jobs()) - before  # the cluster may have forgotten older ones


@pytest.mark.slow
def test_the_whole_analysis_is_that_of_the_sequential_runner(
    bench: Bench, cluster: Cluster, tmp_path: Path
) -> None:
    """Every table, label and graph of the pipeline, not the segmentation alone."""
    plain = bench.prepared.copy(tmp_path / "plain")
    ours = bench.prepared.copy(tmp_path / "ours", str(cluster.conf))
    stages = "ingestion,preprocessing,segmentation,tabulation,tracking,contacts,networks"
    ours.resources(subtract_here=False, batch_size=100)
    driver = ours.slurm(pipelines=stages)
    plain.kedro("--pipelines", stages).ok(300)
    driver.ok(300)
    assert ours.digests() == plain.digests()
    assert len(plain.digests()) > 100
