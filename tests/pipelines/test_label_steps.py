"""Steps on labels, by name in YAML: after tiles are joined, before subtraction."""

from __future__ import annotations

from typing import Any

import numpy as np

from cyto_kedro.blocks import Tile, Tiling
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import Segmentation, Subtraction
from cyto_kedro.pipelines.segmentation.nodes import subtract
from tiny_project import BLOCKS, Project

BLOCK = "t0000-0000"


def field() -> np.ndarray:
    """A cell of 16 x 10 px over the seam, one at the field's edge, and a speck of 4 px."""
    label = np.zeros((1, 60, 100), np.uint32)
    label[0, 20:30, 42:58] = 1
    label[0, 0:8, 10:20] = 2
    label[0, 50:52, 80:82] = 3
    return label


def made(
    steps: list[dict[str, Any]], tiling: Tiling | None, subtracted: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """What the node makes of `field`, seen whole or by tiles that each see their pixels alone."""
    manifest = Manifest.model_validate(
        {
            "fovs": {"a": {"n_frames": 1, "height_px": 60, "width_px": 100}},
            **{"channels": ("c",), "populations": ("p", "q"), "block_length": 1},
            **{"roles": {}, "sources": {}, "markers": {}, "tiling": tiling},
            "subtract": {"p": (), "q": subtracted},
        }
    )
    parts = {}
    for group in manifest.groups(("fov", "population", "tile")):
        rows, columns = manifest.window("a", Tile.parse(group["tile"]))
        parts[group["population"], group["tile"]] = field()[:, rows, columns]
    block = {"p": {"name": "Otsu", "steps": steps}, "q": {"name": "Otsu"}}
    return subtract(
        {"fov": "a", "block": BLOCK},
        parts,
        manifest,
        Segmentation.model_validate(block),
        Subtraction(name="SubtractPopulation"),
    )


def test_sizes_and_borders_are_those_of_the_field() -> None:
    # the seam is at x = 50: neither side of the cell has 90 of its 160 pixels
    step = {"name": "CleanUp", "args": {"min_area_px": 90, "clear_border": True}}
    for tiling in (None, Tiling(side_px=60, overlap_px=20)):
        found = made([step], tiling)
        np.testing.assert_array_equal(found["p"], np.where(field() == 1, 1, 0))
        assert found["q"].max() == 3


def test_steps_come_in_order_and_before_subtraction() -> None:
    small = {"name": "CleanUp", "args": {"max_area_px": 80}}
    large = {"name": "CleanUp", "args": {"min_area_px": 5}}
    found = made([small, large], None, ("p",))
    np.testing.assert_array_equal(found["p"] > 0, field() == 2)
    # q loses what p still is, and keeps what the steps took out of p
    np.testing.assert_array_equal(found["q"] > 0, np.isin(field(), (1, 3)))


def test_changed_steps_run_no_engine_again(project: Project) -> None:
    stages = ("ingestion", "preprocessing", "segmentation")
    project.run(*stages)
    before = project.catalog.load("labels")[f"treated_1/TCell/{BLOCKS[0]}"]()
    spec = project.read("parameters_segmentation")["segmentation"]["TCell"]
    steps = [{"name": "CleanUp", "args": {"clear_border": True}}]
    project.block("segmentation", TCell=spec | {"steps": steps})
    saved = {name for name, _ in project.resume(*stages)}
    assert "labels" in saved
    assert "engine_labels" not in saved
    after = project.catalog.load("labels")[f"treated_1/TCell/{BLOCKS[0]}"]()
    assert before[:, 0].any() or before[:, :, 0].any()
    assert not (after[:, [0, -1]].any() or after[:, :, [0, -1]].any())
    assert "labels" not in {name for name, _ in project.resume(*stages)}
