"""Films as Dask arrays of which only what is asked for is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import numpy as np

if TYPE_CHECKING:
    import dask.array as da


class Frames(Protocol):
    """A film read by frames."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, Y, X)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        ...

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames `start` to `stop` (not included), (T, Y, X)."""
        ...


class Bands(Frames, Protocol):
    """A film of which bands of `band` rows can be read alone."""

    band: int

    def read_rows(self, frame: int, top: int, bottom: int) -> np.ndarray:
        """Rows `top` to `bottom` (not included) of a frame, (Y, X)."""
        ...


def is_lazy(array: Any) -> bool:
    """Whether an array is one of Dask's; told without importing Dask, which no lazy array is without."""
    return hasattr(array, "__dask_graph__")


def lazy(source: Frames) -> da.Array:
    """`source` as a Dask array (T, Y, X) with one chunk per frame."""
    film = _mapped(_one_frame, source, source.shape[1])
    return read_by(film, lambda: source.read(0, source.shape[0]))


def read_by(film: da.Array, read: Callable[[], np.ndarray]) -> da.Array:
    """`film`, to be read by `read` where all of it is held (`partitions.settled`).

    Dask's scheduler takes six times as long for twenty small frames as their reading.
    """
    film.read_whole = read  # type: ignore[attr-defined]
    return film


class Window:
    """Frames of a film from `start` to `stop` (not included), each slice read when it is asked for."""

    def __init__(self, read: Callable[[int, int], np.ndarray], start: int, stop: int) -> None:
        self._read, self._frames = read, range(start, stop)

    def __getitem__(self, key: slice) -> np.ndarray:
        frames = self._frames[key]
        return self._read(frames.start, frames.stop)


def lazy_bands(source: Bands) -> da.Array:
    """`source` as a Dask array (T, Y, X) with one chunk per band of a frame."""
    return _mapped(_one_band, source, min(source.band, source.shape[1]))


def _mapped(read: Any, source: Frames, rows: int) -> da.Array:
    import dask.array as da

    frames, height, width = source.shape
    bands = (rows,) * (height // rows) + ((height % rows,) if height % rows else ())
    return da.map_blocks(
        read,
        source=source,
        chunks=((1,) * frames, bands, (width,)),
        dtype=source.dtype,
        meta=np.empty((0, 0, 0), source.dtype),
        name=f"frames-{uuid4().hex}",
    )


def _one_frame(source: Frames, block_id: Any = None) -> np.ndarray:
    return source.read(block_id[0], block_id[0] + 1)


def _one_band(source: Bands, block_id: Any = None) -> np.ndarray:
    frame, top = block_id[0], block_id[1] * source.band
    return source.read_rows(frame, top, min(top + source.band, source.shape[1]))[None]
