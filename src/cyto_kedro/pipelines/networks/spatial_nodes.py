"""Nodes of networks that say how cells, clusters and deaths lie in space and time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import NetworksSpec
from cyto_kedro.pipelines.common import Group, join
from cyto_kedro.pipelines.networks.nodes import ByPopulation, of_field


def follow_clusters(
    group: Group,
    contact_nodes: pd.DataFrame,
    track_points: ByPopulation,
    manifest: Manifest,
    clusters: NetworksSpec,
) -> pd.DataFrame:
    """`schemas.Clusters` of one field: its groups of cells in contact, followed over time."""
    data = of_field(group, manifest, track_points) | {"nodes": contact_nodes}
    return clusters.make()(data)["clusters"]


def measure_space(
    group: Group,
    track_points: ByPopulation,
    viability: Mapping[Any, pd.DataFrame],
    manifest: Manifest,
    spatial: NetworksSpec,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`schemas.SpatialStatistics` and `schemas.NearestNeighbours` of one field."""
    found = spatial.make()(of_field(group, manifest, track_points, viability))
    return found["spatial_statistics"], found["nearest_neighbours"]


def measure_death_spread(
    group: Group,
    fates: ByPopulation,
    contacts: pd.DataFrame,
    track_points: ByPopulation,
    manifest: Manifest,
    death_spread: NetworksSpec,
) -> pd.DataFrame:
    """`schemas.DeathSpread` of one field."""
    data = of_field(group, manifest, track_points)
    data |= {"fates": join(fates.values(), schemas.Fates), "contacts": contacts}
    return death_spread.make()(data | {"populations": manifest.roles})["death_spread"]
