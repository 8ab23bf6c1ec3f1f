"""One row per cell per frame: position, shape, and intensity in every channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_serializer, field_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.preprocessing.filmed import filmed

# Imported so that their groups are known by name.
from cyto_kedro.algorithms.tabulation import intensity as _intensity  # noqa: F401
from cyto_kedro.algorithms.tabulation import polygon as _polygon  # noqa: F401
from cyto_kedro.algorithms.tabulation import texture as _texture  # noqa: F401
from cyto_kedro.algorithms.tabulation.columns import MeasuredCells
from cyto_kedro.algorithms.tabulation.frame import SMALL, FrameCells, ratio_of
from cyto_kedro.algorithms.tabulation.groups import FeatureGroup, make_groups
from cyto_kedro.algorithms.tabulation.hull import hull_measures
from cyto_kedro.algorithms.tabulation.masks import read_frame, read_masks, spans
from cyto_kedro.core import ndi
from cyto_kedro.core.contract import Images, Label, Stack
from cyto_kedro.errors import ConfigError, InputError


class Features(Algorithm):
    """Measure every cell of every frame.

    The table has ``<channel>_<stat>`` for every channel and stat, and the columns of `groups`. Shape
    measures are defined as in `skimage.measure.regionprops` (perimeter: Benkrid & Crookes,
    4-neighbourhood; ellipse: second central moments). `<channel>_sd` divides by n. `groups` adds what
    costs more: `Quantiles`, `LocalBackground`, `Rim`, `MassOffset`, `Haralick`, `Polygon`.

    Raises
    ------
    InputError
        If shapes disagree, labels are not integers, or a pixel within a cell is not finite.
    ConfigError
        If a group names an unknown channel, or a length in µm for an uncalibrated film, or if two
        make the same column.

    Examples
    --------
    >>> label = np.zeros((1, 9, 9), np.uint32)
    >>> label[0, 3:6, 3:7] = 1
    >>> image = {"PI": np.full((1, 9, 9), 5.0)}
    >>> features = Features(groups=[{"name": "Rim", "args": {"depth_px": 1}}])
    >>> cells = features(label=label, image=image)["cells"]
    >>> cells[["label", "y_px", "x_px", "area_px", "PI_mean", "PI_rim_ratio"]].values.tolist()
    [[1.0, 4.0, 4.5, 12.0, 5.0, 1.0]]
    """

    version: ClassVar[int] = 4

    groups: tuple[FeatureGroup, ...] = Field(
        default=(), description="further groups of features, each `{name: ..., args: {...}}`"
    )

    @field_validator("groups", mode="before")
    @classmethod
    def _made(cls, value: Any) -> tuple[FeatureGroup, ...]:
        return make_groups(value)

    @field_serializer("groups")
    def _named(self, groups: tuple[FeatureGroup, ...]) -> list[dict[str, Any]]:
        return [
            {
                "name": type(each).__name__,
                "args": each.model_dump(mode="json"),
                "version": each.version,
            }
            for each in groups
        ]

    def run(
        self,
        label: Label,
        image: Images | None = None,
        fov: str = "fov1",
        population: str = "cells",
        frame_start: int = 0,
        pixel_size_um: float | None = None,
        time_min: Sequence[float] | None = None,
        filmed_yx: np.ndarray | None = None,
        valid: np.ndarray | None = None,
    ) -> MeasuredCells:
        """Measure the cells of `label`, frame by frame.

        Parameters
        ----------
        image
            Measurement images.
        time_min
            (T,) minutes from the film's start.
        filmed_yx
            (T, 4) y0, y1, x0, x1, ends not included: the part of each frame that was not moved in from
            outside by registration; None: all of it.
        valid
            (Y, X) or (T, Y, X) bool: which pixels were filmed at all; None: it is looked for. A cell
            that reaches the others is at the border; backgrounds are taken from filmed pixels.
        """
        name, start, size, times = (
            f"field {fov!r}, population {population!r}",
            frame_start,
            pixel_size_um,
            time_min,
        )
        images: dict[str, Stack] = dict(image or {})
        for channel, stack in images.items():
            if tuple(stack.shape) != tuple(label.shape):
                raise InputError(
                    f"{name}: channel {channel!r} has shape {tuple(stack.shape)}, the labels "
                    f"{tuple(label.shape)}; a cell is measured where its mask lies, so both must "
                    "have the same frames, rows and columns"
                )
        if times is not None and len(times) != len(label):
            raise InputError(f"{name}: {len(times)} times for {len(label)} frames of labels")

        everything = [0, label.shape[1], 0, label.shape[2]]
        region = np.tile(everything, (len(label), 1)) if filmed_yx is None else filmed_yx
        # glibc hands freed arrays back to the system and takes them anew, page by page, at every
        # frame: a quarter of the time. Freeing one large block, never touched, stops it.
        np.empty(16 << 20, np.uint8)
        blocks: list[dict[str, np.ndarray]] = []
        for index in range(len(label)):
            where = f"{name}, frame {start + index}"
            masks = read_masks(read_frame(label, index, where))
            n = len(masks.labels)
            if n == 0:
                continue
            seen = {channel: np.asarray(stack[index]) for channel, stack in images.items()}
            told = valid if valid is None or valid.ndim == 2 else valid[index]
            cells = FrameCells(masks, seen, where, size, shown_in(seen, told))
            columns = self.measure(cells, region[index])
            columns["frame"] = np.full(n, start + index)
            columns["time_min"] = np.full(n, np.nan if times is None else float(times[index]))
            blocks.append(columns)
        if not blocks:  # the columns of a frame without cells
            nothing = np.zeros((1, 1), np.uint8)
            none = FrameCells(read_masks(nothing), dict.fromkeys(images, nothing), name, size)
            blocks.append(
                {
                    **self.measure(none, everything),
                    "frame": np.zeros(0, int),
                    "time_min": np.zeros(0),
                }
            )
        columns = {each: np.concatenate([b[each] for b in blocks]) for each in blocks[0]}
        n, scale = len(columns["label"]), np.nan if size is None else float(size)
        columns |= {"fov": np.full(n, fov, object), "population": np.full(n, population, object)}
        columns |= {"x_um": columns["x_px"] * scale, "y_um": columns["y_px"] * scale}
        columns["area_um2"] = columns["area_px"] * scale**2
        columns["perimeter_um"] = columns["perimeter_px"] * scale
        return {"cells": schemas.from_columns(schemas.Cells, columns)}

    def measure(self, cells: FrameCells, filmed: Sequence[int]) -> dict[str, np.ndarray]:
        """All columns of one frame, pixel ones only."""
        columns = shape_measures(cells)
        columns["on_border"] = _reaches(columns, filmed) | _beside_unfilmed(cells)
        for channel in cells.images:
            stats = intensity_measures(cells, channel)
            columns |= {f"{channel}_{stat}": stats[stat] for stat in schemas.STATS}
        for group in self.groups:
            found = group.measure(cells)
            if twice := columns.keys() & found.keys():
                raise ConfigError(
                    f"feature group {type(group).__name__} would write over {sorted(twice)}, which "
                    "is there already: name each group once for a channel"
                )
            columns |= {name: column.astype(np.float64) for name, column in found.items()}
        return columns


def _reaches(columns: dict[str, np.ndarray], region: Sequence[int]) -> np.ndarray:
    """Whether each bounding box touches the edge of `region` (y0, y1, x0, x1) or goes beyond."""
    y0, y1, x0, x1 = region
    starts = (columns["bbox_y0_px"] <= y0) | (columns["bbox_x0_px"] <= x0)
    return starts | (columns["bbox_y1_px"] >= y1) | (columns["bbox_x1_px"] >= x1)


def shown_in(images: Mapping[str, np.ndarray], valid: np.ndarray | None) -> dict[str, np.ndarray]:
    """Which pixels (Y, X) were filmed, of the channels where it is not all of them.

    It is `valid` for all of them, or looked for in each.
    """
    masks = {name: filmed(image) if valid is None else valid for name, image in images.items()}
    return {name: mask for name, mask in masks.items() if not mask.all()}


def _beside_unfilmed(cells: FrameCells) -> np.ndarray:
    """(n,) bool: cells with a pixel that was not filmed in some channel, or beside one."""
    beside = np.zeros(len(cells), bool)
    for mask in cells.filmed.values():
        near = ndi.binary_dilation(~mask, np.ones((3, 3), bool)).ravel()[cells.pixels]
        beside[cells.owner[near]] = True
    return beside


def shape_measures(cells: FrameCells) -> dict[str, np.ndarray]:
    """Label, position, bounding box and shape of every cell of a frame, in pixels."""
    masks = cells.masks
    n = len(masks.labels)
    cell, y, a, b = masks.run_cell, masks.run_y, masks.run_x0, masks.run_x1
    first, last = spans(cell)
    y0, y1 = y[first], y[last]
    x0, x1 = np.minimum.reduceat(a, first), np.maximum.reduceat(b, first)

    # Moments from runs, relative to the bounding box: sums of integers, exact in float64.
    y, a, b = y - y0[cell], a - x0[cell], b - x0[cell]
    length = b - a + 1
    sum_x = length * (a + b) // 2
    sum_xx = (b * (b + 1) * (2 * b + 1) - (a - 1) * a * (2 * a - 1)) // 6
    sum_y = length * y
    area, sx, sy, sum_xx, sum_yy, sum_xy = (
        np.add.reduceat(each, first).astype(np.float64)
        for each in (length, sum_x, sum_y, sum_xx, sum_y * y, sum_x * y)
    )
    xx = (area * sum_xx - sx * sx) / area**2
    yy = (area * sum_yy - sy * sy) / area**2
    xy = (area * sum_xy - sx * sy) / area**2

    half_trace, root = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    major, minor = half_trace + root, np.maximum(half_trace - root, 0.0)
    ratio = np.divide(minor, major, out=np.ones(n), where=major > 0)
    tilted = 0.5 * np.arctan2(2 * xy, yy - xx)
    # For xx == yy the angle is ±45°; a mask without direction gets -45°, as in scikit-image.
    orientation = np.where(xx == yy, np.where(xy > 0, np.pi / 4, -np.pi / 4), tilted)

    hull, outlines = hull_measures(masks), cells.outlines
    perimeter, long_axis = outlines.perimeter_px, 4 * np.sqrt(major)
    return {
        "label": masks.labels,
        "x_px": x0 + sx / area,
        "y_px": y0 + sy / area,
        "bbox_y0_px": y0,
        "bbox_x0_px": x0,
        "bbox_y1_px": y1 + 1,
        "bbox_x1_px": x1 + 1,
        "area_px": area,
        "perimeter_px": perimeter,
        "major_axis_px": long_axis,
        "minor_axis_px": 4 * np.sqrt(minor),
        "eccentricity": np.sqrt(1 - ratio),
        "orientation_rad": orientation,
        "solidity": area / hull.area_px,
        "feret_px": hull.feret_px,
        "feret_min_px": hull.feret_min_px,
        "extent": area / ((y1 - y0 + 1) * (x1 - x0 + 1)),
        "circularity": ratio_of(4 * np.pi * area, perimeter**2),
        "roundness": ratio_of(4 * area, np.pi * long_axis**2),
        "convexity": hull.perimeter_px / outlines.contour_px,
    }


def intensity_measures(cells: FrameCells, channel: str) -> dict[str, np.ndarray]:
    """Sum, mean, median, sd (over n), min and max of every cell in `channel`.

    Raises InputError if a value within a cell is not finite.
    """
    total, values, ordered = cells.total(channel), cells.values(channel), cells.ordered(channel)
    start, count = cells.start, cells.count
    if values.dtype in SMALL and count.max(initial=0) < 46_000:
        # Sums of squares in whole numbers that fit 63 bits: no rounding.
        square = values.astype(np.uint32)
        square *= square
        squares = np.add.reduceat(square, start, dtype=np.int64)
        sd = np.sqrt(count * squares - total.astype(np.int64) ** 2) / count
    else:
        deviation = np.repeat(total / count, count)
        np.subtract(values, deviation, out=deviation)
        deviation *= deviation
        sd = np.sqrt(np.add.reduceat(deviation, start) / count)
    least, low, high, most = (
        ordered[at].astype(np.float64)
        for at in (start, start + (count - 1) // 2, start + count // 2, start + count - 1)
    )
    return {
        "sum": total,
        "mean": total / count,
        "median": low + (high - low) / 2,
        "sd": sd,
        "min": least,
        "max": most,
    }
