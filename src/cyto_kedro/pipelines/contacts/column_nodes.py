"""Nodes that make further columns of the tables of cells."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import translate
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.columns import NormaliseColumns
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import ColumnSteps
from cyto_kedro.pipelines.common import CELL, Group, context, join
from cyto_kedro.pipelines.contacts.nodes import plates


def pool_columns(
    group: Group,
    cells: Mapping[Any, pd.DataFrame],
    fields: pd.DataFrame,
    manifest: Manifest,
    columns: ColumnSteps,
) -> dict[str, Any]:
    """Percentiles of one population's cells over each plate, for the steps that ask for them.

    Plate -> step (its arguments) -> column -> [low, high]; nothing is opened without such a step.
    """
    steps = [
        step
        for step in columns.made()
        if isinstance(step, NormaliseColumns) and step.over == "plate"
    ]
    states: dict[str, Any] = {}
    for plate, fovs in plates(fields).groupby("plate")["fov"] if steps else ():
        tables = (cells[key] for key in cells if key[0] in set(fovs))
        patterns = "|".join(translate(each) for step in steps for each in step.columns)
        pooled = join((each.filter(regex=patterns) for each in tables), schemas.Cells)
        states[str(plate)] = {step.model_dump_json(): step.estimate(pooled) for step in steps}
    return states


def make_columns(
    group: Group,
    cells: Mapping[tuple[str, str], pd.DataFrame],
    touches: Mapping[str, pd.DataFrame],
    viability: Mapping[tuple[str, str], pd.DataFrame],
    track_points: Mapping[str, pd.DataFrame],
    column_state: Mapping[str, dict[str, Any]],
    fields: pd.DataFrame,
    manifest: Manifest,
    columns: ColumnSteps,
) -> dict[str, pd.DataFrame]:
    """`schemas.CellColumns` of one field by population: what the steps of `contacts.columns` add.

    Steps see, beside the columns of `cells`, those of `viability`, and `track_id`.
    """
    steps, names = columns.made(), manifest.populations
    if not steps:
        return {name: schemas.empty(schemas.CellColumns) for name in names}
    plate = plates(fields)["plate"].iloc[0]
    tables = {
        name: _known_of(
            join((cells[key] for key in cells if key[0] == name), schemas.Cells),
            join((viability[key] for key in viability if key[0] == name), schemas.Viability),
            track_points[name],
        )
        for name in names
    }
    given = {name: set(table.columns) for name, table in tables.items()}
    data = {**context(group, manifest), "touches": join(touches.values(), schemas.Touches)}
    for step in steps:
        known = {**data, "others": dict(tables)}
        for name in names:
            if step.is_for(name):
                state = column_state[name].get(plate, {}).get(step.model_dump_json())
                own = {"cells": tables[name], "population": name, "state": state}
                tables[name] = step({**known, **own})["cells"]
    return {
        name: table[[*CELL, *(each for each in table if each not in given[name])]]
        for name, table in tables.items()
    }


def _known_of(cells: pd.DataFrame, viability: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """The cells with what is known of each: its viability and its track."""
    tracked = points.loc[points["label"].notna(), [*CELL, "track_id"]]
    tracked = tracked.astype({"label": "int64", "track_id": "Int64"})
    return cells.merge(viability, on=CELL, how="left").merge(tracked, on=CELL, how="left")
