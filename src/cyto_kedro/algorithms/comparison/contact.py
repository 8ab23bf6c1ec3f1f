"""Does contact kill? Curves and hazards that do not give contact the time before it happened.

A target has to live until it is touched. Who compares targets "ever touched" with those "never
touched" therefore gives the touched a stretch of time in which they could not die (immortal time:
Suissa 2008, *Am J Epidemiol* 167:492), and contact looks as if it protected. Here a target counts as
not touched until its first contact, and as touched from then on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.comparison.cox import CoxFit, fit_cox
from cyto_kedro.algorithms.comparison.design import ALL, clocked, strata
from cyto_kedro.algorithms.comparison.episodes import Term, episodes, first_contact, spells
from cyto_kedro.algorithms.comparison.survival import survival_curve
from cyto_kedro.core.groups import of_design, of_role
from cyto_kedro.core.survival import risk
from cyto_kedro.core.units import Duration, Durations
from cyto_kedro.core.watched import n_cells, watched
from cyto_kedro.schemas import TableOf

GROUPS = ("not_touched", "touched")


class ByContact(TypedDict):
    """Curves of the groups ``not_touched`` and ``touched``."""

    contact_survival: TableOf[schemas.ContactSurvival]


class HazardRatios(TypedDict):
    """One row per model and term."""

    hazards: TableOf[schemas.Hazards]


class ContactSurvival(Algorithm):
    """Survival of targets by contact, without immortal time: Simon-Makuch and landmark curves.

    Curves are per target population, condition and replicate.

    Notes
    -----
    **Simon-Makuch** (Simon and Makuch 1984, *Stat Med* 3:35): a target is in the group
    ``not_touched`` until its first contact with an effector and enters the group ``touched`` then;
    each curve is Kaplan-Meier's with that late entry. Both begin at the first time at which
    each group has `min_at_risk` cells under observation (or, where that never happens, any), which
    stands in the columns `landmark_…`: earlier steps would rest on a handful of cells.

    **Landmark** (Anderson, Cain and Gelber 1983, *J Clin Oncol* 1:710): targets alive and watched at
    the landmark are divided by what happened until then, and followed from there; contact after the
    landmark does not change the group.

    A Simon-Makuch curve is no share of a fixed group of cells, since cells change groups: compare
    its slopes, or take the Cox model (`ContactHazards`). In neither is a causal effect proven: what
    makes a target easy to meet may also make it easy to kill.

    Examples
    --------
    Of four targets two are touched at 2 min, and die soon after:

    >>> fates = pd.DataFrame({"track_id": [1, 2, 3, 4], "exit_min": [4.0, 6, 9, 9]}).assign(
    ...     fov="A1", population="CancerCell", dead_at_first_sight=False,
    ...     died=[True, True, False, False], entry_min=0.0, end_reason="film_end")
    >>> design = pd.DataFrame({"fov": ["A1"], "condition": "treated", "replicate": "donor 1"})
    >>> design = design.assign(cluster="donor 1", control=False)
    >>> bouts = pd.DataFrame({"track_id_b": [1, 2]}).assign(
    ...     fov="A1", population_a="TCell", track_id_a=1, population_b="CancerCell", bout=1,
    ...     start_frame=1, start_min=2.0, duration_min=2.0, n_frames=1)
    >>> roles = {"TCell": "effector", "CancerCell": "target"}
    >>> found = ContactSurvival(min_at_risk=1, landmarks_min=(3,))(
    ...     fates=fates, bouts=bouts, design=design, populations=roles)["contact_survival"]
    >>> landmark = found[(found["method"] == "landmark") & (found["replicate"] == "(all)")]
    >>> landmark.groupby("group")["estimate"].min().to_dict()
    {'not_touched': 1.0, 'touched': 0.0}
    """

    version = 4

    min_at_risk: int = Field(default=10, ge=1, description="cells in each group, see above")
    landmarks: Durations | None = Field(
        default=None,
        description="time of each landmark; null: a quarter and half of the longest film",
    )

    def run(
        self,
        fates: TableOf[schemas.Fates],
        bouts: TableOf[schemas.Bouts],
        design: pd.DataFrame,
        populations: Mapping[str, str],
        frames: TableOf[schemas.Frames] | None = None,
    ) -> ByContact:
        """Curves of the targets of all fields; `design` is `comparison.design`'s."""
        rows, unit = _targets(fates, frames, design, populations)
        found = spells(rows, bouts, populations, unit, frames=frames, fates=fates)
        rows["contact"] = first_contact(rows, found)
        marks = tuple(rows["leave"].max() * np.array([0.25, 0.5]))
        if self.landmarks is not None:
            marks = self.landmarks.in_unit("landmarks", unit)
        parts = []
        for names, whole in _conditions(rows, design):
            begin = self._begin(whole)
            for replicate, one in _replicates(whole):
                if begin is not None:
                    for group, mine in _by_contact(one, begin):
                        curve = self._curve(mine, "simon_makuch", group, begin)
                        parts.append(curve.assign(**names, replicate=replicate))
                for mark in marks:
                    for group, mine in _at_landmark(one, mark):
                        curve = self._curve(mine, "landmark", group, mark)
                        parts.append(curve.assign(**names, replicate=replicate))
        if not parts:
            return {"contact_survival": schemas.empty(schemas.ContactSurvival)}
        table = clocked(clocked(pd.concat(parts), unit), unit, "landmark")
        return {"contact_survival": schemas.conform(schemas.ContactSurvival, table)}

    def _curve(self, rows: pd.DataFrame, method: str, group: str, landmark: float) -> pd.DataFrame:
        curve = survival_curve(rows)
        few = curve["at_risk"] < self.min_at_risk
        return curve.assign(method=method, group=group, landmark=landmark, few_at_risk=few)

    def _begin(self, rows: pd.DataFrame) -> float | None:
        """From when both groups have cells enough; None where one of them never has any."""
        (_, before), (_, after) = _by_contact(rows, -np.inf)
        times = np.unique(rows["entry"].to_numpy())
        times = np.unique(np.concatenate([times, after["entry"].to_numpy()]))
        # those who are there just after each time
        there = np.minimum(*(_just_after(each, times) for each in (before, after)))
        for enough in (self.min_at_risk, 1):
            if (there >= enough).any():
                return float(times[np.argmax(there >= enough)])
        return None


