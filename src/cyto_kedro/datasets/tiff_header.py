"""What the headers of TIFF stacks say: OME-TIFF, ImageJ hyperstacks and plain TIFF.

A header is read without pixels, and is checked: every plane it announces must lie inside the file,
so that a file cut short in transfer is found before hours of work.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from fsspec import AbstractFileSystem

from cyto_kedro.datasets.foreign import foreign
from cyto_kedro.datasets.micro_manager import StackSeries, check_stack, settings_of, summary_info
from cyto_kedro.datasets.tiff_info import imagej_info, ome_info, parse_ome, pixels_of
from cyto_kedro.datasets.urls import open_parts
from cyto_kedro.errors import InputError
from cyto_kedro.images import ImageInfo

# what tifffile raises on files that are damaged or of another kind
UNREADABLE = (
    tifffile.TiffFileError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)

MOST_PLANES = 10_000_000
_MOST_SEGMENTS = 64  # of a plane: more are not kept in memory


@dataclass(frozen=True)
class TiffHeader:
    """Where each plane of a TIFF stack is, and what the file says of it."""

    #: the file, as the user would name it
    location: str
    #: (T, C, Y, X)
    shape: tuple[int, int, int, int]
    #: NumPy's name of the pixel type, native byte order
    dtype: str
    #: byte offset of plane (t, c, z) at ``(t * C + c) * n_z + z``: of its directory, or of its
    #: pixels if `bare`
    offsets: tuple[int, ...]
    #: pixels that lie in the file as they are, in one piece a plane (not compressed, or without a
    #: directory per plane as ImageJ writes stacks above 4 GB); then the pixel type in the file's byte
    #: order, else ""
    bare: str
    #: channel names, pixel size, frame times (as stored; not shifted to start at 0)
    info: ImageInfo
    #: number of plane (t, c, z) in its page: above 0 only where a page holds several planes, as
    #: tifffile writes stacks of 3 or 4 frames
    parts: tuple[int, ...]
    #: rows of a strip or row of tiles that is decoded by itself; the height where a plane is one
    #: piece
    segment_rows: int
    #: depth; 1 unless the reader is to flatten it
    n_z: int = 1
    #: (plane, strip or tile, 2) where each begins and its bytes, if all planes are stored as the first
    #: one is, whose directory then serves to decode them all; None: each plane's own directory is read
    segments: np.ndarray | None = field(default=None, compare=False, repr=False)
    #: byte offset of the first plane's directory, and what of the file changes as it is written anew
    first: int = 0
    version: str = ""


def read_header(
    fs: AbstractFileSystem,
    path: str,
    location: str,
    n_channels: int | None = None,
    any_axis_is_time: bool = False,
    depth: bool = False,
    z_is_time: bool = False,
) -> TiffHeader:
    """Read and check the header of the TIFF stack at `path`.

    Parameters
    ----------
    fs, path, location
        File system, path in it, and the name used in messages.
    n_channels
        Number of channels the user expects, where an axis has no name in the file.
    any_axis_is_time
        Take whatever third axis there is as time (labels saved by napari or Fiji say Z, Q or C).
    depth
        Accept z planes, for a reader that flattens them.
    z_is_time
        Take z planes as frames where there is one time point.

    Raises
    ------
    InputError
        If the file is not a TIFF, is cut short, holds depth, colour or several images, or if its
        axes are ambiguous.
    """
    # the key changes with the file, so that what is remembered is never of an older one
    asked = n_channels, any_axis_is_time, depth, z_is_time
    return _read_header(fs, path, fs.ukey(path), location, *asked)


@lru_cache(maxsize=64)
def _read_header(
    fs: AbstractFileSystem, path: str, version: str, location: str, *asked: Any
) -> TiffHeader:
    """`read_header`, remembered: the blocks of one long film share its thousands of planes."""
    try:
        with open_parts(fs, path) as file, tifffile.TiffFile(file, _multifile=False) as tif:
            return replace(_header(tif, location, *asked), version=version)
    except InputError:
        raise
    except UNREADABLE as error:
        if (other := foreign(fs, path)) is not None:
            raise InputError(f"{location} {other}") from error
        raise InputError(
            f"{location} is not a readable TIFF ({error}). Open it in Fiji and save it again, or "
            "copy it again if the transfer was cut short."
        ) from error


def _header(
    tif: tifffile.TiffFile,
    location: str,
    n_channels: int | None,
    any_axis_is_time: bool,
    depth: bool,
    z_is_time: bool,
) -> TiffHeader:
    if tif.is_ndtiff:
        raise InputError(
            f"{location} is a part of an NDTiff of Micro-Manager, which its NDTiff.index opens: give "
            "that in the pattern, such as {fov}/NDTiff.index"
        )
    _check_description(tif, location)
    settings = settings_of(tif)
    ome = parse_ome(tif, location, settings)
    stopped = () if settings is None else check_stack(settings, location)
    doubts, ways = (stopped, {}) if stopped else _check_complete(tif, location, ome)
    found: list[Any] = tif.series if settings is None else [StackSeries(tif, settings)]
    if len(found) != 1:
        raise InputError(
            f"{location} holds {len(found)} images of different kinds (positions, a thumbnail); "
            "save one image per file: one file is one field of view"
        )
    series = found[0]
    axes, sizes = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    order = arrange(axes, sizes, n_channels, location, any_axis_is_time, depth, z_is_time)
    n_t, n_c, n_z = order.shape
    height, width = (sizes[axes.index(axis)] for axis in "YX")
    dtype = np.dtype(series.dtype)
    check_kind(dtype, location)
    pages = list(series.pages)
    start, plane_bytes = series.dataoffset or 0, height * width * dtype.itemsize
    per_page = sizes[axes.index("S")] if "S" in axes else 1
    bare = len(pages) * per_page < order.size and start > 0
    promised = order.size if bare or stopped else _announced(tif, ome)
    whole = (tif.filehandle.size - start) // plane_bytes if bare else order.size
    if whole < promised:
        raise _cut_short(tif, location, whole, _planes_per_frame(tif, ome))
    if bare:
        offsets = start + order.ravel() * plane_bytes
    else:
        where = order // per_page
        lost = [k for k, i in enumerate(where.flat) if i >= len(pages) or pages[i] is None]
        if lost:
            raise InputError(
                f"{location}: frame {lost[0] // (n_c * n_z)} is not in the file. If the images are "
                "spread over several files, name the part that varies in the pattern ({channel}, "
                "{frame}); else the file is cut short."
            )
        offsets = np.array([pages[i].offset for i in where.flat])
    first = series.keyframe
    grey = not bare and per_page == 1 and first.samplesperpixel == 1
    segments = _segments([pages[i] for i in order.flat], ways) if grey and not settings else None
    if segments is not None and first.is_final and _in_one_piece(segments, plane_bytes):
        bare, offsets, segments = True, segments[:, 0, 0], None
    pieces = grey and len(first.dataoffsets) > 1
    return TiffHeader(
        location=location,
        shape=(n_t, n_c, height, width),
        dtype=dtype.newbyteorder("=").name,
        offsets=tuple(int(offset) for offset in offsets),
        parts=tuple(int(part) for part in (order % per_page).flat),
        bare=np.dtype(dtype).newbyteorder(tif.byteorder).str if bare else "",
        info=(
            ome_info(ome, n_t, n_c, location, doubts)
            if ome is not None
            else imagej_info(tif, n_t, n_c, location, doubts)
            if settings is None
            else replace(summary_info(settings, n_t, n_c, location), doubts=doubts)
        ),
        segment_rows=1 if bare else first.chunks[0] if pieces else height,
        n_z=n_z,
        segments=segments,
        first=first.offset,
    )


def _segments(pages: list[Any], ways: Mapping[int, int]) -> np.ndarray | None:
    """`TiffHeader.segments` of `pages`; None unless all are stored in the same way, nothing left out."""
    alike = len({ways[page.offset] for page in pages}) == 1
    if len(pages[0].dataoffsets) > _MOST_SEGMENTS or not alike:
        return None
    where = [(page.dataoffsets, page.databytecounts) for page in pages]
    if len({len(each) for both in where for each in both}) > 1 or any(
        0 in each[1] for each in where
    ):
        return None
    return np.array(where, np.int64).transpose(0, 2, 1)


def _in_one_piece(segments: np.ndarray, plane_bytes: int) -> bool:
    """Whether the strips of every plane follow each other without a gap, and are the plane."""
    start, size = segments[..., 0], segments[..., 1]
    joined = (start[:, :-1] + size[:, :-1] == start[:, 1:]).all()
    return bool(joined and (size.sum(axis=1) == plane_bytes).all())


def check_kind(dtype: np.dtype[Any], location: str) -> None:
    """Raise unless pixels of `dtype` are grey levels."""
    if dtype.kind not in "uifb":
        raise InputError(
            f"{location} has pixels of type {dtype}, which are no grey levels; save it as 8 or 16 bits, "
            "or as 32-bit float"
        )


def arrange(
    axes: str,
    sizes: tuple[int, ...],
    n_channels: int | None,
    location: str,
    any_axis_is_time: bool = False,
    depth: bool = False,
    z_is_time: bool = False,
) -> np.ndarray:
    """Plane numbers in file order, (T, C, Z), of an image with `axes` (letters) and `sizes`.

    An axis without a meaning (I, Q, …) is the channels if it has `n_channels` planes, else time.

    Raises InputError if there is colour, depth that is not asked for, or more than one reading.
    """
    # three or four planes written as "separate colours" are a stack more often than a colour image
    axes = axes.replace("SYX", "QYX")
    if not {"Y", "X"} <= set(axes) or ("S" in axes and sizes[axes.index("S")] > 1):
        raise InputError(
            f"{location} has axes {axes} {sizes}: not grey images of (Y, X). Save each colour as a "
            "channel of its own."
        )
    leading = [(a, n) for a, n in zip(axes, sizes, strict=True) if a not in "YXS" and n > 1]
    if any_axis_is_time and len(leading) == 1:
        leading = [("T", leading[0][1])]
    present = dict(leading)
    if z_is_time and "T" not in present:
        leading = [("T" if a == "Z" else a, n) for a, n in leading]
    elif not depth and "Z" in present:
        depth_said = f"{location} has {present['Z']} z planes"
        if "T" not in present:
            raise InputError(
                f"{depth_said} and one time point. If they are the frames of a film (as Fiji saves a "
                "stack whose slices nobody called frames), set assay.raw.z_is_time: true. If they are "
                "depth, set assay.raw.project_z to max or mean, which makes one frame of them."
            )
        raise InputError(
            f"{depth_said} and {present['T']} time points; only flat films are analysed. Set "
            "assay.raw.project_z to max or mean."
        )
    names = [axis for axis, _ in leading]
    unnamed = [i for i, axis in enumerate(names) if axis not in "TCZ"]
    wanted = (n_channels or 1) > 1 and "C" not in names
    channel_like = [i for i in unnamed if wanted and leading[i][1] == n_channels]
    if len(channel_like) == 1:
        names[channel_like[0]] = "C"
        unnamed.remove(channel_like[0])
    if len(unnamed) == 1 and "T" not in names:
        names[unnamed.pop()] = "T"
    if unnamed or len(set(names)) != len(names):
        raise InputError(
            f"{location} has axes {axes} {sizes}, which do not say what is time and what is "
            "channel. Save it as OME-TIFF or as an ImageJ hyperstack."
        )
    shape = [n for _, n in leading]
    if math.prod(shape) > MOST_PLANES:
        raise InputError(
            f"{location} announces {math.prod(shape)} planes, more than a film has: its description is "
            "damaged. Save it again."
        )
    planes = np.arange(math.prod(shape)).reshape(shape)
    for axis in "TCZ":
        if axis not in names:
            planes, names = planes[..., None], [*names, axis]
    return planes.transpose([names.index(axis) for axis in "TCZ"])


def _check_complete(
    tif: tifffile.TiffFile, location: str, ome: Any
) -> tuple[tuple[str, ...], dict[int, int]]:
    """Raise unless every announced plane lies in the file whole; say so where there are more.

    Second, how each page is stored, by its offset: pages of one hash can be decoded alike, says
    tifffile (in a series it takes that for granted).
    """
    size = tif.filehandle.size
    tif.pages.useframes = False
    found, ways = 0, {}
    try:
        for page in tif.pages:
            ends = [a + n for a, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
            if max(ends, default=0) > size:
                break
            found += 1
            ways[page.offset] = page.hash
        else:
            # the last directory points to another one that is not there
            tif.filehandle.seek(tif.pages.next_page_offset or 0)
            last = tif.filehandle.read(tif.tiff.offsetsize)
            if not any(last):
                announced = _announced(tif, ome)
                if found >= announced or (found == 1 and tif.is_imagej):
                    return _left_over(location, found, announced), ways
    except UNREADABLE:
        pass  # a directory cut in the middle: reported below like any other
    raise _cut_short(tif, location, found, _planes_per_frame(tif, ome))


def _left_over(location: str, found: int, announced: int) -> tuple[str, ...]:
    if not 0 < announced < found:
        return ()
    return (
        f"{location} holds {found} planes, but its description announces {announced}: the other "
        f"{found - announced} are left out, frames of the film perhaps. Open it in Fiji, look at the "
        "number of frames, and save it again",
    )


def _cut_short(tif: tifffile.TiffFile, location: str, plane: int, per_frame: int) -> InputError:
    return InputError(
        f"{location} is cut short: plane {plane} (frame {plane // per_frame}) is not whole in its "
        f"{tif.filehandle.size} bytes. Copy the file again."
    )


def _check_description(tif: tifffile.TiffFile, location: str) -> None:
    """Raise if tags of the first directory lie outside the file; tifffile leaves them out."""
    page, handle = tif.pages.first, tif.filehandle
    handle.seek(page.offset)
    (n_tags,) = struct.unpack(tif.tiff.tagnoformat, handle.read(tif.tiff.tagnosize))
    if len(page.tags) < n_tags:
        raise InputError(
            f"{location} is cut short: its description (channels, frames) lies beyond its "
            f"{handle.size} bytes. Copy the file again."
        )


def _announced(tif: tifffile.TiffFile, ome: ElementTree.Element | None) -> int:
    """Number of planes the description promises; 0 if it promises none."""
    if ome is not None:
        described = pixels_of(ome).findall("{*}TiffData")
        if any(part.find("{*}UUID") is not None for part in described):
            return 0  # planes may be in other files; those are reported one by one
        return int(np.prod([int(pixels_of(ome).get(f"Size{a}", "1")) for a in "TCZ"]))
    if tif.is_imagej:
        return int((tif.imagej_metadata or {}).get("images", 1))
    if tif.is_shaped:
        shapes = tif.shaped_metadata or ()
        page = tif.pages.first
        contiguous = len(tif.pages) == 1
        total = sum(int(np.prod(s["shape"], dtype=np.int64)) for s in shapes if "shape" in s)
        return 0 if contiguous else total // max(page.size, 1)
    return 0


def _planes_per_frame(tif: tifffile.TiffFile, ome: ElementTree.Element | None) -> int:
    if ome is not None:
        pixels = pixels_of(ome)
        if pixels.get("DimensionOrder", "XYCZT").endswith("T"):
            return int(pixels.get("SizeC", "1")) * int(pixels.get("SizeZ", "1"))
        return 1
    if tif.is_imagej:
        described = tif.imagej_metadata or {}
        return int(described.get("channels", 1)) * int(described.get("slices", 1))
    return 1
