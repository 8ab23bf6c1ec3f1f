"""Nodes of networks that do more than one algorithm, and what all of them are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import NetworksSpec
from cyto_kedro.pipelines.common import CELL, Group, context, join


def with_dead(data: dict[str, Any]) -> dict[str, Any]:
    """The data whose track points say whether each cell was dead (None where not seen)."""
    state = data["viability"][[*CELL, "dead"]].astype({"label": "Int64", "dead": "boolean"})
    points = data["track_points"].merge(state, on=CELL, how="left")
    dead = points["dead"].to_numpy(object)
    dead[pd.isna(dead)] = None  # a graph stores no pandas NA
    points["dead"] = dead
    return data | {"track_points": points}


def connect_contacts(
    group: Group,
    contacts: pd.DataFrame,
    bouts: pd.DataFrame,
    track_points: Mapping[str, pd.DataFrame],
    viability: Mapping[Any, pd.DataFrame],
    manifest: Manifest,
    contact: NetworksSpec,
    over_time: NetworksSpec,
) -> tuple[Mapping[int, Any], Any, pd.DataFrame, pd.DataFrame]:
    """Contact graph of every frame, of the whole film, and the measures of the first."""
    tables = {
        "contacts": contacts,
        "bouts": bouts,
        "track_points": join(track_points.values(), schemas.TrackPoints),
        "viability": join(viability.values(), schemas.Viability),
    }
    data = with_dead({**context(group, manifest), "populations": manifest.roles, **tables})
    found = contact.make()(data)
    whole = over_time.make()(data)["network"]
    return found["network"], whole, found["measures"], found["nodes"]
