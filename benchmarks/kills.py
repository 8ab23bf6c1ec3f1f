"""Runs killed at random moments, with corrections between them: is anything lost?

    python benchmarks/kills.py --kills 30

A tiny simulated project is analysed, all but the report. The run's process is killed (SIGKILL) after
a random time, again and again; every second run uses worker processes. Between the kills a person
corrects masks. At the end the run is let finish. All tables must equal those of a project that was
never killed and got the same corrections, and every correction must be in place. Exit code 1 where not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from cyto_kedro.cli import put_in_place  # noqa: E402
from cyto_kedro.datasets import LabelDataset  # noqa: E402
from cyto_kedro.pipeline_registry import ANALYSIS  # noqa: E402
from cyto_kedro.runner import PartitionRunner  # noqa: E402
from tiny_project import TABLES, Project, simulate_raw, whole_table  # noqa: E402


def work(project: Project, local: bool) -> None:
    """A run of what is not current, in a process of its own."""
    os.setsid()
    with Path(os.devnull).open("w") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
    runner = PartitionRunner(resources="local" if local else None)
    project.run(*ANALYSIS[:-1], runner=runner, only_missing=True)


def start(project: Project, local: bool) -> Any:
    """Start `work`; forked, so that the kills meet the run and not the start of Python."""
    process = multiprocessing.get_context("fork").Process(target=work, args=(project, local))
    process.start()
    return process


def correct(project: Project, chance: random.Random, folder: Path) -> tuple[str, Path] | None:
    """A person takes one cell out of a mask that is there; the partition and the corrected file."""
    catalog = project.catalog
    labels = catalog.get("labels")
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
    put_in_place(catalog, "labels", identity, path, "Ana", "dirt")
    return identity, path


def finish(project: Project) -> None:
    """Let a run come to its end."""
    process = start(project, local=False)
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"the last run of {project.path} ended with {process.exitcode}")


def compare(project: Project, whole: Project, corrected: dict[str, Path]) -> list[str]:
    """What differs of two finished projects, and corrections that are not in place."""
    bad, compared = [], 0
    ours, theirs = project.catalog, whole.catalog
    for name in TABLES:
        if not (ours.exists(name) or theirs.exists(name)):  # of an analysis that was not asked for
            continue
        compared += 1
        a, b = (whole_table(each, name) for each in (ours, theirs))
        if not a.equals(b):
            bad.append(f"table {name} differs")
    print(f"{compared} tables compared")
    labels = ours.get("labels")
    for identity, path in corrected.items():
        held: Any = labels.correction(identity)
        if held is None or not np.array_equal(
            labels.load_one(identity), LabelDataset(filepath=path).load()
        ):
            bad.append(f"the correction of {identity} is not in place")
    return bad


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=8.0, help="seconds until a kill")
    args = parser.parse_args()
    chance, corrected = random.Random(args.seed), dict[str, Path]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        raw = simulate_raw(folder)
        project, whole = (Project.make(folder / name, raw) for name in ("killed", "whole"))
        for each in (project, whole):
            resources = each.path / "conf" / "resources" / "local.yml"
            content = {"machine": {"cores": 2}, "default": {"mem": "500M", "time": "5"}}
            resources.write_text(yaml.safe_dump(content), encoding="utf-8")
        ended = 0
        for number in range(args.kills):
            process = start(project, local=number % 2 == 1)
            process.join(chance.uniform(1.0, args.longest))
            if process.exitcode is None:
                os.kill(process.pid, signal.SIGKILL)
                process.join()
            else:
                ended += 1
            if number % 3 == 2 and (made := correct(project, chance, folder)) is not None:
                corrected[made[0]] = made[1]
        finish(project)
        finish(whole)
        for identity, path in corrected.items():
            put_in_place(whole.catalog, "labels", identity, path, "Ana", "dirt")
        finish(whole)
        bad = compare(project, whole, corrected)
        aside = sum(path.is_file() for path in (project.path / "data" / "aside").rglob("*"))
    print(
        f"{args.kills} runs, {args.kills - ended} killed, {len(corrected)} partitions corrected: "
        f"{len(bad)} faults; {aside} files moved aside"
    )
    print("\n".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
