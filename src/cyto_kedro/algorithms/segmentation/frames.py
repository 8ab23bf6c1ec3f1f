"""What every segmentation class does alike: walk over the frames of a block, one in memory."""

from __future__ import annotations

from collections.abc import Callable
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
    number = int(data.get("frame_start", 0)) + index
    if frame.dtype.kind == "f" and not np.isfinite(frame).all():
        bad = int((~np.isfinite(frame)).sum())
        raise InputError(
            f"frame {number}: {bad} pixels of the {key} are NaN or infinite, so no threshold can "
            f"be computed; repair or exclude the field"
        )
    return frame.astype(np.float32)


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
