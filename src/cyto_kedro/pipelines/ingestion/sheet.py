"""The sample sheet: what each field of view is."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.errors import InputError, unknown

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
KNOWN = ("fov", *DEFAULTS, "plate", "well", "dose", "donor", "et_ratio", "viability_control")
_TRUE = {"true", "yes", "1", "1.0", "x"}
_FALSE = {"false", "no", "0", "0.0", "", "nan"}


def read_sheet(sheet: pd.DataFrame) -> pd.DataFrame:
    """Check a sample sheet and fill in its optional columns.

    Columns: ``fov`` (required, unique), ``condition``, ``replicate`` (default: the field itself),
    ``control`` (effector-free or untreated), ``exclude`` with ``exclude_reason``, ``exclude_frames``
    (``3-5; 10``), ``time_offset_min`` (added to the field's times), ``plate``, ``well``, ``dose``,
    ``donor``, ``et_ratio``, and any other.

    Raises
    ------
    InputError
        No column fov, a field listed twice, a column that is nearly a known one, a flag that is
        neither yes nor no, an exclusion without its reason.
    """
    if "fov" not in sheet.columns:
        raise InputError(
            f"sample sheet: {unknown('column', 'fov', [str(name) for name in sheet.columns])} The "
            "column fov names the field that each row is about"
        )
    for name in sheet.columns:
        squeezed = re.sub(r"\W|_", "", str(name)).lower()
        for known in KNOWN:
            if squeezed == known.replace("_", "") and name != known:
                raise InputError(
                    f"sample sheet: column {name!r} is read only when spelled {known!r}"
                )
    sheet = sheet.copy()
    sheet["fov"] = sheet["fov"].astype(str).str.strip()
    if twice := sorted(sheet.loc[sheet["fov"].duplicated(), "fov"]):
        raise InputError(f"sample sheet: field {twice[0]!r} has several rows; keep one")
    for name, default in DEFAULTS.items():
        if name not in sheet.columns:
            sheet[name] = default
    for name in ("control", "exclude"):
        flags = [_flag(name, *pair) for pair in zip(sheet["fov"], sheet[name], strict=True)]
        sheet[name] = np.array(flags, bool)
    for name in ("condition", "exclude_frames", "exclude_reason"):
        sheet[name] = sheet[name].fillna("").astype(str).str.strip()
    replicate = sheet["replicate"].fillna("").astype(str).str.strip()
    sheet["replicate"] = replicate.where(replicate != "", sheet["fov"])
    offset = pd.to_numeric(sheet["time_offset_min"].fillna(0), errors="coerce")
    if offset.isna().any():
        fov = sheet.loc[offset.isna(), "fov"].iloc[0]
        raise InputError(f"sample sheet: field {fov!r}: time_offset_min is not a number of minutes")
    sheet["time_offset_min"] = offset.astype(float)
    silent = (sheet["exclude"] | (sheet["exclude_frames"] != "")) & (sheet["exclude_reason"] == "")
    if silent.any():
        raise InputError(
            f"sample sheet: field {sheet.loc[silent, 'fov'].iloc[0]!r} is excluded, wholly or in "
            "part, without exclude_reason: a reader of the report must know why"
        )
    return sheet


def _flag(column: str, fov: str, value: object) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise InputError(f"sample sheet: field {fov!r}: {column} is {value!r}; write true or false")


def excluded_frames(fov: str, text: str, n_frames: int) -> np.ndarray:
    """Which frames ``3-5; 10`` names: bool (n_frames,).

    Raises
    ------
    InputError
        If the text is not such a list, or names a frame that the film does not have.
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
