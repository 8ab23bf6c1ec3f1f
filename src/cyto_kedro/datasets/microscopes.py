"""Microscopes' own files, read without conversion: Zeiss CZI, Nikon ND2, Leica LIF, and NDTiff.

The first three by pylibCZIrw, nd2 and liffile, which come with the extra ``microscopes``. A file may
hold several scenes (positions, series): each is a field. Opened at each reading, so that threads and
workers share no handle.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from cyto_kedro.datasets import ndtiff
from cyto_kedro.datasets.patterns import ONLY_FOV, RawFile
from cyto_kedro.datasets.scene import Scene
from cyto_kedro.datasets.tiff_header import arrange, check_kind
from cyto_kedro.datasets.tiff_info import multiples, number, square, step_of
from cyto_kedro.errors import InputError
from cyto_kedro.images import ImageInfo
from cyto_kedro.statements import NOMINAL, Statement
from cyto_kedro.view import Projection, project

ENDINGS = (".czi", ".nd2", ".lif", ndtiff.INDEX)
EXTRA = 'pip install "cyto_kedro[microscopes]"'


def is_microscope(path: str) -> bool:
    """Whether a file is one of these, by its ending."""
    return path.lower().endswith(ENDINGS)


def _library(name: str, location: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"{location} is a microscope's own file, and {name}, which reads it, is not installed: "
            f"{EXTRA}. Or save it as OME-TIFF, one file per field"
        ) from error


@contextmanager
def _czi(path: str) -> Iterator[list[Scene]]:
    with _library("pylibCZIrw.czi", path).open_czi(path) as czi:
        root = ElementTree.fromstring(czi.raw_metadata)
        image = root.find("Metadata/Information/Image")
        image = ElementTree.Element("Image") if image is None else image
        box = {
            axis: (start, stop - start) for axis, (start, stop) in czi.total_bounding_box.items()
        }
        kind = {"Gray8": "uint8", "Gray16": "uint16", "Gray32Float": "float32"}
        kinds = sorted(set(czi.pixel_types.values()))
        if len(kinds) > 1 or kinds[0] not in kind:
            raise InputError(f"{path} has pixels {', '.join(kinds)}; save each colour as a channel")
        names = [each.get("Name", "") for each in image.findall("Dimensions/Channels/Channel")]
        sides = [
            number(root.findtext(f"Metadata/Scaling/Items/Distance[@Id='{axis}']/Value", "0")) * 1e6
            for axis in "YX"
        ]
        step = number(image.findtext("Dimensions/T/Positions/Interval/Increment", "0"))
        named = {
            int(each.get("Index", 0)): [
                *(shape.get("Name", "") for shape in each.findall("Shape")),
                each.get("Name", ""),
            ]
            for each in image.findall("Dimensions/S/Scenes/Scene")
        }

        def plane(scene: int | None, area: Any, t: int, c: int, z: int) -> np.ndarray:
            at = {"T": t, "C": c, "Z": z}
            where = {axis: box[axis][0] + at[axis] for axis in at if axis in box}
            roi = (area.x, area.y, area.w, area.h)
            return np.asarray(czi.read(roi=roi, plane=where, scene=scene))[..., 0]

        areas = czi.scenes_bounding_rectangle_no_pyramid
        areas = areas or {None: czi.total_bounding_rectangle_no_pyramid}
        yield [
            Scene(
                name="_".join(filter(None, dict.fromkeys(named.get(scene or 0, ())))),
                sizes={**{axis: n for axis, (_, n) in box.items()}, "Y": area.h, "X": area.w},
                dtype=np.dtype(kind[kinds[0]]),
                channels=tuple(names) if all(names) else (),
                sides_um=(sides[0] or None, sides[1] or None),
                interval_s=step,
                times_s=partial(czi_times, path),
                plane=partial(plane, scene, area),
            )
            for scene, area in sorted(areas.items(), key=lambda each: each[0] or 0)
        ]


def czi_times(path: str) -> Sequence[float]:
    """Seconds of each time point, from the attachment ``TimeStamps``; empty where there is none.

    Laid out as in Zeiss' "ZISRAW (CZI) File Format" 1.2: file header, attachment directory of entries
    of 128 bytes, attachment of two counts and doubles.
    """
    with Path(path).open("rb") as file:
        header = file.read(32 + 80)
        (directory,) = struct.unpack_from("<q", header, 32 + 72)
        if not directory:
            return ()
        file.seek(directory + 32)
        (n_entries,) = struct.unpack("<i", file.read(4))
        file.seek(directory + 32 + 256)
        entries = file.read(128 * n_entries)
        for start in range(0, len(entries), 128):
            entry = entries[start : start + 128]
            if entry[48:].rstrip(b"\0") == b"TimeStamps":
                file.seek(*struct.unpack_from("<q", entry, 12))
                file.seek(32 + 256, 1)
                _, n = struct.unpack("<ii", file.read(8))
                return struct.unpack(f"<{n}d", file.read(8 * n))
    return ()


@contextmanager
def _nd2(path: str) -> Iterator[list[Scene]]:
    with _library("nd2", path).ND2File(path) as film:
        if film.is_rgb:
            raise InputError(f"{path} holds colour pictures; save each colour as a channel")
        sizes = dict(film.sizes)
        n_positions = sizes.pop("P", 1)
        loops: Sequence[Mapping[str, int]] = film.loop_indices or ({},)
        number_of = {tuple(loop.get(a, 0) for a in "PTZ"): i for i, loop in enumerate(loops)}
        points = [
            point.name or ""
            for loop in film.experiment
            if loop.type == "XYPosLoop"
            for point in loop.parameters.points
        ]
        channels = film.metadata.channels or []
        volume = channels[0].volume if channels else None
        x, y = (
            size if known and size > 0 else None
            for size, known in (
                zip(volume.axesCalibration[:2], volume.axesCalibrated[:2], strict=True)
                if volume is not None
                else ((0, False), (0, False))
            )
        )
        n_times = sizes.get("T", 1)

        def times(position: int) -> list[float]:
            frames = (number_of[position, t, 0] for t in range(n_times))
            stamps = [film.frame_metadata(each).channels[0].time for each in frames]
            return [stamp.relativeTimeMs / 1000 for stamp in stamps]

        def plane(position: int, t: int, c: int, z: int) -> np.ndarray:
            frame = np.asarray(film.read_frame(number_of[position, t, z]))
            return frame if frame.ndim == 2 else frame[c]

        yield [
            Scene(
                name=points[i] if i < len(points) else "",
                sizes=sizes,
                dtype=film.dtype,
                channels=tuple(str(each.channel.name) for each in channels),
                sides_um=(y, x),
                interval_s=0.0,
                times_s=partial(times, i),
                plane=partial(plane, i),
            )
            for i in range(n_positions)
        ]


@contextmanager
def _lif(path: str) -> Iterator[list[Scene]]:
    with _library("liffile", path).LifFile(path) as file:
        yield [_leica(image) for image in file.images if not image.is_flim]


def _leica(image: Any) -> Scene:
    coords = image.coords
    steps = {a: float(coords[a][1] - coords[a][0]) for a in "YXT" if len(coords.get(a, ())) > 1}
    described = image.xml_element.findall(
        "./Data/Image/ImageDescription/Channels/ChannelDescription"
    )
    names = [
        next(
            (each.get("Value", "") for each in one.iter("ChannelProperty") if _is_dye(each)),
            one.get("LUTName", ""),
        )
        for one in described
    ]

    def times() -> Sequence[float]:
        n, stamps = image.sizes.get("T", 1), image.timestamps
        if stamps is None or not len(stamps) or len(stamps) % n or list(image.sizes)[:1] != ["T"]:
            return ()
        first = stamps.reshape(n, -1).min(axis=1)
        return list((first - first[0]) / np.timedelta64(1, "ms") / 1000.0)

    def plane(t: int, c: int, z: int) -> np.ndarray:
        at = {"T": t, "C": c, "Z": z}
        return np.asarray(image.frame(**{a: i for a, i in at.items() if a in image.sizes}))

    return Scene(
        name=image.path.replace("/", "_"),
        sizes=image.sizes,
        dtype=image.dtype,
        # colours of display (Green, Red) tell channels apart only where each has its own
        channels=tuple(names) if all(names) and len(set(names)) == len(names) else (),
        sides_um=tuple(steps[a] * 1e6 if a in steps else None for a in "YX"),  # type: ignore[arg-type]
        interval_s=steps.get("T", 0.0),
        times_s=times,
        plane=plane,
    )


def _is_dye(described: ElementTree.Element) -> bool:
    return described.get("Key") == "DyeName" and bool(described.get("Value"))


_READERS: dict[str, Callable[[str], AbstractContextManager[list[Scene]]]] = {
    ".czi": _czi,
    ".nd2": _nd2,
    ".lif": _lif,
    ndtiff.INDEX: ndtiff.read_ndtiff,
}


@contextmanager
def _opened(fs: AbstractFileSystem, path: str, location: str) -> Iterator[list[Scene]]:
    """The scenes of a file, open.

    Raises InputError if it is not on this machine's disks, its library is missing, or cannot read it.
    """
    if not isinstance(fs, LocalFileSystem):
        raise InputError(
            f"{location}: microscopes' own files are read from a disk of this machine; copy it there"
        )
    try:
        ending = next(each for each in ENDINGS if path.lower().endswith(each))
        with _READERS[ending](path) as scenes:
            if not scenes:
                raise InputError(
                    f"{location} holds no image; look at it in the microscope's program"
                )
            yield scenes
    except InputError:
        raise
    except Exception as error:  # the libraries raise what they like
        raise InputError(
            f"{location} cannot be read ({type(error).__name__}: {error}). Copy it again; if it opens "
            "in the microscope's own program, save it there as OME-TIFF, one file per field"
        ) from error


def in_scenes(
    fs: AbstractFileSystem, root: str, files: Sequence[RawFile]
) -> tuple[list[RawFile], list[InputError]]:
    """`files` with one entry per scene of those that hold several, and what cannot be read.

    A scene is a field: its name (``scene2`` where it has none) is the field's, after what the path
    says of plate, well and field.
    """
    found: list[RawFile] = []
    problems: list[InputError] = []
    for file in files:
        if not is_microscope(file.path):
            found.append(file)
            continue
        try:
            with _opened(fs, f"{root}/{file.path}", file.path) as scenes:
                names = [each.name for each in scenes]
        except InputError as error:
            problems.append(error)
            continue
        if len(names) == 1:
            found.append(file)
            continue
        plain = [re.sub(r"[^\w.-]+", "_", name).strip("_") for name in names]
        for i, name in enumerate(plain):
            own = name or f"scene{i + 1}"
            own = f"{own}_{i + 1}" if plain.count(name) > 1 and name else own
            fov = own if file.fov == ONLY_FOV else f"{file.fov}_{own}"
            found.append(replace(file, fov=fov, scene=i))
    return found, problems


@dataclass(frozen=True)
class MicroscopeHeader:
    """One scene as the other headers are."""

    #: (T, C, Y, X)
    shape: tuple[int, int, int, int]
    dtype: str
    info: ImageInfo
    #: number of each plane (T, C, Z) in an array with the axes T, C, Z of the file
    order: np.ndarray
    #: lengths of these axes
    planes: tuple[int, int, int]


def read_header(
    fs: AbstractFileSystem,
    path: str,
    location: str,
    scene: int = 0,
    depth: bool = False,
    z_is_time: bool = False,
) -> MicroscopeHeader:
    """What a scene of the file at `path` is; `depth` accepts z planes, `z_is_time` calls them frames.

    Raises InputError if it cannot be read, holds colour, or depth that is not asked for.
    """
    with _opened(fs, path, location) as scenes:
        return _header(_scene(scenes, scene, location), location, depth, z_is_time)


def _scene(scenes: list[Scene], number: int, location: str) -> Scene:
    if number >= len(scenes):
        raise InputError(
            f"{location} holds {len(scenes)} scenes now, fewer than at ingestion; run ingestion again"
        )
    return scenes[number]


def _header(
    scene: Scene, location: str, depth: bool, z_is_time: bool, timed: bool = True
) -> MicroscopeHeader:
    others = {axis: n for axis, n in scene.sizes.items() if axis not in "TCZYX" and n > 1}
    if others:
        said = ", ".join(f"{axis} {n}" for axis, n in others.items())
        raise InputError(
            f"{location} has further axes ({said}: tiles, angles, phases or colours); save each as "
            "OME-TIFF, one file per field"
        )
    check_kind(np.dtype(scene.dtype), location)
    planes = tuple(scene.sizes.get(axis, 1) for axis in "TCZ")
    sizes = (*planes, scene.sizes["Y"], scene.sizes["X"])
    order = arrange("TCZYX", sizes, None, location, depth=depth, z_is_time=z_is_time)
    n_t, n_c = order.shape[:2]
    side, said_of_side = square(
        [
            None
            if um is None
            else Statement("pixel size", um, f"{location}, pixel size along {axis}")
            for axis, um in zip("YX", scene.sides_um, strict=True)
        ],
        location,
    )
    stamps = tuple(map(float, scene.times_s())) if timed and n_t == planes[0] > 1 else ()
    stamps = stamps if len(stamps) == n_t and len(set(stamps)) > 1 else ()
    step = step_of(stamps, f"{location}, time stamps")
    asked = None
    if scene.interval_s:
        rank = {"rank": NOMINAL} if stamps else {}
        source = f"{location}, interval"
        asked = Statement("frame interval", scene.interval_s, source, **rank)
    named = scene.channels if len(scene.channels) == n_c else ()
    return MicroscopeHeader(
        shape=(n_t, n_c, scene.sizes["Y"], scene.sizes["X"]),
        dtype=np.dtype(scene.dtype).newbyteorder("=").name,
        info=ImageInfo(
            pixel_size_um=side,
            time_s=stamps or multiples(asked, n_t),
            channels=named,
            said=(*said_of_side, *(each for each in (step, asked) if each is not None)),
            doubts=scene.doubts,
        ),
        order=order,
        planes=planes,  # type: ignore[arg-type]
    )


class MicroscopeFrames:
    """The frames (T, Y, X) of one channel of a scene; the file is opened at each reading."""

    def __init__(
        self,
        fs: AbstractFileSystem,
        path: str,
        location: str,
        scene: int,
        channel: int,
        project_z: Projection | None = None,
        z_is_time: bool = False,
    ) -> None:
        self._of = fs, path, location
        self._scene, self._channel, self._project = scene, channel, project_z
        with _opened(*self._of) as scenes:  # times are known since ingestion
            one = _scene(scenes, scene, location)
            self._header = _header(one, location, project_z is not None, z_is_time, timed=False)
        n_t, _, height, width = self._header.shape
        self.shape = n_t, height, width
        self.dtype = np.dtype("float32" if project_z == "mean" else self._header.dtype)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames `start` to `stop` (not included), (T, Y, X)."""
        with _opened(*self._of) as scenes:
            one = _scene(scenes, self._scene, self._of[2])
            frames = [
                project(
                    (self._plane(one, frame, k) for k in self._header.order[frame, self._channel]),
                    self._project,
                )
                for frame in range(start, stop)
            ]
        return np.stack(frames).astype(self.dtype, copy=False)

    def _plane(self, scene: Scene, frame: int, plane: int) -> np.ndarray:
        t, c, z = (int(i) for i in np.unravel_index(plane, self._header.planes))
        pixels = scene.plane(t, c, z)
        if pixels.shape != self.shape[1:]:
            raise InputError(
                f"{self._of[2]}, frame {frame}: its plane is {pixels.shape}, not {self.shape[1:]}; save "
                "the film as OME-TIFF"
            )
        return pixels
