"""Steps that follow an engine: segmentation.<population>.steps."""

from __future__ import annotations

import numpy as np

from cyto_kedro.algorithms.segmentation.cleanup import CleanUp
from tiny_project import Project


def test_steps_follow_the_engine_and_make_its_labels_stale(project: Project) -> None:
    stages = ("ingestion", "preprocessing", "segmentation")
    engine = {"name": "Otsu", "args": {}}

    def labels() -> dict[str, np.ndarray]:
        parts, manifest = project.catalog.load("labels"), project.catalog.load("manifest")
        return {each: parts[each]() for each in manifest.ids(parts.grain)}

    project.block("segmentation", TCell=engine, CancerCell=engine)
    project.run(*stages)
    plain = labels()
    areas = np.concatenate([np.bincount(each[0].ravel())[1:] for each in plain.values()])
    least = int(np.median(areas)) + 1
    step = {"name": "CleanUp", "args": {"min_area_px": least}}
    project.block("segmentation", TCell={**engine, "steps": [step]}, CancerCell=engine)
    project.resume(*stages)
    changed = 0
    for key, found in labels().items():
        expected = plain[key]
        if "TCell" in key:
            expected = CleanUp(min_area_px=least)({"label": expected})["label"]
            changed += not np.array_equal(expected, plain[key])
        np.testing.assert_array_equal(found, expected)
    assert changed
