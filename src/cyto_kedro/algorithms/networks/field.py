"""The cells of a field in order of frame, and what is returned of graphs between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.networks.measures import (
    assortativity,
    centralities,
    frame_measures,
    node_measures,
)
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.contract import Graph
from cyto_kedro.core.keys import MISSING, Keys, fov_of, size
from cyto_kedro.errors import InputError
from cyto_kedro.graphs import FrameGraphs
from cyto_kedro.schemas import TableOf


class Graphs(TypedDict):
    """A graph per frame, ``{frame: networkx.Graph}``, and its measures by frame and by node."""

    network: Mapping[int, Graph]
    measures: TableOf[schemas.NetworkMeasures]
    nodes: TableOf[schemas.NetworkNodes]


class CellGraph(Algorithm):
    """What the algorithms that join the cells of each frame share."""

    graphs: bool = Field(default=True, description="false: only measures, network is empty")
    centrality: tuple[Literal["closeness", "betweenness"], ...] = Field(
        default=(), description="of each node too; slow: time grows as cells times edges"
    )


class FieldCells:
    """Track points of one field, sorted by frame, population and track, as arrays.

    Attributes
    ----------
    fov
        The field.
    frames, starts
        (F,) frame numbers, ascending, and (F + 1,) first row of each; every frame of the film if
        `n_frames` is given, else those with cells.
    xy
        (N, 2) positions, pixels.
    population, names
        (N,) code of each cell's population; the names, sorted.
    """

    def __init__(
        self,
        points: pd.DataFrame,
        fov: str | None = None,
        populations: Iterable[str] = (),
        pixel_size_um: float | None = None,
        n_frames: int | None = None,
    ) -> None:
        self.fov = fov_of(points, fov=fov)
        self.pixel_size_um = float(pixel_size_um or np.nan)
        self._keys = Keys(
            (points["population"], pd.Series(list(populations), dtype=object)),
            size(points["track_id"]),
            size(points["frame"]),
        )
        self.names: list[str] = self._keys.populations.tolist()
        code = self._keys.code(points["population"])
        order = np.lexsort((points["track_id"], code, points["frame"]))
        self.population = code[order]
        self.frame = points["frame"].to_numpy(np.int64)[order]
        self.track = points["track_id"].to_numpy(np.int64)[order]
        self.xy = points[["x_px", "y_px"]].to_numpy(float)[order]
        bad = np.flatnonzero(~np.isfinite(self.xy).all(axis=1))
        if len(bad):
            raise InputError(
                f"field {self.fov!r}, {self.names[self.population[bad[0]]]} track "
                f"{self.track[bad[0]]}, frame {self.frame[bad[0]]}: its position is not a number, "
                f"so it has no neighbours; rerun tabulation and tracking of this field"
            )
        self.dead = points["dead"].to_numpy(object)[order] if "dead" in points else None
        self.frames = np.arange(n_frames) if n_frames else np.unique(self.frame)
        self.starts = np.append(np.searchsorted(self.frame, self.frames), len(self.frame))
        self.time_min = Clock(points)(self.frames)

    def each(self) -> Iterator[np.ndarray]:
        """Positions (n, 2) of the cells of each frame."""
        for first, stop in zip(self.starts[:-1], self.starts[1:], strict=True):
            yield self.xy[first:stop]

    def rows_of(self, table: pd.DataFrame, side: str = "", or_before: bool = False) -> np.ndarray:
        """Row (C,) of the cell that each row of `table` names, `MISSING` where it has no point.

        With `or_before`, the row of its last point before, where it has none in that frame.
        """
        keys = self._keys
        cell = keys.pack(self.population, self.track, self.frame)
        order = np.argsort(cell)
        code = keys.code(table[f"population{side}"])
        track, frame = (table[name].to_numpy() for name in (f"track_id{side}", "frame"))
        first = keys.pack(code, track)
        at = np.searchsorted(cell[order], first + np.minimum(frame, keys.n_b - 1), side="right") - 1
        known = (at >= 0) & (code != MISSING) & (track < keys.n_a)
        row = np.full(len(table), MISSING)
        row[known] = order[at[known]]
        # what was found is of this cell, and in this frame unless an earlier one will do
        least = first if or_before else first + frame
        known[known] = cell[row[known]] >= least[known]
        return np.where(known, row, MISSING)

    def ends_of(self, contacts: pd.DataFrame) -> np.ndarray:
        """Rows (C, 2) of the two cells of each contact.

        Raises InputError if one of them has no point in that frame.
        """
        rows = np.stack([self.rows_of(contacts, side) for side in ("_a", "_b")], axis=1)
        for at, side in np.argwhere(rows == MISSING)[:1]:
            bad = contacts.iloc[at]
            population, track = (bad[f"{each}_{'ab'[side]}"] for each in ("population", "track_id"))
            raise InputError(
                f"field {bad['fov']!r}, frame {bad['frame']}: a contact names {population} track "
                f"{track}, which has no point there; rerun contacts on these tracks"
            )
        return rows

    def result(
        self,
        spec: CellGraph,
        network: str,
        edges: np.ndarray,
        values: dict[str, np.ndarray],
        radius: np.ndarray | None = None,
    ) -> Graphs:
        """Graphs and measures of the edges (E, 2), in order of frame, with their `values`."""
        nodes = node_measures(self.starts, edges)
        measured = frame_measures(self.starts, edges, values["distance_px"], nodes)
        if radius is None:
            radius = np.full(len(self.frames), np.nan)
        frames = self._column(len(self.frames), self.fov, network) | {
            "frame": self.frames,
            "time_min": self.time_min,
            **measured,
            "mean_edge_um": measured["mean_edge_px"] * self.pixel_size_um,
            "connecting_radius_px": radius,
            "connecting_radius_um": radius * self.pixel_size_um,
            "population_assortativity": assortativity(self.starts, edges, self.population),
            "dead_assortativity": assortativity(self.starts, edges, self._state()),
        }
        graphs: Any = {}
        if spec.graphs:
            ends = np.append(np.searchsorted(edges[:, 0], self.starts[:-1]), len(edges))
            head = {"fov": self.fov, "network": network}
            graphs = FrameGraphs(
                head, self.frames, self.starts, ends, self._attributes(), edges, values
            )
        return {
            "network": graphs,
            "measures": schemas.from_columns(schemas.NetworkMeasures, frames),
            "nodes": self._nodes(spec, network, edges, nodes),
        }

    def _nodes(
        self, spec: CellGraph, network: str, edges: np.ndarray, nodes: dict[str, np.ndarray]
    ) -> TableOf[schemas.NetworkNodes]:
        """`schemas.NetworkNodes`."""
        n, names = len(self.frame), self.names
        # neighbours by population: one count for each end of an edge
        met = np.concatenate([edges, edges[:, ::-1]])
        by = np.bincount(
            met[:, 0] * len(names) + self.population[met[:, 1]], minlength=n * len(names)
        ).reshape(n, len(names))
        blank = np.full(n, np.nan)
        found = centralities(self.starts, edges) if spec.centrality else {}
        columns = self._column(n, self.fov, network) | {
            "frame": self.frame,
            "population": np.array(names, object)[self.population],
            "track_id": self.track,
            **nodes,
            **{
                k: found[k] if k in spec.centrality else blank for k in ("closeness", "betweenness")
            },
            **{f"degree_{name}": by[:, i] for i, name in enumerate(names)},
        }
        return schemas.from_columns(schemas.NetworkNodes, columns)

    def _attributes(self) -> dict[str, np.ndarray]:
        columns = {
            "population": np.array(self.names, object)[self.population],
            "track_id": self.track,
            "x_px": self.xy[:, 0],
            "y_px": self.xy[:, 1],
        }
        return columns if self.dead is None else columns | {"dead": self.dead}

    def _state(self) -> np.ndarray:
        """(N,) 0 alive, 1 dead, -1 unknown."""
        if self.dead is None:
            return np.full(len(self.frame), -1)
        known = pd.notna(self.dead)
        return np.where(known, np.where(known, self.dead, False).astype(bool), -1)

    @staticmethod
    def _column(n: int, fov: str, network: str) -> dict[str, np.ndarray]:
        return {"fov": np.full(n, fov, object), "network": np.full(n, network, object)}
