"""Micro-Manager's NDTiff: a folder of stacks (``*NDTiffStack*.tif``) and their index, ``NDTiff.index``.

As its authors describe it, https://github.com/micro-manager/NDTiffStorage: the index says of each image
its axes, its file, and where in it pixels and description (JSON) are. An axis left out is at 0.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from cyto_kedro.datasets.scene import Scene
from cyto_kedro.datasets.tiff_info import number
from cyto_kedro.errors import InputError

INDEX = "ndtiff.index"
_STACK = re.compile(r"NDTiffStack(_\d+)?\.tiff?$", re.IGNORECASE)
_AXES = ("position", "time", "channel", "z")
_DTYPES = {0: "<u1", **dict.fromkeys((1, 3, 4, 5, 6), "<u2")}  # 2 is colour
_SUMMARY = 2355492  # before the length of what was planned

Value = int | str


def is_stack(path: str) -> bool:
    """Whether a TIFF is a part of such a dataset, by its name."""
    return _STACK.search(path) is not None


@dataclass(frozen=True, slots=True)
class _Image:
    """Where an image is."""

    file: Path
    start: int
    shape: tuple[int, int]
    dtype: str
    #: of its description
    told_at: int
    told_bytes: int

    @property
    def n_bytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def pixels(self) -> np.ndarray:
        """(Y, X)."""
        read = _part(self.file, self.start, self.n_bytes)
        return np.frombuffer(read, self.dtype).reshape(self.shape)

    def told(self) -> dict[str, Any]:
        """Its description."""
        return _object(_part(self.file, self.told_at, self.told_bytes))


def _part(file: Path, start: int, n_bytes: int) -> bytes:
    with file.open("rb") as source:
        source.seek(start)
        return source.read(n_bytes)


def _object(text: bytes) -> dict[str, Any]:
    found = json.loads(text or b"{}")
    return found if isinstance(found, dict) else {}


@contextmanager
def read_ndtiff(path: str) -> Iterator[list[Scene]]:
    """The positions of the dataset whose index is at `path`.

    Raises InputError if a stack is missing or cut short, an image within a film is lacking, or there are
    colour, compressed pixels, or axes other than position, time, channel and z.
    """
    stamp = Path(path).stat()
    yield _scenes(path, (stamp.st_mtime_ns, stamp.st_size))


@lru_cache(maxsize=4)
def _scenes(path: str, version: tuple[int, int]) -> list[Scene]:
    """Remembered: each reading of a frame asks anew."""
    entries = list(_entries(path))
    if not entries:
        raise InputError(f"{path} lists no image: the acquisition did not begin. Or copy it again")
    _check_whole(path, (image for _, image in entries))
    summary = _summary(entries[0][1].file)
    values = {axis: _in_order(axes.get(axis, 0) for axes, _ in entries) for axis in _AXES}
    for axis in {name for axes, _ in entries for name in axes}.difference(_AXES):
        if len(found := _in_order(axes.get(axis, 0) for axes, _ in entries)) > 1:
            raise InputError(
                f"{path} has a further axis ({axis}, of {len(found)}: tiles, phases or the like); "
                "save each as a dataset of its own, or as OME-TIFF, one file per field"
            )
    films: dict[Value, dict[tuple[Value, ...], _Image]] = {each: {} for each in values["position"]}
    for axes, image in entries:
        position, *where = (axes.get(axis, 0) for axis in _AXES)
        films[position][tuple(where)] = image
    return [
        _scene(path, position, images, values["channel"], values["z"], summary)
        for position, images in films.items()
    ]


def _entries(path: str) -> Iterator[tuple[dict[str, Value], _Image]]:
    files: dict[str, Path] = {}
    for entry in tifffile.read_ndtiff_index(path):
        axes, name, start, width, height, kind, packed, told_at, told_bytes, told_packed = entry
        if kind not in _DTYPES:
            raise InputError(f"{path} holds colour pictures; save each colour as a channel")
        if packed or told_packed:
            raise InputError(f"{path} is compressed, which is not read; save it without")
        file = files.setdefault(name, Path(path).with_name(Path(name).name))
        yield axes, _Image(file, start, (height, width), _DTYPES[kind], told_at, told_bytes)


def _in_order(found: Iterable[Value]) -> list[Value]:
    """Each once: numbers by size, names as they were filmed."""
    once = dict.fromkeys(found)
    return sorted(once) if all(isinstance(each, int) for each in once) else list(once)


def _check_whole(path: str, images: Iterable[_Image]) -> None:
    ends: dict[Path, int] = {}
    for each in images:
        ends[each.file] = max(each.start + each.n_bytes, ends.get(each.file, 0))
    for file, end in ends.items():
        if not file.is_file():
            raise InputError(f"{path} names {file.name}, which is not beside it: copy it there")
        if (size := file.stat().st_size) < end:
            raise InputError(
                f"{file} is cut short: by {path} it has {end} bytes and more, but there are {size}. "
                "Copy it again"
            )


def _summary(file: Path) -> dict[str, Any]:
    """What was planned, by the head of a stack."""
    head = _part(file, 0, 28)
    magic, n_bytes = struct.unpack(">II" if head[:2] == b"MM" else "<II", head[20:])
    return _object(_part(file, 28, n_bytes)) if magic == _SUMMARY else {}


def _scene(
    path: str,
    position: Value,
    images: Mapping[tuple[Value, ...], _Image],
    channels: Sequence[Value],
    depths: Sequence[Value],
    summary: Mapping[str, Any],
) -> Scene:
    times = _in_order(t for t, _, _ in images)
    if isinstance(times[-1], int):
        times = list(range(times[-1] + 1))
    lacking = [
        (t, c, z) for t in times for c in channels for z in depths if (t, c, z) not in images
    ]
    doubts: tuple[str, ...] = ()
    if lacking and len(times) > 1 and all(t == times[-1] for t, _, _ in lacking):
        times = times[:-1]
        doubts = (
            f"{path}, position {position}: the acquisition was stopped within frame {len(times)}, "
            "which is left out",
        )
    elif lacking:
        t, c, _ = lacking[0]
        raise InputError(
            f"{path}, position {position}: frame {t} of channel {c} is not there (filmed in some "
            "frames only?). Save the film without that channel, or as OME-TIFF"
        )
    first = images[times[0], channels[0], depths[0]]
    told = first.told()
    sizes = told.get("PixelSizeUm"), told.get("PixelSize_um"), summary.get("PixelSize_um")
    side = next((number(each) for each in sizes if each), None)

    def times_s() -> list[float]:
        told = (images[t, channels[0], depths[0]].told() for t in times)
        stamps = [each.get("ElapsedTime-ms") for each in told]
        return [] if None in stamps else [number(each) / 1000 for each in stamps]

    return Scene(
        name=_position_name(position, told, summary),
        sizes={
            **{"T": len(times), "C": len(channels), "Z": len(depths)},
            **dict(zip("YX", first.shape, strict=True)),
        },
        dtype=np.dtype(first.dtype),
        channels=_channel_names(
            channels, [images[times[0], c, depths[0]] for c in channels], summary
        ),
        sides_um=(side, side),
        interval_s=number(summary.get("Interval_ms") or 0) / 1000,
        times_s=times_s,
        plane=lambda t, c, z: images[times[t], channels[c], depths[z]].pixels(),
        doubts=doubts,
    )


def _position_name(position: Value, told: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    if isinstance(position, str):
        return position
    planned = summary.get("StagePositions")
    listed = planned[position] if isinstance(planned, list) and position < len(planned) else None
    label = listed.get("Label") if isinstance(listed, dict) else None
    return str(told.get("PositionName") or label or f"Pos{position}")


def _channel_names(
    channels: Sequence[Value], images: Sequence[_Image], summary: Mapping[str, Any]
) -> tuple[str, ...]:
    """By the axis, the plan, or the description of an image; none where these do not tell all apart."""
    if all(isinstance(each, str) for each in channels):
        return tuple(map(str, channels))
    planned = summary.get("ChNames")
    if isinstance(planned, list) and all(each in range(len(planned)) for each in channels):
        return tuple(str(planned[int(each)]) for each in channels)
    told = [each.told().get("Channel") for each in images]
    named = all(isinstance(each, str) and each for each in told) and len(set(told)) == len(told)
    return tuple(map(str, told)) if named else ()
