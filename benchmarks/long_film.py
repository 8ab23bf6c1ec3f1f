"""A long film through ingestion, preprocessing, segmentation, tabulation and tracking in one process.

    python benchmarks/long_film.py                        # 1,000 frames of 1024 x 1024, 450 cells
    python benchmarks/long_film.py --frames 100 --side 512

The film is drawn here frame by frame (blurred discs that walk, Gaussian noise) and streamed to a
16-bit OME-TIFF in a temporary folder, which also takes the results. Then one `kedro run` does all
five stages with the base configuration, cut to one channel and one population. Its resident memory
is read off /proc twice a second (anonymous pages: what the process itself holds, without mapped
files), and printed for every tenth of each stage.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import yaml

from run_folder import ROOT, last_run, seconds_of, simulated_conf

STAGES = ("ingestion", "preprocessing", "segmentation", "tabulation", "tracking")
PIXEL_UM = 0.5


def frames(n: int, side: int, cells: int, radius: float = 7.0) -> Iterator[np.ndarray]:
    """(Y, X) uint16 frames of `cells` persistent walkers that turn back at the field's edges."""
    rng = np.random.default_rng(1)
    reach = int(2 * radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = 1 / (1 + np.exp((np.hypot(y, x) - radius) / 1.2))
    at, step = rng.uniform(0, side, (cells, 2)), rng.normal(0, 1, (cells, 2))
    height = rng.uniform(200, 900, cells)
    light = 300 + 80 * np.cos(np.linspace(-1, 1, side))[:, None]
    for _ in range(n):
        image = np.zeros((side + 2 * reach, side + 2 * reach), np.float32)
        rows, columns = (np.rint(each).astype(int) + reach for each in at.T)
        where = rows[:, None, None] + y, columns[:, None, None] + x
        np.maximum.at(image, where, (height[:, None, None] * disc).astype(np.float32))
        image = image[reach:-reach, reach:-reach] + light
        image += 12 * rng.standard_normal((side, side), np.float32)
        yield np.clip(image, 0, 65535).astype(np.uint16)
        step = 0.9 * step + rng.normal(0, 0.5, step.shape)
        step[(at + step < 0) | (at + step > side - 1)] *= -1
        at = np.clip(at + step, 0, side - 1)


def write(folder: Path, n: int, side: int, cells: int) -> tuple[str, ...]:
    """Film and configuration; returns the words for `kedro` that choose it."""
    where = simulated_conf(folder, {})
    (folder / "films" / "long").mkdir(parents=True)
    told = {"axes": "TYX", "PhysicalSizeX": PIXEL_UM, "PhysicalSizeY": PIXEL_UM}
    tifffile.imwrite(
        folder / "films/long/Nucleus.ome.tif",
        frames(n, side, cells),
        shape=(n, side, side),
        dtype=np.uint16,
        metadata=told,
        ome=True,
    )
    (folder / "films/sample_sheet.csv").write_text("fov,condition\nlong,drawn\n", encoding="utf-8")
    base = yaml.safe_load((ROOT / "conf/base/parameters.yml").read_text(encoding="utf-8"))
    assay = base["assay"] | {
        "channels": ["Nucleus"],
        "populations": {"Nucleus": {"role": "other", "channels": ["Nucleus"]}},
        "markers": {},
        "frame_interval_s": 60.0,
    }
    engine = {"Nucleus": {"name": "LocalThreshold", "args": {}}}
    linker = {"Nucleus": {"name": "LAP", "args": {"max_distance_um": 10.0}}}
    for name, block in (
        ("parameters", {"assay": assay}),
        ("parameters_segmentation", {"segmentation": engine}),
        ("parameters_tracking", {"tracking": linker}),
    ):
        path = folder / "conf/bench" / f"{name}.yml"
        path.write_text(yaml.safe_dump(block), encoding="utf-8")
    return where
