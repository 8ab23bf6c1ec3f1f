"""What a person said of deaths, laid on the tracks that there are."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.contacts.corrected_events import say_misfits, tracks_at
from cyto_kedro.core.keys import MISSING

J = TypeVar("J", bound=Any)  # deaths.Judged


def fit_corrections(
    corrections: pd.DataFrame, points: pd.DataFrame, tracks: pd.DataFrame, reach_px: float
) -> pd.DataFrame:
    """Corrections of deaths that fit a cell, with ``row``, its place in `tracks`.

    One fits the nearest cell of its population and frame within `reach_px`; a death only a cell that
    was seen before. The others are named in a warning.
    """
    names = pd.MultiIndex.from_frame(tracks[["population", "track_id"]].astype(object))
    starts = points.groupby(["population", "track_id"], observed=True)["frame"].min()
    track_id = tracks_at(corrections, points, reach_px)
    fit = np.full(len(corrections), MISSING)
    for i, given in enumerate(corrections.itertuples()):
        key = given.population, int(track_id[i])
        if key[1] != MISSING and (not given.happened or starts[key] < given.frame):
            fit[i] = names.get_loc(key)
    say_misfits(corrections[fit == MISSING], "fits no cell any more (masks or tracks changed)")
    return corrections.assign(row=fit)[fit != MISSING]


def apply_corrections(
    judged: J, corrected: pd.DataFrame, points: pd.DataFrame, tracks: pd.DataFrame
) -> J:
    """`deaths.Judged` with what a person said of some tracks (`fit_corrections`)."""
    if not len(corrected):
        return judged
    made = type(judged)(*(each.copy() for each in judged))
    row = corrected["row"].to_numpy(int)
    died, frame = corrected["happened"].to_numpy(bool), corrected["frame"].to_numpy(int)
    made.died[row], made.first_sight[row], made.recovered[row] = died, False, False
    made.death[row] = np.where(died, frame, -1)
    keys = points["population"].astype(object), points["track_id"]
    seen = {key: mine.to_numpy(int) for key, mine in points["frame"].groupby([*keys])}
    names = tracks[["population", "track_id"]].astype(object)
    for at, when, dies in zip(row, frame, died, strict=True):
        before = seen[tuple(names.iloc[at])]
        made.last_alive[at] = before[before < when].max() if dies else -1
    return made
