"""The results table holds what the tables it joins say, row by row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.results import PyCytoResults, for_csv
from cyto_kedro.errors import InputError


def fill(table: type[schemas.Table], rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` with every other column of `table` at a plain value."""
    kinds = schemas.dtypes(table)
    plain = {c: ("border" if k is np.str_ or c == "end_reason" else 1) for c, k in kinds.items()}
    for name, value in plain.items():
        if name not in rows.columns:
            rows = rows.assign(**{name: value})
    return schemas.conform(table, rows)


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    cells = pd.DataFrame(
        {
            "fov": "A",
            "population": ["T", "T", "C", "C"],
            "frame": [0, 1, 0, 1],
            "label": [7, 3, 3, 5],
            "x_px": [10.0, 11.0, 20.0, 21.0],
            "y_px": [1.0, 2.0, 3.0, 4.0],
            "eccentricity": 0.5,
            "solidity": 0.9,
            "Dead_mean": [5.0, 6.0, 7.0, 8.0],
            "Dead_sum": [50.0, 60.0, 70.0, 80.0],
        }
    )
    points = pd.DataFrame(
        {
            "fov": "A",
            "population": ["T", "T", "T", "T", "C"],
            "frame": [0, 1, 2, 2, 0],
            "track_id": [1, 1, 1, 2, 9],
            "label": pd.array([7, 3, None, None, 3], dtype="Int64"),
        }
    )
    viability = pd.DataFrame(
        {"fov": "A", "population": ["C"], "frame": [0], "label": [3], "alive_probability": [0.25]}
    )
    steps = pd.DataFrame(
        {
            "fov": "A",
            "population": "T",
            "track_id": 1,
            "frame": [0, 1],
            "velocity_x_px_per_frame": [np.nan, 1.0],
            "velocity_y_px_per_frame": [np.nan, -2.0],
        }
    )
    contacts = pd.DataFrame(
        {
            "fov": "A",
            "frame": [0, 0],
            "population_a": ["T", "T"],
            "track_id_a": [1, 1],
            "population_b": ["C", "T"],
            "track_id_b": [9, 12],
        }
    )
    return {
        "cells": fill(schemas.Cells, cells),
        "track_points": fill(schemas.TrackPoints, points),
        "viability": fill(schemas.Viability, viability),
        "steps": fill(schemas.Steps, steps),
        "contacts": fill(schemas.Contacts, contacts),
    }


def test_rows_are_those_of_the_tables(tables: dict[str, pd.DataFrame]) -> None:
    out = PyCytoResults()(tables)["dataframe"]
    schemas.check(schemas.Results, out)
    assert list(out.columns[-2:]) == ["contact_cell_id", "Dead_mean"]
    assert len(out) == 4  # interpolated points have no cell, so no row
    rows = out.set_index(["population", "t"])
    first = rows.loc[("T", 0)]
    assert (first["id"], first["track_id"], first["x"], first["y"]) == (7, 1, 10.0, 1.0)
    assert first["contact_cell_id"] == ["C:9", "T:12"]
    assert first["contact_count"] == 2 and first["contact"]
    assert np.isnan(first["velocity_x"]) and np.isnan(first["velocity_z"])
    second = rows.loc[("T", 1)]
    assert (second["velocity_x"], second["velocity_y"], second["velocity_z"]) == (1.0, -2.0, 0.0)
    assert second["contact_cell_id"] == [] and not second["contact"]
    target = rows.loc[("C", 0)]
    assert target["alive_probability"] == 0.25 and target["contact_cell_id"] == ["T:1"]
    untracked = rows.loc[("C", 1)]
    assert untracked["track_id"] is pd.NA and not untracked["contact"]
    assert (out["z"] == 0).all()


def test_csv_joins_the_ids_and_reads_back(tables: dict[str, pd.DataFrame]) -> None:
    flat = for_csv(PyCytoResults(statistic="sum")(tables)["dataframe"])
    assert set(flat["contact_cell_id"]) == {"C:9;T:12", "", "T:1"}
    assert flat["Dead_sum"].sum() == 260
    # Parquet gives arrays back for lists
    arrays = PyCytoResults()(tables)["dataframe"]
    arrays["contact_cell_id"] = arrays["contact_cell_id"].map(
        lambda ids: np.array(ids, dtype=object)
    )
    assert for_csv(arrays)["contact_cell_id"].equals(flat["contact_cell_id"])


def test_no_cells_and_missing_tables(tables: dict[str, pd.DataFrame]) -> None:
    out = PyCytoResults()({"cells": schemas.empty(schemas.Cells)})["dataframe"]
    schemas.check(schemas.Results, out)
    assert out.empty and "contact_cell_id" in out
    assert "contact_cell_id" in for_csv(out)
    only = PyCytoResults()({"cells": tables["cells"]})["dataframe"]
    assert only["track_id"].isna().all() and not only["contact"].any() and len(only) == 4
    with pytest.raises(InputError, match="PyCytoResults needs 'cells'"):
        PyCytoResults()({})


def test_a_cell_claimed_twice_is_refused(tables: dict[str, pd.DataFrame]) -> None:
    points = tables["track_points"]
    twice = pd.concat([points, points.iloc[:1].assign(track_id=2)])
    with pytest.raises(InputError, match="track_points"):
        PyCytoResults()({**tables, "track_points": twice})
