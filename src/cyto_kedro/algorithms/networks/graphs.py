"""Cell graphs of every frame: neighbours by position, and contacts.

A node is the tuple ``(population, track_id)`` with the attributes population, track_id, x_px, y_px
and, where the points have a column `dead`, dead. A graph of a frame carries fov, frame and network
as its own attributes. Interpolated positions are nodes too. All values are plain Python.

All algorithms here take the track points of one field, all populations; `n_frames` (frames without
cells get empty graphs too), `fov` (for a field without any cell), `populations` (names, so that a
population without cells is counted too) and `pixel_size_um` where they are known. Graphs are made
when they are asked for (`FrameGraphs`). Distances are between centres, but in `ContactNetwork`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.networks.field import CellGraph, FieldCells, Graphs
from cyto_kedro.algorithms.networks.measures import (
    connecting_radii,
    join_frames,
    lengths,
    triangulate,
)
from cyto_kedro.core.keys import fov_of
from cyto_kedro.core.units import Length, PositiveLength
from cyto_kedro.schemas import TableOf


def _limit(name: str, limit: Length | None, pixel_size_um: float | None) -> float:
    """A length that may be left out, in pixels; infinite without."""
    return np.inf if limit is None else limit.in_px(name, pixel_size_um)


class Delaunay(CellGraph):
    """Delaunay triangulation of the cells of every frame, with an edge cut-off.

    Edges have distance_px; `network` is "delaunay". The connecting radius, the longest edge of the
    minimum spanning tree, is a property of the cells' positions and is not changed by the cut-off.

    Examples
    --------
    >>> import pandas as pd
    >>> points = pd.DataFrame({"x_px": [0.0, 1, 0, 9], "y_px": [0.0, 0, 1, 9]})
    >>> points = points.assign(fov="A1", population="TCell", track_id=[1, 2, 3, 4], frame=0)
    >>> points = points.assign(time_min=0.0)
    >>> made = Delaunay(max_edge_px=3)(track_points=points)
    >>> sorted((a[1], b[1]) for a, b in made["network"][0].edges)
    [(1, 2), (1, 3), (2, 3)]
    >>> made["nodes"]["degree"].tolist()
    [2, 2, 2, 0]
    """

    max_edge: PositiveLength | None = Field(default=None, description="drop longer edges")

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        fov: str | None = None,
        populations: Iterable[str] = (),
        pixel_size_um: float | None = None,
        n_frames: int | None = None,
    ) -> Graphs:
        """Join the cells of every frame.

        Raises
        ------
        InputError
            If tables of several fields are given, or a position is not finite.
        ConfigError
            If `max_edge_um` is given for an uncalibrated field.
        """
        limit = _limit("max_edge", self.max_edge, pixel_size_um)
        cells = FieldCells(track_points, fov, populations, pixel_size_um, n_frames)
        edges = triangulate(cells.each(), cells.starts)
        length = lengths(cells.xy, edges)
        radius = connecting_radii(cells.starts, edges, length)
        kept = length <= limit
        return cells.result(self, "delaunay", edges[kept], {"distance_px": length[kept]}, radius)


class RadiusGraph(CellGraph):
    """All pairs of cells whose centres are at most a distance apart, in every frame.

    Edges have distance_px; `network` is "radius". Found by a k-d tree, so that time grows with cells
    and edges, not with pairs. The connecting radius is left empty (see `Delaunay`).

    Examples
    --------
    >>> import pandas as pd
    >>> points = pd.DataFrame({"x_px": [0.0, 1, 0, 9], "y_px": [0.0, 0, 1, 9]})
    >>> points = points.assign(fov="A1", population="TCell", track_id=[1, 2, 3, 4], frame=0)
    >>> points = points.assign(time_min=0.0)
    >>> made = RadiusGraph(max_distance_px=1)(track_points=points)
    >>> sorted((a[1], b[1]) for a, b in made["network"][0].edges)
    [(1, 2), (1, 3)]
    """

    max_distance: PositiveLength = Field(description="longest edge")

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        fov: str | None = None,
        populations: Iterable[str] = (),
        pixel_size_um: float | None = None,
        n_frames: int | None = None,
    ) -> Graphs:
        """Join the cells of every frame; raises as `Delaunay`."""
        from scipy.spatial import cKDTree

        limit = self.max_distance.in_px("max_distance", pixel_size_um)
        cells = FieldCells(track_points, fov, populations, pixel_size_um, n_frames)
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

    Examples
    --------
    >>> import pandas as pd
    >>> points = pd.DataFrame({"x_px": [0.0, 1, 0, 9], "y_px": [0.0, 0, 1, 8]})
    >>> points = points.assign(fov="A1", population="TCell", track_id=[1, 2, 3, 4], frame=0)
    >>> points = points.assign(time_min=0.0)
    >>> made = NearestGraph(k=1)(track_points=points)
    >>> sorted((a[1], b[1]) for a, b in made["network"][0].edges)
    [(1, 2), (1, 3), (2, 4)]
    """

    k: int = Field(default=6, ge=1, description="neighbours of each cell")
    mutual: bool = Field(default=False, description="only pairs that choose each other")
    max_distance: PositiveLength | None = Field(default=None, description="drop longer edges")

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        fov: str | None = None,
        populations: Iterable[str] = (),
        pixel_size_um: float | None = None,
        n_frames: int | None = None,
    ) -> Graphs:
        """Join the cells of every frame; raises as `Delaunay`."""
        limit = _limit("max_distance", self.max_distance, pixel_size_um)
        cells = FieldCells(track_points, fov, populations, pixel_size_um, n_frames)
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

    Edges have distance_px, here, and so in mean_edge_px, the gap between the two masks, and
    contact_length_px; `network` is "contact". The connecting radius is that of positions and is left
    empty (see `Delaunay`).

    Examples
    --------
    >>> import pandas as pd
    >>> points = pd.DataFrame({"x_px": [0.0, 1, 0, 9], "y_px": [0.0, 0, 1, 9]})
    >>> points = points.assign(fov="A1", population="TCell", track_id=[1, 2, 3, 4], frame=0)
    >>> points = points.assign(time_min=0.0)
    >>> contacts = pd.DataFrame({"track_id_a": [1], "track_id_b": [3]}).assign(
    ...     fov="A1", frame=0, population_a="TCell", population_b="TCell", distance_px=0.5,
    ...     contact_length_px=2.0)
    >>> made = ContactNetwork()(track_points=points, contacts=contacts)
    >>> made["measures"][["n_nodes", "n_edges"]].to_numpy().tolist()
    [[4, 1]]
    """

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        contacts: TableOf[schemas.Contacts],
        fov: str | None = None,
        populations: Iterable[str] = (),
        pixel_size_um: float | None = None,
        n_frames: int | None = None,
    ) -> Graphs:
        """Join the cells in contact.

        Raises
        ------
        InputError
            If tables of several fields are given, or a contact's cell is not among the points.
        """
        fov_of(track_points, contacts)
        cells = FieldCells(track_points, fov, populations, pixel_size_um, n_frames)
        ordered = contacts.sort_values("frame", kind="stable", ignore_index=True)
        names = ("distance_px", "contact_length_px")
        values = {name: ordered[name].to_numpy(float) for name in names}
        return cells.result(self, "contact", cells.ends_of(ordered), values)
