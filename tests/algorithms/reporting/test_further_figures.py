"""Curves of the further analyses: what is averaged, over what, and which panels are drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.further_figures import (
    CURVES,
    FurtherFigures,
    _mean,
    draw_curves,
)
from cyto_kedro.images import Picture

BY_TITLE = {curve.title: curve for curve in CURVES}


def test_mean_of_a_field_in_the_unit_that_is_known() -> None:
    part = pd.DataFrame({"fov": "a", "time_min": [0.0, 0.0, 2.0], "frame": [0, 0, 1]})
    part["n_cells"] = [2, 4, 5]
    found = BY_TITLE["Size of clusters"].means(part)
    assert found[["x", "y"]].to_numpy().tolist() == [[0, 3], [2, 5]]
    assert found["axis"].iloc[0].startswith("time (min)")
    blind = BY_TITLE["Size of clusters"].means(part.assign(time_min=np.nan))
    assert blind["x"].tolist() == [0, 1] and blind["axis"].iloc[0].startswith("frame")


def test_ripleys_l_is_drawn_against_chance() -> None:
    part = pd.DataFrame({"fov": "a", "radius_um": [5.0, 10.0], "l_um": [7.0, 10.0]})
    part = part.assign(population_a="T", population_b="C", radius_px=1.0, l_px=1.0)
    found = BY_TITLE["Clustering (Ripley's L)"].means(part)
    assert found["y"].tolist() == [2, 0] and set(found["facet"]) == {"T → C"}


def test_each_field_counts_once_where_all_are_known() -> None:
    rows = pd.DataFrame({"fov": ["a"] * 3 + ["b"] * 2, "x": [0, 1, 2, 0, 2], "y": [1, 2, 3, 5, 3]})
    assert _mean(rows).to_dict() == {0.0: 3.0, 1.0: 3.0, 2.0: 3.0}


def test_a_table_serves_several_curves_and_parts_come_once() -> None:
    table = pd.DataFrame({"fov": ["a", "a"], "time_min": [0.0, 1.0], "frame": [0, 1]})
    table = table.assign(effector_contact_share=[0.1, 0.2], target_contact_share=[0.3, 0.4])
    curves = {curve: [curve.means(table)] for curve in CURVES if curve.table == "conjugation"}
    axes = [ax for ax in draw_curves(curves, None).axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in axes] == [
        "Effectors in contact",
        "Targets in contact",
    ]
    np.testing.assert_allclose(axes[1].lines[0].get_ydata(), [0.3, 0.4])

    figures = FurtherFigures(dpi=40)(
        msd=schemas.empty(schemas.Msd),
        further={"conjugation": iter([table])},
        roles={"T": "effector"},
    )["figures"]
    assert set(figures) == {"msd", "further"}
    assert all(isinstance(each, Picture) for each in figures.values())
