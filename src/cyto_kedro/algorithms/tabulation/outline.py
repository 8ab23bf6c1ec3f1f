"""Lengths of the outlines of all cells of a frame, from the neighbours of each outline pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cyto_kedro.algorithms.tabulation.masks import Masks, spans

_ROOT2 = float(np.sqrt(2.0))
# Weight of an outline pixel by 1 + 2 * (4-neighbours on the outline) + 10 * (diagonal ones).
_PERIMETER_WEIGHTS = np.zeros(50)
_PERIMETER_WEIGHTS[[5, 7, 15, 17, 25, 27]] = 1.0
_PERIMETER_WEIGHTS[[21, 33]] = _ROOT2
_PERIMETER_WEIGHTS[[13, 23]] = (1.0 + _ROOT2) / 2.0


def _contour_weights() -> np.ndarray:
    """Length of the contour that an outline pixel owns, by which of its neighbours are its own.

    Bits 0 to 3: right, below, left, above; bits 4 to 7: the diagonal after each of these, so that
    quarter k of the pixel lies between bits k, k + 1 and 4 + k. Where two or three of the four
    pixels around a corner are of the cell, those that lie on its outline there share the piece.
    """
    share = np.array([_ROOT2 / 2, 0.5, 0.5, 0.0, _ROOT2 / 2, _ROOT2 / 4, _ROOT2 / 4, 0.0])
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    side, diagonal = bits[:, :4], bits[:, 4:]
    return share[side + 2 * np.roll(side, -1, axis=1) + 4 * diagonal].sum(axis=1)


_CONTOUR_WEIGHTS = _contour_weights()


class Lengths(NamedTuple):
    """Two lengths of every outline, (n_cells,) float64, holes included."""

    perimeter_px: np.ndarray  #: Benkrid & Crookes (2000), as `skimage.measure.perimeter`
    contour_px: np.ndarray  #: through the middles of pixel edges (marching squares at 0.5)


def outline_lengths(masks: Masks) -> Lengths:
    """Lengths of the outline of every cell."""
    pixel, stride = masks.outline, masks.stride
    own = masks.flat[pixel]
    base, corner = pixel - stride - 1, stride + 1  # views moved by a step spare adding it
    code = np.zeros(len(pixel), np.uint8)
    on_outline = np.ones(len(pixel), np.uint8)
    steps = (1, stride, -1, -stride, stride + 1, stride - 1, -stride - 1, -stride + 1)
    for bit, step in enumerate(steps):
        same = masks.flat[corner + step :].take(base) == own
        code |= same.view(np.uint8) << bit
        same &= masks.rim[corner + step :].take(base)
        on_outline += same.view(np.uint8) * np.uint8(2 if bit < 4 else 10)
    first, _ = spans(masks.outline_cell)
    weights = (_PERIMETER_WEIGHTS.take(on_outline), _CONTOUR_WEIGHTS.take(code))
    return Lengths(*(np.add.reduceat(each, first) for each in weights))


def crack_length(masks: Masks) -> np.ndarray:
    """Pixel edges between every cell and what is not of it, (n_cells,) float64."""
    own, stride = masks.flat[masks.outline], masks.stride
    count = sum(
        (masks.flat[masks.outline + step] != own).astype(np.float64)
        for step in (-1, 1, -stride, stride)
    )
    return np.bincount(masks.outline_cell, count, len(masks.labels))
