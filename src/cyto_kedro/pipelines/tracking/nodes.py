"""Nodes of tracking."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import Tracking, TrackingSpec
from cyto_kedro.pipelines.common import Group, context, join


def track(
    group: Group,
    cells: Mapping[str, pd.DataFrame],
    manifest: Manifest,
    frames: pd.DataFrame,
    tracking: Tracking,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Link one population of one field through its film: `schemas.TrackPoints`, `schemas.Tracks`."""
    spec: TrackingSpec = tracking  # type: ignore[assignment]  # narrowed to the population
    found = spec.make()(
        {
            **context(group, manifest, frames),
            "dataframe": join(cells.values(), schemas.Cells),
        }
    )
    return found["dataframe"], found["tracks"]
