"""Tabulation, contacts and network: cyto_kedro beside the way of the original (pyCyto), in one run.

    python benchmarks/original.py

Both work on the same simulated masks (1024 x 1024, 300 + 150 cells), in one process bound to one core,
one thread each. The original's steps were written anew from what its published code does, and call the
same libraries:

tabulate  SimpleITK: relabel, LabelShapeStatistics (with Feret diameters), LabelStatistics; then a loop
          over labels that asks the filters for 25 numbers each, into a pandas table. One channel.
contacts  pyclesperanto (OpenCL): distances of all centroids of the two populations, binary overlap of
          the two masks, their product, a drawing of the contacts, a NetworkX graph; SimpleITK relabels
          and measures both masks; then a loop over cells.
          The drawing is appended to those of the frames before (YXT arrays, copied whole each time,
          so a frame costs more the longer the film).
network   pyclesperanto: for the radius 50, 60, 70, ... pixels: which centroids are that near, a drawing
          of the connections, a NetworkX graph; the first connected graph is the result.

Where pyclesperanto-prototype with an OpenCL device is not installed, its operations are done by NumPy
and its drawings are left out: the original's times are then below what it really needs. What cyto_kedro
does is more: more shape measures, contacts within populations too and with distance and length, a
triangulation and the exact connecting radius.

Times are CPU times of the process, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CL_CONFIG_CPU_TBB_NUM_WORKERS")
os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # before the libraries are loaded

import networkx as nx  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import SimpleITK as sitk  # noqa: E402
from scipy.spatial.distance import cdist  # noqa: E402

from cyto_kedro.algorithms.contacts.contacts import ContactJoin  # noqa: E402
from cyto_kedro.algorithms.networks.graphs import Delaunay  # noqa: E402
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay  # noqa: E402
from cyto_kedro.algorithms.tabulation.features import Features  # noqa: E402
from cyto_kedro.algorithms.tabulation.touches import Touches  # noqa: E402

POPULATIONS = ("TCell", "CancerCell")
RADII = range(50, 10001, 10)  # pixels, the original's grid


def opencl() -> Any:
    """pyclesperanto on the first OpenCL device, or None."""
    try:
        import pyclesperanto_prototype as cle

        cle.smaller_or_equal_constant(np.zeros((2, 2), np.float32), constant=1)
    except Exception as error:  # noqa: BLE001  (no package, driver, device or compiler: many kinds)
        print(f"pyclesperanto cannot be used ({type(error).__name__}); NumPy stands in for it")
        return None
    return cle


def tabulate(label: np.ndarray, image: np.ndarray) -> pd.DataFrame:
    """The original's table of one population in one frame."""
    mask = sitk.RelabelComponent(sitk.Cast(sitk.GetImageFromArray(label), sitk.sitkUInt16))
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.ComputeFeretDiameterOn()
    shape.Execute(mask)
    grey = sitk.LabelStatisticsImageFilter()
    grey.Execute(sitk.GetImageFromArray(image), mask)
    rows = {}
    for i in shape.GetLabels():
        box, centre = shape.GetBoundingBox(i), shape.GetCentroid(i)
        corners = (box[:2], (box[0] + box[2], box[1] + box[3]))
        low, high = (mask.TransformPhysicalPointToContinuousIndex(each) for each in corners)
        index = [mask.TransformPhysicalPointToContinuousIndex(centre)[axis] for axis in (0, 1)]
        feret = shape.GetFeretDiameter(i)
        rows[str(i)] = [
            *(i, centre[1], centre[0], *box, *index),
            *(*low, high[0] - low[0], high[1] - low[1]),
            *(shape.GetPhysicalSize(i), shape.GetElongation(i), shape.GetFlatness(i)),
            *(shape.GetRoundness(i), feret, feret / 2, shape.GetPerimeter(i)),
            *(grey.GetSum(i), grey.GetMean(i), grey.GetMedian(i), grey.GetSigma(i)),
        ]
    return pd.DataFrame.from_dict(rows, orient="index").sort_values(by=[0])


