"""What a runner costs: one node of 64 partitions under each runner, and planning for 10,000.

    python benchmarks/runners.py                          # local runners, planning
    python benchmarks/runners.py --slurm-conf /tmp/c/slurm.conf    # and the cluster of tests/slurm
    python benchmarks/runners.py --only plan

The node is `segment` on a simulated assay cut into blocks of one frame. "bare array" is sbatch
--array of the very commands that SlurmRunner's tasks run, waited for with the shell.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

N_FRAMES = 16  # of two fields and two populations: 64 partitions


def make(folder: Path, batch_size: int) -> Path:
    """A project whose `segment` node has 64 partitions, all of its inputs there."""
    from tiny_project import Project

    maker = Project.make(folder / "maker", folder / "raw")
    args = {"seed": 5, "n_frames": N_FRAMES, "size_px": 96, "n_effectors": 4, "n_targets": 4}
    field = {"condition": "any", "control": True, "assay": {"name": "SimulatedAssay", "args": args}}
    maker.write("parameters_simulation", {"simulation": {"fovs": {"A1": field, "A2": field}}}).run(
        "simulation"
    )
    project = Project.make(folder / "project", folder / "raw", block_length=1)
    project.run("ingestion", "preprocessing")
    resources = project.path / "conf" / "resources"
    resources.mkdir(exist_ok=True)
    default = {"batch_size": batch_size, "mem": "700M", "time": "10", "max_parallel": 4}
    machine = {"poll_s": 0.5, "poll_max_s": 2}
    text = yaml.safe_dump({"machine": machine, "default": default})
    (resources / "bench.yml").write_text(text, encoding="utf-8")
    return project.path


def kedro_run(project: Path, *words: str) -> tuple[float, str]:
    """Seconds that the node took, by the driver's own log, and the log."""
    shutil.rmtree(project / "data" / "03_primary", ignore_errors=True)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--nodes", "segment", *words],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    wall = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    return wall, done.stdout


def newest(project: Path) -> Path:
    """The newest run."""
    return max(each for each in (project / "runs").iterdir() if each.name[0] != ".")


def tasks_of(project: Path) -> list[dict]:
    """What the manifest of the newest run says of its tasks."""
    return json.loads((newest(project) / "manifest.json").read_text()).get("tasks", [])


def node_seconds(log: str) -> float:
    """What the driver logged for the node."""
    found = re.search(r"segment: \d+ done, ([\d.]+) s", log)
    return float(found[1]) if found else float("nan")


def bare_array(project: Path) -> float:
    """The tasks of the newest run again, by sbatch --array alone; seconds until all are over."""
    folder = newest(project) / "jobs" / "segment" / "001"
    again = folder.with_name("bare")
    again.mkdir()
    task = json.loads((folder / "task.json").read_text())
    (again / "task.json").write_text(json.dumps(task))
    text = (folder / "script.sh").read_text().replace(str(folder), str(again))
    (again / "script.sh").write_text(text)
    shutil.rmtree(project / "data" / "03_primary")
    began = time.perf_counter()
    subprocess.run(["sbatch", "--wait", str(again / "script.sh")], check=True, capture_output=True)
    return time.perf_counter() - began


def runners(slurm_conf: str | None, batch_size: int) -> None:
    """Print the table of the runners."""
    with tempfile.TemporaryDirectory() as folder:
        project = make(Path(folder), batch_size)
        print(f"64 partitions, {batch_size} a task; seconds")
        wall, _ = kedro_run(project)
        print(f"  {'SequentialRunner':<28}{wall:>8.1f} wall", flush=True)
        name = "cyto_kedro.runner."
        wall, log = kedro_run(
            project, "--runner", f"{name}PartitionRunner", "--runner-params", "resources=bench"
        )
        print(
            f"  {'PartitionRunner':<28}{wall:>8.1f} wall{node_seconds(log):>8.1f} node", flush=True
        )
        if slurm_conf is None:
            return
        os.environ["SLURM_CONF"] = slurm_conf
        wall, log = kedro_run(
            project, "--runner", f"{name}SlurmRunner", "--runner-params", "resources=bench"
        )
        node = node_seconds(log)
        print(f"  {'SlurmRunner':<28}{wall:>8.1f} wall{node:>8.1f} node", flush=True)
        starts = sorted(each["start_s"] for each in tasks_of(project))
        bare = bare_array(project)
        print(f"  {'bare sbatch --array':<28}{bare:>8.1f} wall   node / bare = {node / bare:.2f}")
        print(f"  a task's start, process to node: median {starts[len(starts) // 2]:.2f} s")


