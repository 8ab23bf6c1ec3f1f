"""How well a classifier tells targets from other nuclei, where one dye stains them all.

    python benchmarks/classes.py

All nuclei of the ADCC stills are found (those of NK cells and debris too); the experts' masks say which
are targets. Each still is of another experiment, and is left out in turn: `TrainCellClasses` with its
defaults learns from 1, 2, 4, 7 others. F1 of targets at IoU 0.5 over all that was left out. Beside it
rules chosen on these very stills: nuclei of 60 um2 and more that are not in an effector.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

import leave_out
import metrics as m
from cyto_kedro.algorithms.tabulation.cell_classes import ClassifyCells
from cyto_kedro.algorithms.tabulation.columns import ColumnStep, Compute, NormaliseColumns
from cyto_kedro.algorithms.training.cell_classes import TrainCellClasses
from cyto_kedro.registry import build
from run_folder import ROOT

ENGINE = "Nuclei, low, strict"
# further columns to learn from
STEPS: dict[str, ColumnStep] = {
    "NormaliseColumns": NormaliseColumns(columns=("*_mean",), over="frame"),
    "Compute": Compute(
        columns={
            "dead_ratio": "Dead_mean / (Hoechst_mean + 0.001)",
            "effector_ratio": "Effector_mean / (Hoechst_mean + 0.001)",
        }
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, default=ROOT / "../shared/data/celldetective_adcc_dev")
    parser.add_argument("--numbers", type=int, nargs="+", default=[1, 2, 4, 7], help="learnt from")
    args = parser.parse_args()
    stems = sorted(path.with_suffix("") for path in args.raw.glob("*.json"))
    tables = [measured(stem) for stem in stems]
    true = [int(tifffile.imread(f"{stem}_labelled.tif").max()) for stem in stems]
    rules = [leave_out.scored(stem, "Nuclei", "PI over 15 sd", 40.0, ENGINE, "") for stem in stems]
    show("rules", rules)
    both = list(zip(tables, true, strict=True))
    show("all nuclei", [kept(table, n, np.ones(len(table), bool)) for table, n in both])
    for number in args.numbers:
        learnt(f"{number} fields", tables, true, number)
    for name, step in STEPS.items():
        with_more = [pd.DataFrame(step(cells=table)["cells"]) for table in tables]
        learnt(f"{max(args.numbers)} fields, {name}", with_more, true, max(args.numbers))


def learnt(name: str, tables: list[pd.DataFrame], true: list[int], number: int) -> None:
    """Score what is learnt from so many other stills."""
    scores, right = [], []
    for index, (table, n_true) in enumerate(zip(tables, true, strict=True)):
        others = [tables[(index + k) % len(tables)] for k in range(1, number + 1)]
        called = classified(pd.concat(others, ignore_index=True), table)
        scores.append(kept(table, n_true, called))
        right.append(called == (table["class"] == "target").to_numpy())
    show(name, scores, np.concatenate(right).mean())


def measured(stem: Path) -> pd.DataFrame:
    """Every nucleus of a still with its measurements and its class."""
    image, size = leave_out.film(stem, 40.0)
    made = leave_out.INPUTS["PI over 15 sd"]
    assert made is not None
    name, args = leave_out.ENGINES[ENGINE]
    shown = build("preprocessing", *made)(image=image)["image"]["Target"]
    label = np.asarray(build("segmentation", name, args)(image=shown, pixel_size_um=size)["label"])
    told = {"fov": stem.name, "population": "Target", "frame_start": 0, "pixel_size_um": size}
    table = build("tabulation", "Features")({**told, "label": label, "image": image})["cells"]
    true = tifffile.imread(f"{stem}_labelled.tif")[None]
    hits = set(m.match_film(true, label)["found"])
    table["class"] = ["target" if each in hits else "other" for each in table["label"]]
    return table


def classified(learnt_from: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    """Which nuclei are called targets."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        path.write_bytes(TrainCellClasses()(examples=learnt_from)["weights"])
        step = ClassifyCells(model=str(path))
        return step(cells=table.drop(columns="class"))["cells"]["is_target"].to_numpy(bool)


def kept(table: pd.DataFrame, n_true: int, called: np.ndarray) -> m.Score:
    """Targets among the nuclei that are called so."""
    hits = (called & (table["class"] == "target").to_numpy()).sum()
    return m.Score(float(hits), float(called.sum()), float(n_true))


def show(name: str, each: list[m.Score], right: float = np.nan) -> None:
    """Print a line."""
    total = leave_out.total(each)
    row = "".join(f"{one.f1:7.3f}" for one in each)
    print(
        f"{name:<27} P {total.precision:.3f} R {total.recall:.3f} F1 {total.f1:.3f} "
        f"right {right:.3f}  {row}",
        flush=True,
    )


if __name__ == "__main__":
    main()
