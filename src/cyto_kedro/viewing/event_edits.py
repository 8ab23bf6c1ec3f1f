"""What a person says of events, as rows of `schemas.EventCorrections`: tables in, tables out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.errors import InputError

#: population and track_id
Cell = tuple[str, int]


def row(
    event: str,
    happened: bool,
    frame: int,
    points: Mapping[str, pd.DataFrame],
    cells: Sequence[Cell],
) -> dict[str, Any]:
    """One word on an event of one cell, or of two.

    Parameters
    ----------
    points
        Population -> its track points.

    Raises
    ------
    InputError
        If a cell is not seen in `frame`, or both are one.
    """
    if len(cells) > 1 and cells[0] == cells[1]:
        raise InputError(
            f"{cells[0][0]} {cells[0][1]} cannot {event} itself: click one cell, Shift-click the other"
        )
    found: dict[str, Any] = {
        "event": event,
        "frame": frame,
        "happened": happened,
        "last_frame": pd.NA,
    }
    found |= {"other_population": "", "other_y_px": np.nan, "other_x_px": np.nan}
    for prefix, (name, track_id) in zip(("", "other_"), cells, strict=False):
        mine = points[name]
        here = mine[mine["track_id"].eq(track_id) & mine["frame"].eq(frame) & mine["label"].notna()]
        if not len(here):
            raise InputError(
                f"track {track_id} of {name} has no point in frame {frame}, so nothing can be said of "
                "it there: go to a frame in which the cell is seen"
            )
        at = here.iloc[0]
        found |= {"fov": at["fov"], f"{prefix}population": name}
        found |= {f"{prefix}{axis}_px": float(at[f"{axis}_px"]) for axis in "yx"}
    return found


def with_words(
    given: pd.DataFrame | None,
    rows: Sequence[Mapping[str, Any]],
    points: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """Corrections with new ones at their end: `schemas.EventCorrections`.

    One word on the death of a cell, and one on the same event in the same frame: what was said before
    goes.
    """
    new = pd.DataFrame(list(rows)).astype({"last_frame": "Int64"})
    parts = [new]
    if given is not None and len(given):
        died = new[new["event"] == "death"]
        again = [_of_cell(given, cell, points) for cell in _cells(died, points)]
        gone = given["event"].eq("death").to_numpy() & np.any(
            [np.zeros(len(given), bool), *again], 0
        )
        parts = [given[~gone], new]
    whole = pd.concat([each for each in parts if len(each)], ignore_index=True)
    whole["other_population"] = whole["other_population"].fillna("")
    last = whole.drop_duplicates(schemas.EventCorrections.key(), keep="last")
    return schemas.conform(schemas.EventCorrections, last)


def _cells(rows: pd.DataFrame, points: Mapping[str, pd.DataFrame]) -> list[Cell]:
    """The track that lies where each row says."""
    cells = []
    for at in rows.itertuples():
        mine: Any = points[str(at.population)]
        there = mine["frame"].eq(at.frame) & mine["y_px"].eq(at.y_px) & mine["x_px"].eq(at.x_px)
        cells += [(str(at.population), int(each)) for each in mine.loc[there, "track_id"]]
    return cells


def _of_cell(given: pd.DataFrame, cell: Cell, points: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """(n,) whether each correction is of a cell: at most half a pixel from its track."""
    mine = points[cell[0]][points[cell[0]]["track_id"] == cell[1]]
    places = mine.set_index("frame")[["y_px", "x_px"]].reindex(given["frame"]).to_numpy(float)
    far = np.abs(places - given[["y_px", "x_px"]].to_numpy(float)).max(1, initial=0)
    return np.asarray(far < 0.5) & given["population"].eq(cell[0]).to_numpy()


def dies(
    cell: Cell,
    deaths: pd.DataFrame | None,
    given: pd.DataFrame | None,
    points_of: Callable[[str], pd.DataFrame],
) -> bool:
    """Whether a cell is known to die, by its track or by a word on it (the word holds)."""
    name, track_id = cell
    if given is not None and len(given):
        mine = given[given["event"].eq("death") & _of_cell(given, cell, {name: points_of(name)})]
        if len(mine):
            return bool(mine["happened"].iloc[-1])
    if deaths is None:
        return False
    tracks = deaths["track_id"].eq(track_id)
    if "body_track_id" in deaths:  # it lies there dead
        tracks |= deaths["body_track_id"].eq(track_id).fillna(False).astype(bool)
    return bool((deaths["population"].eq(name) & tracks).any())


def target_first(one: Cell, two: Cell, roles: Mapping[str, str]) -> tuple[Cell, Cell]:
    """The target and the effector of two cells.

    Raises
    ------
    InputError
        If they are not one of each.
    """
    for target, effector in ((one, two), (two, one)):
        if roles.get(target[0]) == "target" and roles.get(effector[0]) == "effector":
            return target, effector
    raise InputError(
        f"a kill is of a target by an effector, but {one[0]} and {two[0]} are "
        f"{roles.get(one[0])} and {roles.get(two[0])}: click one cell, Shift-click the other"
    )
