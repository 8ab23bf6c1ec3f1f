"""What every segmentation class does alike: walk over the frames of a block, one in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cyto_kedro.algorithms.base import Data
from cyto_kedro.errors import InputError

_WHOLE_PX = 2048**2
_WINDOW_PX, _WINDOWS = 512, 8


def frame_of(data: Data, index: int, key: str = "image") -> np.ndarray:
    """Frame `index` of ``data[key]`` (T, Y, X) as a finite float32 (Y, X) array.

    Raises
    ------
    InputError
        If the frame holds NaN or infinite values.
    """
    frame = np.asarray(data[key][index])
    number = _number(data, index)
    if frame.dtype.kind == "f" and not np.isfinite(frame).all():
        bad = int((~np.isfinite(frame)).sum())
        raise InputError(
            f"frame {number}: {bad} pixels of the {key} are NaN or infinite, so no threshold can "
            f"be computed; repair or exclude the field"
        )
    return frame.astype(np.float32)


def field_sample(data: Data, index: int, key: str = "image") -> np.ndarray:
    """Frame `index` of the whole field, float32, every k-th pixel where it has over 2048².

    Thresholds and percentiles taken from it are the same in all tiles of a field, and in the field
    segmented whole. Where ``data["field"]`` is not given, ``data[key]`` is the field.
    """
    stack: Any = data["field"] if "field" in data else data[key]
    step = math.ceil(math.sqrt(stack.shape[1] * stack.shape[2] / _WHOLE_PX))
    sample = np.asarray(stack[index, :: max(step, 1), :: max(step, 1)])
    return frame_of({**data, key: sample[None], "frame_start": _number(data, index)}, 0, key)


def field_windows(data: Data, index: int, image: np.ndarray) -> list[np.ndarray]:
    """Frame `index` of the whole field, float32, all of it or (over 2048²) windows of it.

    For statistics that need neighbouring pixels, as sizes and noise do: 8 windows of 512², spread
    evenly. They are the same for all tiles of a field and for the field segmented whole. `image` is
    the frame of ``data["image"]``, the field where ``data["field"]`` is not given.
    """
    field: Any = data["field"][index] if "field" in data else image
    height, width = field.shape
    if height * width <= _WHOLE_PX:
        windows = [(slice(None), slice(None))] if "field" in data else []
    else:
        corners = [
            (y, x)
            for y in range(0, max(height - _WINDOW_PX, 0) + 1, _WINDOW_PX)
            for x in range(0, max(width - _WINDOW_PX, 0) + 1, _WINDOW_PX)
        ]
        chosen = np.unique(np.linspace(0, len(corners) - 1, _WINDOWS).astype(int))
        windows = [
            (slice(y, y + _WINDOW_PX), slice(x, x + _WINDOW_PX))
            for y, x in (corners[i] for i in chosen)
        ]
    start = _number(data, index)
    return [
        frame_of({"image": np.asarray(field[each])[None], "frame_start": start}, 0)
        for each in windows
    ] or [image]


def with_margin(
    data: Data, index: int, image: np.ndarray, margin: int, multiple: int
) -> tuple[np.ndarray, tuple[slice, slice]]:
    """A tile with what lies around it in its field, and where the tile is therein.

    Parameters
    ----------
    image
        (Y, X) frame `index` of ``data["image"]``; returned as it is where ``data["field"]`` or
        ``data["corner"]``, the (y, x) of the tile in it, is not given.
    margin
        Pixels added on every side, fewer at the edge of the field.
    multiple
        Begin and end are multiples of it, so that block means fall alike in all tiles.
    """
    if "field" not in data or "corner" not in data:
        return image, (slice(None), slice(None))
    field, spans, inner = data["field"][index], [], []
    for start, length, size in zip(data["corner"], image.shape, field.shape, strict=True):
        first = max(start - margin, 0) // multiple * multiple
        last = min(-(-(start + length + margin) // multiple) * multiple, size)
        spans.append(slice(first, last))
        inner.append(slice(start - first, start - first + length))
    wide = np.asarray(field[tuple(spans)])[None]
    number = _number(data, index)
    return frame_of({"image": wide, "frame_start": number}, 0), (inner[0], inner[1])


def channel_data(data: Data, channel: str) -> Data:
    """`data` with only one of its channels as image.

    Raises
    ------
    InputError
        If there are no channels apart, or not this one.
    """
    image = data["image"]
    if not isinstance(image, Mapping) or channel not in image:
        held = sorted(image) if isinstance(image, Mapping) else "one image"
        raise InputError(
            f"channel {channel!r} is to be read alone, but the population's image holds {held}: name "
            "the channel in assay.populations.<name>.channels, with combine: separate"
        )
    field = {"field": data["field"][channel]} if "field" in data else {}
    return {**data, "image": image[channel], **field}


def _number(data: Data, index: int) -> int:
    return int(data.get("frame_start", 0)) + index


def stack_shape(stack: Any, key: str = "image") -> tuple[int, int, int]:
    """Shape of a (T, Y, X) stack.

    Raises
    ------
    InputError
        If the stack has another number of axes.
    """
    if getattr(stack, "ndim", None) != 3:
        raise InputError(
            f"{key} must be an array (T, Y, X), got shape {getattr(stack, 'shape', None)}; "
            f"put a length-1 time axis before a still image: image[None]"
        )
    return tuple(stack.shape)
