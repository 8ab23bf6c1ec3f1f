"""What tables are grouped by: condition and replicate (sample sheet), role (assay), time unit.

The one join of a field's condition and replicate that every stage uses.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.schemas import ROLES

NO_CONDITION = "(no condition)"
#: columns of the sample sheet that a comparison may need beside condition and replicate
CARRIED = ("treatment", "dose", "dose_unit", "et_ratio", "plate", "well", "donor")


def with_condition(table: pd.DataFrame, sample_sheet: pd.DataFrame | None) -> pd.DataFrame:
    """Add the columns `condition` and `replicate` (texts) to `table` by its `fov`: see `design`.

    Without a sheet all fields are of ``(no condition)``, each its own replicate.

    Raises InputError if a fov of `table` is not in the sheet, or stands in it twice.
    """
    if sample_sheet is None or "fov" not in sample_sheet.columns:
        sample_sheet = pd.DataFrame({"fov": table["fov"].unique()})
    return of_design(table, design(sample_sheet)).drop(columns="cluster")


def design(
    fields: pd.DataFrame,
    condition: str = "condition",
    replicate: str = "replicate",
    paired: bool | str | None = None,
) -> pd.DataFrame:
    """Condition, replicate and experiment of every field, in the order of `fields`.

    Parameters
    ----------
    fields
        `schemas.Fields` with the columns of the sample sheet.
    condition, replicate
        Columns of the sample sheet: what is compared (condition, dose, ...), and what was done
        independently of each other (replicate, donor, plate, ...).
    paired
        Which replicates of different conditions belong together: those that have one value in this
        column of the sheet; True: those of one name; False: none; None: those of one ``donor``, where
        the sheet has that column. Names alone (wells 1, 2, 3 of every condition) say nothing.

    Returns
    -------
    pandas.DataFrame
        `fov`, `condition`, `replicate`, `cluster` (texts), `control`, `effector_free`, `untreated`
        (bool; the sheet's `et_ratio` is 0, its `dose` is 0), and of the sheet's `CARRIED` columns those
        that it has. A blank condition is ``(no condition)``; a blank replicate is the field itself.
        Replicates of one `cluster` are one experiment; replicates of one name and different clusters
        are told apart by the cluster's.

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
    table["cluster"] = _clusters(fields, table, condition, paired)
    control = fields["control"] if "control" in fields.columns else False
    table = table.assign(
        control=np.asarray(control, dtype=bool),
        effector_free=_zero(fields, "et_ratio"),
        untreated=_zero(fields, "dose"),
    )
    for name in CARRIED:
        if name in fields.columns:
            number = name in ("dose", "et_ratio")
            table[name] = (
                pd.to_numeric(fields[name], errors="coerce") if number else _texts(fields, name)
            )
    return table.reset_index(drop=True)


def independent(
    fields: pd.DataFrame, replicate: str = "replicate", paired: bool | str | None = None
) -> pd.Series:
    """What the independent replicate of each field is called, arguments as those of `design`.

    Its own name; the donor's (plate's, ...) where several replicates of a condition are of one.
    """
    groups = design(fields, replicate=replicate, paired=paired)
    together = groups.groupby(["condition", "cluster"])["replicate"].transform("nunique") > 1
    return groups["replicate"].where(~together, groups["cluster"]).set_axis(fields.index)


def _clusters(
    fields: pd.DataFrame, table: pd.DataFrame, condition: str, paired: bool | str | None
) -> pd.Series:
    """Which experiment each field is of; where pairs are stated, replicates get their names apart.

    Raises ConfigError if `paired` names a column that the sheet does not have.
    """
    if isinstance(paired, str) and paired not in fields.columns:
        columns = [str(each) for each in fields.columns]
        raise ConfigError(
            f"comparison.paired: {unknown('column of the sample sheet', paired, columns)} It says "
            "which replicates are one experiment (a donor), so without it nothing is paired"
        )
    alone = _escaped(table["condition"]) + "/" + _escaped(table["replicate"])
    if paired is True:
        return table["replicate"]
    name = "donor" if paired is None else paired
    if not name or name == condition or name not in fields.columns:
        return alone
    stated = _texts(fields, name)
    here = [table["condition"], table["replicate"]]
    several = stated.fillna("").groupby(here).transform("nunique") > 1
    table["replicate"] = table["replicate"].where(
        ~several, stated.fillna("?") + " " + table["replicate"]
    )
    return stated.fillna(alone)


def _zero(fields: pd.DataFrame, name: str) -> np.ndarray:
    """Where a number of the sheet is 0; nowhere without the column."""
    if name not in fields.columns:
        return np.zeros(len(fields), dtype=bool)
    return pd.to_numeric(fields[name], errors="coerce").eq(0).to_numpy(bool)


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


def of_design(table: pd.DataFrame, design: pd.DataFrame) -> pd.DataFrame:
    """Add `condition`, `replicate` and `cluster` to `table` by its `fov`.

    Raises InputError if a field of the table is not in `design`.
    """
    missing = sorted(set(table["fov"]) - set(design["fov"]))
    if missing:
        raise InputError(
            f"sample sheet: field {missing[0]!r} has no row (listed: "
            f"{', '.join(map(str, design['fov']))}), so its condition is unknown; add one"
        )
    twice = design.loc[design["fov"].duplicated(), "fov"]
    if len(twice):
        raise InputError(
            f"sample sheet: fov {twice.iloc[0]!r} has several rows, so its condition is not "
            "one; keep one row per fov"
        )
    table = table.drop(columns=["condition", "replicate", "cluster"], errors="ignore")
    return table.merge(design[["fov", "condition", "replicate", "cluster"]], on="fov", how="left")


def condition_order(sample_sheet: pd.DataFrame | None, present: pd.Series) -> list[str]:
    """The conditions in `present`, in the order of the sample sheet."""
    here = [str(name) for name in pd.unique(present)]
    if sample_sheet is None or "condition" not in sample_sheet.columns:
        return sorted(here)
    listed = [str(name) for name in pd.unique(sample_sheet["condition"].dropna())]
    return [name for name in listed if name in here] + sorted(set(here) - set(listed))


def of_role(roles: Mapping[str, str], role: str) -> list[str]:
    """The populations with `role`, in the order declared.

    Raises ConfigError if any population has a role that does not exist.
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
