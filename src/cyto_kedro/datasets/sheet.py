"""The sample sheet as a lab has it: CSV, semicolons, tabs, Excel or Parquet, always as texts."""

from __future__ import annotations

import logging
import re
from datetime import date, datetime, time, timedelta
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any
from zipfile import BadZipFile

import pandas as pd
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem
from kedro.io import DatasetError

from cyto_kedro.datasets.delimited import as_typed, decode, split, tabulate
from cyto_kedro.datasets.table import TableDataset
from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import InputError
from cyto_kedro.kedro_private import TablePreview

log = logging.getLogger(__name__)

SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".parquet")
REFUSED = (".xls", ".ods", ".numbers")


class SampleSheetDataset(TableDataset):
    """The sample sheet, every column as texts.

    Parameters
    ----------
    filepath
        The sheet, whose ending may be any of .csv, .tsv, .txt, .xlsx, .parquet: what lies there under
        the same name is read. Two sheets that differ are refused.
    path
        Folder of the films: a sheet of that name beside them wins over `filepath`, and is said.
    load_args
        ``sep`` and ``encoding`` where the file does not show them; ``sheet`` of an Excel file.
    """

    def __init__(self, *, filepath: str, path: str | None = None, **options: Any) -> None:
        super().__init__(filepath=filepath, **options)
        self._beside = path
        self._told = ""  # a run's plan and its node both read the sheet

    def _describe(self) -> dict[str, Any]:
        return super()._describe() | ({"path": self._beside} if self._beside else {})

    def _candidates(self) -> list[str]:
        """The sheets that are there; those beside the films first, then alone."""
        stems = [self._filepath.with_suffix("")]
        if self._beside:
            folder = find_place(self._beside, **self._storage_options)[1]
            stems.insert(0, PurePosixPath(folder) / stems[0].name)
        for stem in stems:
            paths = [f"{stem}{suffix}" for suffix in (*SUFFIXES, *REFUSED)]
            if found := [each for each in paths if self._fs.isfile(each)]:
                return found
        return []

    def _exists(self) -> bool:
        return bool(self._candidates())

    def load(self) -> pd.DataFrame:
        """Read the sheet, all texts; what the file leaves in doubt is warned of.

        Raises InputError if there is none, it cannot be read without a guess, or two differ.
        """
        found = self._candidates()
        if not found:
            place = self._shown(str(self._filepath))
            where = f"{self._beside} or {self._filepath.parent}" if self._beside else place
            raise InputError(
                f"there is no sample sheet: {where} does not exist. Write one, a row for each field "
                f"of view (docs/your_data.md), as {self._filepath.stem}.csv or .xlsx beside the films"
            )
        tables = {path: self._read_sheet(path) for path in found}
        first, sheet = next(iter(tables.items()))
        for path, other in tables.items():
            if not sheet.equals(other):
                raise InputError(
                    f"two sample sheets differ: {self._shown(first)} and {self._shown(path)}; which "
                    "holds? Remove one"
                )
        told = f"sample sheet: {self._shown(first)}, {len(sheet)} fields"
        if told != self._told:
            log.info(told)
            self._told = told
        kept = self._filepath.parent
        if PurePosixPath(first).parent != kept and self._fs.isfile(self._path):
            shown = self._shown(first), self._shown(self._path)
            log.warning("the sample sheet beside the films is read, %s, not %s", *shown)
        return sheet

    def _shown(self, path: str) -> str:
        return (
            path if isinstance(self._fs, LocalFileSystem) else str(self._fs.unstrip_protocol(path))
        )

    def _read_sheet(self, path: str) -> pd.DataFrame:
        where = f"sample sheet {self._shown(path)}"
        content: bytes = self._fs.cat_file(path)
        suffix = PurePosixPath(path).suffix
        if suffix in REFUSED:
            raise InputError(f"{where}: {suffix} files are not read; save it as .xlsx or .csv")
        if suffix == ".xlsx":
            rows = excel_rows(content, where, self._load_args.get("sheet"))
        elif suffix == ".parquet":
            rows = parquet_rows(content, where)
        else:
            text = decode(content, where, self._load_args.get("encoding"))
            rows = [
                [as_typed(c) for c in row] for row in split(text, where, self._load_args.get("sep"))
            ]
        table, said = tabulate(rows, where)
        for each in said:
            log.warning("%s", each)
        return table

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows for kedro-viz, which goes by the type that is returned."""
        return TablePreview(self.load().head(nrows).to_dict(orient="split"))

    def _save(self, data: pd.DataFrame) -> None:
        raise DatasetError("the sample sheet is the user's; it is never written")


def excel_rows(content: bytes, where: str, sheet: str | None = None) -> list[list[str]]:
    """The cells of an Excel sheet as they are shown; of several sheets the one with a column fov.

    Raises InputError, naming the cell: an error, a formula without its value, a date where a name
    is meant (Excel makes ``1-2`` one, and a time of ``5:1``), merged cells; or no such sheet, or
    several.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(BytesIO(content), data_only=True)
        formulas = load_workbook(BytesIO(content))
    except (BadZipFile, InvalidFileException, KeyError, ValueError, TypeError, OSError) as error:
        raise InputError(
            f"{where} cannot be read as Excel's .xlsx ({error}): save it again from Excel, without a "
            "password, or as 'CSV UTF-8'"
        ) from error
    names = [each.title for each in book.worksheets]
    if sheet is not None and sheet not in names:
        raise InputError(f"{where} has no sheet {sheet!r}; it has {', '.join(names)}")
    wanted = [sheet] if sheet else [n for n in names if _first(book[n])] or names[:1]
    if len(wanted) > 1:
        raise InputError(
            f"{where}: the sheets {', '.join(wanted)} each have a column fov; keep one, or name it "
            "in the catalog (load_args: {sheet: …})"
        )
    page, written = book[wanted[0]], formulas[wanted[0]]
    if page.merged_cells.ranges:
        raise InputError(
            f"{where}: cells {sorted(map(str, page.merged_cells.ranges))[0]} are merged, so only the "
            "first holds a value: unmerge them and write it in each row"
        )
    rows: list[list[str]] = []
    header: list[str] = []
    for line in page.iter_rows():
        cells = []
        for at, cell in enumerate(line):
            name = header[at] if at < len(header) else ""
            if cell.value is None and written[cell.coordinate].data_type == "f":
                raise InputError(
                    f"{where}, cell {cell.coordinate} is a formula without a saved value: open and "
                    "save the file in Excel"
                )
            cells.append(_shown_cell(cell, f"{where}, cell {cell.coordinate}", name))
        rows.append(cells)
        header = header or ([text.strip().lower() for text in cells] if any(cells) else [])
    return rows


