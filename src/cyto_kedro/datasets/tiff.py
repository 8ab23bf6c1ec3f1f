"""Frames of TIFF stacks, one at a time or in bands of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, Any

import numpy as np
import tifffile
from fsspec import AbstractFileSystem

from cyto_kedro.datasets.tiff_header import UNREADABLE, TiffHeader
from cyto_kedro.datasets.urls import open_parts
from cyto_kedro.errors import InputError
from cyto_kedro.view import Projection, project

BAND_BYTES = 8 * 2**20  # larger frames are read in bands of about so much


class TiffFrames:
    """The frames (T, Y, X) of one channel; each reading opens the file and closes it again.

    Small and picklable, so that any worker can read its own frames.
    """

    def __init__(
        self,
        fs: AbstractFileSystem,
        path: str,
        header: TiffHeader,
        channel: int,
        project_z: Projection | None = None,
    ) -> None:
        n_frames, n_channels, height, width = header.shape
        self.shape = (n_frames, height, width)
        self._file_dtype = np.dtype(header.dtype)
        self.dtype = np.dtype(np.float32) if project_z == "mean" else self._file_dtype
        self._fs, self._path, self._location = fs, path, header.location
        planes = n_frames, n_channels, header.n_z
        self._offsets = np.reshape(header.offsets, planes)[:, channel].tolist()
        self._parts = np.reshape(header.parts, planes)[:, channel].tolist()
        self._bare, self._project = header.bare, project_z
        # the strips or tiles of each plane, where the first plane's directory serves for all
        known = header.segments
        self._segments = None if known is None else known.reshape(*planes, -1, 2)[:, channel]
        self._keyframe = fs, path, header.version, header.first
        # rows that can be read without the rest of a large frame, in whole segments
        rows = max(1, BAND_BYTES // (width * self._file_dtype.itemsize))
        self.band = max(1, rows // header.segment_rows) * header.segment_rows

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames `start` to `stop` (not included), (T, Y, X)."""
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        depth = range(len(self._offsets[0]))
        with open_parts(self._fs, self._path) as file:
            if self._bare or self._segments is not None:
                read = self._read_bare if self._bare else self._read_alike
                for t in range(start, stop):
                    out[t - start] = project((read(file, t, z) for z in depth), self._project)
            else:
                with tifffile.TiffFile(file, _multifile=False) as tif:
                    for t in range(start, stop):
                        planes = (self._read_page(tif, t, z) for z in depth)
                        out[t - start] = project(planes, self._project)
        return out

    def read_rows(self, frame: int, top: int, bottom: int) -> np.ndarray:
        """Rows `top` to `bottom` (not included) of a frame, decoding no more than they need."""
        offsets = self._offsets[frame]
        if len(offsets) > 1 or (top, bottom) == (0, self.shape[1]):
            return self.read(frame, frame + 1)[0, top:bottom]
        with open_parts(self._fs, self._path) as file:
            if self._bare:
                return self._read_bare(file, frame, 0, top, bottom).astype(self.dtype)
            if self._segments is not None:
                return self._read_alike(file, frame, 0, top, bottom)
            with tifffile.TiffFile(file, _multifile=False) as tif, self._decoding(frame):
                tif.filehandle.seek(offsets[0])
                page = tifffile.TiffPage(tif, index=frame)
                where = list(zip(page.dataoffsets, page.databytecounts, strict=True))
                return self._decoded(file, page, where, top, bottom)

    def _read_bare(
        self, file: IO[bytes], frame: int, z: int, top: int = 0, bottom: int | None = None
    ) -> np.ndarray:
        dtype = np.dtype(self._bare)
        height, width = self.shape[1:]
        rows = (height if bottom is None else bottom) - top
        file.seek(self._offsets[frame][z] + top * width * dtype.itemsize)
        with self._decoding(frame):
            return np.frombuffer(file.read(rows * width * dtype.itemsize), dtype).reshape(
                rows, width
            )

    def _read_alike(
        self, file: IO[bytes], frame: int, z: int, top: int = 0, bottom: int | None = None
    ) -> np.ndarray:
        assert self._segments is not None
        with self._decoding(frame):
            where = self._segments[frame, z].tolist()
            return self._decoded(file, _keyframe(*self._keyframe), where, top, bottom)

    def _decoded(
        self,
        file: IO[bytes],
        page: tifffile.TiffPage,
        where: Sequence[Sequence[int]],
        top: int,
        bottom: int | None,
    ) -> np.ndarray:
        """Rows of a plane, of those of its strips or tiles that hold them; `page` decodes these.

        `where`: offset and bytes of each strip or tile; one without bytes is empty.
        """
        height, width = self.shape[1:]
        bottom = height if bottom is None else bottom
        out = np.empty((bottom - top, width), self._file_dtype)
        rows, columns = page.chunks[:2]
        across = -(-width // columns)
        for index in range(top // rows * across, -(-bottom // rows) * across):
            offset, n_bytes = where[index]
            file.seek(offset)
            data = file.read(n_bytes) if n_bytes else None
            _put(out, page.decode(data, index, jpegtables=page.jpegtables), top)
        return out

    def _read_page(self, tif: tifffile.TiffFile, frame: int, z: int) -> np.ndarray:
        tif.filehandle.seek(self._offsets[frame][z])
        with self._decoding(frame):
            pixels = tifffile.TiffPage(tif, index=frame).asarray(maxworkers=1)
            return pixels.reshape(-1, *self.shape[1:])[self._parts[frame][z]]

    @contextmanager
    def _decoding(self, frame: int) -> Iterator[None]:
        try:
            yield
        except UNREADABLE as error:
            raise InputError(
                f"{self._location}, frame {frame}: the pixels cannot be decoded ({error}). The "
                "file is damaged: copy it again, or exclude the field in the sample sheet."
            ) from error


@lru_cache(maxsize=64)
def _keyframe(fs: AbstractFileSystem, path: str, version: str, offset: int) -> tifffile.TiffPage:
    """The directory at `offset` of a file, which is closed again: it decodes what is read elsewhere.

    `version` changes with the file, so that no older file's directory is remembered for it.
    """
    with open_parts(fs, path) as file, tifffile.TiffFile(file, _multifile=False) as tif:
        tif.filehandle.seek(offset)
        return tifffile.TiffPage(tif, index=0)


def _put(out: np.ndarray, decoded: Any, top: int) -> None:
    """Put a decoded strip or tile in its place of `out` (Y, X), which begins at row `top`."""
    pixels, (_, _, y, x, _), (_, height, width, _) = decoded
    above, below = max(top - y, 0), min(top + len(out) - y, height)
    part = out[y + above - top : y + below - top, x : x + width]
    part[...] = 0 if pixels is None else pixels[0, above:below, : part.shape[1], 0]
