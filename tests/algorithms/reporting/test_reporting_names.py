"""Names that a person typed are shown as they were typed, each of them."""

from __future__ import annotations

import pandas as pd

from cyto_kedro.algorithms.reporting.findings import per_replicate
from cyto_kedro.algorithms.reporting.plots import short
from cyto_kedro.core.style import figure, styled


def test_no_name_falls_out_of_a_legend() -> None:
    with styled():
        ax = figure(2, 2).add_subplot()
        for name in ("_stop", "$x", "ordinary"):
            ax.plot([0, 1], [0, 1], label=short(name))
        shown = [text.get_text().strip() for text in ax.legend().get_texts()]
    assert shown == ["_stop", "$x", "ordinary"]


def test_groups_whose_names_join_alike_stay_apart() -> None:
    one = {"population": "T", "measure": "m", "unit": ""}
    rows = pd.DataFrame(
        [
            {**one, "condition": "a", "replicate": "b, c", "value": 1.0},
            {**one, "condition": "a, b", "replicate": "c", "value": 3.0},
        ]
    )
    assert per_replicate(rows).iloc[0].tolist()[2:] == [1.0, 3.0]
