"""Nodes of motion: drift, mean squared displacement, autocorrelation, smoothed columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.drift import without_drift
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.errors import ConfigError, unknown
from cyto_kedro.parameters import ContactsSpec
from cyto_kedro.pipelines.common import Group, context, join

Tables = Mapping[str, pd.DataFrame]


def less_drift(data: dict[str, Any]) -> dict[str, Any]:
    """The data whose track points are less the drift that is to be subtracted."""
    moved = without_drift(data["track_points"], data["subtracted_drift"])
    return data | {"track_points": moved}


def describe_motion(
    group: Group,
    track_points: pd.DataFrame,
    subtracted_drift: pd.DataFrame,
    manifest: Manifest,
    msd: ContactsSpec,
    autocorrelation: ContactsSpec,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """`schemas.Msd`, `TrackFits`, `MotionFits` and `VelocityAutocorrelation` of one population."""
    moved = without_drift(track_points, subtracted_drift)
    data = {**context(group, manifest), "track_points": moved}
    displaced, turned = msd.make()(data), autocorrelation.make()(data)
    fits = displaced["fits"].drop(columns=turned["fits"].columns[2:], errors="ignore")
    fits = schemas.conform(schemas.MotionFits, fits.merge(turned["fits"], on=["fov", "population"]))
    return displaced["msd"], displaced["track_fits"], fits, turned["velocity_autocorrelation"]


def smooth_tracks(
    group: Group,
    steps: pd.DataFrame,
    track_points: pd.DataFrame,
    cells: Tables,
    manifest: Manifest,
    smoothing: ContactsSpec,
) -> pd.DataFrame:
    """`schemas.SmoothedSteps` of one population: columns of its steps, or of its cells.

    Raises ConfigError if a column is in neither table.
    """
    algorithm: Any = smoothing.make()
    others = [column for column in algorithm.columns if column not in steps.columns]
    if others:
        keys = ["frame", "label"]
        blocks = [_chosen(table, keys, others, steps) for table in cells.values()]
        labels = track_points[["track_id", *keys]].dropna(subset="label")
        labels = labels.astype({"label": "int64"})
        beside = labels.merge(join(blocks, schemas.Cells), on=keys).drop(columns="label")
        steps = steps.merge(beside, on=["track_id", "frame"], how="left")
    return algorithm({**context(group, manifest), "steps": steps})["smoothed_steps"]


def _chosen(
    cells: pd.DataFrame, keys: list[str], columns: list[str], steps: pd.DataFrame
) -> pd.DataFrame:
    for column in columns:
        if column not in cells.columns:
            known = {*map(str, cells.columns), *map(str, steps.columns)}
            raise ConfigError(
                f"contacts.smoothing.args.columns: {unknown('column', column, known)}"
            )
    return cells[[*keys, *columns]]
