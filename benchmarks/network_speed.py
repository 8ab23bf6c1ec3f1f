"""Cell graphs and statistics of space at three sizes, beside the original's (pyCyto's) network.

    python benchmarks/network_speed.py                   # needs no image
    python benchmarks/network_speed.py --frames 5 --sizes 450

Cells lie at random, 450 in 1024 x 1024 pixels and as dense in larger fields; two of three are effectors.
The original's way is that of `original.py`: which cells are near at 50, 60, 70, ... pixels, a drawing,
a NetworkX graph, until it is connected; with OpenCL where there is a device, else by NumPy without
drawings, which is a lower bound. It is timed on fewer frames where a frame takes seconds.

Ours are the graph as arrays with its measures per frame and cell and the exact connecting radius; the
same and all graphs as NetworkX objects, which the original makes too; the rest of the networks pipeline.
Times are CPU milliseconds of the process a frame, the best of the repeats; the power is that of cells
which time grows with, from the smallest size to the largest.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CL_CONFIG_CPU_TBB_NUM_WORKERS")
os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # before the libraries are loaded

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from cyto_kedro import schemas  # noqa: E402
from cyto_kedro.algorithms.networks.clusters import Clusters  # noqa: E402
from cyto_kedro.algorithms.networks.death_spread import DeathSpread  # noqa: E402
from cyto_kedro.algorithms.networks.graphs import Delaunay, NearestGraph, RadiusGraph  # noqa: E402
from cyto_kedro.algorithms.networks.spatial import SpatialStatistics  # noqa: E402
from original import RADII, Original, clock, opencl  # noqa: E402

SIDE, CELLS = 1024, 450
# the longest a size's original may take, in cells times frames
PATIENCE = 9000


def film(n: int, n_frames: int) -> tuple[dict[str, Any], int]:
    """The data dict of a field of `n` cells at random, and its side."""
    side = round(SIDE * (n / CELLS) ** 0.5)
    rng = np.random.default_rng(n)
    xy = rng.random((n, 2)) * side
    walk = rng.normal(0, 3, (n_frames, n, 2)).cumsum(axis=0)
    place = np.clip(xy + walk, 0, side - 1).reshape(-1, 2)
    frame = np.repeat(np.arange(n_frames), n)
    track = np.tile(np.arange(1, n + 1), n_frames)
    table = pd.DataFrame({"frame": frame, "track_id": track, "time_min": 2.0 * frame})
    table = table.assign(
        fov="large",
        population=np.where(track % 3, "TCell", "CancerCell"),
        x_px=place[:, 0],
        y_px=place[:, 1],
        x_um=place[:, 0] * 0.65,
        y_um=place[:, 1] * 0.65,
        label=track,
        interpolated=False,
    )
    points = schemas.conform(schemas.TrackPoints, table)
    died = (track[:n] % 3 == 0) & (rng.random(n) < 0.5)
    death = rng.integers(1, n_frames, n)
    fates = pd.DataFrame({"track_id": track[:n], "died": died}).assign(
        fov="large",
        population=table["population"][:n],
        first_frame=0,
        last_frame=np.where(died, death, n_frames - 1),
        dead_at_first_sight=False,
        death_frame=pd.arrays.IntegerArray(death, ~died),
        entry_min=0.0,
        exit_min=0.0,
        end_reason="film_end",
    )
    data = {"dataframe": points, "fov": "large", "n_frames": n_frames, "shape": (side, side)}
    return {**data, "pixel_size_um": 0.65, "fates": schemas.conform(schemas.Fates, fates)}, side


def works(data: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Ours, by name."""
    graph = Delaunay(max_edge_um=60.0)
    near = RadiusGraph(max_distance_px=15)
    nodes = near(data)["nodes"]
    spatial = SpatialStatistics(radii_um=(5, 10, 15, 20, 30, 40, 50))
    spread = DeathSpread(max_distances_um=(20, 40), window_min=20)
    return {
        "Delaunay, measures of frames and cells": lambda: graph(data),
        "the same, all graphs as NetworkX": lambda: list(graph(data)["network"].values()),
        "within 15 px (RadiusGraph)": lambda: near(data),
        "6 nearest (NearestGraph)": lambda: NearestGraph()(data),
        "clusters over time": lambda: Clusters()({**data, "nodes": nodes}),
        "K, G, nearest; 199 shuffled labellings": lambda: spatial(data),
        "spread of death (whole film, per frame)": lambda: spread(data),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[450, 1500, 7500])
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    original = Original(opencl())
    times: dict[str, dict[int, float]] = {}
    for n in args.sizes:
        data, side = film(n, args.frames)
        xy = data["dataframe"][["x_px", "y_px"]].to_numpy().reshape(args.frames, n, 2)
        image = np.random.default_rng(0).random((side, side)).astype(np.float32)
        few = max(1, min(args.frames, PATIENCE // n))

        def theirs(xy: np.ndarray = xy, image: np.ndarray = image, few: int = few) -> list[int]:
            original.drawings = None
            return [original.network(xy[t].T, image) for t in range(few)]

        radii = theirs()
        ours = works(data)
        exact = next(iter(ours.values()))()["measures"]["connecting_radius_px"].to_numpy()[:few]
        # the original joins no cells that are less than a pixel apart
        if not ((exact <= radii) & ((np.array(radii) < exact + RADII.step) | (exact < 50))).all():
            raise SystemExit(f"the two ways disagree about the connecting radius: {exact}, {radii}")
        for name, work, frames in [
            ("the original's network", theirs, few),
            *((name, work, args.frames) for name, work in ours.items()),
        ]:
            work()
            found = min(clock(work, frames) for _ in range(args.repeats))
            times.setdefault(name, {})[n] = found
    print("CPU milliseconds a frame (times the original's)")
    print(f"{'cells a frame':<42}" + "".join(f"{n:>20}" for n in args.sizes) + f"{'power':>8}")
    first = times["the original's network"]
    for name, found in times.items():
        cells = "".join(f"{t:>11.2f} ({first[n] / t:>6.1f})" for n, t in found.items())
        low, high = min(args.sizes), max(args.sizes)
        power = np.log(found[high] / found[low]) / np.log(high / low) if high > low else np.nan
        print(f"{name:<42}{cells}{power:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
