"""What a runner costs: one node of 64 partitions under each runner, and planning for 10,000.

    python benchmarks/runners.py                          # local runners, planning
    python benchmarks/runners.py --slurm-conf /tmp/c/slurm.conf    # and the cluster of tests/slurm
    python benchmarks/runners.py --only plan

The node is `segment` on a simulated assay cut into blocks of one frame. "bare array" is sbatch
--array of the very commands that SlurmRunner's tasks run, waited for with squeue.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
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
    words = ["sbatch", "--parsable", str(again / "script.sh")]
    job = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    words = ["squeue", "-h", "-j", job]  # `sbatch --wait` would look only every ten seconds or so
    while subprocess.run(words, check=True, capture_output=True).stdout.strip():
        time.sleep(0.2)
    return time.perf_counter() - began


def runners(slurm_conf: str | None, batch_size: int) -> None:
    """Print the table of the runners."""
    with tempfile.TemporaryDirectory() as folder:
        project = make(Path(folder), batch_size)
        print(f"64 partitions, {batch_size} a task; seconds")
        wall, _ = kedro_run(project, "--runner", "SequentialRunner")
        print(f"  {'SequentialRunner':<28}{wall:>8.1f} wall", flush=True)
        name = "cyto_kedro.runner."
        for runner in ("PartitionRunner", *(["DaskRunner"] if find_spec("distributed") else [])):
            wall, log = kedro_run(
                project, "--runner", f"{name}{runner}", "--runner-params", "resources=bench"
            )
            print(f"  {runner:<28}{wall:>8.1f} wall{node_seconds(log):>8.1f} node", flush=True)
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
        alone = [alone_start(project) for _ in range(3)]
        print(
            f"  a task's start, process to node: median {starts[len(starts) // 2]:.2f} s in the array,"
        )
        print(f"  {min(alone):.2f} s alone on the machine (best of 3)")


def alone_start(project: Path) -> float:
    """Seconds from a worker's process start to its node's first line, with nothing beside it."""
    folder = newest(project) / "jobs" / "segment" / "001"
    words = [sys.executable, "-m", "cyto_kedro.runner.worker", str(folder / "task.json"), "0"]
    subprocess.run(words, check=True, cwd=project, capture_output=True)
    return json.loads((folder / "0.json").read_text())["start_s"]


def plan(n_fields: int) -> None:
    """Print what planning 200 partitions a field costs, with nothing and with everything current."""
    from cyto_kedro.runner.planning import plan_node
    from cyto_kedro.runner.resources import check_resources

    groups = [
        {"fov": f"f{fov}", "population": population, "block": f"t{block:04d}-{block:04d}"}
        for fov in range(n_fields)
        for population in ("TCell", "CancerCell")
        for block in range(100)
    ]
    began = time.perf_counter()
    plan_node("segment", groups, check_resources({"nodes": {"segment[TCell]": {"mem": "9G"}}}, ""))
    print(f"{len(groups):,} partitions into batches: {time.perf_counter() - began:.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        print(ledger(Path(folder), groups))


def driver(n_tasks: int = 1000) -> None:
    """Print what the driver itself costs: its tasks have ended as soon as they are submitted."""
    from datetime import UTC, datetime

    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import node, pipeline

    from cyto_kedro.lift import lift
    from cyto_kedro.partitions import Plan
    from cyto_kedro.runner import driver as module
    from cyto_kedro.runner.context import RunContext
    from cyto_kedro.runner.records import BatchRecord, GroupRecord, TaskFile, TaskFolder, write_json
    from cyto_kedro.runner.resources import check_resources
    from cyto_kedro.runner.slurm.client import Client
    from cyto_kedro.runner.slurm.watch import SlurmBackend

    elsewhere: list[float] = []  # seconds in which the tasks wrote their records

    class Instant(Client):
        def submit(self, script: Path) -> str:
            began = time.perf_counter()
            folder = TaskFolder(script.parent)
            task = TaskFile.model_validate_json(folder.task.read_bytes())
            for index, groups in enumerate(task.batches):
                done = tuple(GroupRecord(group=group, state="done") for group in groups)
                now = datetime.now(UTC)
                record = BatchRecord(
                    index=index, host="h", pid=1, started=now, finished=now, groups=done
                )
                write_json(folder.record(index), record.model_dump_json())
            elsewhere.append(time.perf_counter() - began)
            return str(len(elsewhere))

        def ours(self) -> dict[str, set[str]]:
            return {}

    def work(group, manifest):
        return group

    fov = {"n_frames": n_tasks, "height_px": 9, "width_px": 9}
    plan = Plan(fovs={"f": fov}, channels=(), populations=("TCell",), block_length=1)
    catalog = DataCatalog({"manifest": MemoryDataset(plan)})
    flow = pipeline([node(lift(work, by="fov/population/block"), "manifest", "out", name="work")])
    machine = {"max_jobs": n_tasks, "max_array_size": n_tasks}
    file = check_resources({"machine": machine, "default": {"batch_size": 1}}, "")
    module.pipelines_of = lambda _: {"work": ["any"]}  # it is in no registered pipeline
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "runs" / "r").mkdir(parents=True)
        context = RunContext(project=folder, conf_source=folder, env=None)
        backend = SlurmBackend(file.machine, folder, Instant(accounting=False))
        run = module.Driver(flow, catalog, None, "r", context, file, backend, only_stale=False)
        began = time.perf_counter()
        run.run()
        own = time.perf_counter() - began - sum(elsewhere)
    print(f"the driver's own cost for {n_tasks} tasks: {1e3 * own / n_tasks:.2f} ms a task")


def ledger(folder: Path, groups: Sequence[dict[str, str]]) -> str:
    """What writing the entries costs, and finding what is stale when all partitions are there."""
    import pandas as pd
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import node

    from cyto_kedro import journals
    from cyto_kedro.currency import input_digests, stale_groups
    from cyto_kedro.datasets import ObjectDataset, PartitionedDataset
    from cyto_kedro.lift import by_field, lift
    from cyto_kedro.partitions import Plan

    def work(group, made, manifest, frames):
        return made

    fields = sorted({group["fov"] for group in groups})

    def held(name: str) -> PartitionedDataset:
        return PartitionedDataset(
            path=str(folder / name),
            grain="fov/population/block",
            filename_suffix=".pkl",
            dataset=ObjectDataset,
        )

    fov = {"n_frames": 100, "height_px": 9, "width_px": 9}
    plan = Plan(
        fovs=dict.fromkeys(fields, fov),
        channels=(),
        populations=("TCell", "CancerCell"),
        block_length=1,
    )
    frames = pd.DataFrame(
        [{"fov": name, "frame": t, "time_s": t} for name in fields for t in range(100)]
    )
    made, out = held("made"), held("out")
    catalog = DataCatalog(
        {"made": made, "out": out, "manifest": MemoryDataset(plan), "frames": MemoryDataset(frames)}
    )
    lifted = lift(work, by="fov/population/block")
    segment = node(lifted, ["made", "manifest", "frames"], "out", name="segment")
    known: dict = {}
    for identity in ("/".join(group.values()) for group in groups):
        for dataset in (made, out):
            path = Path(dataset.path_of(identity))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    inputs = {"made": made.load(), "manifest": plan, "frames": by_field(frames)}
    began, clock = time.process_time(), time.perf_counter()
    for group in groups:
        identity = "/".join(group.values())
        made.record(identity, {})
        out.record(identity, input_digests(lifted, inputs, group, known))
    written = f"{time.process_time() - began:.1f} CPU s, {time.perf_counter() - clock:.1f} s"
    journals.end_all()
    journals._KNOWN.clear()  # as another process, which has read nothing yet
    began = time.process_time()
    inputs = {"made": made.load(), "manifest": plan, "frames": frames}
    stale = stale_groups(segment, inputs, catalog)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"{2 * len(groups):,} entries written: {written}\n"
        f"{len(groups):,} partitions against the ledger: "
        f"{time.process_time() - began:.2f} CPU s ({len(stale)} of them stale), {most:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="What a runner costs.")
    parser.add_argument("--slurm-conf", help="slurm.conf of a cluster to run on")
    parser.add_argument("--only", choices=("runners", "plan"))
    parser.add_argument("--fields", type=int, default=50, help="of 200 partitions, to plan")
    parser.add_argument("--batch-size", type=int, default=4)
    given = parser.parse_args()
    if given.only != "runners":
        plan(given.fields)
        driver()
    if given.only != "plan":
        runners(given.slurm_conf, given.batch_size)


if __name__ == "__main__":
    main()
