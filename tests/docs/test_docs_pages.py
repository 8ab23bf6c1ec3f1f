"""The pages for users say what the code does: generated ones are fresh, examples work."""

from __future__ import annotations

import re
import sys
from functools import cache
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import AbstractDataset

from cyto_kedro import registry, schemas
from cyto_kedro.blocks import Tiling
from cyto_kedro.cli import cyto
from cyto_kedro.datasets.patterns import Pattern
from cyto_kedro.parameters import MODELS, Population, Raw
from cyto_kedro.pipelines.ingestion.sheet import KNOWN, excluded_frames, read_sheet
from cyto_kedro.schemas import words

DOCS = Path(__file__).resolve().parents[2] / "docs"
sys.path.insert(0, str(DOCS))
import make_api  # noqa: E402
import make_parameters  # noqa: E402
import make_tables  # noqa: E402

GENERATED = {
    "parameters": make_parameters.main,
    "tables": make_tables.main,
    "api/algorithms": make_api.algorithms_page,
    "api/blocks": make_api.blocks_page,
}
PAGES = (*sorted(each.stem for each in DOCS.glob("*.md")), *GENERATED)


@cache
def page(name: str) -> str:
    if name in GENERATED:
        return GENERATED[name]()
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def fences(name: str, language: str) -> list[str]:
    """The examples of one language on a page, without their indent."""
    found = re.findall(rf"^( *)```{language}\n(.*?)```", page(name), re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def rows(name: str, first: str) -> list[list[str]]:
    """The rows of the table on a page whose first heading is `first`."""
    block = page(name).split(f"| {first} |", 1)[1].split("\n\n", 1)[0]
    return [line.strip("|").split(" | ") for line in block.splitlines()[2:]]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The engine that engines.md writes, known to the registry as if it were installed."""
    module = ModuleType("bright_cells")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where its annotations are looked up
    exec(fences("engines", "python")[0], vars(module))
    known = registry.algorithms
    mine = {"segmentation": {"Bright": module.Bright}}
    monkeypatch.setattr(registry, "algorithms", lambda stage: known(stage) | mine.get(stage, {}))
    return module.Bright


def test_every_algorithm_and_every_column_is_on_a_page() -> None:
    for stage in registry.STAGES:
        for name, cls in make_parameters.own(stage).items():
            assert f"### {name}\n" in page("parameters")
            assert f"::: {cls.__module__}.{name}\n" in page("api/algorithms")
    for table in schemas.TABLES.values():
        assert all(f"| `{column}` |" in page("tables") for column in schemas.dtypes(table))


def test_every_meaning_is_of_a_column() -> None:
    columns = {
        each
        for name, table in schemas.TABLES.items()
        for column in schemas.dtypes(table)
        for each in (column, f"{name}.{column}")
    }
    assert set(words.MEANING) <= columns
    assert set(make_tables.EXTRA) <= set(schemas.TABLES)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("your_data", 5),
        ("engines", 4),
        ("tiles", 1),
        ("trained_networks", 1),
        ("features", 1),
        ("preprocessing", 3),
        ("comparison", 2),
        ("networks", 1),
    ],
)
def test_yaml_examples_are_valid(name: str, least: int, bright: Any) -> None:
    checked = 0
    for text in fences(name, "yaml"):
        for key, value in (yaml.safe_load(text) or {}).items():
            if key == "assay" and "raw" not in value:  # an excerpt
                assert value.keys() <= {"populations", "tiles"}
                Tiling.model_validate(value.get("tiles", {"side_px": 64}))
                each = value.get("populations", {}).values()
                assert all(Population.model_validate(one) for one in each)
            elif key in MODELS:
                MODELS[key].model_validate(value)
            elif key == "populations":
                assert all(Population.model_validate(each) for each in value.values())
            elif key == "raw" and isinstance(value, dict):
                Raw.model_validate(value)
            elif isinstance(value, dict) and "type" in value:  # an entry of the catalog
                AbstractDataset.from_config(key, value)
            else:
                assert key in ("raw", "data", "simulated"), f"{key} is no block of parameters"
                continue
            checked += 1
    assert checked >= least


def test_column_examples_are_valid_beside_the_keys_that_stay() -> None:
    checked = set()
    for text in fences("columns", "yaml"):
        for name, keys in yaml.safe_load(text).items():
            base = (DOCS.parent / "conf" / "base" / f"parameters_{name}.yml").read_text("utf-8")
            MODELS[name].model_validate(yaml.safe_load(base)[name] | keys)
            checked |= set(keys)
    assert checked == {"steps", "density", "columns", "viability"}


def test_tracking_example_is_valid() -> None:
    block = yaml.safe_load(fences("tracking", "yaml")[0])["tracking"]
    found = MODELS["tracking"].model_validate(block)
    assert [len(spec.steps) for spec in found.root.values()] == [3, 0]  # type: ignore[attr-defined]


# of the page's paths: field, channel, frame, seconds
MICROSCOPES = {
    "VID1_A1_1_00d00h10m.tif": ("VID1_A1_1", None, None, 600.0),
    "exp_w1TCell_s1_t1.TIF": ("1", "1TCell", 1, None),
    "TimePoint_1/exp_A01_s1_w1<guid>.tif": ("A01_1", "1", 1, None),
}


def test_path_patterns_match_their_examples() -> None:
    for files, pattern in rows("your_data", "your files"):
        path, text = code(files)[0], code(pattern)[0].strip('"')
        found = Pattern(text, channels=("TCell", "Dead", "1", "1TCell")).match(path)
        assert found is not None, f"{text} does not match {path}"
        if path in MICROSCOPES:
            assert (found.fov, found.channel, found.frame, found.time_s) == MICROSCOPES[path]
            continue
        assert found.fov == ("A1" if "{fov}" in text else "fov1")
        assert found.channel == ("TCell" if "{channel}" in text else None)
        assert found.frame == (0 if "{frame}" in text else None)


def test_sample_sheet_is_as_described() -> None:
    sheet = read_sheet(pd.read_csv(StringIO(fences("your_data", "csv")[0]), dtype=str))
    assert sheet["control"].tolist() == [False, True]
    assert sheet["time_offset_min"].tolist() == [10, 0]
    excluded = excluded_frames("A1", sheet.loc[0, "exclude_frames"], 12)
    assert np.flatnonzero(excluded).tolist() == [3, 7, 8, 9]
    assert {each for row in rows("your_data", "column") for each in code(row[0])} == set(KNOWN)


def test_own_engine_works(bright: Any) -> None:
    image = np.zeros((2, 8, 8))
    image[0, 1:3, 1:3], image[0, 5:7, 5:7] = 50, 40
    found = registry.build("segmentation", "Bright", {"level": 0.5})({"image": image})["label"]
    assert found.dtype == np.uint32
    assert [int(frame.max()) for frame in found] == [2, 0]
    assert (found[0] > 0).sum() == 8


@pytest.mark.parametrize("name", PAGES)
def test_commands_and_links_exist(name: str) -> None:
    text = page(name)
    assert set(re.findall(r"kedro cyto\s+([a-z][a-z-]*)", text)) <= set(cyto.commands)
    for target, anchor in re.findall(r"\]\(([\w./]*)#?([\w-]*)\)", text):
        linked = (
            ((DOCS / f"{name}.md").parent / target).resolve() if target else DOCS / f"{name}.md"
        )
        inside = linked.with_suffix("").relative_to(DOCS).as_posix()
        assert linked.is_file() or inside in GENERATED, f"{name}.md links to {target}: not there"
        if linked.suffix != ".md":
            continue
        headings = re.findall(r"^#+ (.*)$", page(inside), re.MULTILINE)
        slugs = {
            re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings
        }
        assert not anchor or anchor in slugs, f"{name}.md: no heading #{anchor} in {linked.name}"
