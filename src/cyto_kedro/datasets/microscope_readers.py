"""The scenes of microscopes' own files, by the library that reads each; NDTiff by none."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from cyto_kedro.datasets import ndtiff
from cyto_kedro.datasets.scene import Scene
from cyto_kedro.datasets.tiff_info import number
from cyto_kedro.errors import InputError

EXTRA = 'pip install "cyto_kedro[microscopes]"'


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


READERS: dict[str, Callable[[str], AbstractContextManager[list[Scene]]]] = {
    ".czi": _czi,
    ".nd2": _nd2,
    ".lif": _lif,
    ndtiff.INDEX: ndtiff.read_ndtiff,
}
