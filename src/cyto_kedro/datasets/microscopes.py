"""Microscopes' own files, read without conversion: Zeiss CZI, Nikon ND2, Leica LIF, and NDTiff.

The first three by pylibCZIrw, nd2 and liffile, which come with the extra ``microscopes``. A file may
hold several scenes (positions, series): each is a field. Opened at each reading, so that threads and
workers share no handle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from cyto_kedro.datasets.microscope_readers import READERS
from cyto_kedro.datasets.name_parts import WELL, well_name
from cyto_kedro.datasets.patterns import ONLY_FOV, RawFile
from cyto_kedro.datasets.scene import Scene
from cyto_kedro.datasets.tiff_header import arrange, check_kind
from cyto_kedro.datasets.tiff_info import multiples, square, step_of
from cyto_kedro.errors import InputError
from cyto_kedro.images import ImageInfo
from cyto_kedro.statements import NOMINAL, Statement
from cyto_kedro.view import Projection, project

ENDINGS = tuple(READERS)
_SITE = re.compile(rf"({WELL})-Site")  # as Micro-Manager names positions of a plate


def is_microscope(path: str) -> bool:
    """Whether a file is one of these, by its ending."""
    return path.lower().endswith(ENDINGS)


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
        with READERS[ending](path) as scenes:
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
    says of plate, well and field. ``B2-Site_0`` is of well B2.
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
            site = _SITE.match(own)
            well = file.well or (well_name(site[1]) if site else "")
            found.append(replace(file, fov=fov, scene=i, well=well))
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
