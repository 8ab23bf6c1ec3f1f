"""A small assay whose segmentation can be made to fail, and ``kedro run`` as another process."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml
from cluster import PARTITION, wait_for
from fsspec.implementations.local import LocalFileSystem

from cyto_kedro.blocks import Block
from cyto_kedro.datasets import LabelDataset, PartitionedDataset
from cyto_kedro.ledger import Ledger
from tiny_project import Project

# one of them has a name that a shell must never read
FOVS = ("control_1", "a b; touch x")
POPULATIONS = ("TCell", "CancerCell")
N_FRAMES = 16
RUNNER = "cyto_kedro.runner.SlurmRunner"
EXPORTED = ("PYTHONPATH", "SLURM_CONF", "PATH")
HERE = Path(__file__).parent
RESOURCES: dict[str, dict[str, Any]] = {
    "machine": {"poll_s": 0.3, "poll_max_s": 1.0, "output_wait_s": 10},
    "default": {
        "partition": PARTITION,
        "cpus_per_task": 1,
        "mem": "700M",
        "time": "10",
        "batch_size": 2,
        "max_parallel": 4,
    },
}


def make_plugin(folder: Path) -> Path:
    """A package as pip would install it, with the test's algorithm as an entry point."""
    info = folder / "faulty-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(HERE / "faulty.py", folder)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cyto_kedro.segmentation]\nFaulty = faulty:Faulty\n")
    return folder


def simulate(folder: Path) -> Path:
    """Two small fields of `N_FRAMES` frames, as a microscope would leave them."""
    project = Project.make(folder / "maker", folder / "raw")
    args = {"seed": 5, "n_frames": N_FRAMES, "size_px": 64, "n_effectors": 4, "n_targets": 3}
    field = {"condition": "any", "control": True, "assay": {"name": "SimulatedAssay", "args": args}}
    project.write("parameters_simulation", {"simulation": {"fovs": dict.fromkeys(FOVS, field)}})
    project.run("simulation")
    return folder / "raw"


