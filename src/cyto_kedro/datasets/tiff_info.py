"""Pixel size, frame times and channel names in the headers of OME and ImageJ TIFFs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from cyto_kedro.datasets.micro_manager import own_image
from cyto_kedro.errors import InputError
from cyto_kedro.images import ImageInfo
from cyto_kedro.statements import JITTER, NOMINAL, Statement

# to micrometres; both Unicode signs for micro are in use
LENGTHS = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "\\u00B5m"), 1.0),
    **{"pm": 1e-6, "Å": 1e-4, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6},
    **dict.fromkeys(("in", "inch", "inches"), 25_400.0),
}
# to seconds
TIMES = {
    **{"ns": 1e-9, "µs": 1e-6, "μs": 1e-6, "us": 1e-6, "ms": 1e-3, "msec": 1e-3, "h": 3600.0},
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("hour", "hours", "hr"), 3600.0),
    **{"d": 86_400.0, "day": 86_400.0, "days": 86_400.0},
}


def pixels_of(ome: ElementTree.Element) -> ElementTree.Element:
    pixels = ome.find("{*}Image/{*}Pixels")
    return ElementTree.Element("Pixels") if pixels is None else pixels


def parse_ome(
    tif: tifffile.TiffFile, location: str, settings: Mapping[str, Any] | None = None
) -> ElementTree.Element | None:
    """The OME-XML of a file, with the image that is its own alone; None where it has none.

    `tif`, `location`: the file, and its name in messages. `settings`: of a Micro-Manager stack.
    Raises InputError if it cannot be read, or is of several images of which the file's own is not
    told.
    """
    if not tif.is_ome:
        return None
    try:
        root = ElementTree.fromstring(tif.ome_metadata or "")
    except ElementTree.ParseError as error:
        raise InputError(
            f"{location}: its OME-XML cannot be read ({error}); save it again"
        ) from error
    images = root.findall("{*}Image")
    n_images = len(images)
    if n_images == 0 and settings is not None:
        return None  # of all positions, in another file
    own = own_image(root, settings) if n_images > 1 and settings is not None else None
    if own is not None:
        for image in images:
            if image is not own:
                root.remove(image)
    elif n_images > 1:
        raise InputError(
            f"{location} holds {n_images} images (positions of a plate?); export one file per field"
        )
    return root


def ome_info(
    ome: ElementTree.Element, n_t: int, n_c: int, location: str, doubts: tuple[str, ...] = ()
) -> ImageInfo:
    pixels = pixels_of(ome)
    sides = [
        _size(
            _measure(pixels, f"PhysicalSize{axis}", LENGTHS, "µm"),
            f"{location}, PhysicalSize{axis}",
        )
        for axis in "XY"
    ]
    side, said = square(sides, location)
    stamps = _stamps(pixels, n_t)
    times = None if stamps is None else step_of(stamps, f"{location}, DeltaT")
    if times is not None and times.doubt is not None:
        stamps = None
    step = _measure(pixels, "TimeIncrement", TIMES, "s")
    interval = _interval(step, f"{location}, TimeIncrement")
    if interval is not None and stamps is not None and n_t > 1:
        interval = replace(interval, rank=NOMINAL)
    names = [channel.get("Name") for channel in pixels.findall("{*}Channel")]
    return ImageInfo(
        pixel_size_um=side,
        time_s=stamps if stamps is not None else multiples(interval, n_t),
        channels=tuple(str(n) for n in names) if all(names) and len(names) == n_c else (),
        said=(*said, *(each for each in (times, interval) if each is not None)),
        doubts=doubts,
    )


def _size(side: float | None, source: str) -> Statement | None:
    return None if side is None else Statement("pixel size", side, source)


def _interval(step: float | None, source: str) -> Statement | None:
    """0 is what writers put that do not know it."""
    return None if not step else Statement("frame interval", step, source)


def step_of(times: Sequence[float], source: str) -> Statement | None:
    """What time stamps say of the frame interval: the median step; None of one frame."""
    if len(times) < 2:
        return None
    step = float(np.median(np.diff(times)))
    return Statement("frame interval", step, source, tolerance=JITTER)


def multiples(interval: Statement | None, n_frames: int) -> tuple[float, ...] | None:
    """Frame times of a regular film; None where the interval is unknown or cannot be."""
    if interval is None or interval.doubt is not None:
        return None
    return tuple(t * interval.value for t in range(n_frames))


def _stamps(pixels: ElementTree.Element, n_frames: int) -> tuple[float, ...] | None:
    """Per frame, the earliest DeltaT of its planes; None where they tell no frames apart."""
    times: dict[int, float] = {}
    for plane in pixels.findall("{*}Plane"):
        time = _measure(plane, "DeltaT", TIMES, "s")
        t = int(plane.get("TheT", "0"))
        if time is not None and np.isfinite(time):
            times[t] = min(time, times.get(t, time))
    found = [times[t] for t in range(n_frames) if t in times]
    # writers that know no times put the same number everywhere
    if len(found) == n_frames and (n_frames == 1 or len(set(found)) > 1):
        return tuple(found)
    return None


def _measure(
    element: ElementTree.Element, name: str, units: dict[str, float], default: str
) -> float | None:
    """An OME attribute in our unit; None if absent or in a unit without a size (pixel)."""
    value, unit = element.get(name), element.get(f"{name}Unit", default)
    return None if value is None or unit not in units else number(value) * units[unit]


def number(text: object) -> float:
    """A number in a header; NaN, which nobody believes, of any other text."""
    try:
        return float(str(text))
    except ValueError:
        return float("nan")


def square(
    sides: Sequence[Statement | None], location: str
) -> tuple[float | None, tuple[Statement, ...]]:
    """The side of square pixels given along each axis, None if unknown; and what was said of it.

    Raises InputError if the sides differ: lengths would be wrong in some direction.
    """
    known = [side for side in sides if side is not None and side.value]
    if doubted := [side for side in known if side.doubt is not None]:
        return None, tuple(doubted[:1])
    if len(known) < len(sides):
        return None, ()
    values = [side.value for side in known]
    if max(values) > 1.01 * min(values):
        raise InputError(
            f"{location}: pixels are not square ({' x '.join(f'{s:g}' for s in values)} µm), so "
            "that lengths would depend on direction. Resample the images to square pixels."
        )
    return float(values[0]), tuple(known[:1])


def imagej_info(
    tif: tifffile.TiffFile,
    n_frames: int,
    n_channels: int,
    location: str,
    doubts: tuple[str, ...] = (),
) -> ImageInfo:
    """Calibration of an ImageJ hyperstack; a plain TIFF has none that can be trusted."""
    imagej = tif.imagej_metadata or {}
    unit = str(imagej.get("unit", "")).strip()
    scale = LENGTHS.get(unit)
    sides: list[Statement | None] = []
    for axis in "XY":
        tag = tif.pages.first.tags.get(f"{axis}Resolution")
        dots, length = tag.value if tag else (0, 1)
        side = length / dots * scale if scale and dots else None
        sides.append(_size(side, f"{location}, {axis}Resolution with unit {unit}"))
    side_um, said = square(sides, location)
    step = number(imagej.get("finterval", 0)) * TIMES.get(str(imagej.get("tunit", "s")), 0)
    interval = _interval(step, f"{location}, finterval")
    return ImageInfo(
        side_um,
        multiples(interval, n_frames),
        names if len(names := _names(tif)) == n_channels else (),
        said if interval is None else (*said, interval),
        doubts,
    )


def _names(tif: tifffile.TiffFile) -> tuple[str, ...]:
    """Channel names that tifffile stores in its own JSON description, else none."""
    try:
        described = json.loads(tif.pages.first.description or "null")
    except ValueError:
        return ()
    names = described.get("channels", ()) if isinstance(described, dict) else ()
    return tuple(str(name) for name in names) if isinstance(names, list) else ()
