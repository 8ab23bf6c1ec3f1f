"""What the report says first: the answer per condition, and conditions compared by replicates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from numbers import Real
from typing import Any

import pandas as pd
import scipy

from cyto_kedro.algorithms.reporting.death_warnings import effectors_die_fast
from cyto_kedro.algorithms.reporting.plots import count
from cyto_kedro.core.units import three_digits

BLANK = "–"
MINUS = "\N{MINUS SIGN}"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_SAID = 3


def answers(by_condition: pd.DataFrame) -> list[tuple[str, str]]:
    """One sentence per condition (`summary.summarise`): how many died, of whom, how fast.

    Targets dead at first sight are no part of those that could be seen to die.
    """
    return [(row["condition"], _answer(row)) for row in by_condition.to_dict("records")]


def _answer(row: Mapping[Any, Any]) -> str:
    place = f" ({count(row['fovs'], 'field')}, {count(row['replicates'], 'replicate')})."
    if pd.isna(row["deaths"]):
        text = f"{count(row['effectors'], 'effector')} and {count(row['targets'], 'target')} found"
        if pd.isna(row["dead_at_first_sight"]):
            return text + "; who died is unknown, since no marker tells" + place
        return (
            text
            + f", {number(row['dead_at_first_sight'])} targets dead; stills show no dying"
            + place
        )
    at_risk = row["targets"] - row["dead_at_first_sight"]
    share = f" ({100 * row['deaths'] / at_risk:.0f} %)" if at_risk else ""
    text = f"{number(row['deaths'])} of {count(at_risk, 'living target')} seen died{share}; "
    text += f"{number(row['kills'])} of the deaths are attributed to effectors"
    rate = number(row["kills_per_effector_per_hour"])
    if rate != BLANK:
        text += f", {rate} kills per effector and hour"
    cells = row["targets_at_once"]
    if at_risk > 1.2 * cells > 0:
        text += (
            f"; at most {number(cells)} of them are in view at once, as cells come and go, or are "
        )
        text += (
            f"lost and not found again: {100 * row['share_died']:.3g} % of those in view died by "
        )
        text += "the film's end (Kaplan-Meier, which broken tracks do not shift)"
    once = at_risk - row["targets_watched"]
    if once > 0:
        text += f"; {once} of the living were seen in one frame only, or at no known time, and are "
        text += "not in survival curves"
    if row["dead_at_first_sight"]:
        text += f"; {row['dead_at_first_sight']} more were dead at first sight"
    return text + place


def killed(
    summaries: pd.DataFrame, by_condition: pd.DataFrame | None = None
) -> list[tuple[str, str]]:
    """What kills most against no effectors, by independent replicates: nothing, or one sentence."""
    rows = summaries[summaries["measure"] == "specific_killing"].dropna(subset="value")
    said: list[tuple[float, str]] = []
    for condition, one in rows.groupby("condition", sort=False):
        each = one.groupby("cluster")["value"].mean()
        mean, n = float(each.mean()), len(each)
        text = f"{condition} {number(mean)} % ("
        if n > 1:
            half = scipy.special.stdtrit(n - 1, 0.975) * each.sem()
            text += f"95 % interval {number(float(mean - half))} to {number(float(mean + half))}; "
        said.append((mean, f"{text}{int(one['n_cells'].sum())} targets, {count(n, 'replicate')})"))
    if not said:
        return []
    weak = weak_conditions(by_condition)
    ranked = [text for _, text in sorted(said, reverse=True)]
    more = f"; {len(ranked) - MOST_SAID} more in the figure" if len(ranked) > MOST_SAID else ""
    when = str(rows["statistic"].iloc[0]).split(",")[0]
    told = weak_pair(weak, "specific_killing", *rows["condition"].unique())
    when += ", against no effectors"
    return [(f"Specific killing {when}", f"{', '.join(ranked[:MOST_SAID])}{more}.{_beware(told)}")]


def headline(
    comparisons: pd.DataFrame, summaries: pd.DataFrame, by_condition: pd.DataFrame | None = None
) -> list[tuple[str, str]]:
    """How much the primary outcome differs, a sentence per pair of conditions, the largest first.

    `comparisons`, `summaries`: `schemas.Comparisons`, and the `schemas.ReplicateSummaries` that
    they rest on. With `by_condition` (`summary.summarise`) what weakens a number is said with it.
    Returns at most `MOST_SAID`; what follows is in the figure.
    """
    outcome = comparisons.get("outcome", pd.Series("", comparisons.index))
    rows = comparisons[(outcome == "primary") & comparisons["difference"].notna()]
    rows = rows.reindex(rows["difference"].abs().sort_values(ascending=False, kind="stable").index)
    cells = summaries.groupby(["measure", "population", "condition"])["n_cells"].sum()
    said, weak = [], weak_conditions(by_condition)
    for row in rows.head(MOST_SAID).to_dict("records"):
        unit = "" if row["unit"] in ("", "share") else f" {row['unit']}"
        about = f"{plain(row['measure'])} of {row['population']}"
        text = (
            f"{about} {number(row['mean_condition'])} against {number(row['mean_reference'])}{unit}"
        )
        text += f", a difference of {number(row['difference'])}"
        if pd.notna(row["low"]):
            text += f" (95 % interval {number(row['low'])} to {number(row['high'])})"
        if pd.notna(row["p_holm"]):
            text += f"; {row['test']}, p = {number(row['p_holm'])} after Holm's correction"
        else:
            text += "; no p-value: each condition needs two independent replicates"
        key = (row["measure"], row["population"])
        n = [int(cells.get((*key, row[side]), 0)) for side in ("condition", "reference")]
        text += f"; n = {n[0]} and {n[1]} cells of {row['n_condition']} and {row['n_reference']}"
        text += " replicates."
        pair = (row["condition"], row["reference"])
        text += _beware(weak_pair(weak, row["measure"], *pair))
        said.append((f"{row['condition']} against {row['reference']}", text))
    return said


def doubts(row: Mapping[Any, Any]) -> list[str]:
    """What weakens the numbers of a row of `summary.summarise`, a sentence each."""
    return [sentence for _, sentence in weakened(row)]


def weakened(row: Mapping[Any, Any]) -> list[tuple[tuple[str, ...], str]]:
    """Numbers of a row of `summary.summarise` (its columns) that something weakens, and what.

    Speeds are named `speed` together.
    """
    deaths, rate = ("deaths", "kills"), "kills_per_effector_per_hour"
    said: list[tuple[tuple[str, ...], str]] = []
    if row.get("fields_flagged"):
        sentence = (
            f"The masks of {row['fields_flagged']} of {count(row['fovs'], 'field')} are flagged "
            "(expected F1 too low): no number of these fields is sure"
        )
        said.append((("tracked", *deaths, rate, "speed", "contact_median"), sentence))
    if pd.notna(row["deaths"]) and 2 * row["dead_at_first_sight"] > row["targets"]:
        sentence = (
            f"{row['dead_at_first_sight']} of {row['targets']} targets were dead at first sight: deaths "
            "and kills are of the rest; is the threshold of death right?"
        )
        said.append(((*deaths, rate), sentence))
    if fast := effectors_die_fast(row):
        said.append((("kills", rate), fast))
    tracked = row["effectors"] + row["targets"]
    if 4 * row["lost"] > tracked:
        sentence = (
            f"{row['lost']} of {tracked} tracks were lost inside the field and not found again: cells "
            "count more than once, and deaths, serial kills and long contacts are missed"
        )
        said.append((("tracked", *deaths, rate, "speed", "contact_median"), sentence))
    if 3 * row["contacts_unknown"] > row["contacts"] > 0:
        sentence = (
            f"{count(row['contacts_unknown'], 'contact')} began before it could be seen, "
            f"{row['contacts']} in view: the median is of the latter"
        )
        said.append((("contact_median",), sentence))
    if row["contacts_cut"] * 2 > row["contacts"] > 0:
        sentence = (
            f"{row['contacts_cut']} of {row['contacts']} contacts still lasted when last seen: the "
            "median leans on few"
        )
        said.append((("contact_median",), sentence))
    touches, untracked = row["touches"], row["touches_untracked"]
    if untracked * 20 > touches:
        sentence = (
            f"{untracked} of {touches} touches between cells belong to cells without a track: contacts "
            "and kills are too few"
        )
        said.append((("kills", rate, "contact_median"), sentence))
    return said


#: what weakens a measure of `schemas.ReplicateSummaries`: the name that `weakened` has for it
WEAKENED = {
    **dict.fromkeys(("survival", "restricted_mean_survival", "death_rate"), "deaths"),
    **dict.fromkeys(("live_targets", "specific_killing", "specific_killing_area"), "deaths"),
    **dict.fromkeys(("contact_duration", "first_contact_rate"), "contact_median"),
    "kills_per_effector_per_hour": "kills_per_effector_per_hour",
}
Weak = Mapping[str, list[tuple[tuple[str, ...], str]]]


def weak_conditions(by_condition: pd.DataFrame | None) -> Weak:
    """What weakens the numbers of each condition: `weakened`."""
    rows = [] if by_condition is None else by_condition.to_dict("records")
    return {str(row["condition"]): weakened(row) for row in rows}


def weak_pair(weak: Weak, measure: str, *conditions: str) -> list[str]:
    """What weakens a measure of any of `conditions`, a sentence each, with the condition's name."""
    name = WEAKENED.get(measure, "speed")
    return [
        f"{condition}: {sentence}"
        for condition in conditions
        for names, sentence in weak.get(condition, ())
        if name in names
    ]


