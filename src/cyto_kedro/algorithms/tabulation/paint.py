"""From a table to an image: a column's value painted on its cells."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.tabulation.expressions import numbers
from cyto_kedro.algorithms.tabulation.masks import read_frame
from cyto_kedro.core.contract import Image, Label
from cyto_kedro.errors import InputError
from cyto_kedro.schemas import TableOf


class Painted(TypedDict):
    """What painting makes."""

    image: Image


class PaintColumn(Algorithm):
    """Paint each mask with its cell's value of a column.

    The table is of one population and may be `cells`, `viability`, `cell_columns` or another with a row
    per cell and frame; rows of other frames are left out. The image is float32, null outside of cells,
    and on masks without a row or a value.

    Raises
    ------
    InputError
        If a cell has two rows, or a row's label is larger than any mask's in its frame.
    ConfigError
        If the column is missing or holds no numbers.

    Examples
    --------
    >>> cells = pd.DataFrame({"fov": "a", "population": "T", "frame": 0, "label": [2], "dead": [True]})
    >>> PaintColumn(column="dead")(cells=cells, label=np.array([[[0, 1, 2]]]))["image"].tolist()
    [[[nan, nan, 1.0]]]
    """

    column: str = Field(description="whose value is painted; yes and no become 1 and 0")

    def run(self, cells: TableOf[schemas.Cells], label: Label, frame_start: int = 0) -> Painted:
        """Paint every frame of `label`."""
        where, start, table = f"PaintColumn, column {self.column!r}", frame_start, cells
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


def _frames(
    table: pd.DataFrame, start: int, n_frames: int, needed: list[str]
) -> list[tuple[int, pd.DataFrame]]:
    """Index of each frame that has rows, and those rows."""
    for name in ("frame", *needed):
        numbers(table, name, "painting")
    index = table["frame"].to_numpy(np.int64) - start
    rows = pd.Series(index).groupby(index).indices
    return [(int(i), table.iloc[at]) for i, at in rows.items() if 0 <= int(i) < n_frames]  # type: ignore[call-overload]
