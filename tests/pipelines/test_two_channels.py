"""Populations that are segmented from two channels, each seen apart by the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cyto_kedro.algorithms.segmentation.seeded import SeededGrowth
from cyto_kedro.errors import ConfigError
from cyto_kedro.parameters import check_together
from tiny_project import BLOCKS, Project

GROW = {
    "name": "SeededGrowth",
    "args": {"nucleus": "Dead", "engine": "Otsu", "engine_args": {"diameter_px": 12}},
}


def populations(project: Project, **target: Any) -> dict[str, Any]:
    found: dict[str, Any] = project.read("parameters")["assay"]["populations"]
    found["CancerCell"] |= {"channels": ["CancerCell", "Dead"], **target}
    return found


def test_both_channels_reach_the_engine_and_tiles_too(project: Project) -> None:
    stages = ("ingestion", "preprocessing", "segmentation")
    project.assay(populations=populations(project, combine="separate"))
    project.block("segmentation", CancerCell=GROW)
    project.run(*stages)
    identity = f"treated_1/CancerCell/{BLOCKS[0]}"
    image = np.asarray(project.catalog.load("segmentation_images")[identity]())
    assert image.shape == (7, 2, 96, 96)
    raw = np.asarray(project.catalog.load("raw_images")[f"treated_1/Dead/{BLOCKS[0]}"]())
    assert np.corrcoef(image[:, 1].ravel(), raw.ravel())[0, 1] > 0.9
    label = project.catalog.load("engine_labels")[identity]()
    data = {"image": {"CancerCell": image[:, 0], "Dead": image[:, 1]}}
    np.testing.assert_array_equal(label, SeededGrowth(**GROW["args"])(data)["label"])  # type: ignore[arg-type]
    assert label.any()
    project.assay(tiles={"side_px": 64, "overlap_px": 24})
    project.run(*stages)
    assert project.catalog.load("labels")[identity]().shape == (7, 96, 96)


@pytest.mark.parametrize(
    ("target", "engine", "message"),
    [
        ({}, GROW, r"assay\.populations\.CancerCell\.combine: separate"),
        ({"combine": "separate"}, {"name": "Otsu"}, "takes one image"),
        ({"combine": "separate", "channels": ["CancerCell", "TCell"]}, GROW, "'Dead'"),
        (
            {"combine": "separate", "channels": ["CancerCell", "TCell", "Dead"]},
            GROW,
            "two channels",
        ),
    ],
)
def test_channels_that_do_not_fit_the_engine_are_refused(
    finished: Project, target: dict[str, Any], engine: dict[str, Any], message: str
) -> None:
    assay = finished.read("parameters")["assay"]
    segmentation = finished.read("parameters_segmentation")["segmentation"]
    with pytest.raises(ConfigError, match=message):
        check_together(
            {
                "assay": assay | {"populations": populations(finished, **target)},
                "segmentation": segmentation | {"CancerCell": engine},
            }
        )
