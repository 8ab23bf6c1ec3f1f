"""A control that was filmed without the effectors' dye is analysed for what it has, and that is said."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cyto_kedro.errors import InputError
from tiny_project import Project


def raw_of(project: Project) -> Path:
    return Path(project.read("globals")["raw"])


@pytest.mark.slow
def test_a_control_without_the_effectors_dye(fresh: Project) -> None:
    """Its targets are those of a film in which the dye shows nothing; corrections leave it out."""
    (raw_of(fresh) / "control_1" / "TCell.ome.tif").unlink()
    fresh.block("preprocessing", measurement=[{"name": "FlatField"}, {"name": "BleachCorrection"}])
    fresh.run()
    cells = fresh.table("cells")
    control = cells[cells["fov"] == "control_1"]
    assert set(control["population"]) == {"CancerCell"} and len(control) > 9
    assert control["TCell_mean"].isna().all() and control["Dead_mean"].notna().all()
    assert cells.loc[cells["fov"] == "treated_1", "TCell_mean"].notna().all()
    catalog = fresh.catalog
    (remark,) = catalog.load("fields").query("fov == 'control_1'")["remarks"]
    assert "without the channel TCell" in remark
    assert catalog.load("warnings")["what"].str.contains("without the channel TCell").any()
    quality = fresh.table("quality")
    assert set(quality.query("fov == 'control_1'")["channel"]) == {"CancerCell", "Dead"}
    summary = catalog.load("summary_by_fov").set_index("fov")
    assert summary["effectors"]["control_1"] == 0 and summary["targets"]["control_1"] > 0


@pytest.mark.parametrize(("fov", "channel"), [("treated_1", "TCell"), ("control_1", "Dead")])
def test_who_cannot_do_without_it_is_refused(fresh: Project, fov: str, channel: str) -> None:
    """A field with effectors, and a marker."""
    (raw_of(fresh) / fov / f"{channel}.ome.tif").unlink()
    with pytest.raises(InputError, match=rf"{fov}: channel {channel} is missing.*control = yes"):
        fresh.run("ingestion")


def test_a_channel_that_no_field_has_is_refused(fresh: Project) -> None:
    for fov in ("treated_1", "control_1"):
        (raw_of(fresh) / fov / "TCell.ome.tif").unlink()
    sheet = raw_of(fresh) / "sample_sheet.csv"
    pd.read_csv(sheet).assign(control="yes").to_csv(sheet, index=False)
    with pytest.raises(InputError, match="no field has the channel 'TCell'"):
        fresh.run("ingestion")
