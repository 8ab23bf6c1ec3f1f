"""Pixel size, frame times and channel names in the headers of OME and ImageJ TIFFs."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import tifffile

from cyto_kedro.errors import InputError
from cyto_kedro.images import ImageInfo

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


def parse_ome(tif: tifffile.TiffFile, location: str) -> ElementTree.Element | None:
    if not tif.is_ome:
        return None
    try:
        root = ElementTree.fromstring(tif.ome_metadata or "")
    except ElementTree.ParseError as error:
        raise InputError(
            f"{location}: its OME-XML cannot be read ({error}); save it again"
        ) from error
    n_images = len(root.findall("{*}Image"))
    if n_images > 1:
        raise InputError(
            f"{location} holds {n_images} images (positions of a plate?); export one file per field"
        )
    return root


def ome_info(ome: ElementTree.Element, n_t: int, n_c: int, location: str) -> ImageInfo:
    pixels = pixels_of(ome)
    sides = [_measure(pixels, f"PhysicalSize{axis}", LENGTHS, "µm") for axis in "XY"]
    names = [channel.get("Name") for channel in pixels.findall("{*}Channel")]
    return ImageInfo(
        pixel_size_um=square(sides, location),
        time_s=_ome_times(pixels, n_t),
        channels=tuple(str(n) for n in names) if all(names) and len(names) == n_c else (),
    )


def _ome_times(pixels: ElementTree.Element, n_frames: int) -> tuple[float, ...] | None:
    """Per frame, the earliest DeltaT of its planes; else multiples of TimeIncrement."""
    times: dict[int, float] = {}
    for plane in pixels.findall("{*}Plane"):
        time = _measure(plane, "DeltaT", TIMES, "s")
        t = int(plane.get("TheT", "0"))
        if time is not None:
            times[t] = min(time, times.get(t, time))
    found = [times[t] for t in range(n_frames) if t in times]
    # writers that know no times put the same number everywhere
    if len(found) == n_frames and (n_frames == 1 or len(set(found)) > 1):
        return tuple(found)
    step = _measure(pixels, "TimeIncrement", TIMES, "s")
    return tuple(t * step for t in range(n_frames)) if step else None


def _measure(
    element: ElementTree.Element, name: str, units: dict[str, float], default: str
) -> float | None:
    """An OME attribute in our unit; None if absent or in a unit without a size (pixel)."""
    value, unit = element.get(name), element.get(f"{name}Unit", default)
    return None if value is None or unit not in units else float(value) * units[unit]


def square(sides: list[float | None], location: str) -> float | None:
    """The side of square pixels given along each axis; None if unknown.

    Raises
    ------
    InputError
        If the sides differ: lengths would be wrong in some direction.
    """
    known = [side for side in sides if side]
    if len(known) < len(sides):
        return None
    if max(known) > 1.01 * min(known):
        raise InputError(
            f"{location}: pixels are not square ({' x '.join(f'{s:g}' for s in known)} µm), so "
            "that lengths would depend on direction. Resample the images to square pixels."
        )
    return float(known[0])


def imagej_info(tif: tifffile.TiffFile, n_frames: int) -> ImageInfo:
    """Calibration of an ImageJ hyperstack; a plain TIFF has none that can be trusted."""
    imagej = tif.imagej_metadata or {}
    scale = LENGTHS.get(str(imagej.get("unit", "")).strip())
    sides: list[float | None] = []
    for axis in "XY":
        tag = tif.pages.first.tags.get(f"{axis}Resolution")
        dots, length = tag.value if tag else (0, 1)
        sides.append(length / dots * scale if scale and dots else None)
    step = float(imagej.get("finterval", 0)) * TIMES.get(str(imagej.get("tunit", "s")), 0)
    times = tuple(t * step for t in range(n_frames)) if step > 0 else None
    return ImageInfo(square(sides, tif.filename), times, _names(tif))


def _names(tif: tifffile.TiffFile) -> tuple[str, ...]:
    """Channel names that tifffile stores in its own JSON description, else none."""
    try:
        described = json.loads(tif.pages.first.description or "null")
    except ValueError:
        return ()
    names = described.get("channels", ()) if isinstance(described, dict) else ()
    return tuple(str(name) for name in names) if isinstance(names, list) else ()
