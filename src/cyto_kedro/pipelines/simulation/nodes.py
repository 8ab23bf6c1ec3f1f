"""Nodes of the simulation."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pandas as pd

from cyto_kedro.images import Image
from cyto_kedro.lift import Progress
from cyto_kedro.parameters import Simulation

log = logging.getLogger(__name__)

TABLES = ("track_points", "tracks", "touches", "deaths", "kills")


def simulate(simulation: Simulation) -> Iterator[tuple[dict[str, Any], ...]]:
    """Make each field's films, masks and truth tables, one field at a time.

    Yields
    ------
    films, labels, track_points, tracks, contacts, deaths, kills
        ``{fov/channel: Image}``, ``{fov/population: (T, Y, X) uint32}``, ``{fov: table}``; the true
        touches are between true tracks, so they are called contacts.
    """
    progress = Progress("simulate", len(simulation.fovs))
    for fov, spec in simulation.fovs.items():
        made = spec.assay.make()({"fov": fov})
        films = {
            f"{fov}/{channel}": Image(
                array,
                pixel_size_um=made["pixel_size_um"],
                time_s=tuple(float(each) for each in made["time_s"]),
                channels=(channel,),
            )
            for channel, array in made["image"].items()
        }
        labels = {f"{fov}/{population}": array for population, array in made["label"].items()}
        yield films, labels, *({fov: made[name]} for name in TABLES)
        progress.done(fov)


def write_sample_sheet(simulation: Simulation) -> pd.DataFrame:
    """The sample sheet of the simulated fields."""
    rows = [
        {
            "fov": fov,
            "condition": spec.condition,
            "replicate": spec.replicate,
            "control": spec.control,
            **spec.sheet,
        }
        for fov, spec in simulation.fovs.items()
    ]
    return pd.DataFrame(rows)
