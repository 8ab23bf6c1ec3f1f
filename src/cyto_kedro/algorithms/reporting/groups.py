"""What tables are grouped by: condition and replicate (sample sheet), role (assay), time unit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.schemas import ROLES

NO_CONDITION = "(no condition)"


def with_condition(table: pd.DataFrame, sample_sheet: pd.DataFrame | None) -> pd.DataFrame:
    """Add the columns `condition` and `replicate` (strings) to `table` by its `fov`.

    A sheet without a column `condition`, or a blank one, gives ``(no condition)``; one without
    `replicate` makes each fov its own replicate. A `condition` already in `table` is replaced.

    Raises
    ------
    InputError
        If a fov of `table` is not in the sheet, or stands in it twice.
    """
    table = table.drop(columns=["condition", "replicate"], errors="ignore")
    if sample_sheet is None or "fov" not in sample_sheet.columns:
        return table.assign(condition=NO_CONDITION, replicate=table["fov"].astype(str))
    twice = sample_sheet.loc[sample_sheet["fov"].duplicated(), "fov"]
    if len(twice):
        raise InputError(
            f"sample sheet: fov {twice.iloc[0]!r} has several rows, so its condition is not "
            "one; keep one row per fov"
        )
    missing = sorted(set(table["fov"]) - set(sample_sheet["fov"]))
    if missing:
        raise InputError(
            f"sample sheet: field {missing[0]!r} has no row (listed: "
            f"{', '.join(map(str, sample_sheet['fov']))}), so its condition is unknown; add one"
        )
    sheet = sample_sheet.set_index("fov")
    added = {}
    for name, instead in (("condition", NO_CONDITION), ("replicate", None)):
        filler = table["fov"].astype(str)
        if instead is not None:
            filler = pd.Series(instead, index=table.index, dtype=object)
        if name in sheet.columns:
            value = table["fov"].map(sheet[name].astype(object))
            filler = filler.where(value.isna() | (value == ""), value.astype(str))
        added[name] = filler
    return table.assign(**added)


def condition_order(sample_sheet: pd.DataFrame | None, present: pd.Series) -> list[str]:
    """The conditions in `present`, in the order of the sample sheet."""
    here = [str(name) for name in pd.unique(present)]
    if sample_sheet is None or "condition" not in sample_sheet.columns:
        return sorted(here)
    listed = [str(name) for name in pd.unique(sample_sheet["condition"].dropna())]
    return [name for name in listed if name in here] + sorted(set(here) - set(listed))


def of_role(roles: Mapping[str, str], role: str) -> list[str]:
    """The populations with `role`, in the order declared.

    Raises
    ------
    ConfigError
        If any population has a role that does not exist.
    """
    for population, given in roles.items():
        if given not in ROLES:
            raise ConfigError(f"population {population!r}: {unknown('role', given, ROLES)}")
    return [population for population, given in roles.items() if given == role]


def known(*columns: pd.Series) -> bool:
    """Whether no value is null: one uncalibrated field puts the whole figure in px or frames."""
    return all(not bool(column.isna().any()) for column in columns)


def any_known(column: pd.Series) -> bool:
    """Whether any value is there, or none is asked for.

    Where some fields have times (or sizes), those without are left out and said
    (`summary.quality_warnings`); they do not put the others in frames.
    """
    return len(column) == 0 or bool(column.notna().any())


def between(bouts: pd.DataFrame, roles: Mapping[str, str]) -> pd.DataFrame:
    """Rows of a pair table (`Contacts`, `Bouts`) that join an effector and a target."""
    a, b = bouts["population_a"].map(roles), bouts["population_b"].map(roles)
    crossed = ((a == "effector") & (b == "target")) | ((a == "target") & (b == "effector"))
    return bouts[np.asarray(crossed, dtype=bool)]
