"""Positions without masks, laid on our own: our exports come back, and graphs of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from films import FOV, come_in, dividing, is_the_dividing_film, paths_of, points_of

from cyto_kedro.errors import InputError
from cyto_kedro.export.command import export_to
from cyto_kedro.export.field import FieldGraph
from cyto_kedro.export.graphs import write_geff
from tiny_project import POPULATIONS, Project

EDGES = ["source", "target", "kind", "share"]


@pytest.mark.parametrize("form", ["geff", "csv"])
def test_our_own_export_comes_back(
    project: Project, tmp_path: Path, form: str, caplog: Any
) -> None:
    before = project.table("track_points").query("fov == @FOV")
    masks = project.catalog.load("labels")
    was = {each: masks[each]() for each in project.catalog.load("manifest").ids(masks.grain)}
    export_to(project.catalog, form, tmp_path / "out", (FOV,))
    name = {"geff": "interactions.geff", "csv": "spots.csv"}[form]
    for population in POPULATIONS:
        come_in(project, tmp_path / "out" / FOV / name, population)
    after = project.table("track_points").query("fov == @FOV")
    assert paths_of(after) == paths_of(before)
    assert "have no mask" not in caplog.text and "not those of our masks" not in caplog.text
    key = ["population", "frame", "y_px", "x_px"]
    both = after.round(3).merge(before.round(3), on=key, suffixes=("", "_before"))
    assert both["label"].equals(both["label_before"])
    for each, label in was.items():
        np.testing.assert_array_equal(project.catalog.load("labels")[each](), label)


@pytest.fixture
def masked(ingested: Project, tmp_path: Path) -> Project:
    """The masks of `dividing` lie in the project, tracked by themselves."""
    import tifffile

    tifffile.imwrite(tmp_path / "masks.tif", dividing(), photometric="minisblack")
    come_in(ingested, tmp_path / "masks.tif", masks_only=True)
    return ingested


def nodes() -> pd.DataFrame:
    """A node per mask of `dividing`, at its middle; their numbers are in no order."""
    rows = [
        (t, name, *np.argwhere(frame == name).mean(axis=0))
        for t, frame in enumerate(dividing())
        for name in np.unique(frame[frame > 0]).tolist()
    ]
    table = pd.DataFrame(rows, columns=["frame", "label", "y_px", "x_px"])
    return table.astype({"label": "Int64"}).iloc[::-1].reset_index(drop=True)


def edges(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    at = {(row.frame, row.label): i for i, row in enumerate(table.itertuples())}
    pairs = [((t, 7), (t + 1 + (t == 1), 7)) for t in (0, 1, 3)]
    pairs += [((4, 7), (5, 9)), ((5, 300000), (4, 7))]  # one of them backwards
    pairs += [((t, n), (t + 1, n)) for t in range(5, 8) for n in (9, 300000)]
    pairs += [((t, 4), (t + 1, 4)) for t in range(8)]
    return [(at[a], at[b], "track", np.nan) for a, b in pairs]


def write(path: Path, table: pd.DataFrame, links: list[tuple[Any, ...]], **attrs: Any) -> Path:
    graph = FieldGraph("b", (96, 96), 9, None, None, table, pd.DataFrame(links, columns=EDGES))
    write_geff(path, graph, ("track",))
    import zarr

    group = zarr.open_group(str(path), mode="a")
    group.attrs["geff"] = {**group.attrs["geff"], "extra": {}, **attrs}
    del group["edges/props/track"]
    return path


@pytest.mark.parametrize("label", [True, False])
def test_a_graph_of_another_program(masked: Project, tmp_path: Path, label: bool) -> None:
    table = nodes()
    path = write(tmp_path / "ü.geff", table if label else table.drop(columns="label"), edges(table))
    assert str(come_in(masked, path)) == "GEFF: 21 cells, 4 tracks, 1 divisions"
    is_the_dividing_film(points_of(masked))


@pytest.mark.companion("geff")
def test_what_the_owner_reads_is_what_comes_in(masked: Project, tmp_path: Path) -> None:
    """Another writer: the format's own library, with its own chunks and names."""
    import geff
    import networkx as nx

    table = nodes()
    graph = nx.DiGraph()
    for i, row in enumerate(table.itertuples()):
        graph.add_node(10 + i, t=int(row.frame), y=row.y_px * 0.65, x=row.x_px * 0.65)
    graph.add_edges_from((10 + a, 10 + b) for a, b, *_ in edges(table))
    geff.write(
        graph,
        tmp_path / "a.geff",
        axis_names=["t", "y", "x"],
        axis_units=["frame", "micrometer", "micrometer"],
        axis_types=["time", "space", "space"],
    )
    come_in(masked, tmp_path / "a.geff")
    is_the_dividing_film(points_of(masked))


