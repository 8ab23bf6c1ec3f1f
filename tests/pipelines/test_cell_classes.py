"""From a table that a person filled to chances beside every cell."""

from __future__ import annotations

import json
import logging

import pandas as pd
import pytest

from cyto_kedro.errors import ConfigError, InputError
from tiny_project import Project


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

    # numbers of a redone segmentation name other cells: where these lie tells
    placed = told.assign(y_px=cells["y_px"], x_px=cells["x_px"])
    frame = placed.groupby(["fov", "frame"])["label"]
    renumbered = placed.assign(label=frame.transform("max") + 1 - placed["label"])
    tell(renumbered)
    with pytest.raises(InputError, match=r"rows of CancerCell fit no cell.*made anew"):
        project.run("cell_classes")
    few = pd.concat([placed.iloc[1:], placed.iloc[:1].assign(y_px=placed["y_px"].iloc[0] + 99)])
    tell(few)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        project.run("cell_classes")
    assert f"1 of {len(few)} rows of told_classes fit no cell" in caplog.text
    assert (
        f"learnt from {len(few) - 1} cells" in caplog.text
        and "cannot be checked" not in caplog.text
    )

    project.block("cell_classes", split="donr")
    with pytest.raises(ConfigError, match="donr"):
        project.run("cell_classes")
