"""Values of other cells brought beside a cell: of the nearest, of those in contact, of its twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import scipy
from pydantic import Field, model_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.columns import ColumnStep, MeasuredCells, Reach
from cyto_kedro.algorithms.tabulation.expressions import Expression, numbers
from cyto_kedro.core.keys import MISSING, find
from cyto_kedro.core.units import PositiveLength, in_px
from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.schemas import TableOf


class CrossTable(ColumnStep):
    """Columns of another population (or one's own) as columns of a cell, joined within a frame.

    `by` says whose values: **nearest**, the one other cell whose centre is closest; **contact**, all
    cells whose masks are within the reach of `tabulation.touches`, put together by `how`; **label**, the
    cell with the same number, where two populations are two masks of the same cells (nucleus and cell).
    A cell never counts as its own neighbour. New columns, `name` being `other` unless given:

    nearest  ``<name>_<column>``, ``<name>_nearest_px``, ``<name>_nearest_um`` (centre to centre),
             ``<name>_nearest_label``
    contact  ``<name>_<column>_<how>``, ``<name>_n_contacts``
    label    ``<name>_<column>``

    Null where there is no such cell.

    ``others`` is ``{population: table}`` of the same film, ``touches`` is for `by: contact`.

    Raises
    ------
    ConfigError
        If a population or column is unknown, a column holds no numbers or is there already, or
        `max_distance_um` is given for an uncalibrated film.

    Examples
    --------
    >>> place = {"fov": "a", "frame": 0, "y_px": 0.0}
    >>> t = pd.DataFrame({**place, "population": "T", "label": [1], "x_px": [0.0]})
    >>> c = pd.DataFrame({**place, "population": "C", "label": [5, 6], "x_px": [3.0, 9.0]})
    >>> step = CrossTable(other="C", by="nearest")
    >>> found = step(cells=t, others={"T": t, "C": c}, population="T")["cells"]
    >>> found[["C_nearest_label", "C_nearest_px"]].values.tolist()
    [[5, 3.0]]
    """

    other: str = Field(description="population whose columns are brought")
    columns: tuple[str, ...] = Field(default=(), description="columns to bring")
    by: Literal["nearest", "contact", "label"] = Field(description="which cells of `other`")
    how: Literal["mean", "sum", "min", "max"] = Field(
        default="mean", description="how the values of several cells in contact become one"
    )
    only: str | None = Field(
        default=None, description="condition on cells of `other`, as in `Compute`, such as dead"
    )
    max_distance: PositiveLength | None = Field(
        default=None, description="cells further away are none: centre to centre, or gap"
    )
    name: str | None = Field(default=None, description="first part of the new columns' names")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.only is not None:
            Expression(self.only)
        if self.by == "label" and not self.columns:
            raise ConfigError("CrossTable by label: name at least one of columns")
        return self

    @property
    def reach(self) -> Reach:
        return "film"

    def needs(self) -> tuple[str, ...]:
        """Touches only where they are asked for."""
        names = super().needs()
        return names if self.by == "contact" else tuple(n for n in names if n != "touches")

    def run(
        self,
        cells: TableOf[schemas.Cells],
        others: Mapping[str, pd.DataFrame],
        population: str,
        touches: TableOf[schemas.Touches] | None = None,
        pixel_size_um: float | None = None,
    ) -> MeasuredCells:
        """The table with the columns of `other`."""
        table, size = cells, pixel_size_um
        if self.other not in others:
            raise ConfigError(f"CrossTable.other: {unknown('population', self.other, others)}")
        other = others[self.other]
        if self.only is not None:
            other = other[Expression(self.only).holds(other)]
        other = other.sort_values(["frame", "label"], ignore_index=True)
        values = {column: numbers(other, column, "CrossTable") for column in self.columns}
        prefix = self.name or self.other
        limit = in_px(self, "max_distance", size)
        reach, same = np.inf if limit is None else limit, self.other == population
        if self.by == "contact":
            if touches is None:
                raise InputError("CrossTable by contact needs 'touches', which was not given")
            near = touches[touches["distance_px"] <= reach]
            added = self._in_contact(table, population, other, values, prefix, near)
            return {"cells": self.add(table, added)}
        if self.by == "label":
            at = find(_key(other, "label"), _key(table, "label"))
            found = at != MISSING
            brought: dict[str, Any] = {
                f"{prefix}_{name}": _take(v, at, found) for name, v in values.items()
            }
            return {"cells": self.add(table, brought)}
        at, distance = _nearest(table, other, same)
        found = (at != MISSING) & (distance <= reach)
        label = pd.array(_take(other["label"].to_numpy(float), at, found), dtype="Float64")
        distance = np.where(found, distance, np.nan)
        brought = {
            **{f"{prefix}_{name}": _take(each, at, found) for name, each in values.items()},
            f"{prefix}_nearest_px": distance,
            f"{prefix}_nearest_um": distance * (np.nan if size is None else size),
            f"{prefix}_nearest_label": label.astype("Int64"),
        }
        return {"cells": self.add(table, brought)}

    def _in_contact(
        self,
        table: pd.DataFrame,
        population: str,
        other: pd.DataFrame,
        values: dict[str, np.ndarray],
        prefix: str,
        touches: pd.DataFrame,
    ) -> dict[str, np.ndarray]:
        mine, theirs = [], []
        for one, two in ("ab", "ba"):
            side = touches[
                (touches[f"population_{one}"] == population)
                & (touches[f"population_{two}"] == self.other)
            ]
            mine.append(find_rows(table, side["frame"], side[f"label_{one}"]))
            theirs.append(find(_key(other, "label"), _key(side, f"label_{two}")))
        row, at = np.concatenate(mine), np.concatenate(theirs)
        known = (row != MISSING) & (at != MISSING)
        row, at = row[known], at[known]
        added = {}
        for name, each in values.items():
            grouped = pd.Series(each[at]).groupby(row)
            # a sum of nothing known is not 0
            summed = grouped.sum(min_count=1) if self.how == "sum" else grouped.agg(self.how)
            added[f"{prefix}_{name}_{self.how}"] = summed.reindex(range(len(table))).to_numpy(float)
        return {**added, f"{prefix}_n_contacts": np.bincount(row, minlength=len(table))}


def _key(table: pd.DataFrame, label: str) -> np.ndarray:
    """(n,) int64 of frame and label; in order for a table in order of both."""
    return (table["frame"].to_numpy(np.int64) << 32) + table[label].to_numpy(np.int64)


def find_rows(table: pd.DataFrame, frame: pd.Series, label: pd.Series) -> np.ndarray:
    """Row of `table` of each frame and label, or `MISSING`."""
    key = _key(table, "label")
    order = np.argsort(key)
    at = find(key[order], _key(pd.DataFrame({"frame": frame, "label": label}), "label"))
    return np.append(order, MISSING)[at]


def _take(values: np.ndarray, at: np.ndarray, found: np.ndarray) -> np.ndarray:
    """``values[at]`` where `found`, else null."""
    taken = np.full(len(at), np.nan)
    taken[found] = values[at[found]]
    return taken


def _nearest(table: pd.DataFrame, other: pd.DataFrame, same: bool) -> tuple[np.ndarray, np.ndarray]:
    """Row of the nearest cell of `other` (in order of frame) in each row's frame, and its distance."""
    at, distance = np.full(len(table), MISSING), np.full(len(table), np.inf)
    frames = other["frame"].to_numpy(np.int64)
    labels = other["label"].to_numpy(np.int64)
    places = other[["x_px", "y_px"]].to_numpy(float)
    own_label, own = table["label"].to_numpy(np.int64), table[["x_px", "y_px"]].to_numpy(float)
    for number, rows in table.groupby("frame", sort=False).indices.items():
        frame = int(number)  # type: ignore[call-overload]
        first, stop = np.searchsorted(frames, [frame, frame + 1])
        if first == stop:
            continue
        k = min(1 + same, stop - first)
        gap, found = scipy.spatial.cKDTree(places[first:stop]).query(
            own[rows], k=np.arange(1, k + 1)
        )
        found = found + first
        if same:  # of the two nearest, the first that is another cell
            gap = np.where(labels[found] == own_label[rows, None], np.inf, gap)
        best = gap.argmin(axis=1)
        gap = gap[np.arange(len(rows)), best]
        at[rows] = np.where(np.isinf(gap), MISSING, found[np.arange(len(rows)), best])
        distance[rows] = gap
    return at, distance
