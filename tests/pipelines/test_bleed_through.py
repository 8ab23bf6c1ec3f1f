"""A control without effectors, whose channel shows noise or the targets, through the pipelines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from tiny_project import Project

STAGES = ("ingestion", "preprocessing", "segmentation", "tabulation", "tracking")


def control_shows(project: Project, leak: float) -> None:
    """The effectors' film of the control: noise like the targets', with `leak` of the targets' light."""
    folder = Path(project.read("globals")["raw"]) / "control_1"
    path = folder / "TCell.ome.tif"
    film, targets = tifffile.imread(path), tifffile.imread(folder / "CancerCell.ome.tif")
    with tifffile.TiffFile(path) as file:
        description = file.ome_metadata
    dark, middle = np.percentile(targets, (2, 20))
    noise = np.random.default_rng(1).normal(np.percentile(film, 5), middle - dark, film.shape)
    light = noise + leak * (targets - float(targets.min()))
    assert description is not None
    tifffile.imwrite(
        path, light.astype(film.dtype), description=description.encode(), metadata=None
    )


@pytest.mark.slow
@pytest.mark.parametrize(("leak", "flagged"), [(0.0, False), (0.4, True)])
def test_effectors_of_a_control_without_any(fresh: Project, leak: float, flagged: bool) -> None:
    """Noise is nothing to find; masks on the targets' light are bleed-through, and said."""
    control_shows(fresh, leak)
    fresh.run(*STAGES)
    quality = fresh.table("mask_quality").set_index(["fov", "population"])
    mine = quality.loc[("control_1", "TCell")]
    assert mine["flagged"].all() == flagged == mine["flagged"].any()
    assert (mine["n_cells"] > 0).any() == flagged
    assert not quality.loc[("control_1", "CancerCell"), "flagged"].any()
    if not flagged:
        return
    assert mine["reason"].str.contains("bleed-through").all()
    assert (mine["doubled_share"] > 0.5).all()
    sheet = Path(fresh.read("globals")["raw"]) / "sample_sheet.csv"
    pd.read_csv(sheet).assign(et_ratio=[0, 1]).to_csv(sheet, index=False)
    fresh.run("ingestion", "tracking")
    mine = fresh.table("mask_quality").query("fov == 'control_1' and population == 'TCell'")
    assert mine["flagged"].all() and mine["reason"].str.contains("sample sheet").all()
