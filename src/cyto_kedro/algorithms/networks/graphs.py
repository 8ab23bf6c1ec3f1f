"""Cell graphs per frame and over time: Delaunay neighbours and contacts.

A node is the tuple ``(population, track_id)`` with the attributes population, track_id, x_px, y_px
and, where the points have a column `dead`, dead. A graph of a frame carries fov, frame and network
as its own attributes. Interpolated positions are nodes too. All values are plain Python.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm, Data, length_px
from cyto_kedro.algorithms.contacts.common import MISSING, Keys, find, fov_of, need, size, starts_of
from cyto_kedro.algorithms.networks.measures import (
    connecting_radius,
    lengths,
    measures,
    triangulate,
)
from cyto_kedro.errors import InputError


class Delaunay(Algorithm):
    """Delaunay triangulation of the cells of every frame, with an edge cut-off.

    Reads ``"dataframe"`` (`schemas.TrackPoints` of one field, all populations; a column `dead` is
    passed on to the nodes); optional ``"n_frames"`` (frames without cells get empty graphs too),
    ``"fov"`` (for a field without any cell), ``"pixel_size_um"``. Returns ``"network"``,
    ``{frame: networkx.Graph}`` with the edge attribute distance_px, and ``"measures"``
    (`schemas.NetworkMeasures`, network "delaunay"). The connecting radius is a property of the
    cells' positions and is not changed by the cut-off.
    """

    max_edge_um: float | None = Field(default=None, gt=0, description="drop longer edges, µm")
    max_edge_px: float | None = Field(default=None, gt=0, description="the same in pixels")
    graphs: bool = Field(default=True, description="false: only measures, network is empty")

    @model_validator(mode="after")
    def _one_unit(self) -> Delaunay:
        if self.max_edge_um is not None and self.max_edge_px is not None:
            raise ValueError("give max_edge_um or max_edge_px, not both")
        return self

    def __call__(self, data: Data) -> Data:
        """Return ``{"network", "measures"}``.

        Raises
        ------
        InputError
            If tables of several fields are given, or a position is not finite.
        ConfigError
            If `max_edge_um` is given for an uncalibrated field.
        """
        (points,) = need(data, "dataframe")
        limit = np.inf
        if self.max_edge_um is not None or self.max_edge_px is not None:
            pixel_size = data.get("pixel_size_um")
            limit = length_px("max_edge", self.max_edge_um, self.max_edge_px, pixel_size)
        cells = _Nodes(points, data, "delaunay")
        with _no_collection():
            for frame, rows in cells.frames():
                xy = cells.xy[rows]
                edges = triangulate(xy)
                length = lengths(xy, edges)
                radius = connecting_radius(len(xy), edges, length)
                edges, length = edges[length <= limit], length[length <= limit]
                cells.add(frame, rows, edges, length, {}, radius, self.graphs)
        return cells.result()


class ContactNetwork(Algorithm):
    """The graph of cells in contact, for every frame.

    Reads ``"contacts"`` (`schemas.Contacts`) and ``"dataframe"`` (`schemas.TrackPoints`, all
    populations) of one field; optional ``"n_frames"``, ``"fov"``. Returns ``"network"``,
    ``{frame: networkx.Graph}`` with the edge attributes distance_px and contact_length_px, and
    ``"measures"`` (`schemas.NetworkMeasures`, network "contact"). Here distance_px, and so
    mean_edge_px, is the gap between the two masks; the connecting radius is that of positions and
    is left null (see `Delaunay`).
    """

    graphs: bool = Field(default=True, description="false: only measures, network is empty")

    def __call__(self, data: Data) -> Data:
        """Return ``{"network", "measures"}``.

        Raises
        ------
        InputError
            If tables of several fields are given, or a contact's cell is not among the points.
        """
        points, contacts = need(data, "dataframe", "contacts")
        fov_of(points, contacts)
        cells = _Nodes(points, data, "contact")
        contacts = contacts.sort_values("frame", kind="stable", ignore_index=True)
        ends = cells.rows_of(contacts)
        distance = contacts["distance_px"].to_numpy(float)
        touching = contacts["contact_length_px"].to_numpy(float)
        frame_of = contacts["frame"].to_numpy()
        with _no_collection():
            for frame, rows in cells.frames():
                of = slice(*np.searchsorted(frame_of, [frame, frame + 1]))
                extra = {"contact_length_px": touching[of]}
                cells.add(
                    frame, rows, ends[of] - rows.start, distance[of], extra, np.nan, self.graphs
                )
        return cells.result()


class AggregateContacts(Algorithm):
    """The contact graph of a whole film: who ever touched whom, how often and for how long.

    Reads ``"bouts"`` (`schemas.Bouts`) and ``"dataframe"`` (`schemas.TrackPoints`, all
    populations) of one field; optional ``"fov"``. Returns ``"network"``, one `networkx.Graph`.
    Nodes are all tracks, at their mean measured position, with first_frame and last_frame; `dead`
    is true if the track ever is. Edges carry contact_frames, n_bouts, first_frame, last_frame and
    duration_min (summed; None where time is unknown).
    """

    def __call__(self, data: Data) -> Data:
        """Return ``{"network"}``.

        Raises
        ------
        InputError
            If tables of several fields are given.
        """
        import networkx as nx

        points, bouts = need(data, "dataframe", "bouts")
        fov = fov_of(points, bouts, fov=data.get("fov"))
        graph = nx.Graph(fov=fov, network="contact")
        how: dict[str, tuple[str, str]] = {
            "x_px": ("x_px", "mean"),
            "y_px": ("y_px", "mean"),
            "first_frame": ("frame", "min"),
            "last_frame": ("frame", "max"),
        }
        if "dead" in points:
            how["dead"] = ("dead", "any")
        seen = points[~points["interpolated"].to_numpy(bool)]
        tracks = seen.groupby(["population", "track_id"], as_index=False).agg(**how)
        keys = list(zip(tracks["population"], tracks["track_id"].tolist(), strict=True))
        graph.add_nodes_from(zip(keys, _records(tracks), strict=True))
        pair = ["population_a", "track_id_a", "population_b", "track_id_b"]
        edges = bouts.groupby(pair, as_index=False).agg(
            contact_frames=("n_contact_frames", "sum"),
            n_bouts=("bout", "size"),
            first_frame=("start_frame", "min"),
            last_frame=("end_frame", "max"),
            duration_min=("duration_min", lambda minutes: minutes.sum(skipna=False)),
        )
        a, b = (
            zip(edges[f"population_{side}"], edges[f"track_id_{side}"].tolist(), strict=True)
            for side in "ab"
        )
        graph.add_edges_from(zip(a, b, _records(edges.drop(columns=pair)), strict=True))
        return {"network": graph}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dicts of plain Python values, null as None."""
    columns = [
        [None if value != value else value for value in table[name].tolist()] for name in table
    ]
    names = list(table.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection within: the many dicts of a graph would set it off, doubling the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Nodes:
    """The cells of a field, sorted by frame; collects the graphs and measures of its frames."""

    def __init__(self, points: pd.DataFrame, data: Data, network: str) -> None:
        self.fov = fov_of(points, fov=data.get("fov"))
        self.network = network
        points = points.sort_values(["frame", "population", "track_id"], ignore_index=True)
        self.points = points
        self.frame = points["frame"].to_numpy(np.int64)
        self.xy = points[["x_px", "y_px"]].to_numpy(float)
        bad = np.flatnonzero(~np.isfinite(self.xy).all(axis=1))
        if len(bad):
            row = points.iloc[bad[0]]
            raise InputError(
                f"field {row['fov']!r}, {row['population']} track {row['track_id']}, frame "
                f"{row['frame']}: its position is not a number, so it has no neighbours; rerun "
                f"tabulation and tracking of this field"
            )
        self.n_frames = data.get("n_frames")
        names = ["population", "track_id", "x_px", "y_px", *(["dead"] if "dead" in points else [])]
        self._values = {name: points[name].tolist() for name in names}
        self._keys = list(zip(self._values["population"], self._values["track_id"], strict=True))
        self._graphs: dict[int, Any] = {}
        self._rows: list[dict[str, Any]] = []

    def frames(self) -> Iterator[tuple[int, slice]]:
        """Every frame and its rows; without `n_frames` only those with cells."""
        every = range(self.n_frames) if self.n_frames else self.frame[starts_of(self.frame)]
        for frame in every:
            yield int(frame), slice(*np.searchsorted(self.frame, [frame, frame + 1]).tolist())

    def rows_of(self, contacts: pd.DataFrame) -> np.ndarray:
        """Rows (C, 2) of the two cells of each contact."""
        names = (self.points["population"], contacts["population_a"], contacts["population_b"])
        track = self.points["track_id"]
        n_frame = size(self.points["frame"], contacts["frame"])
        n_track = size(track, contacts["track_id_a"], contacts["track_id_b"])
        keys = Keys(names, n_track, n_frame)
        cell = keys.pack(keys.code(self.points["population"]), track.to_numpy(), self.frame)
        order = np.argsort(cell)
        rows = np.empty((len(contacts), 2), np.int64)
        frame = contacts["frame"].to_numpy()
        for column, side in enumerate("ab"):
            code = keys.code(contacts[f"population_{side}"])
            at = find(cell[order], keys.pack(code, contacts[f"track_id_{side}"].to_numpy(), frame))
            if (at == MISSING).any():
                bad = contacts.iloc[int(np.flatnonzero(at == MISSING)[0])]
                raise InputError(
                    f"field {bad['fov']!r}, frame {bad['frame']}: a contact names "
                    f"{bad[f'population_{side}']} track {bad[f'track_id_{side}']}, which has no "
                    f"point there; rerun contacts on these tracks"
                )
            rows[:, column] = order[at]
        return rows

    def add(
        self,
        frame: int,
        rows: slice,
        edges: np.ndarray,
        length: np.ndarray,
        extra: dict[str, np.ndarray],
        radius: float,
        graphs: bool,
    ) -> None:
        """Record the graph of one frame; `edges` number the cells within `rows`."""
        measured = measures(rows.stop - rows.start, edges, length)
        self._rows.append({"frame": frame, **measured, "connecting_radius_px": radius})
        if not graphs:
            return
        self._graphs[frame] = self._graph(frame, rows, edges, {"distance_px": length, **extra})

    def _graph(
        self, frame: int, rows: slice, edges: np.ndarray, columns: dict[str, np.ndarray]
    ) -> Any:
        import networkx as nx

        graph = nx.Graph(fov=self.fov, frame=frame, network=self.network)
        keys = self._keys[rows]
        values = zip(*(column[rows] for column in self._values.values()), strict=True)
        names = list(self._values)
        graph.add_nodes_from(
            (key, dict(zip(names, row, strict=True))) for key, row in zip(keys, values, strict=True)
        )
        values = zip(*(column.tolist() for column in columns.values()), strict=True)
        names = list(columns)
        graph.add_edges_from(
            (keys[a], keys[b], dict(zip(names, row, strict=True)))
            for (a, b), row in zip(edges.tolist(), values, strict=True)
        )
        return graph

    def result(self) -> Data:
        """The data dict of the graphs recorded."""
        if not self._rows:
            return {"network": {}, "measures": schemas.empty(schemas.NetworkMeasures)}
        table = pd.DataFrame(self._rows).assign(fov=self.fov, network=self.network)
        return {
            "network": self._graphs,
            "measures": schemas.conform(schemas.NetworkMeasures, table),
        }
