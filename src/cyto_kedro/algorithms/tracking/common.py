"""What every linker shares: the contract, and from links between detections to track tables."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd
import scipy
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.tabulation.masks import ranges
from cyto_kedro.errors import InputError

# Steps over which the velocity is averaged that says whether a lost cell was leaving the image.
_EXIT_STEPS = 3


class Linker(Algorithm):
    """Joins the detections of one population of one field into tracks.

    Data
    ----
    ``"dataframe"``      `Cells` of one (fov, population), all frames.
    ``"n_frames"``       number of frames of the film.
    ``"shape"``          (Y, X) of the image.
    ``"pixel_size_um"``  micrometres per pixel, or None: the µm columns are then null.
    ``"time_min"``       (n_frames,) minutes, or None: `time_min` is then null.

    Returns ``{"dataframe": TrackPoints, "tracks": Tracks}``, the points with the extra column
    ``parent_track_id``. Tracks are numbered from 1 in order of
    (first frame, first label). A frame in which a track was not seen between two in which it was
    gets a row with a null label and the position on the straight line between them.

    `end_reason` is ``film_end`` for a track seen in the last frame, ``division`` for one with
    daughters; ``border`` if its last mask touched the edge of the image, its centre was within
    `border_px` of it, or its mean velocity over the last three steps takes the centre out of the
    image in the next frame; else ``lost``.

    Raises
    ------
    InputError
        If the table holds more than one field or population, repeats a label in a frame, or has a
        frame outside the film or a position that is not finite.
    """

    min_points: int = Field(
        1,
        ge=1,
        description="tracks seen in fewer frames are dropped; a parent left with one daughter goes "
        "on as that daughter, and daughters of a dropped parent have none",
    )
    interpolate_gaps: bool = Field(True, description="fill frames in which a track was not seen")
    border_px: float = Field(
        0.0, ge=0, description="margin in which a track that ends counts as having left, pixels"
    )

    @abstractmethod
    def link(
        self, frame: np.ndarray, position: np.ndarray, pixel_size_um: float | None, name: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Link detections.

        Parameters
        ----------
        frame
            (n,) int64, ascending; n is at least 1.
        position
            (n, 2) float64, y and x in pixels.
        pixel_size_um
            micrometres per pixel, or None.
        name
            the field and population, for messages.

        Returns
        -------
        source, target
            (n_links,) int64, indices of detections; the source is the earlier one. A detection is
            the target of at most one link.
        """

    def __call__(self, data: Data) -> Data:
        n_frames, shape = int(data["n_frames"]), tuple(data["shape"])
        size, times = data.get("pixel_size_um"), data.get("time_min")
        table: pd.DataFrame = data["dataframe"]
        if len(table) == 0:
            points = schemas.empty(schemas.TrackPoints)
            points["parent_track_id"] = pd.Series(dtype="Int64")
            return {"dataframe": points, "tracks": schemas.empty(schemas.Tracks)}
        check_cells(table, n_frames, times)
        fov, population = str(table["fov"].iloc[0]), str(table["population"].iloc[0])
        name = f"field {fov!r}, population {population!r}"
        cells = table.sort_values(["frame", "label"], ignore_index=True)
        frame = cells["frame"].to_numpy(np.int64)
        position = cells[["y_px", "x_px"]].to_numpy(np.float64)
        source, target = self.link(frame, position, size, name)
        track, parent = chains(len(cells), source, target, self.min_points)

        seen = np.flatnonzero(track)
        order = seen[np.lexsort((frame[seen], track[seen]))]
        points = _points(cells.iloc[order], track[order], self.interpolate_gaps)
        scale = np.nan if size is None else float(size)
        points["x_um"], points["y_um"] = points["x_px"] * scale, points["y_px"] * scale
        minutes = np.full(n_frames, np.nan) if times is None else np.asarray(times, np.float64)
        points["time_min"] = minutes[points["frame"]]
        points["fov"], points["population"] = fov, population
        named = pd.Series(np.append(0, parent)[points["track_id"]], points.index, dtype="Int64")
        points["parent_track_id"] = named.where(named > 0)
        points = schemas.conform(schemas.TrackPoints, points)
        return {
            "dataframe": points,
            "tracks": tracks_of(points, cells, n_frames, shape, self.border_px),
        }


