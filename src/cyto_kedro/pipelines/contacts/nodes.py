"""Nodes of contacts: tables in, tables out; no pixel is read here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.covered import without_covered
from cyto_kedro.algorithms.contacts.viability import Dyes, ViabilityCaller
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.parameters import ContactsSpec
from cyto_kedro.pipelines.common import CELL, Group, join, stacked

ByPopulation = Mapping[str, pd.DataFrame]
log = logging.getLogger(__name__)


def estimate_viability(
    group: Group,
    cells: Mapping[Any, pd.DataFrame],
    fields: pd.DataFrame,
    manifest: Manifest,
    viability: ContactsSpec,
) -> dict[str, Any]:
    """What living cells of one population look like in the death marker, by field.

    One state for all fields of a plate (the sample sheet's column ``plate``; all fields without
    one), so that a control without any death is judged by the same threshold as the others. Fields
    of another plate may have been filmed with another exposure, and so may fields of one: those in
    which all living cells are brighter or darker are estimated apart, and that is said.
    """
    algorithm = _caller(viability)
    if not algorithm.can_tell(manifest.markers):
        log.warning(
            "%s: the assay names no death marker (assay.markers), so nobody is called alive or dead: "
            "contacts, bouts and motion are told, deaths, kills and who did what are empty",
            group["population"],
        )
        return {}
    dyes = _dyes(manifest)
    read = algorithm.reads(Dyes(**dyes))
    columns = [*CELL, *(_measured(manifest, group["population"]) if read is None else read)]
    states: dict[str, Any] = {}
    for plate, fovs in plates(fields).groupby("plate")["fov"]:
        of_plate = set(fovs)
        keys = [key for key in cells if key[0] in of_plate]
        pooled = join(stacked(cells, keys, columns), schemas.Cells)
        rows = pooled.groupby("fov").indices
        by_field = {fov: pooled.iloc[rows.get(fov, [])] for fov in fovs}
        groups = algorithm.apart(by_field, Dyes(**dyes))
        del by_field
        for names in groups:
            apart = len(groups) > 1
            own = join([pooled[pooled["fov"].isin(names)]], schemas.Cells) if apart else pooled
            state = algorithm.estimate(own, controls=_controls(own, fields), **dyes)
            states |= {fov: state | {"estimated_apart": names != groups[0]} for fov in names}
        if len(groups) > 1:
            log.warning(
                "%s%s: living cells differ in the death marker between fields, by more than noise "
                "(another exposure, staining or background?). Who is dead is judged apart in %s and "
                "in the others. Name plates in the sample sheet's column `plate` if that is meant.",
                group["population"],
                f", plate {plate!r}" if plate else "",
                "; ".join(", ".join(names) for names in groups[1:]),
            )
    return states


def _caller(viability: ContactsSpec) -> ViabilityCaller:
    algorithm = viability.make()
    if not isinstance(algorithm, ViabilityCaller):
        raise ConfigError(
            f"contacts.viability: {viability.name} does not say who lives (it must be a subclass of "
            "cyto_kedro.algorithms.contacts.viability.ViabilityCaller, such as MarkerThreshold)"
        )
    return algorithm


def _dyes(manifest: Manifest) -> dict[str, Any]:
    """``marker``, the channel of the death marker where there is one; all ``markers``."""
    death = {"marker": manifest.markers["death"]} if "death" in manifest.markers else {}
    return {**death, "markers": manifest.markers}


def _measured(manifest: Manifest, population: str) -> list[str]:
    """Columns that viability may need: of shape; intensities of markers and the population's own."""
    channels = {*manifest.sources[population], *manifest.markers.values()}
    grey = [f"{channel}_{stat}" for channel in sorted(channels) for stat in schemas.STATS]
    return ["area_px", "perimeter_px", *grey]


def _controls(cells: pd.DataFrame, fields: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Cells of fields that the sample sheet's column ``viability_control`` calls live or dead."""
    if "viability_control" not in fields.columns:
        return {}
    kinds = fields["viability_control"].fillna("").astype(str).str.strip()
    for kind in sorted(set(kinds) - {"", "live", "dead"}):
        raise InputError(
            f"sample sheet, viability_control: {unknown('kind', kind, ('live', 'dead'))} It says of "
            "which fields all cells are known to live or be dead; leave it empty for others"
        )
    return {
        kind: cells[cells["fov"].isin(fields["fov"][kinds == kind])] for kind in ("live", "dead")
    }


def plates(fields: pd.DataFrame) -> pd.DataFrame:
    """Field and plate; all on one plate where the sheet names none."""
    plate = fields["plate"].fillna("").astype(str) if "plate" in fields.columns else ""
    return fields[["fov"]].assign(plate=plate)


def assess_viability(
    group: Group,
    cells: ByPopulation,
    touches: pd.DataFrame,
    viability_state: Mapping[str, dict[str, Any]],
    fields: pd.DataFrame,
    manifest: Manifest,
    viability: ContactsSpec,
) -> dict[str, pd.DataFrame]:
    """`schemas.Viability` of one block by population: needs no tracks, works on stills.

    All populations at once: a cell on a dead one of another population is judged by the pixels that
    are its own, and has no row where these are too few (`algorithms.contacts.covered`).
    """
    judged, algorithm = {}, _caller(viability)
    for name in manifest.populations:
        state = viability_state[name].get(group["fov"])
        if state is None:  # no death marker
            judged[name] = schemas.empty(schemas.Viability)
        else:
            data = {"cells": cells[name], "state": state, **_dyes(manifest)}
            judged[name] = algorithm(data)["viability"]
            if name in manifest.unmarked:
                judged[name] = judged[name].assign(dead=False, alive_probability=1.0)
    together = join([cells[name] for name in manifest.populations], schemas.Cells)

    def again(name: str, own: pd.DataFrame) -> pd.DataFrame:
        data = {"cells": own, "state": viability_state[name][group["fov"]], **_dyes(manifest)}
        return algorithm(data)["viability"]

    # sums and extremes over fewer pixels are not those that the threshold was learnt of
    by_own = getattr(algorithm, "stat", "median") in ("median", "mean")
    kept, n_unknown = without_covered(judged, together, touches, again if by_own else None)
    if n_unknown:
        log.info(
            "%s: %d cells lie on a dead cell of another population: alive or dead is unknown",
            "/".join(group.values()),
            n_unknown,
        )
    return kept
