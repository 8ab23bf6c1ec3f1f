"""From a TrackMate session to our labels and track points, so that work begun there goes on here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.tracking.links import Links, assemble
from cyto_kedro.datasets.trackmate import TrackMateFilm
from cyto_kedro.view import View


def viewed(film: TrackMateFilm, view: View) -> TrackMateFilm:
    """A session of the film in the files, as the assay's view shows it.

    Spots outside of the crop or in frames that are not used are left out; a track goes on over
    such frames.
    """
    used = view.frames(film.n_frames)
    height, width = view.shape(*film.shape)
    y0, _, x0, _ = view.crop_px or (0, 0, 0, 0)
    k = view.bin_px
    film = without_frames(film, sorted(set(range(film.n_frames)) - set(used)))
    corner, middle = np.array([y0, x0]), (k - 1) / 2  # of a square of pixels
    spots = film.spots.assign(
        frame=(film.spots["frame"] - used.start) // used.step,
        y_px=(film.spots["y_px"] - y0 - middle) / k,
        x_px=(film.spots["x_px"] - x0 - middle) / k,
        radius_px=film.spots["radius_px"] / k,
    )
    inside = spots["y_px"].between(-0.5, height - 0.5) & spots["x_px"].between(-0.5, width - 0.5)
    spots = spots[inside].reset_index(drop=True)
    kept = film.links.isin(set(spots["spot_id"])).all(axis=1)
    return replace(
        film,
        n_frames=len(used),
        shape=(height, width),
        pixel_size_um=view.pixel_size_um(film.pixel_size_um),
        spots=spots,
        links=film.links[kept].reset_index(drop=True),
        outlines={name: (each - corner - middle) / k for name, each in film.outlines.items()},
    )


def without_frames(film: TrackMateFilm, frames: list[int]) -> TrackMateFilm:
    """`film` without the spots of `frames`; what they linked is linked over them."""
    return without_spots(film, film.spots["frame"].isin(frames))


def without_spots(film: TrackMateFilm, lost: pd.Series) -> TrackMateFilm:
    """`film` without the spots of `lost` (bool); what they linked is linked over them."""
    links = film.links
    for _, ids in film.spots.loc[lost, "spot_id"].groupby(film.spots["frame"]):
        into, out = links["target"].isin(ids), links["source"].isin(ids)
        over = links[into].merge(links[out], left_on="target", right_on="source")
        joined = pd.DataFrame({"source": over["source_x"], "target": over["target_y"]})
        links = pd.concat([links[~into & ~out], joined], ignore_index=True)
    spots = film.spots[~lost].reset_index(drop=True)
    return replace(film, spots=spots, links=links.astype(np.int64))


def numbered(film: TrackMateFilm) -> pd.DataFrame:
    """The spots with a column ``label``, from 1 in each frame."""
    return film.spots.assign(label=film.spots.groupby("frame").cumcount() + 1)


def masks(film: TrackMateFilm) -> np.ndarray:
    """(T, Y, X) uint32: every spot's outline, or its disk where it has none.

    A pixel that several claim goes to the one whose centre is nearest, and every spot has at least
    the pixel at its centre (unless another spot's centre lies in the same one).
    """
    label = np.zeros((film.n_frames, *film.shape), np.uint32)
    table = numbered(film)
    for t in np.unique(table["frame"]):
        spots = table[table["frame"] == t]
        centre = spots[["y_px", "x_px"]].to_numpy(np.float64)
        radius = spots["radius_px"].fillna(0.5).to_numpy()
        near, frame = np.full(film.shape, np.inf), label[t]
        # spots of a frame one by one, as polygons are drawn; only when a session is read in
        for name, spot_id, at, r in zip(
            spots["label"], spots["spot_id"], centre, radius, strict=True
        ):
            if spot_id in film.outlines:
                own = inside(film.outlines[spot_id], film.shape)
            else:
                own = _disk(at, r, film.shape)
            distance = np.hypot(own[0] - at[0], own[1] - at[1])
            mine = distance < near[own]
            own = own[0][mine], own[1][mine]
            near[own], frame[own] = distance[mine], name
        y, x = np.clip(np.rint(centre).astype(int), 0, np.array(film.shape) - 1).T
        lost = ~np.isin(spots["label"], frame)
        frame[y[lost], x[lost]] = spots["label"].to_numpy()[lost]
    return label


def inside(outline: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels whose centres lie inside an outline (n, 2), y and x.

    Rows of NaN part it into rings: what is inside of two is a hole.
    """
    from skimage.draw import polygon

    drawn = [polygon(ring[:, 0], ring[:, 1], shape=shape) for ring in rings_of(outline)]
    if len(drawn) == 1:
        return drawn[0]
    own = np.zeros(shape, bool)
    for rows, columns in drawn:
        own[rows, columns] ^= True
    rows, columns = np.nonzero(own)
    return rows, columns


def rings_of(outline: np.ndarray) -> list[np.ndarray]:
    """The rings of an outline, which rows of NaN part."""
    parts = np.split(outline, np.flatnonzero(np.isnan(outline[:, 0])))
    return [part[~np.isnan(part[:, 0])] for part in parts]


def _disk(at: np.ndarray, radius: float, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    from skimage.draw import disk

    rows, columns = disk(tuple(at), max(radius, 0.5), shape=shape)
    return rows, columns


def track_points(
    film: TrackMateFilm, fov: str, population: str, pixel_size_um: float | None, time_min: Any
) -> pd.DataFrame:
    """`TrackPoints` of TrackMate's tracks; spots in no track have none."""
    spots = numbered(film).assign(fov=fov, population=population)
    spots = spots[spots["track"].notna()].sort_values(["frame", "label"], ignore_index=True)
    if not len(spots):
        return schemas.empty(schemas.TrackPoints)
    row = pd.Series(spots.index, spots["spot_id"])
    source, target = (row[film.links[end]].to_numpy(np.int64) for end in ("source", "target"))
    links = Links.of(source, target)
    return assemble(spots, links, pixel_size_um, time_min)
