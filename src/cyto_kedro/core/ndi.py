"""SciPy's image filters, imported when the first is used: ``from cyto_kedro.core import ndi``.

All engines and steps use them, every command imports all engines, and few commands filter an image.
Where a filter of the same name stands here, it gives SciPy's values in less time: this is the one place
where a filter's library is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_STRIP_ROWS = 64
_SMALL_PX = 1 << 15  # up to here an image is one strip as it is
_FAR_PX = 30  # up to here `nearest` looks column by column
_PADDING = {
    "nearest": "edge",
    "reflect": "symmetric",
    "mirror": "reflect",
}  # SciPy's modes, NumPy's
_Filter = Callable[[np.ndarray, np.ndarray], Any]  # of an image, into an array


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


def gaussian_filter(
    image: np.ndarray,
    sigma: Any,
    order: int | tuple[int, int] = 0,
    output: Any = None,
    mode: str = "reflect",
) -> np.ndarray:
    """SciPy's; `output` is a dtype. An image (Y, X) is filtered in strips."""
    import scipy

    if image.ndim != 2 or np.ndim(sigma) or sigma <= 1e-15:
        return np.asarray(scipy.ndimage.gaussian_filter(image, sigma, order, output, mode))

    def along(axis: int, order: int) -> _Filter:
        return lambda part, into: scipy.ndimage.gaussian_filter1d(
            part, sigma, axis, order, into, mode
        )

    down, across = np.broadcast_to(order, 2).tolist()
    reach = int(4 * sigma + 0.5)
    return _in_strips(image, along(0, down), along(1, across), reach, mode, output)


def gaussian_laplace(image: np.ndarray, sigma: float, mode: str = "reflect") -> np.ndarray:
    """SciPy's, of (Y, X)."""
    found = gaussian_filter(image, sigma, (2, 0), mode=mode)
    found += gaussian_filter(image, sigma, (0, 2), mode=mode)
    return found


def sobel(image: np.ndarray, axis: int) -> np.ndarray:
    """SciPy's, of (Y, X)."""
    slope, mean = _correlation(axis, -1, 0, 1), _correlation(1 - axis, 1, 2, 1)
    if axis == 0:
        return _in_strips(image, slope, mean, 1)

    def both(part: np.ndarray, into: np.ndarray) -> None:
        slope(part, into)
        mean(into, into)

    return _in_strips(image, both, _copy, 1)


def second_differences(image: np.ndarray, output: Any = None) -> np.ndarray:
    """Of (Y, X): 1, -2, 1 down, then across; edges are mirrored. `output`: a dtype."""
    down, across = _correlation(0, 1, -2, 1), _correlation(1, 1, -2, 1)
    return _in_strips(image, down, across, 1, output=output)


def laplace(image: np.ndarray) -> np.ndarray:
    """SciPy's, of (Y, X)."""
    found = _in_strips(image, _correlation(0, 1, -2, 1), _copy, 1)
    across = np.empty_like(found)
    _correlation(1, 1, -2, 1)(image, across)
    found += across
    return found


def _copy(part: np.ndarray, into: np.ndarray) -> None:
    into[...] = part


def _correlation(axis: int, *weights: float) -> _Filter:
    import scipy

    return lambda part, into: scipy.ndimage.correlate1d(part, weights, axis, into)


def _in_strips(
    image: np.ndarray,
    down: _Filter,
    across: _Filter,
    reach: int,
    mode: str = "reflect",
    output: Any = None,
) -> np.ndarray:
    """`image` (Y, X) filtered `down` its columns, `reach` pixels far, then `across`, strip by strip.

    A strip fits into the processor's cache, and its rows do not begin a power of two apart: SciPy takes
    three times as long to go down the columns of 1024 x 1024 pixels as of 1000 x 1030.
    """
    height, width = image.shape
    found = np.empty(image.shape, image.dtype if output is None else output)
    if image.size <= _SMALL_PX:
        into = np.empty_like(found)
        down(image, into)
        across(into, found)
        return found
    rows = max(_STRIP_ROWS, 8 * reach)
    beyond = np.pad(np.arange(height), reach, mode=_PADDING[mode])  # type: ignore[call-overload]
    shape = min(rows, height) + 2 * reach, width + 16
    strip, into = (np.empty(shape, dtype)[:, :width] for dtype in (image.dtype, found.dtype))
    for top in range(0, height, rows):
        part = found[top : top + rows]
        end = len(part) + 2 * reach
        np.take(image, beyond[top : top + end], 0, strip[:end])
        down(strip[:end], into[:end])
        across(into[reach : end - reach], part)
    return found


def nearest(mask: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels at most `reach` from one of `mask` (Y, X): their flat index, distance, and which it is.

    In raster order, (k,) each; of equals it is the one of `distance_transform_edt`: of the first
    column, the upper one.
    """
    width = mask.shape[1]
    side = int(min(reach, max(mask.shape)))
    if side > _FAR_PX or not mask.any():
        far, place = __getattr__("distance_transform_edt")(~mask, return_indices=True)
        pixel = np.flatnonzero((far <= reach) & mask.any())
        return pixel, far.ravel()[pixel], (place[0] * width + place[1]).ravel()[pixel]
    row = np.arange(len(mask), dtype=np.int32)[:, None]
    above, below = np.where(mask, row, -(1 << 20)), np.where(mask, row, 1 << 20)
    for y in range(1, len(mask)):  # NumPy's accumulate takes ten times as long down the columns
        np.maximum(above[y], above[y - 1], out=above[y])
        np.minimum(below[-y - 1], below[-y], out=below[-y - 1])
    row_of = np.where(row - above <= below - row, above, below)
    away = np.abs(row_of - row)
    # squared distance, then which column: the least of these numbers is the nearest pixel
    none = np.int32(1 << 30)
    column = np.where(away <= side, away * away << 8, none)
    pixels, distances, places = [], [], []
    for top in range(0, len(mask), _STRIP_ROWS):
        own = column[top : top + _STRIP_ROWS]
        least = own + np.int32(side)
        for by in range(1, min(side, width - 1) + 1):
            for at, to, step in (
                (own[:, :-by], least[:, by:], side - by),
                (own[:, by:], least[:, :-by], side + by),
            ):
                np.minimum(to, at + np.int32((by * by << 8) + step), out=to)
        pixel = np.flatnonzero(least < none)
        found = least.ravel()[pixel]
        distance = np.sqrt((found >> 8).astype(float))
        close = distance <= reach
        pixel = pixel[close] + top * width
        at = pixel + (found[close] & 255) - side
        pixels.append(pixel)
        distances.append(distance[close])
        places.append(row_of.ravel()[at] * width + at % width)
    return np.concatenate(pixels), np.concatenate(distances), np.concatenate(places)
