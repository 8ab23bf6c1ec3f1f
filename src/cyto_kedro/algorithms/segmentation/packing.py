"""The few pixels of a frame that a slow filter needs, moved together into a smaller image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cyto_kedro.core import ndi

_STRIP_PX = 2**20  # pixels looked at together by `within`
_NEAR_PX = 16  # up to here `within` moves the mask about, beyond it distances are made


@dataclass(frozen=True)
class Packing:
    """Where each pixel of a mask lies in a smaller image that holds the mask's connected parts.

    Parts (corner-sharing pixels) keep their form and are set apart by at least one pixel, in rows
    of falling height. What looks at no more than neighbours, or no further than its own part, gives
    the same in the small image as in the frame; its cost is that of the parts' bounding boxes.
    """

    #: (Y, X) bool; the frame's pixels that are packed
    mask: np.ndarray
    #: (n,) int64; their flat index in the small image, in raster order of the frame
    at: np.ndarray
    #: height and width of the small image
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: np.ndarray, number: np.ndarray | None = None) -> Packing:
        """Pack `mask` (Y, X); as it is, with a rim, where packing would not make it smaller.

        `number`: (Y, X) its connected parts, from 1, where they are known.
        """
        from skimage.measure import label as components

        y, x = np.nonzero(mask)
        frame_shape = mask.shape[0] + 2, mask.shape[1] + 2
        if not y.size:
            return cls(mask, y, (3, 3))
        parts = components(mask, connectivity=2) if number is None else number
        number = parts[y, x] - 1
        count = int(number.max()) + 1
        top, left = np.full(count, mask.shape[0]), np.full(count, mask.shape[1])
        bottom, right = np.zeros(count, np.int64), np.zeros(count, np.int64)
        np.minimum.at(top, number, y)
        np.minimum.at(left, number, x)
        np.maximum.at(bottom, number, y)
        np.maximum.at(right, number, x)
        new_top, new_left, shape = _shelves(bottom - top + 2, right - left + 2)  # with a gap
        if shape[0] * shape[1] >= frame_shape[0] * frame_shape[1]:
            return cls(mask, (y + 1) * frame_shape[1] + x + 1, frame_shape)
        new_y, new_x = y + (new_top - top)[number], x + (new_left - left)[number]
        return cls(mask, new_y * shape[1] + new_x, shape)

    @classmethod
    def apart(cls, mask: np.ndarray, reach: int) -> list[Packing]:
        """Packings of `mask` (Y, X) with all within `reach` pixels of it, along rows and columns.

        What is further than twice that apart is apart in them. Parts at an edge or a corner of the frame
        lie at that of the small image: so what looks `reach` pixels far, mirrors the edge or takes it
        for no edge, gives the same as in the frame. A part at two opposite edges is alone.
        """
        from skimage.measure import label as components

        number = components(ndi.maximum_filter(mask, 2 * reach + 1), connectivity=2)
        boxes = np.array([[(s.start, s.stop) for s in box] for box in ndi.find_objects(number)])
        if not len(boxes):
            return []
        side = (boxes[:, :, 1] == mask.shape) * 1 - (boxes[:, :, 0] == 0)  # -1, 0 or 1 by axis
        size = boxes[:, :, 1] - boxes[:, :, 0]
        _, corner = np.unique(side, axis=0, return_index=True)
        fits = (side == 0).any(1)
        fits[corner] = True  # the first at each
        fits &= (size < mask.shape).all(1)
        y, x = np.nonzero(number)
        part = number[y, x] - 1
        begin, shape = _laid_out(size[fits], side[fits])
        if shape[0] * shape[1] >= mask.size:
            return [cls(number > 0, y * mask.shape[1] + x, mask.shape)]
        first = np.zeros((len(boxes), 2), np.int64)
        first[fits] = begin
        new_y, new_x = np.stack([y, x]) + (first - boxes[:, :, 0])[part].T
        at = new_y * shape[1] + new_x
        if fits.all():
            return [cls(number > 0, at, shape)]
        together = fits[part]
        found = [cls(np.append(False, fits)[number], at[together], shape)] if fits.any() else []
        for each in np.flatnonzero(~fits):
            own, (height, width) = part == each, size[each].tolist()
            at = (y[own] - boxes[each, 0, 0]) * width + x[own] - boxes[each, 1, 0]
            found.append(cls(number == each + 1, at, (height, width)))
        return found

    def pack(self, image: np.ndarray, fill: float) -> np.ndarray:
        """The small image of `image` (Y, X), with `fill` between the parts."""
        small = np.full(self.shape, fill, image.dtype)
        small.ravel()[self.at] = image[self.mask]
        return small

    def unpack(self, small: np.ndarray, into: np.ndarray) -> np.ndarray:
        """`into` (Y, X), changed: its masked pixels as in `small`."""
        into[self.mask] = small.ravel()[self.at]
        return into


def _shelves(
    height: np.ndarray, width: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Tops and lefts of boxes in rows of falling height, and the size of what holds them with a rim."""
    order = np.argsort(-height, kind="stable")
    length = max(int(np.sqrt((height * width).sum())), 1)
    start = np.cumsum(width[order]) - width[order]
    row = start // length
    first = np.flatnonzero(np.diff(row, prepend=-1))  # the highest part of each row
    rows = height[order][first]
    row_top = np.zeros(int(row[-1]) + 1, np.int64)
    row_top[row[first]] = np.cumsum(rows) - rows
    top, left = np.empty(len(height), np.int64), np.empty(len(height), np.int64)
    top[order], left[order] = row_top[row] + 1, start - row * length + 1
    return top, left, (int(rows.sum()) + 1, int(length + width.max()) + 1)


