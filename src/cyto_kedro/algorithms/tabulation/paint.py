"""From a table to an image: a column's value painted on its cells."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Algorithm, Data, length_px
from cyto_kedro.algorithms.tabulation.expressions import numbers
from cyto_kedro.algorithms.tabulation.masks import label_frames, read_frame
from cyto_kedro.errors import ConfigError, InputError


class PaintColumn(Algorithm):
    """Paint each mask with its cell's value of a column.

    Reads ``"label"`` ((T, Y, X) integer, NumPy or Dask, read frame by frame), ``"dataframe"`` (a table
    with `frame`, `label` and the column: `cells`, `viability`, `cell_columns`, …, of one population;
    rows of other frames are left out), ``"frame_start"`` (default 0). Returns ``"image"`` (T, Y, X)
    float32, null outside of cells, and on masks without a row or a value.

    Raises
    ------
    InputError
        If a cell has two rows, or a row's label is larger than any mask's in its frame.
    ConfigError
        If the column is missing or holds no numbers.
    """

    column: str = Field(description="whose value is painted; yes and no become 1 and 0")

    def __call__(self, data: Data) -> Data:
        """Return ``{"image"}``."""
        where = f"PaintColumn, column {self.column!r}"
        label, table = label_frames(data["label"], where), data["dataframe"]
        start = int(data.get("frame_start") or 0)
        image = np.full(label.shape, np.nan, np.float32)
        for index, rows in _frames(table, start, len(label), ["label"]):
            masks = read_frame(label, index, f"{where}, frame {start + index}")
            labels = rows["label"].to_numpy(np.int64)
            largest = int(masks.max(initial=0))
            if labels.max() > largest:
                raise InputError(
                    f"{where}, frame {start + index}: label {labels.max()} has a row and no mask (the "
                    f"largest is {largest}); are table and masks of one field and population?"
                )
            if twice := labels[pd.Series(labels).duplicated()].tolist():
                raise InputError(
                    f"{where}, frame {start + index}: label {twice[0]} has several rows, so its value "
                    "is not one; give a table with one row per cell and frame, of one population"
                )
            values = np.full(largest + 1, np.nan, np.float32)
            values[labels] = numbers(rows, self.column, where)
            values[0] = np.nan
            image[index] = values[masks]
        return {"image": image}


class PaintPoints(Algorithm):
    """Paint a disc of a column's value at each row's position, for tables without masks.

    Reads ``"dataframe"`` (a table with `frame`, `x_px`, `y_px` and the column), ``"shape"`` (rows,
    columns), ``"n_frames"``, ``"frame_start"`` (default 0), ``"pixel_size_um"``. Returns ``"image"``
    (T, Y, X) float32, null outside of the discs. A pixel belongs to a disc if its centre is within the
    radius; where discs overlap, to the nearest position, the earlier row at a tie.

    Raises
    ------
    ConfigError
        If the column is missing or holds no numbers, or the radius is in µm and the film uncalibrated.
    """

    column: str = Field(description="whose value is painted; yes and no become 1 and 0")
    radius_um: float | None = Field(default=None, gt=0, description="of a disc, µm")
    radius_px: float | None = Field(default=None, gt=0, description="the same in pixels; default 5")

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if self.radius_um is not None and self.radius_px is not None:
            raise ConfigError("PaintPoints: give radius_um or radius_px, not both")
        return self

    def __call__(self, data: Data) -> Data:
        """Return ``{"image"}``."""
        px = 5.0 if self.radius_um is None and self.radius_px is None else self.radius_px
        radius = length_px("radius", self.radius_um, px, data.get("pixel_size_um"))
        height, width = data["shape"]
        start, n_frames = int(data.get("frame_start") or 0), int(data["n_frames"])
        image = np.full((n_frames, height, width), np.nan, np.float32)
        reach = np.arange(-int(radius) - 1, int(radius) + 2)
        table = data["dataframe"]
        for index, rows in _frames(table, start, n_frames, ["x_px", "y_px"]):
            values = numbers(rows, self.column, f"PaintPoints, column {self.column!r}")
            x, y = rows["x_px"].to_numpy(float), rows["y_px"].to_numpy(float)
            # (cells, rows, columns) of the squares around all positions
            row = np.rint(y).astype(np.int64)[:, None, None] + reach[:, None]
            column = np.rint(x).astype(np.int64)[:, None, None] + reach
            far = (row - y[:, None, None]) ** 2 + (column - x[:, None, None]) ** 2
            inside = (far <= radius**2) & (row >= 0) & (row < height)
            inside &= (column >= 0) & (column < width)
            cell, i, j = np.nonzero(inside)
            order = np.lexsort((-cell, -far[inside]))  # the last painted stays
            pixels = row[cell, i, 0] * width + column[cell, 0, j]
            image[index].reshape(-1)[pixels[order]] = values[cell[order]]
        return {"image": image}


def _frames(
    table: pd.DataFrame, start: int, n_frames: int, needed: list[str]
) -> list[tuple[int, pd.DataFrame]]:
    """Index of each frame that has rows, and those rows."""
    for name in ("frame", *needed):
        numbers(table, name, "painting")
    index = table["frame"].to_numpy(np.int64) - start
    rows = pd.Series(index).groupby(index).indices
    return [(int(i), table.iloc[at]) for i, at in rows.items() if 0 <= int(i) < n_frames]  # type: ignore[call-overload]
