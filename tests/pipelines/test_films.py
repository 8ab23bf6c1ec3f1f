"""Films and clips are made by name, and are in the report while they fit the other results."""

from __future__ import annotations

import logging
import re

import pytest

from tiny_project import FOVS, Project


@pytest.mark.slow
def test_the_report_shows_clips_while_they_fit(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    folder = project.path / "data" / "08_reporting"
    clips = {fov: project.catalog.load("clips")[fov]() for fov in FOVS}
    kills = [clip for clip in clips["treated_1"] if clip.event == "kill"]
    shares = project.table("kills").query("fov == 'treated_1'")
    pairs = {(row.target_track_id, row.effector_track_id) for row in shares.itertuples()}
    assert kills and {(clip.track_id, clip.by_track_id) for clip in kills} <= pairs
    assert not [clip for clip in clips["control_1"] if clip.event == "kill"]
    assert all((folder / "films" / f"{fov}.png").is_file() for fov in FOVS)
    page = (folder / "report.html").read_text(encoding="utf-8")
    for clip in kills:  # a row of the table, a dot of the raster, and the clip itself
        assert f'<a href="#{clip.name}">kill</a>' in page and f'id="{clip.name}"' in page
    first = {clip.name for clip in kills if "." not in clip.name}
    assert {*re.findall(r'xlink:href="#(clip-[^"]*)"', page)} >= first
    assert page.count("<script") == 1  # that of the tables: clips play without one
    assert project.resume("films") == []

    project.block("films", clips={"name": "EventClips", "args": {"most": 1}})
    with caplog.at_level(logging.INFO):
        project.run("reporting")
    assert f"Report: {folder / 'report.html'}" in caplog.text
    assert "clips is left out of what write_report makes" in caplog.text
    assert "kedro run --pipelines films,reporting" in caplog.text
    assert 'id="clips"' not in (folder / "report.html").read_text(encoding="utf-8")
