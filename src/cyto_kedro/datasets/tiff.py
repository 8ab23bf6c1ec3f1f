"""Frames of TIFF stacks, one at a time or in bands of rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

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
        # rows that can be read without the rest of a large frame, in whole segments
        rows = max(1, BAND_BYTES // (width * self._file_dtype.itemsize))
        self.band = max(1, rows // header.segment_rows) * header.segment_rows

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames `start` to `stop` (not included), (T, Y, X)."""
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        with open_parts(self._fs, self._path) as file:
            if self._bare:
                for t in range(start, stop):
                    planes = (self._read_bare(file, offset) for offset in self._offsets[t])
                    out[t - start] = project(planes, self._project)
            else:
                with tifffile.TiffFile(file, _multifile=False) as tif:
                    for t in range(start, stop):
                        planes = (self._read_page(tif, t, z) for z in range(len(self._offsets[t])))
                        out[t - start] = project(planes, self._project)
        return out

    def read_rows(self, frame: int, top: int, bottom: int) -> np.ndarray:
        """Rows `top` to `bottom` (not included) of a frame, decoding no more than they need."""
        offsets = self._offsets[frame]
        if self._bare or len(offsets) > 1 or (top, bottom) == (0, self.shape[1]):
            return self.read(frame, frame + 1)[0, top:bottom]
        out = np.empty((bottom - top, self.shape[2]), self.dtype)
        with (
            open_parts(self._fs, self._path) as file,
            tifffile.TiffFile(file, _multifile=False) as tif,
            self._decoding(frame),
        ):
            tif.filehandle.seek(offsets[0])
            page = tifffile.TiffPage(tif, index=frame)
            across = -(-self.shape[2] // page.chunks[1])
            chosen = slice(top // page.chunks[0] * across, -(-bottom // page.chunks[0]) * across)
            for data, index in tif.filehandle.read_segments(
                page.dataoffsets[chosen],
                page.databytecounts[chosen],
                range(len(page.dataoffsets))[chosen],
            ):
                pixels, (_, _, y, x, _), (_, height, width, _) = page.decode(data, index)
                above, below = max(top - y, 0), min(bottom - y, height)
                part = out[y + above - top : y + below - top, x : x + width]
                part[...] = 0 if pixels is None else pixels[0, above:below, : part.shape[1], 0]
        return out

    def _read_bare(self, file: IO[bytes], offset: int) -> np.ndarray:
        file.seek(offset)
        dtype = np.dtype(self._bare)
        n_pixels = self.shape[1] * self.shape[2]
        return np.frombuffer(file.read(n_pixels * dtype.itemsize), dtype).reshape(self.shape[1:])

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
