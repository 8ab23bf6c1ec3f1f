"""Viability from shape."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.signals import ShapeChange
from cyto_kedro.errors import InputError


def cells(n: int = 200, dead: int = 40, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Cells of two dyes under light that varies tenfold; who is dead."""
    rng = np.random.default_rng(seed)
    gone = np.arange(n) < dead
    light = rng.uniform(0.3, 3.0, n)
    live = np.where(gone, 40, 100) * light * rng.lognormal(0, 0.1, n) + 10
    marker = np.where(gone, 90, 12) * light * rng.lognormal(0, 0.1, n) + 10
    table = pd.DataFrame({"Dead_median": marker, "T_median": live})
    table = table.assign(
        fov="A", population="T", frame=0, label=np.arange(n) + 1,
        area_px=np.where(gone, 100.0, 400.0) * rng.lognormal(0, 0.05, n),
    )  # fmt: skip
    table["perimeter_px"] = 2 * np.sqrt(np.pi * table["area_px"]) * np.where(gone, 1.4, 1.05)
    return table, gone


@pytest.mark.parametrize("feature", ["shrinkage", "roughness"])
def test_shape_tells_the_dead_without_a_marker(feature):
    table, gone = cells()
    found = ShapeChange(feature=feature)({"dataframe": table})["dataframe"]
    assert (schemas.check(schemas.Viability, found)["dead"] == gone).all()
    alive, _ = cells(dead=0)
    assert not ShapeChange(feature=feature)({"dataframe": alive})["dataframe"]["dead"].any()
    disc = table.assign(perimeter_px=2 * np.sqrt(np.pi * table["area_px"]))
    rough = ShapeChange(feature="roughness")({"dataframe": disc})["dataframe"]["marker_signal"]
    assert rough.to_numpy() == pytest.approx(1.0)
    with pytest.raises(InputError, match="column 'perimeter_px' is missing"):
        ShapeChange()({"dataframe": table.drop(columns="perimeter_px")})
