"""The one door of corrections: a partition put in place by a person, who said why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from cyto_kedro.blocks import Block
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.partitioned import PartitionedDataset
from cyto_kedro.datasets.planned import fitted
from cyto_kedro.errors import InputError, unknown
from cyto_kedro.ledger import Correction
from cyto_kedro.partitions import parse_id
from cyto_kedro.runner.graph import places_of
from cyto_kedro.runner.holding import Hold


def writing(catalog: Any, *names: str) -> Hold:
    """The leases of the datasets that a person writes."""
    return Hold(places_of(catalog, names), "kedro cyto")


def put_in_place(catalog: Any, name: str, partition: str, file: Path, who: str, why: str) -> None:
    """Replace one partition by a file, read and checked as the dataset would read its own.

    Raises
    ------
    InputError
        If the dataset is unknown or not partitioned, the partition is not planned, the file cannot
        be read as one, or (labels) has another shape than what it replaces.
    """
    if name not in catalog:
        raise InputError(unknown("dataset", name, catalog.keys()))
    dataset = catalog.get(name)
    if not isinstance(dataset, PartitionedDataset):
        raise InputError(f"dataset {name!r} has no partitions, so none can be corrected")
    manifest: Manifest = catalog.load("manifest")
    planned = manifest.ids(dataset.grain)
    if partition not in planned:
        raise InputError(unknown(f"partition of {name}", partition, planned))
    corrected = dataset.read_like(file)
    if file.suffix == ".csv" and isinstance(corrected, pd.DataFrame):
        corrected = _in_form(name, corrected, parse_id(dataset.grain, partition), file)
    keep(catalog, name, partition, corrected, file, who, why)


def _in_form(name: str, rows: pd.DataFrame, group: Mapping[str, str], file: Path) -> pd.DataFrame:
    """A table that a person typed: whole numbers may stand for others, the group's keys go unsaid."""
    # 0.5 s that other commands need not wait
    from cyto_kedro.schemas import TABLES, conform, dtypes

    if name not in TABLES:
        return rows
    table = TABLES[name]
    known = dtypes(table)
    unsaid = {key: value for key, value in group.items() if key in known and key not in rows}
    rows = rows.assign(**unsaid)
    blank = {name: "" for name, dtype in known.items() if dtype.kind == "U" and name in rows}
    try:
        return conform(table, rows.fillna(blank))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{file}: a column cannot be read as {table.called()} needs it ({error}): numbers and "
            "True or False, with nothing left blank that must be known (docs: Tables)"
        ) from error


def keep(
    catalog: Any, name: str, partition: str, corrected: Any, file: Path, who: str, why: str
) -> None:
    """Save `corrected`, read from `file`, as a correction of a planned partition.

    Raises
    ------
    InputError
        If it is labels of another shape than what it replaces, or a table of another field,
        population or block.
    """
    dataset = catalog.get(name)
    group = parse_id(dataset.grain, partition)
    corrected = fitted(catalog.load("manifest"), group, corrected, str(file))
    if isinstance(corrected, pd.DataFrame):
        _of_this_group(corrected, group, f"{name} {partition}", file)
        if name == "event_corrections":
            _of_two_cells(corrected, file)
    before = dataset.load_one(partition) if dataset.content(partition) is not None else None
    shape = getattr(corrected, "shape", None)
    if before is not None and hasattr(before, "ndim") and before.ndim > 2 and shape != before.shape:
        raise InputError(
            f"{file} has shape {shape}, but {name} {partition} has {before.shape}: a correction "
            "must show the same frames of the same field"
        )
    now = datetime.now(UTC)
    with dataset.correcting(Correction(who=who, why=why, when=now, source=str(file))):
        catalog.save(name, {partition: corrected})


def _of_two_cells(events: pd.DataFrame, file: Path) -> None:
    names = ["other_population", "other_y_px", "other_x_px"]
    known = events.reindex(columns=names).replace("", None).notna().all(axis=1)
    lacking = events.loc[events["event"].ne("death") & ~known, "event"]
    if len(lacking):
        raise InputError(
            f"{file}: the {lacking.iloc[0]} in row {lacking.index[0] + 1} does not say who the other "
            f"cell is, so it holds for nobody; fill in {', '.join(names)}"
        )


def _of_this_group(table: pd.DataFrame, group: Mapping[str, str], what: str, file: Path) -> None:
    for key in ("fov", "population"):
        if key in group and key in table.columns:
            others = sorted(set(table[key].astype(str)) - {group[key]})
            if others:
                raise InputError(
                    f"{file} holds rows of {key} {others[0]!r}, but is to take the place of {what}: it "
                    "is the table of another, or of several; give the file of this one alone"
                )
    if "block" in group and "frame" in table.columns and len(table):
        block = Block.parse(group["block"])
        outside = table.loc[~table["frame"].between(block.start, block.stop - 1), "frame"]
        if len(outside):
            raise InputError(
                f"{file} holds rows of frame {outside.iloc[0]}, but {what} is of frames "
                f"{block.start} to {block.stop - 1}; give the file of this block alone"
            )
