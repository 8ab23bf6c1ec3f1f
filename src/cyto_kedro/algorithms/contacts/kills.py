"""Kills: deaths of targets attributed to the effectors that touched them before."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.contacts.common import MISSING, Keys, find, fov_of, need, size, starts_of
from cyto_kedro.errors import ConfigError, InputError, unknown


class KillShares(Algorithm):
    """Share each death among the effectors in contact with the target in a window before it.

    Reads ``"deaths"`` (`schemas.Deaths`), ``"contacts"`` (`schemas.Contacts`) of one field and
    ``"populations"``, ``{name: role}``. Returns ``"kills"`` (`schemas.Kills`) and ``"deaths"``
    with `n_killers` filled.

    Notes
    -----
    The window is ``[death - window, death]``, both ends in it. A contact frame weighs
    ``2 ** (-age / half_life)``, its age being the time from it to the death, so long and recent
    contact counts most. `mode` says how weights become shares: **share**: in proportion; **last**,
    **first**: all to the effector whose last contact is the latest, or whose first contact in the
    window is the earliest; **longest**: all to the one with most contact frames; ties share
    equally. Shares below `min_share` are dropped and the rest made to sum to 1. A death without
    contact in the window has no kills and `n_killers` 0. Only pairs of a population with role
    effector and one with role target count.
    """

    mode: Literal["share", "last", "first", "longest"] = Field(
        default="share", description="how the weights of contacts become shares of the death"
    )
    window_min: float | None = Field(
        default=60.0, gt=0, description="minutes before death; used where time is known"
    )
    window_frames: int | None = Field(
        default=None, ge=0, description="frames before death; used where time is not known"
    )
    half_life_min: float | None = Field(default=20.0, gt=0, description="null: no decay")
    half_life_frames: float | None = Field(default=None, gt=0, description="null: no decay")
    min_share: float = Field(default=0.1, ge=0, le=0.5, description="smaller shares are dropped")

    @model_validator(mode="after")
    def _some_window(self) -> KillShares:
        if self.window_min is None and self.window_frames is None:
            raise ValueError("give window_min or window_frames: without one nothing is attributed")
        return self

    def __call__(self, data: Data) -> Data:
        """Return ``{"kills", "deaths"}``.

        Raises
        ------
        InputError
            If tables of several fields are given, or a population has no role.
        ConfigError
            If time is unknown and `window_frames` was not given.
        """
        deaths, contacts, roles = need(data, "deaths", "contacts", "populations")
        fov_of(deaths, contacts)
        deaths = deaths.reset_index(drop=True)
        # a target may stand on either side: turn each row so that it is target, then effector
        turned = [_turn(contacts, roles, *sides) for sides in (("a", "b"), ("b", "a"))]
        attacks = pd.concat(turned, ignore_index=True)
        attacks, death = _of_deaths(attacks, deaths)
        attacks, age, half_life = self._window(attacks, death, deaths)
        if not len(attacks):
            return {"kills": schemas.empty(schemas.Kills), "deaths": deaths.assign(n_killers=0)}
        weight = np.ones(len(age)) if half_life is None else np.exp2(-age / half_life)
        kills = _per_pair(attacks, weight)
        kills["share"] = self._shares(kills)
        kills = kills[kills["share"] > 0].reset_index(drop=True)
        row = kills["death"].to_numpy()
        kills["fov"] = deaths["fov"].to_numpy()[row]
        kills["death_frame"] = deaths["frame"].to_numpy()[row]
        kills["death_min"] = deaths["time_min"].to_numpy()[row]
        n_killers = np.bincount(row, minlength=len(deaths))
        kills = kills.drop(columns=["death", "weight"])
        return {
            "kills": schemas.conform(schemas.Kills, kills),
            "deaths": schemas.conform(schemas.Deaths, deaths.assign(n_killers=n_killers)),
        }

    def _window(
        self, attacks: pd.DataFrame, death: np.ndarray, deaths: pd.DataFrame
    ) -> tuple[pd.DataFrame, np.ndarray, float | None]:
        """Attacks in the window, their ages before death and the half-life in the same unit."""
        age = deaths["time_min"].to_numpy(float)[death] - attacks["time_min"].to_numpy(float)
        timed = self.window_min is not None and not np.isnan(age).any()
        window: float | None
        if timed:
            window, half_life = self.window_min, self.half_life_min
        else:
            age = (deaths["frame"].to_numpy()[death] - attacks["frame"].to_numpy()).astype(float)
            window, half_life = self.window_frames, self.half_life_frames
        if window is None:
            raise ConfigError(
                f"field {fov_of(deaths)!r}: window_min={self.window_min} needs frame times, which "
                f"are unknown: give frame_interval_s in the assay, or window_frames"
            )
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
        # the best of a death is kept always: with ten equal killers each has 0.1
        most = pd.Series(score).groupby(death).transform("max").to_numpy()
        share = score / np.bincount(death, weights=score)[death]
        score = np.where((share >= self.min_share) | (score == most), score, 0)
        return score / np.bincount(death, weights=score)[death]


def _turn(
    contacts: pd.DataFrame, roles: dict[str, str], target: str, effector: str
) -> pd.DataFrame:
    role = {}
    for side in (target, effector):
        names = contacts[f"population_{side}"]
        for name in names.unique():
            if name not in roles:
                raise InputError(
                    f"contacts: {unknown('population', name, roles)} Its role (effector, target, "
                    f"other) must be known to attribute kills"
                )
        role[side] = names.map(roles)
    rows = contacts[(role[target] == "target") & (role[effector] == "effector")]
    return pd.DataFrame(
        {
            "target_population": rows[f"population_{target}"],
            "target_track_id": rows[f"track_id_{target}"],
            "effector_population": rows[f"population_{effector}"],
            "effector_track_id": rows[f"track_id_{effector}"],
            "frame": rows["frame"],
            "time_min": rows["time_min"],
        }
    )


def _of_deaths(attacks: pd.DataFrame, deaths: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The attacks whose target died, and the row of its death."""
    n_id = size(deaths["track_id"], attacks["target_track_id"])
    keys = Keys((deaths["population"], attacks["target_population"]), n_id, 1)
    dead = keys.pack(keys.code(deaths["population"]), deaths["track_id"].to_numpy())
    order = np.argsort(dead)
    target = keys.code(attacks["target_population"])
    at = find(dead[order], keys.pack(target, attacks["target_track_id"].to_numpy()))
    known = at != MISSING
    return attacks[known], order[at[known]]


def _per_pair(attacks: pd.DataFrame, weight: np.ndarray) -> pd.DataFrame:
    """One row per death and effector: summed weight, contact frames, first and last contact."""
    attacks = attacks.assign(weight=weight).sort_values(
        ["death", "effector_population", "effector_track_id", "frame"], ignore_index=True
    )
    names = ("death", "effector_population", "effector_track_id")
    first = starts_of(*(attacks[name].to_numpy() for name in names))
    last = np.append(first[1:], len(attacks)) - 1
    frame = attacks["frame"].to_numpy()
    return (
        attacks.loc[first]
        .assign(
            weight=np.add.reduceat(attacks["weight"].to_numpy(), first),
            contact_frames=last - first + 1,
            first_contact_frame=frame[first],
            last_contact_frame=frame[last],
        )
        .drop(columns=["frame", "time_min"])
        .reset_index(drop=True)
    )