class ContactHazards(Algorithm):
    """Hazard ratios of contact and of condition, by Cox regression with contact varying in time.

    Notes
    -----
    Three models, for each population: ``contact`` (targets only), within each condition and over
    all, where each condition keeps a baseline of its own (strata); ``condition``, each against the
    reference; and ``condition + contact``: what is left of a condition's effect beyond how often its
    effectors touch. A term's hazard ratio is for one unit of it: 1 against 0, or one effector more.

    A contact counts from after the frame in which it was first seen, and `in_contact` and
    `n_effectors` until `lasting` after it ended; a killed cell dies minutes after the hit, when the
    effector may have left. Limits and p-values take replicates, not cells, as independent, with a
    correction for their small number (`comparison.cox`); with fewer than two they are null, and `note`
    says so. `se_model`, for independent cells, is there to show the difference.

    The model takes a ratio to be the same at all times (proportional hazards): look at the curves.

    Examples
    --------
    One replicate has no confidence limits, and `note` says so:

    >>> fates = pd.DataFrame({"track_id": [1, 2, 3, 4], "exit_min": [4.0, 8, 6, 9]}).assign(
    ...     fov="A1", population="CancerCell", dead_at_first_sight=False,
    ...     died=[True, True, True, False], entry_min=0.0, end_reason="film_end")
    >>> design = pd.DataFrame({"fov": ["A1"], "condition": "treated", "replicate": "donor 1"})
    >>> design = design.assign(cluster="donor 1", control=False)
    >>> bouts = pd.DataFrame({"track_id_b": [1, 2]}).assign(
    ...     fov="A1", population_a="TCell", track_id_a=1, population_b="CancerCell", bout=1,
    ...     start_frame=1, start_min=2.0, duration_min=2.0, n_frames=1)
    >>> roles = {"TCell": "effector", "CancerCell": "target"}
    >>> table = ContactHazards()(
    ...     fates=fates, bouts=bouts, design=design, populations=roles)["hazards"]
    >>> bool(table["hazard_ratio"].iloc[0] > 1), table["note"].iloc[0][:32]
    (True, '1 replicate where 2 are needed: ')
    """

    version = 4

    terms: tuple[Term, ...] = Field(
        default=("ever_touched",),
        min_length=1,
        description="of contact: ever_touched, in_contact, n_effectors (now), n_met (so far)",
    )
    lasting: Duration | None = Field(
        default=None, description="how long an ended contact still counts; null: not at all"
    )

    def run(
        self,
        fates: TableOf[schemas.Fates],
        bouts: TableOf[schemas.Bouts],
        design: pd.DataFrame,
        populations: Mapping[str, str],
        reference: str | None = None,
        frames: TableOf[schemas.Frames] | None = None,
    ) -> HazardRatios:
        """Fit the models to the cells of all fields; `reference` None: the first condition."""
        terms, asked = list[str](self.terms), reference
        rows, unit = _targets(fates, frames, design, populations)
        lasting = self.lasting.in_unit("lasting", unit) if self.lasting else 0.0
        found = episodes(rows, spells(rows, bouts, populations, unit, lasting, frames, fates))
        parts = []
        for names, one in _conditions(found, design):
            parts.append(_report(names, "contact", one.assign(stratum=""), terms))
        for population, one in found.groupby("population"):
            if len(one["condition"].unique()) > 1:
                names = {"condition": ALL, "population": str(population)}
                if one.groupby("condition")["cluster"].nunique().max() < 2:
                    one = one.assign(
                        cluster=ALL
                    )  # no condition is repeated: nothing tells how it varies
                parts.append(_report(names, "contact", one.assign(stratum=one["condition"]), terms))
        everyone = of_design(watched(fates, frames)[0], design)
        everyone = everyone.rename(columns={"entry": "start", "leave": "stop"})
        for model, table, more in (
            ("condition", everyone, []),
            ("condition + contact", found, terms),
        ):
            for population, one in table.groupby("population"):
                here: list[str] = [
                    c for c in design["condition"].unique() if (one["condition"] == c).any()
                ]
                reference = asked if asked is not None and asked in here else here[0]
                others = [name for name in here if name != reference]
                names = {"condition": ALL, "population": str(population)}
                if others:
                    parts += _against(names, model, one, reference, others, more)
        if not parts:
            return {"hazards": schemas.empty(schemas.Hazards)}
        return {"hazards": schemas.conform(schemas.Hazards, pd.concat(parts))}


