"""Nodes of networks: graphs of cells per frame and over the film."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import NetworksSpec
from cyto_kedro.pipelines.common import CELL, Group, context, join

ByPopulation = Mapping[str, pd.DataFrame]


def of_field(
    group: Group,
    manifest: Manifest,
    track_points: ByPopulation,
    viability: Mapping[Any, pd.DataFrame] | None = None,
) -> dict[str, Any]:
    """Where the group stands, its populations, and all track points of the field.

    With `viability` these say whether each cell was dead (null where not seen).
    """
    points = join(track_points.values(), schemas.TrackPoints)
    if viability is not None:
        state = join(viability.values(), schemas.Viability)[[*CELL, "dead"]]
        state = state.astype({"label": "Int64", "dead": "boolean"})
        points = points.merge(state, on=CELL, how="left")
        dead = points["dead"].to_numpy(object)
        dead[pd.isna(dead)] = None  # a graph stores no pandas NA
        points["dead"] = dead
    populations = list(manifest.roles)
    return {**context(group, manifest), "populations": populations, "track_points": points}


def triangulate(
    group: Group,
    track_points: ByPopulation,
    viability: Mapping[Any, pd.DataFrame],
    manifest: Manifest,
    delaunay: NetworksSpec,
) -> tuple[Mapping[int, Any], pd.DataFrame, pd.DataFrame]:
    """Neighbour graph of every frame, `schemas.NetworkMeasures` and `schemas.NetworkNodes`."""
    found = delaunay.make()(of_field(group, manifest, track_points, viability))
    return found["network"], found["measures"], found["nodes"]


def connect_contacts(
    group: Group,
    contacts: pd.DataFrame,
    bouts: pd.DataFrame,
    track_points: ByPopulation,
    viability: Mapping[Any, pd.DataFrame],
    manifest: Manifest,
    contact: NetworksSpec,
    over_time: NetworksSpec,
) -> tuple[Mapping[int, Any], Any, pd.DataFrame, pd.DataFrame]:
    """Contact graph of every frame, of the whole film, and the measures of the first."""
    data = of_field(group, manifest, track_points, viability)
    data |= {"contacts": contacts, "bouts": bouts}
    found = contact.make()(data)
    whole = over_time.make()(data)["network"]
    return found["network"], whole, found["measures"], found["nodes"]


def connect_space_time(
    group: Group,
    contacts: pd.DataFrame,
    bouts: pd.DataFrame,
    deaths: pd.DataFrame,
    kills: pd.DataFrame,
    tracks: ByPopulation,
    track_points: ByPopulation,
    viability: Mapping[Any, pd.DataFrame],
    manifest: Manifest,
    space_time: NetworksSpec,
) -> Any:
    """Tracks, contacts, divisions, deaths and kills of a field as one graph."""
    data = of_field(group, manifest, track_points, viability)
    data |= {"contacts": contacts, "bouts": bouts, "deaths": deaths, "kills": kills}
    data["tracks"] = join(tracks.values(), schemas.Tracks)
    return space_time.make()(data)["network"]