class Original:
    """The original's contacts and network of one frame."""

    def __init__(self, cle: Any) -> None:
        self.cle = cle
        self.drawings: np.ndarray | None = None  # (Y, X, T)

    def _append(self, drawing: Any) -> None:
        host = np.expand_dims(self.cle.pull(drawing), -1)
        old = self.drawings
        self.drawings = host if old is None else np.concatenate([old, host], axis=-1)

    def contacts(self, labels: list[np.ndarray], centres: list[np.ndarray]) -> list[Any]:
        """Contacts of each cell of the first population; centres are (2, n) as (x, y)."""
        relabelled = [sitk.RelabelComponent(sitk.GetImageFromArray(each)) for each in labels]
        masks = [sitk.GetArrayFromImage(each) for each in relabelled]
        for each in relabelled:
            sitk.LabelShapeStatisticsImageFilter().Execute(each)
        n, m = (each.shape[1] for each in centres)
        if self.cle is None:
            distance, overlap = np.zeros((m + 1, n + 1)), np.zeros((m + 1, n + 1))
            distance[1:, 1:] = cdist(centres[1].T, centres[0].T)
            overlap[masks[1].ravel(), masks[0].ravel()] = 1
            matrix = _pivot(distance * overlap, n, m)
            nx.from_numpy_array(matrix)
        else:
            cle = self.cle
            far = cle.generate_distance_matrix(centres[0], centres[1])
            shared = cle.generate_binary_overlap_matrix(masks[0], masks[1])
            product = cle.pull(cle.multiply_images(shared, far))
            points = np.concatenate(centres, axis=1)
            matrix = cle.push(_pivot(product, n, m))
            picture = cle.create_labels_like(masks[0])
            cle.touch_matrix_to_mesh(points, matrix, picture)
            cle.to_networkx(matrix, points)
            distance, overlap = cle.pull(far), cle.pull(shared)
            self._append(picture)
        return [
            (overlap[1:, i].sum() > 0, np.where(overlap[1:, i] == 1)[0], distance[1:, i].min())
            for i in range(1, n + 1)
        ]

    def network(self, centres: np.ndarray, frame: np.ndarray) -> int:
        """The first radius of the grid that connects all cells; builds the graph at each."""
        np.percentile(frame, (1, 99))
        if self.cle is None:
            distance = cdist(centres.T, centres.T)
        else:
            distance = self.cle.generate_distance_matrix(centres, centres)
        for radius in RADII:
            if self.cle is None:
                graph = nx.from_numpy_array((distance <= radius) & (distance >= 1))
            else:
                cle = self.cle
                near = cle.smaller_or_equal_constant(distance, constant=radius)
                apart = cle.greater_or_equal_constant(distance, constant=1)
                near = cle.multiply_images(near, apart)
                cle.touch_matrix_to_mesh(centres, near, cle.create_like(frame))
                graph = cle.to_networkx(near, centres)
            if nx.is_connected(graph):
                if self.cle is not None:
                    picture = self.cle.create_like(frame)
                    self.cle.touch_matrix_to_mesh(centres, near, picture)
                    self._append(picture)
                return radius
        raise ValueError("the cells are not connected at any radius of the grid")


def _pivot(matrix: np.ndarray, n: int, m: int) -> np.ndarray:
    """The square matrix of both populations from the (m + 1, n + 1) one between them."""
    square = np.zeros((n + m + 1, n + m + 1), np.float32)
    square[n + 1 :, 1 : n + 1] = matrix[1:, 1:]
    square[1 : n + 1, n + 1 :] = matrix[1:, 1:].T
    return square


