"""Kills by a model of killing that is learnt from the assay itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.attack_model import AttackModel, Histories, Priors, fit
from cyto_kedro.algorithms.contacts.exposure import Exposure, exposure_of, roles_of
from cyto_kedro.algorithms.contacts.kills import (
    Given,
    LearntRule,
    Watched,
    has_killer,
    per_pair,
    shares_of,
)
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import MISSING, divide, rows_of, run_ids, starts_of
from cyto_kedro.errors import InputError

_LOG_SD = {
    "lethal_min": 2.0,
    "hits": 1.0,
    "delay_min": 1.0,
    "delay_cv": 0.5,
    "background_per_min": 2.0,
}
_UNTIMED_MIN = 2.0  # what a frame lasts, for the priors, where time is unknown
_LEAST_CONTROL_DEATHS = 3
_MOST_ODDS = 9.0  # that the other conditions lend to one that it kills


class KillLikelihood(LearntRule):
    """Attribute deaths by the chance that each effector did it, and that none did.

    `estimate` fits `attack_model.AttackModel` to all targets of an assay, those that lived
    included: how much contact it takes to a fatal hit, whether one hit is enough or damage adds up,
    how long a target then takes to die, and how often targets die by themselves. Nothing need be
    tuned; log-normal priors around the given medians decide where there are few deaths.

    Notes
    -----
    Given a death in ``(a, b]``, frame m of contact is the fatal one with weight
    ``w_m ~ p_m [G(b - t_m) - G(a - t_m)]`` (notation of `attack_model`). The fatal hit is attributed
    to the effectors in contact in that frame, 1/`hits` of it; the other hits lie evenly on the
    contact time before (as the times of a Poisson process do, given their number), so the rest of it
    is each effector's part of the contact time up to m. Summed over m this is the posterior share.
    Shares below `min_share` are dropped, the others made to sum to 1, and ``credit = (1 -
    p_background) * posterior share``: credits of a death sum to the chance that an effector did it.

    ``credit_by="likeliest"`` puts the part of the fatal hit wholly on the effector most likely to
    have dealt it, which agrees best with the truth in the mean; ``"expected"`` keeps the posterior
    shares. A death with p_background above `max_p_background` has no kills: verdict
    ``background``, or ``no_contact`` where no living effector was ever seen to touch the target.

    Where contact is not known to kill at all, no effector is blamed: with L the likelihood gained
    over a world in which all deaths are background, the evidence that contact kills is
    ``1 / (1 + (n + 1) exp(-L))`` for n deaths (Schwarz' criterion for two parameters: Kass & Raftery
    1995, doi:10.1080/01621459.1995.10476572), and ``p_background = 1 - evidence (1 - p)``, p being
    that of the model. The other conditions lend one at most odds of 9 to 1.

    The background comes from fields that the sample sheet calls `control` and that hold no contact
    with an effector, if they had at least 3 deaths or as much time at risk as the others; else from
    all time at risk of all fields, as part of the fit.

    Examples
    --------
    >>> touching = {"frame": np.arange(3, 9), "population_a": "N", "track_id_a": 1}
    >>> touching |= {"population_b": "T", "track_id_b": 1}
    >>> contacts = schemas.filled(schemas.Contacts, touching)
    >>> cells = {"population": ["N", "T", "T"], "track_id": [1, 1, 2], "last_frame": 20}
    >>> cells |= {"died": [False, True, False], "death_frame": [None, 10, None]}
    >>> fates = schemas.filled(schemas.Fates, {**cells, "end_reason": "film_end"})
    >>> death = {"population": ["T"], "track_id": 1, "frame": 10, "last_alive_frame": 9}
    >>> deaths = schemas.filled(schemas.Deaths, death)
    >>> given = {"deaths": deaths, "contacts": contacts, "fates": fates}
    >>> made = KillLikelihood()(given, populations={"N": "effector", "T": "target"})
    >>> made["kills"]["effector_track_id"].tolist(), made["deaths"]["verdict"].tolist()
    ([1], ['kill'])
    """

    version: ClassVar[int] = 4

    credit_by: Literal["likeliest", "expected"] = Field(
        default="likeliest", description="how the share of a death is given"
    )
    max_p_background: float = Field(
        default=0.5, ge=0, le=1, description="deaths more likely by themselves have no killer"
    )
    min_share: float = Field(default=0.1, ge=0, le=0.5, description="smaller shares are dropped")
    hits: float | None = Field(
        default=None, ge=1, le=50, description="fatal hits a target takes; null: learnt"
    )
    background_per_h: float | None = Field(
        default=None, ge=0, description="spontaneous deaths per target and hour; null: learnt"
    )
    lethal_prior_min: float = Field(default=30.0, gt=0, description="prior median of contact time")
    delay_prior_min: float = Field(default=15.0, gt=0, description="prior median of the delay")
    background_prior_per_h: float = Field(default=0.05, gt=0, description="prior median")

    def exposure(
        self,
        deaths: TableOf[schemas.Deaths],
        contacts: TableOf[schemas.Contacts],
        populations: Mapping[str, str],
        fates: TableOf[schemas.Fates],
        time_min: Any = None,
    ) -> Exposure:
        return exposure_of(fates, deaths, contacts, populations, time_min, _UNTIMED_MIN)

    def estimate(self, watched: Sequence[Watched]) -> TableOf[schemas.AttackModels]:
        """Fit the model to all fields together, then to each condition.

        A condition's fit takes the background of all, and the rest with priors around the fit of
        all, so that one with few deaths follows the others.

        Returns
        -------
        pandas.DataFrame
            `schemas.AttackModels`. Fields without times are left out where others have times.
        """
        timed = any(each.exposure.timed for each in watched)
        watched = [each for each in watched if each.exposure.timed == timed]
        rows: list[dict[str, Any]] = []
        names = {name for each in watched for name in each.exposure.targets["population"].unique()}
        for population in sorted(names):
            mine = [_of_population(each, population) for each in watched]
            base, source, facts = self._background(mine)
            whole = Histories([each.exposure for each in mine])
            fixed = {"background_per_min": base} if base is not None else {}
            if self.hits is not None:
                fixed["hits"] = self.hits
            pooled = fit(whole, self._priors(), fixed)
            facts = {"target_population": population, "background_source": source, **facts}
            setting = _UNTIMED_MIN, timed, base is None
            first = _row(pooled, "", whole, 1.0, *setting)
            rows.append(facts | first)
            near = Priors(pooled, _LOG_SD | {"hits": 0.5, "delay_min": 0.5, "delay_cv": 0.25})
            fixed["background_per_min"] = pooled.background_per_min
            odds = first["evidence"] / max(1 - first["evidence"], 1 / _MOST_ODDS)
            for condition in sorted({each.condition for each in mine} - {""}):
                part = [each.exposure for each in mine if each.condition == condition]
                histories = Histories(part)
                own = fit(histories, near, fixed)
                rows.append(facts | _row(own, condition, histories, odds, *setting))
        if not rows:
            return schemas.empty(schemas.AttackModels)
        return schemas.conform(schemas.AttackModels, pd.DataFrame(rows))

    def _priors(self) -> Priors:
        median = AttackModel(
            self.lethal_prior_min,
            1.0,
            self.delay_prior_min,
            0.5,
            self.background_prior_per_h / 60,
        )
        return Priors(median, _LOG_SD)

    def _background(self, watched: Sequence[Watched]) -> tuple[float | None, str, dict[str, Any]]:
        """Rate per minute where it is not to be fitted, where it comes from, and the control."""
        control = [
            each.exposure for each in watched if each.control and not len(each.exposure.attacks)
        ]
        targets = [each.targets for each in control]
        deaths = sum(int(each["died"].sum()) for each in targets)
        time = sum(float((each["at"] - each["entry"]).sum()) for each in targets)
        whole = sum(
            float((each.exposure.targets["at"] - each.exposure.targets["entry"]).sum())
            for each in watched
        )
        facts = {"control_deaths": deaths, "control_frames": time / self._frame(watched)}
        if self.background_per_h is not None:
            return max(self.background_per_h / 60, 1e-9), "assumed", facts
        if time and (deaths >= _LEAST_CONTROL_DEATHS or time >= whole / 2):
            # the mean of the posterior with Jeffreys' prior, above 0 without any death
            return (deaths + 0.5) / time, "control", facts
        return None, "same_fields", facts

    def _frame(self, watched: Sequence[Watched]) -> float:
        """Median minutes of a frame of contact, or what one is assumed to last."""
        dt = [each.exposure.attacks["dt"] for each in watched if each.exposure.timed]
        found = float(pd.concat(dt).median()) if dt else np.nan
        return _UNTIMED_MIN if np.isnan(found) else found

    def attribute(self, given: Given) -> tuple[pd.DataFrame, pd.DataFrame]:
        """See `KillRule.run`; without `attack_models` they are fitted to the field alone."""
        deaths, contacts, populations, fates, models, condition, time_min = given
        if fates is None:
            raise InputError("KillLikelihood needs 'fates', a table Fates: who was at risk when")
        exposure = self.exposure(deaths, contacts, populations, fates, time_min)
        role = roles_of(deaths["population"], populations)
        if models is None:
            models = self.estimate([Watched(exposure, condition, False)])
        p_background = np.full(len(deaths), np.nan)
        touched = np.zeros(len(deaths), bool)
        found = []
        for population in deaths["population"][role == "target"].unique():
            histories = Histories([only(exposure, population)])
            learnt = model_of(models, population, condition, _UNTIMED_MIN)
            table, chance = self._judge(histories, *(learnt or (self._priors().median, 0.5)))
            targets = histories.targets[histories.died]
            row = rows_of(deaths, targets["population"], targets["track_id"])
            known = row != MISSING
            p_background[row[known]] = chance[histories.died][known]
            full = np.full(len(histories), MISSING)
            full[np.flatnonzero(histories.died)] = row
            table["death"] = full[table["death"]]
            found.append(table[table["death"] != MISSING])
        if found:
            kills = pd.concat(found, ignore_index=True)
        else:
            kills = per_pair(exposure.attacks.assign(death=0, weight=0.0, time_min=0.0)[:0]).assign(
                share=0.0, credit=0.0
            )
        touched[kills["death"].to_numpy(np.int64)] = True
        likely = p_background <= self.max_p_background
        kills = kills[likely[kills["death"].to_numpy(np.int64)]]
        verdict = np.where(touched, "background", "no_contact").astype(object)
        verdict[has_killer(kills, deaths)] = "kill"
        verdict[role != "target"] = "not_a_target"
        kills = kills.assign(p_background=p_background[kills["death"].to_numpy(np.int64)])
        return kills, deaths.assign(p_background=p_background, verdict=verdict)

    def _judge(
        self, histories: Histories, model: AttackModel, evidence: float
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Per death (row of targets) and effector the share and credit; p_background per target."""
        part, attack, alive = histories.parts(model)
        own = histories.background(model, alive)
        # a death that neither explains (at once, in a film of one frame) is background
        p_background = np.where(attack > 0, own / np.maximum(attack + own, 1e-300), 1.0)
        p_background = 1 - evidence * (1 - p_background)
        moments, attacks = histories.moments, histories.attacks
        of, target = moments["of"], moments["target"]
        weight = np.nan_to_num(divide(part, attack[target]))
        fatal = weight[of] / moments["n"][of]
        before = attacks["dt"].to_numpy(float) * _later(weight / moments["high"], target)[of]
        rows = histories.died[attacks["target"].to_numpy(np.int64)]
        base = attacks.assign(death=attacks["target"])[rows]
        table = per_pair(base.assign(weight=fatal[rows]))
        rest = per_pair(base.assign(weight=before[rows]))["weight"].to_numpy()
        death, fatal = table["death"].to_numpy(np.int64), table["weight"].to_numpy()
        one = 1 / model.hits
        posterior = one * fatal + (1 - one) * rest
        if self.credit_by == "likeliest":
            best = np.zeros(len(histories))
            np.maximum.at(best, death, fatal)
            # equal up to rounding is equal: two that were there in the same frames share
            fatal = np.where((fatal > 0) & (fatal >= best[death] * (1 - 1e-9)), 1.0, 0.0)
            fatal = np.nan_to_num(divide(fatal, np.bincount(death, fatal, len(best))[death]))
        share = shares_of(death, one * fatal + (1 - one) * rest, self.min_share)
        table["share"] = share
        kept = np.where(share > 0, posterior, 0.0)
        kept = np.nan_to_num(divide(kept, np.bincount(death, kept, len(histories))[death]))
        table["credit"] = np.clip((1 - p_background[death]) * kept, 0, 1)
        return table, p_background


