"""Kills: deaths of targets shared among the effectors that touched them before, by a fixed rule.

`attribution.KillLikelihood` learns the rule from the assay instead.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.corrected_events import Correctable, said_of
from cyto_kedro.algorithms.contacts.corrected_kills import attacks_before, correct_shares, fit_kills
from cyto_kedro.algorithms.contacts.exposure import Exposure, roles_of, turned
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import MISSING, divide, fov_of, rows_of, starts_of
from cyto_kedro.core.units import Duration, PositiveDuration

_ROUNDING = 1e-9  # relative: what differs by less is equal


class Attributed(TypedDict):
    """Kills, and the deaths with n_killers, p_background and verdict."""

    kills: TableOf[schemas.Kills]
    deaths: TableOf[schemas.Deaths]


class Given(NamedTuple):
    """What a rule judges by; arguments of `KillRule.run`."""

    deaths: TableOf[schemas.Deaths]
    contacts: TableOf[schemas.Contacts]
    populations: Mapping[str, str]
    fates: TableOf[schemas.Fates] | None = None
    attack_models: TableOf[schemas.AttackModels] | None = None
    condition: str = ""
    time_min: Any = None


class KillRule(Correctable):
    """Attributes the deaths of one field to effectors; what a person said of a death holds."""

    @abstractmethod
    def attribute(self, given: Given) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Kills as `finished` takes them, and the deaths with p_background and verdict."""

    def run(
        self,
        deaths: TableOf[schemas.Deaths],
        contacts: TableOf[schemas.Contacts],
        populations: Mapping[str, str],
        fates: TableOf[schemas.Fates] | None = None,
        attack_models: TableOf[schemas.AttackModels] | None = None,
        condition: str = "",
        time_min: Any = None,
        track_points: TableOf[schemas.TrackPoints] | None = None,
        event_corrections: TableOf[schemas.EventCorrections] | None = None,
        pixel_size_um: float | None = None,
    ) -> Attributed:
        """Attribute deaths.

        Parameters
        ----------
        deaths, contacts, fates
            Of all populations of one field.
        populations
            Name -> role.
        attack_models
            What a rule that learns has learnt of the whole assay (`LearntRule.estimate`).
        condition
            Of the field, in the sample sheet.
        time_min
            (T,) times of the frames, or None.
        track_points, event_corrections
            Where cells are, and what a person said of kills there: set and cleared ones hold
            (`corrected_kills`).

        Raises
        ------
        InputError
            If tables of several fields are given, or a population has no role.
        ConfigError
            If time is unknown and the rule needs it.
        """
        deaths = schemas.conform(schemas.Deaths, deaths)
        given = Given(deaths, contacts, populations, fates, attack_models, condition, time_min)
        kills, judged = self.attribute(given)
        said = said_of("kill", event_corrections)
        if len(said):
            reach = self.reach_of_corrections(pixel_size_um)
            attacks = attacks_before(contacts, judged, populations)
            points = schemas.or_empty(track_points, schemas.TrackPoints)
            fit = fit_kills(said, points, judged, attacks, reach)
            kills, judged = correct_shares(kills, judged, fit, per_pair(attacks.assign(weight=1.0)))
        return finished(kills, judged)


class Watched(NamedTuple):
    """One field's exposure, and what the sample sheet says of it."""

    exposure: Exposure
    condition: str
    control: bool


class LearntRule(KillRule):
    """A rule that learns of all fields first."""

    @abstractmethod
    def exposure(
        self,
        deaths: TableOf[schemas.Deaths],
        contacts: TableOf[schemas.Contacts],
        populations: Mapping[str, str],
        fates: TableOf[schemas.Fates],
        time_min: Any = None,
    ) -> Exposure:
        """What `estimate` needs of one field; arguments as those of ``run``."""

    @abstractmethod
    def estimate(self, watched: Sequence[Watched]) -> TableOf[schemas.AttackModels]:
        """What is learnt of all fields together."""