def _first(page: Any) -> bool:
    """Whether the first line that holds anything names a column fov."""
    for line in page.iter_rows(values_only=True):
        if any(cell is not None for cell in line):
            return any(str(cell).strip().lower() == "fov" for cell in line)
    return False


def _shown_cell(cell: Any, where: str, column: str) -> str:
    value, shape = cell.value, str(cell.number_format)
    if value is None:
        return ""
    if cell.data_type == "e":
        raise InputError(f"{where} holds Excel's error {value}: correct it")
    if isinstance(value, date | datetime | time | timedelta):
        if re.fullmatch(r"date|day|time|.*_(date|day)", column):
            return str(value)
        raise InputError(
            f"{where} (column {column or '?'}) holds the date or time {value}, which Excel may have "
            "made of other text, such as 1-2 or 5:1: format the column as text and type it again"
        )
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        if shape.endswith("%"):
            return f"{value * 100:.15g}%"
        if re.fullmatch("0+", shape) and float(value).is_integer():
            return str(int(value)).zfill(len(shape))  # shown as 01
        return plain(value)
    return str(value)


def plain(value: float) -> str:
    """A number as a person writes it: 10 and not 10.0, 0.5."""
    return str(int(value)) if float(value).is_integer() else f"{value:.15g}"


def parquet_rows(content: bytes, where: str) -> list[list[str]]:
    """The cells of a Parquet table as texts.

    Raises InputError if it is not a readable Parquet file.
    """
    try:
        table = pd.read_parquet(BytesIO(content), engine="pyarrow")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{where} is no readable Parquet file ({error}); write it again"
        ) from error
    rows = [[str(name) for name in table.columns]]
    for line in table.astype(object).to_numpy():
        rows.append([_text(each) for each in line])
    return rows


def _text(value: object) -> str:
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return ""
    if isinstance(value, float) and value not in (float("inf"), float("-inf")):
        return plain(value)
    return str(value)
