"""Label images: uint32, background 0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cyto_kedro.datasets import ome_zarr, previews
from cyto_kedro.datasets.atomic import FileDataset
from cyto_kedro.datasets.lazy import Frames, is_lazy, lazy
from cyto_kedro.datasets.ome_tiff import write_ome
from cyto_kedro.datasets.ome_zarr import ZarrFrames, ZarrHeader, is_zarr
from cyto_kedro.datasets.tiff import TiffFrames
from cyto_kedro.datasets.tiff_header import TiffHeader, read_header
from cyto_kedro.errors import InputError
from cyto_kedro.images import Image, ImageInfo
from cyto_kedro.kedro_private import ImagePreview

if TYPE_CHECKING:
    import dask.array as da

LARGEST = int(np.iinfo(np.uint32).max)
META = np.empty((0, 0, 0), np.uint32)


class LabelDataset(FileDataset[Any, np.ndarray]):
    """Label images (T, Y, X), uint32, background 0, in one deflated TIFF.

    Saves (Y, X) or (T, Y, X), NumPy, Dask or `cyto_kedro.images.Image`; loads NumPy uint32. Files
    saved by napari, Fiji or scikit-image load as well: any integer type, or whole numbers stored as
    float, with whatever name the third axis has; so does a label image of an OME-Zarr
    (``a.ome.zarr/labels/nuclei``). `save_args`: ``level``, of deflate, 0 to 9 (1).
    """

    dtype = np.dtype(np.uint32)

    def _header(self) -> TiffHeader | ZarrHeader:
        self._require()
        header: TiffHeader | ZarrHeader
        if is_zarr(self._path):
            header = ome_zarr.read_header(self.location, self._storage_options)
        else:
            header = read_header(self._fs, self._path, self.location, any_axis_is_time=True)
        if header.shape[1] != 1:
            raise InputError(
                f"{self.location} has {header.shape[1]} channels; label images are (T, Y, X): save "
                "each population in its own file"
            )
        return header

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, Y, X), without reading pixels."""
        n_frames, _, height, width = self._header().shape
        return n_frames, height, width

    def _exists(self) -> bool:
        return super()._exists() or (is_zarr(self._path) and bool(self._fs.isdir(self._path)))

    def load(self) -> np.ndarray:
        """The labels, (T, Y, X) uint32.

        Raises InputError, naming the file and the frame that holds no labels.
        """
        return self.load_frames(0, None)

    def load_frames(self, start: int, stop: int | None) -> np.ndarray:
        """Frames `start` to `stop` (not included), or as many of them as there are.

        Raises InputError, naming the file and the frame that holds no labels.
        """
        header = self._header()
        frames: Frames
        if isinstance(header, ZarrHeader):
            frames = ZarrFrames(header, 0, self._storage_options)
        else:
            frames = TiffFrames(self._fs, self._path, header, 0)
        stop = frames.shape[0] if stop is None else min(stop, frames.shape[0])
        start = min(start, stop)
        stack = frames.read(start, stop)
        if frames.dtype == np.uint32 or start == stop:
            return stack.astype(np.uint32, copy=False)
        return np.concatenate(list(_checked(stack, self.location, start)))

    def read(self, start: int, stop: int) -> np.ndarray:
        """`load_frames`, as `lazy.Frames` is read."""
        return self.load_frames(start, stop)

    def lazy(self) -> da.Array:
        """The labels as a Dask array, one chunk per frame, none of them read."""
        return lazy(self)

    def glance(self) -> str:
        """Shape of the labels."""
        return f"{self.shape}, (T, Y, X), uint32"

    def load_metadata(self) -> ImageInfo:
        """Pixel size and frame times, without reading pixels."""
        return self._header().info

    def save(self, data: Any) -> None:
        """Write labels.

        Raises InputError, naming the file and the frame with a negative, fractional or oversized
        value.
        """
        image = data if isinstance(data, Image) else Image(data)
        array: Any = image.array if is_lazy(image.array) else np.asarray(image.array)
        array = array[None] if array.ndim == 2 else array
        if array.ndim != 3 or 0 in array.shape:
            raise InputError(
                f"{self.location}: label images are (T, Y, X) and not empty; got {array.shape}"
            )
        if is_lazy(array):
            whole = array.rechunk({1: -1, 2: -1})
            labels: Any = whole.map_blocks(_block, self.location, dtype=np.uint32, meta=META)
        else:
            labels = np.concatenate(list(_checked(array, self.location)))
        checked = Image(labels, image.pixel_size_um, image.time_s)
        self._write(lambda file: write_ome(file, checked, **self._save_args))

    def preview(self, over: Any = None) -> ImagePreview:
        """Six frames, one colour per label; outlines over an image's frames where it is given."""
        return previews.labels_png(self.lazy(), over)


def _block(block: np.ndarray, location: str, block_info: Any = None) -> np.ndarray:
    start = block_info[0]["array-location"][0][0]
    return np.concatenate(list(_checked(block, location, start)))


def _checked(stack: Any, location: str, start: int = 0) -> Iterator[np.ndarray]:
    """Yield each frame of `stack` as (1, Y, X) uint32; raise at the first that is not labels."""
    kind = np.dtype(stack.dtype).kind
    if kind not in "uif":
        raise InputError(
            f"{location}: labels must be whole numbers, one per cell, got {stack.dtype}; "
            "label the connected parts of a mask first"
        )
    for t in range(stack.shape[0]):
        frame = stack[t : t + 1, :, :]
        if kind == "f" and not np.isfinite(frame).all():
            _refuse(location, start + t, "NaN or infinite values")
        low, high = frame.min(), frame.max()
        if low < 0:
            _refuse(location, start + t, f"a negative value ({low})")
        if high > LARGEST:
            _refuse(location, start + t, f"a value ({high}) above {LARGEST}")
        labels = frame.astype(np.uint32)
        if kind == "f" and not (labels == frame).all():
            _refuse(location, start + t, "fractional values")
        yield labels


def _refuse(location: str, frame: int, what: str) -> None:
    raise InputError(
        f"{location}, frame {frame}: {what}. Labels are whole numbers, 0 for background and one "
        "number per cell; was an intensity or probability image saved in their place?"
    )
