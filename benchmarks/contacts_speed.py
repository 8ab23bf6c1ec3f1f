"""Contacts at growing numbers of cells: every step of them, beside the ways that do not grow well.

    python benchmarks/contacts_speed.py

CPU milliseconds a frame, one process and thread, the best of the repeats. Masks are discs (radius 6 px
for effectors, 10 px for targets) at random places of a plane with the density of the 300 + 150 cells
in 1024 x 1024 that docs/speed.md uses, and of one four times as dense. Touches are of masks at most
2.3 pixels apart, within and between the populations.

original   SimpleITK and loops, as `benchmarks/original.py` writes it with NumPy in place of OpenCL (a
           lower bound); it finds overlaps between the populations only, no distance and no length
all pairs  distances of all centroids, scipy.spatial.distance.cdist, and those below a limit
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"  # before the libraries are loaded

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from scipy.spatial.distance import cdist  # noqa: E402

from cyto_kedro import schemas  # noqa: E402
from cyto_kedro.algorithms.contacts.bouts import Bouts  # noqa: E402
from cyto_kedro.algorithms.contacts.contacts import ContactJoin  # noqa: E402
from cyto_kedro.algorithms.contacts.neighbours import Neighbours  # noqa: E402
from cyto_kedro.algorithms.contacts.positions import (  # noqa: E402
    CentroidDistance,
    NearestNeighbours,
)
from cyto_kedro.algorithms.tabulation.subpixel import OutlineDistance  # noqa: E402
from cyto_kedro.algorithms.tabulation.touches import DilatedOverlap, Touches  # noqa: E402

PIXEL_UM = 0.65
RADII = {"T": 6, "C": 10}
ROLES = {"T": "effector", "C": "target"}
SIZES = (
    (300, 150, 1024),
    (1000, 500, 1870),
    (5000, 2500, 4180),
    (5000, 5000, 4096),
    (1200, 600, 1024),
)
FRAMES = 2


def draw(rng: np.random.Generator, n: int, side: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (T, Y, X) of `n` discs at random places, later ones on top, and their centres."""
    label = np.zeros((FRAMES, side, side), np.uint32)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].reshape(2, -1)
    inside = y * y + x * x <= radius * radius
    centre = rng.integers(radius, side - radius, (FRAMES, n, 2))
    for frame, at in zip(label, centre, strict=True):
        rows, columns = at[:, :1] + y[inside], at[:, 1:] + x[inside]
        frame[rows, columns] = np.arange(1, n + 1)[:, None]
    return label, centre


def points_of(label: dict[str, np.ndarray], centre: dict[str, np.ndarray]) -> pd.DataFrame:
    """Track points, track_id = label, of the cells that are not wholly covered."""
    parts = []
    for name, films in label.items():
        for frame, film in enumerate(films):
            seen = np.unique(film)[1:].astype(np.int64)
            y, x = centre[name][frame][seen - 1].T.astype(float)
            part = pd.DataFrame(
                {"frame": frame, "label": seen, "track_id": seen, "x_px": x, "y_px": y}
            )
            parts.append(part.assign(population=name))
    table = pd.concat(parts, ignore_index=True)
    table = table.assign(fov="f", time_min=2.0 * table["frame"], interpolated=False)
    scaled = {f"{axis}_um": table[f"{axis}_px"] * PIXEL_UM for axis in "xy"}
    return schemas.conform(schemas.TrackPoints, table.assign(**scaled))


def clock(work: Callable[[], Any], repeats: int) -> float:
    """Milliseconds of CPU a frame, the best of some."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return 1000 * best / FRAMES


def originals(label: dict[str, np.ndarray], centre: dict[str, np.ndarray]) -> Callable[[], Any]:
    """The original's contacts, of `benchmarks/original.py`."""
    import SimpleITK as sitk

    from original import Original

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    way = Original(None)

    def work() -> None:
        for t in range(FRAMES):
            seen = {n: np.unique(label[n][t])[1:].astype(int) - 1 for n in label}
            # labels 1 .. n, as its relabelling makes them
            frames = [np.searchsorted(seen[n] + 1, label[n][t], side="right") for n in label]
            at = [centre[n][t][seen[n]][:, ::-1].T.astype(float) for n in label]
            way.contacts([each.astype(np.uint16) for each in frames], at)

    return work


def measure(n_t: int, n_c: int, side: int, repeats: int, slow: bool) -> dict[str, float]:
    """What each way takes."""
    rng = np.random.default_rng(0)
    drawn = {name: draw(rng, n, side, RADII[name]) for name, n in (("T", n_t), ("C", n_c))}
    label = {name: each[0] for name, each in drawn.items()}
    centre = {name: each[1] for name, each in drawn.items()}
    points = points_of(label, centre)
    where = {"fov": "f", "pixel_size_um": PIXEL_UM, "n_frames": FRAMES, "shape": (side, side)}
    masks, tracks = {**where, "label": label}, {**where, "dataframe": points, "populations": ROLES}
    found: dict[str, Any] = {}

    def touches(definition: Any) -> Callable[[], Any]:
        return lambda: found.update(touches=definition(masks)["dataframe"])

    def join() -> None:
        found.update(ContactJoin()({**tracks, "touches": found["touches"]}))

    def both() -> None:
        touches(Touches(max_distance_um=1.5))()
        join()

    works: dict[str, Callable[[], Any]] = {
        "OutlineDistance": touches(OutlineDistance(max_distance_um=1.5)),
        "DilatedOverlap": touches(DilatedOverlap(radius_um=1.0)),
        "Touches": touches(Touches(max_distance_um=1.5)),
        "ContactJoin": join,
        "Touches + ContactJoin": both,
        "Bouts": lambda: Bouts()({**tracks, "contacts": found["contacts"]}),
        "Neighbours": lambda: Neighbours()({**tracks, "contacts": found["contacts"]}),
        "CentroidDistance": lambda: CentroidDistance(max_distance_px=18.0)(tracks),
        "NearestNeighbours": lambda: NearestNeighbours(k=3)(tracks),
    }
    taken: dict[str, float] = {name: clock(work, repeats) for name, work in works.items()}
    taken["touches a frame"] = len(found["touches"]) / FRAMES
    every = [np.concatenate([centre[n][t] for n in centre]) for t in range(FRAMES)]
    taken["all pairs"] = clock(lambda: [np.nonzero(cdist(c, c) <= 18) for c in every], repeats)
    if slow:
        taken["original"] = clock(originals(label, centre), 1)
        taken["original / ours"] = taken["original"] / taken["Touches + ContactJoin"]
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-original", action="store_true", help="leave the original out")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    columns = {
        f"{n_t} + {n_c}, {side}²": measure(n_t, n_c, side, args.repeats, not args.no_original)
        for n_t, n_c, side in SIZES
    }
    print("| CPU ms a frame | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for name in next(iter(columns.values())):
        print(f"| {name} | " + " | ".join(f"{each[name]:.1f}" for each in columns.values()) + " |")


if __name__ == "__main__":
    main()
