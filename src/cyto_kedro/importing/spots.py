"""Tracks of positions without masks: each is laid on our own masks. Imaris' tables of positions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.tracking.links import Links
from cyto_kedro.datasets.planned import seen_shape, whole_shape
from cyto_kedro.datasets.trackmate import UM, TrackMateFilm
from cyto_kedro.errors import InputError, PartitionError
from cyto_kedro.export.field import label_films
from cyto_kedro.importing.identities import points_of
from cyto_kedro.importing.outlined import as_viewed
from cyto_kedro.importing.place import Found, Place
from cyto_kedro.pipelines.tracking.trackmate import without_spots

log = logging.getLogger(__name__)


def pixels_per(unit: str, place: Place, where: str, seen: bool) -> float:
    """Pixels of the film of the files, or of the one `seen`, in one `unit` of a position.

    Raises InputError if it is neither pixels nor a length, or the field's pixel size is unknown.
    """
    unit = unit.lower().removesuffix("s")
    if unit in ("px", "pixel"):
        return 1.0
    if unit not in UM:
        raise InputError(f"{where}: positions in {unit!r}, not pixels or µm")
    if (size := place.calibration["pixel_size_um"]) is None:
        raise InputError(f"{where}: positions in {unit!r}, but the field's pixel size is not known")
    return UM[unit] / (size if seen else size / place.manifest.view.bin_px)


def spots_film(
    kind: str, spots: pd.DataFrame, links: pd.DataFrame, place: Place, where: str, seen: bool
) -> TrackMateFilm:
    """Spots (spot_id, frame, x_px, y_px, radius_px) of the film of the files, or of the one `seen`.

    Raises InputError if they are of other frames, or outside of the film.
    """
    n_frames, *shape = (seen_shape if seen else whole_shape)(place.manifest, place.fov)
    odd = spots.loc[~spots["frame"].between(0, n_frames - 1), "frame"]
    if len(odd):
        raise InputError(
            f"{where}: a spot in frame {odd.iloc[0]} of a film of {n_frames} (0 to {n_frames - 1}): is "
            "it of another field?"
        )
    for key, size in (("y_px", shape[0]), ("x_px", shape[1])):
        out = spots.loc[~spots[key].between(-1, size), key]
        if len(out):
            raise InputError(
                f"{where}: a spot at {key[0]} = {out.iloc[0]:.6g} px, outside of the film of "
                f"{tuple(shape)} pixels: are its units right, and is it of this field?"
            )
    spots = spots.sort_values(["frame", "spot_id"], ignore_index=True)
    return TrackMateFilm(kind, n_frames, (shape[0], shape[1]), None, None, spots, links, {})


def laid_on_masks(film: TrackMateFilm, place: Place, where: str) -> Found:
    """The tracks of spots on our own masks, which stay.

    A spot takes the mask that its column ``label`` names, if most of them lie on the masks they
    name; else the mask it lies on; else the nearest within its radius (where it has none: that of the
    frame's mean cell). Of two on one mask the nearer one has it. Spots without a mask are told of, and
    tracks go on over them.

    Raises InputError if there are no masks yet, or most spots are without one.
    """
    film = as_viewed(film, place, where)
    try:
        spots = _matched(film.spots, partial(label_films, *place.of_labels), where)
    except PartitionError as error:
        raise InputError(
            f"{where} has positions without masks, and there are no masks of {place.fov} "
            f"{place.population} to lay them on: kedro run --pipelines segmentation first"
        ) from error
    n_lost = int(spots["label"].isna().sum()) - int(spots["unseen"].sum())
    if 2 * n_lost > len(spots):
        raise InputError(
            f"{where}: {n_lost} of {len(spots)} spots lie on no mask of {place.fov} "
            f"{place.population}: is it of another field or population, or are its units others?"
        )
    if n_lost:
        log.warning(
            "%s: %d of %d spots have no mask of their own and are left out; tracks go on over them",
            where,
            n_lost,
            len(spots),
        )
    film = without_spots(replace(film, spots=spots), spots["label"].isna())
    cells = film.spots.astype({"label": np.int64}).sort_values(["frame", "label"])
    cells = cells.reset_index(drop=True)
    row = pd.Series(cells.index, cells["spot_id"])
    source, target = (row[film.links[end]].to_numpy(np.int64) for end in ("source", "target"))
    links = Links.of(source, target)
    points = points_of(cells[["frame", "label", "y_px", "x_px"]], links, place)
    return Found(film.version, len(cells), None, points)


def _matched(
    spots: pd.DataFrame, masks: Callable[[], Iterable[np.ndarray]], where: str
) -> pd.DataFrame:
    """`spots` at the centroid of the mask that each has, with its ``label``; ``unseen``: its source
    says that it has none."""
    import scipy

    at = spots[["y_px", "x_px"]].to_numpy(float)
    radius = spots["radius_px"].to_numpy(float)
    named = spots.get("label", pd.Series(pd.NA, spots.index)).astype("Int64")
    t_of = spots["frame"].to_numpy()
    under = np.zeros(len(spots), np.int64)
    for t, frame in enumerate(masks()):
        mine = np.flatnonzero(t_of == t)
        y, x = np.clip(np.rint(at[mine]).astype(int), 0, np.array(frame.shape) - 1).T
        under[mine] = frame[y, x]
    has_name, label = named.notna().to_numpy(), named.to_numpy(np.int64, na_value=0)
    agree = label[has_name] == under[has_name]
    by_name = bool(len(agree)) and agree.mean() > 0.5
    if len(agree) and not by_name:
        log.warning("%s: its labels are not those of our masks, so that positions count", where)
    unseen = ~has_name & by_name
    label = label if by_name else under
    distance, own = np.full(len(spots), np.inf), at.copy()
    for t, frame in enumerate(masks()):
        mine = np.flatnonzero(t_of == t)
        pixel = np.argwhere(frame > 0)
        labels, cell, area = np.unique(frame[frame > 0], return_inverse=True, return_counts=True)
        off = mine[~np.isin(label[mine], labels)]
        label[off] = 0
        if len(off) and len(labels) and not by_name:
            reach = np.sqrt(area.mean() / np.pi)
            reach = np.where(np.isfinite(radius[off]), radius[off], reach)
            gap, nearest = scipy.spatial.KDTree(pixel).query(at[off])
            label[off] = np.where(gap <= reach, labels[cell[nearest]], 0)
        on = mine[label[mine] > 0]
        if len(on):
            centre = np.stack([np.bincount(cell, pixel[:, i]) / area for i in (0, 1)], axis=1)
            own[on] = centre[np.searchsorted(labels, label[on])]
            distance[on] = np.hypot(*(at[on] - own[on]).T)
    best = pd.DataFrame({"frame": spots["frame"], "label": label, "distance": distance})
    best = best.reset_index(drop=True).query("label > 0").sort_values("distance")
    label[best.index[best.duplicated(["frame", "label"])]] = 0
    taken = pd.Series(label, spots.index, dtype="Int64")
    placed = spots.assign(y_px=own[:, 0], x_px=own[:, 1], unseen=unseen)
    return placed.assign(label=taken.where(taken > 0))


def is_imaris(start: bytes) -> bool:
    """Whether a file begins as a table of positions by Imaris, or our ``spots.csv``."""
    return b"Position X" in start and b"TrackID" in start


def imaris(path: Path, place: Place) -> Found:
    """A table of positions as Imaris' statistics have it: Position X and Y, Unit, Time, TrackID, ID.

    Raises InputError if a column is missing or damaged, units are unknown, or a track has two spots
    in a frame.
    """
    lines = path.read_text("utf-8-sig", "replace").splitlines()
    head = next(i for i, line in enumerate(lines) if "Position X" in line and "TrackID" in line)
    try:
        table = pd.read_csv(StringIO("\n".join(lines[head:])), skipinitialspace=True)
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path} is not a readable table ({error})") from error
    needed = ["Position X", "Position Y", "Time", "TrackID"]
    if lacking := [name for name in needed if name not in table]:
        raise InputError(
            f"{path} has no column {lacking[0]!r}; export the table of positions again"
        )
    if place.population in set(table.get("Collection", ())):
        table = table[table["Collection"] == place.population].reset_index(drop=True)
    if table.empty:
        raise InputError(f"{path} holds no positions: export the whole table again")
    numbers = table[needed].apply(pd.to_numeric, errors="coerce")
    if (bad := numbers[needed[:3]].isna().any(axis=1)).any():
        line = head + 2 + int(np.argmax(bad))
        raise InputError(f"{path}, about line {line}: a position or time is no number")
    units = set(table.get("Unit", pd.Series("um", table.index)).astype(str))
    # our own table is of the film as it was viewed, and says which points were not seen
    ours = "interpolated" in table
    if len(units) != 1:
        raise InputError(f"{path}: positions in several units ({', '.join(sorted(units))})")
    numbers[needed[:2]] *= pixels_per(units.pop(), place, str(path), seen=ours)
    spots = pd.DataFrame(
        {
            "spot_id": table.index.to_numpy(np.int64),
            "frame": numbers["Time"].round().astype(np.int64) - 1,
            "x_px": numbers["Position X"],
            "y_px": numbers["Position Y"],
            "radius_px": np.nan,
        }
    )
    if ours:
        spots = spots[~table["interpolated"].astype(bool)]
    tracked = spots.assign(track=numbers["TrackID"]).dropna(subset="track")
    if (twice := tracked.duplicated(["track", "frame"])).any():
        name, frame = tracked.loc[twice, ["track", "frame"]].iloc[0]
        raise InputError(
            f"{path}: track {name:.0f} has two spots in frame {frame:.0f}: who came of whom this table "
            "does not say; export tracks without branches, or as GEFF"
        )
    order = tracked.sort_values(["track", "frame"])
    same = (order["track"] == order["track"].shift(-1)).to_numpy()[:-1]
    ids = order["spot_id"].to_numpy()
    links = pd.DataFrame({"source": ids[:-1][same], "target": ids[1:][same]})
    if alone := len(spots) - len(tracked):
        log.warning("%s: %d spots are in no track and left out", path, alone)
    spots = tracked.drop(columns="track")
    film = spots_film("Imaris positions", spots, links, place, str(path), seen=ours)
    return laid_on_masks(film, place, str(path))
