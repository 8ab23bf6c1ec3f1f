"""What every linker shares: the contract, and when and why tracks begin and end."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tracking.links import Links, assemble, rank_of
from cyto_kedro.algorithms.tracking.masks import Overlaps, overlaps_of
from cyto_kedro.core.contract import Image, Images, Label, TableOf
from cyto_kedro.errors import InputError

# Steps over which the velocity is averaged that says whether a lost cell was leaving the image.
_EXIT_STEPS = 3


@dataclass(frozen=True)
class Detections:
    """What a linker links: the cells of one population of one field."""

    #: `Cells` in order of frame and place (so that numbers of labels and the order of rows decide
    #: nothing), at least one row
    cells: pd.DataFrame
    #: micrometres per pixel, or None
    pixel_size_um: float | None
    #: of the linker
    mask_lag: int = 0
    #: label, image: (T, Y, X), or None
    label: Label | None = None
    image: Image | Images | None = None
    #: (Y, X) of the image, or None
    shape: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """The field and population, for messages."""
        return place(self.cells)

    @property
    def frame(self) -> np.ndarray:
        """(n,) int64, ascending."""
        return self.cells["frame"].to_numpy(np.int64)

    @property
    def position(self) -> np.ndarray:
        """(n, 2) float64, y and x in pixels."""
        return self.cells[["y_px", "x_px"]].to_numpy(np.float64)

    def masks(self) -> Overlaps:
        """How the masks overlap those of later frames.

        Raises InputError if there are no masks, or they are not those of the cells.
        """
        if self.label is None:
            raise InputError(
                f"{self.name}: masks are compared, which needs the labels ('label') beside the "
                "table of cells"
            )
        keys = self.cells[["frame", "label"]].to_numpy(np.int64)
        return overlaps_of(self.label, keys, self.name, self.mask_lag)


class Linked(TypedDict):
    """What a linker makes; both with the extra column ``merged_into_track_id``.

    The points have ``parent_track_id`` too.
    """

    track_points: TableOf[schemas.TrackPoints]
    tracks: TableOf[schemas.Tracks]


class Linker(Algorithm):
    """Joins the detections of one population of one field into tracks.

    Tracks do not depend on how labels are numbered nor on the order of rows. They are numbered from 1
    in order of (first frame, first label). A frame in which a track was not seen between two in
    which it was gets a row with a null label and the position on the straight line between them.
    Where a cell divides its track ends and its daughters' begin; where cells merge all their tracks
    end, and one without parent begins.

    `end_reason` is ``film_end`` for a track seen in the last frame, ``division`` for one with
    daughters, ``merge`` for one that merged; ``border`` if its last mask touched the edge of the
    image, its centre was within `border_px` of it, or its mean velocity over the last three steps
    takes the centre out of the image in the next frame; else ``lost``.
    """

    version: ClassVar[int] = 2

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

    @property
    def mask_lag(self) -> int:
        """Frames back to which masks are compared; 0 where ``"label"`` is not read."""
        return 0

    @property
    def reads_images(self) -> bool:
        """Whether ``"image"`` is needed."""
        return False

    def needs(self) -> tuple[str, ...]:
        """See `Algorithm.needs`: masks and images are opened by a linker that compares them."""
        closed = {"label": not self.mask_lag, "image": not self.reads_images}
        return tuple(name for name in super().needs() if not closed.get(name, False))

    @abstractmethod
    def link(self, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
        """Link detections.

        Returns (n_links,) int64, rows of the detections; the source is in an earlier frame.
        """

    def run(
        self,
        cells: TableOf[schemas.Cells] | None = None,
        label: Label | None = None,
        image: Image | Images | None = None,
        n_frames: int | None = None,
        shape: tuple[int, ...] | None = None,
        pixel_size_um: float | None = None,
        time_min: Any = None,
        fov: str = "fov1",
        population: str = "cells",
    ) -> Linked:
        """Link the cells of one (fov, population), all frames.

        Parameters
        ----------
        cells
            The detections; without them, they are measured off `label`.
        label, image
            Of the whole film, read by linkers that compare masks or images.
        n_frames
            Of the film; by default up to the last label, or cell.
        shape
            (Y, X) of the image; by default that of the label, else unknown: a track that ends has
            then left the image only if its last mask touched the edge.
        pixel_size_um
            None: the µm columns are null.
        time_min
            (n_frames,) minutes; None: `time_min` is null.
        fov, population
            Names for cells that are measured here.

        Raises
        ------
        InputError
            If the table holds more than one field or population, repeats a label in a frame, or has
            a frame outside the film or a position that is not finite; if masks are needed and
            absent, or are not those of the table.
        """
        if cells is None:
            cells = _measured(label, fov, population, pixel_size_um, time_min)
        film = None if label is None else label.shape
        if n_frames is None:
            n_frames = film[0] if film else int(cells["frame"].max()) + 1 if len(cells) else 0
        if shape is None and film:
            shape = film[1:]
        if len(cells) == 0:
            points, tracks = schemas.empty(schemas.TrackPoints), schemas.empty(schemas.Tracks)
            points["parent_track_id"] = pd.Series(dtype="Int64")
            for each in (points, tracks):
                each["merged_into_track_id"] = pd.Series(dtype="Int64")
            return {"track_points": points, "tracks": tracks}
        check_cells(cells, n_frames, time_min)
        placed = cells.sort_values(["frame", "y_px", "x_px", "label"], ignore_index=True)
        found = Detections(placed, pixel_size_um, self.mask_lag, label, image, shape)
        source, target = self.link(found)
        row = rank_of(placed, ["frame", "label"])
        links = Links.of(row[source], row[target], filled=self.interpolate_gaps)
        named = placed.sort_values(["frame", "label"], ignore_index=True)
        points = assemble(named, links, pixel_size_um, time_min, self.min_points)
        return {
            "track_points": points,
            "tracks": tracks_of(points, named, n_frames, shape, self.border_px),
        }


def place(table: pd.DataFrame) -> str:
    """The field and population of a table with rows, for messages."""
    return f"field {table['fov'].iloc[0]!r}, population {table['population'].iloc[0]!r}"


def _measured(
    label: Label | None, fov: str, population: str, pixel_size_um: float | None, time_min: Any
) -> TableOf[schemas.Cells]:
    """`Cells` measured off the masks alone."""
    if label is None:
        raise InputError("tracking: give the cells ('cells') or their masks ('label')")
    where = {"fov": fov, "population": population}
    times = {"pixel_size_um": pixel_size_um, "time_min": time_min}
    return Features()({**where, **times, "label": label})["dataframe"]


def tracks_of(
    points: pd.DataFrame,
    cells: pd.DataFrame,
    n_frames: int,
    shape: tuple[int, ...] | None,
    border_px: float = 0.0,
) -> TableOf[schemas.Tracks]:
    """One row per track of one population: when it begins and ends, and why.

    Tracks that a person joined or cut get theirs the same way.

    Parameters
    ----------
    points
        `TrackPoints`; its columns ``parent_track_id`` and ``merged_into_track_id``, where it has
        them, name parents and mergers.
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
        none = schemas.empty(schemas.Tracks)
        none["merged_into_track_id"] = pd.Series(dtype="Int64")
        return none
    keyed = cells[["frame", "label", "x_px", "y_px", "on_border"]].astype({"label": "Int64"})
    columns = [name for name in ("fov", "population", "track_id", "frame", "label") if name in seen]
    own = seen[columns].merge(keyed, on=["frame", "label"], how="left", validate="one_to_one")
    where = place(own)
    lost = own["on_border"].isna()
    if lost.any():
        row = own[lost].iloc[0]
        raise InputError(
            f"{where}: track {row['track_id']} has label {row['label']} in frame {row['frame']}, "
            "but no such cell was segmented there"
        )
    ids = np.unique(own["track_id"].to_numpy(np.int64))
    parent = _named(seen, "parent_track_id", ids, where)
    merged = _named(seen, "merged_into_track_id", ids, where)
    ended = np.isin(ids, parent), merged > 0
    table = _tracks(own, ended, n_frames, shape, border_px)
    for key, named in (("parent_track_id", parent), ("merged_into_track_id", merged)):
        table[key] = pd.Series(named, dtype="Int64").where(named > 0)
    table["fov"], table["population"] = own["fov"].iloc[0], own["population"].iloc[0]
    return schemas.conform(schemas.Tracks, table)


