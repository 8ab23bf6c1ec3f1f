"""What docs/own_algorithm.md writes works as it stands: class, YAML, and test."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml

from cyto_kedro import registry, schemas
from cyto_kedro.parameters import MODELS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "own_algorithm.md").read_text(encoding="utf-8")
MODULE = "cyto_kedro.algorithms.segmentation.bright"


def snippet(start: str, page: str = PAGE) -> str:
    found = re.search(rf"^```\w+[^\n]*\n({start}.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert found is not None, f"the page shows no {start}"
    return found[1]


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's module, as if it were a file of the stage."""
    module = ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)
    exec(snippet('"""Cells are'), vars(module))
    known = registry.algorithms
    mine = {"segmentation": {"Bright": module.Bright}}
    monkeypatch.setattr(registry, "algorithms", lambda stage: known(stage) | mine.get(stage, {}))
    return module


def test_its_example_and_its_test_pass(bright: ModuleType) -> None:
    assert doctest.testmod(bright).attempted == 3
    assert doctest.testmod(bright).failed == 0
    test: dict[str, object] = {}
    exec(snippet("import numpy as np\n\nfrom cyto"), test)
    run = [value for name, value in test.items() if name.startswith("test_")]
    assert len(run) == 1
    run[0]()  # type: ignore[operator]


def test_its_yaml_is_valid_and_a_wrong_argument_is_refused(bright: ModuleType) -> None:
    block = yaml.safe_load(snippet("segmentation:"))["segmentation"]
    MODELS["segmentation"].model_validate(block)
    block["TCell"]["args"] = {"levle": 40}
    with pytest.raises(ValueError, match="level"):
        MODELS["segmentation"].model_validate(block)


def test_it_finds_cells_in_the_sample_by_hand(
    bright: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    made: dict[str, np.ndarray] = {}
    exec(snippet("import tifffile"), made)
    assert (
        made["label"].shape == tifffile.imread("data/01_raw/sample/treated_1/TCell.ome.tif").shape
    )
    assert made["label"].dtype == np.uint32
    assert made["label"].max() > 5


def test_the_algorithms_by_hand_find_what_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "by_hand.md").read_text(encoding="utf-8")
    lines = snippet("import pandas", text)
    assert len(lines.split("film = ")[1].splitlines()) < 15
    monkeypatch.chdir(ROOT)
    made: dict[str, Any] = {}
    exec(lines, made)
    assert len(made["deaths"]) == 12
    pairs = made["bouts"].groupby(["population_a", "population_b"]).size()
    assert f"{pairs['TCell', 'CancerCell']} bouts of T cells with cancer cells" in text


def test_columns_that_the_first_page_reads_exist() -> None:
    text = (ROOT / "docs" / "first_run.md").read_text(encoding="utf-8")
    columns = re.findall(r'"(\w+)"', re.search(r"kills\[\[(.*?)\]\]", text)[1])  # type: ignore[index]
    assert len(columns) == 5
    assert set(columns) <= set(schemas.dtypes(schemas.TABLES["kills"]))
