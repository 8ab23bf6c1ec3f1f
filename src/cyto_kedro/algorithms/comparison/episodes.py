"""When each target was in contact with effectors, as stretches of time in which nothing changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from cyto_kedro.core.groups import of_role
from cyto_kedro.core.watched import cell_ids, without_pauses

Term = Literal["ever_touched", "in_contact", "n_effectors", "n_met"]
CELL = ["fov", "population", "track_id"]


def spells(
    rows: pd.DataFrame,
    bouts: pd.DataFrame,
    roles: Mapping[str, str],
    unit: str,
    lasting: float = 0.0,
    frames: pd.DataFrame | None = None,
    fates: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Bouts of targets with effectors, one row each, joined where one effector's overlap.

    A bout is of all pieces of its cell: one that was found again had been touched before.

    Parameters
    ----------
    rows
        Targets under observation (`core.watched`), numbered by their position; tracks of one
        `cell_id` are pieces of one cell.
    bouts
        `schemas.Bouts` of the same fields.
    unit
        ``min`` or ``frames``, as of `rows`.
    lasting
        How long after its end a bout still counts, in `unit`.
    frames
        `schemas.Frames`: times are told by the clock of `core.watched`, which stands still in pauses.
    fates
        `schemas.Fates`: which tracks of effectors are pieces of one; None: none.

    Returns
    -------
    pandas.DataFrame
        `cell` (position in `rows`), `start`, `stop` (a bout's last frame stands for one interval,
        as in its duration), `first` (the first with that effector).
    """
    effectors, targets = of_role(roles, "effector"), of_role(roles, "target")
    start = bouts["start_frame"].astype(float)
    if unit == "min":
        start = without_pauses(bouts["fov"], bouts["start_min"], frames)
    longer = bouts["duration_min"] if unit == "min" else bouts["n_frames"].astype(float)
    timed = bouts.assign(start=start.astype(float), stop=(start + longer + lasting).astype(float))
    parts = []
    for target, effector in (("a", "b"), ("b", "a")):
        mine = timed[
            timed[f"population_{target}"].isin(targets)
            & timed[f"population_{effector}"].isin(effectors)
        ]
        names = {f"population_{target}": "population", f"track_id_{target}": "track_id"}
        names |= {f"population_{effector}": "by", f"track_id_{effector}": "by_id"}
        parts.append(mine.rename(columns=names)[[*CELL, "by", "by_id", "start", "stop"]])
    cells = rows[CELL].assign(cell=np.arange(len(rows)))
    cells["cell_id"] = rows["cell_id"] if "cell_id" in rows else rows["track_id"]
    found = pd.concat(parts).merge(cells.drop(columns="cell"), on=CELL, how="inner")
    if fates is not None:
        pieces = fates[CELL].assign(cell_id=cell_ids(fates)).set_index(CELL)["cell_id"]
        at = pd.MultiIndex.from_frame(found[["fov", "by", "by_id"]])
        found["by_id"] = pieces.reindex(at).fillna(found["by_id"].set_axis(at)).to_numpy(int)
    found = found.drop(columns="track_id").merge(cells, on=["fov", "population", "cell_id"])
    pair = ["cell", "by", "by_id"]
    found = found.sort_values([*pair, "start"], ignore_index=True)
    ends = found.groupby(pair, sort=False)["stop"].cummax()
    before = ends.groupby([found[name] for name in pair], sort=False).shift()
    run = ((found["start"] > before) | before.isna()).cumsum()
    joined = found.groupby(run).agg(
        **{name: (name, "first") for name in pair}, start=("start", "min"), stop=("stop", "max")
    )
    joined["first"] = ~joined.duplicated(pair)
    return joined[["cell", "start", "stop", "first"]].reset_index(drop=True)


def first_contact(rows: pd.DataFrame, found: pd.DataFrame) -> np.ndarray:
    """When the cell of each of `rows` was first seen in contact, infinity for never: (n,)."""
    first = np.full(len(rows), np.inf)
    np.minimum.at(first, found["cell"].to_numpy(int), found["start"].to_numpy(float))
    return first


def episodes(rows: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Cut the time that each of `rows` was under observation where its contacts change.

    A contact counts from after the frame in which it was first seen: where a target is first seen
    in contact and dead in the same frame, nobody knows which came first, and the death is not
    attributed to the contact.

    `rows`: `entry`, `leave`, `event` of each cell; other columns are carried along. `found`:
    `spells` of them. Returns the columns of `rows` without `entry` and `leave`, with `start`,
    `stop`, `event` (at `stop`), and as floats `ever_touched` and `in_contact` (0 or 1),
    `n_effectors` (in contact now), `n_met` (different ones so far).
    """
    entry, leave = rows["entry"].to_numpy(float), rows["leave"].to_numpy(float)
    cell = found["cell"].to_numpy(int)
    begin = np.maximum(found["start"].to_numpy(float), entry[cell])
    end = np.maximum(found["stop"].to_numpy(float), entry[cell])
    one = np.ones(len(cell))
    changes = pd.DataFrame(
        {
            "cell": np.concatenate([np.arange(len(rows)), cell, cell]),
            "start": np.concatenate([entry, begin, end]),
            "n_effectors": np.concatenate([np.zeros(len(rows)), one, -one]),
            "n_met": np.concatenate([np.zeros(len(rows)), found["first"].astype(float), 0 * one]),
        }
    )
    changes = changes[changes["start"] < leave[changes["cell"]]]
    # cells keep their order, times rise within each
    state = changes.groupby(["cell", "start"])[["n_effectors", "n_met"]].sum()
    state = state.groupby("cell").cumsum().reset_index()
    at = state["cell"].to_numpy(int)
    after = state.groupby("cell")["start"].shift(-1)
    last = after.isna().to_numpy()
    table = rows.drop(columns=["entry", "leave"]).iloc[at].reset_index(drop=True)
    return table.assign(
        start=state["start"],
        stop=after.fillna(pd.Series(leave[at])),
        event=table["event"].to_numpy(bool) & last,
        ever_touched=(state["n_met"] > 0).astype(float),
        in_contact=(state["n_effectors"] > 0).astype(float),
        n_effectors=state["n_effectors"],
        n_met=state["n_met"],
    )
