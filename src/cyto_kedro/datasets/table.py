"""Tables as Parquet (dtypes kept) or CSV."""

from __future__ import annotations

from typing import IO, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import DatasetError
from kedro_datasets._typing import TablePreview

from cyto_kedro.datasets.atomic import FileDataset
from cyto_kedro.errors import InputError


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """`frame` as an Arrow table whose types do not depend on how many rows it has.

    A text column without values would get Arrow's type null, and an empty partition could then
    not be read together with the others: such columns are stored as text.
    """
    table = pa.Table.from_pandas(frame)
    fields = [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


class TableDataset(FileDataset[pd.DataFrame, pd.DataFrame]):
    """A pandas table in one ``.parquet`` or ``.csv`` file, written whole or not at all.

    Parquet keeps every dtype, nullable integers too; CSV keeps what `load_args` (as for
    `pandas.read_csv`) restore. For Parquet, `load_args` go to `pandas.read_parquet`, `save_args` to
    `pyarrow.parquet.write_table`; for CSV `save_args` go to `DataFrame.to_csv`.
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
        """Read the table.

        Raises
        ------
        InputError
            If the file is not a readable table.
        """
        with self._read() as file:
            try:
                if self._csv:
                    return cast(pd.DataFrame, pd.read_csv(file, **self._load_args))
                return pd.read_parquet(file, engine="pyarrow", **self._load_args)
            except (pa.ArrowInvalid, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
                raise InputError(
                    f"{self.location} is not a readable table ({error}). Delete it and run the "
                    "pipeline that writes it, or supply it again."
                ) from error

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
            data.to_csv(file, **{"index": False, **self._save_args})
        else:
            pq.write_table(to_arrow(data), file, **self._save_args)

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows for kedro-viz, read alone."""
        with self._read() as file:
            if self._csv:
                head = pd.read_csv(file, **{**self._load_args, "nrows": nrows})
            else:
                source = pq.ParquetFile(file)
                batch = next(source.iter_batches(batch_size=nrows), None)
                first = source.schema_arrow.empty_table() if batch is None else batch
                head = first.to_pandas()
        plain = head.astype(object).where(head.notna(), None)
        return TablePreview(plain.to_dict(orient="split"))
