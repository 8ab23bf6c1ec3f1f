"""Cell graphs of every frame: neighbours by position, and contacts.

A node is the tuple ``(population, track_id)`` with the attributes population, track_id, x_px, y_px
and, where the points have a column `dead`, dead. A graph of a frame carries fov, frame and network
as its own attributes. Interpolated positions are nodes too. All values are plain Python.

All algorithms here read ``"dataframe"`` (`schemas.TrackPoints` of one field, all populations);
optional ``"n_frames"`` (frames without cells get empty graphs too), ``"fov"`` (for a field without
any cell), ``"populations"`` (names, so that a population without cells is counted too) and
``"pixel_size_um"``. All return ``"network"``, ``{frame: networkx.Graph}`` (`FrameGraphs`: a graph is
made when it is asked for), ``"measures"`` (`schemas.NetworkMeasures`) and ``"nodes"``
(`schemas.NetworkNodes`). Distances are between centres, but in `ContactNetwork`.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Data, length_px
from cyto_kedro.algorithms.networks.field import CellGraph, FieldCells
from cyto_kedro.algorithms.networks.measures import (
    connecting_radii,
    join_frames,
    lengths,
    triangulate,
)
from cyto_kedro.core.keys import fov_of, need


def _limit(name: str, um: float | None, px: float | None, data: Data) -> float:
    """A length that may be left out, in pixels; infinite without."""
    return np.inf if um is px is None else length_px(name, um, px, data.get("pixel_size_um"))


class Delaunay(CellGraph):
    """Delaunay triangulation of the cells of every frame, with an edge cut-off.

    Edges have distance_px; `network` is "delaunay". The connecting radius, the longest edge of the
    minimum spanning tree, is a property of the cells' positions and is not changed by the cut-off.
    """

    max_edge_um: float | None = Field(default=None, gt=0, description="drop longer edges, µm")
    max_edge_px: float | None = Field(default=None, gt=0, description="the same in pixels")

    @model_validator(mode="after")
    def _one_unit(self) -> Delaunay:
        if self.max_edge_um is not None and self.max_edge_px is not None:
            raise ValueError("give max_edge_um or max_edge_px, not both")
        return self

    def __call__(self, data: Data) -> Data:
        """Return ``{"network", "measures", "nodes"}``.

        Raises
        ------
        InputError
            If tables of several fields are given, or a position is not finite.
        ConfigError
            If `max_edge_um` is given for an uncalibrated field.
        """
        (points,) = need(data, "dataframe")
        limit = _limit("max_edge", self.max_edge_um, self.max_edge_px, data)
        cells = FieldCells(points, data)
        edges = triangulate(cells.each(), cells.starts)
        length = lengths(cells.xy, edges)
        radius = connecting_radii(cells.starts, edges, length)
        kept = length <= limit
        return cells.result(self, "delaunay", edges[kept], {"distance_px": length[kept]}, radius)


class RadiusGraph(CellGraph):
    """All pairs of cells whose centres are at most a distance apart, in every frame.

    Edges have distance_px; `network` is "radius". Found by a k-d tree, so that time grows with cells
    and edges, not with pairs. The connecting radius is left empty (see `Delaunay`).
    """

    max_distance_um: float | None = Field(default=None, gt=0, description="longest edge, µm")
    max_distance_px: float | None = Field(default=None, gt=0, description="the same in pixels")

    @model_validator(mode="after")
    def _one_unit(self) -> RadiusGraph:
        if (self.max_distance_um is None) == (self.max_distance_px is None):
            raise ValueError("give exactly one of max_distance_um and max_distance_px")
        return self

    def __call__(self, data: Data) -> Data:
        """Return ``{"network", "measures", "nodes"}``; raises as `Delaunay`."""
        from scipy.spatial import cKDTree

        (points,) = need(data, "dataframe")
        limit = _limit("max_distance", self.max_distance_um, self.max_distance_px, data)
        cells = FieldCells(points, data)
        pairs = (
            cKDTree(xy).query_pairs(limit, output_type="ndarray").astype(np.int64)
            for xy in cells.each()
        )
        edges = join_frames(pairs, cells.starts)
        return cells.result(self, "radius", edges, {"distance_px": lengths(cells.xy, edges)})


class NearestGraph(CellGraph):
    """Each cell joined to the k cells nearest to it, in every frame.

    An edge is there if one of the two is among the other's k nearest, or, with `mutual`, each is of
    the other. Edges have distance_px; `network` is "nearest".
    """

    k: int = Field(default=6, ge=1, description="neighbours of each cell")
    mutual: bool = Field(default=False, description="only pairs that choose each other")
    max_distance_um: float | None = Field(default=None, gt=0, description="drop longer edges, µm")
    max_distance_px: float | None = Field(default=None, gt=0, description="the same in pixels")

    @model_validator(mode="after")
    def _one_unit(self) -> NearestGraph:
        if self.max_distance_um is not None and self.max_distance_px is not None:
            raise ValueError("give max_distance_um or max_distance_px, not both")
        return self

    def __call__(self, data: Data) -> Data:
        """Return ``{"network", "measures", "nodes"}``; raises as `Delaunay`."""
        (points,) = need(data, "dataframe")
        limit = _limit("max_distance", self.max_distance_um, self.max_distance_px, data)
        cells = FieldCells(points, data)
        edges = join_frames(map(self._pairs, cells.each()), cells.starts)
        length = lengths(cells.xy, edges)
        kept = length <= limit
        return cells.result(self, "nearest", edges[kept], {"distance_px": length[kept]})

    def _pairs(self, xy: np.ndarray) -> np.ndarray:
        from scipy.spatial import cKDTree

        n = len(xy)
        k = min(self.k, n - 1)
        if k < 1:
            return np.zeros((0, 2), np.int64)
        near = cKDTree(xy).query(xy, k + 1)[1]
        # a cell is its own nearest, but where others lie on it not always the first
        own = near == np.arange(n)[:, None]
        own[~own.any(axis=1), -1] = True
        other = near[~own].astype(np.int64)
        one = np.repeat(np.arange(n), k)
        code = np.minimum(one, other) * n + np.maximum(one, other)
        pairs, chosen = np.unique(code, return_counts=True)
        return np.stack(np.divmod(pairs[chosen == 2] if self.mutual else pairs, n), axis=1)


class ContactNetwork(CellGraph):
    """The graph of cells in contact, for every frame.

    Reads ``"contacts"`` (`schemas.Contacts`) too. Edges have distance_px, here, and so in
    mean_edge_px, the gap between the two masks, and contact_length_px; `network` is "contact". The
    connecting radius is that of positions and is left empty (see `Delaunay`).
    """

    def __call__(self, data: Data) -> Data:
        """Return ``{"network", "measures", "nodes"}``.

        Raises
        ------
        InputError
            If tables of several fields are given, or a contact's cell is not among the points.
        """
        points, contacts = need(data, "dataframe", "contacts")
        fov_of(points, contacts)
        cells = FieldCells(points, data)
        contacts = contacts.sort_values("frame", kind="stable", ignore_index=True)
        values = {
            name: contacts[name].to_numpy(float) for name in ("distance_px", "contact_length_px")
        }
        return cells.result(self, "contact", cells.ends_of(contacts), values)
