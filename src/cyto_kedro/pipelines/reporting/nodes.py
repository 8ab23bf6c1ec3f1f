"""Nodes of reporting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.network_figures import chosen_fields
from cyto_kedro.algorithms.reporting.report import HtmlReport
from cyto_kedro.algorithms.reporting.results import PyCytoResults, for_csv
from cyto_kedro.algorithms.reporting.summary import CELL, TOUCHES, Summary, count_touches_of
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.stacking import STACK_ROWS
from cyto_kedro.images import Picture
from cyto_kedro.parameters import Reporting
from cyto_kedro.partitions import Partitions
from cyto_kedro.pipelines.common import Group, by_algorithms, join, streamed, whole
from cyto_kedro.pipelines.ingestion.sheet import DEFAULTS
from cyto_kedro.pipelines.reporting.figure_nodes import FIGURES, FURTHER, assay

FEW_FIELDS, MOST_FIELDS = 4, 12  # whose films the page shows
ByPopulation = Mapping[str, pd.DataFrame]
ByBlock = Mapping[Any, pd.DataFrame]


@by_algorithms(PyCytoResults)
def tabulate_results(
    group: Group,
    cells: ByBlock,
    track_points: ByPopulation,
    viability: ByBlock,
    steps: ByPopulation,
    contacts: pd.DataFrame,
    manifest: Manifest,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One field's results in pyCyto's format, and the same for CSV."""
    data = {
        "cells": join(cells.values(), schemas.Cells),
        "track_points": join(track_points.values(), schemas.TrackPoints),
        "viability": join(viability.values(), schemas.Viability),
        "steps": join(steps.values(), schemas.Steps),
        "contacts": contacts,
    }
    results = PyCytoResults()(data)["results"]
    return results, for_csv(results)


@by_algorithms(Summary)
def summarise(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    quality: Partitions,
    track_points: Partitions,
    motility: Partitions,
    bouts: Partitions,
    fates: Partitions,
    kills: Partitions,
    touches: Partitions,
    mask_quality: Partitions,
    cell_sizes: Partitions,
    viability_state: Partitions,
    manifest: Manifest,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Headline numbers per field and per condition, and what to beware of."""
    parts = {
        "quality": quality,
        "motility": motility,
        "bouts": bouts,
        "fates": fates,
        "kills": kills,
        "mask_quality": mask_quality,
        "cell_sizes": cell_sizes,
    }
    data = assay(fields, frames, parts, manifest)
    data["track_points"] = streamed(track_points, manifest)
    counts: dict[str, tuple[int, int]] = {}
    points = data["motility"].groupby("fov")["n_points"].sum()
    rows_so_far = points.reindex(list(manifest.fovs), fill_value=0).cumsum()
    for _, some in rows_so_far.groupby(rows_so_far // STACK_ROWS):
        counts |= count_touches_of(
            *(
                pd.concat(
                    part.stacked(
                        (i for fov in some.index for i in manifest.ids(part.grain, {"fov": fov})),
                        names,
                    )
                )
                for part, names in ((touches, TOUCHES), (track_points, CELL))
            )
        )
    data["touch_counts"] = counts
    data["viability_state"] = {name: viability_state[name]() for name in manifest.populations}
    found = Summary()(data)
    return found["by_fov"], found["by_condition"], found["warnings"]


@by_algorithms(HtmlReport)
def write_report(
    summary_by_fov: pd.DataFrame,
    summary_by_condition: pd.DataFrame,
    warnings: pd.DataFrame,
    mask_quality: Partitions,
    cell_sizes: Partitions,
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    comparisons: pd.DataFrame,
    replicate_summaries: pd.DataFrame,
    hazards: pd.DataFrame,
    segmentation_overlay: Partitions,
    track_overlay: Partitions,
    clips: Partitions | None,
    manifest: Manifest,
    run_info: dict[str, Any],
    reporting: Reporting,
    *figures: Picture | None,
) -> str:
    """The report: one HTML page that needs no other file and cites its run's manifest.

    Of the figures, those of further analyses (`FURTHER`) come first, None where they are not there.
    """
    named = dict(zip((*FURTHER, *FIGURES), figures, strict=True))
    overlays = {}
    fovs = list(manifest.fovs)
    if len(fovs) > FEW_FIELDS:  # a page of a hundred films would be too large to open
        fovs = chosen_fields(fovs, fields, MOST_FIELDS)
    for fov in fovs:
        for what, parts in (("segmentation", segmentation_overlay), ("tracks", track_overlay)):
            picture = parts[fov]()
            overlays[f"{fov} {what}"] = replace(picture, title=f"{fov}: {picture.title}")
    found = (clips[fov]() for fov in manifest.fovs) if clips is not None else ()
    filmed = (clip for of_field in found if of_field is not None for clip in of_field)
    # the simulation has parameters of its own, which no analysis reads
    parameters = {k: v for k, v in run_info["parameters"].items() if k != "simulation"}
    page = HtmlReport()(
        {
            "title": reporting.title,
            "run": {**run_info, "parameters": parameters},
            "fields": fields,
            "frames": frames,
            "sample_sheet": _sheet(fields),
            "by_fov": summary_by_fov,
            "by_condition": summary_by_condition,
            "warnings": warnings,
            "mask_quality": whole(mask_quality, manifest, schemas.MaskQuality),
            "cell_sizes": whole(cell_sizes, manifest, schemas.CellSizes),
            "comparisons": comparisons,
            "replicate_summaries": replicate_summaries,
            "hazards": hazards,
            "figures": {
                name: named[name] for name in (*FIGURES, *FURTHER) if named[name] is not None
            },
            "overlays": overlays,
            "clips": filmed,
            "roles": manifest.roles,
        }
    )
    return str(page["html"])


def _sheet(fields: pd.DataFrame) -> pd.DataFrame:
    """What the sample sheet says of the fields, without columns that say nothing."""
    shape = [name for name in schemas.dtypes(schemas.Fields) if name != "fov"]
    silent = [
        name
        for name, default in DEFAULTS.items()
        if name in fields.columns and (fields[name] == default).all()
    ]
    return fields.drop(columns=[*shape, *silent])
