"""Nodes of moving pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.images import Clip, Picture
from cyto_kedro.parameters import ReportingSpec
from cyto_kedro.pipelines.common import Group, join
from cyto_kedro.pipelines.reporting.nodes import ByBlock, ByPopulation, filmed


def film_field(
    group: Group,
    measurement_images: Mapping[tuple[str, str], Any],
    labels: Mapping[tuple[str, str], Any],
    track_points: ByPopulation,
    viability: ByBlock,
    contacts: pd.DataFrame,
    deaths: pd.DataFrame,
    kills: pd.DataFrame,
    frames: pd.DataFrame,
    manifest: Manifest,
    films: ReportingSpec,
) -> Picture:
    """A field's film with what was found in it, and four of its frames."""
    data = {
        **filmed(group["fov"], measurement_images, labels, manifest),
        "track_points": join(track_points.values(), schemas.TrackPoints),
        "viability": join(viability.values(), schemas.Viability),
        "contacts": contacts,
        "deaths": deaths,
        "kills": kills,
        "frames": frames,
    }
    return cast("Picture", films.make()(data)["film"])


def clip_events(
    group: Group,
    measurement_images: Mapping[tuple[str, str], Any],
    labels: Mapping[tuple[str, str], Any],
    track_points: ByPopulation,
    cells: ByBlock,
    viability: ByBlock,
    deaths: pd.DataFrame,
    kills: pd.DataFrame,
    bouts: pd.DataFrame,
    frames: pd.DataFrame,
    manifest: Manifest,
    films: ReportingSpec,
) -> Sequence[Clip]:
    """Clips of a field's kills, doubtful deaths and longest contacts."""
    data = {
        **filmed(group["fov"], measurement_images, labels, manifest),
        "track_points": join(track_points.values(), schemas.TrackPoints),
        "cells": join(cells.values(), schemas.Cells),
        "viability": join(viability.values(), schemas.Viability),
        "deaths": deaths,
        "kills": kills,
        "bouts": bouts,
        "frames": frames,
    }
    return cast("Sequence[Clip]", films.make()(data)["clips"])
