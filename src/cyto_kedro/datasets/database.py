"""Tables of a database: SQLite, DuckDB and PostgreSQL, read and written as Parquet ones are.

A table is replaced in one transaction, so that whoever reads it finds the old one or the new one. What
a column was (``Int64``, ``uint16``, truth or text) is kept beside it, in the table `DTYPES`, since no
database knows pandas' types: what is read is what was written.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset

from cyto_kedro import schemas
from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.kedro_private import TablePreview

#: The table that holds the pandas type of each column of the others.
DTYPES = "cyto_dtypes"
_SUFFIXES = {".sqlite": "sqlite", ".sqlite3": "sqlite", ".db": "sqlite", ".duckdb": "duckdb"}
_KINDS = {"b": "BOOLEAN", "i": "BIGINT", "u": "BIGINT", "f": "FLOAT8", "M": "TIMESTAMP"}
_EXTRA = 'is read by an extra library: pip install "cyto_kedro[databases]"'


class DatabaseDataset(AbstractDataset[pd.DataFrame, pd.DataFrame]):
    """One table of a database.

    Parameters
    ----------
    path
        A file (``.db``, ``.sqlite``: SQLite; ``.duckdb``: DuckDB), which is made where there is none, or
        a URL: ``sqlite:///results/assay.db``, ``duckdb:///results/assay.duckdb``,
        ``postgresql://ada@host/assay``. A password stands in ``PGPASSWORD`` or ``~/.pgpass``, not
        here.
    table
        Its name.
    schema
        One of `cyto_kedro.schemas.TABLES`: columns of a table that was not written by this program get
        its types.
    metadata
        Kept for plugins.

    Raises
    ------
    ConfigError
        For a path that is no database, a URL with a password, or a library that is not installed.

    Examples
    --------
    ::

        comparisons:
          type: cyto_kedro.datasets.DatabaseDataset
          path: ${_data}/assay.duckdb
          table: comparisons
          validator: {class: cyto_kedro.schemas.EachPartition, options: {table: comparisons}}
    """

    def __init__(
        self,
        *,
        path: str,
        table: str,
        schema: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        scheme, found, rest = str(path).partition("://")
        scheme = scheme.removeprefix("db+")
        if not found:
            scheme, rest = _SUFFIXES.get(Path(path).suffix.lower(), ""), f"/{path}"
        if scheme not in _OPENERS or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", table):
            raise ConfigError(
                f"{path}, table {table!r}: a database is a file .db, .sqlite or .duckdb, or a URL "
                "sqlite://, duckdb:// or postgresql://; the name of a table has letters, digits and _"
            )
        if re.match(r"[^/@]*:[^/@]*@", rest):
            raise ConfigError(
                f"{scheme}://…, table {table!r}: the URL holds a password, which would be kept in "
                "every run's record: leave it out, and set PGPASSWORD, or write it into ~/.pgpass"
            )
        if schema is not None and schema not in schemas.TABLES:
            raise ConfigError(f"table {table!r}: {unknown('schema', schema, schemas.TABLES)}")
        self._engine, self._schema, self.table = scheme, schema, table
        self._place = rest.removeprefix("/") if scheme != "postgresql" else f"postgresql://{rest}"
        # by it a run's lease is told from that of other tables
        self._path = f"{scheme}://{rest}#{table}"
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"path": self._place, "table": self.table}

    @contextlib.contextmanager
    def _open(self, writing: bool = False) -> Iterator[Any]:
        """A connection in a transaction; what goes wrong in the database is told by name."""
        if self._engine != "postgresql":
            if writing:
                Path(self._place).parent.mkdir(parents=True, exist_ok=True)
            elif not Path(self._place).is_file():
                raise InputError(f"the database {self._place} does not exist; correct its path")
        try:
            with _OPENERS[self._engine](self._place) as connection:
                yield connection
        except ImportError as error:
            raise ConfigError(f"{self._place} {_EXTRA} ({error})") from error
        except Exception as error:
            if type(error).__module__.split(".")[0] not in (
                "sqlite3",
                "_duckdb",
                "duckdb",
                "psycopg",
            ):
                raise
            raise InputError(f"{self._place}, table {self.table!r}: {error}") from error

    def _exists(self) -> bool:
        try:
            with self._open() as db:
                return _has(db, self.table)
        except InputError:
            return False

    def load(self) -> pd.DataFrame:
        """The table. Raises InputError if it is not there, or holds what its types do not allow."""
        return self._read()

    def _read(self, limit: str = "") -> pd.DataFrame:
        with self._open() as db:
            if not _has(db, self.table):
                raise InputError(f"{self._place} has no table {self.table!r}; correct its name")
            cursor = db.execute(f'SELECT * FROM "{self.table}"{limit}')
            names = [each[0] for each in cursor.description]
            rows = cursor.fetchall()
            mark, kept = _mark(db), {}
            if _has(db, DTYPES):
                asked = f"SELECT col, dtype FROM {DTYPES} WHERE tab = {mark}"
                kept = dict(db.execute(asked, (self.table,)).fetchall())
        frame = pd.DataFrame(rows, columns=pd.Index(names), dtype=object)
        for name in names:
            frame[name] = self._typed(frame[name], kept.get(name))
        if self._schema is not None and not kept:
            try:
                return schemas.conform(schemas.TABLES[self._schema], frame)
            except (ValueError, TypeError) as error:
                raise InputError(f"{self._place}, table {self.table!r}: {error}") from error
        return frame

    def _typed(self, column: pd.Series, dtype: str | None) -> pd.Series:
        if dtype is None:
            return column.infer_objects()
        if dtype == "object":
            return column
        try:
            if dtype == "bool":
                return column.astype("int64").astype(bool)
            return column.astype(pd.api.types.pandas_dtype(dtype))
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{self._place}, table {self.table!r}: column {column.name!r} was {dtype} and is not "
                f"any more ({error}): it was changed in the database"
            ) from error

    def save(self, data: pd.DataFrame) -> None:
        """Replace the table, whole or not at all.

        Raises InputError for what is no table, or a column that no database holds.
        """
        if not isinstance(data, pd.DataFrame):
            raise InputError(
                f"table {self.table!r}: expected a pandas table, got {type(data).__name__}"
            )
        columns = [_plain(data[name], f"table {self.table!r}") for name in data.columns]
        kinds = ", ".join(f'"{each.name}" {_kind(data[each.name])}' for each in columns)
        rows = list(zip(*(each.tolist() for each in columns), strict=True))
        with self._open(writing=True) as db:
            db.execute(f'DROP TABLE IF EXISTS "{self.table}"')
            db.execute(f'CREATE TABLE "{self.table}" ({kinds})')
            _insert(db, self.table, columns, rows)
            db.execute(f"CREATE TABLE IF NOT EXISTS {DTYPES} (tab TEXT, col TEXT, dtype TEXT)")
            db.execute(f"DELETE FROM {DTYPES} WHERE tab = {_mark(db)}", (self.table,))
            types = [(self.table, str(name), str(dtype)) for name, dtype in data.dtypes.items()]
            marks = ", ".join([_mark(db)] * 3)
            for each in types:
                db.execute(f"INSERT INTO {DTYPES} VALUES ({marks})", each)

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows for kedro-viz."""
        objects: Any = self._read(f" LIMIT {nrows}").astype(object)
        return TablePreview(objects.where(objects.notna(), None).to_dict(orient="split"))


