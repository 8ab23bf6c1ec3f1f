"""The files of one field, and channel, read as channels: headers only."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cyto_kedro.datasets import microscopes, ome_zarr, tiff_header
from cyto_kedro.datasets.patterns import RawFile
from cyto_kedro.datasets.raw_facts import SIDE_KEYS, calibration, named_inside
from cyto_kedro.datasets.raw_stack import Stack, joined
from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import ConfigError, InputError, nearest, unknown
from cyto_kedro.statements import Statement
from cyto_kedro.view import Projection

Channels = Sequence[str] | Mapping[str, str] | None


class RawChannel(BaseModel):
    """One channel of one field of view: where its frames are and what they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fov: str
    channel: str
    files: tuple[str, ...] = Field(description="one file, or one per frame in order")
    index: int = Field(ge=0, description="number of the channel in its file")
    n_channels: int = Field(ge=1, description="channels in the file")
    n_frames: int = Field(ge=1)
    height: int = Field(ge=1, description="pixels")
    width: int = Field(ge=1, description="pixels")
    dtype: str
    pixel_size_um: float | None = Field(description="null if the file does not say")
    time_s: tuple[float, ...] | None = Field(
        description="time of each frame from the film's first; null if the file does not say"
    )
    project_z: Projection | None = Field(default=None, description="how z planes are flattened")
    z_is_time: bool = Field(default=False, description="z planes are frames")
    said: tuple[Statement, ...] = Field(
        default=(), description="what files say of pixel size and frame interval, where it can be"
    )
    remarks: tuple[str, ...] = Field(default=(), description="what is not as it should be")
    plate: str = Field(default="", description="by the path")
    well: str = Field(default="", description="by the path")
    scene: int = Field(default=0, ge=0, description="number of the film in a microscope's own file")


def place_of(fov: str, channel: str | None) -> str:
    return f"fov {fov}" + (f", channel {channel}" if channel else "")


def wanted(channels: Channels) -> dict[str, str]:
    """Our name -> name in the files; empty if all are wanted."""
    if channels is None:
        return {}
    if isinstance(channels, str):
        raise ConfigError(f"channels: {channels!r} is one text; give a list of names")
    names = dict(channels) if isinstance(channels, Mapping) else {name: name for name in channels}
    if len(names) < len(channels) or len(set(names.values())) < len(names):
        raise ConfigError(f"channels: a name is given twice in {channels}")
    return names


@dataclass(frozen=True)
class Search:
    """Which films are looked for in a folder, and how they are read."""

    #: path or URL
    folder: str
    #: of paths in it, with {plate}, {well}, {fov}, {channel}, {frame}, {time}, each optional; see
    #: `patterns.Pattern`
    pattern: str
    #: the channels wanted. A list: their names in the path or in the file's metadata; if the
    #: metadata has none of these names, names in file order, one for each channel of the file. A
    #: mapping: our name -> the name in path or metadata. None: all, as the files name them
    channels: Channels = None
    #: name of a JSON file beside each image, such as ``{stem}.json``, with ``channels`` (names in
    #: file order), ``pixel_size_um`` and ``frame_interval_s``, each optional
    sidecar: str | None = None
    #: glob patterns of paths to leave out, such as ``*_labelled.tif``
    exclude: Sequence[str] = ()
    #: fields whose files are not looked at, however broken they are
    skip_fovs: Collection[str] = ()
    #: of the fsspec file system
    storage_options: Mapping[str, Any] | None = None
    #: how z planes are flattened; None: a film with depth is refused
    project_z: Projection | None = None
    #: take z planes as frames, in files that have but one time point
    z_is_time: bool = False
    #: field -> channels (our names) that it may lack
    may_lack: Mapping[str, Collection[str]] | None = None
    #: call channels without names ``channel1``, ``channel2``, … where none are asked for
    numbered: bool = False


