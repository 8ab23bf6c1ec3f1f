"""Runs killed at random moments, with corrections between them: is anything lost?

    python benchmarks/kills.py --kills 30

A tiny simulated project is analysed, all but the report, by whole ``kedro run`` processes. Each is
killed (SIGKILL) a random time after it saved a random number of partitions, so that the kills meet the
work on slow machines too; every second one uses worker processes, two of four make all again.
Between the kills a person corrects masks by ``kedro cyto correct``. At the end a run is let finish.
All tables must equal those of a project that was never killed and got the same corrections, and every
correction must be in place. Exit code 1 where not.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from cyto_kedro.datasets import LabelDataset  # noqa: E402
from cyto_kedro.pipeline_registry import ANALYSIS  # noqa: E402
from cyto_kedro.runner import history  # noqa: E402
from tiny_project import TABLES, Project, simulate_raw, whole_table  # noqa: E402

STAGES = ANALYSIS[:-1]
TOLD = ("--who", "Ana", "--why", "dirt")


@dataclass
class Outcome:
    """What a campaign did, and what it found wrong."""

    killed: int = 0
    ended: int = 0
    corrected: dict[str, Path] = field(default_factory=dict)
    tables: int = 0
    aside: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.killed + self.ended} whole kedro runs, {self.killed} killed, "
            f"{len(self.corrected)} partitions corrected, {self.tables} tables compared: "
            f"{len(self.faults)} faults; {self.aside} files moved aside"
        )


def kedro(project: Project, *words: str) -> subprocess.Popen[bytes]:
    """Start ``kedro ...`` in the project; what it says goes to ``said.log``."""
    with (project.path / "said.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "kedro", *words],
            cwd=project.path,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def runs(project: Project) -> set[Path]:
    """The folders of the runs that have begun."""
    return {path.parent for path in (project.path / "runs").glob("*/manifest.json")}


def kill(project: Project, n_saved: int, more_s: float, *words: str) -> bool:
    """Start a run, kill it `more_s` after it saved `n_saved` partitions; False where it had ended."""
    before = runs(project)
    process = kedro(project, "run", *words)
    while process.poll() is None:
        if any(
            len(history.collect(new)["partitions"]) >= n_saved for new in runs(project) - before
        ):
            break
        time.sleep(0.02)
    try:
        process.wait(more_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def correct(project: Project, chance: random.Random, folder: Path) -> tuple[str, Path] | None:
    """A person takes one cell out of a mask that is there; the partition and the corrected file."""
    labels = project.catalog.get("labels")
    there = labels.list_ids()
    if not there:
        return None
    identity = chance.choice(there)
    mask = np.array(labels.load_one(identity))
    cells = np.unique(mask[mask > 0])
    if not len(cells):
        return None
    mask[mask == chance.choice(cells.tolist())] = 0
    path = folder / f"{time.monotonic_ns()}.tif"
    LabelDataset(filepath=path).save(mask)
    put(project, identity, path)
    return identity, path


def put(project: Project, identity: str, path: Path) -> None:
    """``kedro cyto correct``."""
    done(project, kedro(project, "cyto", "correct", "labels", identity, str(path), *TOLD))


def done(project: Project, process: subprocess.Popen[bytes]) -> None:
    """Let a command come to its end."""
    if process.wait() != 0:
        text = (project.path / "said.log").read_text(encoding="utf-8", errors="replace")
        raise SystemExit(f"{process.args} ended with {process.returncode}:\n{text[-3000:]}")


def compare(project: Project, whole: Project, found: Outcome) -> None:
    """Note what differs of two finished projects, and corrections that are not in place."""
    ours, theirs = project.catalog, whole.catalog
    for name in TABLES:
        if not (ours.exists(name) or theirs.exists(name)):  # of an analysis that was not asked for
            continue
        found.tables += 1
        a, b = (whole_table(each, name) for each in (ours, theirs))
        if not a.equals(b):
            found.faults.append(f"table {name} differs")
    labels = ours.get("labels")
    for identity, path in found.corrected.items():
        held: Any = labels.correction(identity)
        if held is None or not np.array_equal(
            labels.load_one(identity), LabelDataset(filepath=path).load()
        ):
            found.faults.append(f"the correction of {identity} is not in place")


def campaign(
    folder: Path,
    kills: int,
    most: int,
    seed: int = 1,
    stages: Sequence[str] = STAGES,
    minutes: float = float("inf"),
) -> Outcome:
    """Run it in an empty folder, no further kill after `minutes`.

    A run saves fewer than `most` partitions until it is killed.
    """
    end = time.monotonic() + 60 * minutes
    chance, found, raw = random.Random(seed), Outcome(), simulate_raw(folder)
    project, whole = (Project.make(folder / name, raw) for name in ("killed", "whole"))
    resources = project.path / "conf" / "resources" / "local.yml"
    content = {"machine": {"cores": 2}, "default": {"mem": "500M", "time": "5"}}
    resources.write_text(yaml.safe_dump(content), encoding="utf-8")
    names = ("--pipelines", ",".join(stages))
    for number in count():
        if found.killed >= kills or time.monotonic() > end:
            break
        local = ("--runner-params", "resources=local") if number % 2 else ()
        again = ("--all",) if number % 4 < 2 else ()
        moment = chance.randrange(most), chance.uniform(0.0, 1.0)
        if kill(project, *moment, *names, *local, *again):
            found.killed += 1
        else:
            found.ended += 1
        if number % 3 == 2 and (made := correct(project, chance, folder)) is not None:
            found.corrected[made[0]] = made[1]
        print(f"{number + 1}: {found.killed} killed, {len(found.corrected)} corrected", flush=True)
    done(project, kedro(project, "run", *names))
    done(whole, kedro(whole, "run", *names))
    for identity, path in found.corrected.items():
        put(whole, identity, path)
    if found.corrected:
        done(whole, kedro(whole, "run", *names))
    compare(project, whole, found)
    aside = project.path / "data" / "aside"
    found.aside = sum(path.is_file() for path in aside.rglob("*"))
    return found


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stages", default=",".join(STAGES), help="pipelines that run")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no kill after them")
    parser.add_argument("--most", type=int, default=60, help="partitions saved until a kill")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = campaign(Path(temporary), args.kills, args.most, args.seed, args.stages.split(","))
    print("\n".join([str(found), *found.faults]))
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
