"""A field cut into tiles, through the pipeline: the results are those of the field in one piece."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.labels import Labelled
from cyto_kedro.core.contract import Image
from cyto_kedro.datasets import ImageDataset, tiff
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import SegmentationSpec
from cyto_kedro.pipelines.segmentation.nodes import segment
from cyto_kedro.registry import algorithms
from tiny_project import BLOCKS, FOVS, POPULATIONS, Project, whole_table

SEEN: list[tuple[int, ...]] = []


class Level(Algorithm):
    """What is brighter than a level, connected; notes what it was given."""

    def run(self, image: Image) -> Labelled:
        from skimage.measure import label

        SEEN.append(image.shape)
        frames = np.asarray(image)
        found = [label(frame > 0.3, connectivity=1) for frame in frames]
        return {"label": np.stack(found).astype(np.uint32)}


def labels(project: Project) -> dict[str, np.ndarray]:
    parts, manifest = project.catalog.load("labels"), project.catalog.load("manifest")
    return {each: parts[each]() for each in manifest.ids(parts.grain)}


@pytest.fixture
def level(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setitem(algorithms("segmentation"), "Level", Level)
    SEEN.clear()
    return {population: {"name": "Level", "args": {}} for population in POPULATIONS}


def test_stitched_equals_untiled(project: Project, level: dict[str, Any]) -> None:
    project.block("segmentation", **level)
    stages = ("ingestion", "preprocessing", "segmentation", "tabulation")
    project.run(*stages)
    whole, cells = labels(project), whole_table(project.catalog, "cells")
    assert set(SEEN) == {(7, 96, 96), (2, 96, 96)}
    SEEN.clear()
    project.assay(tiles={"side_px": 64, "overlap_px": 30})
    saved = project.resume(*stages)
    # measuring, and correcting images, does not depend on the cut
    assert {name for name, _ in saved} >= {"manifest", "engine_labels", "labels"}
    assert not {"measurement_images", "segmentation_images"} & {name for name, _ in saved}
    assert set(SEEN) == {(n, 63, 63) for n in (7, 2)}
    assert len(SEEN) == len(FOVS) * len(POPULATIONS) * len(BLOCKS) * 4
    assert ("engine_labels", f"treated_1/TCell/{BLOCKS[0]}.y0000-x0033") in saved
    tiled = labels(project)
    assert any(stack.any() for stack in whole.values())
    for name, stack in whole.items():
        assert tiled[name].shape == stack.shape
        for ours, theirs in zip(tiled[name], stack, strict=True):
            pairs = np.unique(np.stack((ours.ravel(), theirs.ravel())), axis=1)
            assert pairs.shape[1] == len(np.unique(theirs)) == len(np.unique(ours))
    key = ["fov", "population", "frame", "y_px", "x_px"]
    tiled_cells = whole_table(project.catalog, "cells")
    pd.testing.assert_frame_equal(
        *(
            each.drop(columns="label").round(6).sort_values(key, ignore_index=True)
            for each in (tiled_cells, cells)
        )
    )
    assert {name for name, _ in project.resume(*stages)} == {"manifest", "fields", "frames"}
    project.assay(tiles=None)
    with pytest.raises(Exception, match=r"assay\.tiles"):
        project.run("segmentation")


def test_memory_of_a_job_follows_the_tile(
    tmp_path: Path, level: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff, "BAND_BYTES", 2**20)
    image = ImageDataset(filepath=str(tmp_path / "a.ome.tif"))
    image.save(np.random.default_rng(0).random((1, 2048, 2048), np.float32))
    plan: dict[str, Any] = {
        "fovs": {"a": {"n_frames": 1, "height_px": 2048, "width_px": 2048}},
        **{"channels": ("c",), "populations": ("p",), "block_length": 1},
        **{"roles": {}, "sources": {"p": ("c",)}, "subtract": {}, "markers": {}},
    }

    def peak(tiling: dict[str, int] | None, tile: str) -> int:
        manifest = Manifest.model_validate(plan | {"tiling": tiling})
        spec: Any = SegmentationSpec(name="Level")
        tracemalloc.start()
        label = segment({"fov": "a", "population": "p", "tile": tile}, image.load(), manifest, spec)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert label.any()
        return most

    whole = peak(None, "t0000-0000")
    tile = peak({"side_px": 512, "overlap_px": 64}, "t0000-0000.y0000-x0000")
    assert tile < whole / 6


def test_an_overlap_that_cannot_be_is_refused_when_planned(fresh: Project) -> None:
    fresh.assay(tiles={"side_px": 64, "overlap_um": 40})
    with pytest.raises(Exception, match=r"field 'control_1'.*more than half of side_px=64"):
        fresh.run("ingestion")
