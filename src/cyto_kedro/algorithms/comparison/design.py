"""Which conditions are compared with which; the design itself is `core.groups`'."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from cyto_kedro.core.groups import design, of_design
from cyto_kedro.core.watched import watched
from cyto_kedro.errors import ConfigError, unknown

__all__ = ["ALL", "clocked", "design", "of_design", "reference_of", "strata", "watched"]

ALL = "(all)"


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
