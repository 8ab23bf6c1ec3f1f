"""Two parts that no other benchmark asks: cells grown from nuclei, and tracks of still debris dropped.

    python benchmarks/steps.py nuclei     # SeededGrowth beside LocalThreshold, targets that touch
    python benchmarks/steps.py debris     # RemoveStill, specks among T cells

Simulated assays, whose masks are known. Nuclei are drawn into the true masks: discs of half a cell's
radius at its centre, blurred by a pixel, with Poisson noise.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from skimage.measure import regionprops_table

import metrics as m
from cyto_kedro.algorithms.segmentation.seeded import SeededGrowth
from cyto_kedro.algorithms.segmentation.threshold import LocalThreshold
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tracking.lap import LAP
from cyto_kedro.algorithms.tracking.steps import RemoveStill
from cyto_kedro.core import ndi

SEEDS = (1, 2, 3)


def nuclei_of(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A channel of nuclei for the cells of `label` (T, Y, X)."""
    image = np.zeros(label.shape, np.float32)
    y, x = np.mgrid[: label.shape[1], : label.shape[2]]
    for frame, cells in zip(image, label, strict=True):
        found = regionprops_table(cells, properties=("centroid", "area"))
        for at_y, at_x, area in zip(*found.values(), strict=True):
            frame[(y - at_y) ** 2 + (x - at_x) ** 2 <= area / np.pi / 4] = 200
        frame[:] = rng.poisson(ndi.gaussian_filter(frame, 1.0) + 20)
    return image


def nuclei() -> None:
    """Precision, recall and SEG of both engines, the nuclei known to one of them."""
    scores: dict[str, list[m.Score]] = {}
    covers: dict[str, list[tuple[float, int]]] = {}
    for seed in SEEDS:
        made = SimulatedAssay(seed=seed, size_px=256, n_effectors=0, n_targets=100, n_frames=8)(
            {"fov": "nuclei"}
        )
        image, truth = made["image"]["CancerCell"].astype(np.float32), made["label"]["CancerCell"]
        data = {"pixel_size_um": made["pixel_size_um"]}
        both = {"Cell": image, "Nucleus": nuclei_of(truth, np.random.default_rng(seed))}
        engines: dict[str, Any] = {
            "LocalThreshold": LocalThreshold()(data, image=image),
            "SeededGrowth": SeededGrowth(nucleus="Nucleus")(data, image=both),
        }
        for name, result in engines.items():
            found = result["label"]
            pairs = m.match_film(truth, found)
            scores.setdefault(name, []).append(m.detection(truth, found, pairs))
            covers.setdefault(name, []).append(m.seg(truth, found))
    for name, each in scores.items():
        score, cells = sum(each, m.Score()), sum(n for _, n in covers[name])
        cover = sum(total for total, _ in covers[name]) / cells
        print(f"{name:15} P {score.precision:.3f} R {score.recall:.3f} SEG {cover:.3f} n {cells}")


def debris() -> None:
    """Tracks of specks and of cells that `RemoveStill` drops."""
    spreads = (0.5, 1.0, 2.0)
    dropped = {(kind, spread): [0, 0] for kind in ("specks", "cells") for spread in spreads}
    for seed in SEEDS:
        camera = {"debris": 15, "debris_brightness": 1.0, "debris_um": 1.5}
        made = SimulatedAssay(
            seed=seed, size_px=256, n_effectors=15, n_targets=0, n_frames=60, camera=camera
        )({"fov": "debris"})
        size, truth = made["pixel_size_um"], made["label"]["TCell"]
        film = {"fov": "debris", "population": "TCell", "pixel_size_um": size}
        film |= {"n_frames": len(truth), "shape": truth.shape[1:]}
        image = made["image"]["TCell"].astype(np.float32)
        label = LocalThreshold(diameter_um=9, min_area_um2=4)(image=image, pixel_size_um=size)
        cells = Features()(film, label=label["label"])["cells"]
        points = LAP(max_distance_um=6)(film, cells=cells)["track_points"]
        points = points[points["label"].notna()]
        at = tuple(points[["frame", "y_px", "x_px"]].round().astype(int).to_numpy().T)
        on_cell = points.assign(on_cell=truth[at] > 0).groupby("track_id")["on_cell"]
        tracks = on_cell.mean()[on_cell.size() >= 10]  # shorter ones are never dropped
        for spread in spreads:
            step = RemoveStill(max_spread_um=spread)
            left = step(film, track_points=points, cells=cells)["track_points"]
            stays = points.merge(left[["frame", "label"]])["track_id"].unique()
            for track, share in tracks.items():
                counts = dropped["cells" if share > 0.5 else "specks", spread]
                counts[0] += track not in stays
                counts[1] += 1
    for (kind, spread), (gone, total) in dropped.items():
        print(f"max_spread_um {spread:g}: {gone} of {total} tracks of {kind} dropped")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("topic", choices=("nuclei", "debris"))
    {"nuclei": nuclei, "debris": debris}[parser.parse_args().topic]()