def tracks_of(
    points: pd.DataFrame,
    cells: pd.DataFrame,
    n_frames: int,
    shape: tuple[int, ...],
    border_px: float = 0.0,
) -> pd.DataFrame:
    """One row per track of one population: when it begins and ends, and why.

    Tracks that a person joined or cut get theirs the same way.

    Parameters
    ----------
    points
        `TrackPoints`; its column ``parent_track_id``, where there is one, names the parents.
    cells
        `Cells` of the same population, all frames.
    n_frames, shape, border_px
        As for `Linker`.

    Raises
    ------
    InputError
        A point's label is no cell of its frame, or a parent is no track.
    """
    seen = points[points["label"].notna()].sort_values(["track_id", "frame"])
    if not len(seen):
        return schemas.empty(schemas.Tracks)
    keyed = cells[["frame", "label", "x_px", "y_px", "on_border"]].astype({"label": "Int64"})
    columns = [name for name in ("fov", "population", "track_id", "frame", "label") if name in seen]
    own = seen[columns].merge(keyed, on=["frame", "label"], how="left", validate="one_to_one")
    place = f"field {own['fov'].iloc[0]!r}, population {own['population'].iloc[0]!r}"
    lost = own["on_border"].isna()
    if lost.any():
        row = own[lost].iloc[0]
        raise InputError(
            f"{place}: track {row['track_id']} has label {row['label']} in frame {row['frame']}, "
            "but no such cell was segmented there"
        )
    ids, number = np.unique(own["track_id"].to_numpy(np.int64), return_inverse=True)
    parent = np.zeros(len(ids), np.int64)
    if "parent_track_id" in seen.columns:
        named = seen.groupby("track_id")["parent_track_id"].first().dropna().astype(np.int64)
        strangers = np.setdiff1d(named, ids)
        if len(strangers):
            raise InputError(f"{place}: parent track {strangers[0]} is not a track of it")
        parent[np.searchsorted(ids, named.index)] = np.searchsorted(ids, named) + 1
    table = _tracks(own, number + 1, parent, n_frames, shape, border_px)
    table["track_id"] = ids
    above = table["parent_track_id"].notna()
    table.loc[above, "parent_track_id"] = ids[parent[above.to_numpy()] - 1]
    table["fov"], table["population"] = own["fov"].iloc[0], own["population"].iloc[0]
    return schemas.conform(schemas.Tracks, table)


def check_cells(table: pd.DataFrame, n_frames: int, times: Any) -> None:
    """Raise InputError if `table`, which has rows, cannot be tracked (see `Linker`)."""
    keys = table[["fov", "population"]].drop_duplicates()
    if len(keys) > 1:
        raise InputError(
            "tracking: the table holds several fields or populations "
            f"({keys.to_dict('records')[:3]}); cells are linked within one, so give one at a time"
        )
    name = f"field {keys['fov'].iloc[0]!r}, population {keys['population'].iloc[0]!r}"
    frames = table["frame"].to_numpy(np.int64)
    outside = frames[(frames < 0) | (frames >= n_frames)]
    if len(outside):
        raise InputError(
            f"{name}: cells in frame {outside[0]}, but the film has frames 0 to {n_frames - 1}"
        )
    if times is not None and len(times) != n_frames:
        raise InputError(f"{name}: {len(times)} times for a film of {n_frames} frames")
    labels = table["label"].to_numpy(np.int64)
    twice = np.flatnonzero(table.duplicated(["frame", "label"]))
    if len(twice):
        raise InputError(
            f"{name}: label {labels[twice[0]]} is twice in frame {frames[twice[0]]}; a label names "
            "one cell of a frame (were blocks of two lengths read together?)"
        )
    finite = np.isfinite(table[["x_px", "y_px"]].to_numpy(np.float64)).all(axis=1)
    if not finite.all():
        at = int(np.argmin(finite))
        raise InputError(
            f"{name}: the position of label {labels[at]} in frame {frames[at]} is not finite"
        )