class KillShares(KillRule):
    """Share each death among the effectors in contact with the target in a window before it.

    `p_background` is null: a fixed rule knows nothing of deaths without a killer, and gives every
    target that was touched in the window to an effector.

    Notes
    -----
    The window is ``[death - window, death]``, both ends in it. A contact frame weighs what it lasts
    times ``2 ** (-age / half_life)``, its age being the time from it to the death, so long and recent
    contact counts most. `mode` says how weights become shares: **share**: in proportion; **last**,
    **first**: all to the effector whose last contact is the latest, or whose first contact in the
    window is the earliest; **longest**: all to the one with most contact frames; ties share
    equally. Shares below `min_share` are dropped and the rest made to sum to 1. A death without
    contact in the window has no kills and `n_killers` 0. Only pairs of a population with role
    effector and one with role target count.

    Examples
    --------
    >>> touching = {"frame": [5, 6, 8], "population_a": "N", "track_id_a": [1, 1, 2]}
    >>> touching |= {"population_b": "T", "track_id_b": 1}
    >>> contacts = schemas.filled(schemas.Contacts, touching)
    >>> death = {"population": ["T"], "track_id": 1, "frame": 10}
    >>> deaths = schemas.filled(schemas.Deaths, death)
    >>> rule = KillShares(window_frames=20, half_life_frames=None, half_life_min=None)
    >>> kills = rule(deaths=deaths, contacts=contacts, populations={"N": "effector", "T": "target"})
    >>> kills["kills"][["effector_track_id", "share"]].round(2).values.tolist()
    [[1.0, 0.67], [2.0, 0.33]]
    """

    version: ClassVar[int] = 4

    mode: Literal["share", "last", "first", "longest"] = Field(
        default="share", description="how the weights of contacts become shares of the death"
    )
    window: Duration = Field(default=Duration(min=60.0), description="before death")
    half_life: PositiveDuration | None = Field(
        default=Duration(min=20.0, frames=10), description="null: no decay"
    )
    min_share: float = Field(default=0.1, ge=0, le=0.5, description="smaller shares are dropped")

    def needs(self) -> tuple[str, ...]:
        corrections = ("track_points", "event_corrections", "pixel_size_um")
        return ("deaths", "contacts", "populations", "time_min", *corrections)

    def attribute(self, given: Given) -> tuple[pd.DataFrame, pd.DataFrame]:
        deaths, roles = given.deaths, given.populations
        fov_of(deaths, given.contacts)
        attacks = turned(given.contacts, roles)
        death = rows_of(deaths, attacks["target_population"], attacks["target_track_id"])
        attacks, death = attacks[death != MISSING], death[death != MISSING]
        attacks, age, half_life = self._window(attacks, death, deaths)
        weight = np.ones(len(age)) if half_life is None else np.exp2(-age / half_life)
        if given.time_min is not None:
            clock = Clock.of_times(given.time_min)
            lasting = clock.duration_min(attacks["frame"]) / clock.interval_min
            # times are stored rounded: frames that last as long as the others weigh as much
            weight = weight * np.where(
                np.abs(lasting - 1) < 1e-6, 1.0, np.nan_to_num(lasting, nan=1.0)
            )
        kills = per_pair(attacks.assign(weight=weight))
        kills["share"] = self._shares(kills)
        verdict = np.where(has_killer(kills, deaths), "kill", "no_contact").astype(object)
        verdict[roles_of(deaths["population"], roles) != "target"] = "not_a_target"
        kills = kills.assign(p_background=np.nan, credit=np.nan)
        return kills, deaths.assign(p_background=np.nan, verdict=verdict)

    def _window(
        self, attacks: pd.DataFrame, death: np.ndarray, deaths: pd.DataFrame
    ) -> tuple[pd.DataFrame, np.ndarray, float | None]:
        """Attacks in the window, their ages before death and the half-life in the same unit."""
        age = deaths["time_min"].to_numpy(float)[death] - attacks["time_min"].to_numpy(float)
        window, timed = self.window.timed("window", not np.isnan(age).any())
        half_life = None
        if not timed:
            age = (deaths["frame"].to_numpy()[death] - attacks["frame"].to_numpy()).astype(float)
        if self.half_life is not None:
            half_life = self.half_life.min if timed else self.half_life.frames
        inside = (age >= 0) & (age <= window + 1e-9)
        attacks = attacks.assign(death=death)[inside]
        return attacks, age[inside], half_life

    def _shares(self, kills: pd.DataFrame) -> np.ndarray:
        death = kills["death"].to_numpy()
        if self.mode == "share":
            score = kills["weight"].to_numpy(float)
        else:
            rank = {
                "last": kills["last_contact_frame"],
                "first": -kills["first_contact_frame"],
                "longest": kills["contact_frames"],
            }[self.mode]
            best = rank.groupby(death).transform("max")
            score = (rank == best).to_numpy(float)
        return shares_of(death, score, self.min_share)


