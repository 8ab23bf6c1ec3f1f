"""Graphs of cells as GEFF, GraphML and adjacency lists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cyto_kedro.export.field import KINDS, FieldGraph

if TYPE_CHECKING:
    import networkx as nx

GEFF_VERSION = "1.1"  # of the specification, https://liveimagetrackingtools.org/geff


def write_geff(path: Path, graph: FieldGraph, kinds: tuple[str, ...] = KINDS) -> Path:
    """Write nodes with their features, and the edges of `kinds`, as GEFF (a Zarr group).

    Axes are the frame, and y and x in pixels. Edges have a property 0 / 1 for each kind, since a pair
    of cells may be joined by several, and ``share`` of kills.
    """
    import zarr

    nodes = graph.nodes
    edges = graph.edges[graph.edges["kind"].isin(kinds)]
    pairs = edges[["source", "target"]].drop_duplicates().sort_values(["source", "target"])
    whole = pd.MultiIndex.from_frame(pairs)
    group = zarr.create_group(store=str(path), zarr_format=2)
    axes: list[dict[str, Any]] = []
    for name, kind, unit in (
        ("frame", "time", None),
        *((n, "space", "pixel") for n in ("y_px", "x_px")),
    ):
        ends = (
            {"min": float(nodes[name].min()), "max": float(nodes[name].max())} if len(nodes) else {}
        )
        axes.append({"name": name, "type": kind, **({"unit": unit} if unit else {}), **ends})
    properties = {str(name): nodes[name] for name in nodes.columns}
    of_edges: dict[str, pd.Series] = {}
    for kind in kinds:
        of_kind = edges.loc[edges["kind"] == kind, ["source", "target"]]
        joined = (
            whole.isin(pd.MultiIndex.from_frame(of_kind))
            if len(of_kind)
            else np.zeros(len(pairs), bool)
        )
        of_edges[kind] = pd.Series(np.asarray(joined, np.uint8))
    if "kill" in kinds:
        share = edges[edges["kind"] == "kill"].groupby(["source", "target"])["share"].sum()
        of_edges["share"] = share.reindex(whole).reset_index(drop=True)
    described = {
        "nodes": _properties(group, "nodes", nodes.index.to_numpy(np.uint64), properties),
        "edges": _properties(group, "edges", pairs.to_numpy(np.uint64), of_edges),
    }
    group.attrs["geff"] = {
        "geff_version": GEFF_VERSION,
        "directed": True,
        "axes": axes,
        "node_props_metadata": described["nodes"],
        "edge_props_metadata": described["edges"],
        "extra": {
            "fov": graph.fov,
            "pixel_size_um": graph.pixel_size_um,
            "frame_interval_s": graph.frame_interval_s,
        },
    }
    return path


def _properties(
    group: Any, part: str, ids: np.ndarray, properties: dict[str, pd.Series]
) -> dict[str, Any]:
    """Write ids and properties; what GEFF's metadata say of them."""
    _array(group, f"{part}/ids", ids)
    described: dict[str, Any] = {}
    for name, column in properties.items():
        values, missing = as_array(column)
        _array(group, f"{part}/props/{name}/values", values)
        if missing.any():
            _array(group, f"{part}/props/{name}/missing", missing)
        dtype = "str" if values.dtype.kind == "U" else values.dtype.name
        described[name] = {"identifier": name, "dtype": dtype, "varlength": False}
    return described


def _array(group: Any, path: str, values: np.ndarray) -> None:
    chunks = tuple(max(1, n) for n in values.shape)
    array = group.create_array(path, shape=values.shape, dtype=values.dtype, chunks=chunks)
    array[...] = values


def as_array(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Values of a plain type and where they are null (there 0, NaN or an empty text)."""
    missing = column.isna().to_numpy(bool)
    if column.dtype.kind in "iufb" and not hasattr(column.dtype, "na_value"):
        return column.to_numpy(), missing
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.fillna(False).to_numpy(bool), missing
    if pd.api.types.is_integer_dtype(column.dtype):
        return column.fillna(0).to_numpy(np.int64), missing
    if pd.api.types.is_float_dtype(column.dtype):
        return column.to_numpy(float, na_value=np.nan), missing
    texts = column.astype(object).where(~missing, "").astype(str).to_numpy()
    return texts.astype(f"<U{max([1, *map(len, texts)])}"), missing


def as_networkx(graph: FieldGraph) -> nx.MultiDiGraph:
    """Nodes ``<population>:<track>:<frame>`` with what is known of them; an edge per kind."""
    import networkx as nx

    found = nx.MultiDiGraph(fov=graph.fov)
    keys = (
        graph.nodes[["population", "track_id", "frame"]]
        .astype(str)
        .agg(":".join, axis=1)
        .to_numpy()
    )
    plain = {str(name): as_array(graph.nodes[name]) for name in graph.nodes.columns}
    for i, key in enumerate(keys):
        found.add_node(key, **{n: v[i].item() for n, (v, null) in plain.items() if not null[i]})
    ends = graph.edges[["source", "target"]].to_numpy(int)
    for (source, target), kind, share in zip(
        ends, graph.edges["kind"], graph.edges["share"].to_numpy(float), strict=True
    ):
        more = {} if np.isnan(share) else {"share": float(share)}
        found.add_edge(keys[source], keys[target], kind=str(kind), **more)
    return found


def write_graphml(path: Path, graph: FieldGraph) -> Path:
    """Write the graph for Cytoscape, Gephi, yEd or igraph."""
    import networkx as nx

    nx.write_graphml(as_networkx(graph), path)
    return path


def write_adjlist(path: Path, graph: FieldGraph) -> Path:
    """Write who touched whom in the film: a line per cell ``<population>:<track>`` and its partners."""
    import networkx as nx

    contacts = graph.edges[graph.edges["kind"] == "contact"]
    keys = graph.nodes[["population", "track_id"]].astype(str).agg(":".join, axis=1)
    found = nx.Graph()
    found.add_nodes_from(dict.fromkeys(keys))
    found.add_edges_from(zip(keys[contacts["source"]], keys[contacts["target"]], strict=True))
    nx.write_adjlist(found, path)
    return path
