"""Spots with outlines, drawn as masks: TrackMate sessions, and polygons."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from cyto_kedro.algorithms.tabulation.drawn import outline_table
from cyto_kedro.datasets.planned import differences, is_whole
from cyto_kedro.datasets.trackmate import TrackMateFilm, read_trackmate
from cyto_kedro.importing.place import Found, Place
from cyto_kedro.pipelines.tracking.trackmate import (
    inside,
    masks,
    numbered,
    rings_of,
    track_points,
    viewed,
    without_frames,
)

log = logging.getLogger(__name__)


def session(file: Path, place: Place) -> Found:
    """A TrackMate session."""
    with file.open("rb") as content:
        film = read_trackmate(content, str(file))
    return drawn(film, place, f"TrackMate {film.version}", str(file), tracked=True)


def drawn(film: TrackMateFilm, place: Place, kind: str, where: str, tracked: bool) -> Found:
    """Spots with their outlines drawn on the viewed film; overlaps are told of."""
    film = as_viewed(film, place, where)
    points = None
    if tracked:
        points = track_points(film, place.fov, place.population, **place.calibration)
    label = masks(film)
    claimed = sum(len(inside(each, film.shape)[0]) for each in film.outlines.values())
    shared = claimed - int(np.count_nonzero(label))
    if shared > 0 and len(film.outlines) == len(film.spots):
        log.warning(
            "%s: outlines overlap in %d pixels, %.2g %% of what they hold: each is of the cell whose "
            "centre is nearest",
            where,
            shared,
            100 * shared / claimed,
        )
    outlines = outline_table(label, _rings(film), place.fov, place.population)
    return Found(kind, len(film.spots), lambda t: label[t], points, outlines)


def _rings(film: TrackMateFilm) -> dict[tuple[int, int], list[np.ndarray]]:
    """(frame, label) -> the rings of its outline; spots that have one which says more than its pixels.

    Of a line along pixels' edges, as programs trace it around masks, distances would be those of pixels:
    what `OutlineDistance` finds on the mask is nearer to the truth.
    """
    spots = numbered(film)
    named = zip(spots["spot_id"], spots["frame"], spots["label"], strict=True)
    return {
        (frame, label): rings_of(film.outlines[spot])
        for spot, frame, label in named
        if spot in film.outlines and not _along_pixels(film.outlines[spot])
    }


def _along_pixels(outline: np.ndarray) -> bool:
    """Whether all corners are corners of pixels."""
    at = outline[~np.isnan(outline[:, 0])] + 0.5
    return bool((at == np.round(at)).all())


def as_viewed(film: TrackMateFilm, place: Place, where: str) -> TrackMateFilm:
    """Spots as the assay's view shows the film, none of them in excluded frames.

    Where pixel size or frame interval is not the field's, that is said. Raises InputError if the
    film is of another size.
    """
    plan, fov = place.manifest, place.fov
    whole = is_whole(plan, fov, (film.n_frames, *film.shape), where)
    for difference in differences(plan, fov, whole, film.said):
        log.warning("%s", difference)
    film = viewed(film, plan.view) if whole else film
    return without_frames(film, place.excluded)
