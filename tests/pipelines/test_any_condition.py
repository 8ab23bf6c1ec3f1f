"""Conditions may have any name: the whole assay runs to its report, with each name as it was typed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tiny_project import Project

NAMES = ("=$\\frac{<b>event</b> & 1_", "_stop;ever_touched,'01\"")


@pytest.mark.slow
def test_a_whole_assay_with_awkward_names(project: Project) -> None:
    path = Path(project.read("globals")["raw"]) / "sample_sheet.csv"
    raw = project.path / "films"
    shutil.copytree(path.parent, raw)
    sheet = pd.read_csv(path, dtype=str).assign(condition=NAMES, replicate=["NA", "null"])
    sheet.to_csv(raw / "sample_sheet.csv", index=False)
    project.write("globals", {**project.read("globals"), "raw": str(raw)})
    saved = project.resume()
    assert ("report", "") in saved
    hazards = project.catalog.load("hazards")
    by_condition = project.catalog.load("summary_by_condition")
    assert sorted(by_condition["condition"]) == sorted(NAMES)
    assert set(hazards["condition"]) <= {*NAMES, "(all)"}
    html = project.catalog.load("report")
    assert "<b>event</b>" not in html and "&lt;b&gt;event&lt;/b&gt; &amp; 1_" in html
    written = (project.path / "data/08_reporting/summary_by_condition.csv").read_text("utf-8")
    assert "'=$" in written
