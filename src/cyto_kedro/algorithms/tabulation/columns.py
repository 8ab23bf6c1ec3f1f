"""Steps on the table of cells: filter rows, normalise columns, compute new ones.

Two lists in YAML name them. Those of `tabulation.steps` run as the cells are measured, block by
block, so only steps that look at one frame and one population are allowed there. Those of
`contacts.columns` run on whole films, when viability and tracks are known, and make a table of their
own. A step adds columns under new names; none writes over a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, Self, TypedDict, cast

import numpy as np
import pandas as pd
from pydantic import Field, field_validator, model_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.tabulation.expressions import Expression, numbers
from cyto_kedro.core.keys import divide
from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.schemas import TableOf

Reach = Literal["frame", "film", "plate"]

# last words of columns that are empty where calibration is unknown
_CALIBRATED = ("_um", "_um2", "_mm2", "_min")


class MeasuredCells(TypedDict):
    """What measuring and the steps on the table of cells make."""

    cells: TableOf[schemas.Cells]


class ColumnStep(Algorithm):
    """A step on the table of one population's cells.

    Reads ``cells`` (of one field, or a block of it), and what the class declares; returns the same
    rows (`FilterCells`: some of them) in the same order, with further columns.
    """

    populations: tuple[str, ...] | None = Field(
        default=None, description="populations whose cells it is for; null: all"
    )

    @property
    def reach(self) -> Reach:
        """What a row's result depends on: its population in its frame, its film, or a plate."""
        return "frame"

    def is_for(self, population: str) -> bool:
        """Whether the step is for cells of `population`."""
        return self.populations is None or population in self.populations

    def add(self, table: pd.DataFrame, columns: Mapping[str, Any]) -> TableOf[schemas.Cells]:
        """`table` with new columns. Raises ConfigError if one is there already."""
        if twice := [name for name in columns if name in table.columns]:
            raise ConfigError(
                f"{type(self).__name__} would write over the column {twice[0]!r}: give another name "
                "(or suffix), so that what was measured stays"
            )
        return cast("TableOf[schemas.Cells]", table.assign(**columns))


class FilterCells(ColumnStep):
    """Keep the cells whose columns lie in a range, between quantiles, or meet a condition.

    All conditions must hold. Quantiles are those of the cells of a frame or a film before this step,
    by linear interpolation. A cell without a value is dropped, unless `keep_unknown`. In
    `tabulation.steps` a dropped cell is in no table from then on: it gets no track, no viability, and
    no contacts, since a touch of a mask without a track is dropped as touches are joined to tracks.
    Its pixels stay in `labels`, and its row in `touches`.

    Raises
    ------
    InputError
        If a column in µm or minutes has no value at all (an uncalibrated film): no cell would be left.
    ConfigError
        If a column is unknown or holds no numbers.

    Examples
    --------
    >>> key = {"fov": "a", "population": "T", "frame": 0}
    >>> cells = pd.DataFrame({**key, "label": [1, 2], "area_px": [9, 90]})
    >>> FilterCells(keep={"area_px": (20, None)})(cells=cells)["cells"]["label"].tolist()
    [2]
    """

    keep: dict[str, tuple[float | None, float | None]] = Field(
        default={}, description="column -> [least, largest], each may be null"
    )
    quantiles: dict[str, tuple[float, float]] = Field(
        default={}, description="column -> [lower, upper] quantile, 0 to 1, to keep between"
    )
    where: str | None = Field(
        default=None, description="condition on columns, as in `Compute`, such as a / b > 2"
    )
    over: Literal["frame", "film"] = Field(
        default="frame", description="cells that quantiles are taken of"
    )
    keep_unknown: bool = Field(default=False, description="keep cells that have no value")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.where is not None:
            Expression(self.where)
        if not (self.keep or self.quantiles or self.where):
            raise ConfigError("FilterCells: give at least one of keep, quantiles and where")
        for name, (low, high) in self.keep.items():
            if low is not None and high is not None and low > high:
                raise ConfigError(f"keep.{name}: [{low}, {high}] keeps nothing")
        for name, (low, high) in self.quantiles.items():
            if not 0 <= low < high <= 1:
                raise ConfigError(
                    f"quantiles.{name}: [{low}, {high}] must rise within 0 to 1 (0.01 is 1 %)"
                )
        return self

    @property
    def reach(self) -> Reach:
        return self.over if self.quantiles else "frame"

    def run(self, cells: TableOf[schemas.Cells]) -> MeasuredCells:
        """The rows that are kept, numbered anew."""
        table = cells
        kept = np.ones(len(table), bool)
        limits = {name: (low, high) for name, (low, high) in self.keep.items()}
        for name, (low, high) in limits.items():
            kept &= self._within(self._known(table, name), low, high)
        for name, quantiles in self.quantiles.items():
            values = self._known(table, name)
            low_, high_ = _quantiles(values, _groups(table, self.over), quantiles)
            kept &= self._within(values, low_, high_)
        if self.where is not None:
            condition = Expression(self.where)
            met = condition.holds(table)
            for name in condition.columns:
                met |= self.keep_unknown & np.isnan(self._known(table, name))
            kept &= met
        return {"cells": table[kept].reset_index(drop=True)}

    def _within(self, values: np.ndarray, low: Any, high: Any) -> np.ndarray:
        inside = ~np.isnan(values)
        if low is not None:
            inside &= values >= low
        if high is not None:
            inside &= values <= high
        return inside | (self.keep_unknown & np.isnan(values))

    def _known(self, table: pd.DataFrame, name: str) -> np.ndarray:
        values = numbers(table, name, "FilterCells")
        if len(values) and name.endswith(_CALIBRATED) and np.isnan(values).all():
            first = table.iloc[0]
            raise InputError(
                f"FilterCells: column {name!r} has no value for any cell of field {first['fov']!r}, "
                f"{first['population']}, so it cannot tell which to keep: the film is not "
                "calibrated. Use the column's twin in px or frames, or give pixel size and times"
            )
        return values