def _later(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sum of `values` from each position to the end of its run of `group`."""
    start = starts_of(group)
    summed = np.concatenate([[0.0], np.cumsum(values)])
    end = summed[np.append(start[1:], len(values))[: len(start)]]
    return end[run_ids(start, len(values))] - summed[:-1]


def only(exposure: Exposure, population: str) -> Exposure:
    """The exposure of one target population."""
    kept = (exposure.targets["population"] == population).to_numpy()
    number = np.cumsum(kept) - 1
    attacks = exposure.attacks[kept[exposure.attacks["target"]]]
    return replace(
        exposure,
        targets=exposure.targets[kept].reset_index(drop=True),
        attacks=attacks.assign(target=number[attacks["target"]]).reset_index(drop=True),
    )


def _of_population(watched: Watched, population: str) -> Watched:
    """`watched` with the exposure of one target population."""
    return watched._replace(exposure=only(watched.exposure, population))


def _row(
    model: AttackModel,
    condition: str,
    histories: Histories,
    odds: float,
    assumed: float,
    timed: bool,
    free: bool,
) -> dict[str, Any]:
    """The model as a row of `schemas.AttackModels`, less what is the same for all conditions."""
    dt = histories.attacks["dt"].to_numpy(float)
    frame = float(np.median(dt)) if timed and len(dt) else assumed
    null = np.nan if not timed else 1.0
    risk = float((histories.at - histories.entry).sum())
    harmless = replace(model, lethal_min=1e12)
    if free:  # the background would have to explain all deaths
        rate = max(int(histories.died.sum()), 0.5) / max(risk, 1e-9)
        harmless = replace(harmless, background_per_min=rate)
    gain = histories.log_likelihood(model) - histories.log_likelihood(harmless)
    n_deaths = int(histories.died.sum())
    return {
        "condition": condition,
        "lethal_frames": model.lethal_min / frame,
        "lethal_min": model.lethal_min * null,
        "hits": model.hits,
        "delay_frames": model.delay_min / frame,
        "delay_min": model.delay_min * null,
        "delay_cv": model.delay_cv,
        "background_per_frame": model.background_per_min * frame,
        "background_per_h": model.background_per_min * 60 * null,
        "gain": gain,
        "evidence": 1 / (1 + (n_deaths + 1) * np.exp(-gain) / max(odds, 1e-9)),
        "n_targets": len(histories),
        "n_deaths": n_deaths,
        "risk_frames": risk / frame,
        "contact_frames": float(len(dt)),
        "expected_background": risk * model.background_per_min,
    }


def model_of(
    models: pd.DataFrame, population: str, condition: str, assumed: float
) -> tuple[AttackModel, float] | None:
    """Model and evidence of a population and condition, else of the population; None without any."""
    rows = models[models["target_population"] == population]
    rows = rows[rows["condition"].isin(["", condition])].sort_values("condition")
    if not len(rows):
        return None
    row = rows.iloc[-1]
    frame = assumed if np.isnan(row["delay_min"]) else row["delay_min"] / row["delay_frames"]
    model = AttackModel(
        row["lethal_frames"] * frame,
        row["hits"],
        row["delay_frames"] * frame,
        row["delay_cv"],
        row["background_per_frame"] / frame,
    )
    return model, float(row["evidence"])
