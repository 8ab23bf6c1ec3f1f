"""What every segmentation class does alike: walk over the frames of a block, one in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cyto_kedro.algorithms.base import Data
from cyto_kedro.errors import InputError


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
    step = math.ceil(math.sqrt(stack.shape[1] * stack.shape[2] / 2048**2))
    sample = np.asarray(stack[index, :: max(step, 1), :: max(step, 1)])
    return frame_of({**data, key: sample[None], "frame_start": _number(data, index)}, 0, key)


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


def segment_frames(data: Data, segment: Callable[[np.ndarray], np.ndarray]) -> Data:
    """Apply `segment` ((Y, X) float32 -> (Y, X) labels) to every frame of ``data["image"]``."""
    label = np.zeros(stack_shape(data["image"]), np.uint32)
    for index in range(label.shape[0]):
        label[index] = segment(frame_of(data, index))
    return {"label": label}