def _laid_out(size: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Begin (n, 2) of boxes of `size` (n, 2), and the size of what holds them a pixel apart.

    `side`, by axis: -1 at the first edge, 1 at the last, 0 at none.
    """
    begin = np.zeros(size.shape, np.int64)
    inner = (side == 0).all(1)
    middle = [0, 0]  # height and width between what lies at the edges
    if inner.any():
        begin[inner, 0], begin[inner, 1], (middle[0], middle[1]) = _shelves(*(size[inner] + 1).T)
    margin = np.zeros((2, 2), np.int64)  # axis, end: what lies at the edge is this thick at most
    for axis in (0, 1):
        for end, at in enumerate((-1, 1)):
            margin[axis, end] = (size[side[:, axis] == at, axis] + 1).max(initial=0)
            along = (side[:, axis] == at) & (side[:, 1 - axis] == 0)
            step = size[along, 1 - axis] + 1
            begin[along, 1 - axis] = np.cumsum(step) - step
            middle[1 - axis] = max(middle[1 - axis], int(step.sum()))
    shape = np.array(middle) + margin.sum(1)
    begin += np.where(side == 0, margin[:, 0], np.where(side == 1, shape - size, 0))
    return begin, (int(shape[0]), int(shape[1]))


def flood(
    image: np.ndarray, seeds: np.ndarray, mask: np.ndarray, packing: Packing | None = None
) -> np.ndarray:
    """Watershed of `image` (Y, X) from `seeds` in `mask`, as skimage's: (Y, X), int32 labels.

    Parts that do not touch flood alone, so they may lie anywhere: only masked pixels cost. `packing`: of
    `mask`, where it is known.
    """
    from skimage.segmentation import watershed

    packing = packing or Packing.of(mask)
    seeds = packing.pack(seeds.astype(np.int32, copy=False), 0)
    mask = packing.pack(mask, False)
    flooded = watershed(packing.pack(image, 0), seeds, mask=mask)
    return packing.unpack(flooded, np.zeros(packing.mask.shape, np.int32))


def edge_parts(number: np.ndarray) -> np.ndarray:
    """By number, from 0 (no part), whether a part of `number` (Y, X) reaches the image's edge."""
    found = np.zeros(int(number.max()) + 1, bool)
    for edge in (number[0], number[-1], number[:, 0], number[:, -1]):
        found[edge] = True
    found[0] = False
    return found


def within(mask: np.ndarray, distance: float) -> np.ndarray:
    """(Y, X) bool: pixels at most `distance` from the nearest of `mask` (Y, X); none without one."""
    reach = int(distance) + 1
    if reach <= _NEAR_PX:
        return _spread(mask, distance)
    rows = max(_STRIP_PX // mask.shape[1], reach, 1)
    near = np.zeros(mask.shape, bool)
    for top in range(0, len(mask), rows):
        first = max(top - reach, 0)
        strip = mask[first : top + rows + reach]
        if strip.any():
            found = ndi.distance_transform_edt(~strip) <= distance
            near[top : top + rows] = found[top - first :][:rows]
    return near


def _spread(mask: np.ndarray, distance: float) -> np.ndarray:
    """`within`, row by row of the disc: `mask` grown along x by what the disc has there."""
    height, width = mask.shape
    near, wide, grown = mask.copy(), mask.copy(), 0
    for down in range(int(distance), -1, -1):
        reach = int(np.sqrt(float(distance) ** 2 - down**2))
        while np.sqrt(float((reach + 1) ** 2 + down**2)) <= distance:
            reach += 1  # as a distance is rounded
        for step in range(grown + 1, min(reach, width - 1) + 1):
            wide[:, step:] |= mask[:, :-step]
            wide[:, :-step] |= mask[:, step:]
        grown = max(grown, reach)
        if down < height:
            near[down:] |= wide[: height - down]
            near[: height - down] |= wide[down:]
    return near


def depth(
    mask: np.ndarray, number: np.ndarray | None = None, packing: Packing | None = None
) -> np.ndarray:
    """(Y, X) float64 distance of each pixel of `mask` (Y, X) from the nearest outside of it.

    SciPy's values, for pixels of the mask alone. What is nearest borders on a pixel's own part, so
    parts are packed; those at the edge of the image, which is no outside, are looked at where they lie.
    `number`: (Y, X) the parts of `mask`, from 1, and their `packing`, where they are known.
    """
    from skimage.measure import label as components

    if mask.all():
        return np.asarray(ndi.distance_transform_edt(mask))
    number = components(mask, connectivity=2) if number is None else number
    packing = packing or Packing.of(mask, number)
    far = np.zeros(mask.shape)
    packing.unpack(ndi.distance_transform_edt(packing.pack(mask, False)), far)
    at_edge = edge_parts(number)
    for part, box in enumerate(ndi.find_objects(number), 1):
        if at_edge[part]:
            around = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
            own = number[around] == part
            far[around][own] = ndi.distance_transform_edt(own)[own]
    return far
