"""One row per cell per frame: position, shape, and intensity in every channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.tabulation.hull import hull_measures
from cyto_kedro.algorithms.tabulation.masks import (
    Masks,
    label_frames,
    ranges,
    read_frame,
    read_masks,
)
from cyto_kedro.errors import InputError

_ROOT2 = float(np.sqrt(2.0))
# Weight of an outline pixel by 1 + 2 * (4-neighbours on the outline) + 10 * (diagonal ones).
_PERIMETER_WEIGHTS = np.zeros(50)
_PERIMETER_WEIGHTS[[5, 7, 15, 17, 25, 27]] = 1.0
_PERIMETER_WEIGHTS[[21, 33]] = _ROOT2
_PERIMETER_WEIGHTS[[13, 23]] = (1.0 + _ROOT2) / 2.0


class Features(Algorithm):
    """Measure every cell of every frame.

    Data
    ----
    ``"label"``          (T, Y, X) integer, background 0; NumPy or Dask, computed frame by frame.
    ``"image"``          ``{channel: (T, Y, X)}``, measurement images; may be empty.
    ``"fov"``, ``"population"``   names, copied to every row.
    ``"frame_start"``    number of the film's frame at index 0 (default 0).
    ``"pixel_size_um"``  micrometres per pixel, or None: the µm columns are then null.
    ``"time_min"``       (T,) minutes from the film's start, or None: `time_min` is then null.

    Returns ``{"dataframe": Cells}`` with ``<channel>_<stat>`` for every channel and stat.

    Shape measures are defined as in `skimage.measure.regionprops` (perimeter: Benkrid & Crookes,
    4-neighbourhood; ellipse: second central moments). `<channel>_sd` divides by n.

    Raises
    ------
    InputError
        If shapes disagree, labels are not integers, or a pixel within a cell is not finite.
    """

    def __call__(self, data: Data) -> Data:
        fov, population = str(data["fov"]), str(data["population"])
        name = f"field {fov!r}, population {population!r}"
        label = label_frames(data["label"], name)
        images: dict[str, Any] = dict(data.get("image") or {})
        for channel, image in images.items():
            if tuple(image.shape) != tuple(label.shape):
                raise InputError(
                    f"{name}: channel {channel!r} has shape {tuple(image.shape)}, the labels "
                    f"{tuple(label.shape)}; a cell is measured where its mask lies, so both must "
                    "have the same frames, rows and columns"
                )
        start, size = int(data.get("frame_start") or 0), data.get("pixel_size_um")
        times = data.get("time_min")
        if times is not None and len(times) != len(label):
            raise InputError(f"{name}: {len(times)} times for {len(label)} frames of labels")

        blocks: list[dict[str, np.ndarray]] = []
        for index in range(len(label)):
            where = f"{name}, frame {start + index}"
            frame = read_frame(label, index, where)
            masks = read_masks(frame)
            if len(masks.labels) == 0:
                continue
            columns = shape_measures(masks)
            inside = cell_pixels(masks) if images else None
            for channel, image in images.items():
                values = np.asarray(image[index]).ravel()[inside]
                place = f"{where}, channel {channel!r}"
                stats = intensity_measures(values, columns["area_px"].astype(np.int64), place)
                columns |= {f"{channel}_{stat}": stats[stat] for stat in schemas.STATS}
            n = len(masks.labels)
            columns["frame"] = np.full(n, start + index)
            time = np.nan if times is None else float(times[index])
            columns["time_min"] = np.full(n, time)
            blocks.append(columns)
        if not blocks:
            table = schemas.empty(schemas.Cells)
            for channel in images:
                for stat in schemas.STATS:
                    table[f"{channel}_{stat}"] = np.zeros(0)
            return {"dataframe": table}
        table = pd.DataFrame({c: np.concatenate([b[c] for b in blocks]) for c in blocks[0]})
        scale = np.nan if size is None else float(size)
        table["fov"], table["population"] = fov, population
        table["x_um"], table["y_um"] = table["x_px"] * scale, table["y_px"] * scale
        table["area_um2"] = table["area_px"] * scale**2
        table["perimeter_um"] = table["perimeter_px"] * scale
        return {"dataframe": schemas.conform(schemas.Cells, table)}


def cell_pixels(masks: Masks) -> np.ndarray:
    """Indices of all cell pixels in the raveled frame, grouped by cell."""
    start = masks.run_y * masks.shape[1] + masks.run_x0
    return ranges(start, masks.run_x1 - masks.run_x0 + 1)[0]


def shape_measures(masks: Masks) -> dict[str, np.ndarray]:
    """Label, position, bounding box and shape of every cell of a frame, in pixels."""
    n = len(masks.labels)
    cell, y, a, b = masks.run_cell, masks.run_y, masks.run_x0, masks.run_x1
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    last = np.append(first[1:], len(cell)) - 1
    y0, y1 = y[first], y[last]
    x0, x1 = np.minimum.reduceat(a, first), np.maximum.reduceat(b, first)

    # Moments from runs, relative to the bounding box: sums of integers, exact in float64.
    y, a, b = y - y0[cell], a - x0[cell], b - x0[cell]
    length = b - a + 1
    sum_x = length * (a + b) // 2
    sum_xx = (b * (b + 1) * (2 * b + 1) - (a - 1) * a * (2 * a - 1)) // 6
    area = np.bincount(cell, length, n)
    sx, sy = np.bincount(cell, sum_x, n), np.bincount(cell, length * y, n)
    xx = (area * np.bincount(cell, sum_xx, n) - sx * sx) / area**2
    yy = (area * np.bincount(cell, length * y * y, n) - sy * sy) / area**2
    xy = (area * np.bincount(cell, sum_x * y, n) - sx * sy) / area**2

    half_trace, root = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    major, minor = half_trace + root, np.maximum(half_trace - root, 0.0)
    ratio = np.divide(minor, major, out=np.ones(n), where=major > 0)
    tilted = 0.5 * np.arctan2(2 * xy, yy - xx)
    # For xx == yy the angle is ±45°; a mask without direction gets -45°, as in scikit-image.
    orientation = np.where(xx == yy, np.where(xy > 0, np.pi / 4, -np.pi / 4), tilted)

    hull_area, feret, *_ = hull_measures(masks)
    height, width = masks.shape
    return {
        "label": masks.labels,
        "x_px": x0 + sx / area,
        "y_px": y0 + sy / area,
        "bbox_y0_px": y0,
        "bbox_x0_px": x0,
        "bbox_y1_px": y1 + 1,
        "bbox_x1_px": x1 + 1,
        "on_border": (y0 == 0) | (x0 == 0) | (y1 == height - 1) | (x1 == width - 1),
        "area_px": area,
        "perimeter_px": _perimeter(masks),
        "major_axis_px": 4 * np.sqrt(major),
        "minor_axis_px": 4 * np.sqrt(minor),
        "eccentricity": np.sqrt(1 - ratio),
        "orientation_rad": orientation,
        "solidity": area / hull_area,
        "feret_px": feret,
    }


def _perimeter(masks: Masks) -> np.ndarray:
    """Perimeter of every cell from the neighbours of each outline pixel on the outline."""
    n, pixel, stride = len(masks.labels), masks.outline, masks.stride
    own = (masks.outline_cell + 1).astype(np.min_scalar_type(n))
    rim = np.zeros(len(masks.flat), own.dtype)
    rim[pixel] = own
    edges, diagonals = np.zeros((2, len(pixel)), np.uint8)
    for step in (-1, 1, -stride, stride):
        edges += rim[pixel + step] == own
    for step in (-stride - 1, -stride + 1, stride - 1, stride + 1):
        diagonals += rim[pixel + step] == own
    weight = _PERIMETER_WEIGHTS[1 + 2 * edges + 10 * diagonals]
    return np.bincount(masks.outline_cell, weight, n)


def intensity_measures(values: np.ndarray, count: np.ndarray, where: str) -> dict[str, np.ndarray]:
    """Sum, mean, median, sd (over n), min and max of every cell.

    Parameters
    ----------
    values
        (n_pixels,) grouped by cell.
    count
        (n_cells,) int64, number of pixels of each, at least 1.
    where
        the frame and channel, for messages.

    Raises
    ------
    InputError
        If a value is not finite.
    """
    start = np.cumsum(count) - count
    total = np.add.reduceat(values, start, dtype=np.float64)
    if not np.isfinite(total).all():
        raise InputError(
            f"{where}: {int((~np.isfinite(values)).sum())} pixels within cells are NaN or "
            "infinite, so intensities cannot be measured; mend the image or exclude the frame"
        )
    mean = total / count
    ordered = _sorted_by_cell(values, count)
    deviation = ordered - np.repeat(mean, count)
    deviation *= deviation
    low, high = ordered[start + (count - 1) // 2], ordered[start + count // 2]
    return {
        "sum": total,
        "mean": mean,
        "median": low + (high - low) / 2,
        "sd": np.sqrt(np.add.reduceat(deviation, start) / count),
        "min": ordered[start],
        "max": ordered[start + count - 1],
    }


def _sorted_by_cell(values: np.ndarray, count: np.ndarray) -> np.ndarray:
    """`values`, grouped by cell, sorted within each cell, as float64.

    Cell and value share one unsigned integer where they fit, so that a plain sort does both.
    """
    n = len(count)
    if values.dtype.kind in "ub" and values.dtype.itemsize <= 2 and n <= 1 << 16:
        key = np.repeat(np.arange(n, dtype=np.uint32) << np.uint32(16), count)
        key |= values
        key.sort()
        return key.astype(np.uint16).astype(np.float64)
    if values.dtype == np.float32:
        # IEEE bits sort like the numbers once negatives are inverted and positives lifted.
        bits = values.view(np.uint32)
        sign = np.uint32(1 << 31)
        key = np.repeat(np.arange(n, dtype=np.uint64) << np.uint64(32), count)
        key |= np.where(bits & sign, ~bits, bits | sign)
        key.sort()
        bits = key.astype(np.uint32)
        return np.where(bits & sign, bits ^ sign, ~bits).view(np.float32).astype(np.float64)
    order = np.argsort(values)
    cell = np.repeat(np.arange(n, dtype=np.min_scalar_type(n)), count)
    return values[order[np.argsort(cell[order], kind="stable")]].astype(np.float64)
