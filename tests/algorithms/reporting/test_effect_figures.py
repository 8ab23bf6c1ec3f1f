"""The figure of effects: what lies outside its axis."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.reporting.effect_figures import draw_effects


def test_an_interval_that_leaves_the_axis_ends_in_an_arrow() -> None:
    low, high = np.full(12, -0.5), np.full(12, 1.0)
    low[[1, 4]], high[4] = -90, 80
    rows = pd.DataFrame({"outcome": "exploratory", "name": "pair", "text": ""}, index=range(12))
    rows = rows.assign(effect=0.3, low=low, high=high)
    ax = draw_effects(rows).axes[0]
    far = ax.get_xlim()[1]
    arrows = {
        (
            line.get_marker(),
            float(np.asarray(line.get_xdata())[0]),
            int(np.asarray(line.get_ydata())[0]),
        )
        for line in ax.lines
        if line.get_marker() in ("<", ">")
    }
    assert arrows == {("<", -far, 1), ("<", -far, 4), (">", far, 4)} and far < 10
