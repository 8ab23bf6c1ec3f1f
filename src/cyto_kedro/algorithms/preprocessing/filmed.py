"""Which pixels were filmed at all: stitching, rotation and registration leave margins of one value.

A margin is no background: it is darker (or brighter) than all that was filmed, without noise, and
pulls every percentile, threshold and background that it takes part in.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cyto_kedro.core import ndi

LEAST_SIDE = 16  # pixels; in less nothing can be told
LEAST_FILMED = 0.2  # share of a frame: less is a few cells on an even background, no margin
LEAST_SOLID = 0.8  # of its convex hull: what was filmed is a rectangle, turned, or some joined
MOST_FLAT = 1e-3  # share of what was filmed that may lie in even areas of the margin's value
_CORNERS = np.ones((3, 3), bool)


def filmed(image: Any) -> np.ndarray:
    """Which pixels of a frame (Y, X), or of each frame (T, Y, X), were filmed: bool, as the image.

    Not filmed is an area without noise (one exact value, or NaN) that reaches the border, where the
    rest of the frame is one solid piece in which that value makes no even areas. Whole rows
    and columns count from one pixel on, other areas from 3 x 3; pixels beside a margin that are mixed
    with it (interpolation) count to it. All was filmed where no such area is: a frame
    of one value, saturated areas, a camera's or a program's even background around cells.
    """
    if image.ndim == 3:
        found = np.empty(image.shape, bool)
        for out, frame in zip(found, image, strict=True):
            out[...] = filmed(np.asarray(frame))
        return found
    frame = np.asarray(image)
    unknown = ~np.isfinite(frame) if frame.dtype.kind == "f" else np.zeros(frame.shape, bool)
    known = frame[~unknown]
    if min(frame.shape) < LEAST_SIDE or not known.size or known.min() == known.max():
        return ~unknown
    if unknown.any():
        frame = np.where(unknown, -np.inf, frame)
    margin = unknown | _margin(frame)
    return ~margin


def _margin(frame: np.ndarray) -> np.ndarray:
    """The margin (Y, X) of a frame that is not of one value."""
    none = np.zeros(frame.shape, bool)
    rows_columns = _even_rows(frame) | _even_rows(frame.T).T
    if not (rows_columns.any() or _even_at_border(frame)):
        return none
    even = ndi.maximum_filter(frame, 3, mode="nearest") == ndi.minimum_filter(
        frame, 3, mode="nearest"
    )
    pieces, _ = ndi.label(even | rows_columns)
    ring = np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    inside = sizes.copy()
    inside[ring] = 0
    inside[np.unique(pieces[(frame == frame.max()) & (pieces > 0)])] = 0  # saturated cells
    ring = ring[sizes[ring] > 4 * inside.max()]
    if not ring.size:
        return none
    first = np.zeros(sizes.size, np.int64)  # pixel of each piece
    within = np.flatnonzero(pieces)[::-1]
    first[pieces.ravel()[within]] = within
    values = frame.ravel()[first[ring]]
    margin = none
    for value in np.unique(values):
        seed = np.isin(pieces, ring[values == value])
        if value == frame.max() and not (seed & rows_columns).any():
            continue  # saturation
        same = frame == value
        # the even areas' edges, which lie beside other values, and what tapers off there: not far
        # where the value is one of the film's too
        reach = 1 if (same & ~seed).mean() > 0.01 else 4
        area = ndi.binary_dilation(seed, _CORNERS, iterations=reach, mask=same)
        if area.sum() < min(frame.shape) / 2:
            continue  # a few dark pixels of 8 bits that happen to be alike
        if (even & ~area).sum() > 0.5 * (~area).sum():
            continue  # an image without noise: an even background is as likely
        if _is_margin(frame, area, even & same):
            margin = margin | area
    if margin.any():
        margin = margin | _mixed(frame, margin)
    return margin


def _even_rows(frame: np.ndarray) -> np.ndarray:
    """Whole rows of one value, from the first row on and up to the last one: (Y, X) bool."""
    found = np.zeros(frame.shape, bool)
    for rows in (range(len(frame)), range(len(frame) - 1, -1, -1)):
        value = frame[rows[0], 0]
        for y in rows:
            if not (frame[y] == value).all():
                break
            found[y] = True
    return found


def _even_at_border(frame: np.ndarray) -> bool:
    """Whether there are 3 x 3 pixels of one value at the border: a quick look, most frames have none."""
    for band in (frame[:3], frame[-3:], frame[:, :3].T, frame[:, -3:].T):
        if band.shape[0] < 3 or band.shape[1] < 3:
            return False
        column = (band == band[0]).all(0)
        same = column[1:] & column[:-1] & (band[0, 1:] == band[0, :-1])
        if (same[1:] & same[:-1]).any():
            return True
    return False


def _is_margin(frame: np.ndarray, area: np.ndarray, even: np.ndarray) -> bool:
    """Whether an even `area` at the border is a margin: judged by the rest of the frame."""
    rest = ~area
    size = int(rest.sum())
    if size < LEAST_FILMED * rest.size:
        return False
    if (even & rest).sum() > MOST_FLAT * size:
        return False
    pieces, _ = ndi.label(rest)
    largest = np.bincount(pieces.ravel())[1:].max()
    if largest < 0.9 * size or size < LEAST_SOLID * _hull_area(rest):
        return False
    # light fades out around cells on an even background; at a margin it is cut off
    value = float(frame[area][0])
    near = ndi.binary_dilation(area, _CORNERS, iterations=3) & rest
    near &= ~ndi.binary_dilation(area, _CORNERS)
    step = [abs(float(np.percentile(frame[of], 25)) - value) for of in (near, rest) if of.any()]
    return len(step) == 2 and step[0] >= 0.5 * step[1]


def _hull_area(region: np.ndarray) -> float:
    """Pixels within the convex hull of `region` (of the pixels' corners)."""
    from scipy.spatial import ConvexHull

    rows = np.flatnonzero(region.any(1))
    part = region[rows]
    left, right = part.argmax(1), region.shape[1] - part[:, ::-1].argmax(1)
    corners = np.concatenate(
        [np.column_stack([y, x]) for y in (rows, rows + 1) for x in (left, right)]
    )
    return float(ConvexHull(corners).volume)  # in two dimensions the volume is the area


def _mixed(frame: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Pixels beside the margin that are beyond all that was filmed further in."""
    beside = ndi.binary_dilation(margin, _CORNERS) & ~margin
    inner = frame[~ndi.binary_dilation(margin, _CORNERS, iterations=2)]
    if not inner.size:
        return np.zeros(frame.shape, bool)
    return np.asarray(beside & ((frame < inner.min()) | (frame > inner.max())))
