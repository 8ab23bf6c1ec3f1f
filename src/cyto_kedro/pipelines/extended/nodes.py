"""Nodes of further analyses that see the whole assay."""

from __future__ import annotations

import pandas as pd

from cyto_kedro.algorithms.reporting.further_figures import FurtherFigures
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.images import Picture
from cyto_kedro.parameters import ContactsSpec, Reporting
from cyto_kedro.partitions import Partitions
from cyto_kedro.pipelines.common import by_algorithms, of_assay, one_by_one


@by_algorithms(FurtherFigures)
def draw_further_figures(
    fields: pd.DataFrame,
    msd: Partitions,
    velocity_autocorrelation: Partitions,
    death_index: Partitions,
    conjugation: Partitions,
    clusters: Partitions,
    cell_density: Partitions,
    spatial_statistics: Partitions,
    organisation: Partitions,
    manifest: Manifest,
    reporting: Reporting,
) -> tuple[Picture, Picture]:
    """Mean squared displacement, and a figure of curves; tables are read a field at a time."""
    further = {
        "velocity_autocorrelation": velocity_autocorrelation,
        "death_index": death_index,
        "conjugation": conjugation,
        "clusters": clusters,
        "cell_density": cell_density,
        "spatial_statistics": spatial_statistics,
        "organisation": organisation,
    }
    figures = FurtherFigures(**reporting.drawing())(
        roles=manifest.roles,
        sample_sheet=fields,
        further={name: one_by_one(parts, manifest) for name, parts in further.items()},
        **of_assay({"msd": msd}, manifest),
    )["figures"]
    return figures["msd"], figures["further"]


def estimate_dwell(
    bouts: Partitions, fields: pd.DataFrame, manifest: Manifest, dwell: ContactsSpec
) -> pd.DataFrame:
    """`schemas.Dwell`: how long contacts last, by condition and by field."""
    data = {**of_assay({"bouts": bouts}, manifest), "fields": fields}
    return dwell.make()(data)["dwell"]
