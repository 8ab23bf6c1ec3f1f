"""From a foreground mask to one label per cell: seeds, watershed, edges at half height."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from cyto_kedro.algorithms.segmentation.cleanup import fill_holes, fill_label_holes, largest_parts
from cyto_kedro.algorithms.segmentation.packing import Packing, flood
from cyto_kedro.algorithms.segmentation.packing import depth as depth_of
from cyto_kedro.algorithms.segmentation.scale import wide_gaussian
from cyto_kedro.core import ndi

_BAND_PX = 2**19  # pixels reconstructed together by `high_maxima`
_HIGHEST_EDGE = 0.75  # of a cell's height


def split_touching(
    image: np.ndarray,
    mask: np.ndarray,
    diameter: float,
    background: float,
    noise: float,
    depth: float = 0.07,
    intensity_weight: float = 0.5,
) -> np.ndarray:
    """Split `mask` (Y, X) into cells by a watershed; int32 labels.

    The surface is the distance to the mask's edge in units of the typical radius, plus
    `intensity_weight` times the local contrast ``(narrow - wide) / (wide - background)`` of two
    Gaussian means (0.2 and 0.5 diameters). Seeds are its h-maxima with h = `depth`
    (Soille 2003, Morphological Image Analysis, 6.3.4).
    """
    from skimage.measure import label as components

    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    part = components(mask, connectivity=2)
    packing = Packing.of(mask, part)
    distance = depth_of(mask, part, packing).astype(np.float32)
    surface = ndi.gaussian_filter(np.minimum(2 * distance / diameter, 1.0), 0.05 * diameter)
    if intensity_weight:
        narrow = ndi.gaussian_filter(image, 0.2 * diameter)
        wide = wide_gaussian(image, 0.5 * diameter)
        scale = np.maximum(wide - background, max(noise, 1e-9))
        surface += intensity_weight * np.clip((narrow - wide) / scale, -1, 1)
    surface = np.where(mask, surface, surface.min())
    seeds = components(high_maxima(surface, depth, part, packing) & mask)
    return flood(-surface, seeds, mask, packing)


def high_maxima(
    surface: np.ndarray,
    depth: float,
    part: np.ndarray | None = None,
    packing: Packing | None = None,
) -> np.ndarray:
    """Mask (Y, X) of the h-maxima of `surface`, h = `depth`; equal to 6 decimals is equal.

    A part with one top has one: what is at most `depth` below. For others reconstruction sorts all
    pixels: those at the lowest value, which no maximum holds, are left out, and those further down than
    `depth` below the lowest top of their part. It needs 80 bytes a pixel, so it sees bands of rows,
    between which there is nothing. `part`: (Y, X) connected parts that hold all that is above the lowest
    value, from 1, and their `packing`, where they are known.
    """
    from skimage.measure import label as components
    from skimage.morphology import local_maxima

    lowest = surface.min()
    if part is None or packing is None:
        part = components(surface > lowest, connectivity=2)
        packing = Packing.of(part > 0, part)
    small, part = packing.pack(surface, lowest), packing.pack(part, 0)
    floor = min(lowest, small.max() - depth)  # what bands would learn of each other
    tops = components(local_maxima(small))
    at = np.flatnonzero(tops)
    _, first = np.unique(tops.ravel()[at], return_index=True)
    of = part.ravel()[at[first]]
    height = np.zeros(int(part.max()) + 1)
    height[of] = small.ravel()[at[first]]
    single = np.bincount(of, minlength=height.size) == 1
    single[0] = False
    level = np.round(np.maximum(height - depth, floor), 6)
    single_high = single & (level > np.round(lowest, 6))
    high = single_high[part] & (np.round(small, 6) >= level[part])
    lowest_top = np.full(height.size, np.inf)
    np.minimum.at(lowest_top, of, small.ravel()[at[first]])
    least = np.maximum(lowest_top - depth - 1e-5, lowest)
    several = (part > 0) & ~single[part] & (small > least[part])
    if several.any():
        inner = Packing.of(several)
        found = _reconstructed(inner.pack(small, lowest), lowest, floor, depth)
        high = inner.unpack(found, high)
    return packing.unpack(high, np.zeros(surface.shape, bool))


def _reconstructed(small: np.ndarray, lowest: float, floor: float, depth: float) -> np.ndarray:
    from skimage.morphology import local_maxima, reconstruction

    high = np.zeros(small.shape, bool)
    free = np.flatnonzero((small == lowest).all(1))
    step = max(_BAND_PX // small.shape[1], 1)
    cuts = free[np.searchsorted(free, np.arange(free[0], free[-1], step))]
    for top, bottom in pairwise(np.unique(np.r_[cuts, len(small) - 1])):
        band = small[top : bottom + 1]
        domes = reconstruction(np.maximum(band - depth, floor), band, "dilation")
        high[top:bottom] = local_maxima(np.round(domes, 6))[:-1]
    return high


def trim_to_height(
    image: np.ndarray,
    label: np.ndarray,
    background: float,
    fraction: float,
    core: np.ndarray | None = None,
    common: float = 0.0,
    threshold: float = 0.0,
) -> np.ndarray:
    """Keep of each cell what is brighter than `fraction` of its median above background.

    The median is over the cell's pixels in `core` (the same labels, smaller; default `label`). With
    `common` over 0 the level is ``own ** (1 - common) * threshold ** common``, both above background,
    but at most 0.75 of the cell's median, or cells far below the threshold would vanish.

    One threshold for all makes bright cells too large: blur spreads them. At half of its own height
    a blurred edge lies where the true edge was.
    """
    count = int(label.max())
    if count == 0:
        return label
    core = label if core is None else core
    inside = core > 0
    height = medians(image[inside], core[inside], count)
    level = fraction * (height - background)
    if common:
        level = np.maximum(level, 0) ** (1 - common) * threshold**common
        level = np.minimum(level, _HIGHEST_EDGE * (height - background))
    inside = label > 0
    number = label[inside]
    kept = np.zeros_like(label)
    kept[inside] = np.where(image[inside] - background >= level[number], number, 0)
    return fill_label_holes(largest_parts(kept))


def medians(values: np.ndarray, number: np.ndarray, count: int) -> np.ndarray:
    """Median of `values` (n,) by `number` (n,), 0 to `count`; 0 where there is none."""
    # whole numbers sort ten times as fast: a float's bits, in its order, after its number
    bits = np.ascontiguousarray(values, np.float32).view(np.int32).astype(np.int64)
    bits = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits) + 2**31
    sorted_ = np.sort((number.astype(np.int64) << 32) + bits)
    bits = (sorted_ & 0xFFFFFFFF) - 2**31
    bits = np.where(bits < 0, -bits - 2**31, bits)
    ordered = bits.astype(np.int32).view(np.float32)
    size = np.bincount(number, minlength=count + 1)
    first = np.cumsum(size) - size
    some = size > 0
    found = np.zeros(count + 1)
    low, high = (first + (size - 1) // 2)[some], (first + size // 2)[some]
    found[some] = (ordered[low] + ordered[high]) / 2
    return found


def cut_by_distance(
    label: np.ndarray, diameter: float, depth: float = 0.07
) -> tuple[np.ndarray, np.ndarray]:
    """Parts of each label, cut where it is narrow: a watershed of the distance to its edge.

    Seeds are the h-maxima of the distance in units of the typical radius, h = `depth`. Holes do not
    count as edges, borders with other labels do.

    Returns
    -------
    part
        (Y, X) int32, numbered from 0; part 0 is the background if there is any.
    owner
        By part: the label it was cut from.
    """
    from skimage.measure import label as components

    inside = label > 0
    surface, seeds = np.zeros(label.shape), np.zeros(label.shape, bool)
    # as far as a Gaussian of SciPy's looks, and a pixel
    for packing in Packing.apart(inside, int(4 * 0.05 * diameter + 0.5) + 1):
        height, high = _heights(packing.pack(label, 0), diameter, depth)
        packing.unpack(height, surface)
        packing.unpack(high, seeds)
    part = flood(-surface, components(seeds), inside)
    count = int(label.max()) + 1
    first = 0 if inside.all() else 1  # part 0 is the background
    codes, number = np.unique(part[inside] * np.int64(count) + label[inside], return_inverse=True)
    part[inside] = number + first
    return part, np.r_[[0] * first, codes % count]


def _heights(label: np.ndarray, diameter: float, depth: float) -> tuple[np.ndarray, np.ndarray]:
    """Distance (Y, X) of each pixel of labels to their edge, smoothed, and where it is highest."""
    inside = label > 0
    same = (ndi.minimum_filter(label, 3) == label) & (ndi.maximum_filter(label, 3) == label)
    holes = fill_holes(inside, np.inf)
    surface = depth_of((same & inside) | (holes & ~inside))
    surface = ndi.gaussian_filter(2 * surface / diameter, 0.05 * diameter)
    return surface, high_maxima(surface, depth) & inside
