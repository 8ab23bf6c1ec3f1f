"""Graphs of a field's frames as arrays: NetworkX graphs are made of them when asked for.

A film's graphs are some arrays of nodes and edges. As NetworkX objects they are dicts within dicts,
a hundred times as large and slower to make than to compute, so they are only made where one is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.errors import InputError

KIND = "frame_graphs"


@dataclass(frozen=True, eq=False)
class FrameGraphs(Mapping[int, Any]):
    """``{frame: networkx.Graph}``; each access makes its graph anew, so keep one to change it.

    A node is the tuple ``(population, track_id)`` and has its columns as attributes, an edge too.
    All values are plain Python, missing ones None.
    """

    #: attributes of every graph, which also has `frame`
    head: dict[str, str]
    #: (F,) int, ascending
    frames: np.ndarray
    #: node_starts, edge_starts: (F + 1,) int: frame i has the nodes ``node_starts[i]:node_starts[i
    #: + 1]``, likewise edges
    node_starts: np.ndarray
    edge_starts: np.ndarray
    #: name -> (N,) values; population and track_id are among them
    nodes: dict[str, np.ndarray]
    #: (E, 2) int, numbers of the nodes that an edge joins
    edges: np.ndarray
    #: name -> (E,) values
    edge_values: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, m = len(self.nodes["population"]), len(self.edges)
        whole = (
            all(len(each) == n for each in self.nodes.values())
            and all(len(each) == m for each in self.edge_values.values())
            and len(self.node_starts) == len(self.edge_starts) == len(self.frames) + 1
            and (self.node_starts[-1], self.edge_starts[-1]) == (n, m)
            and (m == 0 or (self.edges.min() >= 0 and self.edges.max() < n))
        )
        if not whole:
            raise InputError("graphs of frames: the lengths of nodes, edges and frames do not fit")

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[int]:
        return iter(self.frames.tolist())

    def __getitem__(self, frame: int) -> Any:
        import networkx as nx

        at = int(np.searchsorted(self.frames, frame))
        if at == len(self.frames) or self.frames[at] != frame:
            raise KeyError(frame)
        first, stop = self.node_starts[at : at + 2].tolist()
        part = slice(*self.edge_starts[at : at + 2].tolist())
        graph = nx.Graph(**self.head, frame=int(frame))
        rows = _records(self.nodes, slice(first, stop))
        keys = [(row["population"], row["track_id"]) for row in rows]
        graph.add_nodes_from(zip(keys, rows, strict=True))
        ends = (self.edges[part] - first).tolist()
        values = _records(self.edge_values, part) if self.edge_values else [{}] * len(ends)
        graph.add_edges_from(
            (keys[a], keys[b], row) for (a, b), row in zip(ends, values, strict=True)
        )
        return graph

    def node_table(self) -> pd.DataFrame:
        """One row per node: frame, and its attributes."""
        frame = np.repeat(self.frames, np.diff(self.node_starts))
        return pd.DataFrame({"frame": frame, **self.nodes})

    def edge_table(self) -> pd.DataFrame:
        """One row per edge: frame, population_a, track_id_a, …_b, and its attributes."""
        ends = {
            f"{name}_{side}": self.nodes[name][self.edges[:, i]]
            for i, side in enumerate("ab")
            for name in ("population", "track_id")
        }
        frame = np.repeat(self.frames, np.diff(self.edge_starts))
        return pd.DataFrame({"frame": frame, **ends, **self.edge_values})

    def state(self) -> dict[str, Any]:
        """Plain containers and arrays of numbers, which a safe pickle holds; see `from_state`."""
        return {
            "kind": KIND,
            "head": dict(self.head),
            **{name: getattr(self, name) for name in ("frames", "node_starts", "edge_starts")},
            "edges": self.edges,
            "nodes": {name: _packed(values) for name, values in self.nodes.items()},
            "edge_values": {name: _packed(values) for name, values in self.edge_values.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> FrameGraphs:
        """The graphs that `state` was of."""
        given = {name: value for name, value in state.items() if name != "kind"}
        for name in ("nodes", "edge_values"):
            given[name] = {key: _unpacked(value) for key, value in given[name].items()}
        return cls(**given)


def _records(columns: Mapping[str, np.ndarray], rows: slice) -> list[dict[str, Any]]:
    values = zip(*(column[rows].tolist() for column in columns.values()), strict=True)
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in values]


def _packed(values: np.ndarray) -> Any:
    """Numbers as they are; texts and truth values with gaps as (codes, distinct values)."""
    if values.dtype != object:
        return values
    codes, distinct = pd.factorize(values)
    return {"codes": codes.astype(np.int32), "values": distinct.tolist()}


def _unpacked(packed: Any) -> np.ndarray:
    if isinstance(packed, np.ndarray):
        return packed
    return np.array([*packed["values"], None], dtype=object)[packed["codes"]]
