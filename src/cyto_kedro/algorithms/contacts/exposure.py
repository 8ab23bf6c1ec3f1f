"""What each target went through: when it was watched, when it died, who touched it when.

The two small tables made here hold all that the models of killing need of a field, so that an
assay of many fields fits in memory at once.

Time is that of the watching clock (`Clock.watched_min`), which stands still in pauses of the film:
nobody is at risk in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.core.clock import Clock
from cyto_kedro.core.keys import MISSING, fov_of, rows_of, run_ids, size, starts_of
from cyto_kedro.errors import InputError, unknown


@dataclass(frozen=True)
class Exposure:
    """Targets at risk, and their contacts with living effectors."""

    #: one row per track of a target that was seen alive, by population and track: fov, population,
    #: track_id, entry (first time seen), died, before and at (the death lies in ``(before, at]``;
    #: both are the last time seen where it did not die)
    targets: pd.DataFrame
    #: one row per contact frame and effector, while both live, sorted by target, frame, effector:
    #: target (row of `targets`), effector_population, effector_track_id, frame, time_min (of the
    #: film's clock), time (of the watching clock), dt (minutes that the frame stands for: contact
    #: seen in a frame was there before it, also in the frame of the death)
    attacks: pd.DataFrame
    #: whether times are minutes; else frames times the assumed interval
    timed: bool


def exposure_of(
    fates: pd.DataFrame,
    deaths: pd.DataFrame,
    contacts: pd.DataFrame,
    roles: Mapping[str, str],
    time_min: Any,
    untimed_interval_min: float,
) -> Exposure:
    """The exposure of one field.

    Parameters
    ----------
    fates, deaths, contacts
        `schemas.Fates`, `schemas.Deaths` (the column last_alive_frame is used where there is one),
        `schemas.Contacts`; all populations.
    roles
        Population -> role.
    time_min
        (T,) times of the frames, or None.
    untimed_interval_min
        What a frame is taken to last where time is unknown.

    Raises
    ------
    InputError
        If tables of several fields are given, or a population has no role.
    """
    fov_of(fates, deaths, contacts)
    n_frame = size(fates["last_frame"], deaths["frame"], contacts["frame"])
    timed = time_min is not None
    each = untimed_interval_min * np.arange(n_frame)
    clock = Clock.of_times(time_min if timed else each)
    frames = np.arange(len(clock.frames))
    watched, lasting = clock.watched_min(frames), clock.duration_min(frames)
    if len(frames) < 2:
        lasting = np.full(len(frames), untimed_interval_min)
    targets = _targets(fates, deaths, roles, watched)
    attacks = turned(contacts, roles)
    row = rows_of(targets, attacks["target_population"], attacks["target_track_id"])
    attacks = attacks.assign(target=row)[row != MISSING]
    frame = attacks["frame"].to_numpy(np.int64)
    end = targets["last_frame"].to_numpy()[attacks["target"]]
    attacks = attacks[(frame <= end) & _alive(fates, attacks)]
    frame = attacks["frame"].to_numpy(np.int64)
    attacks = attacks.assign(time_min=clock(frame), time=watched[frame], dt=lasting[frame])
    by = ["target", "frame", "effector_population", "effector_track_id"]
    columns = [*by, "time_min", "time", "dt"]
    return Exposure(
        targets.drop(columns="last_frame"),
        attacks[columns].sort_values(by, ignore_index=True),
        timed,
    )


def _targets(
    fates: pd.DataFrame, deaths: pd.DataFrame, roles: Mapping[str, str], watched: np.ndarray
) -> pd.DataFrame:
    role = roles_of(fates["population"], roles)
    table = fates[(role == "target") & ~fates["dead_at_first_sight"].to_numpy(bool)]
    table = table.sort_values(["population", "track_id"], ignore_index=True)
    died = table["died"].to_numpy(bool)
    last = table["last_frame"].to_numpy(np.int64)
    at = np.where(died, table["death_frame"].fillna(0).to_numpy(np.int64), last)
    before = np.where(died, at - 1, at)
    if "last_alive_frame" in deaths:
        known = rows_of(deaths, table["population"], table["track_id"])
        seen = deaths["last_alive_frame"].to_numpy(np.int64)
        found = died & (known != MISSING)
        before[found] = seen[known[found]]
    entry = np.minimum(table["first_frame"].to_numpy(np.int64), before)
    return table[["fov", "population", "track_id"]].assign(
        entry=watched[entry],
        died=died,
        before=watched[before],
        at=watched[at],
        last_frame=at,
    )


def _alive(fates: pd.DataFrame, attacks: pd.DataFrame) -> np.ndarray:
    """Whether each attack's effector was alive; one without a fate is taken to be."""
    row = rows_of(fates, attacks["effector_population"], attacks["effector_track_id"])
    never = np.iinfo(np.int64).max
    death = fates["death_frame"].fillna(never).to_numpy(np.int64)
    death = np.where(fates["dead_at_first_sight"].to_numpy(bool), -1, death)
    return (row == MISSING) | (attacks["frame"].to_numpy(np.int64) < np.append(death, never)[row])


def roles_of(population: pd.Series, roles: Mapping[str, str]) -> np.ndarray:
    """Role of each row's population. Raises InputError if one has none."""
    for name in population.unique():
        if name not in roles:
            raise InputError(
                f"{unknown('population', name, roles)} Its role (effector, target, other) must be "
                f"known to attribute kills"
            )
    return population.map(dict(roles)).to_numpy(object)


def turned(contacts: pd.DataFrame, roles: Mapping[str, str]) -> pd.DataFrame:
    """Contacts of an effector and a target, each row turned so that it says which is which.

    Columns target_population, target_track_id, effector_population, effector_track_id, and the
    others of `contacts` that name no side.

    Raises InputError if a population has no role.
    """
    role = {side: roles_of(contacts[f"population_{side}"], roles) for side in "ab"}
    sided = {f"{what}_{side}" for what in ("population", "track_id") for side in "ab"}
    others = [name for name in contacts if name not in sided]
    parts = []
    for target, effector in (("a", "b"), ("b", "a")):
        rows = contacts[(role[target] == "target") & (role[effector] == "effector")]
        sides: dict[str, pd.Series] = {
            f"{kind}_{what}": rows[f"{what}_{side}"]
            for kind, side in (("target", target), ("effector", effector))
            for what in ("population", "track_id")
        }
        parts.append(pd.DataFrame({**sides, **rows[others]}))
    return pd.concat(parts, ignore_index=True)


def moments_of(attacks: pd.DataFrame) -> dict[str, Any]:
    """Runs of rows of one target and frame, and the contact time that has added up.

    Returns ``of`` (row -> moment); per moment ``target``, ``time`` (the middle of what the frame
    stands for), ``n`` (effectors), ``low`` and ``high`` (contact time summed over effectors, before
    and after the moment).
    """
    target, frame = attacks["target"].to_numpy(np.int64), attacks["frame"].to_numpy(np.int64)
    first = starts_of(target, frame)
    n = np.diff(np.append(first, len(attacks)))
    dt = attacks["dt"].to_numpy(float)[first]
    summed = np.cumsum(n * dt)
    target = target[first]
    begin = starts_of(target)
    start = np.concatenate([[0.0], summed])[begin]
    high = summed - start[run_ids(begin, len(first))]
    return {
        "of": run_ids(first, len(attacks)),
        "target": target,
        "time": attacks["time"].to_numpy(float)[first] - dt / 2,
        "n": n,
        "low": np.maximum(high - n * dt, 0),
        "high": high,
    }
