"""What a person said of events, found again among the tracks that there are.

A correction names cells by place and time (`schemas.EventCorrections`), so that it holds whatever the
numbers of the tracks are. One that lies at no cell is left out, and said.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import MISSING
from cyto_kedro.core.units import Length

log = logging.getLogger(__name__)

_SAYS = {
    "death": ("dies", "does not die"),
    "contact": ("touches", "does not touch"),
    "kill": ("is killed by", "is not killed by"),
}


class Correctable(Algorithm):
    """An algorithm whose events a person may set and clear."""

    correction_reach: Length = Field(
        default=Length(um=5.0, px=8.0), description="how far from a cell its correction may lie"
    )

    def reach_of_corrections(self, pixel_size_um: float | None) -> float:
        """How far from a cell its correction may lie, in pixels."""
        return self.correction_reach.in_px("correction_reach", pixel_size_um)


def said_of(
    event: str, event_corrections: TableOf[schemas.EventCorrections] | None
) -> pd.DataFrame:
    """The corrections of one event, in their order, with all columns that it may have."""
    given = schemas.or_empty(event_corrections, schemas.EventCorrections)
    given = given[given["event"] == event].reset_index(drop=True)
    for name in ("other_population", "other_y_px", "other_x_px", "last_frame"):
        if name not in given:
            given[name] = "" if name == "other_population" else np.nan
    last = given["last_frame"].astype("Int64").fillna(given["frame"]).astype(np.int64)
    return given.assign(last_frame=last)


def tracks_at(
    corrections: pd.DataFrame, points: pd.DataFrame, reach_px: float, other: bool = False
) -> np.ndarray:
    """(n,) track_id of the nearest cell seen within `reach_px` of each correction, or `MISSING`.

    `other`: of the second cell that it names.
    """
    prefix = "other_" if other else ""
    found = np.full(len(corrections), MISSING)
    seen = points[points["label"].notna() & points["frame"].isin(corrections["frame"])]
    columns = [corrections[f"{prefix}{name}"] for name in ("population", "y_px", "x_px")]
    for i, (frame, population, y, x) in enumerate(zip(corrections["frame"], *columns, strict=True)):
        near = seen[seen["frame"].eq(frame) & seen["population"].eq(population)]
        away = np.hypot(near["y_px"].to_numpy(float) - y, near["x_px"].to_numpy(float) - x)
        if len(away) and away.min() <= reach_px:
            found[i] = near["track_id"].iloc[int(away.argmin())]
    return found


def in_words(given: Any) -> str:
    """What a correction says, as a person would: ``is killed by TCell``."""
    said = _SAYS[given.event][0 if given.happened else 1]
    return said if given.event == "death" else f"{said} {given.other_population}"


def say_misfits(misfits: pd.DataFrame, why: str) -> None:
    """Name each correction that does not hold, its place, and why."""
    for given in misfits.itertuples():
        log.warning(
            'field %s, %s: the correction "%s" in frame %d at y %.0f, x %.0f %s: it is left out; '
            "look there, and say it again",
            *(given.fov, given.population, in_words(given), given.frame, given.y_px, given.x_px),
            why,
        )
