"""Nodes of killing that see the whole assay, and the tallies per cell."""

from __future__ import annotations

import logging

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.kills import LearntRule, Watched
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import ContactsSpec
from cyto_kedro.partitions import Partitions
from cyto_kedro.pipelines.common import conditions_of, context, join, whole

log = logging.getLogger(__name__)


def learn_killing(
    observed_deaths: Partitions,
    fates: Partitions,
    contacts: Partitions,
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    manifest: Manifest,
    kills: ContactsSpec,
) -> pd.DataFrame:
    """`schemas.AttackModels` of the assay: empty where the attribution has a fixed rule."""
    algorithm = kills.make()
    if not isinstance(algorithm, LearntRule):
        return schemas.empty(schemas.AttackModels)
    sheet, condition = fields.set_index("fov"), conditions_of(fields)
    deaths = whole(observed_deaths, manifest, schemas.Deaths)
    every_fate = whole(fates, manifest, schemas.Fates)
    clocks, deaths_of, fates_of = (
        dict(iter(table.groupby("fov"))) for table in (frames, deaths, every_fate)
    )
    watched = []
    for fov in manifest.fovs:
        where = context({"fov": fov}, manifest, clocks[fov])
        row = sheet.loc[fov]
        exposure = algorithm.exposure(
            join([deaths_of.get(fov, deaths[:0])], schemas.Deaths),
            contacts[fov](),
            manifest.roles,
            join([fates_of.get(fov, every_fate[:0])], schemas.Fates),
            where["time_min"],
        )
        watched.append(Watched(exposure, condition[fov], bool(row.get("control", False))))
    models = algorithm.estimate(watched)
    _warn(models)
    return models


def _warn(models: pd.DataFrame) -> None:
    for row in models[models["condition"] == ""].itertuples():
        if row.background_source == "same_fields" and row.n_deaths:
            log.warning(
                "%s: no effector-free control field with enough deaths (column `control` of the "
                "sample sheet), so the background of spontaneous deaths is estimated from the "
                "treated fields themselves: from targets before and without contact, which takes it "
                "that deaths out of contact had no killer. Chances of background depend on that.",
                row.target_population,
            )
    for row in models[(models["condition"] != "") & (models["evidence"] < 0.5)].itertuples():
        if row.n_deaths and row.contact_frames:
            log.warning(
                "%s, condition %r: its %d deaths are no evidence that contact kills (column `evidence` "
                "of attack_models: %.2f), so they are put to the background",
                row.target_population,
                row.condition,
                row.n_deaths,
                row.evidence,
            )
