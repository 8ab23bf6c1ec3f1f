"""Tables as Parquet (dtypes kept) or CSV."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import DatasetError

from cyto_kedro.datasets.atomic import FileDataset
from cyto_kedro.datasets.delimited import as_typed, decode, harmless, split, tabulate, typed
from cyto_kedro.errors import InputError, unknown
from cyto_kedro.kedro_private import TablePreview

log = logging.getLogger(__name__)

# fewer rows are read by one thread
_THREADS_ROWS = 100_000


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """`frame` as an Arrow table whose types do not depend on how many rows it has.

    A text column without values would get Arrow's type null, and an empty partition could then
    not be read together with the others: such columns are stored as text.
    """
    table = pa.Table.from_pandas(frame)
    fields = [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in table.schema]
    if fields == list(table.schema):
        return table
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


class TableDataset(FileDataset[pd.DataFrame, pd.DataFrame]):
    """A pandas table in one ``.parquet`` or ``.csv`` file, written whole or not at all.

    Parquet keeps every dtype, nullable integers too. A CSV has texts only: a column is read as numbers
    or flags where that loses nothing (`delimited.typed`: ``01``, ``1E2`` and ``NA`` stay texts), or as
    `load_args` say: ``dtype`` (column -> dtype, as in pandas), ``sep``, ``encoding``. A text that a
    spreadsheet would run as a formula is written with an apostrophe before it, and read without. For
    Parquet, `load_args` go to `pandas.read_parquet`, `save_args` to `pyarrow.parquet.write_table`;
    for CSV `save_args` go to `DataFrame.to_csv`.
    """

    @property
    def _csv(self) -> bool:
        suffix = self._filepath.suffix
        if suffix not in (".parquet", ".csv"):
            raise DatasetError(
                f"{self.location}: a table is stored as .parquet or .csv, not {suffix!r}; "
                "correct the filepath in the catalog"
            )
        return suffix == ".csv"

    def load(self) -> pd.DataFrame:
        """Read the table. Raises InputError if the file is not a readable table."""
        with self._read() as file:
            try:
                if self._csv:
                    return self._parse(file.read())
                if self._load_args:
                    return pd.read_parquet(file, engine="pyarrow", **self._load_args)
                # half of the time of the line above, which counts for the many small partitions
                found = pq.ParquetFile(file)
                wide = found.metadata.num_rows > _THREADS_ROWS
                return found.read(use_threads=wide).to_pandas(use_threads=wide)
            except pa.ArrowInvalid as error:
                raise self._unreadable(error) from error

    def columns(self, names: Collection[str]) -> pd.DataFrame:
        """Those of some columns that the table has; of a Parquet file no other is read."""
        if (found := self.arrow(names)) is not None:
            return found.to_pandas(use_threads=False)
        table = self.load()
        return table[[name for name in names if name in table]]

    def arrow(self, names: Collection[str] | None = None) -> pa.Table | None:
        """The table, or those of some columns that it has, as Arrow; None: not stored as such."""
        if self._csv or self._load_args:
            return None
        with self._read() as file:
            try:
                if names is None:  # at once: many such tables are small
                    whole = pa.BufferReader(file.read())
                    return pq.ParquetFile(whole, pre_buffer=False).read(use_threads=False)
                found = pq.ParquetFile(file)
                have = set(found.schema_arrow.names)
                return found.read([name for name in names if name in have], use_threads=False)
            except pa.ArrowInvalid as error:
                raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> InputError:
        return InputError(
            f"{self.location} is not a readable table ({error}). Delete it and run the "
            "pipeline that writes it, or supply it again."
        )

    def _parse(self, content: bytes, nrows: int | None = None) -> pd.DataFrame:
        given = dict(self._load_args)
        dtypes, sep = given.pop("dtype", {}), given.pop("sep", None)
        encoding = given.pop("encoding", None)
        if given:
            name = next(iter(given))
            raise InputError(
                f"{self.location}: load_args: {unknown('key', name, ('dtype', 'sep', 'encoding'))}"
            )
        rows = split(decode(content, self.location, encoding), self.location, sep)
        rows = rows if nrows is None else rows[: nrows + 1]
        table, said = tabulate(([as_typed(cell) for cell in row] for row in rows), self.location)
        for each in said:
            log.warning("%s", each)
        for name in table.columns:
            column = table[name]
            kind = dtypes.get(name)
            if kind is None:
                table[name] = typed(column)
            elif kind in (str, "str", "string", "object", object):
                table[name] = column.mask(column == "")
            else:
                try:
                    table[name] = pd.Series(pd.to_numeric(column.mask(column == ""))).astype(kind)
                except (ValueError, TypeError) as error:
                    raise InputError(
                        f"{self.location}: column {name} is not {kind} ({error}); correct the file"
                    ) from error
        return table

    def save(self, data: pd.DataFrame) -> None:
        """Write the table."""
        if not isinstance(data, pd.DataFrame):
            raise InputError(f"{self.location}: expected a pandas table, got {type(data).__name__}")
        try:
            self._write(lambda file: self._dump(data, file))
        except pa.ArrowException as error:
            raise InputError(f"{self.location}: a column cannot be stored: {error}") from error

    def _dump(self, data: pd.DataFrame, file: IO[bytes]) -> None:
        if self._csv:
            safe = data.copy(deep=False)
            for name in data.select_dtypes(exclude=["number", "bool", "datetime", "timedelta"]):
                safe[name] = harmless(data[name])
            safe.columns = pd.Index(harmless(pd.Series(list(data), dtype=object)))
            safe.to_csv(file, **{"index": False, **self._save_args})
        else:
            pq.write_table(to_arrow(data), file, **self._save_args)

    def glance(self) -> dict[str, Any] | None:
        """Rows and columns, off a Parquet's footer; None for a CSV."""
        if self._csv:
            return None
        with self._read() as file:
            found = pq.ParquetFile(file)
            names = [name for name in found.schema_arrow.names if not name.startswith("__")]
            return {"rows": found.metadata.num_rows, "columns": names}

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows for kedro-viz, read alone."""
        with self._read() as file:
            if self._csv:
                head = self._parse(file.read(), nrows)
            else:
                source = pq.ParquetFile(file)
                batch = next(source.iter_batches(batch_size=nrows), None)
                first = source.schema_arrow.empty_table() if batch is None else batch
                head = first.to_pandas()
        objects: Any = head.astype(object)
        plain = objects.where(head.notna(), None)
        return TablePreview(plain.to_dict(orient="split"))
