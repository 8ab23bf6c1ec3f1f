"""A long film through ingestion, preprocessing, segmentation, tabulation and tracking in one process.

    python benchmarks/long_film.py                        # 1,000 frames of 1024 x 1024, 450 cells
    python benchmarks/long_film.py --frames 100 --side 512
    python benchmarks/long_film.py --side 512 --engine OverTime

The film is drawn here frame by frame (blurred discs that walk, Gaussian noise) and streamed to a
16-bit OME-TIFF in a temporary folder, which also takes the results. Then one `kedro run` does all
five stages with the base configuration, cut to one channel and one population. Its resident memory
is read off /proc twice a second (anonymous pages: what the process itself holds, without mapped
files), and printed for every tenth of each stage.
"""

from __future__ import annotations

import argparse
import os
import re
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

from run_folder import ROOT, simulated_conf

STAGES = ("ingestion", "preprocessing", "segmentation", "tabulation", "tracking")
PIXEL_UM = 0.5


def frames(n: int, side: int, cells: int, radius: float = 7.0) -> Iterator[np.ndarray]:
    """(Y, X) uint16 frames of `cells` persistent walkers that turn back at the field's edges."""
    rng = np.random.default_rng(1)
    reach = int(2 * radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = 1 / (1 + np.exp((np.hypot(y, x) - radius) / 1.2))
    at, step = rng.uniform(0, side - 1, (cells, 2)), rng.normal(0, 1, (cells, 2))
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


def write(folder: Path, n: int, side: int, cells: int, engine: str) -> tuple[str, ...]:
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
    engines = {"Nucleus": {"name": engine, "args": {}}}
    linker = {"Nucleus": {"name": "LAP", "args": {"max_distance_um": 10.0}}}
    for name, block in (
        ("parameters", {"assay": assay}),
        ("parameters_segmentation", {"segmentation": engines}),
        ("parameters_tracking", {"tracking": linker}),
    ):
        path = folder / "conf/bench" / f"{name}.yml"
        path.write_text(yaml.safe_dump(block), encoding="utf-8")
    return where


def watch(words: tuple[str, ...], log: Path) -> pd.DataFrame:
    """Run ``kedro <words>`` with its output in `log`; a row per half second until it ends.

    Columns: seconds, cpu (seconds so far), memory and all (MB: what the process holds itself, and
    with pages of mapped files), node (of the pipeline).
    """
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "250"}
    rows, node, begun = [], "start", time.monotonic()
    with log.open("w") as out, log.open() as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "kedro", *words],
            cwd=ROOT,
            env={**os.environ, **one},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None:
            for name in re.findall(r"Running node: (\w+)", told.read()):
                node = name
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            kept = {key: float(kb) / 1024 for key, kb in re.findall(r"(\w+):\s+(\d+) kB", status)}
            if kept:  # none in the moment between the end and its notice
                used = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rsplit(")")[1]
                cpu = sum(map(int, used.split()[11:13])) / os.sysconf("SC_CLK_TCK")
                spent = time.monotonic() - begun
                rows.append((spent, cpu, kept["RssAnon"], kept["VmRSS"], node))
            time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"kedro {' '.join(words)} failed:\n{log.read_text()[-3000:]}")
    return pd.DataFrame(rows, columns=["seconds", "cpu", "memory", "all", "node"])


def show(samples: pd.DataFrame, n_frames: int) -> None:
    """Print a row for each node of at least a second, and the sums."""
    head = (
        "node",
        "seconds",
        "CPU s",
        "frames/s",
        "MB, first third",
        "second",
        "last",
        "mapped too",
    )
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    samples = samples.assign(
        took=samples["seconds"].diff().shift(-1).fillna(0),
        work=samples["cpu"].diff().shift(-1).fillna(0),
    )
    for node, part in [*samples.groupby("node", sort=False), ("**all**", samples)]:
        took, work = part["took"].sum(), part["work"].sum()
        if took >= 1:
            held = part["memory"].to_numpy()
            thirds = [held[len(held) * i // 3 :][: len(held) // 3 + 1].max() for i in range(3)]
            memory = " | ".join(f"{each:.0f}" for each in thirds)
            print(
                f"| {node} | {took:.0f} | {work:.0f} | {n_frames / took:.1f} | {memory} "
                f"| {part['all'].max():.0f} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--side", type=int, default=1024, help="height and width, pixels")
    parser.add_argument("--cells", type=int, help="default: 450 in 1024 x 1024, in proportion")
    parser.add_argument("--engine", default="LocalThreshold", help="with its default arguments")
    parser.add_argument("--samples", type=Path, help="CSV of all readings of the memory")
    args = parser.parse_args()
    cells = args.cells or round(450 * (args.side / 1024) ** 2)
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        where = write(folder, args.frames, args.side, cells, args.engine)
        print(f"{args.frames} frames of {args.side} x {args.side}, {cells} cells", flush=True)
        samples = watch(("run", "--pipelines", ",".join(STAGES), *where), folder / "log")
        if args.samples:
            samples.to_csv(args.samples, index=False)
        show(samples, args.frames)
        points = pd.read_parquet(folder / "data/05_model_input/track_points/long/Nucleus.parquet")
        tracks, n = points["track_id"].nunique(), len(points) / args.frames
        print(f"{n:.0f} cells a frame found, {tracks} tracks")


if __name__ == "__main__":
    main()
