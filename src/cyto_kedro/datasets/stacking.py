"""Partitions of a table stacked as they are read: many small files cost little more than a large one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import pandas as pd
import pyarrow as pa

#: a stack is handed on when it has so many rows: what a node that goes through an assay holds
STACK_ROWS: Final = 250_000
_PANDAS, _AFTER_INDEX = b"pandas", b'"column_indexes"'
_INDEX = re.compile(r"__index_level_\d+__")
Form = tuple[pa.Schema, bytes]


def stacked(
    parts: Iterable[tuple[str, pa.Table | pd.DataFrame]],
) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """Consecutive Arrow tables of one form as one pandas table, with the names of its parts.

    Each has the rows of one or more of `parts`, in order, numbered from 0. One whose columns or
    dtypes differ from those before it begins a table of its own, so that none is changed by
    what it is stacked with; a pandas table stays alone.

    Examples
    --------
    >>> one, two = (pa.Table.from_pandas(pd.DataFrame({"frame": [n]})) for n in (0, 1))
    >>> other = pa.Table.from_pandas(pd.DataFrame({"frame": [2.5]}))
    >>> parts = [("A1", one), ("A2", two), ("A3", other)]
    >>> [(names, list(table["frame"])) for names, table in stacked(parts)]
    [(['A1', 'A2'], [0, 1]), (['A3'], [2.5])]
    """
    names: list[str] = []
    tables: list[pa.Table] = []
    form: Form | None = None
    rows = 0
    for name, table in parts:
        own = None if isinstance(table, pd.DataFrame) else _form(table)
        full = rows and rows + len(table) > STACK_ROWS
        if tables and (full or not _alike(form, own, rows, len(table))):
            yield names, _as_pandas(tables, form)
            names, tables, rows = [], [], 0
        if own is None:
            yield [name], table
            continue
        form = own if len(table) or not tables else form
        names.append(name)
        tables.append(table)
        rows += len(table)
    if tables:
        yield names, _as_pandas(tables, form)


def _form(table: pa.Table) -> Form:
    """Columns and types of a table, and what pandas said of them when it was written."""
    said = (table.schema.metadata or {}).get(_PANDAS, b"")
    return table.schema.remove_metadata(), said.partition(_AFTER_INDEX)[2]


def _alike(one: Form | None, other: Form | None, *rows: int) -> bool:
    """Whether tables of two forms can be stacked; of one without rows pandas says less."""
    if one is None or other is None:
        return False
    return one[0] == other[0] and (one[1] == other[1] or not all(rows))


def _as_pandas(tables: list[pa.Table], form: Form | None) -> pd.DataFrame:
    """Arrow tables of one form, stacked; an index that each has is left out."""
    table = pa.concat_tables(tables)
    table = table.drop_columns([name for name in table.column_names if _INDEX.fullmatch(name)])
    if form is not None and form[1]:
        unnumbered = b'{"index_columns": [], ' + _AFTER_INDEX + form[1]
        table = table.replace_schema_metadata({_PANDAS: unnumbered})
    return table.to_pandas(use_threads=False)
