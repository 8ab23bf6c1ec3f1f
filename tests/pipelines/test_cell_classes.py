"""From a table that a person filled to chances beside every cell."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cyto_kedro.errors import ConfigError, InputError
from cyto_kedro.pipelines.cell_classes import nodes
from tiny_project import Project


class Held:
    """A field's partition of cells."""

    grain = ("fov", "population", "block")

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    def __getitem__(self, identity: str) -> Callable[[], pd.DataFrame]:
        assert identity == "A1/T/t0000-0001"
        return lambda: self.table


def measured(told: pd.DataFrame, **more: object) -> pd.DataFrame:
    """What is learnt from, of ten cells 20 px apart in each of two frames."""
    rows = {"fov": "A1", "population": "T", "frame": np.repeat([0, 1], 10)}
    rows |= {"label": np.tile(np.arange(1, 11), 2), "y_px": np.tile(20.0 * np.arange(10), 2)}
    cells = pd.DataFrame({**rows, "x_px": 5.0, "area_px": 80.0, **more})
    group = {"fov": "A1", "population": "T", "block": "t0000-0001"}
    manifest = SimpleNamespace(fovs=["A1"], populations=["T"], groups=lambda *_: [group])
    return nodes._measured("T", nodes._told(told, manifest), Held(cells), manifest)


def said(**more: object) -> pd.DataFrame:
    """Ten cells of the first frame, as they are copied from the table of cells."""
    rows = {"fov": "A1", "population": "T", "frame": 0, "label": np.arange(1, 11)}
    return pd.DataFrame(
        {**rows, "y_px": 20.0 * np.arange(10), "x_px": 5.0, "class": "live", **more}
    )


def test_numbers_of_masks_made_anew_are_told_by_where_cells_lie(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = measured(said())
    assert found["label"].tolist() == list(range(1, 11)) and "told_y_px" not in found
    assert not caplog.text
    with pytest.raises(InputError, match=r"10 of 10 rows of T fit no cell.*made anew"):
        measured(said(label=np.arange(10, 0, -1)))
    moved = 20.0 * np.arange(10) + np.where(np.arange(10) < 3, 6.0, 5.0)  # cells' radius is 5.05
    assert measured(said(y_px=moved))["label"].tolist() == list(range(4, 11))
    assert "3 of 10 rows of told_classes fit no cell any more" in caplog.text
    caplog.clear()
    assert len(measured(said().drop(columns=["y_px", "x_px"]))) == 10
    assert "told_classes has no y_px and x_px" in caplog.text
    with pytest.raises(InputError, match="has x_px alone"):
        measured(said().drop(columns="y_px"))


def test_what_a_classifier_said_before_is_not_learnt_from() -> None:
    found = measured(said(), live_chance=0.5, is_live=True, is_round=True)
    assert not {"live_chance", "is_live"} & {*found} and "is_round" in found


@pytest.mark.slow
def test_a_table_of_classes_makes_a_step_that_a_run_uses(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    cells = project.table("cells").query("population == 'CancerCell'")
    large = cells["area_px"] > cells["area_px"].median()
    told = cells[["fov", "population", "frame", "label"]].assign(
        **{"class": large.map({True: "large", False: "small"})}
    )
    path = project.path / "data" / "01_raw" / "cell_classes.csv"
    if not path.parent.exists():
        path.parent.mkdir(parents=True)

    def tell(table: pd.DataFrame) -> None:
        project.catalog.get("told_classes").save(table)

    tell(told.assign(fov="treatd_1"))
    with pytest.raises(InputError, match=r"treatd_1.*treated_1"):
        project.run("cell_classes")
    tell(told.assign(label=told["label"] + 500))
    with pytest.raises(InputError, match="made anew"):
        project.run("cell_classes")
    lost = told.iloc[:1].assign(label=999)
    tell(pd.concat([told, lost]))
    with caplog.at_level(logging.INFO):
        project.run("cell_classes")
    assert f"1 of {len(told) + 1} rows of told_classes fit no cell" in caplog.text
    folder = project.path / "data" / "06_models"
    listed = json.loads((folder / "trained_classifiers" / "trained_classifiers.json").read_text())[
        "CancerCell"
    ]
    model = folder / "trained_classifiers" / listed["file"]
    left_out = listed["card"]["left_out"]
    assert left_out["right"] > 0.9 > 0.7 > left_out["right, all called the commonest"]
    assert f"steps: [{{name: ClassifyCells, args: {{model: {model}, " in caplog.text
    scores = pd.read_parquet(folder / "class_scores.parquet")
    assert scores["n_true"].sum() == len(told) and {*scores["group"]} == {*told["fov"]}

    step = {"name": "ClassifyCells", "args": {"model": str(model), "populations": ["CancerCell"]}}
    project.block("tabulation", steps=[step])
    redone = project.resume("tabulation")
    assert redone and {each[1].split("/")[1] for each in redone if each[0] == "cells"} == {
        "CancerCell"
    }
    made = project.table("cells").query("population == 'CancerCell'")
    assert (made["is_large"].astype(bool) == large.to_numpy()).mean() > 0.95

    project.block("cell_classes", split="donr")
    with pytest.raises(ConfigError, match="donr"):
        project.run("cell_classes")
