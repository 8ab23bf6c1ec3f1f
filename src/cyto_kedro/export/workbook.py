"""An Excel workbook of an assay: what happened to cells, and how conditions compare."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pandas as pd
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.errors import InputError
from cyto_kedro.export.field import load_rows
from cyto_kedro.schemas import TABLES
from cyto_kedro.schemas.words import MEANING, meaning, unit

log = logging.getLogger(__name__)

BY_FIELD = ("deaths", "kills", "bouts", "effectors", "targets")
OF_SHEET = ("condition", "replicate")
MOST_ROWS = 1_048_000  # Excel has room for 1,048,576 in a sheet, the two of the header among them


def write_workbook(path: Path, catalog: Any, fovs: tuple[str, ...] = ()) -> list[str]:
    """Write `BY_FIELD` and `comparisons`, a sheet each, and a sheet that explains all columns.

    Row 1 of a table has units, row 2 the names of its columns. `fovs`: these fields only, by
    default all; comparisons are of the whole assay and then left out. Returns the tables written.

    Raises InputError if none of them was made.
    """
    manifest: Manifest = catalog.load("manifest")
    fields = catalog.load("fields").set_index("fov")
    about = fields[[name for name in OF_SHEET if name in fields]]
    book = Workbook(write_only=True)
    columns: dict[str, list[str]] = {}
    lacking: dict[str, list[str]] = {}
    for name in BY_FIELD:
        lacking[name] = []
        made = _made(catalog, manifest, name, fovs or tuple(manifest.fovs), about, lacking[name])
        if (first := next(made, None)) is not None:
            front = ["fov", *about.columns]
            columns[name] = [*front, *(str(each) for each in first if each not in front)]
            _add(book, name, columns[name], _rows(first, made, columns[name]))
    if not fovs and catalog.exists("comparisons"):
        table = catalog.load("comparisons")
        columns["comparisons"] = list(table)
        _add(book, "comparisons", list(table), _rows(table, (), list(table)))
    if not columns:
        raise InputError(
            f"none of {', '.join(BY_FIELD)}, comparisons was made yet: kedro run first"
        )
    explained = [
        [name, column, unit(column), _meaning(name, column)]
        for name, each in columns.items()
        for column in each
    ]
    for name, without in lacking.items():
        if without:
            text = f"not made yet for {', '.join(without)}: kedro run"
            log.warning("the workbook's %s: %s", name, text)
            explained.append([name, "", "", text])
    _add(book, "columns", ["table", "column", "unit", "meaning"], explained, units=False)
    book.save(path)
    return list(columns)


def _made(
    catalog: Any,
    manifest: Manifest,
    name: str,
    fovs: tuple[str, ...],
    about: pd.DataFrame,
    lacking: list[str],
) -> Iterator[pd.DataFrame]:
    """A table field by field, with what the sheet says; fields without it are added to `lacking`."""
    for fov in fovs:
        part = load_rows(catalog, manifest, name, fov)
        if part is None:
            lacking.append(fov)
        else:
            yield part.join(about, on="fov")


def _meaning(table: str, column: str) -> str:
    schema = TABLES[table].to_schema().columns
    if column in schema:
        return meaning(table, column, schema[column].description)
    return MEANING.get(column, "from the sample sheet")


def _rows(
    first: pd.DataFrame, more: Iterable[pd.DataFrame], columns: list[str]
) -> Iterator[list[Any]]:
    for part in (first, *more):
        yield from part.reindex(columns=columns).astype(object).to_numpy().tolist()


def _add(
    book: Any, name: str, columns: list[str], rows: Iterable[list[Any]], units: bool = True
) -> None:
    """Add `rows` as a sheet, and as `name 2`, … what Excel has no room for in one."""
    waiting = iter(rows)
    for n in count(1):
        sheet = book.create_sheet(name if n == 1 else f"{name} {n}")
        top = 2 if units else 1
        sheet.freeze_panes = f"A{top + 1}"
        for at, column in enumerate(columns, 1):
            wide = 70 if column in ("meaning", "note") else len(column) + 4
            sheet.column_dimensions[get_column_letter(at)].width = wide
        if units:
            grey = Font(italic=True, color="808080")
            sheet.append([_cell(sheet, unit(each), grey) for each in columns])
        sheet.append([_cell(sheet, each, Font(bold=True)) for each in columns])
        n_rows = 0
        for n_rows, row in enumerate(islice(waiting, MOST_ROWS), 1):  # noqa: B007
            sheet.append([_plain(sheet, each) for each in row])
        sheet.auto_filter.ref = f"A{top}:{get_column_letter(len(columns))}{top + n_rows}"
        if n_rows < MOST_ROWS:
            return


def _cell(sheet: Any, text: str, font: Any = None) -> Any:
    cell = WriteOnlyCell(sheet, text)
    cell.data_type = "s"  # "=" begins no formula
    if font:
        cell.font = font
    return cell


def _plain(sheet: Any, value: Any) -> Any:
    """What Excel can hold: nothing where unknown, text without control characters."""
    if isinstance(value, str):
        text = ILLEGAL_CHARACTERS_RE.sub(" ", value)
        return _cell(sheet, text) if text.startswith("=") else text
    if value is None or pd.isna(value):
        return None
    return str(value) if isinstance(value, float) and math.isinf(value) else value
