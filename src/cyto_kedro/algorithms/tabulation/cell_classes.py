"""Classes of cells (live, dying, debris; which nuclei are NK cells), learnt from a corrected table."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.segmentation.forest import read_forest, rows_of
from cyto_kedro.algorithms.tabulation.columns import ColumnStep, MeasuredCells
from cyto_kedro.errors import ConfigError, unknown
from cyto_kedro.schemas import TableOf


class ClassifyCells(ColumnStep):
    """Say of which class each cell is, by what was measured of it: what `TrainCellClasses` learnt.

    Adds ``<class>_chance`` for each class (they sum to 1), and ``is_<class>``, true for the likeliest.
    `FilterCells` (``where: not is_debris``) may use both.

    Raises
    ------
    ConfigError
        If a column that the model was learnt from is missing.

    Examples
    --------
    >>> step = ClassifyCells(model="CancerCell-0123456789.npz")  # doctest: +SKIP
    >>> step(cells=cells)["cells"]["debris_chance"]  # doctest: +SKIP
    """

    version: ClassVar[int] = 1

    model: str = Field(
        description="path of a model file, as the pipeline cell_classes writes it (06_models)"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if "classes" not in read_forest(self.model).card:
            raise ConfigError(
                f"{self.model} is no model of cells: train one (kedro run --pipelines cell_classes)"
            )
        return self

    def run(self, cells: TableOf[schemas.Cells]) -> MeasuredCells:
        """The table with the chances."""
        forest = read_forest(self.model)
        names = forest.card["columns"]
        for name in names:
            if name not in cells.columns:
                raise ConfigError(
                    f"ClassifyCells: {self.model} was learnt from other measurements: "
                    f"{unknown('column', name, map(str, cells.columns))}"
                )
        chance = forest.predict(rows_of(cells, names, forest.card["medians"]))
        best = chance.argmax(axis=1)
        added: dict[str, Any] = {}
        for number, name in enumerate(forest.card["classes"]):
            added[f"{name}_chance"] = chance[:, number].astype(float)
        for number, name in enumerate(forest.card["classes"]):
            added[f"is_{name}"] = best == number
        return {"cells": self.add(cells, added)}
