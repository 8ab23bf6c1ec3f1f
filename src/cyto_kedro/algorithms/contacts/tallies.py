"""What each effector did and what each target went through, one row per cell."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.contacts.exposure import (
    Exposure,
    exposure_of,
    roles_of,
    rows_of,
    turned,
)
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.keys import MISSING, divide, need

_EFFECTOR = ["effector_population", "effector_track_id"]


class CellTallies(Algorithm):
    """Count contacts and kills per effector, and hits per target.

    Reads ``"fates"``, ``"deaths"``, ``"kills"``, ``"contacts"``, ``"bouts"`` (`schemas`, one field, all
    populations), ``"populations"`` (name -> role) and ``"time_min"`` ((T,) or None). Returns
    ``"effectors"`` (`schemas.EffectorTallies`) and ``"targets"`` (`schemas.TargetTallies`).

    Notes
    -----
    Contact counts while both cells live; a bout counts if it began then. `kills` is the sum of an
    effector's shares, so the kills of all effectors sum to the deaths with a killer; a *victim* is a
    death of which it has at least `victim_share`. Cells dead at first sight have no row as effectors.
    Rates divide by the time that a cell was watched alive: an effector that was seen shortly has an
    uncertain rate, and one that came late had less time to kill, so compare sums, not means of rates.
    """

    victim_share: float = Field(
        default=0.5, gt=0, le=1, description="least share of a death that makes a victim"
    )

    def __call__(self, data: Data) -> Data:
        """Return ``{"effectors", "targets"}``.

        Raises
        ------
        InputError
            If tables of several fields are given, or a population has no role.
        """
        need(data, "fates", "deaths", "kills", "contacts", "bouts", "populations")
        exposure = exposure_of(data, 1.0)
        role = roles_of(data["fates"]["population"], data["populations"])
        bouts = _begun_alive(turned(data["bouts"], data["populations"]), data["fates"])
        return {
            "effectors": self._effectors(data, role == "effector", exposure, bouts),
            "targets": _targets(data, role == "target", exposure, bouts),
        }

    def _effectors(
        self, data: Data, mine: np.ndarray, exposure: Exposure, bouts: pd.DataFrame
    ) -> pd.DataFrame:
        fates = data["fates"]
        table = fates[mine & ~fates["dead_at_first_sight"].to_numpy(bool)]
        table = table.sort_values(["population", "track_id"], ignore_index=True)
        n = len(table)

        def count(rows: pd.DataFrame, weight: pd.Series | np.ndarray | None = None) -> np.ndarray:
            at = rows_of(table, *(rows[name] for name in _EFFECTOR))
            weights = None if weight is None else np.asarray(weight, float)[at != MISSING]
            return np.bincount(at[at != MISSING], weights, minlength=n)

        attacks, kills = exposure.attacks, data["kills"]
        died = table["died"].to_numpy(bool)
        last = table["last_frame"].where(~died, table["death_frame"]).astype(np.int64)
        observed = (table["exit_min"] - table["entry_min"]).to_numpy(float)
        contact = count(attacks, attacks["dt"]) * (1.0 if exposure.timed else np.nan)
        shares, n_bouts = count(kills, kills["share"]), count(bouts)
        credit = kills["credit"] if "credit" in kills else pd.Series(np.nan, kills.index)
        victims = kills[kills["share"] >= self.victim_share]
        n_victims = count(victims)
        delay = victims["death_min"].to_numpy(float) - _minutes(data, victims, "first")
        table = table.assign(
            last_frame=last,
            observed_min=observed,
            n_targets=count(attacks.drop_duplicates(["target", *_EFFECTOR])),
            n_bouts=n_bouts,
            contact_frames=count(attacks),
            contact_min=contact,
            kills=shares,
            expected_kills=count(kills, credit),
            n_victims=n_victims,
            serial_killer=n_victims >= 2,
            bouts_per_kill=divide(n_bouts, shares),
            first_contact_to_death_min=divide(count(victims, delay), n_victims),
            kills_per_h=divide(60 * shares, observed),
            kills_per_contact_h=divide(60 * shares, contact),
        )
        search = _searches(
            victims, _minutes(data, victims, "first"), _minutes(data, victims, "last")
        )
        table["search_min"] = divide(count(search, search["search_min"]), count(search))
        names = list(schemas.dtypes(schemas.EffectorTallies))
        return schemas.conform(schemas.EffectorTallies, table[names])


def _targets(data: Data, mine: np.ndarray, exposure: Exposure, bouts: pd.DataFrame) -> pd.DataFrame:
    table = data["fates"][mine].sort_values(["population", "track_id"], ignore_index=True)
    n, deaths = len(table), data["deaths"]
    row = rows_of(table, exposure.targets["population"], exposure.targets["track_id"])
    attacks = exposure.attacks.assign(row=row[exposure.attacks["target"]])
    hits = rows_of(table, bouts["target_population"], bouts["target_track_id"])
    pairs = attacks.drop_duplicates(["row", *_EFFECTOR])["row"].to_numpy(np.int64)
    ends = attacks.groupby("row")["frame"].agg(["min", "max"]).reindex(range(n))
    clock = Clock(data["contacts"])
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
        observed_min=np.where(
            table["dead_at_first_sight"], np.nan, exit_min - table["entry_min"].to_numpy(float)
        ),
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


def _minutes(data: Data, kills: pd.DataFrame, end: str) -> np.ndarray:
    """Time of the first or last contact of each kill."""
    return Clock(data["contacts"])(kills[f"{end}_contact_frame"].to_numpy(np.int64))


def _searches(victims: pd.DataFrame, first: np.ndarray, last: np.ndarray) -> pd.DataFrame:
    """Time from each victim to the effector's next one, by order of death: search_min."""
    table = victims[_EFFECTOR].assign(death=victims["death_frame"], first=first, last=last)
    table = table.sort_values([*_EFFECTOR, "death", "first"], ignore_index=True)
    following = table.groupby(_EFFECTOR)["first"].shift(-1)
    has_next = table.groupby(_EFFECTOR).cumcount(ascending=False) > 0
    # one that it had touched before it let go of the other took no search
    table["search_min"] = (following - table["last"]).clip(lower=0)
    return table[has_next]
