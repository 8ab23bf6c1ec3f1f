"""Small PNG pictures for kedro-viz."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np

from cyto_kedro.kedro_private import ImagePreview

MAX_SIDE = 720
PANEL = 1.5  # width over height of the panel to which kedro-viz stretches a picture
GAP = 2  # pixels between frames


def strip(stack: Any) -> list[np.ndarray]:
    """Six frames of a (T, Y, X) stack, first to last, thinned; no other is computed. A still is one."""
    n_frames, height, width = stack.shape
    n = min(n_frames, 6)
    step = max(1, -(-(1 if n == 1 else 3) * max(height, width) // MAX_SIDE))
    chosen = np.linspace(0, n_frames - 1, n).round().astype(int) if n else ()
    return [np.asarray(stack[int(t)])[::step, ::step] for t in chosen]


def laid_out(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Frames in the order of reading, three a row, white between them, in the shape of the panel.

    kedro-viz stretches a picture to its panel: what is padded here keeps round cells round.
    """
    if not frames:
        return np.zeros((2, 3), np.uint8)
    height, width, *rest = frames[0].shape
    across = min(len(frames), 3)
    down = -(-len(frames) // across)
    whole = (down * (height + GAP) - GAP, across * (width + GAP) - GAP)
    page = np.zeros((*whole, *rest), np.uint8)
    page[height :: height + GAP] = page[height + 1 :: height + GAP] = 255
    page[:, width :: width + GAP] = page[:, width + 1 :: width + GAP] = 255
    for i, frame in enumerate(frames):
        y, x = i // across * (height + GAP), i % across * (width + GAP)
        page[y : y + height, x : x + width] = frame
    more = max(round(whole[1] / PANEL) - whole[0], 0), max(round(whole[0] * PANEL) - whole[1], 0)
    around = [(each // 2, each - each // 2) for each in more]
    return np.pad(page, [*around, *[(0, 0)] * len(rest)])


def grey(image: np.ndarray) -> np.ndarray:
    """Any shape to uint8, stretched between the 0.5th and the 99.8th percentile."""
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
    """A (Y, X) image, or frames of a (T, Y, X) stack, NumPy or Dask, contrast stretched."""
    return png(laid_out(stretched(strip(image if image.ndim == 3 else image[None]))))


def stretched(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """`grey` of frames, all to the same limits."""
    return list(grey(np.stack(frames))) if frames else []


def labels_png(labels: Any, image: Any = None) -> ImagePreview:
    """Frames of (T, Y, X) labels, one colour per label; outlines over the image where it is given."""
    frames = strip(labels)
    coloured = [colours(each) for each in frames]
    if image is None:
        return png(laid_out(coloured))
    image = image[:, 0] if image.ndim == 4 else image  # of several channels the first
    if image.shape != labels.shape:
        return png(laid_out(coloured))
    under = [np.repeat(each[..., None], 3, axis=-1) for each in stretched(strip(image))]
    for picture, colour, each in zip(under, coloured, frames, strict=True):
        edge = outlines(each)
        picture[edge] = colour[edge]
    return png(laid_out(under))


def outlines(labels: np.ndarray) -> np.ndarray:
    """(Y, X) bool: pixels of a label beside one of another, or of none."""
    padded = np.pad(labels, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    beside = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    return (labels > 0) & np.logical_or.reduce([inner != each for each in beside])


def png(pixels: np.ndarray) -> ImagePreview:
    """(Y, X) or (Y, X, 3) uint8 as the base64 text of a PNG."""
    from PIL import Image as Pillow

    buffer = BytesIO()
    Pillow.fromarray(pixels).save(buffer, format="PNG")
    return ImagePreview(b64encode(buffer.getvalue()).decode())
