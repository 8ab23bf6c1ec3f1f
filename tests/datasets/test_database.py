"""Tables of a database come back as they were written, or as they were."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, DatasetError

from cyto_kedro import schemas
from cyto_kedro.datasets import DatabaseDataset
from cyto_kedro.errors import ConfigError

TABLE = pd.DataFrame(
    {
        "fov": ["a", None, "NA"],
        "track_id": pd.array([1, None, 2**40], "Int64"),
        "label": np.array([1, 2, 3], np.uint16),
        "share": [0.1, np.nan, -1e300],
        "killed": [True, False, True],
        "when": pd.to_datetime(["2026-05-12T10:00:00.125", None, "2026-05-13T00:00:00.0"]),
        "01": np.array([1.5, 2.5, 3.5], np.float32),
    }
)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A PostgreSQL of its own, as Debian installs it, reached through a socket in its folder."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), default=None)
    if programs is None:
        pytest.skip("no PostgreSQL here (Debian's package postgresql)")
    as_user: dict[str, Any] = {"user": "postgres"} if os.getuid() == 0 else {}  # it refuses root
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        data = f"{folder}/data"

        def control(*words: str) -> None:
            command = [str(programs), "--pgdata", data, "--silent", *words]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **as_user)

        control("initdb", "--options", "--auth trust --username ada --no-sync --encoding UTF8")
        settings = f"-k {folder} -c listen_addresses='' -c fsync=off"
        control("start", "--options", settings, "--log", f"{folder}/log")
        try:
            yield f"postgresql://ada@/postgres?host={folder}"
        finally:
            control("stop", "--mode", "immediate")


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("duckdb", marks=pytest.mark.companion("duckdb")),
        pytest.param("postgresql", marks=pytest.mark.companion("psycopg")),
    ]
)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a database of each kind lies."""
    if request.param == "sqlite":
        return str(tmp_path / "folder" / "assay.db")
    if request.param == "duckdb":
        return str(tmp_path / "folder" / "assay.duckdb")
    return str(request.getfixturevalue("server"))


def test_what_is_read_is_what_was_written(path: str) -> None:
    dataset = DatabaseDataset(path=path, table="kills")
    dataset.save(TABLE)
    assert dataset.exists()
    pd.testing.assert_frame_equal(dataset.load(), TABLE)
    assert dataset.preview(2)["data"][0][0] == "a"
    other = DatabaseDataset(path=path, table="other")
    other.save(TABLE[["fov"]])
    dataset.save(TABLE.iloc[:0])  # replaced, without rows
    pd.testing.assert_frame_equal(dataset.load(), TABLE.iloc[:0])
    pd.testing.assert_frame_equal(other.load(), TABLE[["fov"]])


def test_a_table_that_cannot_be_stored_leaves_the_old_one(path: str) -> None:
    dataset = DatabaseDataset(path=path, table="kills")
    dataset.save(TABLE)
    with pytest.raises(DatasetError, match=r"'label' holds 18446744073709551615, over 63 bits"):
        dataset.save(TABLE.assign(label=np.array([1, 2, 2**64 - 1], np.uint64)))
    with pytest.raises(DatasetError, match=r"'fov' holds \[1\], which is no text"):
        dataset.save(TABLE.assign(fov=["a", [1], "b"]))
    pd.testing.assert_frame_equal(dataset.load(), TABLE)
    with pytest.raises(DatasetError, match=r"no table 'kils'"):
        DatabaseDataset(path=path, table="kils").load()


def catalog(path: str, **more: Any) -> DataCatalog:
    entry = {
        "type": "cyto_kedro.datasets.DatabaseDataset",
        "path": path,
        "table": "fields",
        "validator": {
            "class": "cyto_kedro.schemas.EachPartition",
            "options": {"table": "track_points"},
        },
    }
    return DataCatalog.from_config({"points": entry | more})


def points() -> pd.DataFrame:
    rows = {"fov": "a", "population": "T", "track_id": 1, "frame": [0, 1], "label": 1}
    return schemas.filled(schemas.TrackPoints, {**rows, "x_px": [2.0, 3.0], "y_px": 5.0})


def test_it_is_checked_as_a_file_would_be(path: str) -> None:
    held = catalog(path)
    held.save("points", points())
    pd.testing.assert_frame_equal(held.load("points"), points())
    with pytest.raises(DatasetError, match=r"repeat the key"):
        held.save("points", pd.concat([points(), points()], ignore_index=True))


def test_a_table_of_another_program_gets_the_types_of_a_schema(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with sqlite3.connect(path) as db:
        points().to_sql("fields", db, index=False)
    held = catalog(str(path), schema="track_points")
    pd.testing.assert_frame_equal(held.load("points"), points())
    with pytest.raises(DatasetError):
        catalog(str(path)).load("points")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"path": "assay.xlsx"}, r"\.duckdb, or a URL"),
        ({"table": "a b"}, "letters, digits"),
        ({"path": "postgresql://ada:hush@host/lab"}, "PGPASSWORD"),
        ({"schema": "track_point"}, "track_points"),
    ],
)
def test_what_is_refused_at_once(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        DatabaseDataset(**{"path": "a.db", "table": "t"} | given)
    assert "hush" not in str(told.value)


def test_a_database_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    dataset = DatabaseDataset(path=f"sqlite:///{tmp_path}/a.db", table="t")
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"a\.db does not exist"):
        dataset.load()
    assert not list(tmp_path.iterdir())
