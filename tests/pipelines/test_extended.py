"""Further analyses run when asked for, and are in the report while they fit the other results."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from tiny_project import Project

FURTHER = ("Mean squared displacement", "Further analyses")


def report(project: Project) -> str:
    return (project.path / "data" / "08_reporting" / "report.html").read_text(encoding="utf-8")


def test_default_makes_what_report_results_and_comparison_read() -> None:
    from kedro.framework.project import configure_project

    from cyto_kedro.pipeline_registry import register_pipelines

    configure_project("cyto_kedro")
    pipelines = register_pipelines()
    default, extended = pipelines["__default__"], pipelines["extended"]
    assert len(default.nodes) <= 35
    assert not {each.name for each in default.nodes} & {each.name for each in extended.nodes}
    wanted = ["report", "results", "results_csv", *pipelines["comparison"].outputs()]
    needed = {each.name for each in default.to_outputs(*wanted).nodes}
    assert {each.name for each in default.nodes} == needed


@pytest.mark.slow
def test_report_shows_what_is_there_and_current(
    project: Project, fresh: Project, caplog: pytest.LogCaptureFixture
) -> None:
    assert all(title in report(project) for title in FURTHER)
    contacts = project.read("parameters_contacts")["contacts"]
    project.block("contacts", msd={**contacts["msd"], "args": {"max_lag_frames": 3}})
    with caplog.at_level(logging.WARNING):
        project.run("reporting")
    assert "msd_figure is left out of what write_report makes" in caplog.text
    assert "kedro run --pipelines extended,reporting" in caplog.text
    assert not any(title in report(project) for title in FURTHER)

    fresh.run()
    assert not any(title in report(fresh) for title in FURTHER)
    assert not (fresh.path / "data" / "07_model_output" / "msd").exists()


@pytest.mark.slow
def test_an_event_of_ones_own_goes_from_yaml_to_the_report(project: Project) -> None:
    name, speed = "fast or slow", 1.0
    args = {"columns": ["speed_um_per_min"], "define": {name: f"speed_um_per_min < {speed}"}}
    project.block("comparison", events={"name": "FollowEvents", "args": {**args, "min_frames": 2}})
    project.run("extended", nodes=["follow_events", "average_events"])
    project.run("reporting", nodes=["write_report"])

    # the first of two points of a track in a row that are slow, counted off the steps
    steps, times = project.table("steps"), project.table("event_times")
    key = ["fov", "population", "track_id"]
    times = times[times["event"] == name].set_index(key)
    gone = project.table("fates").set_index(key)["death_frame"].astype(float)
    n_found = 0
    for cell, one in project.table("track_points").sort_values("frame").groupby(key):
        mine = steps.set_index(key).loc[[cell]].set_index("frame")["speed_um_per_min"]
        slow = (mine.reindex(one["frame"]) < speed).to_numpy()
        frames = one["frame"].to_numpy()
        both = [frames[i] for i in range(len(slow) - 1) if slow[i] and slow[i + 1]]
        row = times.loc[cell]
        if both and not row["at_first_sight"] and not gone.get(cell, np.inf) < both[0]:
            assert row["happened"] and row["frame"] == both[0], cell
            n_found += 1
        elif not both:
            assert not row["happened"], cell
    assert n_found > 10

    curves = project.catalog.load("event_curves").query("event == @name")
    whole = curves[curves["replicate"] == "(all)"]
    assert whole["events"].sum() == times["happened"].sum()
    signals = project.catalog.load("event_signals").query("event == @name")
    assert set(signals["column"]) == {"speed_um_per_min"}
    page = report(project)
    assert "Signals around events" in page and "When events come" in page
    figure = project.catalog.load("events_figure")
    assert figure.svg in page and figure.svg.count("<title>control") > 0


@pytest.mark.slow
def test_behaviours_go_from_yaml_to_the_report(project: Project) -> None:
    project.block("contacts", windows={"name": "TrackWindows", "args": {"duration_min": 8}})
    project.run("extended", nodes=["cut_windows", "class_behaviours"])
    project.run("reporting", nodes=["write_report"])
    windows, tracks = project.table("track_windows"), project.table("tracks")
    key = ["fov", "population", "track_id"]
    assert len(windows[key].drop_duplicates()) == len(tracks)
    # speeds of whole windows, read off the steps
    steps, n_found = project.table("steps"), 0
    measured = windows[windows["window"] > 0]
    columns = [*key, "start_frame", "end_frame", "speed_um_per_min"]
    for *cell, start, end, speed in measured[columns].itertuples(index=False):
        mine = steps.set_index(key).loc[[tuple(cell)]]
        mine = mine[(mine["frame"] > start) & (mine["frame"] <= end)]
        path, time = mine[["displacement_from_previous_um", "dt_from_previous_min"]].sum()
        assert speed == pytest.approx(path / time), cell
        n_found += 1
    assert n_found > 10
    made = project.catalog.load("behaviours")
    known = made.dropna(subset="behaviour")
    assert len(known) == n_found and set(known["population"]) == {"TCell", "CancerCell"}
    shares = project.catalog.load("behaviour_shares")
    total = shares.groupby(["population", "condition"])["value"].sum()
    assert total.to_numpy() == pytest.approx(np.ones(len(total)))
    assert "Kinds of behaviour" in report(project)
    # what the assay was made for is another table's
    project.block("comparison", primary=["mean_speed"])
    project.run("extended", nodes=["class_behaviours"])
    tests = project.catalog.load("behaviour_comparisons")
    assert set(tests["outcome"]) <= {"exploratory", "control"}