def _against(
    names: dict[str, str],
    model: str,
    table: pd.DataFrame,
    reference: str,
    others: list[str],
    more: list[str],
) -> Iterator[pd.DataFrame]:
    """Rows of `schemas.Hazards` of `others` against `reference`, and of the terms `more`.

    A condition in which nobody dies has no finite ratio: it is reported alone, so that it does not
    void the others.
    """

    def fit(base: str, group: list[str], terms: list[str]) -> pd.DataFrame:
        mine = table[table["condition"].isin([base, *group])]
        return _of_conditions(names, model, mine, base, group, terms)

    died = table.groupby("condition")["event"].any()
    with_deaths = [name for name in others if died[name]]
    if died[reference]:
        for name in others:
            if not died[name]:
                yield fit(reference, [name], [])
        if with_deaths or more:
            yield fit(reference, with_deaths, more)
        return
    for name in others:
        alone = fit(reference, [name], [])
        if died[name]:
            alone["note"] = (
                f"no death in the reference {reference}: every ratio to it is infinite; name another "
                "comparison.reference"
            )
        yield alone
    if more and with_deaths:
        found = fit(with_deaths[0], with_deaths[1:], more)
        yield found[found["term"].isin(more)]


def _of_conditions(
    names: dict[str, str],
    model: str,
    table: pd.DataFrame,
    reference: str,
    others: list[str],
    more: list[str],
) -> pd.DataFrame:
    """Rows of `schemas.Hazards` of `others` against `reference`, and of the terms `more`."""
    # a condition may have any name: it is never that of a column
    columns = {f"condition[{i}]": name for i, name in enumerate(others)}
    dummies = {c: (table["condition"] == n).astype(float) for c, n in columns.items()}
    report = _report(names, model, table.assign(stratum="", **dummies), [*columns, *more])
    report["reference"] = np.where(report["term"].isin(list(columns)), reference, "")
    for column in ("term", "note"):
        report[column] = [_named(text, columns) for text in report[column]]
    return report


