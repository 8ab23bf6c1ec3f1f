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
    """Length of the contour that an outline pixel has, by `Outlines.own`.

    Where two or three of the four pixels around a corner are of the cell, those that lie on its
    outline there share the piece.
    """
    share = np.array([_ROOT2 / 2, 0.5, 0.5, 0.0, _ROOT2 / 2, _ROOT2 / 4, _ROOT2 / 4, 0.0])
    return share[around_corners(np.arange(256))].sum(axis=1)


def around_corners(own: np.ndarray) -> np.ndarray:
    """What lies around each corner of pixels, by `Outlines.own`: (n, 4), bits for the pixel before
    the corner, the one after it, and the diagonal one."""
    bits = own[:, None] >> np.arange(8) & 1
    side, diagonal = bits[:, :4], bits[:, 4:]
    return side + 2 * np.roll(side, -1, axis=1) + 4 * diagonal


_CONTOUR_WEIGHTS = _contour_weights()


class Outlines(NamedTuple):
    """Two lengths of every outline, (n_cells,) float64, holes included; and what they are read off.

    ``own`` says which neighbours of an outline pixel, (n_outline,) uint8, are of its cell. Bits 0 to
    3: right, below, left, above; bits 4 to 7: the diagonal after each of these, so that the corner k
    of a pixel lies between bits k, k + 1 and 4 + k.
    """

    perimeter_px: np.ndarray  #: Benkrid & Crookes (2000), as `skimage.measure.perimeter`
    contour_px: np.ndarray  #: through the middles of pixel edges (marching squares at 0.5)
    own: np.ndarray


def measure_outlines(masks: Masks) -> Outlines:
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
    perimeter, contour = (np.add.reduceat(each, first) for each in weights)
    return Outlines(perimeter, contour, code)