def plan() -> None:
    """Print what planning 10,000 partitions costs, with nothing and with everything current."""
    from cyto_kedro.runner.planning import plan_node
    from cyto_kedro.runner.resources import check_resources

    groups = [
        {"fov": f"f{fov}", "population": population, "block": f"t{block:04d}-{block:04d}"}
        for fov in range(50)
        for population in ("TCell", "CancerCell")
        for block in range(100)
    ]
    began = time.perf_counter()
    plan_node("segment", groups, check_resources({"nodes": {"segment[TCell]": {"mem": "9G"}}}, ""))
    print(f"10,000 partitions into batches: {time.perf_counter() - began:.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        began, stale = ledger(Path(folder), groups)
        print(f"10,000 partitions against the ledger: {began:.2f} s ({stale} of them stale)")


def ledger(folder: Path, groups: Sequence[dict[str, str]]) -> tuple[float, int]:
    """Seconds that finding what is stale takes when all of 10,000 partitions are there."""
    import pandas as pd
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import node

    from cyto_kedro.currency import input_digests, stale_groups
    from cyto_kedro.datasets import ObjectDataset, PartitionedDataset
    from cyto_kedro.lift import lift
    from cyto_kedro.partitions import Plan

    def work(group, made, manifest, frames):
        return made

    def held(name: str) -> PartitionedDataset:
        return PartitionedDataset(
            path=str(folder / name),
            grain="fov/population/block",
            filename_suffix=".pkl",
            dataset=ObjectDataset,
        )

    fov = {"n_frames": 100, "height_px": 9, "width_px": 9}
    plan = Plan(
        fovs={f"f{index}": fov for index in range(50)},
        channels=(),
        populations=("TCell", "CancerCell"),
        block_length=1,
    )
    frames = pd.DataFrame(
        [{"fov": f"f{index}", "frame": t, "time_s": t} for index in range(50) for t in range(100)]
    )
    made, out = held("made"), held("out")
    catalog = DataCatalog(
        {"made": made, "out": out, "manifest": MemoryDataset(plan), "frames": MemoryDataset(frames)}
    )
    lifted = lift(work, by="fov/population/block")
    segment = node(lifted, ["made", "manifest", "frames"], "out", name="segment")
    known: dict = {}
    for group in groups:
        identity = "/".join(group.values())
        for dataset in (made, out):
            path = Path(dataset.path_of(identity))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        made.record(identity, {})
        inputs = {"made": made.load(), "manifest": plan, "frames": frames}
        out.record(identity, input_digests(lifted, inputs, group, known))
    began = time.perf_counter()
    inputs = {"made": made.load(), "manifest": plan, "frames": frames}
    stale = stale_groups(segment, inputs, catalog)
    return time.perf_counter() - began, len(stale)


def main() -> None:
    parser = argparse.ArgumentParser(description="What a runner costs.")
    parser.add_argument("--slurm-conf", help="slurm.conf of a cluster to run on")
    parser.add_argument("--only", choices=("runners", "plan"))
    parser.add_argument("--batch-size", type=int, default=4)
    given = parser.parse_args()
    if given.only != "runners":
        plan()
    if given.only != "plan":
        runners(given.slurm_conf, given.batch_size)


if __name__ == "__main__":
    main()
