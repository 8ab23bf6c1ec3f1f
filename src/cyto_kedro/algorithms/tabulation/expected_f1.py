"""From evidence to an expected F1: sums of curves, each in the log-odds that a measure gives or takes.

``log odds = intercept + sum over measures of curve(measure)``, once for the chance that a cell agrees
with a true one (IoU 0.5), and once for the F1 of a frame, of which the mean chance is one measure.
Curves are straight between their points and never turn: more contrast is never worse. The tables are
in `mask_curves`, made by ``benchmarks/quality.py fit``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Curve = tuple[tuple[float, ...], tuple[float, ...]]  # measures, log-odds


def chance(intercept: float, curves: Mapping[str, Curve], measures: Mapping[str, object]) -> np.ndarray:
    """Chances (n,) by the sum of `curves` of `measures`, each (n,).

    Examples
    --------
    >>> chance(0.0, {"edge": ((0.0, 1.0), (-2.0, 0.0))}, {"edge": [1.0, 0.5]}).round(2).tolist()
    [0.5, 0.27]
    """
    total = intercept + sum(np.interp(measures[name], *each) for name, each in curves.items())
    return np.asarray(1 / (1 + np.exp(-total)))


def losses(
    curves: Mapping[str, Curve], measures: Mapping[str, object]
) -> dict[str, np.ndarray]:
    """Log-odds (n,) that each measure takes, against its best value."""
    return {
        name: max(each[1]) - np.interp(measures[name], *each) for name, each in curves.items()
    }