def test_positions_take_the_mask_under_them_or_the_nearest(
    masked: Project, tmp_path: Path, caplog: Any
) -> None:
    table = nodes().drop(columns="label")
    links = edges(nodes())
    of_four = nodes()["label"] == 4
    table.loc[of_four & (table["frame"] == 3), "y_px"] += 5.0  # 2.5 px off its mask
    table.loc[of_four & (table["frame"] == 5), "y_px"] += 30.0  # nowhere
    twin = table[of_four & (table["frame"] == 6)].assign(x_px=lambda each: each["x_px"] + 2)
    table = pd.concat([table, twin], ignore_index=True)  # beside the other on one mask
    come_in(masked, write(tmp_path / "a.geff", table, links))
    points = points_of(masked).query("y_px == 62.5").sort_values("frame")
    assert points["track_id"].nunique() == 1  # noqa: PD101
    np.testing.assert_allclose(points["x_px"], 62.5 - 3 * np.arange(9))
    assert points.loc[points["interpolated"], "frame"].tolist() == [5]
    assert "2 of 22 spots have no mask of their own" in caplog.text


def test_labels_of_other_masks_do_not_count(masked: Project, tmp_path: Path, caplog: Any) -> None:
    table = nodes()
    other = table.assign(label=table["label"].map({7: 4, 4: 7, 9: 300000, 300000: 9}))
    come_in(masked, write(tmp_path / "a.geff", other, edges(table)))
    assert "labels are not those of our masks" in caplog.text
    is_the_dividing_film(points_of(masked))


def test_damaged_graphs(masked: Project, ingested: Project, tmp_path: Path) -> None:
    table, links = nodes(), edges(nodes())
    for i, (change, attrs, message) in enumerate(
        [
            ({"y_px": 90.0, "x_px": 2.0}, {}, "21 of 21 spots lie on no mask"),
            ({"y_px": 900.0}, {}, r"y = 900 px, outside of the film of \(96, 96\)"),
            ({"frame": 9}, {}, r"frame 9 of a film of 9 \(0 to 8\)"),
            ({"frame": 0.5}, {}, "must be numbers of frames"),
            ({"y_px": np.nan}, {}, "a node has no position"),
            ({"population": "B"}, {}, r"no node of 'TCell', only of \['B'\]"),
            ({}, {"axes": None}, "its axes must be one of time"),
        ]
    ):
        path = write(tmp_path / f"{i}.geff", table.drop(columns="label").assign(**change), links)
        if attrs:
            import zarr

            group = zarr.open_group(str(path), mode="a")
            group.attrs["geff"] = {**group.attrs["geff"], **attrs}
        with pytest.raises(InputError, match=message):
            come_in(masked, path)
    path = write(tmp_path / "s.geff", table, [*links, (3, 99, "track", np.nan)])
    with pytest.raises(InputError, match="an edge names a node that is not there"):
        come_in(masked, path)
    for each in (path / "nodes" / "ids").iterdir():
        each.unlink()
    with pytest.raises(InputError, match="not a whole GEFF"):
        come_in(masked, path)


IMARIS = " \nPosition\n====================\n"
IMARIS += "Position X,Position Y,Position Z,Unit,Category,Collection,Time,TrackID,ID,\n"


def imaris(path: Path, change: dict[str, Any] | None = None, unit: str = "um") -> Path:
    """As Imaris' statistics write it: a title of three lines, a comma at the end of each."""
    size = 0.65 if unit == "um" else 1.0
    lines = []
    for i, row in enumerate(nodes().itertuples()):
        track = {7: 1000000001, 4: 1000000002}.get(row.label, "")
        said = {"x": row.x_px * size, "track": track, "later": 0} | (change or {})
        time = row.frame + 1 + said["later"]
        place = f"{said['x']},{row.y_px * size},0,{unit}"
        lines.append(f"{place},Spot,Position,{time},{said['track']},{i},")
    path.write_text(IMARIS + "\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("unit", ["um", "px"])
def test_imaris_positions(masked: Project, tmp_path: Path, caplog: Any, unit: str) -> None:
    found = come_in(masked, imaris(tmp_path / "Position.csv", unit=unit))
    assert str(found) == "Imaris positions: 13 cells, 2 tracks, 0 divisions"
    assert "8 spots are in no track and left out" in caplog.text
    points = points_of(masked)
    assert sorted(points.groupby("track_id").size()) == [5, 9]
    assert points["interpolated"].sum() == 1


@pytest.mark.parametrize(
    ("change", "unit", "message"),
    [
        ({"x": "far"}, "um", "a position or time is no number"),
        ({}, "inch", "not pixels or µm"),
        ({"track": 1}, "um", "track 1 has two spots in frame"),
        ({"later": 1}, "um", "frame 9 of a film of 9"),
    ],
)
def test_damaged_imaris(
    masked: Project, tmp_path: Path, change: dict[str, Any], unit: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        come_in(masked, imaris(tmp_path / "a.csv", change, unit))


def test_imaris_without_rows(masked: Project, tmp_path: Path) -> None:
    path = tmp_path / "Position.csv"
    path.write_text(IMARIS, encoding="utf-8")
    with pytest.raises(InputError, match=r"Position\.csv holds no positions"):
        come_in(masked, path)


def test_positions_want_masks(ingested: Project, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no masks of treated_1 TCell"):
        come_in(ingested, imaris(tmp_path / "a.csv"))
