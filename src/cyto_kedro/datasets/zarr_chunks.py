"""Whether the chunks of a Zarr array are all there and whole, found without decoding them.

Zarr reads a chunk that is not stored as the fill value, and some codecs read one that was cut short
as garbage. A writer leaves out chunks that hold nothing but the fill value, so a missing chunk may be
right: it is told of, by frames. A chunk of the wrong size is wrong.
"""

from __future__ import annotations

import re
import struct
from math import ceil, prod
from typing import Any

import numpy as np
from fsspec import AbstractFileSystem

from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import InputError

_KEY = re.compile(r"(?:c[./])?(\d+(?:[./]\d+)*)")


def check_chunks(
    location: str, path: str, array: Any, axes: str, options: dict[str, Any]
) -> tuple[str, ...]:
    """What is to be said of missing chunks of the Zarr `array`, whose `axes` are letters of TCZYX.

    Raises InputError if no chunk is stored, or one was cut short: names it.
    """
    sides = array.shards or array.chunks
    if not (all(sides) and all(array.shape)):
        raise InputError(
            f"{location} is of {array.shape} pixels in chunks of {tuple(sides)}: nothing is in it; "
            "export it again"
        )
    grid = [max(1, ceil(size / side)) for size, side in zip(array.shape, sides, strict=True)]
    at = axes.index("T") if "T" in axes else None
    n_pieces = 1 if at is None else grid[at]
    fs, root = find_place(f"{location}/{path}".rstrip("/"), **options)
    stored = _stored(fs, root, grid)
    if not stored:
        raise InputError(
            f"{location}: not one of its {prod(grid)} chunks is stored, so that it would read as "
            f"{array.fill_value} everywhere. Copy it again, with all files in its folders"
        )
    _check_sizes(fs, stored, array, sides, location)
    if len(stored) >= prod(grid):
        return ()
    count = np.bincount([0 if at is None else key[at] for key in stored], minlength=n_pieces)
    lacking = np.flatnonzero(count < prod(grid) // n_pieces)
    length = 1 if at is None else sides[at]
    first = int(lacking[0] * length)
    empty = int((count == 0).sum() * length)
    return (
        f"{location}: {prod(grid) - len(stored)} of {prod(grid)} chunks are not stored, first in frame "
        f"{first}"
        + (f"; about {empty} frames have none" if empty else "")
        + f". They read as {array.fill_value}: right only if nothing was there. If files were lost in "
        "copying, copy it again",
    )


def _stored(fs: AbstractFileSystem, root: str, grid: list[int]) -> dict[tuple[int, ...], Any]:
    """The chunks that lie in the folder: place in the grid -> (path, bytes)."""
    found = {}
    for path, info in fs.find(root, detail=True).items():
        match = _KEY.fullmatch(path[len(root) :].strip("/"))
        if match is None:
            continue
        key = tuple(int(number) for number in re.split(r"[./]", match[1]))
        if len(key) == len(grid) and all(i < n for i, n in zip(key, grid, strict=True)):
            found[key] = path, int(info["size"])
    return found


def _check_sizes(
    fs: AbstractFileSystem,
    stored: dict[tuple[int, ...], Any],
    array: Any,
    sides: tuple[int, ...],
    location: str,
) -> None:
    """Raise where a chunk has not as many bytes as its array, or its own header, says."""
    plain, blosc = _kind(array)
    whole = prod(sides) * array.dtype.itemsize
    for path, size in stored.values():
        expected = whole if plain else size
        if blosc:
            head = fs.cat_file(path, start=0, end=16)
            expected = struct.unpack("<I", head[12:16])[0] if len(head) == 16 else 16
        if size != expected or not size:
            raise InputError(
                f"{location}: the chunk {path} has {size} bytes, but should have "
                f"{expected or 'some'}: it was cut short. Copy it again"
            )


def _kind(array: Any) -> tuple[bool, bool]:
    """Whether chunks are stored as they are, and whether they begin with Blosc's header."""
    metadata = array.metadata
    if hasattr(metadata, "compressor"):  # Zarr v2
        last = metadata.compressor
        return last is None and not metadata.filters, type(last).__name__ == "Blosc"
    names = [type(codec).__name__ for codec in metadata.codecs]
    return names in (["BytesCodec"], ["TransposeCodec", "BytesCodec"]), names[-1] == "BloscCodec"