class NormaliseColumns(ColumnStep):
    """Columns scaled so that a low percentile is 0 and a high one is 1.

    ``<column>_<suffix> = (v - p_low) / (p_high - p_low)``, percentiles of the population's cells by
    linear interpolation, in each frame, film, or over all films of a plate (the sample sheet's column
    ``plate``; all fields without one). With `clip` the result is held within 0 and 1. Null where the
    two percentiles are equal, as with one cell. Per frame it takes out bleaching, and a rise that all
    cells share; per film it keeps both; per plate it makes fields comparable that share an exposure.

    ``state`` (`over: plate` only) is what `estimate` returned for all fields of the plate.

    Raises
    ------
    ConfigError
        If a pattern matches no column, a column holds no numbers, or is there already.

    Examples
    --------
    >>> key = {"fov": "a", "population": "T", "frame": 0}
    >>> cells = pd.DataFrame({**key, "label": [1, 2], "PI_mean": [5, 9]})
    >>> NormaliseColumns(columns=["PI_mean"])(cells=cells)["cells"]["PI_mean_norm"].tolist()
    [0.0, 1.0]
    """

    columns: tuple[str, ...] = Field(
        min_length=1, description="names or patterns, such as Dead_mean or *_mean"
    )
    low: float = Field(default=1.0, ge=0, le=100, description="percentile that becomes 0")
    high: float = Field(default=99.0, ge=0, le=100, description="percentile that becomes 1")
    over: Literal["frame", "film", "plate"] = Field(
        default="film", description="cells that percentiles are taken of"
    )
    clip: bool = Field(default=True, description="hold the result within 0 and 1")
    suffix: str = Field(default="norm", min_length=1, description="of the new columns' names")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.low >= self.high:
            raise ConfigError(f"NormaliseColumns: low={self.low} must be below high={self.high}")
        return self

    @property
    def reach(self) -> Reach:
        return self.over

    def estimate(self, table: pd.DataFrame) -> dict[str, Any]:
        """Column -> [low, high] percentile of all rows of `table`; null without rows."""
        shares = self.low / 100, self.high / 100
        whole = np.zeros(len(table), np.int64)
        found = {}
        for name in _matching(table, self.columns, type(self).__name__):
            values = numbers(table, name, type(self).__name__)
            low, high = _quantiles(values, whole, shares)
            found[name] = [float(low[0]), float(high[0])] if len(values) else [np.nan, np.nan]
        return found

    def run(
        self, cells: TableOf[schemas.Cells], state: Mapping[str, Any] | None = None
    ) -> MeasuredCells:
        """The table with the scaled columns."""
        table, added = cells, {}
        for name in _matching(table, self.columns, type(self).__name__):
            values = numbers(table, name, type(self).__name__)
            low: Any
            high: Any
            if self.over == "plate":
                known = state or {}
                if name not in known:
                    why = unknown("column", name, known)
                    raise ConfigError(f"NormaliseColumns over a plate: not estimated: {why}")
                low, high = known[name]
            else:
                shares = self.low / 100, self.high / 100
                low, high = _quantiles(values, _groups(table, self.over), shares)
            scaled = divide(values - low, high - low)
            added[f"{name}_{self.suffix}"] = np.clip(scaled, 0, 1) if self.clip else scaled
        return {"cells": self.add(table, added)}


class Compute(ColumnStep):
    """New columns by arithmetic on others of the same cell: see `Expression` for what may be written.

    For example ``{death_ratio: "Dead_mean / (TCell_mean + 1)"}``. Columns are made in order, so a
    later one may use an earlier.

    Raises
    ------
    ConfigError
        If an expression is not allowed, a column is missing, holds no numbers, or is there already.

    Examples
    --------
    >>> cells = pd.DataFrame({"fov": "a", "population": "T", "frame": 0, "label": [1], "area_px": [9.0]})
    >>> Compute(columns={"side": "sqrt(area_px)"})(cells=cells)["cells"]["side"].tolist()
    [3.0]
    """

    columns: dict[str, str] = Field(min_length=1, description="new column -> expression")

    @field_validator("columns")
    @classmethod
    def _allowed(cls, value: dict[str, str]) -> dict[str, str]:
        for text in value.values():
            Expression(text)
        return value

    def run(self, cells: TableOf[schemas.Cells]) -> MeasuredCells:
        """The table with the computed columns."""
        for name, text in self.columns.items():
            cells = self.add(cells, {name: Expression(text)(cells)})
        return {"cells": cells}


def _matching(table: pd.DataFrame, patterns: tuple[str, ...], where: str) -> list[str]:
    """Columns that any of `patterns` matches, in the table's order."""
    names = [str(name) for name in table.columns]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(f"{where}: {unknown('column', pattern, names)}")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _groups(table: pd.DataFrame, over: str) -> np.ndarray:
    """Number of each row's group: its frame, or 0."""
    return table["frame"].to_numpy(np.int64) * (over == "frame")


def _quantiles(
    values: np.ndarray, group: np.ndarray, shares: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles of the values of each row's group, null ones left out: (n,) for each share."""
    grouped = pd.Series(values).groupby(group, sort=False)
    low, high = (grouped.quantile(share).reindex(group).to_numpy(float) for share in shares)
    return low, high
