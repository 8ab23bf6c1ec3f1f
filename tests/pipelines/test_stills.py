"""Stills: one frame a field runs to the report, without rates and times that stills cannot have."""

from __future__ import annotations

import pytest

from tiny_project import Project


@pytest.mark.slow
def test_stills_run_to_the_report(fresh: Project) -> None:
    raw = fresh.read("parameters")["assay"]["raw"]
    fresh.assay(raw={**raw, "view": {"last_frame": 0}})
    fresh.run()
    catalog = fresh.catalog
    assert catalog.load("fields")["n_frames"].tolist() == [1, 1]
    summary = catalog.load("summary_by_fov")
    # nobody can be seen to die in a still
    assert (summary["targets"] > 0).all() and summary["deaths"].isna().all()
    for rate in ("effector_hours", "kills_per_effector_per_hour", "speed_TCell", "contact_median"):
        assert summary[rate].isna().all()
    assert len(fresh.table("cells")) and fresh.table("steps")["speed_um_per_min"].isna().all()
    measures = set(catalog.load("replicate_summaries")["measure"])
    assert "kills_per_effector_per_hour" not in measures
    assert catalog.load("warnings")["what"].str.contains("a still, one frame").sum() == 2
