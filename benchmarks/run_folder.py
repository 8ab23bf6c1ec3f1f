"""Read what a run left in its data folder, and start runs."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

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


def kedro(*words: str) -> resource.struct_rusage:
    """Run ``kedro <words>`` in a process of its own, on one core; returns what it used.

    Raises
    ------
    SystemExit
        If it fails, with the end of its output.
    """
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "kedro", *words],
        cwd=ROOT,
        env={**os.environ, **one},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"kedro {' '.join(words)} failed:\n{output[-3000:]}")
    return used
