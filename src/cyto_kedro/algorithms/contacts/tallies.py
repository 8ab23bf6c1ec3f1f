"""What each effector did and what each target went through, one row per cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.contacts.exposure import Exposure, exposure_of, roles_of, turned
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import MISSING, divide, rows_of
from cyto_kedro.core.watched import cell_ids

_EFFECTOR = ["effector_population", "effector_track_id"]


class Tallies(TypedDict):
    """One row per cell."""

    effectors: TableOf[schemas.EffectorTallies]
    targets: TableOf[schemas.TargetTallies]


class CellTallies(Algorithm):
    """Count contacts and kills per effector, and hits per target.

    Notes
    -----
    Contact counts while both cells live; a bout counts if it began then. `kills` is the sum of an
    effector's shares, so the kills of all effectors sum to the deaths with a killer; a *victim* is a
    death of which it has at least half, so that no more than two share one. Cells dead at first
    sight have no row as effectors.
    Rates divide by the time that a cell was watched alive, pauses of the film left out: an effector
    that was seen shortly has an uncertain rate, and one that came late had less time to kill, so
    compare sums, not means of rates.

    Examples
    --------
    >>> cells = {"population": ["N", "T"], "track_id": 1, "last_frame": 20, "end_reason": "film_end"}
    >>> cells |= {"died": [False, True], "death_frame": [None, 10]}
    >>> fates = schemas.filled(schemas.Fates, cells)
    >>> pair = {"population_a": "N", "track_id_a": 1, "population_b": "T", "track_id_b": 1}
    >>> contacts = schemas.filled(schemas.Contacts, {"frame": [3, 4, 5], **pair})
    >>> bouts = schemas.filled(schemas.Bouts, {"start_frame": [3], "end_frame": 5, **pair})
    >>> death = {"population": ["T"], "track_id": 1, "frame": 10}
    >>> deaths = schemas.filled(schemas.Deaths, death)
    >>> kills = schemas.empty(schemas.Kills)
    >>> given = {"fates": fates, "contacts": contacts, "bouts": bouts, "deaths": deaths, "kills": kills}
    >>> made = CellTallies()(given, populations={"N": "effector", "T": "target"})
    >>> made["targets"][["n_effectors", "contact_frames", "fate"]].values.tolist()
    [[1, 3, 'died']]
    """

    version: ClassVar[int] = 3

    def run(
        self,
        fates: TableOf[schemas.Fates],
        deaths: TableOf[schemas.Deaths],
        kills: TableOf[schemas.Kills],
        contacts: TableOf[schemas.Contacts],
        bouts: TableOf[schemas.Bouts],
        populations: Mapping[str, str],
        time_min: Any = None,
    ) -> Tallies:
        """Count in one field, all populations.

        Parameters
        ----------
        populations
            Name -> role.
        time_min
            (T,) times of the frames, or None.

        Raises
        ------
        InputError
            If tables of several fields are given, or a population has no role.
        """
        exposure = exposure_of(fates, deaths, contacts, populations, time_min, 1.0)
        role = roles_of(fates["population"], populations)
        begun = _begun_alive(turned(bouts, populations), fates)
        table: pd.DataFrame = fates.assign(observed_min=_observed_min(fates, time_min))
        of_effector, clock = role == "effector", Clock(contacts)
        return {
            "effectors": self._effectors(table[of_effector], kills, clock, exposure, begun),
            "targets": _targets(table[role == "target"], deaths, clock, exposure, begun),
        }

    def _effectors(
        self,
        fates: pd.DataFrame,
        kills: pd.DataFrame,
        clock: Clock,
        exposure: Exposure,
        bouts: pd.DataFrame,
    ) -> TableOf[schemas.EffectorTallies]:
        table = fates[~fates["dead_at_first_sight"].to_numpy(bool)]
        table = table.sort_values(["population", "track_id"], ignore_index=True)
        n = len(table)

        def count(rows: pd.DataFrame, weight: pd.Series | np.ndarray | None = None) -> np.ndarray:
            at = rows_of(table, *(rows[name] for name in _EFFECTOR))
            weights = None if weight is None else np.asarray(weight, float)[at != MISSING]
            return np.bincount(at[at != MISSING], weights, minlength=n)

        attacks = exposure.attacks
        died = table["died"].to_numpy(bool)
        last = table["last_frame"].where(~died, table["death_frame"]).astype(np.int64)
        observed = table["observed_min"].to_numpy(float)
        contact = count(attacks, attacks["dt"]) * (1.0 if exposure.timed else np.nan)
        each_once = attacks.drop_duplicates(["frame", *_EFFECTOR])
        touching = count(each_once, each_once["dt"]) * (1.0 if exposure.timed else np.nan)
        shares, n_bouts = count(kills, kills["share"]), count(bouts)
        credit = kills["credit"] if "credit" in kills else pd.Series(np.nan, kills.index)
        victims = kills[kills["share"] >= 0.5 - 1e-9]
        n_victims = count(victims)
        first, last_contact = (
            clock(victims[f"{end}_contact_frame"].to_numpy(np.int64)) for end in ("first", "last")
        )
        delay = victims["death_min"].to_numpy(float) - first
        table = table.assign(
            last_frame=last,
            n_targets=count(attacks.drop_duplicates(["target", *_EFFECTOR])),
            n_bouts=n_bouts,
            contact_frames=count(attacks),
            contact_min=contact,
            touching_min=touching,
            kills=shares,
            expected_kills=count(kills, credit),
            n_victims=n_victims,
            serial_killer=n_victims >= 2,
            bouts_per_kill=divide(n_bouts, shares),
            first_contact_to_death_min=divide(count(victims, delay), n_victims),
            kills_per_h=divide(60 * shares, observed),
            kills_per_contact_h=divide(60 * shares, contact),
        )
        search = _searches(victims, first, last_contact)
        table["search_min"] = divide(count(search, search["search_min"]), count(search))
        names = list(schemas.dtypes(schemas.EffectorTallies))
        return schemas.conform(schemas.EffectorTallies, table[names])


def _observed_min(fates: pd.DataFrame, time_min: Any) -> np.ndarray:
    """Minutes that each cell was watched alive, pauses left out; null where times are unknown."""
    if time_min is None:
        return (fates["exit_min"] - fates["entry_min"]).to_numpy(float)
    clock = Clock.of_times(time_min)
    end = fates["last_frame"].where(~fates["died"].to_numpy(bool), fates["death_frame"])
    exit_, entry = (
        clock.watched_min(each.astype(np.int64)) for each in (end, fates["first_frame"])
    )
    return exit_ - entry


def _targets(
    fates: pd.DataFrame,
    deaths: pd.DataFrame,
    clock: Clock,
    exposure: Exposure,
    bouts: pd.DataFrame,
) -> TableOf[schemas.TargetTallies]:
    table = fates.sort_values(["population", "track_id"], ignore_index=True)
    n = len(table)
    row = rows_of(table, exposure.targets["population"], exposure.targets["track_id"])
    attacks = exposure.attacks.assign(row=row[exposure.attacks["target"]])
    hits = rows_of(table, bouts["target_population"], bouts["target_track_id"])
    pairs = attacks.drop_duplicates(["row", *_EFFECTOR])["row"].to_numpy(np.int64)
    ends = attacks.groupby("row")["frame"].agg(["min", "max"]).reindex(range(n))
    # of the cell: a piece that was found again had been touched before
    order = table["first_frame"].to_numpy().argsort(kind="stable")
    cells = [table["population"].iloc[order].to_numpy(), cell_ids(table).iloc[order].to_numpy()]
    known = ends.iloc[order]
    known = known.assign(
        min=known.groupby(cells)["min"].cummin(), max=known.groupby(cells)["max"].cummax()
    )
    ends = known.groupby(cells).ffill().reindex(range(n))
    first, last = (clock(ends[name].fillna(-1).to_numpy(np.int64)) for name in ("min", "max"))
    death = rows_of(deaths, table["population"], table["track_id"])
    died = table["died"].to_numpy(bool)
    verdict = deaths["verdict"] if "verdict" in deaths else pd.Series("died", deaths.index)
    verdict = verdict.replace({"kill": "killed"})
    fate = np.append(verdict.to_numpy(object), "died")[death]
    fate = np.where(
        died, fate, np.where(table["dead_at_first_sight"], "dead_at_first_sight", "alive")
    )
    chance = deaths["p_background"] if "p_background" in deaths else pd.Series(np.nan, deaths.index)
    exit_min = table["exit_min"].to_numpy(float)
    contact = np.bincount(attacks["row"], attacks["dt"], minlength=n)
    table = table.assign(
        fate=fate,
        observed_min=table["observed_min"].where(~table["dead_at_first_sight"].to_numpy(bool)),
        n_effectors=np.bincount(pairs, minlength=n),
        n_hits=np.bincount(hits[hits != MISSING], minlength=n),
        contact_frames=np.bincount(attacks["row"], minlength=n),
        contact_min=contact * (1.0 if exposure.timed else np.nan),
        first_contact_frame=ends["min"].astype("Int64").to_numpy(),
        first_contact_min=first,
        first_contact_to_death_min=np.where(died, exit_min - first, np.nan),
        last_contact_to_death_min=np.where(died, exit_min - last, np.nan),
        n_killers=np.append(deaths["n_killers"].to_numpy(np.int64), 0)[death],
        p_background=np.append(chance.to_numpy(float), np.nan)[death],
    )
    names = list(schemas.dtypes(schemas.TargetTallies))
    return schemas.conform(schemas.TargetTallies, table[names])


def _begun_alive(bouts: pd.DataFrame, fates: pd.DataFrame) -> pd.DataFrame:
    """The bouts of effector and target that began while both lived."""
    never = np.iinfo(np.int64).max
    death = fates["death_frame"].fillna(never).to_numpy(np.int64)
    death = np.append(np.where(fates["dead_at_first_sight"], -1, death), never)
    kept = np.ones(len(bouts), bool)
    for side in ("target", "effector"):
        row = rows_of(fates, bouts[f"{side}_population"], bouts[f"{side}_track_id"])
        kept &= bouts["start_frame"].to_numpy(np.int64) < death[row]
    return bouts[kept]


def _searches(victims: pd.DataFrame, first: np.ndarray, last: np.ndarray) -> pd.DataFrame:
    """Time from each victim to the effector's next one, by order of death: search_min."""
    table = victims[_EFFECTOR].assign(death=victims["death_frame"], first=first, last=last)
    table = table.sort_values([*_EFFECTOR, "death", "first"], ignore_index=True)
    following = table.groupby(_EFFECTOR)["first"].shift(-1)
    has_next = table.groupby(_EFFECTOR).cumcount(ascending=False) > 0
    # one that it had touched before it let go of the other took no search
    table["search_min"] = (following - table["last"]).clip(lower=0)
    return table[has_next]
