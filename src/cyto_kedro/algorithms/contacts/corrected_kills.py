"""What a person said of kills, laid on the kills that a rule found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.contacts.corrected_events import say_misfits, tracks_at
from cyto_kedro.algorithms.contacts.exposure import turned
from cyto_kedro.core.keys import MISSING, rows_of

_PAIR = ["death", "effector_population", "effector_track_id"]


def fit_kills(
    corrections: pd.DataFrame,
    points: pd.DataFrame,
    deaths: pd.DataFrame,
    attacks: pd.DataFrame,
    reach_px: float,
) -> pd.DataFrame:
    """Corrections of kills that fit a death and an effector that touched it, with `_PAIR`.

    `attacks`: contacts of effectors and targets, as `exposure.turned` makes them. A cell that lies dead
    stands for the death that left it. The others are named in a warning.
    """
    target = pd.Series(tracks_at(corrections, points, reach_px), corrections.index)
    effector = tracks_at(corrections, points, reach_px, other=True)
    death = rows_of(deaths, corrections["population"], target)
    if "body_track_id" in deaths:
        left = deaths["body_track_id"].notna().to_numpy()
        bodies = deaths[left].assign(track_id=deaths.loc[left, "body_track_id"].astype(np.int64))
        of = np.append(np.flatnonzero(left), MISSING)
        death = np.where(
            death == MISSING, of[rows_of(bodies, corrections["population"], target)], death
        )
    made = corrections.assign(
        death=death, effector_population=corrections["other_population"], effector_track_id=effector
    )
    found = target.ne(MISSING).to_numpy() & (effector != MISSING)
    touched = _pairs(attacks)
    there = _pairs(made).isin(touched)
    say_misfits(corrections[~found], "fits no two cells any more (masks or tracks changed)")
    say_misfits(corrections[found & (death == MISSING)], "is of a cell that does not die")
    say_misfits(
        corrections[found & (death != MISSING) & ~there],
        "is of cells that were never in contact before the death",
    )
    return made[found & (death != MISSING) & there]


def attacks_before(
    contacts: pd.DataFrame, deaths: pd.DataFrame, roles: Mapping[str, str]
) -> pd.DataFrame:
    """Contacts of effectors with targets that die, up to the death, with ``death``, its row."""
    attacks = turned(contacts, roles)
    death = rows_of(deaths, attacks["target_population"], attacks["target_track_id"])
    attacks, death = attacks[death != MISSING], death[death != MISSING]
    before = attacks["frame"].to_numpy() <= deaths["frame"].to_numpy()[death]
    return attacks.assign(death=death)[before]


def correct_shares(
    kills: pd.DataFrame, deaths: pd.DataFrame, said: pd.DataFrame, paired: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Shares of deaths, and the deaths, with what a person said (`fit_kills`).

    Of several words on a pair the last counts. Who was named killed, and nobody else; several share
    equally. Who was cleared did not, and the others share what was his; where none is left, the death is
    put to the background.

    Parameters
    ----------
    kills
        Of `kills.per_pair`, with share, credit and p_background.
    paired
        The same of all contacts before deaths: what is known of a pair without a share.
    """
    parts: list[pd.DataFrame] = []
    kills = kills.assign(by_hand=False)
    said = said.drop_duplicates(_PAIR, keep="last")
    chance = deaths["p_background"].to_numpy(float).copy()
    verdict = deaths["verdict"].to_numpy(object).copy()
    for death in said["death"].unique():
        mine = said[said["death"] == death]
        named = _pairs(mine[mine["happened"].astype(bool)])
        if len(named):
            own = paired[(paired["death"] == death) & _pairs(paired).isin(named)]
            own = own.assign(share=1 / len(own), credit=1 / len(own), by_hand=True)
            chance[death], verdict[death] = 0.0, "kill"
        else:
            before = kills[(kills["death"] == death) & (kills["share"] > 0)]
            own = before[~_pairs(before).isin(_pairs(mine))]
            if len(before) and not len(own):
                chance[death], verdict[death] = 1.0, "background"
            # credits of a death sum to the chance that an effector did it
            for name in ("share", "credit"):
                left = own[name].sum()
                own = own.assign(**{name: own[name] * (before[name].sum() / left if left else 1.0)})
        parts.append(own.assign(p_background=chance[death]))
    parts.append(kills[~kills["death"].isin(said["death"])])
    made = pd.concat([each for each in parts if len(each)] or parts[-1:], ignore_index=True)
    made = made.sort_values(_PAIR, ignore_index=True)
    return made, deaths.assign(p_background=chance, verdict=verdict)


def _pairs(table: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(table[_PAIR].astype(object))
