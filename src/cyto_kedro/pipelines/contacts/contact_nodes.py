"""Nodes of what is told of contacts: by pair, by cell, by frame, over the assay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import ContactsSpec
from cyto_kedro.partitions import Partitions
from cyto_kedro.pipelines.common import Group, context, join, of_assay

ByPopulation = Mapping[str, pd.DataFrame]
ByBlock = Mapping[Any, pd.DataFrame]


def sum_encounters(
    group: Group,
    bouts: pd.DataFrame,
    track_points: ByPopulation,
    manifest: Manifest,
    encounters: ContactsSpec,
) -> pd.DataFrame:
    """`schemas.Encounters` of one field: one row per pair that ever met."""
    data = {
        **context(group, manifest),
        "bouts": bouts,
        "track_points": join(track_points.values(), schemas.TrackPoints),
    }
    return encounters.make()(data)["encounters"]


def look_around(
    group: Group,
    contacts: pd.DataFrame,
    track_points: ByPopulation,
    manifest: Manifest,
    neighbours: ContactsSpec,
) -> pd.DataFrame:
    """`schemas.Neighbours` of one field: partners, nearest cells and density of each cell."""
    data = {
        **context(group, manifest),
        "contacts": contacts,
        "track_points": join(track_points.values(), schemas.TrackPoints),
        "populations": manifest.roles,
    }
    return neighbours.make()(data)["neighbours"]


def count_conjugates(
    group: Group,
    contacts: pd.DataFrame,
    track_points: ByPopulation,
    viability: ByBlock,
    frames: pd.DataFrame,
    manifest: Manifest,
    conjugation: ContactsSpec,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`schemas.Conjugation` of one field, per frame and per tile."""
    data = {
        **context(group, manifest),
        "contacts": contacts,
        "track_points": join(track_points.values(), schemas.TrackPoints),
        "viability": join(viability.values(), schemas.Viability),
        "frames": frames,
        "populations": manifest.roles,
    }
    found = conjugation.make()(data)
    return found["conjugation"], found["tiles"]


def estimate_dwell(
    bouts: Partitions, fields: pd.DataFrame, manifest: Manifest, dwell: ContactsSpec
) -> pd.DataFrame:
    """`schemas.Dwell`: how long contacts last, by condition and by field."""
    data = {**of_assay({"bouts": bouts}, manifest), "fields": fields}
    return dwell.make()(data)["dwell"]
