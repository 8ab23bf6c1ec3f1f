"""Repair what touching cells do to tracks: two cells seen as one for a while, or one seen as two.

One frame cannot say whether a blob is one cell or two; the frames before and after can. Everything
here is read off the table of cells: where a cell is lost beside another that grows by its size, the two
have run into one; where a cell appears beside another that shrinks, they have come apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import scipy
from pydantic import Field

from cyto_kedro.algorithms.tracking.links import Links
from cyto_kedro.algorithms.tracking.masks import best_pairs
from cyto_kedro.algorithms.tracking.steps import (
    Linked,
    TrackStep,
    measured,
    position_of,
    ratio,
    without,
)
from cyto_kedro.core.keys import is_repaired

_MARGIN = 1.2  # a cell lies in a blob if its centre is within so many radii of the blob's centre
_LIKELY_SWAP = 0.8  # identities are exchanged if that costs less than this share of keeping them


@dataclass(frozen=True)
class _Cells:
    """Rows of detections: frame, track, position (n, 2), area, and the rows before and after (-1)."""

    frame: np.ndarray
    track: np.ndarray
    position: np.ndarray
    area: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def radius(self) -> np.ndarray:
        """(n,) of the disc of equal area, pixels."""
        return np.sqrt(self.area / np.pi)


class RepairMerges(TrackStep):
    """Carry cells through frames in which they were segmented as one with a neighbour, or as two.

    *Two seen as one.* A track is lost where a neighbour's mask grows by at least `min_share` of the
    lost cell's area and covers its place. Within `max_frames` a track begins where the neighbour shrinks
    by as much. The lost cell goes on as the one that begins; or as the neighbour, and the neighbour as
    that one, if places and areas fit clearly better so. Its frames in the blob stay unknown: they get
    rows without a label (as gaps do), so contact in them is neither claimed nor denied.
    They are marked `repaired`; so is the neighbour, whose mask is of two cells there.

    *One seen as two.* A track that comes out of a neighbour so, and within `max_half_frames` goes back
    into the same one so, is a piece of it, and is dropped. The cell is marked `repaired` there, as
    its mask lacks the piece.

    Daughters of a division have a parent, so they are never taken for pieces; dead cells are lost
    beside nobody who grows. Inputs, outputs and errors are those of `TrackStep`; `cells` need
    ``area_px``. It sees the tables of the whole film, so results do not depend on blocks.

    Examples
    --------
    >>> from cyto_kedro import schemas
    >>> rows = {"frame": [0, 0, 1, 2, 2], "label": [1, 2, 1, 1, 2], "track_id": [1, 2, 1, 1, 3]}
    >>> place = {"x_px": [10.0, 20.0, 15.0, 10.0, 20.0], "y_px": 5.0}
    >>> points = schemas.filled(schemas.TrackPoints, {**rows, **place})
    >>> areas = {"frame": rows["frame"], "label": rows["label"], "area_px": [80, 80, 160, 80, 80]}
    >>> cells = schemas.filled(schemas.Cells, areas)
    >>> repaired = RepairMerges()(track_points=points, cells=cells)["track_points"]
    >>> repaired[["track_id", "frame", "interpolated"]].values.tolist()[3:]
    [[2, 0, False], [2, 1, True], [2, 2, False]]
    """

    version: ClassVar[int] = 2

    max_frames: int = Field(15, ge=1, description="longest time that two cells are seen as one")
    max_half_frames: int = Field(
        2,
        ge=0,
        description="longest time that a piece of a cell is seen beside it; 0: none is dropped",
    )
    min_share: float = Field(
        0.5, gt=0, le=1, description="of the lost cell's area, by which the other must grow"
    )

    def edit(self, tracks: Linked) -> tuple[pd.DataFrame, Links]:
        table, links = tracks.table, tracks.links
        found, into, out_of = self._merged(table, links, tracks.cells)
        row, end = self._pieces(found, into, out_of)
        if len(row):
            table = _marked(table, found, found.track[out_of[row]], row, end)
            table, links = without(table, links, np.isin(found.track, found.track[row]))
            found, into, out_of = self._merged(table, links, tracks.cells)
        i, j = self._lost(found, into, out_of)
        if not len(i):
            return table, links
        table = _marked(table, found, found.track[into[i]], into[i], out_of[j])
        return table, self._carried(found, links, i, j, into, out_of)

    def _merged(
        self, table: pd.DataFrame, links: Links, cells: pd.DataFrame | None
    ) -> tuple[_Cells, np.ndarray, np.ndarray]:
        """Detections, and the blob that each went into and came out of (`_blob`)."""
        found = _cells(table, links, measured(table, "area_px", cells, "RepairMerges"))
        rows = np.arange(len(table))
        into = self._blob(found, np.setdiff1d(rows, links.source), 1)
        return found, into, self._blob(found, np.setdiff1d(rows, links.target), -1)

    def _blob(self, cells: _Cells, rows: np.ndarray, side: int) -> np.ndarray:
        """(n,) the row of the blob that each of `rows` went into (`side` 1) or came out of (-1); -1.

        It is in the next (the last) frame, covers the cell's place, and its track grows (shrank)
        between the two frames by the cell's size.
        """
        blob = np.full(len(cells.frame), -1, np.int64)
        scale = 4 * (_MARGIN * cells.radius.max(initial=1.0) + 1)  # other frames are out of reach
        tree = scipy.spatial.cKDTree(np.column_stack([cells.position, cells.frame * scale]))
        at = np.column_stack([cells.position[rows], (cells.frame[rows] + side) * scale])
        alone = cells.before if side == 1 else cells.after
        for row, near in zip(rows.tolist(), tree.query_ball_point(at, scale / 4), strict=True):
            others = np.array(near, np.int64)
            others = others[alone[others] >= 0]
            distance = np.hypot(*(cells.position[others] - cells.position[row]).T)
            distance /= cells.radius[others]
            gain = cells.area[others] - cells.area[alone[others]]
            fits = (distance <= _MARGIN) & (gain >= self.min_share * cells.area[row])
            fits &= cells.track[others] != cells.track[row]
            if fits.any():
                blob[row] = others[fits][np.argmin(distance[fits])]
        return blob

    def _pieces(
        self, cells: _Cells, into: np.ndarray, out_of: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """First and last rows of tracks that came out of a cell and soon go back into the same."""
        lost, born = np.flatnonzero(into >= 0), np.flatnonzero(out_of >= 0)
        one = pd.DataFrame({"track": cells.track[born], "row": born})
        two = pd.DataFrame({"track": cells.track[lost], "end": lost})
        both = one.merge(two, on="track")
        row, end = both["row"].to_numpy(np.int64), both["end"].to_numpy(np.int64)
        short = cells.frame[end] - cells.frame[row] < self.max_half_frames
        same = cells.track[out_of[row]] == cells.track[into[end]]
        return row[short & same], end[short & same]

    def _lost(
        self, cells: _Cells, into: np.ndarray, out_of: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of rows: a cell that went into a blob, and the one that came out of it again."""
        lost, born = np.flatnonzero(into >= 0), np.flatnonzero(out_of >= 0)
        one = pd.DataFrame({"track": cells.track[into[lost]], "lost": lost})
        two = pd.DataFrame({"track": cells.track[out_of[born]], "born": born})
        both = one.merge(two, on="track")
        i, j = both["lost"].to_numpy(np.int64), both["born"].to_numpy(np.int64)
        time = cells.frame[j] - cells.frame[i] - 1
        near = (
            (time >= 1)
            & (time <= self.max_frames)
            & (cells.frame[into[i]] <= cells.frame[out_of[j]])
        )
        i, j = i[near], j[near]
        keeping, exchanging, _ = self._ways(cells, i, j, into, out_of)
        return best_pairs(i, j, 1 / (1 + np.minimum(keeping, exchanging)))

    def _carried(
        self,
        cells: _Cells,
        links: Links,
        i: np.ndarray,
        j: np.ndarray,
        into: np.ndarray,
        out_of: np.ndarray,
    ) -> Links:
        """The links, with cells `i` carried through blobs to `j`."""
        keeping, exchanging, last = self._ways(cells, i, j, into, out_of)
        swap = exchanging < _LIKELY_SWAP * keeping
        cut = np.isin(links.target, last[swap])
        kept = links.keep(~cut)
        source = np.concatenate([i, out_of[j[swap]]])
        target = np.concatenate([np.where(swap, last, j), j[swap]])
        return kept.add(source, target, filled=True)

    @staticmethod
    def _ways(
        cells: _Cells, i: np.ndarray, j: np.ndarray, into: np.ndarray, out_of: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cost of both cells kept, and of both exchanged; where the other cell goes on."""
        first, last = cells.before[into[i]], cells.after[out_of[j]]
        keeping = _cost(cells, i, j) + _cost(cells, first, last)
        return keeping, _cost(cells, i, last) + _cost(cells, first, j), last


def _marked(
    table: pd.DataFrame, cells: _Cells, track: np.ndarray, first: np.ndarray, last: np.ndarray
) -> pd.DataFrame:
    """`table` with `repaired` true for each of `track` from the frame of row `first` to `last`'s."""
    spans = pd.DataFrame({"track": track, "low": cells.frame[first], "high": cells.frame[last]})
    rows = pd.DataFrame({"track": cells.track, "frame": cells.frame, "row": np.arange(len(table))})
    both = rows.merge(spans, on="track")
    within = both["frame"].between(both["low"], both["high"])
    return table.assign(
        repaired=is_repaired(table) | np.isin(np.arange(len(table)), both["row"][within])
    )


def _cells(table: pd.DataFrame, links: Links, area: np.ndarray) -> _Cells:
    n = len(table)
    before, after = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    before[links.target], after[links.source] = links.source, links.target
    frame, track = (table[name].to_numpy(np.int64) for name in ("frame", "track_id"))
    return _Cells(frame, track, position_of(table), area, before, after)


def _cost(cells: _Cells, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """How unlike two detections are: distance in radii, and the log ratio of their areas."""
    apart = np.hypot(*(cells.position[two] - cells.position[one]).T)
    radius = np.sqrt(0.5 * (cells.area[one] + cells.area[two]) / np.pi)
    return apart / radius - np.log(ratio(cells.area[one], cells.area[two]))
