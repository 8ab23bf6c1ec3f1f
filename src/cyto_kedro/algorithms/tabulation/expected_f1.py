"""From evidence to an expected F1: sums of curves, each in the log-odds that a measure takes.

``log-odds = intercept + sum over measures of curve(measure)``: once for the chance that a cell agrees
with a true one (IoU of 0.5 or more), once for the F1 of a frame, where the mean chance is one measure.
Curves are straight between their points and never turn: more contrast is never worse. They are in
`mask_curves`, fitted to masks whose truth is known (docs/quality.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cyto_kedro.algorithms.tabulation import mask_curves
from cyto_kedro.algorithms.tabulation.bleed_through import (
    Masked,
    doubled_share,
    leaked,
    shines_through,
)
from cyto_kedro.algorithms.tabulation.frame_evidence import frame_evidence
from cyto_kedro.algorithms.tabulation.mask_evidence import Scene, cell_evidence

#: `dark_ratio` from which it is no image of fluorescence, and the most that is expected of one
DARK, DARK_F1 = 0.25, 0.5
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
OTHERS = "nothing to find: what light there is shows cells of another population"
NO_FLUORESCENCE = (
    "the image is darker than its background as well as brighter: phase contrast, brightfield, far out "
    "of focus, or with a margin that was not filmed"
)
DOUBLED = "masks lie on brighter cells of another population: bleed-through"
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
    image: np.ndarray,
    label: np.ndarray,
    shown: np.ndarray | None = None,
    others: Sequence[Masked] = (),
) -> dict[str, float | int | str]:
    """A frame's row of `schemas.MaskEvidence`, but for its names.

    `image`, `label`: (Y, X). `shown`: which pixels were filmed; None: all. `others`: populations whose
    cells cannot be these. Light that shows theirs is nothing to find; masks on it are wrong, and of d
    such masks in one no F1 is over 2 (1 - d) / (2 - d). Of an image that is darker than its background
    as well as brighter no more than `DARK_F1` is expected.
    """
    theirs = [each.image for each in others]
    if others and label.any():
        filmed = np.ones(label.shape, bool) if shown is None else shown
        leak = leaked(image, filmed, label == 0, theirs)
        # a cell that leaks less than others leaves no hole
        image = np.maximum(image - leak, np.minimum(image, np.median(image[filmed])))
    scene = Scene.of(image, label, shown)
    cells = cell_evidence(scene) if scene.count else {}
    chances = chance(mask_curves.CELL_INTERCEPT, mask_curves.CELL, cells) if cells else np.zeros(0)
    measures = frame_evidence(scene, cells)
    measures["mean_chance"] = float(chances.mean()) if cells else 0.0
    measures["doubtful_share"] = float((chances < 0.5).mean()) if cells else 1.0
    row: dict[str, float | int | str] = {"n_cells": scene.n_labels, "doubled_share": np.nan}
    row |= measures
    if not cells:
        seen = measures["missed_faint"] > 0
        through = seen and shines_through(scene, theirs)
        if seen and not through:
            return row | {"expected_f1": 0.0, "reason": NO_MASKS}
        return row | {"expected_f1": np.nan, "reason": OTHERS if through else NOTHING}
    f1 = float(chance(mask_curves.FRAME_INTERCEPT, mask_curves.FRAME, measures))  # type: ignore[arg-type]
    share = doubled_share(Masked(image, label), scene, others)
    most = 2 * (1 - share) / (2 - share)
    why = DOUBLED if most < f1 else _reason(cells, measures)
    if measures["dark_ratio"] > DARK:
        most, why = min(most, DARK_F1), NO_FLUORESCENCE
    return row | {"doubled_share": share, "expected_f1": min(f1, most), "reason": why}


def _reason(cells: Mapping[str, np.ndarray], measures: Mapping[str, float]) -> str:
    """The words of the measures that take most log-odds, of cells (on average) and of the frame."""
    lost = {
        name: max(curve[1]) - float(np.mean(np.interp(given[name], *curve)))
        for curves, given in ((mask_curves.CELL, cells), (mask_curves.FRAME, measures))
        for name, curve in curves.items()
    }
    total = {words: sum(lost.get(name, 0.0) for name in names) for words, names in REASONS.items()}
    return max(total, key=lambda words: total[words])
