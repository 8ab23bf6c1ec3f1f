"""SciPy's image filters, imported when the first is used: ``from cyto_kedro.core import ndi``.

All engines and steps use them, every command imports all engines, and few commands filter an image.
Where a filter of the same name stands here, it gives SciPy's values in less time: this is the one place
where a filter's library is chosen.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def __getattr__(name: str) -> Any:
    import scipy

    return getattr(scipy.ndimage, name)


def minimum_filter(image: np.ndarray, size: int, mode: str = "nearest") -> np.ndarray:
    """Least value in a square (cube) of `size` pixels, odd, around each pixel; `image` without NaN.

    Beyond the edge there is nothing: so do SciPy's modes ``nearest``, ``reflect`` and ``mirror``.
    """
    return _running(np.minimum, image, size, mode)


def maximum_filter(image: np.ndarray, size: int, mode: str = "nearest") -> np.ndarray:
    """Largest value, as `minimum_filter` the least."""
    return _running(np.maximum, image, size, mode)


def _running(extreme: np.ufunc, image: np.ndarray, size: int, mode: str) -> np.ndarray:
    """Windows of 2, 4, 8 ... pixels are each made of two of half their length, axis by axis."""
    if size % 2 == 0 or mode not in ("nearest", "reflect", "mirror"):
        raise ValueError(f"a window of {size} pixels (odd is needed), mode {mode!r}")
    for axis, length in enumerate(image.shape):
        rim = [(size // 2, size // 2) if at == axis else (0, 0) for at in range(image.ndim)]
        ends = np.moveaxis(np.pad(image, rim, mode="edge"), axis, 0)
        width = 1
        while 2 * width <= size:
            ends = extreme(ends[:-width], ends[width:])
            width *= 2
        if width < size:
            ends = extreme(ends[:length], ends[size - width :][:length])
        image = np.moveaxis(ends, 0, axis)
    return np.ascontiguousarray(image)
