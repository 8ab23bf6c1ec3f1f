"""TrackMate's XML files: spots, links, outlines and units."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import IO, Any, NoReturn

import numpy as np
import pandas as pd
from kedro.io import DatasetError

from cyto_kedro.datasets.atomic import FileDataset
from cyto_kedro.errors import InputError
from cyto_kedro.statements import Statement

#: µm in one of a unit of length, by its names
UM = {
    **dict.fromkeys(("um", "µm", "μm", "micron", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer"), 1e-3),
    **dict.fromkeys(("mm", "millimeter"), 1e3),
}
_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    "ms": 1e-3,
}


@dataclass(frozen=True)
class TrackMateFilm:
    """What one TrackMate file says."""

    #: trackMate's
    version: str
    #: n_frames, shape: of the film: number of frames, (Y, X) in pixels
    n_frames: int
    shape: tuple[int, int]
    #: pixel_size_um, frame_interval_s: none where TrackMate's units are pixels or frames, or not
    #: known
    pixel_size_um: float | None
    frame_interval_s: float | None
    #: visible spots in order of (frame, spot_id): ``spot_id``, ``name``, ``frame``, ``x_px``,
    #: ``y_px``, ``radius_px``, ``track`` (TrackMate's number, null for none), and TrackMate's
    #: numeric features under their own names, in its units
    spots: pd.DataFrame
    #: ``source``, ``target``: spot_id, source earlier; of the tracks that passed its filters
    links: pd.DataFrame
    #: spot_id -> (n, 2) float64, y and x in pixels; empty where spots have none
    outlines: dict[int, np.ndarray]
    #: what the session states of pixel size and frame interval, where its units are known
    said: tuple[Statement, ...] = ()


class TrackMateDataset(FileDataset[Any, TrackMateFilm]):
    """A TrackMate session, ``<film>.xml``; read only.

    Positions are centres of pixels, (0, 0) that of the top-left pixel, in TrackMate as here.
    """

    def load(self) -> TrackMateFilm:
        """Read the file.

        Raises InputError if it is no TrackMate file, is cut short, has several z planes or pixels
        that are not square, a spot has no ID, frame or place, or a link names a spot that is not
        there.
        """
        with self._read() as file:
            return read_trackmate(file, self.location)

    def save(self, data: Any) -> NoReturn:
        """TrackMate's files are not written."""
        raise DatasetError(f"{self.location}: TrackMate's files are read, not written")