def shares_of(death: np.ndarray, score: np.ndarray, min_share: float) -> np.ndarray:
    """Scores as shares that sum to 1 per death, those below `min_share` set to 0 first.

    Equal up to rounding is equal, and a share of exactly `min_share` is kept.
    """
    # the best of a death is kept always: with ten equal killers each has 0.1
    most = pd.Series(score).groupby(death).transform("max").to_numpy()
    share = divide(score, np.bincount(death, weights=score)[death])
    kept = (share >= min_share * (1 - _ROUNDING)) | (score >= most * (1 - _ROUNDING))
    score = np.where(kept, score, 0)
    return np.nan_to_num(divide(score, np.bincount(death, weights=score)[death]))


def per_pair(attacks: pd.DataFrame) -> pd.DataFrame:
    """One row per death and effector, of attacks with the columns death, weight (any number).

    Returns death, effector_population, effector_track_id, weight (summed), contact_frames,
    first_contact_frame, last_contact_frame, and the times of the two where attacks have time_min.
    """
    names = ["death", "effector_population", "effector_track_id"]
    attacks = attacks.sort_values([*names, "frame"], ignore_index=True)
    first = starts_of(*(attacks[name].to_numpy() for name in names))
    last = (np.append(first[1:], len(attacks)) - 1)[: len(first)]
    frame, time = attacks["frame"].to_numpy(), attacks["time_min"].to_numpy(float)
    # each pair is summed by itself: differences of a running sum would depend on the other pairs
    values = attacks["weight"].to_numpy(float)
    weight = np.add.reduceat(values, first) if len(first) else values
    return (
        attacks.loc[first, names]
        .assign(
            weight=weight,
            contact_frames=last - first + 1,
            first_contact_frame=frame[first],
            last_contact_frame=frame[last],
            first_contact_min=time[first],
            last_contact_min=time[last],
        )
        .reset_index(drop=True)
    )


def has_killer(kills: pd.DataFrame, deaths: pd.DataFrame) -> np.ndarray:
    """(n,) whether each of `deaths` has a kill of a share above 0."""
    return np.isin(np.arange(len(deaths)), kills["death"][kills["share"] > 0])


def finished(kills: pd.DataFrame, deaths: pd.DataFrame) -> Attributed:
    """``{"kills", "deaths"}`` in their schemas.

    `kills`: of `per_pair`, with share, credit and p_background; rows of share 0 are dropped.
    `deaths`: to be given n_killers; `death` counts its rows.
    """
    kills = kills[kills["share"] > 0]
    if "by_hand" not in kills:
        kills = kills.assign(by_hand=False)
    row = kills["death"].to_numpy(np.int64)
    time = deaths["time_min"].to_numpy(float)[row]
    kills = kills.assign(
        fov=deaths["fov"].to_numpy()[row],
        target_population=deaths["population"].to_numpy()[row],
        target_track_id=deaths["track_id"].to_numpy()[row],
        death_frame=deaths["frame"].to_numpy()[row],
        death_min=time,
        delay_min=time - kills["first_contact_min"].to_numpy(float),
        since_last_contact_min=time - kills["last_contact_min"].to_numpy(float),
    ).drop(columns=["death", "weight", "first_contact_min", "last_contact_min"], errors="ignore")
    n_killers = np.bincount(row, minlength=len(deaths))
    return {
        "kills": schemas.conform(schemas.Kills, kills),
        "deaths": schemas.conform(schemas.Deaths, deaths.assign(n_killers=n_killers)),
    }
