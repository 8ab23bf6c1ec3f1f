"""Edits go through the door of corrections; what depends on them is redone, and no more."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cyto_kedro import schemas
from cyto_kedro.cli import cli
from cyto_kedro.errors import InputError
from cyto_kedro.viewing import mask_edits, saving, track_edits
from cyto_kedro.viewing.films import open_field
from cyto_kedro.viewing.layers import layers_of
from tiny_project import Project

FOV, CELLS = "treated_1", "CancerCell"


def of_field(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["fov"] == FOV) & (table["population"] == CELLS)]


def test_a_field_opens_unread(finished: Project) -> None:
    catalog = finished.catalog
    seen = open_field(catalog, FOV)
    names = [each.name for each in layers_of(seen)]
    assert names[:5] == ["TCell", "CancerCell", "Dead", "TCell masks", "CancerCell masks"]
    assert {"contacts", "deaths", "kills"} <= set(names)
    labels = catalog.load("labels").to_dask(fov=FOV, population=CELLS).compute()
    np.testing.assert_array_equal(np.asarray(seen.masks[CELLS]), labels)
    with pytest.raises(InputError, match="treated_1"):
        open_field(catalog, "treated1")


@pytest.mark.slow
def test_from_a_merged_mask_and_a_set_death_to_new_tables(project: Project) -> None:
    catalog = project.catalog
    seen = open_field(catalog, FOV)
    masks = seen.masks[CELLS]
    one, two = np.unique(masks.frame(8))[1:3]
    masks[8] = mask_edits.merge(masks.frame(8), int(one), [int(two)])
    points = of_field(project.table("track_points"))
    fates = of_field(project.table("fates"))
    alive = fates[~fates["died"] & ~fates["dead_at_first_sight"] & fates["first_frame"].lt(4)]
    alive = alive[alive["last_frame"] > 4]
    lives = points[points["track_id"] == alive["track_id"].iloc[0]]
    at = lives[lives["frame"] > lives["frame"].min()].iloc[2]
    row = {name: [at[name]] for name in ("fov", "population", "frame", "y_px", "x_px")}
    said = pd.DataFrame({**row, "event": "death", "happened": True})
    given = saving.changes(catalog, FOV, seen.masks, {}, {CELLS: said})
    assert [(each.dataset, each.partition) for each in given] == [
        ("labels", f"{FOV}/{CELLS}/t0007-0008"),
        ("event_corrections", f"{FOV}/{CELLS}"),
    ]
    from kedro.framework.project import pipelines

    grains = {each.dataset: catalog.get(each.dataset).grain for each in given}
    took = saving.seconds_of(project.path / "runs")
    plan = saving.redone(
        pipelines["__default__"], catalog.load("manifest"), given, grains, took
    ).set_index("node")
    assert plan.loc["measure_cells", "groups"] == 1
    assert plan.loc["call_deaths", "groups"] == 4  # what is dead is judged over the whole assay
    only = saving.redone(
        pipelines["__default__"], catalog.load("manifest"), given[1:], grains, took
    )
    assert only.set_index("node").loc["call_deaths", "groups"] == 1
    assert "segment" not in plan.index and plan["seconds"].sum() > 0
    saving.save(catalog, given, "Ada", "merged by mistake")
    again = dict.fromkeys(project.resume())
    made = {name for name, _ in again}
    assert {"cells", "observed_deaths", "deaths", "report"} <= made and "labels" not in made
    assert [each for name, each in again if name == "cells"] == [f"{FOV}/{CELLS}/t0007-0008"]
    cells = of_field(project.table("cells"))
    assert two not in set(cells.loc[cells["frame"] == 8, "label"])
    deaths = of_field(project.table("deaths"))
    mine = deaths[deaths["evidence"] == "person"]
    assert mine["frame"].tolist() == [at["frame"]]
    assert project.catalog.get("labels").correction(f"{FOV}/{CELLS}/t0007-0008").who == "Ada"
    told = command(project, "uncorrect", "event_corrections", f"{FOV}/{CELLS}")
    assert "Ada" in told
    project.resume()
    assert "person" not in set(of_field(project.table("deaths"))["evidence"])


def test_tracks_that_a_person_holds_follow_masks(project: Project) -> None:
    catalog = project.catalog
    points = of_field(project.table("track_points"))
    one = int(points.loc[points["frame"].between(2, 4), "track_id"].iloc[0])
    edited = track_edits.cut(points, one, int(points.loc[points["track_id"] == one, "frame"].max()))
    given = saving.changes(catalog, FOV, {}, {CELLS: edited}, {})
    assert [each.dataset for each in given] == ["track_points"]
    saving.save(catalog, given, "Ada", "two cells")
    seen = open_field(catalog, FOV)
    masks = seen.masks[CELLS]
    label = int(np.unique(masks.frame(0))[1])
    masks[0] = mask_edits.delete(masks.frame(0), label)
    later = saving.changes(catalog, FOV, seen.masks, {}, {})
    assert [each.dataset for each in later] == ["labels", "track_points"]
    table = later[1].data
    assert label not in set(table.loc[table["frame"] == 0, "label"].dropna())
    assert set(table["track_id"]) == set(edited["track_id"])


def test_a_segmentation_made_anew_keeps_events(project: Project) -> None:
    """They are of a place and a time: another table of tracks, other numbers, the same death."""
    points = of_field(project.table("track_points"))
    death = of_field(project.table("deaths")).iloc[0]
    at = points[(points["track_id"] == death["track_id"]) & (points["frame"] == death["frame"])]
    row = {name: at[name].tolist() for name in ("fov", "population", "frame", "y_px", "x_px")}
    said = pd.DataFrame({**row, "event": "death", "happened": False})
    given = saving.changes(project.catalog, FOV, {}, {}, {CELLS: said})
    other = points.assign(track_id=points["track_id"] + 1000)
    given += saving.changes(project.catalog, FOV, {}, {CELLS: other}, {})
    saving.save(project.catalog, given, "Ada", "a bright neighbour")
    project.run("tracking", "contacts", only_missing=True, runner=runner())
    fates = of_field(project.table("fates")).set_index("track_id")
    assert not fates.loc[death["track_id"] + 1000, "died"]


def of(project: Project, name: str) -> pd.DataFrame:
    table = project.table(name)
    return table[table["fov"] == FOV].reset_index(drop=True)


def given_by_csv(project: Project, folder: Any, said: pd.DataFrame) -> dict[str, set[str]]:
    """Put `said` in place by command (fov and population go unsaid), run: dataset -> partitions made."""
    said.to_csv(folder / "said.csv", index=False)
    where = ["event_corrections", f"{FOV}/{CELLS}"]
    command(project, "correct", *where, str(folder / "said.csv"), "--who=Ada", "--why=no")
    made: dict[str, set[str]] = {}
    for name, identity in project.resume("contacts"):
        made.setdefault(name, set()).add(identity)
    return made


@pytest.mark.slow
def test_contacts_and_kills_by_a_csv_and_what_is_redone(project: Project, tmp_path: Any) -> None:
    """Set and cleared ones hold, nothing else changes, and only what comes of them is made again."""
    before = {
        name: of(project, name) for name in ("contacts", "kills", "deaths", "observed_deaths")
    }
    points = of(project, "track_points")
    kill = before["kills"].iloc[0]
    places = points[points["label"].notna()].set_index(["population", "track_id", "frame"])
    places = places[["y_px", "x_px"]]
    pair = before["contacts"].query(
        "track_id_b == @kill.target_track_id and track_id_a == @kill.effector_track_id "
        "and population_a == 'TCell' and population_b == @CELLS"
    )
    frame = int(pair["frame"].iloc[-1])
    target = places.loc[(CELLS, kill["target_track_id"], frame)]
    effector = places.loc[("TCell", kill["effector_track_id"], frame)]
    row = {"frame": frame, "y_px": target["y_px"], "x_px": target["x_px"], "happened": False}
    row |= {"other_population": "TCell", "other_y_px": effector["y_px"]}
    row |= {"other_x_px": effector["x_px"], "last_frame": ""}
    said = pd.DataFrame([{"event": "contact", **row}, {"event": "kill", **row}])
    kills_again, again = (given_by_csv(project, tmp_path, each) for each in (said[1:], said))
    assert kills_again["kills"] == kills_again["effectors"] == {FOV}
    assert again["contacts"] == again["bouts"] == {FOV}
    # looked at again, found as they were: nothing that hangs on them alone is redone
    for made in (kills_again, again):
        assert made["observed_deaths"] == {f"{FOV}/{CELLS}"}
        assert not {"tracks", "viability", "steps"} & set(made)
    assert kills_again["contacts"] == {FOV} and "bouts" not in kills_again
    key = ["frame", "population_a", "track_id_a", "population_b", "track_id_b"]
    after = {name: of(project, name) for name in before}
    gone = before["contacts"].merge(after["contacts"][key], on=key, how="left", indicator=True)
    gone = gone[gone["_merge"] == "left_only"]
    assert gone[key].to_numpy().tolist() == pair.tail(1)[key].to_numpy().tolist()
    pd.testing.assert_frame_equal(after["observed_deaths"], before["observed_deaths"])
    mine = after["kills"].query("target_track_id == @kill.target_track_id")
    assert kill["effector_track_id"] not in set(mine["effector_track_id"])
    others = "target_track_id != @kill.target_track_id"
    names = ["target_track_id", "effector_track_id"]
    assert (
        after["kills"].query(others)[names].to_numpy().tolist()
        == before["kills"].query(others)[names].to_numpy().tolist()
    )
    assert "fits no cell" not in command(project, "review")
    # another segmentation: the pair is elsewhere, so what was said of it is listed
    moved = points[points["population"] == CELLS].assign(x_px=points["x_px"] + 1000)
    given = saving.changes(project.catalog, FOV, {}, {CELLS: moved}, {})
    saving.save(project.catalog, given, "Ada", "another stage")
    project.resume("tracking", "contacts")
    told = command(project, "review")
    assert '"does not touch TCell" fits no cell' in told
    assert '"is not killed by TCell" fits no cell' in told


@pytest.mark.parametrize(
    ("row", "said"),
    [("death,,3,4,True", "left blank"), ("kill,2,3,4,True", "the kill in row 1.*other_population")],
)
def test_a_csv_that_cannot_be_read_so_is_refused(
    finished: Project, tmp_path: Any, row: str, said: str
) -> None:
    (tmp_path / "said.csv").write_text(f"event,frame,y_px,x_px,happened\n{row}\n")
    from cyto_kedro.corrections import put_in_place

    where = "event_corrections", f"{FOV}/{CELLS}", tmp_path / "said.csv"
    with pytest.raises(InputError, match=said):
        put_in_place(finished.catalog, *where, "Ada", "a test")


def runner() -> Any:
    from cyto_kedro.runner import PartitionRunner

    return PartitionRunner()


def command(project: Project, *words: str) -> str:
    from kedro.framework.startup import bootstrap_project

    metadata = bootstrap_project(project.path)
    found = CliRunner().invoke(cli, ["cyto", *words], obj=metadata)
    assert found.exit_code == 0, found.output
    return found.output


def test_review_and_view_by_command(finished: Project, tmp_path: Any) -> None:
    told = command(finished, "review", "--output", str(tmp_path / "list.csv"))
    assert "kedro cyto view" in told and "--frame" in told
    table = pd.read_csv(tmp_path / "list.csv")
    assert (
        table["weight"].is_monotonic_decreasing and table["command"].str.startswith("kedro").all()
    )
    if importlib.util.find_spec("napari") is None:
        from kedro.framework.startup import bootstrap_project

        metadata = bootstrap_project(finished.path)
        found = CliRunner().invoke(cli, ["cyto", "view", FOV], obj=metadata)
        assert found.exit_code == 1 and 'pip install "cyto_kedro[napari]"' in found.output


def test_no_event_corrections_is_the_ordinary_case(finished: Project) -> None:
    assert finished.catalog.get("event_corrections").load_one(f"{FOV}/{CELLS}") is None
    assert schemas.empty(schemas.EventCorrections).empty