def _beware(notes: Sequence[str]) -> str:
    most = 2
    more = f"; {len(notes) - most} more with the table" if len(notes) > most else ""
    return f" Beware: {'; '.join(notes[:most])}{more}." if notes else ""


def tested(comparisons: pd.DataFrame) -> str:
    """How conditions were compared: outcome, test, pairing, correction, in sentences."""
    rows = comparisons[comparisons["test"] != ""]
    outcome = comparisons.get("outcome", pd.Series("exploratory", comparisons.index))
    primary = [plain(name) for name in comparisons.loc[outcome == "primary", "measure"].unique()]
    named = ", ".join(
        "cytotoxicity (survival of targets)" if n == "survival" else n for n in primary
    )
    said = [f"Primary outcome: {named}." if primary else "No primary outcome could be measured."]
    said.append(
        "All other measures are exploratory: a small p among them is a hint, not a finding."
    )
    if len(rows):
        said.append(f"Test: {', '.join(rows['test'].unique())}, of replicates.")
        ways = {
            True: "pair by pair, as the sample sheet (donor) or comparison.paired states",
            False: "unpaired, since no pairs are stated; a column donor in the sample sheet states them",
        }
        apart = {bool(p): ways[bool(p)] for p in rows["paired"]}
        said.append(f"Replicates are compared {'; some '.join(apart.values())}.")
        said.append(
            "Correction: Holm's, within a measure over its pairs of conditions unless the parameters "
            "(comparison.tests) say otherwise."
        )
    if (outcome == "control").any():
        said.append(
            "Pairs with an effector-free control stand apart: they are no treatment's effect."
        )
    return " ".join(said)


