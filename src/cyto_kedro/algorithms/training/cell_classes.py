"""A random forest that tells classes of cells by what was measured of them."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.forest import rows_of
from cyto_kedro.algorithms.training.learner import Learnt, grown
from cyto_kedro.errors import InputError, unknown

# where and when a cell lies, and how it is turned, do not say what it is
_NO_FEATURE = (
    "frame",
    "label",
    "time_*",
    "x_*",
    "y_*",
    "z_*",
    "bbox_*",
    "orientation_*",
    "*_chance",
)


class TrainCellClasses(Algorithm):
    """Learn `ClassifyCells` from cells whose class a person told.

    Classes count alike however many cells have them. Where a length or area is known in um, its
    twin in pixels is left out, so that a model serves other magnifications. Brightness is taken as
    measured: `columns` may leave it out. Random forest: Breiman 2001, doi:10.1023/A:1010933404324.

    Examples
    --------
    >>> from cyto_kedro.algorithms.segmentation.forest import Forest
    >>> size = np.r_[np.full(20, 9.0), np.full(20, 90.0)]
    >>> told = pd.DataFrame({"area_px": size, "class": np.where(size > 50, "live", "debris")})
    >>> made = TrainCellClasses(trees=5)(examples=told)["weights"]
    >>> Forest.from_bytes(made, "here").card["classes"]
    ['debris', 'live']
    """

    version: ClassVar[int] = 1
    engine: ClassVar[str] = "ClassifyCells"
    suffix: ClassVar[str] = ".npz"

    columns: tuple[str, ...] | None = Field(
        default=None,
        description="columns of `cells` to learn from, names or patterns (*_mean); null: all numbers "
        "but place, time and direction",
    )
    trees: int = Field(default=200, ge=1, description="trees of the forest")
    depth: int = Field(default=12, ge=1, le=30, description="most questions until a leaf")
    seed: int = Field(default=0, ge=0, description="of what is drawn at random")

    def run(self, examples: pd.DataFrame) -> Learnt:
        """Learn from `examples`: columns of `cells`, and ``class``.

        Raises
        ------
        InputError
            If all are of one class, there is nothing to learn from, or a column does not exist.
        """
        classes, kind = np.unique(examples["class"].to_numpy(str), return_inverse=True)
        if len(classes) < 2:
            raise InputError(
                f"TrainCellClasses: {len(examples)} cells, all of class {', '.join(classes) or 'none'}: "
                "tell cells of two classes at least"
            )
        names = self._names(examples)
        medians = np.nanmedian(examples[names].to_numpy(float, na_value=np.nan), axis=0).tolist()
        card = {
            "columns": names,
            "medians": medians,
            "classes": classes.tolist(),
            "n_cells": np.bincount(kind).tolist(),
        }
        rows = rows_of(examples, names, medians)
        return grown(self, rows, kind, card, min_samples_leaf=2, class_weight="balanced")

    def _names(self, examples: pd.DataFrame) -> list[str]:
        """Columns to learn from that have a value at all."""
        numbers = [
            str(name)
            for name, dtype in examples.dtypes.items()
            if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        ]
        if self.columns is not None:
            for pattern in self.columns:
                if not any(fnmatchcase(name, pattern) for name in numbers):
                    why = unknown("column", pattern, numbers)
                    raise InputError(f"TrainCellClasses.columns: {why}")
            numbers = [n for n in numbers if any(fnmatchcase(n, each) for each in self.columns)]
        else:
            numbers = [n for n in numbers if not any(fnmatchcase(n, each) for each in _NO_FEATURE)]
        filled = [name for name in numbers if examples[name].notna().any()]
        physical = {name.rsplit("_", 1)[0] for name in filled if name.endswith(("_um", "_um2"))}
        found = [
            name
            for name in filled
            if not (name.endswith("_px") and name.removesuffix("_px") in physical)
        ]
        if not found:
            raise InputError("TrainCellClasses: the cells have no measurement to learn from")
        return found
