"""Outlines drawn by people and programs: ROIs of ImageJ, GeoJSON of QuPath and annotation tools.

Both count from the corner of the top-left pixel, whose centre is (0.5, 0.5) there and (0, 0) here.
A pixel is of a cell if its centre is inside.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.datasets.planned import whole_shape
from cyto_kedro.datasets.trackmate import TrackMateFilm
from cyto_kedro.errors import InputError, MissingExtraError
from cyto_kedro.importing.outlined import drawn
from cyto_kedro.importing.place import Found, Place

log = logging.getLogger(__name__)

_FRAMES = ("frame", "t", "time", "timepoint")
_TRACKS = ("track_id", "track")
_EDGES = 512  # compared with all others at once


@dataclass(frozen=True)
class Outline:
    """A cell's outline: rings (n, 2), y and x from the centre of the top-left pixel; where in time."""

    name: str
    rings: list[np.ndarray]
    frame: int | None
    track: int | None = None


def rois(path: Path, place: Place) -> Found:
    """ROIs of ImageJ and Fiji: a ZIP of the ROI Manager, or one ``.roi``.

    Raises MissingExtraError without the extra ``rois``; InputError if a ROI cannot be read or used.
    """
    return _placed("ImageJ ROIs", path, list(_of_imagej(path)), place)


def geojson(path: Path, place: Place) -> Found:
    """Features of a GeoJSON: polygons in pixels, with a property ``frame`` (or t, time; from 0).

    QuPath's ``plane`` is read too. A property ``track_id``, where every feature has it, says which
    are one cell. Raises InputError if a feature cannot be read or used.
    """
    return _placed("GeoJSON polygons", path, list(_of_geojson(path)), place)


def _placed(kind: str, path: Path, outlines: list[Outline], place: Place) -> Found:
    n_frames, height, width = whole_shape(place.manifest, place.fov)
    if not outlines:
        raise InputError(f"{path} holds no outline of an area")
    rows, paths, crossed = [], {}, []
    for number, each in enumerate(outlines, 1):
        frame = 0 if each.frame is None and n_frames == 1 else each.frame
        if frame is None:
            raise InputError(
                f"{path}: {each.name} names no frame, and the film has {n_frames}: in ImageJ set its "
                "position, in GeoJSON give every feature a property frame (from 0)"
            )
        if not 0 <= frame < n_frames:
            raise InputError(
                f"{path}: {each.name} is of frame {frame}, but the film has 0 to {n_frames - 1}; are "
                "frames counted from 1, or is it another film's?"
            )
        whole = np.concatenate(each.rings)
        if not np.isfinite(whole).all() or min(map(len, each.rings)) < 3:
            raise InputError(f"{path}: the outline of {each.name} is not three points or more")
        if all(np.linalg.matrix_rank(ring - ring[0]) < 2 for ring in each.rings):
            raise InputError(
                f"{path}: the outline of {each.name} encloses nothing; take it out if it is a line"
            )
        if (at := crossing(each.rings)) is not None:
            crossed.append((each.name, at))
        (y0, x0), (y1, x1) = whole.min(axis=0), whole.max(axis=0)
        if y1 < -0.5 or x1 < -0.5 or y0 > height - 0.5 or x0 > width - 0.5:
            raise InputError(
                f"{path}: {each.name} lies outside of the film of {(height, width)} pixels (height, "
                "width); are its coordinates in pixels of the whole film?"
            )
        y, x = np.clip(_centroid(each.rings), -0.5, [height - 0.5, width - 0.5])
        rows.append((number, each.name, frame, x, y, np.nan, each.track))
        gap = np.full((1, 2), np.nan)
        paths[number] = np.concatenate([part for ring in each.rings for part in (gap, ring)][1:])
    if crossed:
        name, (y, x) = crossed[0]
        log.warning(
            "%s: %d outlines cross themselves, so that a part of them is a hole; the first is %s, at "
            "row %.1f, column %.1f of the picture",
            *(path, len(crossed), name, y + 0.5, x + 0.5),
        )
    names = ["spot_id", "name", "frame", "x_px", "y_px", "radius_px", "track"]
    spots = pd.DataFrame(rows, columns=names).astype({"track": "Int64"})
    spots = spots.sort_values(["frame", "spot_id"], ignore_index=True)
    tracked = spots["track"].notna().all()
    links = pd.DataFrame({"source": [], "target": []}, dtype=np.int64)
    if tracked:
        if (twice := spots.duplicated(["track", "frame"])).any():
            name, frame = spots.loc[twice, ["track", "frame"]].iloc[0]
            raise InputError(f"{path}: track {name} has two outlines in frame {frame}")
        order = spots.sort_values(["track", "frame"])
        same = (order["track"] == order["track"].shift(-1)).fillna(False).to_numpy(bool)[:-1]
        ends = order["spot_id"].to_numpy()
        links = pd.DataFrame({"source": ends[:-1][same], "target": ends[1:][same]})
    film = TrackMateFilm(kind, n_frames, (height, width), None, None, spots, links, paths)
    return drawn(film, place, kind, str(path), bool(tracked))


