"""How good an engine is that is learnt from a few corrected fields.

    python benchmarks/training.py             # ADCC stills, each of another experiment
    python benchmarks/training.py --crowded   # frames of the simulation's preset `crowded`
    python benchmarks/training.py --choose    # is the limit of the chance right where it was not chosen?

Fields are left out in turn: `TrainPixelForest` with its defaults learns from 1, 2, 4, … of the others,
and its engine finds the cells of the one that was left out. Beside it the classical engine of the
configuration. F1 at IoU 0.5 over all cells that were left out. `--choose`: for each still the limit
that is best on the seven others is taken, and scored on the one left out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

import leave_out
import metrics as m
from crowded import crowded
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.preprocessing.contrast import PercentileNormalisation
from cyto_kedro.algorithms.segmentation.cleanup import CleanUp
from cyto_kedro.algorithms.segmentation.pixel_forest import PixelForest
from cyto_kedro.algorithms.training.learner import Example
from cyto_kedro.algorithms.training.pixel_forest import TrainPixelForest
from cyto_kedro.registry import build
from run_folder import ROOT

Field = list[Example]
LIMITS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, default=ROOT / "../shared/data/celldetective_adcc_dev")
    parser.add_argument("--crowded", action="store_true", help="targets of simulated films instead")
    parser.add_argument("--numbers", type=int, nargs="+", default=[1, 2, 4, 7], help="learnt from")
    parser.add_argument("--trees", type=int, default=40)
    parser.add_argument(
        "--choose", action="store_true", help="choose `least_chance` on other stills"
    )
    args = parser.parse_args()
    if args.crowded:
        learnable = [film(seed) for seed in range(1, max(args.numbers) + 1)]
        judged = [(film(seed), learnable) for seed in (31, 32)]
        engine, clean = build("segmentation", "LocalThreshold"), None
    else:
        fields = [still(path) for path in sorted(args.raw.glob("*.json"))]
        judged = [
            (one, [fields[(i + k) % len(fields)] for k in range(1, len(fields))])
            for i, one in enumerate(fields)
        ]
        engine = build("segmentation", *leave_out.ENGINES["Nuclei, low, strict"])
        clean = CleanUp(min_area_um2=leave_out.LEAST_UM2)
    if args.choose:
        choose(judged, args.trees)
        return
    print(f"{'learnt from':<24}{'F1':>7}{'s to learn':>12}{'s a frame':>11}  by field")
    show("classical", [scored(engine, one, clean) for one, _ in judged], 0)
    for number in args.numbers:
        scores, spent = [], 0.0
        with tempfile.TemporaryDirectory() as folder:
            for index, (one, others) in enumerate(judged):
                before = time.process_time()
                examples = [example for field in others[:number] for example in field]
                path = Path(folder) / f"{index}.npz"
                learner = TrainPixelForest(trees=args.trees)
                path.write_bytes(learner(examples=examples)["weights"])
                spent += time.process_time() - before
                scores.append(scored(PixelForest(model=str(path)), one, clean))
        show(f"{number} fields", scores, spent / len(judged))


def choose(judged: list[tuple[Field, list[Field]]], trees: int) -> None:
    """Print the score of each limit, and of the limit that is best elsewhere."""
    clean = CleanUp(min_area_um2=leave_out.LEAST_UM2)
    scores: dict[float, list[m.Score]] = {limit: [] for limit in LIMITS}
    for one, others in judged:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.npz"
            examples = [example for field in others for example in field]
            path.write_bytes(TrainPixelForest(trees=trees)(examples=examples)["weights"])
            for limit in LIMITS:
                engine = PixelForest(model=str(path), least_chance=limit)
                scores[limit].append(scored(engine, one, clean)[0])
    for limit, each in scores.items():
        row = "".join(f"{score.f1:7.3f}" for score in each)
        print(f"{limit:<6}{leave_out.total(each).f1:>7.3f}  {row}", flush=True)
    leave_out.show_left_out([one[0].group for one, _ in judged], scores)


def still(path: Path) -> Field:
    """A still of the ADCC assay as `conf/adcc` prepares it, with the experts' masks."""
    stem = path.with_suffix("")
    image, size = leave_out.film(stem, 40.0)
    made = leave_out.INPUTS["PI over 15 sd"]
    assert made is not None
    target = np.asarray(build("preprocessing", *made)(image=image)["image"]["Target"][0])
    return [Example(target, tifffile.imread(f"{stem}_labelled.tif"), size, stem.name)]


def film(seed: int) -> Field:
    """Three frames of the targets of a crowded film."""
    made = crowded(seed, 21)
    image = PercentileNormalisation()(image={"CancerCell": made["image"]["CancerCell"]})["image"]
    stack, label = image["CancerCell"], made["label"]["CancerCell"]
    size = made["pixel_size_um"]
    return [Example(np.asarray(stack[t]), label[t], size, str(seed)) for t in (0, 10, 20)]


def scored(engine: Algorithm, field: Field, clean: CleanUp | None) -> tuple[m.Score, float]:
    """Cells found in a field, and seconds a frame."""
    total, before = m.Score(), time.process_time()
    for each in field:
        assert isinstance(each.image, np.ndarray)
        found = engine(image=each.image[None], pixel_size_um=each.pixel_size_um)
        if clean is not None:
            found = clean(found, pixel_size_um=each.pixel_size_um)
        label = np.asarray(found["label"])
        total += m.detection(each.label[None], label, m.match_film(each.label[None], label))
    return total, (time.process_time() - before) / len(field)


def show(name: str, scores: list[tuple[m.Score, float]], learning: float) -> None:
    """Print a line."""
    each = [score for score, _ in scores]
    spent = float(np.mean([seconds for _, seconds in scores]))
    row = "".join(f"{one.f1:7.3f}" for one in each)
    print(
        f"{name:<24}{leave_out.total(each).f1:>7.3f}{learning:>12.1f}{spent:>11.1f}  {row}",
        flush=True,
    )


if __name__ == "__main__":
    main()
