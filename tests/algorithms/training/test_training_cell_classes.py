"""Classes of cells: those that no one measurement tells apart are learnt, and refusals are plain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cyto_kedro.algorithms.segmentation.forest import Forest
from cyto_kedro.algorithms.tabulation.cell_classes import ClassifyCells
from cyto_kedro.algorithms.tabulation.columns import FilterCells
from cyto_kedro.algorithms.training.cell_classes import TrainCellClasses
from cyto_kedro.errors import ConfigError, InputError


def cells(n: int, seed: int) -> pd.DataFrame:
    """Dying cells are small and bright, or large and dim; live ones the other way round."""
    rng = np.random.default_rng(seed)
    large, bright = rng.integers(0, 2, n), rng.integers(0, 2, n)
    table = pd.DataFrame(
        {
            **{"fov": "a", "population": "T", "frame": 0, "label": np.arange(1, n + 1)},
            **{"x_px": rng.random(n), "on_border": False},
            "area_px": 100 + 100 * large + rng.normal(0, 10, n),
            "PI_mean": 50 + 50 * bright + rng.normal(0, 5, n),
            "class": np.where(large == bright, "live", "dying"),
        }
    )
    table["area_um2"], table["perimeter_um"] = table["area_px"] / 4, np.nan
    return table


def learnt(tmp_path: Path, table: pd.DataFrame, **args: object) -> ClassifyCells:
    path = tmp_path / "model.npz"
    path.write_bytes(TrainCellClasses(trees=50, **args)(examples=table)["weights"])
    return ClassifyCells(model=str(path))


def test_what_no_threshold_tells_is_learnt(tmp_path: Path) -> None:
    step, new = learnt(tmp_path, cells(300, 0)), cells(300, 1)
    card = Forest.from_bytes((tmp_path / "model.npz").read_bytes(), "here").card
    # no place, no twin in pixels, no column without a value
    assert card["columns"] == ["PI_mean", "area_um2"] and sum(card["n_cells"]) == 300
    made = step(cells=new.drop(columns="class"))["cells"]
    chances = made[["dying_chance", "live_chance"]].to_numpy()
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-6)
    assert (made["is_live"] == (new["class"] == "live")).mean() > 0.98
    assert (made["is_live"] != made["is_dying"]).all()
    kept = FilterCells(where="is_dying")(cells=made)["cells"]
    assert len(kept) == made["is_dying"].sum() > 100
    again = TrainCellClasses(trees=50)(examples=cells(300, 0))["weights"]
    assert again == (tmp_path / "model.npz").read_bytes()


def test_an_unknown_value_is_the_median_and_no_cell_no_row(tmp_path: Path) -> None:
    step, new = learnt(tmp_path, cells(100, 0)), cells(3, 1)
    typical = cells(100, 0)["PI_mean"].median()
    one = step(cells=new.assign(PI_mean=np.nan))["cells"]["live_chance"]
    other = step(cells=new.assign(PI_mean=typical))["cells"]["live_chance"]
    assert one.tolist() == other.tolist()
    assert "is_live" in step(cells=new[:0])["cells"].columns


def test_refusals(tmp_path: Path) -> None:
    table = cells(50, 0)
    step = learnt(tmp_path, table, columns=("PI_*", "area_px"))
    with pytest.raises(ConfigError, match=r"other measurements.*PI_mean"):
        step(cells=table.drop(columns="PI_mean"))
    with pytest.raises(InputError, match="all of class live"):
        TrainCellClasses()(examples=table[table["class"] == "live"])
    with pytest.raises(InputError, match="PE_mean"):
        TrainCellClasses(columns=("PE_mean",))(examples=table)
    (tmp_path / "pixels.npz").write_bytes(
        Forest(*(np.zeros(1) for _ in range(6)), card={"features": 1}).to_bytes()
    )
    with pytest.raises(ConfigError, match="no model of cells"):
        ClassifyCells(model=str(tmp_path / "pixels.npz"))
