"""Nodes of networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import NetworksSpec
from cyto_kedro.pipelines.common import Group, context, join

CELL = ["fov", "population", "frame", "label"]


def _with_state(
    track_points: Mapping[str, pd.DataFrame], viability: Mapping[Any, pd.DataFrame]
) -> pd.DataFrame:
    """All track points of a field, and whether each cell was dead (null where not seen)."""
    points = join(track_points.values(), schemas.TrackPoints)
    state = join(viability.values(), schemas.Viability)[[*CELL, "dead"]]
    state = state.astype({"label": "Int64", "dead": "boolean"})
    joined = points.merge(state, on=CELL, how="left")
    dead = joined["dead"].to_numpy(object)
    dead[pd.isna(dead)] = None  # a graph stores no pandas NA
    joined["dead"] = dead
    return joined


def triangulate(
    group: Group,
    track_points: Mapping[str, pd.DataFrame],
    viability: Mapping[Any, pd.DataFrame],
    manifest: Manifest,
    delaunay: NetworksSpec,
) -> tuple[dict[int, Any], pd.DataFrame]:
    """Delaunay graph of every frame, and `schemas.NetworkMeasures`."""
    data = {**context(group, manifest), "dataframe": _with_state(track_points, viability)}
    found = delaunay.make()(data)
    return found["network"], found["measures"]


def connect_contacts(
    group: Group,
    contacts: pd.DataFrame,
    bouts: pd.DataFrame,
    track_points: Mapping[str, pd.DataFrame],
    viability: Mapping[Any, pd.DataFrame],
    manifest: Manifest,
    contact: NetworksSpec,
    over_time: NetworksSpec,
) -> tuple[dict[int, Any], Any, pd.DataFrame]:
    """Contact graph of every frame, of the whole film, and `schemas.NetworkMeasures`."""
    data = {
        **context(group, manifest),
        "contacts": contacts,
        "bouts": bouts,
        "dataframe": _with_state(track_points, viability),
    }
    found = contact.make()(data)
    return found["network"], over_time.make()(data)["network"], found["measures"]
