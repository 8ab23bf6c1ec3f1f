"""Nodes of tracking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.tracking.common import tracks_of
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import Tracking, TrackingSpec
from cyto_kedro.pipelines.common import Group, context, join


def track(
    group: Group,
    cells: Mapping[str, pd.DataFrame],
    labels: Mapping[str, Any],
    segmentation_images: Mapping[str, Any],
    manifest: Manifest,
    frames: pd.DataFrame,
    tracking: Tracking,
) -> pd.DataFrame:
    """Link one population of one field through its film: `schemas.TrackPoints`.

    Masks and images are opened, block by block, only by a linker that compares them.
    """
    spec: TrackingSpec = tracking  # type: ignore[assignment]  # narrowed to the population
    linker, table = spec.make(), join(cells.values(), schemas.Cells)
    data = {**context(group, manifest, frames), "dataframe": table}
    if linker.mask_lag:
        data["label"] = (labels[block] for block in labels)
    if linker.reads_images:
        data["image"] = (segmentation_images[block] for block in segmentation_images)
    points = linker(data)["dataframe"]
    for step in spec.steps:
        points = step.make()({**data, "cells": table, "dataframe": points})["dataframe"]
    return points


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
        spec.make().border_px,
    )