def crossing(rings: list[np.ndarray]) -> tuple[float, float] | None:
    """Where edges of an outline cross each other, y and x of the first such edge's middle; else None.

    Edges that only meet, such as neighbours, do not cross.
    """
    a = np.concatenate(rings)
    b = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    low, high = np.minimum(a, b), np.maximum(a, b)
    for start in range(0, len(a), _EDGES):
        at = slice(start, start + _EDGES)
        near = (low[at, None] <= high[None]).all(-1) & (low[None] <= high[at, None]).all(-1)
        one, other = np.nonzero(near)
        one += start
        sides = [
            _side(a[p], b[p], a[q]) * _side(a[p], b[p], b[q]) < 0
            for p, q in ((one, other), (other, one))
        ]
        if (crosses := sides[0] & sides[1]).any():
            y, x = (a + b)[one[crosses][0]] / 2
            return float(y), float(x)
    return None


def _side(a: np.ndarray, b: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Which side of the line from `a` to `b` points are on, by sign."""
    edge, to = b - a, point - a
    return np.asarray(edge[:, 1] * to[:, 0] - edge[:, 0] * to[:, 1])


def _centroid(rings: list[np.ndarray]) -> np.ndarray:
    """(2,) of the largest ring, by the shoelace formula."""
    best, largest = rings[0].mean(axis=0), 0.0
    for ring in rings:
        y, x = (ring - ring[0]).T
        cross = x * np.roll(y, -1) - np.roll(x, -1) * y
        area = cross.sum() / 2
        if abs(area) > largest:
            largest = abs(area)
            sums = [(((at + np.roll(at, -1)) * cross).sum()) for at in (y, x)]
            best = ring[0] + np.array(sums) / (6 * area)
    return best


def _of_imagej(path: Path) -> Iterator[Outline]:
    try:
        from roifile import ROI_TYPE, ImagejRoi
    except ImportError as error:
        raise MissingExtraError(
            f'{path} holds ROIs of ImageJ, which roifile reads: pip install "cyto_kedro[rois]"'
        ) from error
    areas = {getattr(ROI_TYPE, name) for name in ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")}
    left_out = []
    for name, content in _entries(path):
        try:
            roi = ImagejRoi.frombytes(content)
            if roi.roitype not in areas:
                left_out.append(name)
                continue
            if roi.roitype == ROI_TYPE.OVAL and roi.integer_coordinates is None:
                corners = np.array([[roi.left, roi.top], [roi.right, roi.bottom]], float)
                turn = np.linspace(0, 2 * np.pi, 360, endpoint=False)[:, None]
                around = np.concatenate([np.cos(turn), np.sin(turn)], axis=1)
                rings = [corners.mean(axis=0) + around * np.diff(corners, axis=0) / 2]
            else:
                rings = roi.coordinates(multi=True)
        except Exception as error:  # what a damaged file brings is not to be foreseen
            raise InputError(f"{path}: {name} is not a whole ROI ({error})") from error
        position = roi.t_position or roi.position or roi.z_position
        shifted = [np.asarray(ring, np.float64)[:, ::-1] - 0.5 for ring in rings]
        yield Outline(f"ROI {roi.name or name}", shifted, position - 1 if position else None)
    if left_out:
        log.warning("%s: %d ROIs are no areas and left out: %s", path, len(left_out), left_out[0])


def _entries(path: Path) -> Iterator[tuple[str, bytes]]:
    if not zipfile.is_zipfile(path):
        yield path.name, path.read_bytes()
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.lower().endswith(".roi") and not name.startswith("__MACOSX"):
                    yield name, archive.read(name)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path} is not a whole ZIP ({error}); save the ROIs again") from error


def _of_geojson(path: Path) -> Iterator[Outline]:
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a whole JSON file ({error})") from error
    if isinstance(content, dict):
        content = content.get("features", [content])
    left_out = 0
    for number, feature in enumerate(content if isinstance(content, list) else [], 1):
        if not isinstance(feature, dict) or not isinstance(feature.get("geometry"), dict):
            raise InputError(
                f"{path} is no GeoJSON: its part {number} is no feature with a geometry"
            )
        geometry, said = feature["geometry"], feature.get("properties") or {}
        kind = geometry.get("type")
        if kind not in ("Polygon", "MultiPolygon"):
            left_out += 1
            continue
        name = f"feature {number}" + (f" ({said['name']})" if said.get("name") else "")
        parts = geometry.get("coordinates") or []
        try:
            parts = [parts] if kind == "Polygon" else parts
            rings = [np.array([p[:2] for p in ring], np.float64) for part in parts for ring in part]
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: {name}: coordinates are not pairs of numbers") from error
        if not rings or any(ring.ndim != 2 or ring.shape[1] != 2 for ring in rings):
            raise InputError(f"{path}: {name}: coordinates are not pairs of numbers")
        rings = [ring[:-1] if (ring[0] == ring[-1]).all() else ring for ring in rings]
        times = [(geometry.get("plane") or {}).get("t"), *(said.get(key) for key in _FRAMES)]
        frame = _whole(next((t for t in times if t is not None), None), path, name, "frame")
        track = next((said[key] for key in _TRACKS if said.get(key) is not None), None)
        track = _whole(track, path, name, "track")
        yield Outline(name, [ring[:, ::-1] - 0.5 for ring in rings], frame, track)
    if left_out:
        log.warning("%s: %d features are no polygons and left out", path, left_out)


def _whole(value: Any, path: Path, name: str, what: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise InputError(f"{path}: {name}: {what} {value!r} is not a whole number")
    return int(value)
