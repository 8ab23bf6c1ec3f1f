"""A large field in tiles against the same field whole: labels, memory of a job, seconds.

    python benchmarks/tiles.py                       # 4096 x 4096, about 5,000 cells
    python benchmarks/tiles.py --engines Level --sides 1024

Each line is one job's peak memory above an idle process (the largest of its tiles, each in a process of
its own would have no more), the seconds of all tiles, and the stitched labels against those of the field
in one piece: counts, and how many cells have an IoU of 0.95 or less. `Level` is what is brighter than a
level, connected: an engine that looks at nothing but the pixels of a cell.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage as ndi

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.labels import Labelled
from cyto_kedro.algorithms.segmentation.stitching import stitch
from cyto_kedro.blocks import Tile, Tiling
from cyto_kedro.core.contract import Image
from cyto_kedro.datasets import ImageDataset
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import SegmentationSpec
from cyto_kedro.pipelines.segmentation.nodes import segment
from cyto_kedro.registry import algorithms

OVERLAP_PX = 96
# all but Level estimate the diameter of the cells, unless their name says it
ENGINES: dict[str, dict[str, Any]] = {
    "Level": {},
    "LocalThreshold": {},
    "LocalThreshold-16": {"diameter_px": 16},
    "Otsu": {},
    "Li": {},
    "BlobSeeds": {},
    "Nuclei": {},
}


class Level(Algorithm):
    """What is brighter than 250, connected."""

    def run(self, image: Image) -> Labelled:
        return {"label": np.stack([ndi.label(each > 250)[0] for each in np.asarray(image)])}


def field(size: int) -> np.ndarray:
    """Cells of several sizes and brightnesses on an uneven background, with camera noise."""
    rng = np.random.default_rng(1)
    image = np.zeros((size, size), np.float32)
    for radius in (6, 7, 8, 9, 10):
        spots, n = np.zeros((size, size), np.float32), int(1100 * (size / 4096) ** 2)
        spots[rng.integers(0, size, n), rng.integers(0, size, n)] = rng.uniform(150, 600, n)
        image += ndi.gaussian_filter(ndi.grey_dilation(spots, footprint=disc(radius)), 1.5)
    image += 100 + 60 * np.sin(np.linspace(0, 3, size))[:, None]
    return rng.poisson(image).astype(np.float32)[None]


def disc(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return y**2 + x**2 <= radius**2


def plan(size: int, side: int) -> Manifest:
    return Manifest(
        fovs={"a": {"n_frames": 1, "height_px": size, "width_px": size}},
        **{"channels": ("c",), "populations": ("p",), "block_length": 1},
        **{"roles": {}, "sources": {"p": ("c",)}, "subtract": {}, "markers": {}},
        tiling=Tiling(side_px=side, overlap_px=OVERLAP_PX) if side else None,
    )


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) / 1024


def job(path: str, engine: str, size: int, side: int, out: Path) -> None:
    """Segment every tile in this process; save the stitched labels; print what it took."""
    algorithms("segmentation")["Level"] = Level
    manifest = plan(size, side)
    spec: Any = SegmentationSpec(name=engine.split("-")[0], args=ENGINES[engine])
    names = [each["tile"] for each in manifest.groups(("fov", "population", "tile"))]
    before, began, tiles, most = peak_mb(), time.monotonic(), {}, 0.0
    for name in names:
        group = {"fov": "a", "population": "p", "tile": name}
        label = segment(group, ImageDataset(filepath=path).load(), manifest, spec)
        most = most or peak_mb() - before  # of the first tile: later ones find our labels in memory
        tiles[Tile.parse(name)] = label
    seconds, began = time.monotonic() - began, time.monotonic()
    whole = label if not side else stitch({(t.y, t.x): x for t, x in tiles.items()}, (size, size))
    np.save(out, whole)
    print(json.dumps([len(names), most, seconds, time.monotonic() - began]))


def compare(truth: np.ndarray, found: np.ndarray) -> tuple[int, int, int]:
    """Cells of each, and cells of the first whose best IoU with the second is 0.95 or less."""
    width = int(found.max()) + 1
    pair, both = np.unique(truth.ravel() * np.int64(width) + found.ravel(), return_counts=True)
    a, b = pair // width, pair % width
    iou = both / (np.bincount(truth.ravel())[a] + np.bincount(found.ravel())[b] - both)
    best, inside = np.zeros(int(truth.max()) + 1), (a > 0) & (b > 0)
    np.maximum.at(best, a[inside], iou[inside])
    return int(truth.max()), int(found.max()), int((best[1:] <= 0.95).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description="Tiles against the field in one piece.")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--sides", type=int, nargs="+", default=[2048, 1024, 512])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--job", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        path, engine, side, out = args.job
        return job(path, engine, args.size, int(side), Path(out))
    with tempfile.TemporaryDirectory() as temp:
        path = f"{temp}/field.ome.tif"
        ImageDataset(filepath=path).save(field(args.size))
        head = ("engine", "side", "tiles", "MB/job", "s", "stitch s", "whole", "tiled", "IoU<=.95")
        print("".join(f"{each:>18}" if not i else f"{each:>10}" for i, each in enumerate(head)))
        for engine in args.engines:
            for side in (0, *args.sides):
                words = ["--size", str(args.size), "--job", path, engine, str(side)]
                done = subprocess.run(
                    [sys.executable, __file__, *words, f"{temp}/{side}.npy"],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                count, most, seconds, stitching = json.loads(done.stdout)
                line = f"{engine:>18}{side or 'whole':>10}{count:>10}{most:>10.0f}{seconds:>10.1f}"
                same = compare(np.load(f"{temp}/0.npy")[0], np.load(f"{temp}/{side}.npy")[0])
                print(
                    line + f"{stitching:>10.1f}" + "".join(f"{each:>10}" for each in same),
                    flush=True,
                )


if __name__ == "__main__":
    main()
