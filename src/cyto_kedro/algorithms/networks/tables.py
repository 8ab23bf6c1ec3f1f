"""Cell graphs as node and edge tables, for programs that do not read NetworkX."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from cyto_kedro.graphs import FrameGraphs

_GRAPH = ("fov", "frame", "network")
_NODE = ("population", "track_id", "x_px", "y_px")
_EDGE = ("population_a", "track_id_a", "population_b", "track_id_b", "distance_px")
_DTYPES: dict[str, Any] = {
    "fov": object,
    "frame": "Int64",
    "network": object,
    "population": object,
    "track_id": "int64",
    "x_px": float,
    "y_px": float,
    "population_a": object,
    "track_id_a": "int64",
    "population_b": object,
    "track_id_b": "int64",
    "distance_px": float,
}


def node_table(network: Any) -> pd.DataFrame:
    """One row per node of a graph or of ``{frame: graph}``.

    Returns fov, frame (null for a graph over time), network, population, track_id, x_px, y_px, then
    any other node attribute.
    """
    if isinstance(network, FrameGraphs):
        return _table(network.node_table().assign(**network.head), _NODE)
    rows = [
        {**_head(graph), **attributes}
        for graph in _graphs(network)
        for _, attributes in graph.nodes(data=True)
    ]
    return _table(pd.DataFrame(rows), _NODE)


def edge_table(network: Any) -> pd.DataFrame:
    """One row per edge of a graph or of ``{frame: graph}``.

    Returns fov, frame (null for a graph over time), network, population_a, track_id_a,
    population_b, track_id_b, distance_px (null where edges have none), then any other edge
    attribute.
    """
    if isinstance(network, FrameGraphs):
        return _table(network.edge_table().assign(**network.head), _EDGE)
    rows = [
        {**_head(graph), **dict(zip(_EDGE, (*a, *b), strict=False)), **attributes}
        for graph in _graphs(network)
        for a, b, attributes in graph.edges(data=True)
    ]
    return _table(pd.DataFrame(rows), _EDGE)


def _graphs(network: Any) -> Iterable[Any]:
    return network.values() if isinstance(network, Mapping) else (network,)


def _head(graph: Any) -> dict[str, Any]:
    return {name: graph.graph.get(name) for name in _GRAPH}


def _table(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    first = [*_GRAPH, *columns]
    others = [name for name in table.columns if name not in first]
    table = table.reindex(columns=[*first, *others])
    return table.astype({name: _DTYPES[name] for name in first})
