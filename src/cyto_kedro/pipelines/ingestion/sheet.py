"""The sample sheet: what each field of view is."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.datasets.name_parts import well_name
from cyto_kedro.errors import InputError, missing, nearest

log = logging.getLogger(__name__)

# column -> value where the sheet has none; other columns pass through untouched
DEFAULTS: dict[str, Any] = {
    "condition": "",
    "replicate": "",
    "control": False,
    "exclude": False,
    "exclude_frames": "",
    "exclude_reason": "",
    "time_offset_min": 0.0,
}
NUMBERS = ("time_offset_min", "dose", "et_ratio")
FLAGS = ("control", "exclude")
# what tables and figures call all replicates, their mean, and fields without a condition
RESERVED = ("(all)", "(mean)", "(no condition)")
KNOWN = (
    *("fov", *DEFAULTS, "plate", "well", "treatment", "dose", "dose_unit", "donor", "et_ratio"),
    "viability_control",
)
_TRUE = {"true", "yes", "1", "x", "y"}
_FALSE = {"false", "no", "0", "", "n"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def read_sheet(sheet: pd.DataFrame) -> pd.DataFrame:
    """Check a sample sheet and fill in its optional columns.

    Columns: ``fov`` (required, unique), ``condition``, ``replicate`` (default: the field itself),
    ``control`` (effector-free or untreated), ``exclude`` with ``exclude_reason``, ``exclude_frames``
    (``3-5; 10``), ``time_offset_min`` (added to the field's times), ``plate``, ``well``,
    ``treatment``, ``dose``, ``dose_unit``, ``donor``, ``et_ratio``, and any other. All are texts as
    they were typed, but for the flags `FLAGS` and the numbers `NUMBERS` (null where blank).

    Raises InputError: no column fov, a field listed twice, a column that is nearly a known one, a
    flag that is neither yes nor no, a number that is none, an exclusion without its reason.
    """
    sheet = pd.DataFrame({tidy(name): sheet[name].map(text_of) for name in sheet.columns})
    if "fov" not in sheet.columns:
        raise InputError(
            f"sample sheet: {missing('column', 'fov', [str(name) for name in sheet.columns])} It "
            "names the field that each row is about"
        )
    _check_columns([str(name) for name in sheet.columns])
    if (blank := sheet["fov"] == "").any():
        row = sheet.loc[blank].iloc[0]
        held = ", ".join(f"{name} {value!r}" for name, value in row.items() if value)
        raise InputError(f"sample sheet: a row without fov ({held or 'blank'}): name its field")
    if twice := sorted(sheet.loc[sheet["fov"].duplicated(), "fov"]):
        raise InputError(f"sample sheet: field {twice[0]!r} has several rows; keep one")
    for name, default in DEFAULTS.items():
        if name not in sheet.columns:
            sheet[name] = default if isinstance(default, str) else ""
    for name in FLAGS:
        flags = [_flag(name, *pair) for pair in zip(sheet["fov"], sheet[name], strict=True)]
        sheet[name] = np.array(flags, bool)
    for name in NUMBERS:
        if name in sheet.columns:
            values = [_number(name, *pair) for pair in zip(sheet["fov"], sheet[name], strict=True)]
            sheet[name] = np.array(values, float)
    sheet["time_offset_min"] = sheet["time_offset_min"].fillna(0.0)
    sheet["replicate"] = sheet["replicate"].where(sheet["replicate"] != "", sheet["fov"])
    silent = (sheet["exclude"] | (sheet["exclude_frames"] != "")) & (sheet["exclude_reason"] == "")
    if silent.any():
        raise InputError(
            f"sample sheet: field {sheet.loc[silent, 'fov'].iloc[0]!r} is excluded, wholly or in "
            "part, without exclude_reason: a reader of the report must know why"
        )
    for name in ("condition", "replicate", "donor", "plate", "well"):
        if name in sheet.columns and (taken := sheet[name].isin(RESERVED)).any():
            raise InputError(
                f"sample sheet: field {sheet.loc[taken, 'fov'].iloc[0]!r}: {name} cannot be "
                f"{sheet.loc[taken, name].iloc[0]!r}, which the results say of several together"
            )
    _warn_of_twins(sheet)
    return sheet


def with_place(row: Mapping[Any, Any], plate: str, well: str) -> tuple[dict[Any, Any], list[str]]:
    """A field's row with plate and well of its path, where the sheet is silent; and what disagrees.

    The well is written as people do, ``B7`` of ``B07``; where sheet and path differ the sheet holds.
    """
    placed, said = dict(row), []
    for column, by_path in (("plate", plate), ("well", well_name(well))):
        listed = str(row.get(column, ""))
        if not listed and by_path:
            placed[column] = by_path
        elif by_path and well_name(listed) != well_name(by_path):
            said.append(
                f"the sample sheet says {column} {listed!r}, the path {by_path!r}: the sheet's is used"
            )
    return placed, said


def tidy(text: object) -> str:
    """A text as it is compared: in Unicode's composed form (NFC), without spaces around it."""
    return unicodedata.normalize("NFC", str(text)).strip()


def text_of(value: object) -> str:
    """A cell of the sheet as text; a table made in a program may hold numbers, and nulls."""
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return tidy(value)


def _check_columns(columns: list[str]) -> None:
    """Refuse a column that is nearly a known one: what it says would not be heeded."""
    for name in columns:
        if name in KNOWN:
            continue
        squeezed = re.sub(r"\W|_", "", name).lower()
        spelled = {known.replace("_", ""): known for known in KNOWN}
        more = [k for k in KNOWN if k in columns and re.fullmatch(rf"{k}(_.+|\d+)", name)]
        near = spelled.get(squeezed) or next(
            (known for flat, known in spelled.items() if sorted(flat) == sorted(squeezed)), None
        )
        if near is None and not more:
            flat = nearest(squeezed, spelled, cutoff=0.8)
            near = spelled[flat] if flat else None
        if near is not None:
            raise InputError(
                f"sample sheet: unknown column {name!r}. Did you mean {near!r}? It is read only when "
                "spelled so; give a column of your own a name that cannot be taken for it"
            )


def _flag(column: str, fov: str, text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise InputError(f"sample sheet: field {fov!r}: {column} is {text!r}; write true or false")


def _number(column: str, fov: str, text: str) -> float:
    """A number typed with a decimal point or comma; an E:T ratio may be ``5:1``. Blank: NaN.

    Raises InputError if it is none, or may be two (``1,000``).
    """
    if not text:
        return np.nan
    what = "is not a number of minutes" if column == "time_offset_min" else "is not a number"
    plain = text.replace("\u2212", "-")
    parts = plain.split(":") if column == "et_ratio" else [plain]
    if re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", plain):
        what = "may be a thousand or a decimal comma"
    else:
        parts = [re.sub(r"^([^.,]*),([^.,]*)$", r"\1.\2", part.strip()) for part in parts]
        if len(parts) <= 2 and all(_NUMBER.fullmatch(part) for part in parts):
            value = float(parts[0]) / (float(parts[1]) or np.nan) if parts[1:] else float(parts[0])
            if value < 0 and column == "et_ratio":
                what = "is below 0"
            elif np.isfinite(value):
                return value
    raise InputError(
        f"sample sheet: field {fov!r}: {column} {what}: {text!r}. Write digits alone (0.5), a unit "
        "in a column of its own, and nothing where it is not known"
    )


def _warn_of_twins(sheet: pd.DataFrame) -> None:
    """Warn of texts that a reader takes for one: they are groups of their own."""
    for column in ("condition", "replicate", "donor", "plate"):
        alike: dict[str, set[str]] = defaultdict(set)
        for text in sheet[column] if column in sheet.columns else ():
            # a reader does not see marks such as a zero-width space either
            plain = "".join(c for c in text if unicodedata.category(c) != "Cf")
            alike[" ".join(unicodedata.normalize("NFKC", plain).casefold().split())].add(text)
        for texts in alike.values():
            if len(texts) > 1:
                log.warning(
                    "sample sheet: the %ss %s look alike but are written differently, so they are "
                    "kept apart; write them alike if they are one",
                    column,
                    " and ".join(repr(text) for text in sorted(texts)),
                )


def excluded_frames(fov: str, text: str, n_frames: int) -> np.ndarray:
    """Which frames ``3-5; 10`` names: bool (n_frames,).

    Raises InputError if the text is not such a list, or names a frame that the film does not have.
    """
    mask = np.zeros(n_frames, bool)
    for part in filter(None, (each.strip() for each in re.split(r"[;,]", text))):
        match = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", part)
        if match is None:
            raise InputError(
                f"sample sheet: field {fov!r}: exclude_frames {text!r} is not a list of frames "
                "such as '3-5; 10' (both ends included, the first frame is 0)"
            )
        start, stop = int(match[1]), int(match[2] or match[1])
        if stop >= n_frames or start > stop:
            raise InputError(
                f"sample sheet: field {fov!r}: exclude_frames {part!r} is not within the film's "
                f"frames 0-{n_frames - 1}"
            )
        mask[start : stop + 1] = True
    return mask
