"""Pairs of cells whose masks lie within reach of each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm, Data, length_px
from cyto_kedro.algorithms.tabulation.masks import (
    Masks,
    index_of,
    label_frames,
    ranges,
    read_frame,
    read_masks,
)
from cyto_kedro.errors import ConfigError, InputError

# Pixel pairs compared at once: bounds memory at some 100 MB however large the cells are.
_CHUNK = 2_000_000
# A lookup of a pixel costs about as much as comparing this many pairs.
_LOOKUP_COST = 4


class Touches(Algorithm):
    """Find every pair of cells, within and between populations, at most a distance apart.

    The distance of two masks is the smallest distance between their pixel centres minus one, at
    least 0: cells that share an edge or overlap are at 0, cells that meet at a corner at 0.41.

    The contact length is (outline pixels of a within reach of b + outline pixels of b within
    reach of a) / 2, in pixels; an outline pixel has a 4-neighbour outside its own mask, and within
    reach means at most the given distance, measured as above, from some pixel of the other mask.
    The overlap is the number of pixels in both masks (only between populations).

    Data
    ----
    ``"label"``          ``{population: (T, Y, X)}`` in the order of the assay; integer, NumPy or
                         Dask, computed frame by frame. Side a is the earlier population, or the
                         smaller label within one.
    ``"fov"``            name, copied to every row.
    ``"frame_start"``    number of the film's frame at index 0 (default 0).
    ``"pixel_size_um"``  micrometres per pixel, or None: the µm columns are then null.

    Returns ``{"dataframe": Touches}``.

    Raises
    ------
    ConfigError
        If the distance is missing, given twice, or in µm for an uncalibrated film.
    InputError
        If shapes disagree or labels are not integers.

    Notes
    -----
    Exact, by integer squared distances. Among pairs whose bounding boxes are within reach, the
    outline pixels of each cell that lie within reach of the other's box are compared all with all.
    Where cells are so large or scattered that this is the longer way, the surroundings of every
    outline pixel are looked up instead.
    """

    max_distance_um: float | None = Field(None, ge=0, description="reach in micrometres")
    max_distance_px: float | None = Field(None, ge=0, description="reach in pixels")

    def __call__(self, data: Data) -> Data:
        fov, size = str(data["fov"]), data.get("pixel_size_um")
        reach = length_px("max_distance", self.max_distance_um, self.max_distance_px, size)
        labels: dict[str, Any] = dict(data["label"])
        if not labels:
            raise ConfigError(f"field {fov!r}: touches need the labels of at least one population")
        shapes = {}
        for population, label in labels.items():
            name = f"field {fov!r}, population {population!r}"
            shapes[population] = tuple(label_frames(label, name).shape)
        if len(set(shapes.values())) > 1:
            raise InputError(
                f"field {fov!r}: the populations' labels differ in shape, {shapes}; touches are "
                "found pixel by pixel, so all must have the same frames, rows and columns"
            )
        start = int(data.get("frame_start") or 0)
        blocks = []
        for index in range(next(iter(shapes.values()))[0]):
            frames = [
                read_frame(label, index, f"field {fov!r}, {population!r}, frame {start + index}")
                for population, label in labels.items()
            ]
            found = frame_touches(frames, reach)
            found["frame"] = np.full(len(found["a"]), start + index)
            blocks.append(found)
        if not any(len(block["a"]) for block in blocks):
            return {"dataframe": schemas.empty(schemas.Touches)}
        table = pd.DataFrame({c: np.concatenate([b[c] for b in blocks]) for c in blocks[0]})
        names = np.array(list(labels), dtype=object)
        table["fov"] = fov
        table["population_a"], table["population_b"] = names[table["a"]], names[table["b"]]
        scale = np.nan if size is None else float(size)
        table["distance_um"] = table["distance_px"] * scale
        table["contact_length_um"] = table["contact_length_px"] * scale
        return {"dataframe": schemas.conform(schemas.Touches, table.drop(columns=["a", "b"]))}


@dataclass(frozen=True)
class _Outlines:
    """Outline pixels of all cells of a frame, grouped by cell in (population, label) order."""

    population: np.ndarray  # per cell
    label: np.ndarray
    start: np.ndarray  # first outline pixel of the cell
    count: np.ndarray
    box: np.ndarray  # (4, n_cells): first and last row, first and last column
    y: np.ndarray  # per outline pixel
    x: np.ndarray
    flat: np.ndarray  # its place in the padded, raveled frame


def frame_touches(frames: list[np.ndarray], reach_px: float) -> dict[str, np.ndarray]:
    """Touches in one frame.

    Parameters
    ----------
    frames
        Label frame (Y, X) of each population.
    reach_px
        Largest distance between masks.

    Returns
    -------
    columns ``a``, ``b`` (indices of the populations), ``label_a``, ``label_b``, ``distance_px``,
    ``contact_length_px``, ``overlap_px``, in order of (a, label_a, b, label_b).
    """
    masks = [read_masks(frame) for frame in frames]
    lines = _outlines(masks)
    # Centres are one pixel further apart than masks; the small term keeps sqrt(2) - 1 in reach of
    # a distance written with few digits.
    radius = reach_px + 1.0 + 1e-9
    first, second = _near_boxes(lines.box, radius)
    limit = radius * radius
    n_lookups = len(lines.flat) * len(masks) * np.pi * limit
    if _expected_pairs(lines, first, second, radius) <= _LOOKUP_COST * n_lookups:
        square, touched = _compare(lines, masks, first, second, limit)
    else:
        square, touched = _look_around(lines, masks, first, second, limit)
    overlap = _overlaps(masks, lines, first, second)
    square[overlap > 0] = 0
    near = np.flatnonzero(square <= limit)
    order = near[np.lexsort((second[near], first[near]))]
    first, second = first[order], second[order]
    return {
        "a": lines.population[first],
        "b": lines.population[second],
        "label_a": lines.label[first],
        "label_b": lines.label[second],
        "distance_px": np.maximum(np.sqrt(square[order]) - 1.0, 0.0),
        "contact_length_px": touched[order] / 2.0,
        "overlap_px": overlap[order].astype(np.float64),
    }


def _outlines(masks: list[Masks]) -> _Outlines:
    """Gather the outlines of all populations of a frame."""
    offsets = np.cumsum([0, *(len(one.labels) for one in masks)])
    cell = np.concatenate(
        [one.outline_cell + offset for one, offset in zip(masks, offsets[:-1], strict=True)]
    )
    flat = np.concatenate([one.outline for one in masks])
    y, x = np.divmod(flat, masks[0].stride)
    count = np.bincount(cell, minlength=offsets[-1])
    start = np.cumsum(count) - count
    if len(cell):
        low, high = np.minimum.reduceat, np.maximum.reduceat
        box = np.stack([low(y, start), high(y, start), low(x, start), high(x, start)])
    else:
        box = np.zeros((4, 0), np.int64)
    return _Outlines(
        population=np.repeat(np.arange(len(masks)), np.diff(offsets)),
        label=np.concatenate([one.labels for one in masks]),
        start=start,
        count=count,
        box=box,
        y=y,
        x=x,
        flat=flat,
    )


def _near_boxes(box: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of cells, smaller index first, whose boxes are at most `radius` apart in y and x."""
    order = np.argsort(box[0], kind="stable")
    y0, y1, x0, x1 = box[:, order]
    # Sweep along y: the later-starting partners of a box start before its last row + radius.
    here = np.arange(len(order))
    count = np.searchsorted(y0, y1 + radius, side="right") - here - 1
    later, one = ranges(here + 1, count)
    near = (x0[later] - x1[one] <= radius) & (x0[one] - x1[later] <= radius)
    p, q = order[one[near]], order[later[near]]
    return np.minimum(p, q), np.maximum(p, q)


