"""Raw films read lazily, and the catalog's raw folder; see `raw_scan` for how they are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from kedro.io import DatasetError

from cyto_kedro.datasets import microscopes, ome_zarr, tiff, tiff_header
from cyto_kedro.datasets.folder import ReadOnlyFolder
from cyto_kedro.datasets.lazy import Frames, lazy
from cyto_kedro.datasets.raw_scan import Channels, RawChannel, scan
from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import InputError

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["RawChannel", "RawFolder", "RawFolderDataset", "RawFrames", "open_raw", "scan"]


def open_raw(raw: RawChannel, storage_options: dict[str, Any] | None = None) -> da.Array:
    """The frames of `raw`, (T, Y, X), lazily, one chunk per frame.

    Raises InputError when a frame is computed that cannot be decoded or holds NaN or infinite
    values.
    """
    return lazy(RawFrames(raw, storage_options))


class RawFrames:
    """The frames (T, Y, X) of a channel, checked as they are read."""

    def __init__(self, raw: RawChannel, storage_options: dict[str, Any] | None = None) -> None:
        self.shape = (raw.n_frames, raw.height, raw.width)
        self.dtype = np.dtype(raw.dtype)
        self._raw, self._options = raw, dict(storage_options or {})
        # a folder of frames is opened file by file, as they are read
        self._only = self._open(raw.files[0]) if len(raw.files) == 1 else None

    def _open(self, url: str) -> Frames:
        raw = self._raw
        fs, path = find_place(url, **self._options)
        source: Frames
        if ome_zarr.is_zarr(path):
            zarr_header = ome_zarr.read_header(
                url, self._options, raw.project_z is not None, raw.z_is_time
            )
            source = ome_zarr.ZarrFrames(zarr_header, raw.index, self._options, raw.project_z)
        elif microscopes.is_microscope(path):
            source = microscopes.MicroscopeFrames(
                fs, path, url, raw.scene, raw.index, raw.project_z, raw.z_is_time
            )
        else:
            header = tiff_header.read_header(
                fs,
                path,
                url,
                raw.n_channels,
                depth=raw.project_z is not None,
                z_is_time=raw.z_is_time,
            )
            source = tiff.TiffFrames(fs, path, header, raw.index, raw.project_z)
        planned = raw.n_frames if len(raw.files) == 1 else 1
        if source.shape != (planned, *self.shape[1:]) or source.dtype != self.dtype:
            raise InputError(
                f"fov {raw.fov}, channel {raw.channel}: {url} is now {source.shape} "
                f"{source.dtype}, but was {(planned, *self.shape[1:])} {self.dtype} at ingestion; "
                "run ingestion again"
            )
        return source

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames `start` to `stop` (not included), (T, Y, X)."""
        if self._only is not None:
            block = self._only.read(start, stop)
        else:
            files = self._raw.files[start:stop]
            block = np.concatenate([self._open(file).read(0, 1) for file in files])
        if block.dtype.kind == "f":
            self._check_finite(block, start)
        return block

    def _check_finite(self, block: np.ndarray, start: int) -> None:
        bad = ~np.isfinite(block).all(axis=(1, 2))
        if bad.any():
            frame = start + int(np.flatnonzero(bad)[0])
            files = self._raw.files
            raise InputError(
                f"fov {self._raw.fov}, channel {self._raw.channel}, frame {frame}: NaN or infinite "
                f"pixels in {files[frame] if len(files) > 1 else files[0]}. Export the film again, "
                "or exclude the field in the sample sheet."
            )


class RawFolder:
    """A raw folder; see `scan`."""

    def __init__(self, folder: str, storage_options: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.storage_options = dict(storage_options or {})

    def scan(self, pattern: str, channels: Channels = None, **how: Any) -> list[RawChannel]:
        """`scan` this folder."""
        return scan(self.folder, pattern, channels, storage_options=self.storage_options, **how)

    def open(self, raw: RawChannel) -> da.Array:
        """`open_raw` with this folder's credentials."""
        return open_raw(raw, self.storage_options)


class RawFolderDataset(ReadOnlyFolder[RawFolder]):
    """The folder of the user's raw films; it is read only."""

    holds = "raw films"

    def load(self) -> RawFolder:
        """A handle to scan the folder with; nothing is read yet."""
        if not self._exists():
            raise DatasetError(f"the raw folder {self._folder} does not exist; correct its path")
        return RawFolder(self._folder, self._options)