def compared(comparisons: pd.DataFrame, by_condition: pd.DataFrame | None = None) -> pd.DataFrame:
    """`schemas.Comparisons` for reading: means over replicates, difference, p, warnings a line each.

    With `by_condition` (`summary.summarise`) what weakens a condition's numbers is among them.
    """
    weak = weak_conditions(by_condition)
    keys = zip(*(comparisons[name] for name in ("measure", "condition", "reference")), strict=True)
    doubts = ["\n".join(weak_pair(weak, *key)) for key in keys]
    notes = [
        "\n".join(filter(None, each)) for each in zip(comparisons["note"], doubts, strict=True)
    ]
    units = comparisons["unit"].where(comparisons["unit"] == "", " (" + comparisons["unit"] + ")")
    return pd.DataFrame(
        {
            "outcome": comparisons.get("outcome", pd.Series("", comparisons.index)),
            "measure": _plain(comparisons["measure"]) + units,
            "population": comparisons["population"],
            "condition": comparisons["condition"],
            "against": comparisons["reference"],
            "replicates": _pair(comparisons, "n_condition", "n_reference"),
            "means": _pair(comparisons, "mean_condition", "mean_reference"),
            "difference (95 %)": _limits(comparisons, "difference"),
            "p": comparisons["p"],
            "p, corrected": comparisons["p_holm"],
            "beware": pd.Series(notes, comparisons.index, dtype=object),
        }
    )


def numbered(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The lines of the column `beware` once each, and the table with their numbers instead."""
    lines = [str(text).splitlines() for text in table["beware"]]
    marks = {note: n for n, note in enumerate(dict.fromkeys(chain(*lines)), 1)}
    numbers = [", ".join(str(marks[note]) for note in each) for each in lines]
    return table.assign(beware=pd.Series(numbers, table.index, dtype=object)), list(marks)


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


def plain(name: str) -> str:
    """A column's name as words."""
    return name.replace("_", " ")


def _plain(names: pd.Series) -> pd.Series:
    return names.astype(str).map(plain)


def _pair(rows: pd.DataFrame, first: str, second: str) -> pd.Series:
    return _text(rows[first]) + " / " + _text(rows[second])


def _limits(rows: pd.DataFrame, name: str) -> pd.Series:
    limits = " (" + _text(rows["low"]) + " to " + _text(rows["high"]) + ")"
    return _text(rows[name]) + limits.where(rows["low"].notna(), "")


def _text(values: pd.Series) -> pd.Series:
    return values.astype(object).map(number)


def number(value: Any) -> str:
    """Three digits, whole numbers whole, a true minus, a dash for null; other things as text."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return BLANK
    if isinstance(value, bool | str):
        return str(value)
    text = str(value)
    if isinstance(value, float) and math.isinf(value):
        text = "∞" if value > 0 else "-∞"
    elif isinstance(value, float):
        digits, _, power = three_digits(value).partition("e")
        text = f"{digits} × 10{str(int(power)).translate(_RAISED)}" if power else digits
    return text.replace("-", MINUS) if isinstance(value, Real) else text