def _named(text: str, columns: Mapping[str, str]) -> str:
    """`text` with the conditions that its columns stand for."""
    return re.sub(r"condition\[\d+\]", lambda found: columns.get(found[0], found[0]), text)


def _targets(
    fates: pd.DataFrame,
    frames: pd.DataFrame | None,
    design: pd.DataFrame,
    roles: Mapping[str, str],
) -> tuple[pd.DataFrame, str]:
    """Targets under observation with their condition and replicate, and the unit of time."""
    rows, unit = watched(fates, frames)
    rows = rows[rows["population"].isin(of_role(roles, "target"))]
    return of_design(rows.reset_index(drop=True), design), unit


def _conditions(
    rows: pd.DataFrame, design: pd.DataFrame
) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    for names, one in strata(rows, design):
        if names["replicate"] == ALL:
            yield {name: names[name] for name in ("condition", "population")}, one


def _replicates(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield ALL, rows
    for name, one in rows.groupby("replicate", sort=True):
        yield str(name), one


def _by_contact(rows: pd.DataFrame, begin: float) -> list[tuple[str, pd.DataFrame]]:
    """Time before and after the first contact, from `begin` on (Simon-Makuch)."""
    contact = rows["contact"].to_numpy()
    before = rows.assign(
        leave=np.minimum(rows["leave"], contact), event=rows["event"] & (rows["leave"] <= contact)
    )
    after = rows.assign(entry=np.maximum(rows["entry"], contact))
    return [
        (group, part.assign(entry=entry)[part["leave"] > entry])
        for group, part in zip(GROUPS, (before, after), strict=True)
        for entry in [np.maximum(part["entry"], begin)]
    ]


def _at_landmark(rows: pd.DataFrame, mark: float) -> list[tuple[str, pd.DataFrame]]:
    """Those alive and watched at the landmark, by whether they had been touched."""
    there = rows[(rows["entry"] <= mark) & (rows["leave"] > mark)].assign(entry=mark)
    touched = there["contact"] <= mark
    return [("not_touched", there[~touched]), ("touched", there[touched])]


def _just_after(rows: pd.DataFrame, times: np.ndarray) -> np.ndarray:
    """How many of `rows` are under observation just after each time: entry <= time < leave."""
    return risk(rows["entry"].to_numpy(), rows["leave"].to_numpy(), np.nextafter(times, np.inf))


def _report(
    names: dict[str, str], model: str, table: pd.DataFrame, terms: list[str]
) -> pd.DataFrame:
    """Rows of `schemas.Hazards` of one fit."""
    fit: CoxFit = fit_cox(table, terms)
    with np.errstate(over="ignore"):
        ratios = pd.DataFrame(
            {
                ratio: np.exp(fit.table[name])
                for ratio, name in (
                    ("hazard_ratio", "coefficient"),
                    ("low", "low"),
                    ("high", "high"),
                )
            }
        )
    return (
        fit.table[["coefficient", "se_model", "se", "p"]]
        .join(ratios)
        .rename_axis("term")
        .reset_index()
        .assign(
            **names,
            model=model,
            reference="",
            n_cells=n_cells(table),
            n_events=int(table["event"].sum()),
            n_clusters=table["cluster"].nunique(),
            df=fit.df,
            note=fit.note,
        )
    )
