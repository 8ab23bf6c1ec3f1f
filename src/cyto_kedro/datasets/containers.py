"""Files that hold several films, each of which is a field: microscopes' own files, OME-Zarr plates.

In an OME-Zarr (https://ngff.openmicroscopy.org/0.5, plates and bioformats2raw) every image is a folder
of its own, and is read as an OME-Zarr of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from typing import Any

from cyto_kedro.datasets.microscopes import in_scenes
from cyto_kedro.datasets.ome_zarr import Inside, images_inside, is_zarr
from cyto_kedro.datasets.patterns import ONLY_FOV, RawFile
from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import InputError


def films_in(
    folder: str, files: Sequence[RawFile], exclude: Sequence[str], options: Mapping[str, Any]
) -> tuple[list[RawFile], list[InputError]]:
    """`files` with one entry per film of those that hold several, and what cannot be read.

    The name of a film (a microscope's scene; ``A1_0`` for image 0 of well A/1, ``A1`` where a well has
    but one) is its field's, after what the path says of plate, well and field.

    `folder`: path or URL that the files' paths are relative to. `exclude`: glob patterns of paths, also
    within a container.
    """
    fs, root = find_place(folder, **options)
    found: list[RawFile] = []
    problems: list[InputError] = []
    for file in files:
        if not is_zarr(file.path):
            found.append(file)
            continue
        try:
            inside = images_inside(f"{folder.rstrip('/')}/{file.path}", dict(options))
        except InputError as error:
            problems.append(error)
            continue
        found += [file] if inside is None else [_of(file, each) for each in inside]
    found = [file for file in found if not any(fnmatch(file.path, each) for each in exclude)]
    scenes, unreadable = in_scenes(fs, root, found)
    return scenes, problems + unreadable


def _of(file: RawFile, image: Inside) -> RawFile:
    fov = image.name if file.fov == ONLY_FOV else f"{file.fov}_{image.name}"
    return replace(
        file,
        path=f"{file.path}/{image.path}",
        fov=fov,
        plate=file.plate or image.plate,
        well=file.well or image.well,
    )