def read_trackmate(file: IO[bytes], where: str) -> TrackMateFilm:
    """Read a TrackMate file; see `TrackMateDataset.load`."""
    try:
        root = ET.parse(file).getroot()
    except (ET.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{where}: not a whole XML file ({error})") from error
    model, image = root.find("Model"), root.find("Settings/ImageData")
    if root.tag != "TrackMate" or model is None or image is None:
        raise InputError(
            f"{where}: no TrackMate session (Model and Settings/ImageData); save one in TrackMate "
            "with its button Save"
        )
    width, height = (_float(image, f"pixel{side}", where, "1") for side in ("width", "height"))
    if not (np.isfinite([width, height]).all() and width > 0 and height > 0):
        raise InputError(f"{where}: a pixel of {width:g} x {height:g} cannot be")
    if not np.isclose(width, height, rtol=1e-3):
        raise InputError(f"{where}: pixels of {width} x {height} are not square")
    if _whole(image, "nslices", where, "1") > 1:
        raise InputError(f"{where}: {image.get('nslices')} z planes; films are flat here")
    um = UM.get(model.get("spatialunits", "").lower().removesuffix("s"))
    seconds = _SECONDS.get(model.get("timeunits", "").lower())
    said = []
    if um is not None:
        said.append(Statement("pixel size", um * width, f"{where}, pixelwidth"))
    if seconds is not None:
        step = seconds * _float(image, "timeinterval", where, "1")
        said.append(Statement("frame interval", step, f"{where}, timeinterval"))
    known = {each.fact: each.value for each in said if each.doubt is None}
    spots, outlines = _spots(model, width, where)
    n_frames = _whole(image, "nframes", where, "1")
    shape = _whole(image, "height", where, "0"), _whole(image, "width", where, "0")
    if min(n_frames, *shape) < 1:
        raise InputError(
            f"{where}: a film of {n_frames} frames of {shape} pixels (height, width) holds nothing; "
            "save the session again, with its image open"
        )
    if len(spots) and not spots["frame"].between(0, n_frames - 1).all():
        odd = spots.loc[~spots["frame"].between(0, n_frames - 1), "frame"].iloc[0]
        raise InputError(f"{where}: a spot in frame {odd} of a film of {n_frames} frames")
    return TrackMateFilm(
        version=root.get("version", ""),
        n_frames=n_frames,
        shape=shape,
        pixel_size_um=known.get("pixel size"),
        frame_interval_s=known.get("frame interval"),
        links=_links(model, spots, where),
        spots=spots,
        outlines=outlines,
        said=tuple(said),
    )


def _float(element: ET.Element, key: str, where: str, default: str | None = None) -> float:
    """A number of an element. Raises InputError if it is missing, or no number."""
    text = element.get(key, default)
    try:
        return float(text or "")
    except ValueError as error:
        raise InputError(
            f"{where}: {element.tag}: {key} is {text!r}, not a number; save the session again"
            if text is not None
            else f"{where}: a {element.tag} has no {key}; save the session again"
        ) from error


def _whole(element: ET.Element, key: str, where: str, default: str | None = None) -> int:
    """A whole number of an element, of at most 15 digits.

    Raises InputError if it is missing, or none.
    """
    value = _float(element, key, where, default)
    if not (abs(value) < 1e15 and value == int(value)):
        raise InputError(
            f"{where}: {element.tag}: {key} is {element.get(key)!r}, not a whole number; save the "
            "session again"
        )
    return int(value)


def _spots(
    model: ET.Element, width: float, where: str
) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """Visible spots, with the tracks that they are in still to be said; and outlines.

    Raises InputError if a spot has no ID, frame or position that is a number, or two have one ID.
    """
    rows, outlines = [], {}
    for spot in model.iter("Spot"):
        if spot.get("VISIBILITY") == "0":
            continue
        name, frame = _whole(spot, "ID", where), _whole(spot, "FRAME", where)
        at = {f"POSITION_{axis}": _float(spot, f"POSITION_{axis}", where) for axis in "XY"}
        if not np.isfinite(list(at.values())).all():
            raise InputError(f"{where}: spot {name} is nowhere: {at}")
        features = {key: value for key, value in spot.items() if key != "ROI_N_POINTS"}
        rows.append({"name": "", **features, "ID": name, "FRAME": frame, **at})
        if spot.text and spot.text.strip() and "ROI_N_POINTS" in spot.attrib:
            try:
                points = np.array(spot.text.split(), np.float64).reshape(-1, 2)
            except ValueError as error:
                raise InputError(
                    f"{where}: spot {name}: its outline is not pairs of numbers"
                ) from error
            if not np.isfinite(points).all():
                raise InputError(f"{where}: spot {name}: its outline is not of finite numbers")
            centre = at["POSITION_X"], at["POSITION_Y"]
            outlines[name] = (points + centre)[:, ::-1] / width
    table = pd.DataFrame(rows, columns=None if rows else ["ID", "name", "FRAME"])
    names = table.pop("name").astype(str)
    table = table.apply(pd.to_numeric, errors="coerce")
    known = {"FRAME": "frame", "POSITION_X": "x_px", "POSITION_Y": "y_px", "RADIUS": "radius_px"}
    first = pd.DataFrame({"spot_id": table.pop("ID").astype(np.int64), "name": names})
    for old, new in known.items():
        values = table.pop(old) if old in table else pd.Series(np.nan, table.index)
        first[new] = values.astype(np.int64) if new == "frame" else values.astype(float) / width
    first["radius_px"] = first["radius_px"].where(first["radius_px"].between(0, 1e6))
    if (twice := first["spot_id"].duplicated()).any():
        raise InputError(f"{where}: two spots have the ID {first.loc[twice, 'spot_id'].iloc[0]}")
    spots = pd.concat([first, table], axis=1).sort_values(["frame", "spot_id"])
    return spots.reset_index(drop=True), outlines


def _links(model: ET.Element, spots: pd.DataFrame, where: str) -> pd.DataFrame:
    """Links of the tracks that passed TrackMate's filters; fills the column track of `spots`."""
    kept = {each.get("TRACK_ID") for each in model.iterfind("FilteredTracks/TrackID")}
    found = [
        (
            _whole(track, "TRACK_ID", where),
            _whole(edge, "SPOT_SOURCE_ID", where),
            _whole(edge, "SPOT_TARGET_ID", where),
        )
        for track in model.iterfind("AllTracks/Track")
        if track.get("TRACK_ID") in kept
        for edge in track.iterfind("Edge")
    ]
    links = pd.DataFrame(found, columns=["track", "source", "target"]).astype(np.int64)
    frame = spots.set_index("spot_id")["frame"]
    for end in ("source", "target"):
        strangers = links.loc[~links[end].isin(frame.index), end]
        if len(strangers):
            raise InputError(f"{where}: a link names spot {strangers.iloc[0]}, which is not there")
    level = frame[links["source"]].to_numpy() == frame[links["target"]].to_numpy()
    if level.any():
        first, second = links.loc[level, ["source", "target"]].iloc[0]
        raise InputError(f"{where}: a link joins spots {first} and {second} of one frame")
    swap = frame[links["source"]].to_numpy() > frame[links["target"]].to_numpy()
    links.loc[swap, ["source", "target"]] = links.loc[swap, ["target", "source"]].to_numpy()
    track = pd.concat([links.set_index(end)["track"] for end in ("source", "target")])
    track = track[~track.index.duplicated()]
    spots["track"] = spots["spot_id"].map(track).astype("Int64")
    return links[["source", "target"]]
