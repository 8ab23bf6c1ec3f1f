"""OME-Zarr images (NGFF 0.4 on Zarr v2, 0.5 on Zarr v3): metadata and lazy frames.

Metadata as in the NGFF specification, https://ngff.openmicroscopy.org/0.5: ``multiscales`` with
axes, the scale of level 0, and channel labels under ``omero``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from cyto_kedro.datasets.tiff_header import UNREADABLE, arrange, check_kind
from cyto_kedro.datasets.tiff_info import multiples, square
from cyto_kedro.datasets.zarr_chunks import check_chunks
from cyto_kedro.errors import InputError
from cyto_kedro.images import ImageInfo
from cyto_kedro.statements import Statement
from cyto_kedro.view import Projection, project

LENGTHS = {"angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "meter": 1e6}
TIMES = {
    **{"microsecond": 1e-6, "millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0},
    "day": 86_400.0,
}


@dataclass(frozen=True)
class ZarrHeader:
    """Level 0 of an OME-Zarr."""

    #: URL or path of the image
    location: str
    #: path of level 0 in it
    array: str
    #: one letter per axis of the array, in its order, of TCZYX
    axes: str
    #: (T, C, Y, X)
    shape: tuple[int, int, int, int]
    #: numPy's name of the pixel type
    dtype: str
    #: channel labels, pixel size, frame times
    info: ImageInfo


@dataclass(frozen=True)
class Inside:
    """An image of a container of several."""

    #: in the container
    path: str
    #: what tells it from the others
    name: str
    #: as the container says; empty where it does not
    plate: str = ""
    well: str = ""


def is_zarr(path: str) -> bool:
    """Whether a path is that of an OME-Zarr or of something in one, by the ending of its folders."""
    return ".zarr/" in f"{path.lower()}/"


@contextmanager
def _readable(location: str) -> Iterator[None]:
    """What Zarr cannot read within is told as an InputError that names `location`."""
    try:
        yield
    except UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{location} is not a readable OME-Zarr ({type(error).__name__}: {error}); copy it "
            "again or export it again"
        ) from error


def images_inside(location: str, options: dict[str, Any]) -> list[Inside] | None:
    """The images of a plate, or of a series of images; None: it is none of these.

    Raises InputError if a plate names no well, or a well that is not there.
    """
    with _readable(location):
        group = _open(location, options)
        attributes = _attributes(group)
        if "plate" in attributes:
            return _of_plate(group, attributes["plate"], location)
        if "multiscales" in attributes or "bioformats2raw.layout" not in attributes:
            return None
        named = _attributes(group["OME"]).get("series") if "OME" in group else None
        series = list(map(str, named or sorted(filter(str.isdigit, group.group_keys()), key=int)))
        return [Inside(each, f"image{each}") for each in series] if len(series) > 1 else None


def _of_plate(group: Any, plate: dict[str, Any], location: str) -> list[Inside]:
    found = []
    for each in plate.get("wells", ()):
        path = str(each["path"])
        try:
            images = _attributes(group[path])["well"]["images"]
        except KeyError as error:
            raise InputError(
                f"{location}: its plate names the well {path}, which is not there, or says not which "
                "images it has; copy the plate again, with all its folders"
            ) from error
        well = path.replace("/", "")
        name = str(plate.get("name", ""))
        found += [
            Inside(
                path=f"{path}/{image['path']}",
                name=well if len(images) == 1 else f"{well}_{image['path']}",
                plate=name,
                well=well,
            )
            for image in images
        ]
    if not found:
        raise InputError(f"{location} is a plate without a well; export it again")
    return found


class ZarrFrames:
    """The frames (T, Y, X) of one channel of an OME-Zarr; opened at each reading."""

    def __init__(
        self,
        header: ZarrHeader,
        channel: int,
        options: dict[str, Any],
        project_z: Projection | None = None,
    ) -> None:
        n_frames, _, height, width = header.shape
        self.shape = (n_frames, height, width)
        self.dtype = np.dtype(np.float32 if project_z == "mean" else header.dtype)
        self._project = project_z
        self._header, self._channel, self._options = header, channel, options

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames `start` to `stop` (not included), (T, Y, X)."""
        array = _open(self._header.location, self._options)[self._header.array]
        axes = self._header.axes
        depth = array.shape[axes.index("Z")] if "Z" in axes else 1
        if depth == 1:
            return self._planes(array, start, stop, 0).astype(self.dtype, copy=False)
        frames = [
            project((self._planes(array, t, t + 1, z)[0] for z in range(depth)), self._project)
            for t in range(start, stop)
        ]
        return np.stack(frames).astype(self.dtype, copy=False)

    def _planes(self, array: Any, start: int, stop: int, z: int) -> np.ndarray:
        """Depth `z` of the frames `start` to `stop`, (T, Y, X)."""
        axes = self._header.axes
        part = {"T": slice(start, stop), "Y": slice(None), "X": slice(None)}
        chosen = tuple(part.get(a, self._channel if a == "C" else z) for a in axes)
        try:
            pixels = np.asarray(array[chosen])
        except Exception as error:  # codecs raise what they like
            raise InputError(
                f"{self._header.location}, frame {start}: the pixels cannot be decoded "
                f"({type(error).__name__}: {error}). A chunk is damaged: copy it again, or exclude the "
                "field in the sample sheet"
            ) from error
        kept = [a for a in axes if a in "TYX"]
        pixels = pixels if "T" in kept else pixels[None]
        kept = kept if "T" in kept else ["T", *kept]
        return pixels.transpose([kept.index(a) for a in "TYX"])


