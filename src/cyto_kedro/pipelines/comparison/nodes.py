"""Nodes of comparison: each reads tables of the whole assay, since conditions span fields."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.design import reference_of
from cyto_kedro.algorithms.reporting.behaviour_figures import BehaviourFigures
from cyto_kedro.algorithms.reporting.event_figures import EventFigures
from cyto_kedro.core.groups import design
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.images import Picture
from cyto_kedro.parameters import Comparison, Reporting
from cyto_kedro.partitions import Partitions
from cyto_kedro.pipelines.common import Group, by_algorithms, join, of_assay, streamed

log = logging.getLogger(__name__)

COMPARED = (
    *("killing_curves", "field_killing", "dose_values", "dose_fits"),
    *("replicate_summaries", "comparisons"),
)


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


def follow_events(
    group: Group,
    track_points: Mapping[str, pd.DataFrame],
    cells: Mapping[Any, pd.DataFrame],
    steps: Mapping[str, pd.DataFrame],
    bouts: pd.DataFrame,
    deaths: pd.DataFrame,
    kills: pd.DataFrame,
    fates: Any,
    manifest: Manifest,
    comparison: Comparison,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One field's `schemas.EventTimes` and `schemas.EventSums`."""
    parts = fates.values() if isinstance(fates, Mapping) else [fates]
    made = comparison.events.make()(
        track_points=join(track_points.values(), schemas.TrackPoints),
        cells=join(cells.values(), schemas.Cells),
        steps=join(steps.values(), schemas.Steps),
        fates=join(parts, schemas.Fates),
        bouts=bouts,
        deaths=deaths,
        kills=kills,
        populations=manifest.roles,
    )
    return made["event_times"], made["event_sums"]


@by_algorithms(EventFigures)
def average_events(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    event_times: Partitions,
    event_sums: Partitions,
    manifest: Manifest,
    comparison: Comparison,
    reporting: Reporting,
) -> tuple[pd.DataFrame, pd.DataFrame, Picture, Picture]:
    """`schemas.EventSignals`, `schemas.EventCurves`, and their figures."""
    parts = {"event_times": event_times, "event_sums": event_sums}
    data = _assay(fields, frames, manifest, comparison, **parts)
    made = comparison.event_signals.make()(data)
    drawn = EventFigures(**reporting.drawing())(**made, sample_sheet=fields)["figures"]
    return made["event_signals"], made["event_curves"], drawn["events"], drawn["event_curves"]


@by_algorithms(BehaviourFigures)
def class_behaviours(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    track_windows: Partitions,
    manifest: Manifest,
    comparison: Comparison,
    reporting: Reporting,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, Picture]:
    """`schemas.Behaviours`, their profiles, shares by replicate, tests on these, and the figure."""
    data = _assay(fields, frames, manifest, comparison, track_windows=track_windows)
    made = comparison.behaviours.make()(data)
    # classes were found in these cells: no share of one was asked for beforehand
    tests = comparison.tests.make()({**data, **made, "primary": ()})["comparisons"]
    drawn = BehaviourFigures(**reporting.drawing())(**made, sample_sheet=fields)["figures"]
    return (
        *(made["behaviours"], made["behaviour_profiles"], made["replicate_summaries"]),
        *(tests, drawn["behaviours"]),
    )


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
) -> tuple[pd.DataFrame, ...]:
    """What is counted and compared: `COMPARED`.

    Living targets and specific killing by replicate and by field, their dose-response and E:T curves,
    all measures by replicate, and the tests on them.
    """
    parts = {"motility": motility, "bouts": bouts, "fates": fates, "kills": kills}
    data = _assay(fields, frames, manifest, comparison, **parts)
    data["track_points"] = streamed(track_points, manifest)
    groups = data["design"]
    replicates = groups.groupby("condition")["replicate"].nunique()
    for condition in replicates.index[replicates < 2]:
        log.warning(
            "comparison: condition %r has one replicate, so nothing can be tested against it: cells "
            "of one well are not independent. Name replicates in the sample sheet, see "
            "docs/comparison.md",
            condition,
        )
    killing = comparison.cytotoxicity.make()(data)
    made = {**killing, **comparison.dose_response.make()({**data, **killing})}
    values = comparison.replicates.make()(data)["replicate_summaries"]
    made["replicate_summaries"] = join(
        [values, killing["replicate_summaries"]], schemas.ReplicateSummaries
    )
    made |= comparison.tests.make()({**data, **made})
    return tuple(made[name] for name in COMPARED)


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
