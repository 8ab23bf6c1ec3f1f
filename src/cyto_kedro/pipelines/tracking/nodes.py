"""Nodes of tracking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.tracking.common import tracks_of
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import Tracking, TrackingSpec
from cyto_kedro.pipelines.common import Group, context, film_of, join

PIXELS = {"labels": "label", "segmentation_images": "image"}


def used_by_linker(inputs: Mapping[str, Any], group: Group) -> list[str]:
    """The inputs of `track` that the population's linker needs: masks and images if it compares them."""
    tracking = next(value for value in inputs.values() if isinstance(value, Tracking))
    needs = tracking.root[group["population"]].make().needs()
    return [name for name in inputs if PIXELS.get(name, needs[0]) in needs]


def track(
    group: Group,
    cells: Mapping[str, pd.DataFrame],
    labels: Mapping[str, Any] | None,
    segmentation_images: Mapping[str, Any] | None,
    manifest: Manifest,
    frames: pd.DataFrame,
    tracking: Tracking,
) -> pd.DataFrame:
    """Link one population of one field through its film: `schemas.TrackPoints`.

    Masks and images are opened block by block, see `used_by_linker`.
    """
    spec: TrackingSpec = tracking  # type: ignore[assignment]  # narrowed to the population
    linker, table = spec.make(), join(cells.values(), schemas.Cells)
    data = {**context(group, manifest, frames), "cells": table}
    for name, blocks in (("label", labels), ("image", segmentation_images)):
        if blocks is not None:
            data[name] = film_of(blocks, (data["n_frames"], *data["shape"]))
    points = linker(data)["track_points"]
    for step in spec.steps:
        points = step.make()(data, track_points=points)["track_points"]
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
