"""Masks corrected by hand: a frame of labels (Y, X) in, a frame out. Painting is the viewer's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from cyto_kedro.errors import InputError


def _need(labels: np.ndarray, *wanted: int) -> None:
    for each in wanted:
        if each == 0 or not (labels == each).any():
            raise InputError(f"there is no mask {each} in this frame: click on a cell")


def merge(labels: np.ndarray, into: int, others: Sequence[int]) -> np.ndarray:
    """Masks `others` become part of `into`.

    Raises
    ------
    InputError
        If one of them is not in the frame, or `into` is to be merged with itself alone.
    """
    others = [each for each in others if each != into]
    if not others:
        raise InputError("two different masks are needed to merge them: click on both")
    _need(labels, into, *others)
    return np.where(np.isin(labels, others), labels.dtype.type(into), labels)


def delete(labels: np.ndarray, label: int) -> np.ndarray:
    """Without the mask.

    Raises
    ------
    InputError
        If it is not in the frame.
    """
    _need(labels, label)
    return np.where(labels == label, labels.dtype.type(0), labels)


def split(
    labels: np.ndarray, label: int, new_label: int, seeds: Sequence[tuple[int, int]] = ()
) -> np.ndarray:
    """A mask cut in two where it is narrowest between two points; one part keeps its number.

    Watershed of the distance to the background, from `seeds` (y, x) within the mask, or from the two
    places deepest in it.

    Raises
    ------
    InputError
        If the mask is not in the frame, the new number is taken, a seed lies outside, or it has only
        one place to grow from.
    """
    _need(labels, label)
    if new_label == 0 or (labels == new_label).any():
        raise InputError(f"label {new_label} is taken in this frame: give a free number")
    mask = labels == label
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    places = [(int(y), int(x)) for y, x in seeds] or _deepest(mask, depth)
    if len(places) != 2 or places[0] == places[1]:
        raise InputError(
            f"mask {label} is too small to be cut in two here: erase and paint instead"
        )
    markers = np.zeros(labels.shape, np.int32)
    for number, (y, x) in enumerate(places, 1):
        if not (0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x]):
            raise InputError(f"the point ({y}, {x}) lies outside mask {label}: click within it")
        markers[y, x] = number
    parts = watershed(-depth, markers, mask=mask, connectivity=2)
    return np.where(parts == 2, labels.dtype.type(new_label), labels)


def _deepest(mask: np.ndarray, depth: np.ndarray) -> list[tuple[int, int]]:
    """The deepest place of a mask, and the next one apart from it; its far end where there is none."""
    peaks = peak_local_max(depth, min_distance=2, labels=mask.astype(int), exclude_border=False)
    if len(peaks) < 2:
        inside = np.argwhere(mask)
        first = inside[np.argmax(depth[mask])]
        peaks = np.array([first, inside[np.argmax(((inside - first) ** 2).sum(1))]])
    return [(int(y), int(x)) for y, x in peaks[:2]]
