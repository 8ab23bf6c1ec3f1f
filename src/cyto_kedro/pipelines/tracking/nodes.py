"""Nodes of tracking."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.tracking.common import tracks_of
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import Tracking, TrackingSpec
from cyto_kedro.pipelines.common import Group, context, join


def track(
    group: Group,
    cells: Mapping[str, pd.DataFrame],
    manifest: Manifest,
    frames: pd.DataFrame,
    tracking: Tracking,
) -> pd.DataFrame:
    """Link one population of one field through its film: `schemas.TrackPoints`."""
    spec: TrackingSpec = tracking  # type: ignore[assignment]  # narrowed to the population
    found = spec.make()(
        {
            **context(group, manifest, frames),
            "dataframe": join(cells.values(), schemas.Cells),
        }
    )
    return found["dataframe"]


def end_tracks(
    group: Group,
    track_points: pd.DataFrame,
    cells: Mapping[str, pd.DataFrame],
    manifest: Manifest,
    tracking: Tracking,
) -> pd.DataFrame:
    """`schemas.Tracks`: when each track begins and ends, and why.

    A node of its own, read off the track points, so that tracks joined or cut by hand get it too.
    """
    spec: TrackingSpec = tracking  # type: ignore[assignment]  # narrowed to the population
    where = context(group, manifest)
    return tracks_of(
        track_points,
        join(cells.values(), schemas.Cells),
        where["n_frames"],
        where["shape"],
        getattr(spec.make(), "border_px", 0.0),
    )
