"""Nodes of comparison: each reads tables of the whole assay, since conditions span fields."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from cyto_kedro.algorithms.comparison.design import reference_of
from cyto_kedro.core.groups import design
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import Comparison
from cyto_kedro.partitions import Partitions
from cyto_kedro.pipelines.common import of_assay

log = logging.getLogger(__name__)


def estimate_survival(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    fates: Partitions,
    manifest: Manifest,
    comparison: Comparison,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`schemas.SurvivalCurves`, and `schemas.SurvivalBounds` for lost tracks."""
    data = _assay(fields, frames, manifest, comparison, fates=fates)
    curves = comparison.survival.make()(data)["survival_curves"]
    return curves, comparison.bounds.make()(data)["survival_bounds"]


def relate_contact(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    fates: Partitions,
    bouts: Partitions,
    manifest: Manifest,
    comparison: Comparison,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Survival of targets by contact (`schemas.ContactSurvival`), and `schemas.Hazards`."""
    data = _assay(fields, frames, manifest, comparison, fates=fates, bouts=bouts)
    curves = comparison.contact.make()(data)["contact_survival"]
    return curves, comparison.hazards.make()(data)["hazards"]


def compare_conditions(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    track_points: Partitions,
    motility: Partitions,
    bouts: Partitions,
    fates: Partitions,
    kills: Partitions,
    manifest: Manifest,
    comparison: Comparison,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`schemas.ReplicateSummaries`, and the tests on them (`schemas.Comparisons`)."""
    parts = {
        "track_points": track_points,
        "motility": motility,
        "bouts": bouts,
        "fates": fates,
        "kills": kills,
    }
    data = _assay(fields, frames, manifest, comparison, **parts)
    groups = data["design"]
    replicates = groups.groupby("condition")["replicate"].nunique()
    for condition in replicates.index[replicates < 2]:
        log.warning(
            "comparison: condition %r has one replicate, so nothing can be tested against it: cells "
            "of one well are not independent. Name replicates in the sample sheet, see "
            "docs/comparison.md",
            condition,
        )
    summaries = comparison.replicates.make()(data)["replicate_summaries"]
    data["replicate_summaries"] = summaries
    return summaries, comparison.tests.make()(data)["comparisons"]


def _assay(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    manifest: Manifest,
    comparison: Comparison,
    **parts: Partitions,
) -> dict[str, Any]:
    """Tables of all fields by name, and what the fields are."""
    groups = design(fields, comparison.condition, comparison.replicate, comparison.paired)
    return {
        "fields": fields,
        "frames": frames,
        "design": groups,
        "reference": reference_of(groups, comparison.reference),
        # pairs are what the design's clusters say
        "paired": None,
        "primary": comparison.primary,
        "populations": manifest.roles,
        **of_assay(parts, manifest),
    }
