"""Each format is read back by the library that owns it, where it is there, and compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import tifffile

from cyto_kedro.datasets.trackmate import TrackMateDataset
from cyto_kedro.errors import InputError
from cyto_kedro.export.command import BOOK, export_to, export_workbook
from cyto_kedro.export.ctc import unbroken, write_ctc
from cyto_kedro.export.field import FieldGraph, field_graph
from cyto_kedro.export.graphs import write_geff
from cyto_kedro.export.tables import write_fcs
from cyto_kedro.export.trackmate import write_trackmate
from tiny_project import FOVS, POPULATIONS, Project

EDGES = ["source", "target", "kind", "share"]


def graph_of(nodes: dict[str, list], edges: list[tuple] = ()) -> FieldGraph:
    table = pd.DataFrame(nodes)
    table["population"] = "T"
    table["label"] = pd.array(nodes["label"], "Int64")
    return FieldGraph("a", (20, 30), 5, 0.5, 60.0, table, pd.DataFrame(edges, columns=EDGES))


def dividing() -> FieldGraph:
    """Track 1 lacks frame 1 and divides after frame 2 into tracks 2 and 3."""
    nodes = {
        "track_id": [1, 1, 2, 2, 3, 3],
        "frame": [0, 2, 3, 4, 3, 4],
        "label": [1, 1, 1, 2, 2, None],
        "x_px": [5.0, 6, 4, 3, 8, 9],
        "y_px": [5.0, 5, 4, 4, 6, 6],
        "area_px": [9, 9, 4, 4, 4, np.nan],
    }
    nan = np.nan
    edges = [(0, 1, "track", nan), (2, 3, "track", nan), (4, 5, "track", nan)]
    edges += [(1, 2, "division", nan), (1, 4, "division", nan), (2, 4, "contact", nan)]
    return graph_of(nodes, edges)


@pytest.fixture(scope="session")
def graph(finished: Project) -> FieldGraph:
    catalog = finished.catalog
    return field_graph(catalog, catalog.load("manifest"), "treated_1")


def test_the_graph_is_the_tables(finished: Project, graph: FieldGraph) -> None:
    points = finished.table("track_points").query("fov == 'treated_1'")
    assert len(graph.nodes) == len(points)
    edges = graph.edges["kind"].value_counts()
    assert edges["track"] == len(points) - points.groupby(["population", "track_id"]).ngroups
    contacts = finished.table("contacts").query("fov == 'treated_1'")
    assert edges["contact"] == len(contacts) > 0
    kills = finished.table("kills").query("fov == 'treated_1' and share > 0")
    assert edges.get("kill", 0) == len(kills) > 0
    kill = graph.edges[graph.edges["kind"] == "kill"].iloc[0]
    ends = graph.nodes.loc[[kill["source"], kill["target"]]]
    assert ends["population"].tolist() == ["TCell", "CancerCell"]


def test_ctc_tracks_are_unbroken() -> None:
    of_label, tracks = unbroken(dividing(), "T")
    assert tracks.to_numpy().tolist() == [[1, 0, 0, 0], [2, 2, 2, 1], [3, 3, 4, 2], [4, 3, 3, 2]]
    assert of_label["ctc"].tolist() == [1, 2, 3, 3, 4]


def test_ctc_masks_without_a_track_are_tracks_of_one_frame(tmp_path: Path) -> None:
    masks = np.zeros((5, 20, 30), np.uint32)
    masks[[0, 2], 4:7, 4:7] = 1
    masks[3, 2:6, 2:6], masks[3, 6:8, 8:9], masks[4, 4, 4] = 1, 2, 2
    masks[1, 10:12, 10:12] = 7
    write_ctc(tmp_path / "T_RES", dividing(), "T", masks)
    written = np.stack([tifffile.imread(tmp_path / "T_RES" / f"mask{t:03}.tif") for t in range(5)])
    assert written.dtype == np.uint16 and ((written > 0) == (masks > 0)).all()
    assert written[1].max() == 5 and written[4, 4, 4] == 3
    lines = (tmp_path / "T_RES" / "res_track.txt").read_text().split("\n")
    assert lines[-2] == "5 1 1 0"


def test_ctc_by_the_challenges_own_rules(finished: Project, tmp_path: Path) -> None:
    """Scored against itself, as reference and result, by py-ctcmetrics: valid, and perfect."""
    metrics = pytest.importorskip("ctc_metrics")
    _, files = export_to(finished.catalog, "ctc", tmp_path / "out", ("treated_1",))
    assert files
    for population in POPULATIONS:
        res = tmp_path / "out" / "treated_1" / f"{population}_RES"
        truth = tmp_path / population / "01_GT" / "TRA"
        truth.mkdir(parents=True)
        for path in res.iterdir():
            new = path.name.replace("mask", "man_track").replace("res_track", "man_track")
            (truth / new).write_bytes(path.read_bytes())
        scored = metrics.evaluate_sequence(
            str(res), str(truth.parent), metrics=["Valid", "TRA", "DET"]
        )
        assert (scored["Valid"], scored["DET"], scored["TRA"]) == (1, 1, 1)


def test_trackmate_is_what_is_read_in_again(graph: FieldGraph, tmp_path: Path) -> None:
    for population in POPULATIONS:
        path = write_trackmate(tmp_path / f"{population}.xml", graph, population)
        film = TrackMateDataset(filepath=str(path)).load()
        nodes = graph.nodes[graph.nodes["population"] == population]
        assert (film.n_frames, film.shape) == (graph.n_frames, graph.shape)
        assert film.pixel_size_um == pytest.approx(graph.pixel_size_um)
        assert film.frame_interval_s == pytest.approx(graph.frame_interval_s)
        nodes = nodes[~nodes["interpolated"]]
        spots = film.spots.set_index("spot_id")
        assert sorted(spots.index) == nodes.index.tolist()
        spots = spots.loc[nodes.index]
        for name in ("x_px", "y_px"):
            np.testing.assert_allclose(spots[name], nodes[name], rtol=1e-12)
        assert (spots["frame"] == nodes["frame"]).all()
        known = nodes["area_px"].notna()
        np.testing.assert_allclose(
            np.pi * spots.loc[known, "radius_px"] ** 2, nodes.loc[known, "area_px"]
        )
        edges = graph.edges[graph.edges["kind"].isin(["track", "division"])]
        both = edges[["source", "target"]].isin(nodes.index).all(axis=1)
        expected = set(map(tuple, edges.loc[both, ["source", "target"]].to_numpy()))
        links = set(map(tuple, film.links.to_numpy()))
        assert expected <= links
        for source, target in links - expected:  # across frames that were interpolated
            of_track = graph.nodes.loc[source:target]
            assert len(of_track) > 2 and len(set(of_track["track_id"])) == 1
            assert of_track["interpolated"].tolist()[1:-1] == [True] * (len(of_track) - 2)


def test_trackmate_takes_a_mother_and_her_daughters_for_one_track(tmp_path: Path) -> None:
    film = TrackMateDataset(
        filepath=str(write_trackmate(tmp_path / "a.xml", dividing(), "T"))
    ).load()
    assert set(film.spots["track"]) == {0} and len(film.links) == 4


def test_trackmate_has_no_spot_where_a_cell_was_interpolated(tmp_path: Path) -> None:
    """Such a spot would be a detection in TrackMate, and a cell when it is read in again."""
    nodes = {
        "track_id": [1, 1, 1, 1, 2, 2, 3],
        "frame": [0, 1, 2, 3, 4, 5, 4],
        "label": [1, None, 1, None, None, 2, 3],
        "interpolated": [False, True, False, True, True, False, False],
        "x_px": [1.0, 2, 3, 4, 5, 6, 7],
        "y_px": [1.0] * 7,
    }
    edges = [(0, 1, "track"), (1, 2, "track"), (2, 3, "track"), (4, 5, "track")]
    edges += [(3, 4, "division"), (3, 6, "division")]
    graph = replace(graph_of(nodes, [(*edge, np.nan) for edge in edges]), n_frames=6)
    path = write_trackmate(tmp_path / "a.xml", graph, "T")
    film = TrackMateDataset(filepath=str(path)).load()
    assert sorted(film.spots["spot_id"]) == [0, 2, 5, 6]
    # one link across each gap; the mother ends, and the daughters begin, where they are seen
    assert sorted(map(tuple, film.links.to_numpy())) == [(0, 2), (2, 5), (2, 6)]


@pytest.mark.companion("geff")
def test_geff_by_its_own_library(graph: FieldGraph, tmp_path: Path) -> None:
    import geff

    write_geff(tmp_path / "a.geff", graph)
    read, metadata = geff.read(
        str(tmp_path / "a.geff"), structure_validation=True, backend="networkx"
    )
    assert metadata.directed and [axis.name for axis in metadata.axes] == ["frame", "y_px", "x_px"]
    assert sorted(read.nodes) == graph.nodes.index.tolist()
    for name in ("x_px", "population", "track_id", "area_px"):
        found = pd.Series({key: data.get(name) for key, data in read.nodes(data=True)}).sort_index()
        expected = graph.nodes[name]
        assert (found.isna() == expected.isna().to_numpy()).all()
        assert (found[expected.notna()] == expected.dropna()).all()
    for kind in ("track", "division", "contact", "kill"):
        of_kind = graph.edges[graph.edges["kind"] == kind]
        pairs = {(a, b) for a, b, data in read.edges(data=True) if data[kind]}
        assert pairs == set(map(tuple, of_kind[["source", "target"]].to_numpy().tolist()))


def test_geff_as_the_specification_says(graph: FieldGraph, tmp_path: Path) -> None:
    import zarr

    group = zarr.open_group(str(write_geff(tmp_path / "a.geff", graph)), mode="r")
    said = group.attrs["geff"]
    assert set(said) >= {"geff_version", "directed", "axes", "node_props_metadata"}
    np.testing.assert_array_equal(group["nodes/ids"][:], graph.nodes.index)
    np.testing.assert_array_equal(group["nodes/props/x_px/values"][:], graph.nodes["x_px"])
    assert group["edges/ids"].shape[1] == 2
    for part, key in (("nodes", "node_props_metadata"), ("edges", "edge_props_metadata")):
        for name, about in said[key].items():
            values = group[f"{part}/props/{name}/values"]
            assert values.shape[0] == group[f"{part}/ids"].shape[0]
            assert about["dtype"] == ("str" if values.dtype.kind == "U" else values.dtype.name)


def test_fcs_by_the_standard_s_own_offsets(graph: FieldGraph, tmp_path: Path) -> None:
    cells = graph.nodes[["x_px", "area_px", "frame"]]
    raw = write_fcs(tmp_path / "a.fcs", cells).read_bytes()
    assert raw[:6] == b"FCS3.1"
    text_start, text_end, start, end = (int(raw[i : i + 8]) for i in (10, 18, 26, 34))
    parts = raw[text_start : text_end + 1].decode().split("|")[1:-1]
    said = dict(zip(parts[::2], parts[1::2], strict=True))
    assert (int(said["$BEGINDATA"]), int(said["$ENDDATA"])) == (start, end) and end == len(raw) - 1
    events = np.frombuffer(raw[start : end + 1], "<f4").reshape(
        int(said["$TOT"]), int(said["$PAR"])
    )
    np.testing.assert_array_equal(events, cells.to_numpy(np.float32))
    assert [said[f"$P{i}N"] for i in (1, 2, 3)] == ["x_px", "area_px", "frame"]


@pytest.mark.companion("flowio")
def test_fcs_by_another_library(graph: FieldGraph, tmp_path: Path) -> None:
    import flowio

    cells = graph.nodes[["x_px", "area_px", "frame"]]
    write_fcs(tmp_path / "a.fcs", cells)
    read = flowio.FlowData(str(tmp_path / "a.fcs"))
    assert read.pnn_labels == ["x_px", "area_px", "frame"] and read.event_count == len(cells)
    np.testing.assert_array_equal(np.reshape(read.events, (-1, 3)), cells.to_numpy(np.float32))


def test_spots_graphml_and_adjacency(finished: Project, graph: FieldGraph, tmp_path: Path) -> None:
    catalog = finished.catalog
    for form in ("csv", "graphml", "adjlist"):
        chosen, _ = export_to(catalog, form, tmp_path / form)
        assert set(chosen) == set(FOVS)
    spots = pd.read_csv(tmp_path / "csv" / "treated_1" / "spots.csv")
    np.testing.assert_allclose(spots["Position X"], graph.nodes["x_um"])
    assert (spots["Time"] == graph.nodes["frame"] + 1).all()
    assert spots["TrackID"].nunique() == graph.nodes.groupby(["population", "track_id"]).ngroups
    read = nx.read_graphml(
        tmp_path / "graphml" / "treated_1" / "cells.graphml", force_multigraph=True
    )
    assert (len(read), read.number_of_edges()) == (len(graph.nodes), len(graph.edges))
    adjacency = nx.read_adjlist(tmp_path / "adjlist" / "treated_1" / "contacts.adjlist")
    contacts = finished.table("contacts").query("fov == 'treated_1'")
    pairs = contacts[["population_a", "track_id_a", "population_b", "track_id_b"]].astype(str)
    expected = {frozenset((f"{a}:{b}", f"{c}:{d}")) for a, b, c, d in pairs.to_numpy()}
    assert {frozenset(edge) for edge in adjacency.edges} == expected


def test_nothing_is_overwritten_and_nothing_half_written(finished: Project, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="holds something already"):
        export_to(finished.catalog, "csv", tmp_path / "out")
    with pytest.raises(InputError, match="unknown field 'treatd_1'"):
        export_to(finished.catalog, "csv", tmp_path / "new", ("treatd_1",))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_workbook_has_every_row_with_condition_and_unit(
    finished: Project, tmp_path: Path
) -> None:
    names = export_workbook(finished.catalog, tmp_path / "book")
    assert names == ["deaths", "kills", "bouts", "effectors", "targets", "comparisons"]
    sheets = pd.read_excel(tmp_path / "book" / BOOK, sheet_name=None, header=None)
    assert list(sheets) == [*names, "columns"]
    about = sheets["columns"].iloc[1:]
    assert about[3].notna().all()
    design = finished.catalog.load("fields").set_index("fov")
    for name in names:
        units, columns, rows = sheets[name].loc[0], sheets[name].loc[1], sheets[name].loc[2:]
        ours = finished.catalog.load(name)
        ours = ours if isinstance(ours, pd.DataFrame) else ours.to_pandas()
        assert len(rows) == len(ours) > 0
        assert about.loc[about[0] == name, 1].tolist() == columns.tolist()
        assert about.loc[about[0] == name, 2].tolist() == pytest.approx(units.tolist(), nan_ok=True)
        got = rows.set_axis(columns, axis=1)
        if name != "comparisons":
            assert (got["condition"] == got["fov"].map(design["condition"])).all()
            assert (got["replicate"] == got["fov"].map(design["replicate"])).all()
        for column in ours.select_dtypes("number"):
            one = [
                each.astype(float).sort_values().to_numpy() for each in (got[column], ours[column])
            ]
            np.testing.assert_allclose(*one)
    bouts = dict(zip(sheets["bouts"].loc[1], sheets["bouts"].loc[0], strict=True))
    assert (bouts["duration_min"], bouts["start_frame"]) == ("min", "frame")


def test_a_workbook_of_a_field_and_of_an_unknown_one(finished: Project, tmp_path: Path) -> None:
    names = export_workbook(finished.catalog, tmp_path / "book", ("treated_1",))
    assert "comparisons" not in names
    bouts = pd.read_excel(tmp_path / "book" / BOOK, sheet_name="bouts", header=1)
    assert set(bouts["fov"]) == {"treated_1"}
    with pytest.raises(InputError, match="treated_1"):
        export_workbook(finished.catalog, tmp_path / "other", ("treated_l",))
    assert not (tmp_path / "other").exists()


def test_a_workbook_says_which_fields_are_not_done(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    (project.path / "data" / "07_model_output" / "kills" / "control_1.parquet").unlink()
    export_workbook(project.catalog, tmp_path / "book")
    about = pd.read_excel(tmp_path / "book" / BOOK, sheet_name="columns")
    left_out = about[about["column"].isna()]
    assert left_out["table"].tolist() == ["kills"]
    assert "control_1" in left_out["meaning"].iloc[0] and "treated_1" not in str(left_out)


def test_a_long_table_goes_on_in_another_sheet_and_text_is_no_formula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openpyxl import Workbook, load_workbook

    from cyto_kedro.export import workbook

    monkeypatch.setattr(workbook, "MOST_ROWS", 2)
    book = Workbook(write_only=True)
    rows = [["=1+1", np.inf], ["a\x01b", np.nan], ["c", 3.0]]
    workbook._add(book, "t", ["condition", "x_um"], rows)
    book.save(tmp_path / "t.xlsx")
    read = load_workbook(tmp_path / "t.xlsx")
    assert read.sheetnames == ["t", "t 2"]
    assert [cell.data_type for cell in read["t"]["A"][2:]] == ["s", "s"]
    assert list(read["t"].values)[2:] == [("=1+1", "inf"), ("a b", None)]
    assert list(read["t 2"].values) == [(None, "µm"), ("condition", "x_um"), ("c", 3)]
