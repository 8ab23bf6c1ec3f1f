"""Snapshots of cell graphs show the graphs' own cells and edges."""

from __future__ import annotations

import networkx as nx
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.network_figures import (
    NetworkFigures,
    chosen_fields,
    draw_snapshots,
    moments_shown,
    snapshot,
)

ROLES = {"T": "effector", "C": "target"}


def graph(*edges: tuple[str, str], dead: object = False) -> nx.Graph:
    made = nx.Graph()
    for i, (name, population) in enumerate({"a": "T", "b": "C", "c": "C"}.items()):
        made.add_node(name, population=population, track_id=i + 1, x_px=10.0 * i, y_px=5.0)
    made.nodes["c"]["dead"] = dead
    made.add_edges_from(edges)
    return made


def test_snapshot_is_the_graph() -> None:
    nodes, edges = snapshot(graph(("a", "b"), dead=True), graph(("a", "b"), ("b", "c")))
    assert nodes["dead"].tolist() == [False, False, True]
    assert edges["network"].tolist() == ["delaunay", "delaunay", "contact"]
    assert edges.iloc[1][["x0", "y0", "x1", "y1"]].tolist() == [10.0, 5.0, 20.0, 5.0]
    nodes, edges = snapshot(graph(dead=pd.NA))
    assert edges.empty and not nodes["dead"].any()
    nodes, edges = snapshot(nx.Graph(), nx.Graph())
    assert nodes.empty and edges.empty


def test_moments_and_fields() -> None:
    frames = pd.DataFrame({"frame": range(9), "excluded": [True] + [False] * 8})
    assert moments_shown(frames) == [1, 4, 8]
    assert moments_shown(frames[1:2]) == [1] and moments_shown(frames[:1]) == []
    sheet = pd.DataFrame({"fov": list("abcd"), "condition": ["x", "x", "y", None]})
    assert chosen_fields(list("abcd"), sheet) == ["a", "c", "d"]
    assert chosen_fields(list("abcd"), sheet, 2) == ["a", "c"]
    assert chosen_fields(list("ab"), None) == ["a"] and chosen_fields([], None) == []


def test_figure_has_a_row_per_field_or_says_why_not() -> None:
    fields = pd.DataFrame({"fov": ["a"], "height_px": 20, "width_px": 30})
    frames = pd.DataFrame({"fov": "a", "frame": range(3), "time_s": 60.0, "excluded": False})
    graphs = {"a": {k: dict.fromkeys(range(3), graph(("a", "b"))) for k in ("contact", "delaunay")}}
    data = {"graphs": graphs, "fields": fields, "frames": frames, "roles": ROLES}
    assert NetworkFigures(dpi=40)(data)["figures"]["networks"].png.startswith(b"\x89PNG")
    shown = {"a": [("frame 0", *snapshot(graph(("a", "b"), dead=True)))]}
    ax = draw_snapshots(shown, fields, None, ROLES).axes[0]
    assert ax.get_ylim() == (20, 0) and ax.get_title(loc="left") == "frame 0"
    none = draw_snapshots({"a": [("frame 0", *snapshot(nx.Graph()))]}, fields, None, ROLES)
    assert "No cell" in none.axes[0].texts[0].get_text()
    assert NetworkFigures(dpi=40)({"roles": ROLES, "fields": schemas.empty(schemas.Fields)})
