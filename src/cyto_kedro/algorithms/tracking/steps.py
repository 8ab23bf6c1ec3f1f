"""What is done to tracks after linking, each step by its name: gaps, length, debris, fragments."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypedDict

import numpy as np
import pandas as pd
import scipy
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.tracking.links import Links, assemble, links_of, rank_of, reordered
from cyto_kedro.algorithms.tracking.masks import best_pairs
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.units import PositiveArea, PositiveLength
from cyto_kedro.errors import ConfigError, InputError, unknown


class Edited(TypedDict):
    """What a step makes."""

    track_points: TableOf[schemas.TrackPoints]


@dataclass(frozen=True)
class Linked:
    """Tracks taken apart: detections (rows in order of frame and place) and their links."""

    table: pd.DataFrame
    links: Links
    cells: pd.DataFrame | None
    pixel_size_um: float | None


class TrackStep(Algorithm):
    """Changes the tracks of one population of one field.

    Tracks are numbered anew by first sight. Gaps that had interpolated rows keep them; gaps that a
    step makes have none until `InterpolateGaps`. Results depend neither on how labels are numbered
    nor on the order of rows. `cyto_kedro.algorithms.tracking.common.tracks_of` makes the table of
    tracks.
    """

    version: ClassVar[int] = 3

    @property
    def least(self) -> int:
        """Tracks with fewer detections are dropped."""
        return 1

    @abstractmethod
    def edit(self, tracks: Linked) -> tuple[pd.DataFrame, Links]:
        """Change detections and the links between them."""

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        cells: TableOf[schemas.Cells] | None = None,
        pixel_size_um: float | None = None,
        time_min: Any = None,
    ) -> Edited:
        """Change tracks.

        Parameters
        ----------
        track_points
            Of a `Linker` or of the step before.
        cells
            Of the same population; read by steps that compare cells.
        pixel_size_um, time_min
            As for `Linker`.
        """
        if track_points["label"].notna().any():
            table, links = links_of(track_points)
            placed = reordered(table, links, rank_of(table, ["frame", "y_px", "x_px", "label"]))
            table, links = self.edit(Linked(*placed, cells, pixel_size_um))
            if len(table):
                table, links = reordered(table, links, rank_of(table, ["frame", "label"]))
                made = assemble(table, links, pixel_size_um, time_min, self.least)
                if len(made):
                    return {"track_points": made}
        empty = schemas.empty(schemas.TrackPoints)
        for column in ("parent_track_id", "merged_into_track_id"):
            empty[column] = pd.Series(dtype="Int64")
        return {"track_points": empty}


def measured(table: pd.DataFrame, column: str, cells: pd.DataFrame | None, who: str) -> np.ndarray:
    """(n,) float64, `column` of the cells that the rows of `table` are.

    Raises ConfigError if the cells have no such column. Raises InputError if the cells are missing.
    """
    if cells is None:
        raise InputError(f"{who} compares {column} of cells, so it needs their table ('cells')")
    if column not in cells.columns:
        raise ConfigError(f"{who}: {unknown('column of the cells', column, cells.columns)}")
    keys = ["frame", "label"]
    values = table[keys].merge(cells[[*keys, column]], on=keys, how="left")[column]
    return values.to_numpy(np.float64)


def position_of(table: pd.DataFrame) -> np.ndarray:
    """(n, 2) float64, y and x in pixels."""
    return table[["y_px", "x_px"]].to_numpy(np.float64)


class InterpolateGaps(TrackStep):
    """Give frames in which a track was not seen a row on the straight line.

    Rows are marked `interpolated`, and `repaired` where it was not the linker that made them.

    Such a row has no label, so contact and death in it are unknown, not absent. Linkers do it
    themselves (`interpolate_gaps`); this step is for gaps that other steps made, or for short
    gaps only. Inputs, outputs and errors are those of `TrackStep`.

    Examples
    --------
    >>> rows = {"frame": [0, 3], "label": [1, 1], "track_id": 1, "x_px": [2.0, 8.0], "y_px": 5.0}
    >>> points = schemas.filled(schemas.TrackPoints, rows)
    >>> InterpolateGaps()(track_points=points)["track_points"]["x_px"].tolist()
    [2.0, 4.0, 6.0, 8.0]
    """

    max_gap_frames: int | None = Field(
        None, ge=1, description="longest gap filled, frames not seen; null: all"
    )

    def edit(self, tracks: Linked) -> tuple[pd.DataFrame, Links]:
        table, links = tracks.table, tracks.links
        frame = table["frame"].to_numpy(np.int64)
        missing = frame[links.target] - frame[links.source] - 1
        short = missing <= (np.inf if self.max_gap_frames is None else self.max_gap_frames)
        new = short & ~links.filled
        return table, replace(links, filled=links.filled | new, repaired=links.repaired | new)


class MinimumLength(TrackStep):
    """Drop tracks that were seen in few frames.

    A parent left with one daughter goes on as that daughter; daughters of a dropped parent have
    none. Inputs, outputs and errors are those of `TrackStep`.

    Examples
    --------
    >>> rows = {"frame": [0, 0, 1], "label": [1, 2, 1], "track_id": [1, 2, 1], "x_px": 2, "y_px": 5}
    >>> points = schemas.filled(schemas.TrackPoints, rows)
    >>> MinimumLength(min_points=2)(track_points=points)["track_points"]["frame"].tolist()
    [0, 1]
    """

    min_points: int = Field(ge=1, description="frames in which a track must have been seen")

    @property
    def least(self) -> int:
        return self.min_points

    def edit(self, tracks: Linked) -> tuple[pd.DataFrame, Links]:
        return tracks.table, tracks.links


class RemoveStill(TrackStep):
    """Drop tracks of still debris: seen long, never leaving a small circle, and small if asked.

    A cell that stays where it is looks the same, so give `max_area` too where cells rest, and
    look at what was dropped. Inputs, outputs and errors are those of `TrackStep`.

    Examples
    --------
    >>> rows = {"frame": [0, 1], "label": 1, "track_id": 1, "x_px": [2.0, 2.1], "y_px": 5.0}
    >>> points = schemas.filled(schemas.TrackPoints, rows)
    >>> len(RemoveStill(max_spread_px=1, min_points=2)(track_points=points)["track_points"])
    0
    """

    max_spread: PositiveLength = Field(
        description="root mean square distance from the track's mean position, largest"
    )
    min_points: int = Field(10, ge=2, description="tracks seen in fewer frames are kept")
    max_area: PositiveArea | None = Field(
        None, description="cells of larger median area are kept; null: any size"
    )

    def edit(self, tracks: Linked) -> tuple[pd.DataFrame, Links]:
        table, links = tracks.table, tracks.links
        spread = self.max_spread.in_px("max_spread", tracks.pixel_size_um) * (1 + 1e-9)
        track = table["track_id"]
        off = table[["y_px", "x_px"]] - table.groupby(track)[["y_px", "x_px"]].transform("mean")
        square = (off**2).sum(axis=1).groupby(track).transform("mean")
        still = (square <= spread**2) & (track.groupby(track).transform("size") >= self.min_points)
        if self.max_area is not None:
            area = pd.Series(measured(table, "area_px", tracks.cells, "RemoveStill"))
            limit = self.max_area.in_px("max_area", tracks.pixel_size_um) * (1 + 1e-9)
            still &= area.groupby(track).transform("median") <= limit
        return without(table, links, still.to_numpy(bool))


def without(table: pd.DataFrame, links: Links, drop: np.ndarray) -> tuple[pd.DataFrame, Links]:
    """The detections and links that do not touch `drop`, a mask over rows."""
    row = np.cumsum(~drop) - 1
    kept = links.keep(~(drop[links.source] | drop[links.target]))
    return table[~drop].reset_index(drop=True), kept.renumbered(row)


class JoinFragments(TrackStep):
    """Join the end of one track to the beginning of another, over longer gaps than a linker bridges.

    A lost cell is looked for where it would be had it gone on as over its last steps. Of all ways
    to join, each end and beginning at most once, that of least summed distance is taken. Ends at
    divisions and mergers are none. Inputs, outputs and errors are those of `TrackStep`.

    Examples
    --------
    >>> rows = {"frame": [0, 1, 4], "label": 1, "track_id": [1, 1, 2], "x_px": [2, 3, 6], "y_px": 5}
    >>> points = schemas.filled(schemas.TrackPoints, rows)
    >>> JoinFragments(max_distance_px=1)(track_points=points)["track_points"]["track_id"].tolist()
    [1, 1, 1]
    """

    max_gap_frames: int = Field(5, ge=0, description="longest gap, frames not seen")
    max_distance: PositiveLength = Field(
        description="largest distance from where the cell is looked for"
    )
    velocity_steps: int = Field(
        3, ge=0, description="steps whose mean velocity is kept; 0: looked for where it was lost"
    )
    min_area_ratio: float = Field(
        0.0,
        ge=0,
        le=1,
        description="least ratio of the smaller to the larger area; 0: not compared",
    )

    def edit(self, tracks: Linked) -> tuple[pd.DataFrame, Links]:
        table, links = tracks.table, tracks.links
        reach = self.max_distance.in_px("max_distance", tracks.pixel_size_um) * (1 + 1e-9)
        n, frame, position = len(table), table["frame"].to_numpy(np.int64), position_of(table)
        ends = np.setdiff1d(np.arange(n), links.source)
        starts = np.setdiff1d(np.arange(n), links.target)
        velocity = self._velocity(table, ends)
        area = (
            measured(table, "area_px", tracks.cells, "JoinFragments")
            if self.min_area_ratio
            else None
        )
        found: list[np.ndarray] = []
        tree = scipy.spatial.cKDTree(np.column_stack([position[starts], frame[starts] * 3 * reach]))
        for elapsed in range(1, self.max_gap_frames + 2):
            expected = position[ends] + velocity * elapsed
            when = (frame[ends] + elapsed) * 3 * reach  # other frames are out of reach
            near = scipy.spatial.cKDTree(np.column_stack([expected, when]))
            pairs = near.sparse_distance_matrix(tree, reach, output_type="ndarray")
            found.append(np.stack([ends[pairs["i"]], starts[pairs["j"]], pairs["v"]], axis=1))
        source, target = (np.concatenate(found)[:, k].astype(np.int64) for k in (0, 1))
        distance = np.concatenate(found)[:, 2]
        if area is not None:
            alike = ratio(area[source], area[target]) >= self.min_area_ratio * (1 - 1e-9)
            source, target, distance = source[alike], target[alike], distance[alike]
        source, target = best_pairs(source, target, 1.05 * reach - distance)
        return table, links.add(source, target)

    def _velocity(self, table: pd.DataFrame, ends: np.ndarray) -> np.ndarray:
        """(n_ends, 2) pixels a frame."""
        if self.velocity_steps == 0:
            return np.zeros((len(ends), 2))
        frame, track = (table[key].to_numpy(np.int64) for key in ("frame", "track_id"))
        order = np.lexsort((frame, track))
        first = np.searchsorted(track[order], track[ends])
        at = np.empty(len(table), np.int64)
        at[order] = np.arange(len(table))
        before = order[np.maximum(at[ends] - self.velocity_steps, first)]
        elapsed = np.maximum(frame[ends] - frame[before], 1)[:, None]
        position = position_of(table)
        return (position[ends] - position[before]) / elapsed


def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smaller over the larger of two non-negative measures; 1 where both are 0."""
    larger = np.maximum(a, b)
    return np.divide(np.minimum(a, b), larger, out=np.ones(len(larger)), where=larger > 0)