def clock(work: Callable[[], Any], n_frames: int) -> float:
    """Milliseconds of CPU a frame."""
    start = time.process_time()
    work()
    return 1000 * (time.process_time() - start) / n_frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", type=int, default=1024, help="of the field; cells in proportion")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    n, every = args.frames, range(args.frames)
    share = (args.side / 1024) ** 2
    cells = {"n_effectors": round(300 * share), "n_targets": round(150 * share)}
    film = SimulatedAssay(seed=1, n_frames=n, size_px=args.side, **cells, touch_distance_um=1.5)(
        {"fov": "large"}
    )
    label = film["label"]
    where = {"fov": "large", "pixel_size_um": film["pixel_size_um"]}
    of: dict[tuple[str, int], np.ndarray] = {}
    for p in POPULATIONS:  # centroids of the masks, as the original's, one for each label in order
        for t in range(n):
            table = tabulate(label[p][t], label[p][t])
            of[p, t] = table[[2, 1]].to_numpy(float).T
    both = [np.concatenate([of[p, t] for p in POPULATIONS], axis=1) for t in range(n)]
    centroids = pd.concat(
        [
            pd.DataFrame(
                {
                    "frame": t,
                    "track_id": np.arange(each.shape[1]) + 1,
                    "x_px": each[0],
                    "y_px": each[1],
                }
            )
            for t, each in enumerate(both)
        ],
        ignore_index=True,
    ).assign(fov="large", population="all", time_min=np.nan)
    original = Original(opencl())
    channels = film["image"]

    def tabulate_ours(images: dict) -> Any:
        return Features()(
            {**where, "population": "TCell", "label": label["TCell"], "image": images}
        )["dataframe"]

    def contacts_ours() -> Any:
        touches = Touches(max_distance_um=1.5)({**where, "label": label})["dataframe"]
        return ContactJoin()({"touches": touches, "dataframe": film["track_points"]})["contacts"]

    def network_ours(graphs: bool = True) -> Any:
        return Delaunay(graphs=graphs)({**where, "dataframe": centroids})["measures"]

    green = {"TCell": channels["TCell"]}

    def table_theirs(frames: range = every) -> Any:
        return [tabulate(label["TCell"][t], channels["TCell"][t]) for t in frames]

    last = {p: np.ascontiguousarray(np.moveaxis(label[p], 0, -1)) for p in POPULATIONS}  # YXT
    image = np.ascontiguousarray(np.moveaxis(channels["TCell"], 0, -1))

    def contacts_theirs(frames: range = every) -> Any:
        original.drawings = None
        pairs = (
            ([last[p][:, :, t] for p in POPULATIONS], [of[p, t] for p in POPULATIONS])
            for t in frames
        )
        return [original.contacts(*pair) for pair in pairs]

    def network_theirs(frames: range = every) -> Any:
        original.drawings = None
        return [original.network(both[t], image[:, :, t]) for t in frames]

    works = {
        "tabulate, 1 population, 1 channel": (
            table_theirs,
            lambda: tabulate_ours(green),
        ),
        "tabulate, 1 population (ours: 3 channels)": (
            table_theirs,
            lambda: tabulate_ours(channels),
        ),
        "contacts": (
            contacts_theirs,
            contacts_ours,
        ),
        "network": (
            network_theirs,
            network_ours,
        ),
        "network (ours: measures only)": (
            network_theirs,
            lambda: network_ours(graphs=False),
        ),
    }
    print(f"CPU milliseconds a frame, best of {args.repeats} runs over {n} frames, one core")
    print(f"{'':<44}{'original':>10}{'cyto_kedro':>12}{'times':>8}")
    for name, (theirs, ours) in works.items():
        theirs(range(1)), ours()  # warm up: OpenCL compiles its kernels at first use
        times = np.array([[clock(work, n) for work in (theirs, ours)] for _ in range(args.repeats)])
        a, b = times.min(axis=0)
        print(f"{name:<44}{a:>10.1f}{b:>12.2f}{a / b:>8.1f}", flush=True)
    agree(network_theirs(), network_ours(), contacts_ours(), label)


def agree(radii: list[int], measures: pd.DataFrame, contacts: pd.DataFrame, label: dict) -> None:
    """Check that both ways found the same: radii on the grid, and pairs that overlap."""
    exact = measures.sort_values("frame")["connecting_radius_px"].to_numpy()
    print(f"connecting radius, first frames: original {radii[:4]}, cyto_kedro {exact[:4].round(1)}")
    if not ((exact <= radii) & (np.asarray(radii) < exact + RADII.step)).all():
        raise SystemExit("the two ways disagree about the connecting radius")
    overlapping = 0
    for a, b in zip(label["TCell"], label["CancerCell"], strict=True):
        shared = (a > 0) & (b > 0)
        overlapping += len(np.unique(np.stack([a[shared], b[shared]]), axis=1).T)
    mixed = contacts["population_a"] != contacts["population_b"]
    ours = int((mixed & (contacts["overlap_px"] > 0)).sum())
    print(
        f"overlapping pairs: original {overlapping}, cyto_kedro {ours}; with the gap within reach, "
        f"and within populations too: {len(contacts)}"
    )


if __name__ == "__main__":
    main()
