"""Which times a film shows of its cells and contacts, for survival curves.

The estimates themselves are `cyto_kedro.algorithms.comparison.estimators`'.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cyto_kedro.algorithms.comparison.design import watched
from cyto_kedro.algorithms.comparison.estimators import at_risk, kaplan_meier, median
from cyto_kedro.algorithms.reporting.groups import any_known, between, of_role

__all__ = ["at_risk", "contact_intervals", "kaplan_meier", "median", "target_intervals"]


def target_intervals(fates: pd.DataFrame, roles: Mapping[str, str]) -> tuple[pd.DataFrame, str]:
    """The time each target was watched alive (`watched`), and the unit (``min``, or ``frames``)."""
    return watched(fates[fates["population"].isin(of_role(roles, "target"))])


def contact_intervals(bouts: pd.DataFrame, roles: Mapping[str, str]) -> tuple[pd.DataFrame, str]:
    """How long each contact of an effector and a target lasted, and the unit.

    A contact already under way when first seen is left out: how long it had lasted is unknown,
    and long ones are more often met so. One still going when last seen is censored. Returns
    columns fov, duration, event.
    """
    mine = between(bouts, roles)
    mine = mine[~mine["censored_start"]]
    unit = "min" if any_known(mine["duration_min"]) else "frames"
    if unit == "min":
        mine = mine[mine["duration_min"].notna()]
    duration = mine["duration_min"] if unit == "min" else mine["n_frames"]
    table = mine[["fov"]].assign(
        duration=duration.astype(float), event=~mine["censored_end"].astype(bool)
    )
    return table.reset_index(drop=True), unit
