"""What was in each well: a list of wells, or a picture of the plate, as CSV or Excel."""

from __future__ import annotations

import re
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from cyto_kedro.datasets.delimited import as_typed, decode, split, tabulate
from cyto_kedro.datasets.name_parts import WELL, well_name
from cyto_kedro.datasets.sheet import excel_rows
from cyto_kedro.errors import InputError


def read_plate_map(path: Path) -> pd.DataFrame:
    """A row per well (or per field, of a list with a column fov), all texts.

    A **list** has a column ``well`` or ``fov`` and any others (condition, replicate, dose, …). A
    **plate** has rows A, B, … and columns 1, 2, …, with the condition in each cell; an empty one was
    not used.

    Raises InputError if it is neither, or names a well twice.
    """
    where = f"plate map {path}"
    content = path.read_bytes()
    if path.suffix.lower() == ".xlsx":
        rows = excel_rows(content, where)
    else:
        rows = [[as_typed(cell) for cell in row] for row in split(decode(content, where), where)]
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if [cell for cell in header[1:] if cell] and all(
        re.fullmatch(r"\d+", c) for c in header[1:] if c
    ):
        table = _plate(rows, where)
    elif {"well", "fov"} & set(header):
        table, _ = tabulate([header, *rows[1:]], where)
    else:
        raise InputError(
            f"{where} is neither a list (a column well or fov) nor a plate (columns 1, 2, … and rows "
            f"A, B, …): its first line is {', '.join(header) or 'blank'}"
        )
    key = "fov" if "fov" in table.columns else "well"
    if key == "well":
        for text in table["well"]:
            if not re.fullmatch(WELL, text):
                raise InputError(f"{where}: {text!r} is no well; write A1, B12, …")
        table["well"] = table["well"].map(well_name)
    keys = [key, *(["plate"] if key == "well" and "plate" in table.columns else [])]
    if (twice := table[keys].duplicated()).any():
        raise InputError(f"{where}: {key} {table.loc[twice, key].iloc[0]!r} stands there twice")
    return table


def _plate(rows: list[list[str]], where: str) -> pd.DataFrame:
    numbers = [cell.strip() for cell in rows[0][1:]]
    found = []
    for row in rows[1:]:
        letter = row[0].strip().upper()
        if not re.fullmatch(r"[A-P]", letter):
            raise InputError(f"{where}: a plate's row is called A to P, not {row[0]!r}")
        for number, cell in zip_longest(numbers, row[1:], fillvalue=""):
            if cell.strip() and not number:
                raise InputError(
                    f"{where}: {cell.strip()!r} in row {letter} stands in no numbered column; write the "
                    "column's number in the first line"
                )
            if cell.strip():
                found.append({"well": f"{letter}{int(number)}", "condition": cell.strip()})
    return pd.DataFrame(found, columns=["well", "condition"], dtype=str)
