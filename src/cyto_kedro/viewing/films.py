"""A field out of the catalog, unread: films, masks that can be edited, tables."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import dask.array as da
import numpy as np

from cyto_kedro.blocks import Block
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.errors import InputError, unknown
from cyto_kedro.export.field import load_rows
from cyto_kedro.partitions import partition_id
from cyto_kedro.viewing.layers import Seen

TABLES = ("track_points", "fates", "contacts", "deaths", "kills")


class EditedMasks:
    """Masks (T, Y, X) of which frames are read when looked at, and kept when changed.

    Takes what a viewer asks of an array: shape, a frame, some pixels, and setting them.

    Parameters
    ----------
    film
        Anything with ``shape`` that gives a frame by its number.
    """

    ndim = 3
    dtype = np.dtype(np.uint32)

    def __init__(self, film: Any) -> None:
        self.shape: tuple[int, int, int] = tuple(film.shape)
        self._read = lru_cache(8)(lambda t: np.array(film[t], np.uint32))
        self._changed: dict[int, np.ndarray] = {}
        self._film = film

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape))

    def frame(self, t: int) -> np.ndarray:
        """A frame as it is now, (Y, X)."""
        return self._changed[t] if t in self._changed else self._read(t)

    def __getitem__(self, key: Any) -> Any:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, int | np.integer):
            # a copy: viewers write into what they show
            return np.array(self.frame(int(first) % self.shape[0])[tuple(rest)])
        if isinstance(first, slice) or first is Ellipsis:
            chosen = range(
                *(first if isinstance(first, slice) else slice(None)).indices(self.shape[0])
            )
            if first is Ellipsis and rest:
                rest = [slice(None)] * (2 - len(rest)) + rest
            return np.stack([self.frame(t) for t in chosen])[(slice(None), *rest)]
        first, *rest = np.broadcast_arrays(first, *rest)
        out = np.empty(first.shape, self.dtype)
        for t in np.unique(first):
            here = first == t
            out[here] = self.frame(int(t))[tuple(each[here] for each in rest)]
        return out

    def __setitem__(self, key: Any, value: Any) -> None:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, slice):
            for i, t in enumerate(range(*first.indices(self.shape[0]))):
                self._own(t)[tuple(rest)] = value[i] if np.ndim(value) == 3 else value
        elif np.ndim(first) == 0:
            self._own(int(first))[tuple(rest)] = value
        else:
            for t in np.unique(first):
                here = np.asarray(first) == t
                part = value[here] if np.ndim(value) else value
                self._own(int(t))[tuple(np.asarray(each)[here] for each in rest)] = part

    def _own(self, t: int) -> np.ndarray:
        """A frame that may be written into."""
        if t not in self._changed:
            self._changed[t] = self._read(t).copy()
        return self._changed[t]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def changed(self) -> dict[int, np.ndarray]:
        """Frames that differ from what was read, by number."""
        return {t: now for t, now in sorted(self._changed.items()) if (now != self._read(t)).any()}

    def before(self, t: int) -> np.ndarray:
        """A frame as it was read."""
        return np.asarray(self._read(t))

    def taken(self) -> None:
        """What is changed is saved: from now on it counts as what was read."""
        self._changed.clear()
        self._read.cache_clear()


def open_field(catalog: Any, fov: str) -> Seen:
    """What the catalog holds of a field; pixels are not read.

    Raises
    ------
    InputError
        If the field is unknown, or nothing was ingested yet.
    """
    if not catalog.exists("manifest"):
        raise InputError(
            "nothing is planned yet: kedro run first (or kedro run --pipelines ingestion)"
        )
    manifest: Manifest = catalog.load("manifest")
    if fov not in manifest.fovs:
        raise InputError(unknown("field", fov, manifest.fovs))
    tables = {name: load_rows(catalog, manifest, name, fov) for name in TABLES}
    if catalog.exists("frames"):
        tables["frames"] = catalog.load("frames").query("fov == @fov")
    raw = catalog.load("raw_images")
    films = {each: raw.to_dask(fov=fov, channel=each) for each in manifest.channels}
    return Seen(
        fov=fov,
        films=films,
        masks={
            name: EditedMasks(film)
            for name in manifest.populations
            if (film := mask_film(catalog, manifest, fov, name)) is not None
        },
        tables={name: table for name, table in tables.items() if table is not None},
        roles=manifest.roles,
        markers=manifest.markers,
        pixel_size_um=manifest.fovs[fov].pixel_size_um,
    )


def mask_film(catalog: Any, manifest: Manifest, fov: str, population: str) -> da.Array | None:
    """Masks of a population, (T, Y, X), one chunk a frame; None where a block was not made.

    Shapes are the plan's: no header is opened, so that films of thousands of blocks open at once.
    """
    parts, dataset = catalog.load("labels"), catalog.get("labels")
    planned = manifest.fovs[fov]
    groups = manifest.groups(dataset.grain, {"fov": fov, "population": population})
    ids = [partition_id(dataset.grain, group) for group in groups]
    if any(each not in parts for each in ids):
        return None

    def read(t: int) -> np.ndarray:
        at, place = divmod(t, manifest.block_length)
        if hasattr(dataset, "one"):
            return np.asarray(dataset.one(ids[at]).load_frames(place, place + 1))
        return np.asarray(parts[ids[at]]()[place : place + 1])

    def chunk(block_id: Any = None) -> np.ndarray:
        return read(block_id[0])

    shape = planned.n_frames, planned.height_px, planned.width_px
    return da.map_blocks(
        chunk,
        chunks=((1,) * shape[0], (shape[1],), (shape[2],)),
        dtype=np.uint32,
        meta=np.empty((0, 0, 0), np.uint32),
    )


def blocks_of(
    manifest: Manifest, fov: str, population: str, grain: tuple[str, ...], masks: EditedMasks
) -> Iterator[tuple[str, np.ndarray]]:
    """Each block of masks that holds a changed frame: its partition id and (T, Y, X) labels."""
    changed = masks.changed()
    for group in manifest.groups(grain, {"fov": fov, "population": population}):
        block = Block.parse(group["block"])
        if any(block.start <= t < block.stop for t in changed):
            whole = np.stack([masks.frame(t) for t in range(block.start, block.stop)])
            yield partition_id(grain, group), whole
