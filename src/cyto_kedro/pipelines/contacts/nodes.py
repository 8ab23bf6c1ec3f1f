"""Nodes of contacts: tables in, tables out; no pixel is read here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import ContactsSpec
from cyto_kedro.pipelines.common import Group, context, join
from cyto_kedro.pipelines.contacts.death_nodes import condition_of

ByPopulation = Mapping[str, pd.DataFrame]
ByBlock = Mapping[str, pd.DataFrame]
_SHAPE = ("fov", "population", "frame", "label", "area_px", "perimeter_px")


def measure_motion(
    group: Group, track_points: pd.DataFrame, manifest: Manifest, kinematics: ContactsSpec
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`schemas.Steps` and `schemas.Motility` of one population."""
    found = kinematics.make()({**context(group, manifest), "dataframe": track_points})
    return found["steps"], found["motility"]


def join_contacts(
    group: Group,
    touches: ByBlock,
    track_points: ByPopulation,
    manifest: Manifest,
    contacts: ContactsSpec,
) -> pd.DataFrame:
    """`schemas.Contacts` of one field: touches between tracked cells."""
    data = {
        **context(group, manifest),
        "touches": join(touches.values(), schemas.Touches),
        "dataframe": join(track_points.values(), schemas.TrackPoints),
    }
    return contacts.make()(data)["contacts"]


def find_bouts(
    group: Group,
    contacts: pd.DataFrame,
    track_points: ByPopulation,
    tracks: ByPopulation,
    manifest: Manifest,
    bouts: ContactsSpec,
) -> pd.DataFrame:
    """`schemas.Bouts` of one field."""
    data = {
        **context(group, manifest),
        "contacts": contacts,
        "dataframe": join(track_points.values(), schemas.TrackPoints),
        "tracks": join(tracks.values(), schemas.Tracks),
    }
    return bouts.make()(data)["bouts"]


def estimate_viability(
    group: Group,
    cells: Mapping[Any, pd.DataFrame],
    fields: pd.DataFrame,
    manifest: Manifest,
    viability: ContactsSpec,
) -> dict[str, Any]:
    """What living cells of one population look like in the death marker, per plate.

    One state for all fields of a plate (the sample sheet's column ``plate``; all fields without
    one), so that a control without any death is judged by the same threshold as the others. Fields
    of another plate may have been filmed with another exposure.
    """
    marker = manifest.markers.get("death", "")
    columns = [*_SHAPE, *_measured(manifest, group["population"])]
    algorithm: Any = viability.make()
    states: dict[str, Any] = {}
    for plate, fovs in _plates(fields).groupby("plate")["fov"]:
        tables = (cells[key] for key in cells if key[0] in set(fovs))
        narrow = [table[[name for name in columns if name in table]] for table in tables]
        pooled = join(narrow, schemas.Cells)
        given = {"dataframe": pooled, "marker": marker, **_sources(manifest, group["population"])}
        states[str(plate)] = algorithm.estimate(given)
    return states


def _sources(manifest: Manifest, population: str) -> dict[str, Any]:
    """The channels that a population is segmented from."""
    return {"sources": manifest.sources[population]}


def _measured(manifest: Manifest, population: str) -> list[str]:
    """Columns of intensities that viability may need: the marker's and the population's own."""
    channels = {*manifest.sources[population], manifest.markers.get("death", "")}
    return [f"{channel}_{stat}" for channel in sorted(channels) for stat in schemas.STATS]


def _plates(fields: pd.DataFrame) -> pd.DataFrame:
    """Field and plate; all on one plate where the sheet names none."""
    plate = fields["plate"].fillna("").astype(str) if "plate" in fields.columns else ""
    return fields[["fov"]].assign(plate=plate)


def assess_viability(
    group: Group,
    cells: pd.DataFrame,
    viability_state: dict[str, Any],
    fields: pd.DataFrame,
    manifest: Manifest,
    viability: ContactsSpec,
) -> pd.DataFrame:
    """`schemas.Viability` of one block: needs no tracks, works on stills."""
    state = viability_state[_plates(fields)["plate"].iloc[0]]
    data = {
        "dataframe": cells,
        "marker": manifest.markers.get("death", ""),
        "state": state,
        **_sources(manifest, group["population"]),
    }
    return viability.make()(data)["dataframe"]


def call_deaths(
    group: Group,
    viability: ByBlock,
    track_points: pd.DataFrame,
    tracks: pd.DataFrame,
    manifest: Manifest,
    deaths: ContactsSpec,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Observed transitions (`schemas.Deaths`, nobody blamed yet) and `schemas.Fates`."""
    data = {
        **context(group, manifest),
        "viability": join(viability.values(), schemas.Viability),
        "dataframe": track_points,
        "tracks": tracks,
    }
    found = deaths.make()(data)
    return found["deaths"], found["fates"]


def attribute_kills(
    group: Group,
    observed_deaths: ByPopulation,
    fates: ByPopulation,
    contacts: pd.DataFrame,
    attack_models: pd.DataFrame,
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    manifest: Manifest,
    kills: ContactsSpec,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`schemas.Kills` of one field, and its `schemas.Deaths` with the number of killers."""
    data = {
        **context(group, manifest, frames),
        "deaths": join(observed_deaths.values(), schemas.Deaths),
        "fates": join(fates.values(), schemas.Fates),
        "contacts": contacts,
        "models": attack_models,
        "condition": condition_of(fields, group["fov"]),
        "populations": manifest.roles,
    }
    found = kills.make()(data)
    return found["kills"], found["deaths"]
