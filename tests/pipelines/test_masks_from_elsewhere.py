"""An analysis that goes on from masks which another program made."""

from __future__ import annotations

import numpy as np
import pandas as pd
import tifffile

from tiny_project import FOVS, POPULATIONS, Project, whole_table


def test_an_analysis_goes_on_from_masks_made_elsewhere(project: Project) -> None:
    catalog = project.catalog
    labels, plan = catalog.load("labels"), catalog.load("manifest")
    cells = whole_table(catalog, "cells")
    for fov in FOVS:
        for population in POPULATIONS:
            film = np.concatenate([labels[f"{fov}/{population}/{b}"]() for b in plan.blocks(fov)])
            path = project.path / "masks" / f"{fov}_{population}.tif"
            path.parent.mkdir(exist_ok=True)
            tifffile.imwrite(path, film.astype(np.uint16), photometric="minisblack")
    entries = project.read("catalog_images")
    entries["labels"] = {
        "type": "cyto_kedro.datasets.LabelFilms",
        "path": str(project.path / "masks"),
        "pattern": "{fov}_{population}.tif",
        "metadata": {"kedro-viz": {"layer": "primary"}},
    }
    project.write("catalog_images", entries)
    saved = project.resume("tabulation", "tracking")
    assert {name for name, _ in saved} >= {"cells", "touches"}  # the masks are other files now
    pd.testing.assert_frame_equal(whole_table(project.catalog, "cells"), cells)
    assert project.resume("tabulation", "tracking") == []
