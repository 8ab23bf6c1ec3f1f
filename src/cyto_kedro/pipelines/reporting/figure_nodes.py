"""Nodes that draw the report's figures, by topic, over the whole assay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro.algorithms.reporting.answer_figures import ANSWER, AnswerFigures
from cyto_kedro.algorithms.reporting.contact_figures import ContactFigures
from cyto_kedro.algorithms.reporting.killing_figures import KillingFigures
from cyto_kedro.algorithms.reporting.motion_figures import MotionFigures
from cyto_kedro.algorithms.reporting.network_figures import NetworkFigures, chosen_fields
from cyto_kedro.algorithms.reporting.quality_figures import QualityFigures
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.images import Picture
from cyto_kedro.partitions import Partitions
from cyto_kedro.pipelines.common import of_assay, one_by_one
from cyto_kedro.pipelines.comparison.nodes import COMPARED

KILLING = ("kills", "kills_per_effector", "target_fates", "survival")
CONTACT = ("contact_durations", "speed_around_contact")
MOTION = ("speeds", "directions")
FIGURES = (*ANSWER, *KILLING, *CONTACT, *MOTION, "networks", "quality")
FURTHER = (
    "msd",
    "further",
    "events",
)  # made by the pipeline `extended`; None where they are not there


def assay(
    fields: pd.DataFrame, frames: pd.DataFrame, parts: Mapping[str, Partitions], manifest: Manifest
) -> dict[str, Any]:
    """The whole assay's tables, by name; the fields table doubles as the sample sheet."""
    return {
        "fields": fields,
        "frames": frames,
        "sample_sheet": fields,
        "roles": manifest.roles,
        **of_assay(parts, manifest),
    }


def draw_killing_figures(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    fates: Partitions,
    deaths: Partitions,
    kills: Partitions,
    effectors: Partitions,
    bouts: Partitions,
    manifest: Manifest,
    *compared: pd.DataFrame,
) -> tuple[Picture, ...]:
    """The answer (`ANSWER`, off the tables `COMPARED`), and killing in detail (`KILLING`)."""
    parts = {
        "fates": fates,
        "deaths": deaths,
        "kills": kills,
        "effectors": effectors,
        "bouts": bouts,
    }
    data = assay(fields, frames, parts, manifest)
    data |= dict(zip(COMPARED, compared, strict=True))
    figures = {**AnswerFigures()(data)["figures"], **KillingFigures()(data)["figures"]}
    return tuple(figures[name] for name in (*ANSWER, *KILLING))


def draw_contact_figures(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    bouts: Partitions,
    steps: Partitions,
    deaths: Partitions,
    kills: Partitions,
    manifest: Manifest,
) -> tuple[Picture, ...]:
    """Contact durations, speed around contact and death."""
    parts = {"bouts": bouts, "deaths": deaths, "kills": kills}
    data = {**assay(fields, frames, parts, manifest), "steps": one_by_one(steps, manifest)}
    figures = ContactFigures()(data)["figures"]
    return tuple(figures[name] for name in CONTACT)


def draw_motion_figures(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    motility: Partitions,
    steps: Partitions,
    manifest: Manifest,
) -> tuple[Picture, ...]:
    """Speeds, directions."""
    parts = {"motility": motility}
    data = {**assay(fields, frames, parts, manifest), "steps": one_by_one(steps, manifest)}
    figures = MotionFigures()(data)["figures"]
    return tuple(figures[name] for name in MOTION)


def draw_network_figures(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    delaunay_graphs: Partitions,
    contact_graphs: Partitions,
    manifest: Manifest,
) -> Picture:
    """Snapshots of the graphs of one field per condition; only their graphs are read."""
    graphs = {
        fov: {"delaunay": delaunay_graphs[fov](), "contact": contact_graphs[fov]()}
        for fov in chosen_fields(list(manifest.fovs), fields)
    }
    data = {**assay(fields, frames, {}, manifest), "graphs": graphs}
    picture: Picture = NetworkFigures()(data)["figures"]["networks"]
    return picture


def draw_quality_figure(
    fields: pd.DataFrame, frames: pd.DataFrame, quality: Partitions, manifest: Manifest
) -> Picture:
    """Quality of the raw images over time."""
    data = assay(fields, frames, {"quality": quality}, manifest)
    picture: Picture = QualityFigures()(data)["figures"]["quality"]
    return picture
