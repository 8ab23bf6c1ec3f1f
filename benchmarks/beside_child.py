"""One step of celldetective, or of scikit-image, on given masks; `beside.py` starts it.

    python beside_child.py FOLDER TOOL STEP

FOLDER has effectors.npy and targets.npy, labels (T, Y, X) whose numbers are cells all through the film,
image.npy (T, Y, X), points.csv (population, track_id, frame, x_px, y_px) and settings.json. Printed is
JSON: CPU milliseconds a frame, the best of the repeats, and how many rows or pairs were found.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# the columns of ours that both know
SHAPE = (
    *("area", "perimeter", "eccentricity", "solidity", "orientation", "centroid", "bbox"),
    *("major_axis_length", "minor_axis_length", "feret_diameter_max", "intensity_mean"),
)


class Film:
    """What is measured."""

    def __init__(self, folder: Path) -> None:
        self.effectors, self.targets, self.image = (
            np.load(folder / f"{name}.npy") for name in ("effectors", "targets", "image")
        )
        self.settings: dict[str, Any] = json.loads((folder / "settings.json").read_text())
        self.points = pd.read_csv(folder / "points.csv")

    def positions(self, population: str) -> pd.DataFrame:
        """The points of a population by celldetective's names."""
        some = self.points[self.points["population"] == population]
        names = {
            "track_id": "TRACK_ID",
            "frame": "FRAME",
            "x_px": "POSITION_X",
            "y_px": "POSITION_Y",
        }
        found = some.rename(columns=names)[[*names.values()]]
        return found.assign(class_id=found["TRACK_ID"]).reset_index(drop=True)


def celldetective(film: Film) -> dict[str, Callable[[], Any]]:
    """Its functions, as its own processes call them."""
    from celldetective import measure, neighborhood, tracking
    from celldetective.utils.maths import velocity_per_track

    for module in (neighborhood,):
        module.tqdm = lambda each: each  # no bar
    reach = film.settings["reach_px"]
    sets = film.positions("effectors"), film.positions("targets")

    def features() -> int:
        frames = zip(film.image, film.effectors, strict=True)
        return sum(
            len(measure.measure_features(image, label, [*SHAPE], ["green"]))
            for image, label in frames
        )

    def contacts() -> int:
        gap = film.settings["gap_px"]
        made, _ = neighborhood.mask_contact_neighborhood(
            *(each.copy() for each in sets), film.effectors, film.targets, gap
        )
        return neighbours(made[f"neighborhood_2_contact_{gap}_px"])

    def near() -> int:
        made, _ = neighborhood.distance_cut_neighborhood(*(each.copy() for each in sets), reach)
        return neighbours(made[f"neighborhood_2_circle_{reach}_px"])

    def tracks() -> int:
        shape = film.effectors.shape[:0:-1]
        return int(
            tracking.track(film.effectors, "no_z_motion", volume=shape)["TRACK_ID"].nunique()
        )

    def velocity() -> int:
        return len(velocity_per_track(sets[0].copy(), window_size=3, mode="bi"))

    return {
        "features": features,
        "contacts": contacts,
        "near": near,
        "tracks": tracks,
        "velocity": velocity,
    }


def neighbours(column: pd.Series) -> int:
    """How many pairs a column of neighbourhoods holds."""
    return sum(len(each) for each in column if isinstance(each, list))


def skimage(film: Film) -> dict[str, Callable[[], Any]]:
    """What its functions can do."""
    from skimage.measure import regionprops_table
    from skimage.segmentation import expand_labels

    def features() -> int:
        frames = zip(film.effectors, film.image, strict=True)
        return sum(len(regionprops_table(*each, properties=SHAPE)["area"]) for each in frames)

    def contacts() -> int:
        count = 0
        for a, b in zip(film.effectors, film.targets, strict=True):
            wide = expand_labels(a, film.settings["gap_px"])
            both = (wide > 0) & (b > 0)
            count += len(np.unique(np.stack([wide[both], b[both]]), axis=1).T)
        return count

    return {"features": features, "contacts": contacts}


def main() -> None:
    folder, tool, step = sys.argv[1:]
    logging.disable(logging.WARNING)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    film = Film(Path(folder))
    work = {"celldetective": celldetective, "skimage": skimage}[tool](film)[step]
    took = []
    for _ in range(film.settings["repeats"]):
        before = time.process_time()
        found = work()
        took.append(1000 * (time.process_time() - before) / len(film.effectors))
    sys.stdout.write("\n" + json.dumps({"ms": min(took), "found": found}) + "\n")


if __name__ == "__main__":
    main()
