"""Target nuclei of the ADCC stills against the experts' masks.

    kedro run --env adcc && python benchmarks/adcc.py

Precision, recall and F1 at two IoU thresholds, matched one to one; per field, and over all nuclei.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import tifffile

import metrics as m
from run_folder import ROOT, RunFolder

THRESHOLDS = (0.5, 0.75)


def main(env: str, raw: str, masks: str, population: str, text: str | None) -> None:
    """Compare the labels of the run in ``data/<env>`` with the `masks` (a pattern) of `raw`."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / env)
    parser.add_argument("--raw", type=Path, default=ROOT / "../shared/data" / raw)
    parser.add_argument("--population", default=population)
    args = parser.parse_args()
    run = RunFolder(args.data)
    head = "".join(f"   P@{t:<5} R@{t:<5} F1@{t:<4}" for t in THRESHOLDS)
    print(f"{'field':<36}{'true':>6}{'found':>6}{head}{'SEG':>7}")
    for name, scores, seg in compare(run, args.raw / masks, args.population):
        row(name, scores, seg)


def compare(
    run: RunFolder, masks: Path, population: str
) -> Iterator[tuple[str, dict[float, m.Score], float]]:
    """Each field's name, scores by threshold and SEG; at last those of all nuclei together."""
    pooled = dict.fromkeys(THRESHOLDS, m.Score())
    covered, n_true = 0.0, 0
    for fov in run.fovs:
        truth = tifffile.imread(str(masks).format(fov=fov))[None]
        found = run.labels(fov, population)
        scores = {t: m.detection(truth, found, m.match_film(truth, found, t)) for t in THRESHOLDS}
        iou, n = m.seg(truth, found)
        covered, n_true = covered + iou, n_true + n
        pooled = {t: pooled[t] + scores[t] for t in THRESHOLDS}
        yield fov, scores, iou / n
    yield "all", pooled, covered / n_true


def row(name: str, scores: dict[float, m.Score], seg: float) -> None:
    """Print a field's numbers."""
    cells = "".join(f"{s.precision:>9.3f}{s.recall:>8.3f}{s.f1:>8.3f}" for s in scores.values())
    one = next(iter(scores.values()))
    print(f"{name:<36}{one.true:>6.0f}{one.found:>6.0f}{cells}{seg:>7.3f}")


if __name__ == "__main__":
    main("adcc", "celldetective_adcc_dev", "{fov}_labelled.tif", "Target", __doc__)
