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
from cyto_kedro.core.groups import independent
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.images import Picture
from cyto_kedro.parameters import Comparison, Reporting
from cyto_kedro.partitions import Partitions
from cyto_kedro.pipelines.common import by_algorithms, of_assay, one_by_one

KILLING = ("kills", "kills_per_effector", "target_fates", "survival")
CONTACT = ("contact_durations", "speed_around_contact")
MOTION = ("speeds", "directions")
FIGURES = (*ANSWER, "effects", *KILLING, *CONTACT, *MOTION, "networks", "quality")
# made by the pipeline `extended`; None where they are not there
FURTHER = ("msd", "further", "events", "event_curves", "behaviours")
DRAWINGS = (
    *(AnswerFigures, KillingFigures, ContactFigures, MotionFigures),
    *(NetworkFigures, QualityFigures),
)
DRAWN = (  # what they are drawn of
    *("killing_curves", "field_killing", "dose_values", "dose_fits"),
    *("comparisons", "replicate_summaries", "fates", "deaths", "kills", "effectors", "bouts"),
    *("steps", "motility", "delaunay_graphs", "contact_graphs", "quality"),
)


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


@by_algorithms(*DRAWINGS)
def draw_figures(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    manifest: Manifest,
    comparison: Comparison,
    reporting: Reporting,
    **tables: Any,
) -> tuple[Picture, ...]:
    """Every figure of the report, in the order of `FIGURES`.

    `tables`: by name: those of `DRAWN`. Steps are read a field at a time;
    graphs only of fields shown.
    """
    kinds = {kind: tables.pop(f"{kind}_graphs") for kind in ("delaunay", "contact")}
    graphs = {
        fov: {kind: parts[fov]() for kind, parts in kinds.items()}
        for fov in chosen_fields(list(manifest.fovs), fields)
    }
    steps = tables.pop("steps")
    parts = {name: each for name, each in tables.items() if isinstance(each, Partitions)}
    # a donor's wells are one replicate here, as in the comparison
    units = independent(fields, comparison.replicate, comparison.paired)
    data = {**tables, **assay(fields, frames, parts, manifest), "graphs": graphs}
    data["sample_sheet"] = fields.assign(replicate=units)
    found: dict[str, Picture] = {}
    for kind in DRAWINGS:
        wanted = kind.contract().inputs
        given = {name: value for name, value in data.items() if name in wanted}
        if "steps" in wanted:
            given["steps"] = one_by_one(steps, manifest)
        found |= kind(**reporting.drawing())(given)["figures"]
    return tuple(found[name] for name in FIGURES)
