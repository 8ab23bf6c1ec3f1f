"""Condition and replicate of every field, and the time that cells were watched."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.reporting.groups import NO_CONDITION, any_known
from cyto_kedro.errors import ConfigError, InputError, unknown

ALL = "(all)"


def design(
    fields: pd.DataFrame,
    condition: str = "condition",
    replicate: str = "replicate",
    paired: bool | None = None,
) -> pd.DataFrame:
    """Condition and replicate of every field, in the order of `fields`.

    Parameters
    ----------
    fields
        `schemas.Fields` with the columns of the sample sheet.
    condition, replicate
        Columns of the sample sheet: what is compared (condition, dose, ...), and what was done
        independently of each other (replicate, donor, plate, ...).
    paired
        False: replicates of one name in two conditions have nothing in common. Otherwise they are
        one cluster, which is right too where the name means nothing (it costs some certainty).

    Returns
    -------
    pandas.DataFrame
        `fov`, `condition`, `replicate`, `cluster` (texts), `control` (bool). A blank condition is
        ``(no condition)``; a blank replicate is the field itself.

    Raises
    ------
    ConfigError
        If a column that was asked for is not in the sheet.
    """
    for key, name, usual in (
        ("condition", condition, "condition"),
        ("replicate", replicate, "replicate"),
    ):
        if name not in fields.columns and name != usual:
            columns = [str(each) for each in fields.columns]
            raise ConfigError(
                f"comparison.{key}: {unknown('column of the sample sheet', name, columns)} Without "
                "it fields cannot be put into groups"
            )
    fov = fields["fov"].astype(str)
    table = pd.DataFrame({"fov": fov, "condition": _texts(fields, condition)})
    table["condition"] = table["condition"].fillna(NO_CONDITION)
    table["replicate"] = _texts(fields, replicate).fillna(fov)
    alone = _escaped(table["condition"]) + "/" + _escaped(table["replicate"])
    table["cluster"] = alone if paired is False else table["replicate"]
    control = fields["control"] if "control" in fields.columns else False
    return table.assign(control=np.asarray(control, dtype=bool)).reset_index(drop=True)


def _texts(fields: pd.DataFrame, name: str) -> pd.Series:
    """A column as texts, null where it is blank or not there."""
    if name not in fields.columns:
        return pd.Series(None, index=fields.index, dtype=object)
    value = fields[name]
    if pd.api.types.is_float_dtype(value):  # a dose is called 5, not 5.0
        text = value.map("{:.15g}".format).astype(object)
    else:
        text = value.astype(str).str.strip().astype(object)
    return text.where(value.notna() & (text != ""))


def _escaped(text: pd.Series) -> pd.Series:
    """`text` in which no "/" stands alone, so that two texts joined by one are told apart."""
    return text.str.replace("\\", "\\\\", regex=False).str.replace("/", "\\/", regex=False)


def reference_of(design: pd.DataFrame, asked: str | None) -> str | None:
    """The condition that others are compared with; None: every pair of conditions.

    What was asked for, else the one condition whose fields the sample sheet calls control.

    Raises
    ------
    ConfigError
        If no field is of the condition that was asked for.
    """
    conditions = list(design["condition"].unique())
    if asked is not None:
        if asked not in conditions:
            raise ConfigError(f"comparison.reference: {unknown('condition', asked, conditions)}")
        return asked
    controls = list(design.loc[design["control"], "condition"].unique())
    mixed = set(design.loc[~design["control"], "condition"])
    return controls[0] if len(controls) == 1 and controls[0] not in mixed else None


def of_design(table: pd.DataFrame, design: pd.DataFrame) -> pd.DataFrame:
    """Add `condition`, `replicate` and `cluster` to `table` by its `fov`.

    Raises
    ------
    InputError
        If a field of the table is not in `design`.
    """
    missing = sorted(set(table["fov"]) - set(design["fov"]))
    if missing:
        raise InputError(
            f"comparison: field {missing[0]!r} is not among the fields, so its condition is unknown; "
            "run ingestion again"
        )
    table = table.drop(columns=["condition", "replicate", "cluster"], errors="ignore")
    return table.merge(design[["fov", "condition", "replicate", "cluster"]], on="fov", how="left")


def watched(fates: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The time each cell was watched alive, and the unit (``min``, or ``frames``).

    Cells dead at first sight are left out (their death was not observed), and so are those seen
    once, which were never at risk. Fields without times are left out where others have them; where
    none has, all are in frames. Returns columns fov, population, track_id, entry, leave, event,
    end_reason.
    """
    mine = fates[~fates["dead_at_first_sight"]]
    if any_known(fates["entry_min"]):
        mine = mine[mine["entry_min"].notna() & mine["exit_min"].notna()]
        unit, entry, leave = "min", mine["entry_min"], mine["exit_min"]
    else:
        unit, entry = "frames", mine["first_frame"].astype(float)
        death = mine["death_frame"].astype("Float64").fillna(mine["last_frame"])
        leave = death.where(mine["died"], mine["last_frame"]).astype(float)
    table = mine[["fov", "population", "track_id", "end_reason"]].assign(
        entry=entry.astype(float), leave=leave.astype(float), event=mine["died"].astype(bool)
    )
    return table[table["leave"] > table["entry"]].reset_index(drop=True), unit


def strata(
    rows: pd.DataFrame, design: pd.DataFrame
) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Rows of each population and condition, first all replicates together, then each.

    Conditions in the order of `design`; the key of all replicates is ``(all)``.
    """
    for population in sorted(rows["population"].unique()):
        for condition in design["condition"].unique():
            here = (rows["population"] == population) & (rows["condition"] == condition)
            both = {"condition": str(condition), "population": str(population)}
            if here.any():
                mine = rows[here]
                yield {**both, "replicate": ALL}, mine
                for replicate, one in mine.groupby("replicate", sort=True):
                    yield {**both, "replicate": str(replicate)}, one


def clocked(table: pd.DataFrame, unit: str, name: str = "time") -> pd.DataFrame:
    """`name` as ``<name>_min`` and ``<name>_frames``, one of them null."""
    time = table[name].astype(float)
    null = pd.Series(np.nan, index=table.index)
    columns = {f"{name}_min": time if unit == "min" else null}
    columns[f"{name}_frames"] = time if unit == "frames" else null
    return table.drop(columns=name).assign(**columns)