class FieldReader:
    """Turns the files of one field (and channel) into `RawChannel`s."""

    def __init__(self, search: Search) -> None:
        self._search, self._options = search, dict(search.storage_options or {})
        self._fs, self._root = find_place(search.folder, **self._options)
        self._folder = search.folder.rstrip("/")
        self._names = wanted(search.channels)

    def read(self, fov: str, channel: str | None, files: list[RawFile]) -> list[RawChannel]:
        """The channels in `files`, in order of their frames."""
        place = place_of(fov, channel)
        side = self._side(files[0], place)
        side_names = tuple(str(name) for name in side.get("channels", ()))
        expected = 1 if channel else len(side_names) or None
        if expected is None and not isinstance(self._search.channels, Mapping):
            expected = len(self._names) or None
        stacks = [self._stack(file, expected, place) for file in files]
        first = joined(stacks, files, place)
        n_frames, n_channels, height, width = first.shape
        remarks = list(first.info.doubts)
        if channel:
            if n_channels > 1:
                raise InputError(
                    f"{place}: {files[0].path} holds {n_channels} channels, but the pattern says "
                    "one file per channel; remove {channel} from the pattern, or split the file"
                )
            ours = {inside: name for name, inside in self._names.items()}
            chosen = [(ours.get(channel, channel), 0)]
            others = set(self._names.values()) - {channel}
            remarks += [
                f"{files[0].path} is channel {channel} by its path, but calls it {inside!r} inside; "
                "the path is followed"
                for inside in others.intersection(first.info.channels)
            ]
        else:
            lack = (self._search.may_lack or {}).get(fov, ())
            given = side_names, first.info.channels, n_channels, files[0].path
            chosen = self._choose(*given, place, lack)
            named = side_names or named_inside(first.info.channels)
            if n_channels > 1 and not named:
                order = ", ".join(f"{index + 1} {name}" for name, index in chosen)
                remarks.append(f"the files do not name their channels; taken in order: {order}")
        pixel_size, times, said, doubts = calibration(first.info, side, n_frames, place)
        remarks += doubts
        return [
            RawChannel(
                fov=fov,
                channel=name,
                files=tuple(f"{self._folder}/{file.path}" for file in files),
                index=index,
                n_channels=n_channels,
                n_frames=n_frames,
                height=height,
                width=width,
                dtype="float32" if self._search.project_z == "mean" else first.dtype,
                project_z=self._search.project_z,
                z_is_time=self._search.z_is_time,
                pixel_size_um=pixel_size,
                time_s=times,
                said=said,
                remarks=tuple(remarks),
                plate=files[0].plate,
                well=files[0].well,
                scene=files[0].scene,
            )
            for name, index in chosen
        ]

    def _side(self, file: RawFile, place: str) -> dict[str, Any]:
        if self._search.sidecar is None:
            return {}
        path = PurePosixPath(file.path)
        stem = path.name.removesuffix(path.suffix).removesuffix(".ome")
        beside = f"{self._root}/{path.with_name(self._search.sidecar.replace('{stem}', stem))}"
        try:
            with self._fs.open(beside, "rb") as source:
                content = json.load(source)
        except FileNotFoundError as error:
            raise InputError(
                f"{place}: the side file {beside} of {file.path} is missing; add it, or leave the "
                "image out with `exclude`"
            ) from error
        except ValueError as error:
            raise InputError(f"{place}: the side file {beside} is not JSON ({error})") from error
        if not isinstance(content, dict):
            raise InputError(f"{place}: the side file {beside} must hold a JSON object")
        for key in map(str, content):  # others' keys are others' matter, but not a slip of ours
            near = None if key in SIDE_KEYS else nearest(key, SIDE_KEYS, cutoff=0.8)
            if near is not None and near not in content:
                raise InputError(
                    f"{place}: the side file {beside}: {unknown('key', key, SIDE_KEYS)} Nothing would "
                    "read it, so what it says would be lost"
                )
        return content

    def _stack(self, file: RawFile, n_channels: int | None, place: str) -> Stack:
        url, path = f"{self._folder}/{file.path}", f"{self._root}/{file.path}"
        depth, z_is_time = self._search.project_z is not None, self._search.z_is_time
        header: Any
        try:
            if ome_zarr.is_zarr(path):
                header = ome_zarr.read_header(url, self._options, depth, z_is_time, chunks=True)
            elif microscopes.is_microscope(path):
                header = microscopes.read_header(
                    self._fs, path, url, file.scene, depth=depth, z_is_time=z_is_time
                )
            else:
                header = tiff_header.read_header(
                    self._fs, path, url, n_channels, depth=depth, z_is_time=z_is_time
                )
        except InputError as error:
            raise InputError(f"{place}: {error}") from error
        return Stack(shape=header.shape, dtype=header.dtype, info=header.info)

    def _choose(
        self,
        side: tuple[str, ...],
        inside: tuple[str, ...],
        n: int,
        file: str,
        place: str,
        may_lack: Collection[str],
    ) -> list[tuple[str, int]]:
        """(our name, number in the file) of each channel wanted from a file of `n` channels."""
        found = side or inside
        if side and len(side) != n:
            raise InputError(f"{place}: {file} has {n} channels, its side file names {len(side)}")
        if not self._names:
            if not found and self._search.numbered:
                found = tuple(f"channel{number + 1}" for number in range(n))
            if not found:
                raise InputError(
                    f"{place}: {file} has {n} channels without names; name the channels of the "
                    "assay in file order"
                )
            return [(name, i) for i, name in enumerate(found)]
        lacking = {ours for ours, name in self._names.items() if name not in found}
        missing = [self._names[ours] for ours in self._names if ours in lacking]
        if lacking <= set(may_lack) and lacking != set(self._names):
            named = self._names.items()
            return [(ours, found.index(name)) for ours, name in named if ours not in lacking]
        by_order = not side and not isinstance(self._search.channels, Mapping)
        if by_order and not named_inside(inside) and len(self._names) == n:
            return [(name, i) for i, name in enumerate(self._names)]
        advice = "Correct the names of the channels."
        if by_order and found and len(self._names) == n:
            names = ", ".join(f"{a}: {b}" for a, b in zip(self._names, found, strict=True))
            advice = (
                "Which is which is not guessed: say it under assay.raw, for example, if they stand "
                f"in your order,\n  names: {{{names}}}"
            )
        raise InputError(
            f"{place}: channel {missing[0]} is not in {file}, which has {n} "
            f"({', '.join(found) or 'without names'}). {advice}"
        )
