"""Image stacks as OME-TIFF, read lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cyto_kedro.datasets import previews
from cyto_kedro.datasets.atomic import FileDataset
from cyto_kedro.datasets.lazy import is_lazy, lazy_bands
from cyto_kedro.datasets.ome_tiff import write_ome
from cyto_kedro.datasets.tiff import TiffFrames
from cyto_kedro.datasets.tiff_header import TiffHeader, read_header
from cyto_kedro.errors import InputError
from cyto_kedro.images import Image, ImageInfo
from cyto_kedro.kedro_private import ImagePreview

if TYPE_CHECKING:
    import dask.array as da

PIXELS = ("uint8", "uint16", "float32")


class ImageDataset(FileDataset[Any, "da.Array"]):
    """An image stack in one OME-TIFF; plain and ImageJ TIFFs are read too.

    Saves (Y, X), (T, Y, X) or (T, C, Y, X), NumPy, Dask or `cyto_kedro.images.Image`, as uint8,
    uint16 or float32 (other numbers become float32); a Dask array is written chunk by chunk.
    Loads a lazy Dask array (T, Y, X), one chunk per frame (several, of whole rows, where a frame is
    large: a part of it is read without the rest), or (T, C, Y, X) if there are several
    channels; the file is open only while a frame is read. `save_args`: ``level``, of deflate, 0 to
    9 (1). `load_metadata` gives channel names, pixel size and frame times.
    """

    def _header(self) -> TiffHeader:
        self._require()
        return read_header(self._fs, self._path, self.location)

    def load(self) -> da.Array:
        """The stack, lazily. Raises InputError if the file is not a whole, flat, grey TIFF."""
        header = self._header()
        stacks = [
            lazy_bands(TiffFrames(self._fs, self._path, header, c)) for c in range(header.shape[1])
        ]
        if len(stacks) == 1:
            return stacks[0]
        import dask.array as da

        return da.stack(stacks, axis=1)

    def glance(self) -> str:
        """Shape and type of the pixels."""
        header = self._header()
        return f"{header.shape}, (T, C, Y, X), {header.dtype}"

    def load_metadata(self) -> ImageInfo:
        """Channel names, pixel size and frame times, without reading pixels."""
        return self._header().info

    def save(self, data: Any) -> None:
        """Write the stack.

        Raises InputError if it has no 2 to 4 axes, is empty, or times or names do not match its
        shape.
        """
        image = data if isinstance(data, Image) else Image(data)
        checked = _checked(image, self.location)
        self._write(lambda file: write_ome(file, checked, **self._save_args))

    def preview(self) -> ImagePreview:
        """Six frames (of the first channel), contrast stretched."""
        stack = self.load()
        stack = stack if stack.ndim == 3 else stack[:, 0]
        return previews.image_png(stack)


def _checked(image: Image, location: str) -> Image:
    array = image.array if is_lazy(image.array) else np.asarray(image.array)
    if array.ndim not in (2, 3, 4) or 0 in array.shape:
        raise InputError(
            f"{location}: an image is (Y, X), (T, Y, X) or (T, C, Y, X) and not empty; "
            f"got shape {array.shape}"
        )
    if array.dtype.kind not in "uif":
        raise InputError(f"{location}: pixels must be real numbers, got {array.dtype}")
    array = array[None] if array.ndim == 2 else array
    n_channels = array.shape[1] if array.ndim == 4 else 1
    if image.time_s is not None and len(image.time_s) != len(array):
        raise InputError(f"{location}: {len(image.time_s)} frame times for {len(array)} frames")
    if image.channels and len(image.channels) != n_channels:
        raise InputError(f"{location}: {len(image.channels)} names for {n_channels} channels")
    if array.dtype.name not in PIXELS:
        array = array.astype(np.float32)
    return Image(array, image.pixel_size_um, image.time_s, tuple(image.channels))
