"""Links between detections, and the tables they make: tracks, divisions, mergers, gaps.

A **link** says that two detections are one cell, or a cell and what it divides into or merges with.
A track is a chain of links without branches: it ends where a cell divides or merges, and a new one
begins there. A table of track points can be taken apart into links again (`links_of`), changed,
and put together (`assemble`), so that every step after tracking numbers tracks in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy

from cyto_kedro import schemas
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import is_repaired, ranges

_KEPT = (
    "fov",
    "population",
    "frame",
    "time_min",
    "label",
    "x_px",
    "y_px",
    "x_um",
    "y_um",
    "repaired",
)


@dataclass(frozen=True)
class Links:
    """Links between rows of a table of detections.

    `source`, `target` (n_links,) int64, row numbers, the source in an earlier frame; `filled`
    (n_links,) bool: frames between the two get interpolated rows if they are one track; `repaired`
    (n_links,) bool: these rows are marked so, since a step after linking made them.
    """

    source: np.ndarray
    target: np.ndarray
    filled: np.ndarray
    repaired: np.ndarray

    @classmethod
    def of(cls, source: np.ndarray, target: np.ndarray, filled: bool = True) -> Links:
        """Links of a linker, or of a file."""
        return cls(source, target, np.full(len(source), filled), np.zeros(len(source), bool))

    def keep(self, which: np.ndarray) -> Links:
        """Those of `which`, a mask over links."""
        return Links(
            self.source[which], self.target[which], self.filled[which], self.repaired[which]
        )

    def add(self, source: np.ndarray, target: np.ndarray, filled: bool = False) -> Links:
        """These and further ones, of a step after linking."""
        made = np.full(len(source), filled)
        return Links(
            np.concatenate([self.source, source]),
            np.concatenate([self.target, target]),
            np.concatenate([self.filled, made]),
            np.concatenate([self.repaired, made]),
        )

    def renumbered(self, row: np.ndarray) -> Links:
        """The same between rows that now are at `row` (n_rows,)."""
        return replace(self, source=row[self.source], target=row[self.target])


def chains(
    n: int, source: np.ndarray, target: np.ndarray, min_points: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut links into tracks at divisions and mergers.

    A detection that is the source of several links divides; one that is the target of several is
    where tracks merge. A merger's own track has no parent (it has several).

    Parameters
    ----------
    n
        Number of detections, in order of (frame, label).
    source, target
        (n_links,) indices.
    min_points
        Tracks that have fewer detections are dropped, those first from which no other begins: this
        may leave a parent with one daughter, and so one track.

    Returns
    -------
    track, parent, merged
        (n,) track number from 1 in order of first detection, 0 where dropped; (n_tracks,) number
        of the parent of track 1, 2, …, and of the track it merges into; 0 for none.
    """
    alive = np.ones(n, bool)
    while True:
        part, born, joined = _components(n, source, target)
        size = np.bincount(part[alive], minlength=n)
        goes_on = np.zeros(n, bool)
        goes_on[born[:, 0]] = goes_on[joined[:, 0]] = True
        short = alive & (size[part] < min_points)
        drop = short & ~goes_on[part]
        if not drop.any():
            drop = short
        if not drop.any():
            break
        alive &= ~drop
        kept = alive[source] & alive[target]
        source, target = source[kept], target[kept]
    # Parts are numbered by their first detection: detections are in order of frame and label.
    parts, first, number = np.unique(part[alive], return_index=True, return_inverse=True)
    rank = np.empty(len(parts), np.int64)
    rank[np.argsort(first)] = np.arange(1, len(parts) + 1)
    track = np.zeros(n, np.int64)
    track[alive] = rank[number]
    of_part = np.zeros(n, np.int64)
    of_part[parts] = rank
    parent, merged = np.zeros(len(parts), np.int64), np.zeros(len(parts), np.int64)
    parent[of_part[born[:, 1]] - 1] = of_part[born[:, 0]]
    merged[of_part[joined[:, 0]] - 1] = of_part[joined[:, 1]]
    return track, parent, merged


