"""Survival estimators, by the names that this stage has always had: see `cyto_kedro.core.survival`."""

from cyto_kedro.core.survival import (
    CLUSTERED,
    at,
    at_risk,
    clustered_se,
    hazard_limits,
    joined,
    kaplan_meier,
    median,
    nelson_aalen,
    restricted_mean,
    risk,
    survival_limits,
)

__all__ = [
    "CLUSTERED",
    "at",
    "at_risk",
    "clustered_se",
    "hazard_limits",
    "joined",
    "kaplan_meier",
    "median",
    "nelson_aalen",
    "restricted_mean",
    "risk",
    "survival_limits",
]
