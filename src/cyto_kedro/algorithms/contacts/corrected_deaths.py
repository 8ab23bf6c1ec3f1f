"""What a person said of deaths, laid on the tracks that there are."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from cyto_kedro.core.keys import MISSING

log = logging.getLogger(__name__)
J = TypeVar("J", bound=Any)  # deaths.Judged


def fit_corrections(
    corrections: pd.DataFrame, points: pd.DataFrame, tracks: pd.DataFrame, reach_px: float
) -> pd.DataFrame:
    """Those of `schemas.EventCorrections` that fit a cell, with ``row``, its place in `tracks`.

    One fits the nearest point of its population and frame within `reach_px`; a death only a cell that
    was seen before. Of several for one track the last counts. The others are named in a warning.
    """
    fit = np.full(len(corrections), MISSING)
    names = pd.MultiIndex.from_frame(tracks[["population", "track_id"]].astype(object))
    at_y, at_x = corrections["y_px"].to_numpy(), corrections["x_px"].to_numpy()
    starts = points.groupby(["population", "track_id"], observed=True)["frame"].min()
    for i, given in enumerate(corrections.itertuples()):
        near = points[points["frame"].eq(given.frame) & points["population"].eq(given.population)]
        y, x = near["y_px"].to_numpy(float), near["x_px"].to_numpy(float)
        away = np.hypot(y - float(at_y[i]), x - float(at_x[i]))
        if len(away) and away.min() <= reach_px:
            key = given.population, int(near["track_id"].iloc[int(away.argmin())])
            if not given.happened or starts[key] < given.frame:
                fit[i] = names.get_loc(key)
    for given in corrections[fit == MISSING].itertuples():
        log.warning(
            'field %s, %s: the correction "%s" in frame %d at y %.0f, x %.0f fits no cell any more '
            "(masks or tracks were made anew): it is left out; look there, and say it again",
            *(given.fov, given.population, "dies" if given.happened else "does not die"),
            *(given.frame, given.y_px, given.x_px),
        )
    made = corrections.assign(row=fit)[fit != MISSING]
    return made.drop_duplicates("row", keep="last")


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
