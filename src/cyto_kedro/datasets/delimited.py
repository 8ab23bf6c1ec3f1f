"""Text files with separators, read as the texts that a person typed: nothing is guessed.

A cell stays what was typed (``NA``, ``01``, ``1E2``): no value is taken for missing but a blank, no text
for a number. What cannot be read without a guess is refused in one sentence.
"""

from __future__ import annotations

import codecs
import csv
import re
import unicodedata
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.errors import InputError

SEPARATORS = (",", ";", "\t")
# a program that shows tables takes a cell that begins so for a formula, and runs it
FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHERS = (
    (b"PK\x03\x04", "an Excel (or OpenDocument) file: name it .xlsx"),
    (b"\xd0\xcf\x11\xe0", "an old or protected Excel file: save it as .xlsx without a password"),
    (b"PAR1", "a Parquet file: name it .parquet"),
    (b"\x1f\x8b", "compressed: unpack it"),
    (b"{\\rtf", "a rich text document: save it as plain text, or as .xlsx"),
    (b"%PDF", "a PDF: save the table as .csv or .xlsx"),
)


def decode(content: bytes, where: str, encoding: str | None = None) -> str:
    """The text of a file: UTF-8 with or without its mark, UTF-16 or UTF-32 with it, or `encoding`.

    Raises InputError if it is of another kind or encoding: letters are then not known.
    """
    for magic, kind in _OTHERS:
        if content.startswith(magic):
            raise InputError(f"{where} is no plain text but {kind}")
    mark, code = next(((m, c) for m, c in _BOMS if content.startswith(m)), (b"", "utf-8"))
    body = content[len(mark) :]
    if not mark and body[:2000].count(0) > len(body[:2000]) / 4:  # ASCII as UTF-16 without its mark
        code = "utf-16-le" if body[1:2000:2].count(0) >= body[0:2000:2].count(0) else "utf-16-be"
    code = encoding or code
    try:
        text = body.decode(code)
    except LookupError as error:
        raise InputError(f"{where}: no encoding is called {encoding!r}") from error
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise InputError(
            f"{where}, line {line}: the byte 0x{body[error.start]:02x} is no {code.upper()}, so its "
            "letter is not known (Excel's plain CSV keeps letters such as µ in a code of its own): "
            "save it as 'CSV UTF-8' or .xlsx, or give load_args: {encoding: …} in the catalog"
        ) from error
    for lost, why in (("\0", "it holds zero bytes"), ("\ufffd", "it holds \ufffd, a letter lost")):
        if lost in text:
            line = text[: text.index(lost)].count("\n") + 1
            raise InputError(f"{where}, line {line}: {why}, so it was damaged: save it again")
    return text


def split(text: str, where: str, separator: str | None = None) -> list[list[str]]:
    """The cells of each line; the separator is what the header has most of, unless given.

    Raises InputError if a quotation mark is not closed.
    """
    first, _, rest = text.partition("\n")
    if told := re.fullmatch(r'"?sep=(.)"?\r?', first):  # Excel's own first line
        separator, text = separator or told[1], rest
    if separator is None:
        header = next((line for line in text.splitlines() if line.strip(" \t,;\"'")), "")
        bare = re.sub(r'"[^"]*"', "", header)
        separator = max(SEPARATORS, key=bare.count)
    try:
        return list(csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError(
            f"{where} is no table: {error} (is a quotation mark left open?); correct it, or save it "
            "as .xlsx"
        ) from error


def tabulate(rows: Iterable[Sequence[str]], where: str) -> tuple[pd.DataFrame, list[str]]:
    """A table of texts (blank: empty) from lines of cells, the header first, and what was doubtful.

    Texts are stripped and in Unicode's composed form (NFC). Blank lines, and cells beyond the header
    that are blank, are nothing.

    Raises InputError, naming the line: cells without a column, a column without a name, or with
    that of another.
    """
    lines = [
        (number, [tidy(cell) for cell in row]) for number, row in enumerate(rows, 1) if any(row)
    ]
    lines = [(number, row) for number, row in lines if any(row)]
    if not lines:
        raise InputError(f"{where} is empty; its first line must name the columns")
    header, body, said = lines[0][1], lines[1:], []
    while header and not header[-1]:
        header = header[:-1]
    for number, row in body:
        if extra := [cell for cell in row[len(header) :] if cell]:
            raise InputError(
                f"{where}, line {number}: {extra[0]!r} stands beyond the {len(header)} columns that "
                f"the first line names ({', '.join(header)}): name its column, or put a text that "
                "holds the separator (a decimal comma?) in quotation marks"
            )
        if len(row) < len(header):
            said.append(f"{where}, line {number}: {len(row)} cells of {len(header)}, others blank")
    kept = []
    for at, name in enumerate(header):
        if not name and (full := [n for n, row in body if len(row) > at and row[at]]):
            raise InputError(
                f"{where}: column {at + 1} has values (line {full[0]}) but no name; name it"
            )
        if name and name in header[:at]:
            raise InputError(f"{where}: two columns are called {name!r}; rename one")
        kept += [at] if name else []
    columns = {
        header[at]: np.array([row[at] if len(row) > at else "" for _, row in body], dtype=object)
        for at in kept
    }
    return pd.DataFrame(columns), said


def tidy(text: str) -> str:
    """A cell as it is compared: composed (NFC), without spaces and marks nobody sees around it."""
    return unicodedata.normalize("NFC", text).strip().strip("\ufeff\u200b\u2060").strip()


def typed(column: pd.Series) -> pd.Series:
    """`column` of texts as numbers or flags where that loses nothing, else as it is.

    Only where each text is what the number would be written as: ``01``, ``1E2``, ``NA`` stay texts, and
    so do their neighbours. Blanks become null.
    """
    full = column[column != ""]
    if full.empty:
        return column.mask(column == "") if len(column) else column
    if full.isin(["True", "False"]).all():
        flags = column.map({"True": True, "False": False})
        return flags.astype(bool) if len(full) == len(column) else flags.astype(object)
    kind: Any
    blank: Any
    for pattern, kind, blank in (
        (r"0|-?[1-9]\d{0,17}", "int64", "Int64"),
        (r"-?(?:\d+\.\d+(?:e[+-]\d+)?|\d(?:\.\d+)?e[+-]\d+)|-?inf", "float64", "float64"),
    ):
        if full.str.fullmatch(pattern).all():
            if kind == "float64" and [repr(float(text)) for text in full] != full.tolist():
                break
            if len(full) == len(column):
                return column.astype(kind)
            return column.mask(column == "").astype(blank)
    return column.mask(column == "")


def harmless(column: pd.Series) -> pd.Series:
    """`column` with an apostrophe before each text that a spreadsheet would take for a formula."""
    if pd.api.types.is_numeric_dtype(column) or column.dtype.kind in "Mm":
        return column
    return column.astype(object).map(
        lambda text: f"'{text}" if isinstance(text, str) and text.startswith(FORMULA) else text
    )


def as_typed(text: str) -> str:
    """The text that `harmless` was given."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA) else text