def _kind(column: pd.Series) -> str:
    dtype: Any = column.dtype
    return _KINDS.get(getattr(dtype, "kind", "O"), "TEXT")


def _plain(column: pd.Series, where: str) -> pd.Series:
    """A column as Python's own values, nulls None."""
    kind = getattr(column.dtype, "kind", "O")
    zoned = isinstance(column.dtype, pd.DatetimeTZDtype)
    if '"' in str(column.name) or kind not in "biufMO" or zoned:
        raise InputError(f"{where}: column {column.name!r} ({column.dtype}) cannot be stored")
    if kind == "u" and (column > 2**63 - 1).any():
        raise InputError(f"{where}: column {column.name!r} holds {column.max()}, over 63 bits")
    if kind == "O":
        for value in column.dropna():
            if not isinstance(value, str):
                raise InputError(
                    f"{where}: column {column.name!r} holds {value!r}, which is no text"
                )
    if kind == "M":
        column = column.map(lambda time: time.isoformat(), na_action="ignore")
    objects: Any = column.astype(object)
    return objects.where(column.notna(), None)


def _insert(db: Any, table: str, columns: Sequence[pd.Series], rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        return
    if hasattr(db, "register"):  # DuckDB: as one Arrow table, since rows one by one are slow there
        import pyarrow as pa

        arrow = pa.table({str(each.name): pa.array(each.tolist()) for each in columns})
        db.register("cyto_rows", arrow)
        db.execute(f'INSERT INTO "{table}" SELECT * FROM cyto_rows')
        db.unregister("cyto_rows")
        return
    marks = ", ".join([_mark(db)] * len(columns))
    cursor = db.cursor()
    cursor.executemany(f'INSERT INTO "{table}" VALUES ({marks})', rows)


def _has(db: Any, table: str) -> bool:
    listed = "sqlite_master" if isinstance(db, sqlite3.Connection) else "information_schema.tables"
    column = "name" if isinstance(db, sqlite3.Connection) else "table_name"
    asked = f"SELECT 1 FROM {listed} WHERE {column} = {_mark(db)}"
    return db.execute(asked, (table,)).fetchone() is not None


def _mark(db: Any) -> str:
    """How a value is asked for in this database's SQL."""
    return "%s" if type(db).__module__.startswith("psycopg") else "?"


@contextlib.contextmanager
def _transaction(connection: Any, begin: str) -> Iterator[Any]:
    """Commit at the end, or roll back; the connection is closed."""
    with contextlib.closing(connection) as db:
        db.execute(begin)
        try:
            yield db
        except BaseException:
            db.rollback()
            raise
        db.commit()


def _sqlite(place: str) -> contextlib.AbstractContextManager[Any]:
    connection = sqlite3.connect(place, timeout=60, isolation_level=None)
    return _transaction(connection, "BEGIN IMMEDIATE")


def _duckdb(place: str) -> contextlib.AbstractContextManager[Any]:
    import duckdb

    return _transaction(duckdb.connect(place), "BEGIN")


def _postgresql(place: str) -> contextlib.AbstractContextManager[Any]:
    import psycopg

    connection: contextlib.AbstractContextManager[Any] = psycopg.connect(place)
    return connection  # commits at its end, or rolls back


_OPENERS: dict[str, Any] = {"sqlite": _sqlite, "duckdb": _duckdb, "postgresql": _postgresql}
