"""Features beside SimpleITK's label filters and scikit-image, the same columns, in one run.

    python benchmarks/features.py
    python benchmarks/features.py --label LabelImage.tif     # a label image of yours, random intensities

Three frames of 1024 x 1024: 450 simulated cells (300 effectors, 150 targets) in one label image,
450 larger ones that fill half of the frame, and what ``--label`` names. All ways run
in one process bound to one core, one thread each, in turn; the best of the repeats counts. Times are CPU
milliseconds a frame, up to a table.

cyto_kedro   `Features`, the columns of `schemas.Cells` and six stats of one channel: per frame of a
             film of `--frames` such frames ("film"), and of a film of one frame ("frame").
SimpleITK    LabelShapeStatistics (with Feret diameters) and LabelIntensityStatistics: the filters
             alone, and with the loop that asks them for every column they have and makes the table.
scikit-image regionprops_table with those columns it has, sum and median as extra properties. It
             takes too long for many repeats: two.

Then what each group of features adds, and memory that a frame takes (the largest that Python's arrays
reached, labels and image not counted).
"""

from __future__ import annotations

import argparse
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})  # before the libraries

import numpy as np
import pandas as pd
import SimpleITK as sitk
from skimage.draw import ellipse
from skimage.io import imread
from skimage.measure import regionprops_table

from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from cyto_kedro.algorithms.tabulation.features import Features

GROUPS: list[dict[str, Any]] = [
    {"name": "Quantiles"},
    {"name": "MassOffset"},
    {"name": "Polygon"},
    {"name": "Rim", "args": {"depth_px": 2}},
    {"name": "LocalBackground", "args": {"gap_px": 2, "width_px": 4}},
    {"name": "Haralick"},
]
SKIMAGE = (
    *("label", "centroid", "bbox", "area", "perimeter", "axis_major_length", "axis_minor_length"),
    *("eccentricity", "orientation", "solidity", "feret_diameter_max", "extent"),
    *("intensity_mean", "intensity_std", "intensity_min", "intensity_max"),
)


def simulated() -> tuple[np.ndarray, np.ndarray]:
    """Labels and image of 450 simulated cells."""
    film = SimulatedAssay(seed=1, n_frames=1, size_px=1024, n_effectors=300, n_targets=150)(
        {"fov": "one"}
    )
    first, second = (label[0] for label in film["label"].values())
    both = np.where(first > 0, first, np.where(second > 0, second + first.max(), 0))
    return both.astype(np.uint32), film["image"]["TCell"][0]


