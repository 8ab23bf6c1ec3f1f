"""Read what a run left in its data folder, and start runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
import yaml

from cyto_kedro.datasets.manifest import Manifest

ROOT = Path(__file__).resolve().parents[1]


class RunFolder:
    """The tables and labels of one data folder, read by the plan in its manifest."""

    def __init__(self, data: Path) -> None:
        self.data = Path(data)
        path = self.data / "02_intermediate/manifest.json"
        self.manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
        self.fovs = list(self.manifest.fovs)
        self.populations = list(self.manifest.populations)

    def labels(self, fov: str, population: str) -> np.ndarray:
        """(T, Y, X) labels of a field."""
        folder = self.data / "03_primary/labels" / fov / population
        groups = self.manifest.groups(("fov", "population", "block"))
        blocks = sorted(
            g["block"] for g in groups if (g["fov"], g["population"]) == (fov, population)
        )
        planned = self.manifest.fovs[fov]
        parts = [tifffile.imread(folder / f"{block}.tif") for block in blocks]
        shape = (-1, planned.height_px, planned.width_px)
        return np.concatenate([part.reshape(shape) for part in parts])

    def table(self, name: str, *place: str) -> pd.DataFrame:
        """One partition of a table, such as ``("05_model_input/tracks", fov, population)``."""
        return pd.read_parquet(self.data.joinpath(name, *place).with_suffix(".parquet"))


@dataclass(frozen=True)
class Used:
    """What a process used."""

    cpu_s: float
    #: the largest resident set that was seen, every 20 ms (a run's own nodes begin its count anew)
    peak_mb: float


def peak_mb(pid: int) -> float:
    """Largest resident set of a process since its count began (Linux; elsewhere 0)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def kedro(*words: str, python: str = sys.executable) -> Used:
    """Run ``kedro <words>`` by `python` in a process of its own, on one core; returns what it used.

    Raises
    ------
    SystemExit
        If it fails, with the end of its output.
    """
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [python, "-m", "kedro", *words],
        cwd=ROOT,
        env={**os.environ, **one},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    peaks, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            peaks[0] = max(peaks[0], peak_mb(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    ended.set()
    watcher.join()
    if status:
        raise SystemExit(f"kedro {' '.join(words)} failed:\n{output[-3000:]}")
    return Used(used.ru_utime + used.ru_stime, max(peaks[0], used.ru_maxrss / 1024))


def simulated_conf(folder: Path, fovs: dict[str, Any]) -> tuple[str, ...]:
    """Write a configuration that simulates `fovs` and keeps everything in `folder`.

    `fovs` is the block simulation.fovs. Returns the words for `kedro` that choose it; films go to
    ``films``, their truth to ``films_truth``, results to ``data``.
    """
    conf = folder / "conf"
    shutil.copytree(ROOT / "conf", conf, dirs_exist_ok=True)
    (conf / "bench").mkdir(exist_ok=True)
    films, data = str(folder / "films"), str(folder / "data")
    places = {"raw": films, "data": data, "simulated": films}
    for name, block in (
        ("globals", places),
        ("parameters_simulation", {"simulation": {"fovs": fovs}}),
    ):
        (conf / "bench" / f"{name}.yml").write_text(yaml.safe_dump(block), encoding="utf-8")
    return ("--conf-source", str(conf), "--env", "bench")


def last_run(*words: str) -> dict[str, Any]:
    """The manifest of the last run of ``kedro <words>`` in this project."""
    runs = [
        json.loads(path.read_text(encoding="utf-8")) for path in ROOT.glob("runs/*/manifest.json")
    ]
    same = [run for run in runs if run["command"][1:] == list(words)]
    return max(same, key=lambda run: run["started"])


def seconds_of(run: dict[str, Any]) -> float:
    """How long a run's pipeline took, without the start of the process."""
    start, end = (datetime.fromisoformat(run[key]) for key in ("started", "finished"))
    return (end - start).total_seconds()
