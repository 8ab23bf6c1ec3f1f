"""Writing OME-TIFF, the format of our own images and labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from io import BytesIO
from typing import IO, Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import tifffile

from cyto_kedro.datasets.lazy import is_lazy
from cyto_kedro.images import Image

TRIED_ROWS = 128


def write_ome(file: IO[bytes], image: Image, level: int = 1) -> None:
    """Write `image` as OME-TIFF, deflated, one chunk of a Dask array in memory at a time.

    `file`: seekable binary file. `image`: array (T, Y, X) or (T, C, Y, X). `level`: of deflate, 0
    to 9. On camera noise 1 is as small as 6 and three times as fast. Differences of neighbours are
    stored in place of values where that is smaller (`differences_are_smaller`).
    """
    array = image.array
    n_t, n_c = array.shape[0], array.shape[1] if array.ndim == 4 else 1
    metadata: dict[str, Any] = {"axes": "TCYX" if array.ndim == 4 else "TYX"}
    if image.pixel_size_um is not None:
        for axis in "XY":
            metadata |= {
                f"PhysicalSize{axis}": image.pixel_size_um,
                f"PhysicalSize{axis}Unit": "µm",
            }
    if image.time_s is not None:
        times = [float(time) for time in image.time_s for _ in range(n_c)]
        metadata["Plane"] = {"DeltaT": times, "DeltaTUnit": ["s"] * (n_t * n_c)}
    if image.channels:
        metadata["Channel"] = {"Name": list(image.channels)}
    # equal content gives equal bytes: the ledger sees by them that nothing changed
    metadata["UUID"] = str(uuid5(NAMESPACE_OID, repr((array.shape, array.dtype.str, metadata))))
    planes = _planes(array)
    first = next(planes)
    with tifffile.TiffWriter(file, ome=True, bigtiff=array.nbytes > 2**31) as tif:
        tif.write(
            itertools.chain([first], planes),
            shape=array.shape,
            dtype=array.dtype,
            photometric="minisblack",
            compression="zlib",
            compressionargs={"level": level},
            predictor=differences_are_smaller(first, level),
            metadata=metadata,
            maxworkers=1,
        )


def differences_are_smaller(plane: np.ndarray, level: int = 1) -> bool:
    """Whether a plane (Y, X) deflates better as differences of neighbours (TIFF's predictor).

    Camera noise does. Masks do not, nor does a normalised film: its floats are as few as the grey
    levels of the raw one, and their differences are many. The rows in the middle are tried both ways.
    """
    top = max(0, (len(plane) - TRIED_ROWS) // 2)
    rows = np.ascontiguousarray(plane[top : top + TRIED_ROWS])
    sizes = []
    for predictor in (False, True):
        buffer = BytesIO()
        tifffile.imwrite(
            buffer,
            rows,
            photometric="minisblack",
            compression="zlib",
            compressionargs={"level": level},
            predictor=predictor,
            metadata=None,
            maxworkers=1,
        )
        sizes.append(buffer.tell())
    return sizes[1] < sizes[0]


def _planes(array: Any) -> Iterator[np.ndarray]:
    """The (Y, X) planes of an array in order, computing each chunk along time once."""
    if is_lazy(array):
        array = array.rechunk(dict.fromkeys(range(1, array.ndim), -1))
        stops = np.cumsum((0, *array.chunks[0]))
        blocks: Any = (np.asarray(array[a:b]) for a, b in itertools.pairwise(stops))
    else:
        blocks = (array[t : t + 1] for t in range(len(array)))
    for block in blocks:
        yield from np.ascontiguousarray(block).reshape(-1, *block.shape[-2:])