def _components(
    n: int, source: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Part of every detection; (parent, daughter) and (merging, merged) parts of cut links."""
    merges = np.bincount(target, minlength=n)[target] > 1
    divides = np.bincount(source, minlength=n)[source] > 1
    cut = merges | divides
    one, two = source[~cut], target[~cut]
    matrix = scipy.sparse.coo_matrix((np.ones(len(one), bool), (one, two)), shape=(n, n))
    _, part = scipy.sparse.csgraph.connected_components(matrix, directed=False)
    pairs = np.stack([part[source], part[target]], axis=1)
    return part, pairs[divides & ~merges], pairs[merges]


def assemble(
    detections: pd.DataFrame,
    links: Links,
    pixel_size_um: float | None,
    time_min: Any,
    min_points: int = 1,
) -> TableOf[schemas.TrackPoints]:
    """`TrackPoints` of linked detections of one population, tracks numbered by first sight.

    Parameters
    ----------
    detections
        Columns fov, population, frame, label, x_px, y_px, at least one row, in order of (frame,
        label); `links` index its rows.
    pixel_size_um, time_min
        As for `Linker`.
    min_points
        As for `chains`.

    Returns
    -------
    DataFrame
        With the extra columns ``parent_track_id`` and ``merged_into_track_id``. Interpolated rows
        have no label and lie on the straight line between the detections before and after.
    """
    n = len(detections)
    track, parent, merged = chains(n, links.source, links.target, min_points)
    after, repaired = np.zeros(n, bool), np.zeros(n, bool)
    after[links.source[links.filled]] = True
    repaired[links.source[links.filled & links.repaired]] = True
    frame = detections["frame"].to_numpy(np.int64)
    seen = np.flatnonzero(track)
    order = seen[np.lexsort((frame[seen], track[seen]))]
    points = _points(detections.iloc[order], track[order], after[order], repaired[order])
    scale = np.nan if pixel_size_um is None else float(pixel_size_um)
    points["x_um"], points["y_um"] = points["x_px"] * scale, points["y_px"] * scale
    points["time_min"] = (
        np.nan if time_min is None else np.asarray(time_min, np.float64)[points["frame"]]
    )
    for key in ("fov", "population"):
        points[key] = str(detections[key].iloc[0])
    for key, of_track in (("parent_track_id", parent), ("merged_into_track_id", merged)):
        number = pd.Series(np.append(0, of_track)[points["track_id"]], points.index, dtype="Int64")
        points[key] = number.where(number > 0)
    return schemas.conform(schemas.TrackPoints, points)


def _points(
    cells: pd.DataFrame, track: np.ndarray, filled: np.ndarray, repaired: np.ndarray
) -> pd.DataFrame:
    """Rows of the tracks; `cells` in order of (track, frame).

    `filled` and `repaired` say of the gap after a cell that it gets rows, and marked ones.
    """
    frame = cells["frame"].to_numpy(np.int64)
    columns = {
        "track_id": track,
        "frame": frame,
        "x_px": cells["x_px"].to_numpy(np.float64),
        "y_px": cells["y_px"].to_numpy(np.float64),
    }
    label = cells["label"].to_numpy(np.int64)
    goes_on = (track[1:] == track[:-1]) & filled[:-1]
    missing = np.where(goes_on, np.diff(frame) - 1, 0)
    step, owner = ranges(np.ones_like(missing), missing)
    share = step / (missing[owner] + 1)
    for key, values in columns.items():
        between = values[owner] + share * (values[owner + 1] - values[owner])
        if values.dtype.kind == "i":
            between = np.rint(between).astype(np.int64)
        columns[key] = np.concatenate([values, between])
    points = pd.DataFrame(columns)
    points["interpolated"] = np.arange(len(points)) >= len(frame)
    points["repaired"] = np.concatenate([is_repaired(cells), repaired[owner]])
    points["label"] = pd.Series(label, dtype="Int64").reindex(points.index)
    return points.sort_values(["track_id", "frame"])


def links_of(points: pd.DataFrame) -> tuple[pd.DataFrame, Links]:
    """Take `TrackPoints` of one population apart: detections in order of (frame, label), links.

    Columns that are a track's or were derived are left out; ``track_id`` is kept.
    """
    real = points[points["label"].notna()]
    kept = [name for name in (*_KEPT, "track_id") if name in real.columns]
    table = real[kept].astype({"label": np.int64}).sort_values(["frame", "label"])
    table = table.reset_index(drop=True)
    frame, track = (table[key].to_numpy(np.int64) for key in ("frame", "track_id"))
    order = np.lexsort((frame, track))
    same = track[order[1:]] == track[order[:-1]]
    source, target = order[:-1][same], order[1:][same]
    after = pd.MultiIndex.from_arrays([track[source], frame[source] + 1])

    def followed(by: pd.DataFrame) -> np.ndarray:
        return np.asarray(after.isin(pd.MultiIndex.from_frame(by[["track_id", "frame"]])))

    made = points[points["interpolated"].to_numpy(bool)]
    filled = followed(made) | (frame[target] == frame[source] + 1)
    repaired = followed(made[is_repaired(made)])
    first = dict(zip(track[order[::-1]].tolist(), order[::-1].tolist(), strict=True))
    last = dict(zip(track[order].tolist(), order.tolist(), strict=True))
    links = Links(source, target, filled, repaired)
    for column, backwards in (("parent_track_id", True), ("merged_into_track_id", False)):
        if column not in real.columns:
            continue
        named = real.drop_duplicates("track_id").dropna(subset=[column])
        one, two = named["track_id"].tolist(), named[column].tolist()
        if backwards:
            one, two = two, one
        pairs = [
            (last[a], first[b]) for a, b in zip(one, two, strict=True) if a in last and b in first
        ]
        ends = np.array(pairs, np.int64).reshape(-1, 2)
        links = links.add(ends[:, 0], ends[:, 1])
    return table, links


def rank_of(table: pd.DataFrame, by: list[str]) -> np.ndarray:
    """(n,) int64, where each row of `table` comes in order of the columns `by`."""
    rank = np.empty(len(table), np.int64)
    rank[np.lexsort([table[name].to_numpy() for name in reversed(by)])] = np.arange(len(table))
    return rank


def reordered(table: pd.DataFrame, links: Links, rank: np.ndarray) -> tuple[pd.DataFrame, Links]:
    """The detections with row i at place ``rank[i]``, and their links."""
    order = np.argsort(rank)
    return table.iloc[order].reset_index(drop=True), links.renumbered(rank)