def _expected_pairs(
    lines: _Outlines, first: np.ndarray, second: np.ndarray, radius: float
) -> float:
    """Rough number of pixel pairs that `_compare` will look at.

    An outline is taken to be spread evenly around its box.
    """
    pairs = np.ones(len(first))
    for own, other in ((first, second), (second, first)):
        a, b = lines.box[:, own], lines.box[:, other]
        near = np.minimum(a[1], b[1] + radius) - np.maximum(a[0], b[0] - radius) + 1
        near += np.minimum(a[3], b[3] + radius) - np.maximum(a[2], b[2] - radius) + 1
        pairs *= lines.count[own] * near / (a[1] - a[0] + a[3] - a[2] + 2)
    return float(pairs.sum())


def _compare(
    lines: _Outlines, masks: list[Masks], first: np.ndarray, second: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Smallest squared centre distance of outlines, and number of outline pixels within reach.

    Returns
    -------
    square, touched : (n_pairs,) float64
        `square` is above `limit` where no two outline pixels are within it; `touched` counts both
        sides.
    """
    square, touched = np.full(len(first), np.inf), np.zeros(len(first))
    for cut in _chunks(lines.count[first] + lines.count[second]):
        a, b = first[cut], second[cut]
        pair_a, at_a, hit_a = _close_to_box(lines, masks, a, b, limit)
        pair_b, at_b, hit_b = _close_to_box(lines, masks, b, a, limit)
        n_b = np.bincount(pair_b, minlength=len(a))
        start_b = np.cumsum(n_b) - n_b
        for part in _chunks(n_b[pair_a]):
            # Pixels of side a that have any of side b to be compared with.
            rows = part.start + np.flatnonzero(n_b[pair_a[part]])
            if len(rows) == 0:
                continue
            length = n_b[pair_a[rows]]
            other, owner = ranges(start_b[pair_a[rows]], length)
            dy = lines.y[at_a[rows]][owner] - lines.y[at_b][other]
            dx = lines.x[at_a[rows]][owner] - lines.x[at_b][other]
            distance = dy * dy + dx * dx
            hit_b[other[distance <= limit]] = True
            nearest = np.minimum.reduceat(distance, np.cumsum(length) - length)
            hit_a[rows] |= nearest <= limit
            np.minimum.at(square, cut.start + pair_a[rows], nearest)
        touched[cut] = np.bincount(pair_a, hit_a, len(a)) + np.bincount(pair_b, hit_b, len(a))
    return square, touched


def _chunks(work: np.ndarray) -> list[slice]:
    """Cut items that make `work` each into slices of about `_CHUNK`."""
    total = np.cumsum(work)
    cuts = np.searchsorted(total, np.arange(_CHUNK, total[-1] if len(total) else 0, _CHUNK))
    return [slice(a, b) for a, b in zip([0, *cuts], [*cuts, len(work)], strict=True)]


def _look_around(
    lines: _Outlines, masks: list[Masks], first: np.ndarray, second: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """The same as `_compare`, by looking up every pixel within reach of an outline pixel."""
    n, height, width = len(lines.label), *masks[0].shape
    code = first * n + second
    order = np.argsort(code)
    square, touched = np.full(len(first), np.inf), np.zeros(len(first))
    reach = int(np.sqrt(limit))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    distance = dy * dy + dx * dx
    within = distance <= limit
    cell = np.repeat(np.arange(n), lines.count)
    offsets = np.searchsorted(lines.population, np.arange(len(masks)))
    step = max(1, 10 * _CHUNK // n)
    for low in range(0, len(cell), step):
        own, y, x = cell[low : low + step], lines.y[low : low + step], lines.x[low : low + step]
        met = np.zeros((len(own), n), bool)
        for oy, ox, far in zip(dy[within], dx[within], distance[within], strict=True):
            # Beyond the image lies the background that pads it.
            at = np.clip(y + oy, 0, height + 1) * (width + 2) + np.clip(x + ox, 0, width + 1)
            for one, offset in zip(masks, offsets, strict=True):
                value = one.flat[at]
                pixel = np.flatnonzero(value)
                other = index_of(one.labels, value[pixel]) + offset
                foreign = other != own[pixel]
                pixel, other = pixel[foreign], other[foreign]
                met[pixel, other] = True
                pair = _pair_of(code, order, own[pixel], other, n)
                np.minimum.at(square, pair, far)
        pixel, other = np.nonzero(met)
        touched += np.bincount(_pair_of(code, order, own[pixel], other, n), minlength=len(first))
    return square, touched


def _pair_of(
    code: np.ndarray, order: np.ndarray, one: np.ndarray, other: np.ndarray, n: int
) -> np.ndarray:
    """Index of the pairs of cells (`one`, `other`), in any order, among `code`."""
    wanted = np.minimum(one, other) * n + np.maximum(one, other)
    return order[np.searchsorted(code, wanted, sorter=order)]


def _close_to_box(
    lines: _Outlines, masks: list[Masks], own: np.ndarray, other: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outline pixels of `own` within reach of the box of `other`, for every pair.

    Returns
    -------
    pair, pixel, inside
        Sorted by pair; `inside` says that the pixel lies in the other mask itself, where it is
        within reach although the other's outline may be far.
    """
    pixel, pair = ranges(lines.start[own], lines.count[own])
    y0, y1, x0, x1 = lines.box[:, other]
    y, x = lines.y[pixel], lines.x[pixel]
    dy = np.maximum(np.maximum(y0[pair] - y, y - y1[pair]), 0)
    dx = np.maximum(np.maximum(x0[pair] - x, x - x1[pair]), 0)
    near = dy * dy + dx * dx <= limit
    pair, pixel = pair[near], pixel[near]
    inside = np.zeros(len(pixel), bool)
    partner = other[pair]
    for population, one in enumerate(masks):
        its = np.flatnonzero(lines.population[partner] == population)
        inside[its] = one.flat[lines.flat[pixel[its]]] == lines.label[partner[its]]
    return pair, pixel, inside


def _overlaps(
    masks: list[Masks], lines: _Outlines, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Number of pixels each pair of cells has in common, (n_pairs,)."""
    n = len(lines.label)
    offsets = np.searchsorted(lines.population, np.arange(len(masks)))
    codes = []
    for p, one in enumerate(masks):
        for q in range(p + 1, len(masks)):
            both = np.flatnonzero((one.flat != 0) & (masks[q].flat != 0))
            a = index_of(one.labels, one.flat[both]) + offsets[p]
            b = index_of(masks[q].labels, masks[q].flat[both]) + offsets[q]
            codes.append(a * n + b)
    if not codes or len(first) == 0:
        return np.zeros(len(first), np.int64)
    code, count = np.unique(np.concatenate(codes), return_counts=True)
    if len(code) == 0:
        return np.zeros(len(first), np.int64)
    at = np.minimum(np.searchsorted(code, first * n + second), len(code) - 1)
    return np.where(code[at] == first * n + second, count[at], 0)
