"""NK cells of the ADCC stills against marks made by eye: no expert's masks, see `nk_by_eye.csv`.

    python benchmarks/effectors.py                 # further words: only choices that have them

A language model, no expert and no person, looked at the CFSE channel enlarged two to four times and
wrote down an ellipse for each cell, before looking at any engine's outlines: ``cell`` where it is
plainly one, ``doubtful`` where experts may disagree (dim, far out of focus, a smear, one of a clump
without a border). What an engine finds at a doubtful place is neither right nor wrong. The last two
columns say what F1 would be if all doubtful ones were cells, and if none were. Fields 1, 3, 5, 7 by
name are for choosing, the others for reporting. No run of Kedro: steps and engines, called by hand.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile

import metrics as m
from cyto_kedro.registry import build
from run_folder import ROOT

MARKS = Path(__file__).with_name("nk_by_eye.csv")
CHANNEL = "effector_fluo_channel"
STRICT = {"tolerance": 0.035, "core_height": 0.7}
CONFIGURED = {**STRICT, "min_height": 0.05, "haze_height": 0.5}
ENGINES: dict[str, tuple[str, dict[str, Any]]] = {
    "LocalThreshold": ("LocalThreshold", {}),
    "Nuclei": ("Nuclei", {}),
    "Nuclei, strict, 250 um2": ("Nuclei", {**STRICT, "max_area_um2": 250.0}),
    "conf/base": ("Nuclei", CONFIGURED),
    "conf/adcc": ("Nuclei", {**CONFIGURED, "min_area_um2": 12.0, "max_area_um2": 150.0}),
}


@dataclass(frozen=True)
class Scores:
    """Of one engine on one field or several."""

    at_half: m.Score = field(default_factory=m.Score)
    at_three_quarters: m.Score = field(default_factory=m.Score)
    all_cells: m.Score = field(default_factory=m.Score)
    none_cells: m.Score = field(default_factory=m.Score)

    def __add__(self, other: Scores) -> Scores:
        return Scores(
            *(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )

    def __str__(self) -> str:
        half = self.at_half
        others = (self.at_three_quarters, self.all_cells, self.none_cells)
        return "".join(
            f"{x:8.3f}" for x in (half.precision, half.recall, half.f1, *(o.f1 for o in others))
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, default=ROOT / "../shared/data/celldetective_adcc_dev")
    parser.add_argument("--fields", action="store_true", help="a row for each field, too")
    parser.add_argument("only", nargs="*", help="words that a choice must have; default: all")
    args = parser.parse_args()
    marks = pd.read_csv(MARKS)
    fields = sorted(marks["field"].unique())
    parts = {"chosen on": fields[::2], "reported": fields[1::2], "all": fields}
    print(
        f"{'engine':<28}{'fields':<14}{'P':>8}{'R':>8}{'F1':>8}{'F1.75':>8}{'F1 all':>8}{'F1 none':>8}"
    )
    for name, engine in ENGINES.items():
        if not all(word in name for word in args.only):
            continue
        scores = {
            field: scored(args.raw / field, marks[marks["field"] == field], *engine)
            for field in fields
        }
        for part, members in parts.items():
            print(f"{name:<28}{part:<14}{sum((scores[f] for f in members), Scores())}", flush=True)
        if args.fields:
            for field, score in scores.items():
                print(f"{name:<28}{field[:13]:<14}{score}")


@cache
def film(stem: Path) -> tuple[np.ndarray, float]:
    """CFSE of a still as engines see it, and its pixel size."""
    told = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    raw = tifffile.imread(stem.with_suffix(".tif"))[told["channels"].index(CHANNEL)]
    step = build("preprocessing", "PercentileNormalisation", {"low": 1.0, "high": 99.8})
    return step(image={"Effector": raw[None]})["image"]["Effector"], float(
        told["spatial_calibration"]
    )


def scored(stem: Path, marks: pd.DataFrame, engine: str, args: dict[str, Any]) -> Scores:
    """One engine on one field."""
    image, size = film(stem)
    found = build("segmentation", engine, args)({"image": image, "pixel_size_um": size})["label"]
    return against_marks(np.asarray(found)[0].astype(np.int64), marks)


def against_marks(found: np.ndarray, marks: pd.DataFrame) -> Scores:
    """Labels (Y, X) against marks; what is found at a doubtful place does not count in the first two."""
    drawn = ellipses(marks, found.shape)
    numbers = np.arange(1, len(marks) + 1)
    sure = numbers[(marks["kind"] == "cell").to_numpy()]
    n_found = m.n_labels(found)

    def counted(least_iou: float) -> m.Score:
        pairs = m.match(drawn, found, least_iou)
        hit = pairs["true"].isin(sure)
        taken = set(pairs["found"])
        at = np.isin(drawn, np.setdiff1d(numbers, sure))
        area, doubtful = (
            np.bincount(w.ravel(), minlength=found.max() + 1) for w in (found, found * at)
        )
        share = doubtful / np.maximum(area, 1)
        idle = [k for k in np.unique(found[found > 0]) if k not in taken and share[k] > 0.5]
        return m.Score(int(hit.sum()), n_found - int((~hit).sum()) - len(idle), len(sure))

    only_sure = ellipses(marks[marks["kind"] == "cell"], found.shape)
    return Scores(
        counted(0.5),
        counted(0.75),
        *(m.Score(len(m.match(t, found)), n_found, m.n_labels(t)) for t in (drawn, only_sure)),
    )


def ellipses(marks: pd.DataFrame, shape: tuple[int, ...]) -> np.ndarray:
    """Labels (Y, X), numbered from 1 by row; a pixel in two ellipses is of the one it is deeper in."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    nearest = np.ones(shape)
    label = np.zeros(shape, np.int64)
    rows = marks[["x_px", "y_px", "a_px", "b_px", "angle_deg"]].itertuples(index=False)
    for number, (x0, y0, a, b, degrees) in enumerate(rows, 1):
        turn = np.deg2rad(degrees)
        u = (x - x0) * np.cos(turn) + (y - y0) * np.sin(turn)
        v = (y - y0) * np.cos(turn) - (x - x0) * np.sin(turn)
        depth = (u / a) ** 2 + (v / b) ** 2
        label[depth < nearest] = number
        nearest = np.minimum(nearest, depth)
    return label


if __name__ == "__main__":
    main()