class Driver:
    """A ``kedro run`` in a process of its own."""

    started: ClassVar[list[Driver]] = []

    def __init__(self, assay: Assay, words: Sequence[str], env: dict[str, str]) -> None:
        number = len(list(assay.path.glob("driver*.log")))
        self.path = assay.path / f"driver{number}.log"
        with self.path.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kedro", "run", *words],
                cwd=assay.path,
                env=assay.env(env),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # a shell that started the tests in its background has them ignore Ctrl-C
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        self.started.append(self)

    @classmethod
    def end_all(cls) -> None:
        """Kill those that a failed test left."""
        while cls.started:
            cls.started.pop().end()

    @staticmethod
    def script(assay: Assay) -> Path:
        """A batch script that runs the driver as a job."""
        path = assay.path / "driver.sh"
        words = [sys.executable, "-m", "kedro", "run", "--pipelines", "segmentation"]
        words += ["--runner", RUNNER, "--runner-params", "resources=fault"]
        exports = [f"export {k}={shlex.quote(v)}" for k, v in assay.env().items() if k in EXPORTED]
        lines = ["#!/bin/bash", *exports, f"cd {shlex.quote(str(assay.path))}", shlex.join(words)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    @property
    def text(self) -> str:
        """What it printed."""
        return self.path.read_text(encoding="utf-8", errors="replace")

    def wait(self, timeout_s: float = 240) -> int:
        """Its exit code; ends it when it takes too long."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"not done in {timeout_s} s:\n{self.text[-4000:]}") from None

    def ok(self, timeout_s: float = 240) -> Driver:
        """Wait for a success."""
        code = self.wait(timeout_s)
        assert code == 0, self.text[-6000:]
        return self

    def fails(self, timeout_s: float = 240) -> Driver:
        """Wait for a failure that was reported, not crashed into."""
        code = self.wait(timeout_s)
        assert code > 0, self.text[-6000:]
        return self

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it alone."""
        self.process.send_signal(number)

    def end(self) -> None:
        """Kill it, if it runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class Assay:
    """A project whose segmentation is `faulty.Faulty`, with the cluster it runs on."""

    project: Project
    plugin: Path
    slurm_conf: str | None = None

    @classmethod
    def make(cls, folder: Path, raw: Path, plugin: Path, block_length: int) -> Assay:
        """A project in which nothing has run."""
        project = Project.make(folder, raw, block_length=block_length)
        assay = cls(project, plugin)
        assay.set_segmentation()
        assay.resources()
        return assay

    def copy(self, folder: Path, slurm_conf: str | None = None) -> Assay:
        """The same with what was made so far, and none of the calls and faults."""
        shutil.copytree(
            self.path, folder, ignore=shutil.ignore_patterns("runs", "*.log", "*.jsonl")
        )
        copied = Assay(Project(folder), self.plugin, slurm_conf)
        copied.set_segmentation()
        return copied

    @property
    def path(self) -> Path:
        """The project's folder."""
        return self.project.path

    def env(self, more: dict[str, str] | None = None) -> dict[str, str]:
        """The environment of a driver (which SLURM hands on to the tasks)."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
        paths = [str(self.plugin), os.environ.get("PYTHONPATH", "")]
        found = {**kept, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "COLUMNS": "200"}
        if self.slurm_conf:
            found["SLURM_CONF"] = self.slurm_conf
        return found | (more or {})

    def set_segmentation(self, **levels: float) -> None:
        """Set the parameter `level` by population."""
        self.project.block(
            "segmentation",
            **{
                name: {
                    "name": "Faulty",
                    # the same text in every copy of the project: parameters are hashed
                    "args": {"folder": ".", "level": levels.get(name, 0.3)},
                }
                for name in POPULATIONS
            },
        )

    def resources(
        self, machine: dict[str, Any] | None = None, subtract_here: bool = True, **default: Any
    ) -> None:
        """Write conf/resources/fault.yml: what the tests share, with changes.

        `subtract_here` spares the second node its jobs.
        """
        folder = self.path / "conf" / "resources"
        folder.mkdir(exist_ok=True)
        content = {
            "machine": {**RESOURCES["machine"], **(machine or {})},
            "default": {**RESOURCES["default"], **default},
            "nodes": {"subtract": {"light": True}} if subtract_here else {},
        }
        (folder / "fault.yml").write_text(yaml.safe_dump(content), encoding="utf-8")

    def faults(self, told: dict[str, dict[str, Any]]) -> None:
        """Say what goes wrong in which group (see `faulty`)."""
        (self.path / "faults.json").write_text(json.dumps(told), encoding="utf-8")

    def kedro(self, *words: str, env: dict[str, str] | None = None) -> Driver:
        """``kedro run`` with Kedro's own runner."""
        return Driver(self, words, env or {})

    def slurm(
        self,
        *words: str,
        pipelines: str = "segmentation",
        env: dict[str, str] | None = None,
    ) -> Driver:
        """``kedro run`` on the cluster."""
        given = ["--pipelines", pipelines] if pipelines else []
        given += ["--runner", RUNNER, "--runner-params", "resources=fault"]
        return Driver(self, [*given, *words], env or {})

    def notes(self, name: str = "calls") -> list[dict[str, Any]]:
        """What the algorithm noted: its calls, or their ends."""
        path = self.path / f"{name}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def calls(self) -> Counter[str]:
        """How often each group was begun."""
        return Counter(each["where"] for each in self.notes())

    def ends(self) -> Counter[str]:
        """How often each group was finished."""
        return Counter(each["where"] for each in self.notes("ends"))

    @property
    def blocks(self) -> list[Block]:
        """The blocks of a film."""
        return Block.cut(N_FRAMES, self.project.read("parameters")["assay"]["block_length"])

    def groups(self) -> list[str]:
        """All groups of the segmentation, as the algorithm names them."""
        starts = [each.start for each in self.blocks]
        return [f"{fov}/{name}/{start}" for fov in FOVS for name in POPULATIONS for start in starts]

    def wait_for_calls(self, count: int, timeout_s: float = 150) -> None:
        """Wait until `count` groups were begun."""
        wait_for(f"{count} calls", lambda: len(self.notes()) >= count, timeout_s)

    def wait_for_ends(self, count: int, timeout_s: float = 150) -> None:
        """Wait until `count` groups were finished."""
        wait_for(f"{count} ends", lambda: len(self.notes("ends")) >= count, timeout_s)

    def run_folder(self) -> Path:
        """The folder of the newest run."""
        return max((self.path / "runs").iterdir())

    def labels(self, dataset: str = "labels") -> dict[str, np.ndarray]:
        """Every planned partition of a dataset that is there."""
        partitions = PartitionedDataset(
            path=str(self.path / "data" / "03_primary" / dataset),
            grain="fov/population/block",
            filename_suffix=".tif",
            dataset=LabelDataset,
        )
        planned = [
            f"{fov}/{name}/{block}" for fov in FOVS for name in POPULATIONS for block in self.blocks
        ]
        return {
            each: np.asarray(partitions.load_one(each))
            for each in planned
            if partitions.content(each) is not None
        }

    def has(self, group: str) -> bool:
        """Whether the partition of a group, as the algorithm names it, is there with its entry."""
        fov, name, start = group.split("/")
        block = next(each for each in self.blocks if each.start == int(start))
        folder = self.path / "data" / "03_primary" / "engine_labels"
        identity = f"{fov}/{name}/{block}"
        entry = Ledger(LocalFileSystem(), str(folder)).read(identity)
        return (folder / f"{identity}.tif").exists() and entry is not None

    def digests(self) -> dict[str, str]:
        """Hash of every result, by its path (the ledger's stamps and run ids aside)."""
        folder = self.path / "data"
        found = {}
        for each in sorted(folder.rglob("*")):
            if each.is_file() and ".ledger" not in each.parts:
                name = str(each.relative_to(folder))
                found[name] = hashlib.sha256(each.read_bytes()).hexdigest()
        return found

    def leftovers(self) -> list[str]:
        """Files of results that are neither a planned partition nor its ledger entry."""
        folder = self.path / "data" / "03_primary"
        files = [each for each in folder.rglob("*") if each.is_file()]
        return [str(each) for each in files if each.suffix not in (".tif", ".journal")]


@dataclass(frozen=True)
class Bench:
    """A project up to segmentation (eight groups), what a plain ``kedro run`` makes of it."""

    prepared: Assay
    engine_labels: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    raw: Path
    folder: Path


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """The same partitions with the same values."""
    assert set(found) == set(expected)
    for identity, label in expected.items():
        assert found[identity].dtype == label.dtype
        np.testing.assert_array_equal(found[identity], label, err_msg=identity)
