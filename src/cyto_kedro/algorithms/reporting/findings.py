"""What the report says first: the answer per condition, and conditions compared by replicates."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from cyto_kedro.algorithms.reporting.plots import count

BLANK = "–"


def answers(by_condition: pd.DataFrame) -> list[tuple[str, str]]:
    """One sentence per condition (`summary.summarise`): how many died, of whom, how fast.

    Targets dead at first sight are no part of those that could be seen to die.
    """
    said = []
    for row in by_condition.to_dict("records"):
        at_risk = row["targets"] - row["dead_at_first_sight"]
        share = f" ({100 * row['deaths'] / at_risk:.0f} %)" if at_risk else ""
        text = f"{number(row['deaths'])} of {count(at_risk, 'living target')} seen died{share}; "
        text += f"{number(row['kills'])} of the deaths are attributed to effectors"
        rate = number(row["kills_per_effector_per_hour"])
        if rate != BLANK:
            text += f", {rate} kills per effector and hour"
        if row["dead_at_first_sight"]:
            text += f"; {row['dead_at_first_sight']} more were dead at first sight"
        text += f" ({count(row['fovs'], 'field')}, {count(row['replicates'], 'replicate')})."
        said.append((row["condition"], text))
    return said


def compared(comparisons: pd.DataFrame) -> pd.DataFrame:
    """`schemas.Comparisons` for reading: means over replicates, difference, p, and the warning."""
    units = comparisons["unit"].where(comparisons["unit"] == "", " (" + comparisons["unit"] + ")")
    return pd.DataFrame(
        {
            "measure": _plain(comparisons["measure"]) + units,
            "population": comparisons["population"],
            "condition": comparisons["condition"],
            "against": comparisons["reference"],
            "replicates": _pair(comparisons, "n_condition", "n_reference"),
            "means": _pair(comparisons, "mean_condition", "mean_reference"),
            "difference (95 %)": _limits(comparisons, "difference"),
            "p": comparisons["p"],
            "p, corrected": comparisons["p_holm"],
            "beware": comparisons["note"],
        }
    )


def numbered(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The texts of the column `beware` once each, and the table with their numbers instead."""
    notes = [note for note in dict.fromkeys(table["beware"]) if note]
    marks = {note: str(i + 1) for i, note in enumerate(notes)}
    return table.assign(beware=table["beware"].map(marks).fillna("").astype(object)), notes


def related(hazards: pd.DataFrame) -> pd.DataFrame:
    """`schemas.Hazards` for reading: ratio with limits by replicate, p, counts, and the warning."""
    reference = hazards["reference"].fillna("")
    against = reference.where(reference == "", " against " + reference)
    return pd.DataFrame(
        {
            "model": hazards["model"],
            "of": hazards["condition"],
            "population": hazards["population"],
            "term": _plain(hazards["term"]) + against,
            "hazard ratio (95 %)": _limits(hazards, "hazard_ratio"),
            "p": hazards["p"],
            "deaths / cells": _pair(hazards, "n_events", "n_cells"),
            "replicates": hazards["n_clusters"],
            "beware": hazards["note"],
        }
    )


def per_replicate(summaries: pd.DataFrame) -> pd.DataFrame:
    """`schemas.ReplicateSummaries` with a column per replicate of a condition."""
    if summaries.empty:
        return pd.DataFrame(columns=["measure", "population"])
    units = summaries["unit"].where(summaries["unit"] == "", " (" + summaries["unit"] + ")")
    groups = summaries.groupby(["condition", "replicate"], sort=False)
    rows = summaries.assign(measure=_plain(summaries["measure"]) + units, group=groups.ngroup())
    wide = rows.pivot_table(
        index=["measure", "population"],
        columns="group",
        values="value",
        sort=False,
        dropna=False,
        observed=True,
    )
    pairs = summaries[["condition", "replicate"]].drop_duplicates().to_numpy()
    names = {n: f"{condition}, {replicate}" for n, (condition, replicate) in enumerate(pairs)}
    wide.columns = wide.columns.map(names)
    return wide.dropna(how="all").reset_index()


def _plain(names: pd.Series) -> pd.Series:
    return names.astype(str).str.replace("_", " ")


def _pair(rows: pd.DataFrame, first: str, second: str) -> pd.Series:
    return _text(rows[first]) + " / " + _text(rows[second])


def _limits(rows: pd.DataFrame, name: str) -> pd.Series:
    limits = " (" + _text(rows["low"]) + " to " + _text(rows["high"]) + ")"
    return _text(rows[name]) + limits.where(rows["low"].notna(), "")


def _text(values: pd.Series) -> pd.Series:
    return values.astype(object).map(number)


def number(value: Any) -> str:
    """Three significant digits, whole numbers whole, a dash for null; other things as text."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return BLANK
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, float):
        whole = value == round(value) or abs(value) >= 1000
        return f"{value:.0f}" if whole else f"{value:.3g}"
    return str(value)