def _named(seen: pd.DataFrame, column: str, ids: np.ndarray, where: str) -> np.ndarray:
    """The track that each of `ids` names in `column`, 0 for none."""
    result = np.zeros(len(ids), np.int64)
    if column in seen.columns:
        named = seen.groupby("track_id")[column].first().dropna().astype(np.int64)
        strangers = np.setdiff1d(named, ids)
        if len(strangers):
            what = column.removesuffix("_track_id").replace("_", " ")
            raise InputError(f"{where}: {what} track {strangers[0]} is not a track of it")
        result[np.searchsorted(ids, named.index)] = named
    return result


def check_cells(table: pd.DataFrame, n_frames: int, times: Any) -> None:
    """Raise InputError if `table`, which has rows, cannot be tracked (see `Linker`)."""
    keys = table[["fov", "population"]].drop_duplicates()
    if len(keys) > 1:
        raise InputError(
            "tracking: the table holds several fields or populations "
            f"({keys.to_dict('records')[:3]}); cells are linked within one, so give one at a time"
        )
    name = place(table)
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


def _tracks(
    cells: pd.DataFrame,
    ended: tuple[np.ndarray, np.ndarray],
    n_frames: int,
    shape: tuple[int, ...] | None,
    border_px: float,
) -> pd.DataFrame:
    """One row per track; `cells` in order of (track, frame), `ended` by division, by merging."""
    track = cells["track_id"].to_numpy(np.int64)
    first = np.flatnonzero(np.diff(track, prepend=track[0] - 1))
    last = np.append(first[1:], len(track)) - 1
    frame = cells["frame"].to_numpy(np.int64)
    border = cells["on_border"].to_numpy(bool)[last]
    if shape is not None:
        position = cells[["y_px", "x_px"]].to_numpy(np.float64)
        edge = np.array(shape, np.float64) - 1.0
        before = np.maximum(last - _EXIT_STEPS, first)
        elapsed = np.maximum(frame[last] - frame[before], 1)[:, None]
        end = position[last]
        predicted = end + (end - position[before]) / elapsed
        margin = np.minimum(end, edge - end).min(axis=1)
        left = (predicted < -0.5) | (predicted > edge + 0.5)
        border = border | (margin <= border_px) | left.any(axis=1)
    reason = np.select(
        [*ended, frame[last] == n_frames - 1, border],
        ["division", "merge", "film_end", "border"],
        "lost",
    )
    return pd.DataFrame(
        {
            "track_id": track[first],
            "first_frame": frame[first],
            "last_frame": frame[last],
            "n_points": last - first + 1,
            "end_reason": reason,
        }
    )
