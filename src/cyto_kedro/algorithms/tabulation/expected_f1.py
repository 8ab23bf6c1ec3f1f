"""From evidence to an expected F1: sums of curves, each in the log-odds that a measure takes.

``log-odds = intercept + sum over measures of curve(measure)``: once for the chance that a cell agrees
with a true one (IoU of 0.5 or more), once for the F1 of a frame, where the mean chance is one measure.
Curves are straight between their points and never turn: more contrast is never worse. They are in
`mask_curves`, fitted to masks whose truth is known (docs/quality.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cyto_kedro.algorithms.tabulation import mask_curves
from cyto_kedro.algorithms.tabulation.mask_evidence import Scene, cell_evidence, frame_evidence

Curve = tuple[tuple[float, ...], tuple[float, ...]]  # measures in rising order, log-odds

#: what is wrong where measures take most, and which measures they are
REASONS: dict[str, tuple[str, ...]] = {
    "cells hardly stand out of the noise": ("contrast", "signal"),
    "outlines are not where brightness falls": (
        "edge",
        "aligned",
        "half_height",
        "offset",
        "spread",
    ),
    "masks leave out parts of what is bright around them": ("raised",),
    "masks hold several cells, or none of even light": ("inner_slope", "peaks", "lobes"),
    "neighbours have no valley between them: cells may be cut": ("seam", "joint"),
    "shapes are odd": ("fill",),
    "sizes are uneven": ("small", "large", "size_spread", "small_share", "large_share"),
    "cells are missed: there is light outside of all masks": (
        *("missed_area", "missed", "missed_faint", "missed_bright"),
    ),
    "masks do not cover what is bright": ("agreement", "separation"),
}
NOTHING = "nothing to find"
NO_MASKS = "no masks, but light that stands out of the noise"


def chance(
    intercept: float, curves: Mapping[str, Curve], measures: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Chances (n,) by the sum of `curves` of `measures`, each (n,).

    Examples
    --------
    >>> at = np.array([1.0, 0.5])
    >>> chance(0.0, {"edge": ((0.0, 1.0), (-2.0, 0.0))}, {"edge": at}).round(2).tolist()
    [0.5, 0.27]
    """
    total = intercept + sum(np.interp(measures[name], *each) for name, each in curves.items())
    return np.asarray(1 / (1 + np.exp(-total)))


def expected(
    image: np.ndarray, label: np.ndarray, shown: np.ndarray | None = None
) -> dict[str, float | int | str]:
    """A frame's row of `schemas.MaskEvidence`, but for its names.

    `image`, `label`: (Y, X). `shown`: which pixels were filmed; None: all.
    """
    scene = Scene.of(image, label, shown)
    cells = cell_evidence(scene) if scene.count else {}
    chances = chance(mask_curves.CELL_INTERCEPT, mask_curves.CELL, cells) if cells else np.zeros(0)
    measures = frame_evidence(scene, cells)
    measures["mean_chance"] = float(chances.mean()) if cells else 0.0
    measures["doubtful_share"] = float((chances < 0.5).mean()) if cells else 1.0
    row: dict[str, float | int | str] = {"n_cells": len(np.unique(label[label > 0])), **measures}
    if not cells:
        seen = measures["missed_faint"] > 0
        return row | {
            "expected_f1": 0.0 if seen else np.nan,
            "reason": NO_MASKS if seen else NOTHING,
        }
    f1 = chance(mask_curves.FRAME_INTERCEPT, mask_curves.FRAME, measures)  # type: ignore[arg-type]
    return row | {"expected_f1": float(f1), "reason": _reason(cells, measures)}


def _reason(cells: Mapping[str, np.ndarray], measures: Mapping[str, float]) -> str:
    """The words of the measures that take most log-odds, of cells (on average) and of the frame."""
    lost = {
        name: max(curve[1]) - float(np.mean(np.interp(given[name], *curve)))
        for curves, given in ((mask_curves.CELL, cells), (mask_curves.FRAME, measures))
        for name, curve in curves.items()
    }
    total = {words: sum(lost.get(name, 0.0) for name in names) for words, names in REASONS.items()}
    return max(total, key=lambda words: total[words])
