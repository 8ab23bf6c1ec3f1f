"""Which conditions are compared with which; the design itself is `core.groups`'."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from cyto_kedro.core.groups import design, of_design
from cyto_kedro.core.watched import watched
from cyto_kedro.errors import ConfigError, unknown

__all__ = [
    "ALL",
    "clocked",
    "design",
    "effector_free",
    "matched_references",
    "of_design",
    "reference_of",
    "strata",
    "watched",
]

ALL = "(all)"


def reference_of(design: pd.DataFrame, asked: str | None) -> str | None:
    """The condition that others are compared with; None: every pair of conditions.

    What was asked for, else the untreated co-culture: the one condition with effectors whose fields
    the sample sheet calls control, or all have dose 0. An effector-free control is the reference
    only where one condition stands beside it: it is not what a drug is compared with.

    Raises ConfigError if no field is of the condition that was asked for.
    """
    conditions = list(design["condition"].unique())
    if asked is not None:
        if asked not in conditions:
            raise ConfigError(f"comparison.reference: {unknown('condition', asked, conditions)}")
        return asked
    free = [name for name in conditions if effector_free(design, name)]
    for flag in ("control", "untreated"):
        if flag in design.columns:
            every = design.groupby("condition")[flag].all()
            named = [name for name in conditions if every[name] and name not in free]
            if len(named) == 1:
                return str(named[0])
            if named:
                return None
    return str(free[0]) if len(free) == 1 and len(conditions) == 2 else None


def effector_free(design: pd.DataFrame, condition: str) -> bool:
    """Whether no field of `condition` holds effectors, by the sheet's `et_ratio`."""
    if "effector_free" not in design.columns:
        return False
    return bool(design.loc[design["condition"] == condition, "effector_free"].all())


def matched_references(design: pd.DataFrame) -> dict[str, str]:
    """Treated condition -> the untreated co-culture of the same E:T ratio, where there are several."""
    if not {"et_ratio", "untreated"} <= set(design.columns):
        return {}
    about = design.groupby("condition").agg(
        ratio=("et_ratio", "first"), ratios=("et_ratio", "nunique"), untreated=("untreated", "all")
    )
    about = about[(about["ratios"] == 1) & (about["ratio"] > 0)]
    base = about[about["untreated"]]
    if len(base) < 2 or base["ratio"].duplicated().any():
        return {}
    of_ratio = {ratio: str(name) for name, ratio in base["ratio"].items()}
    treated = about.loc[~about["untreated"], "ratio"]
    return {str(name): of_ratio[ratio] for name, ratio in treated.items() if ratio in of_ratio}


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