def crowded(n: int = 450, size: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """Labels of ellipses that cut each other up, and an image of noise."""
    rng = np.random.default_rng(1)
    label = np.zeros((size, size), np.uint32)
    for number in range(1, n + 1):
        y, x = rng.uniform(0, size, 2)
        a, b = rng.uniform(18, 32, 2)
        label[ellipse(y, x, a, b, label.shape, rotation=rng.uniform(0, np.pi))] = number
    return label, rng.poisson(300, label.shape).astype(np.uint16)


def ours(label: np.ndarray, image: np.ndarray, groups: list[dict[str, Any]]) -> pd.DataFrame:
    """`Features` of a film."""
    data = {"label": label, "image": {"A": image}, "fov": "one", "population": "cells"}
    return Features(groups=groups)(data | {"pixel_size_um": 0.5})["dataframe"]


def filters(label: np.ndarray, image: np.ndarray) -> tuple[Any, Any]:
    """SimpleITK's two filters of one frame."""
    mask = sitk.GetImageFromArray(label)
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.ComputeFeretDiameterOn()
    shape.Execute(mask)
    grey = sitk.LabelIntensityStatisticsImageFilter()
    grey.Execute(mask, sitk.GetImageFromArray(image))
    return shape, grey


def simpleitk(label: np.ndarray, image: np.ndarray) -> pd.DataFrame:
    """The filters' numbers as a table."""
    shape, grey = filters(label, image)
    of_shape = (
        *(shape.GetCentroid, shape.GetBoundingBox, shape.GetNumberOfPixels),
        *(shape.GetPhysicalSize, shape.GetPerimeter, shape.GetPrincipalMoments),
        *(shape.GetPrincipalAxes, shape.GetElongation, shape.GetRoundness, shape.GetFeretDiameter),
        *(shape.GetNumberOfPixelsOnBorder, shape.GetEquivalentEllipsoidDiameter),
    )
    of_grey = (
        *(grey.GetSum, grey.GetMean, grey.GetMedian, grey.GetStandardDeviation),
        *(grey.GetMinimum, grey.GetMaximum),
    )
    rows = [
        [i, *(get(i) for get in of_shape), *(get(i) for get in of_grey)] for i in shape.GetLabels()
    ]
    return pd.DataFrame(rows)


def scikit_image(label: np.ndarray, image: np.ndarray) -> pd.DataFrame:
    """`regionprops_table` of one frame."""

    def total(mask: np.ndarray, values: np.ndarray) -> float:
        return float(values[mask].sum(dtype=float))

    def median(mask: np.ndarray, values: np.ndarray) -> float:
        return float(np.median(values[mask]))

    found = regionprops_table(label, image, properties=SKIMAGE, extra_properties=(total, median))
    return pd.DataFrame(found)


def clock(work: Callable[[], Any]) -> float:
    """Milliseconds of CPU."""
    start = time.process_time()
    work()
    return 1000 * (time.process_time() - start)


def peak(work: Callable[[], Any]) -> float:
    """Megabytes that arrays reached at most, those before not counted."""
    tracemalloc.start()
    work()
    reached = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return reached / 1e6


def compare(name: str, label: np.ndarray, image: np.ndarray, args: argparse.Namespace) -> None:
    """Time all ways on one frame."""
    film, films = np.repeat(label[None], args.frames, 0), np.repeat(image[None], args.frames, 0)
    n = len(np.unique(label)) - 1
    covered = (label > 0).mean()
    print(f"\n{name}: {label.shape[0]} x {label.shape[1]}, {n} cells on {covered:.0%} of the frame")
    ways: dict[str, tuple[Callable[[], Any], float]] = {
        "cyto_kedro, film": (lambda: ours(film, films, []), args.frames),
        "cyto_kedro, frame": (lambda: ours(label[None], image[None], []), 1),
        "SimpleITK, filters alone": (lambda: filters(label, image), 1),
        "SimpleITK, table": (lambda: simpleitk(label, image), 1),
        "scikit-image": (lambda: scikit_image(label, image), 1),
    }
    times = {way: [] for way in ways}
    for repeat in range(args.repeats):
        for way, (work, frames) in ways.items():
            if way != "scikit-image" or repeat < 2:
                times[way].append(clock(work) / frames)
    best = {way: min(each) for way, each in times.items()}
    print(f"  {'CPU ms a frame':<28}{'ms':>9}{'x film':>9}{'x frame':>9}")
    for way, each in best.items():
        film_ratio, frame_ratio = each / best["cyto_kedro, film"], each / best["cyto_kedro, frame"]
        print(f"  {way:<28}{each:>9.2f}{film_ratio:>9.1f}{frame_ratio:>9.1f}", flush=True)
    for group in GROUPS:
        more = [clock(lambda group=group: ours(film, films, [group])) for _ in range(args.repeats)]
        extra = min(more) / args.frames - best["cyto_kedro, film"]
        print(f"  + {group['name']:<26}{extra:>9.2f}", flush=True)
    alone = peak(lambda: ours(label[None], image[None], []))
    whole = peak(lambda: ours(film, films, []))
    everything = peak(lambda: ours(film, films, GROUPS))
    print(f"  memory, MB: 1 frame {alone:.0f}, {args.frames} frames {whole:.0f}, ", end="")
    print(f"with all groups {everything:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--label", type=Path, help="a label image (Y, X)")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    compare("simulated", *simulated(), args)
    compare("crowded", *crowded(), args)
    if args.label:
        label = imread(args.label).astype(np.uint32)
        image = np.random.default_rng(1).poisson(300, label.shape).astype(np.uint16)
        compare(args.label.name, label, image, args)


if __name__ == "__main__":
    main()
