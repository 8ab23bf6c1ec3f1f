"""Small PNG pictures for kedro-viz."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import Any

import numpy as np

from cyto_kedro.kedro_private import ImagePreview

MAX_SIDE = 360


def four(stack: Any) -> np.ndarray:
    """Four frames of a (T, Y, X) stack, first to last, thinned to `MAX_SIDE`; no other is computed.

    Two by two, in the order of reading: kedro-viz stretches a picture to its panel, and so it keeps the
    shape of a frame (side by side, round cells would be shown as ellipses). A still stays one.
    """
    n_frames, height, width = stack.shape
    if not n_frames:
        return np.zeros((1, 1), stack.dtype)
    per_side = 1 if n_frames == 1 else 2
    step = max(1, -(-per_side * max(height, width) // MAX_SIDE))
    chosen = np.linspace(0, n_frames - 1, per_side**2).round().astype(int)
    shown = [np.asarray(stack[int(t)])[::step, ::step] for t in chosen]
    return np.block([shown[i : i + per_side] for i in range(0, len(shown), per_side)])


def grey(image: np.ndarray) -> np.ndarray:
    """(Y, X) to uint8, stretched between the 0.5th and the 99.8th percentile."""
    finite = np.nan_to_num(image.astype(np.float32), posinf=0, neginf=0)
    low, high = np.percentile(finite, (0.5, 99.8))
    return (np.clip((finite - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


def colours(labels: np.ndarray) -> np.ndarray:
    """(Y, X) labels to (Y, X, 3) uint8: background black, neighbouring numbers far apart in hue."""
    # multiples of the golden ratio spread evenly whatever the number of labels
    hue = (labels.astype(np.float64) * 0.618034) % 1.0
    phase = hue[..., None] * 2 * np.pi + np.array([0.0, 2.1, 4.2])
    rgb = (140 + 110 * np.cos(phase)).astype(np.uint8)
    rgb[labels == 0] = 0
    return rgb


def image_png(image: Any) -> ImagePreview:
    """A (Y, X) image, or four frames of a (T, Y, X) stack, NumPy or Dask, contrast stretched."""
    return png(grey(four(image if image.ndim == 3 else image[None])))


def png(pixels: np.ndarray) -> ImagePreview:
    """(Y, X) or (Y, X, 3) uint8 as the base64 text of a PNG."""
    from PIL import Image as Pillow

    buffer = BytesIO()
    Pillow.fromarray(pixels).save(buffer, format="PNG")
    return ImagePreview(b64encode(buffer.getvalue()).decode())
