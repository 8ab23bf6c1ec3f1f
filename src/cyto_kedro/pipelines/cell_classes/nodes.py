"""The node of classes."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.trained import TrainedEngine
from cyto_kedro.errors import InputError, missing, unknown
from cyto_kedro.parameters import CellClasses
from cyto_kedro.partitions import Partitions, partition_id
from cyto_kedro.pipelines.common import CELL
from cyto_kedro.pipelines.training.left_out import folds_of, groups_of
from cyto_kedro.registry import build

log = logging.getLogger(__name__)

_AT = ["y_px", "x_px"]  # optional columns: where the cell lay that was told


def train_classes(
    cells: Partitions,
    told_classes: pd.DataFrame,
    fields: pd.DataFrame,
    manifest: Manifest,
    params: CellClasses,
) -> tuple[dict[str, TrainedEngine], pd.DataFrame]:
    """Learn the classes of each population's cells, and score them on groups left out in turn.

    The classifier that is kept is learnt from all.

    Raises
    ------
    InputError
        If the table lacks a column, names what does not exist, or most of it fits no cell.
    ConfigError
        If the column of the sample sheet does not exist.
    """
    groups = groups_of(fields, params.split, "cell_classes.split")
    learner, made, scores = params.learner.make(), {}, []
    for population, told in _told(told_classes, manifest).groupby("population", sort=False):
        examples = _measured(str(population), told, cells, manifest)
        group = examples["fov"].map(groups).to_numpy(str)
        rows = _left_out(str(population), examples, group, learner, params.most_folds)
        scores.append(rows)
        card = {
            "population": population,
            "learner": params.learner.fingerprint(),
            "fields": sorted({*examples["fov"]}),
            "left_out": _summary(rows),
        }
        weights = learner(examples=examples)["weights"]
        made[str(population)] = TrainedEngine(
            weights, learner.engine, learner.suffix, card, stage="tabulation"
        )
        log.info(
            "%s: learnt from %d cells. On what was left out: %s",
            *(population, len(examples), card["left_out"] or "unknown, since all is of one group"),
        )
    return made, pd.concat(scores, ignore_index=True)


def _told(table: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    for name in (*CELL, "class"):
        if name not in table.columns:
            raise InputError(f"told_classes: {missing('column', name, table.columns)}")
    at = [name for name in _AT if name in table]
    if len(at) == 1:
        raise InputError(f"told_classes has {at[0]} alone: give {' and '.join(_AT)}, or neither")
    if not at:
        log.warning(
            "told_classes has no %s: that its labels are still those of the cells cannot be checked. "
            "Copy these columns from the table cells too",
            " and ".join(_AT),
        )
    table = table[[*CELL, "class", *at]].dropna(subset=[*CELL, "class"])
    table = table.astype({"fov": str, "class": str})
    for name, known in (("fov", manifest.fovs), ("population", manifest.populations)):
        for given in table[name].unique():
            if given not in known:
                kind = "field" if name == "fov" else name
                raise InputError(f"told_classes, {name}: {unknown(kind, given, known)}")
    if table.empty:
        raise InputError("told_classes: no row says what a cell is")
    if table.duplicated(CELL).any():
        first = table[table.duplicated(CELL)].iloc[0]
        where = f"{first['fov']}, frame {first['frame']}, label {first['label']}"
        raise InputError(f"told_classes says twice what a cell is: {where}")
    return table


def _measured(
    population: str, told: pd.DataFrame, cells: Partitions, manifest: Manifest
) -> pd.DataFrame:
    """The told cells with what was measured of them."""
    told = told.rename(columns={name: f"told_{name}" for name in _AT})
    parts = []
    for fov, rows in told.groupby("fov", sort=False):
        for group in manifest.groups(cells.grain, {"fov": str(fov), "population": population}):
            table = cells[partition_id(cells.grain, group)]()
            parts.append(table.merge(rows, on=CELL, how="inner"))
    found = pd.concat(parts, ignore_index=True)
    if f"told_{_AT[0]}" in found:
        off = np.hypot(*(found[f"told_{name}"] - found[name] for name in _AT))
        radius = np.sqrt(found["area_px"] / np.pi)
        found = found[~(off > radius)].drop(columns=[f"told_{name}" for name in _AT])
    # a step of an earlier classifier may have written beside the cells what it took them for
    before = [name for each in told["class"].unique() for name in (f"{each}_chance", f"is_{each}")]
    found = found.drop(columns=before, errors="ignore")
    lost = len(told) - len(found)
    if 2 * lost > len(told):
        raise InputError(
            f"told_classes: {lost} of {len(told)} rows of {population} fit no cell by field, frame, "
            "label (and place, where told): masks were made anew since? Take these columns from the "
            "table cells as it is now"
        )
    if lost:
        log.warning(
            "%s: %d of %d rows of told_classes fit no cell any more, and are left out",
            *(population, lost, len(told)),
        )
    return found.reset_index(drop=True)


def _left_out(
    population: str, examples: pd.DataFrame, group: np.ndarray, learner: Any, most_folds: int
) -> pd.DataFrame:
    """`schemas.ClassScores` of what was left out; empty where all is of one group."""
    rows: list[dict[str, Any]] = []
    for fold in folds_of(group, most_folds):
        out = np.isin(group, fold)
        inside, left = examples[~out], examples[out].drop(columns="class")
        if inside["class"].nunique() < 2:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model{learner.suffix}"
            path.write_bytes(learner(examples=inside)["weights"])
            step = build("tabulation", learner.engine, {"model": str(path)})
            table = step(cells=left.reset_index(drop=True))["cells"]
        true = examples.loc[out, "class"].to_numpy(str)
        most = inside["class"].mode()[0]
        fov = examples.loc[out, "fov"].to_numpy(str)
        for name in np.unique([*true, *inside["class"]]):
            called = table.get(f"is_{name}", pd.Series(False, table.index)).to_numpy(bool)
            for each in np.unique(fov):
                of = fov == each
                rows.append(
                    {
                        **{"population": population, "fov": str(each), "class": str(name)},
                        "group": str(group[out][of][0]),
                        "n_true": int((of & (true == name)).sum()),
                        "n_found": int((of & called).sum()),
                        "n_matched": int((of & called & (true == name)).sum()),
                        "n_commonest": int((of & (true == name)).sum()) if name == most else 0,
                    }
                )
    columns = list(schemas.dtypes(schemas.ClassScores))
    return schemas.conform(schemas.ClassScores, pd.DataFrame(rows, columns=columns))


def _summary(rows: pd.DataFrame) -> dict[str, float]:
    """Share of cells that were told apart rightly, F1 by class; and had all been the commonest."""
    total = int(rows["n_true"].sum())
    if not total:
        return {}
    found = {
        "right": round(float(rows["n_matched"].sum()) / total, 3),
        "right, all called the commonest": round(float(rows["n_commonest"].sum()) / total, 3),
    }
    for name, part in rows.groupby("class"):
        both = int((part["n_true"] + part["n_found"]).sum())
        found[f"F1 {name}"] = round(2 * float(part["n_matched"].sum()) / max(both, 1), 3)
    return found
