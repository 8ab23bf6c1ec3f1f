"""Density maps beside scikit-learn's KernelDensity as the original (pyCyto) uses it, in one run.

    python benchmarks/density_speed.py
    python benchmarks/density_speed.py --cells 300 1000     # leave out the largest, which takes minutes

A frame with n effectors and n/2 targets, positions in clusters, at one density: 1024² px for 300.

scikit-learn  per population: GridSearchCV over 100 bandwidths (10^-5 to 10^5, as the original's) with
              five folds, then `score_samples` on a grid of points 16 px apart. No edge correction.
cyto_kedro    `DensityMaps`: leave-one-out bandwidth, maps of boxes of 16 px with edge correction, and
              the density of both populations at every cell, to a table. "frame": a bandwidth for the
              frame, as scikit-learn; "film": one for a film of 10 frames, the default.
FFT           for comparison: our bandwidth, the map by binning to boxes and `fftconvolve` instead.

Both work in one process bound to one core, one thread each; CPU times, best of the repeats.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})  # before the libraries

import numpy as np
import pandas as pd
from scipy.signal import fftconvolve
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity

from cyto_kedro.algorithms.contacts.density import DensityMaps
from cyto_kedro.algorithms.contacts.kernels import density_map, likelihood_bandwidth

BOX = 16
BANDWIDTHS = np.logspace(-5, 5, 100)


def positions(n: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) in clusters of about 15, and a third of them anywhere."""
    centres = rng.uniform(0, side - 1, (max(n // 15, 1), 2))
    xy = centres[rng.integers(len(centres), size=n)] + rng.normal(0, 45, (n, 2))
    alone = rng.random(n) < 1 / 3
    xy[alone] = rng.uniform(0, side - 1, (alone.sum(), 2))
    return np.clip(xy, 0, side - 1)


def film(n: int, side: int, n_frames: int) -> dict[str, Any]:
    """The data of `DensityMaps`."""
    rng = np.random.default_rng(n)
    tables = [
        pd.DataFrame(positions(size, side, rng), columns=["x_px", "y_px"]).assign(
            fov="A", population=name, frame=frame, label=np.arange(size) + 1
        )
        for frame in range(n_frames)
        for name, size in (("TCell", n), ("CancerCell", n // 2))
    ]
    return {
        "dataframe": pd.concat(tables, ignore_index=True),
        "populations": ("TCell", "CancerCell"),
        "shape": (side, side),
        "n_frames": n_frames,
        "pixel_size_um": 0.65,
        "fov": "A",
    }


def theirs(places: dict[str, np.ndarray], side: int, chosen: dict[str, float]) -> None:
    """Maps with the bandwidths that scikit-learn's grid search chooses, put into `chosen`."""
    axis = np.arange(side)[::BOX]
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    for name, xy in places.items():
        search = GridSearchCV(KernelDensity(), {"bandwidth": BANDWIDTHS}).fit(xy)
        np.exp(search.best_estimator_.score_samples(points)).reshape(len(axis), -1)
        chosen[name] = search.best_params_["bandwidth"]


def by_fft(xy: np.ndarray, h: float, side: int) -> np.ndarray:
    """A map by binning and a convolution, without edge correction."""
    boxes = side // BOX
    counts = np.histogram2d(xy[:, 1], xy[:, 0], boxes, ((-0.5, side - 0.5),) * 2)[0]
    reach = np.arange(-int(4 * h / BOX) - 1, int(4 * h / BOX) + 2) * BOX
    kernel = np.exp(-(reach**2) / (2 * h**2))
    return fftconvolve(counts, np.outer(kernel, kernel) / (2 * np.pi * h**2), mode="same")


def clock(work: Callable[[], Any], repeats: int, frames: int = 1) -> float:
    """CPU milliseconds a frame."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best / frames * 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[300, 1000, 5000])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"CPU milliseconds a frame, best of {args.repeats} (scikit-learn: 1 or 2)")
    print(f"{'cells':>14}{'scikit-learn':>14}{'frame':>9}{'times':>8}{'film':>9}{'times':>8}")
    for n in args.cells:
        side = round(1024 * (n / 300) ** 0.5 / BOX) * BOX
        one, ten = film(n, side, 1), film(n, side, 10)
        rows = one["dataframe"]
        places = {
            name: rows.loc[rows["population"] == name, ["x_px", "y_px"]].to_numpy()
            for name in one["populations"]
        }
        chosen: dict[str, float] = {}
        slow = clock(partial(theirs, places, side, chosen), 2 if n < 1000 else 1)
        per_frame = DensityMaps(bandwidth_over="frame")
        ours = per_frame(one)["bandwidth_px"]
        frame = clock(partial(per_frame, one), args.repeats)
        whole = clock(partial(DensityMaps(), ten), args.repeats, 10)
        print(
            f"{f'{n} + {n // 2}':>14}{slow:>14.0f}{frame:>9.1f}{slow / frame:>8.0f}{whole:>9.1f}"
            f"{slow / whole:>8.0f}",
            flush=True,
        )
        for name, xy in places.items():
            h, boxes = float(ours[name][0]), (side // BOX,) * 2
            works = {
                "bandwidth": partial(likelihood_bandwidth, [xy], (1, side / 2), 500_000),
                "map": partial(density_map, xy, h, (side, side), boxes),
                "map by FFT": partial(by_fft, xy, h, side),
            }
            parts = {part: clock(work, args.repeats) for part, work in works.items()}
            said = ", ".join(f"{part} {ms:.1f} ms" for part, ms in parts.items())
            exact, rough = works["map"](), works["map by FFT"]()
            within = (slice(int(3 * h / BOX) + 1, -int(3 * h / BOX) - 1),) * 2  # no edge there
            off = np.abs(rough - exact)[within].max() / exact.max()
            print(
                f"    {name}: bandwidth {h:.1f} px, scikit-learn {chosen[name]:.1f} px; {said}, "
                f"which is off by up to {off:.1%} of the peak"
            )


if __name__ == "__main__":
    main()