def _open(location: str, options: dict[str, Any]) -> Any:
    import zarr

    return zarr.open_group(location, mode="r", storage_options=options or None)


def read_header(
    location: str,
    options: dict[str, Any],
    depth: bool = False,
    z_is_time: bool = False,
    chunks: bool = False,
) -> ZarrHeader:
    """Read the metadata of the OME-Zarr at `location`; `depth` accepts z planes.

    With `z_is_time` they are frames, where there is one time point. With `chunks` it is looked
    whether all chunks are there and whole.

    Raises InputError if it is not an OME-Zarr image, is a plate, or holds depth that is not asked
    for.
    """
    with _readable(location):
        return _read_header(location, options, depth, z_is_time, chunks)


def _read_header(
    location: str, options: dict[str, Any], depth: bool, z_is_time: bool, chunks: bool
) -> ZarrHeader:
    group = _open(location, options)
    attributes = _attributes(group)
    prefix = ""
    if "multiscales" not in attributes and "bioformats2raw.layout" in attributes:
        if "1" in group:
            raise InputError(f"{location} holds several images; name one, such as {location}/0")
        attributes, prefix = _attributes(group["0"]), "0/"
    if "multiscales" not in attributes:
        kind = "a plate" if "plate" in attributes else "not an OME-Zarr image"
        raise InputError(
            f"{location} is {kind}: it has no 'multiscales' metadata; an image is meant"
        )
    scales = attributes["multiscales"][0]
    level = scales["datasets"][0]
    array = group[prefix + level["path"]]
    sizes, dtype = array.shape, np.dtype(array.dtype)
    check_kind(dtype, location)
    described = [a if isinstance(a, dict) else {"name": a} for a in scales.get("axes", "tczyx")]
    axes = "".join(axis["name"].upper() for axis in described)
    scale = _scale(level, len(axes)) * _scale(scales, len(axes))
    n_t, n_c, _ = arrange(axes, sizes, None, location, depth=depth, z_is_time=z_is_time).shape
    units = {
        a: (axis.get("unit", ""), s) for a, axis, s in zip(axes, described, scale, strict=True)
    }
    sides = [
        Statement(
            "pixel size", s * LENGTHS[unit], f"{location}, multiscales: scale of axis {a.lower()}"
        )
        if unit in LENGTHS
        else None
        for a, (unit, s) in ((a, units[a]) for a in "YX")
    ]
    side, said = square(sides, location)
    unit, step = units.get("T", ("", 0.0))
    interval = None
    if unit in TIMES:
        source = f"{location}, multiscales: scale of axis t"
        interval = Statement("frame interval", step * TIMES[unit], source)
    if z_is_time and n_t > 1 and ("T" not in axes or sizes[axes.index("T")] == 1):
        axes = axes.replace("T", "Q").replace("Z", "T")
    labels = [c.get("label") for c in attributes.get("omero", {}).get("channels", [])]
    return ZarrHeader(
        location=location,
        array=prefix + level["path"],
        axes=axes,
        shape=(n_t, n_c, sizes[axes.index("Y")], sizes[axes.index("X")]),
        dtype=dtype.newbyteorder("=").name,
        info=ImageInfo(
            pixel_size_um=side,
            time_s=multiples(interval, n_t),
            channels=tuple(map(str, labels)) if all(labels) and len(labels) == n_c else (),
            said=said if interval is None else (*said, interval),
            doubts=check_chunks(location, prefix + level["path"], array, axes, options)
            if chunks
            else (),
        ),
    )


def _attributes(group: Any) -> dict[str, Any]:
    attributes = dict(group.attrs)
    return {**attributes, **attributes.get("ome", {})}


def _scale(described: dict[str, Any], n_axes: int) -> np.ndarray:
    scale = np.ones(n_axes)
    for step in described.get("coordinateTransformations", []):
        if step.get("type") == "scale":
            scale = scale * np.asarray(step["scale"], float)
    return scale