def chains(
    n: int, source: np.ndarray, target: np.ndarray, min_points: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Cut links into tracks at divisions.

    Parameters
    ----------
    n
        Number of detections, in order of (frame, label).
    source, target
        (n_links,) indices; each detection is the target of at most one link.
    min_points
        Tracks without daughters that have fewer detections are dropped first, which may leave a
        parent with one daughter, and so one track; then other short ones.

    Returns
    -------
    track, parent
        (n,) track number from 1 in order of first detection, 0 where dropped; (n_tracks,) number
        of the parent of track 1, 2, …, 0 for none.
    """
    alive = np.ones(n, bool)
    while True:
        part, link_parent = _components(n, source, target)
        size = np.bincount(part[alive], minlength=n)
        has_daughters = np.zeros(n, bool)
        has_daughters[link_parent[:, 0]] = True
        short = alive & (size[part] < min_points)
        drop = short & ~has_daughters[part]
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
    parent = np.zeros(len(parts), np.int64)
    parent[of_part[link_parent[:, 1]] - 1] = of_part[link_parent[:, 0]]
    return track, parent


def _components(n: int, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part of every detection, and (parent part, daughter part) of every link of a division."""
    divides = np.bincount(source, minlength=n)[source] > 1
    one, two = source[~divides], target[~divides]
    matrix = scipy.sparse.coo_matrix((np.ones(len(one), bool), (one, two)), shape=(n, n))
    _, part = scipy.sparse.csgraph.connected_components(matrix, directed=False)
    return part, np.stack([part[source[divides]], part[target[divides]]], axis=1)


def _points(cells: pd.DataFrame, track: np.ndarray, interpolate: bool) -> pd.DataFrame:
    """Rows of the tracks; `cells` in order of (track, frame)."""
    frame = cells["frame"].to_numpy(np.int64)
    columns = {
        "track_id": track,
        "frame": frame,
        "x_px": cells["x_px"].to_numpy(np.float64),
        "y_px": cells["y_px"].to_numpy(np.float64),
    }
    label = cells["label"].to_numpy(np.int64)
    missing = np.where(track[1:] == track[:-1], np.diff(frame) - 1, 0) * interpolate
    step, owner = ranges(np.ones_like(missing), missing)
    share = step / (missing[owner] + 1)
    for key, values in columns.items():
        between = values[owner] + share * (values[owner + 1] - values[owner])
        if values.dtype.kind == "i":
            between = np.rint(between).astype(np.int64)
        columns[key] = np.concatenate([values, between])
    points = pd.DataFrame(columns)
    points["interpolated"] = np.arange(len(points)) >= len(frame)
    points["label"] = pd.Series(label, dtype="Int64").reindex(points.index)
    return points.sort_values(["track_id", "frame"])


def _tracks(
    cells: pd.DataFrame,
    track: np.ndarray,
    parent: np.ndarray,
    n_frames: int,
    shape: tuple[int, ...],
    border_px: float,
) -> pd.DataFrame:
    """One row per track; `cells` in order of (track, frame)."""
    first = np.flatnonzero(np.diff(track, prepend=0))
    last = np.append(first[1:], len(track))[: len(first)] - 1
    frame = cells["frame"].to_numpy(np.int64)
    position = cells[["y_px", "x_px"]].to_numpy(np.float64)
    edge = np.array(shape, np.float64) - 1.0

    before = np.maximum(last - _EXIT_STEPS, first)
    elapsed = np.maximum(frame[last] - frame[before], 1)[:, None]
    end = position[last]
    predicted = end + (end - position[before]) / elapsed
    margin = np.minimum(end, edge - end).min(axis=1)
    left = (predicted < -0.5) | (predicted > edge + 0.5)
    border = cells["on_border"].to_numpy(bool)[last] | (margin <= border_px) | left.any(axis=1)

    divided = np.isin(np.arange(1, len(first) + 1), parent)
    reason = np.select(
        [divided, frame[last] == n_frames - 1, border], ["division", "film_end", "border"], "lost"
    )
    return pd.DataFrame(
        {
            "track_id": track[first],
            "parent_track_id": pd.Series(parent, dtype="Int64").where(parent > 0),
            "first_frame": frame[first],
            "last_frame": frame[last],
            "n_points": last - first + 1,
            "end_reason": reason,
        }
    )
