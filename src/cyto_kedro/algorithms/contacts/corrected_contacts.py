"""What a person said of contacts, laid on the contacts that were found."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.corrected_events import say_misfits, tracks_at
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import MISSING, PAIR, is_repaired

BY_HAND = "set by hand"


def fit_contacts(corrections: pd.DataFrame, points: pd.DataFrame, reach_px: float) -> pd.DataFrame:
    """Corrections of contacts that fit two cells, with `PAIR`: sides in the order of `points`.

    The others are named in a warning.
    """
    made = corrections.assign(
        track_id=tracks_at(corrections, points, reach_px),
        other_track_id=tracks_at(corrections, points, reach_px, other=True),
    )
    same = made["population"].eq(made["other_population"])
    fits = made["track_id"].ne(MISSING) & made["other_track_id"].ne(MISSING)
    fits &= ~(same & made["track_id"].eq(made["other_track_id"]))
    say_misfits(corrections[~fits], "fits no two cells any more (masks or tracks changed)")
    made = made[fits]
    order = {name: i for i, name in enumerate(points["population"].unique())}
    one = made["population"].map(order), made["track_id"]
    two = made["other_population"].map(order), made["other_track_id"]
    turn = (one[0] > two[0]) | (one[0].eq(two[0]) & (one[1] > two[1]))
    for name in ("population", "track_id"):
        made[f"{name}_a"] = made[name].mask(turn, made[f"other_{name}"])
        made[f"{name}_b"] = made[f"other_{name}"].mask(turn, made[name])
    return made


def correct_contacts(
    contacts: TableOf[schemas.Contacts],
    corrections: pd.DataFrame,
    points: TableOf[schemas.TrackPoints],
    reach_px: float,
) -> TableOf[schemas.Contacts]:
    """Contacts of a field with what a person said (`corrected_events.said_of`).

    From its frame to its last frame, in which both cells were seen, a pair is in contact or is not. Of
    several words on a frame the last counts. A contact that was set has no measures of masks; its
    `definition` is ``set by hand``.
    """
    if not len(corrections):
        return contacts
    fit = fit_contacts(corrections, points, reach_px)
    n = (fit["last_frame"] - fit["frame"] + 1).clip(lower=0).to_numpy()
    said = fit.loc[fit.index.repeat(n), [*PAIR, "happened", "frame"]].reset_index(drop=True)
    said["frame"] += np.arange(len(said)) - np.repeat(np.cumsum(n) - n, n)
    key = ["frame", *PAIR]
    said = said.drop_duplicates(key, keep="last")
    seen = points.assign(repaired=is_repaired(points))[points["label"].notna()]
    for side in "ab":
        named = {name: f"{name}_{side}" for name in ("population", "track_id")}
        more = {"repaired": f"repaired_{side}"}
        at = {f"{axis}_{unit}": f"{axis}_{unit}_{side}" for axis in "xy" for unit in ("px", "um")}
        columns = (
            ["fov", "time_min", "frame", *named, *at] if side == "a" else ["frame", *named, *at]
        )
        here = seen[[*columns, *more]].rename(columns={**named, **at, **more})
        said = said.merge(here, on=["frame", *named.values()])
    for unit in ("px", "um"):
        x, y = (said[f"{axis}_{unit}_a"] - said[f"{axis}_{unit}_b"] for axis in "xy")
        said[f"centre_distance_{unit}"] = np.hypot(x, y)
    known = pd.MultiIndex.from_frame(contacts[key].astype(object))
    spoken = pd.MultiIndex.from_frame(said[key].astype(object))
    new = said[said["happened"].to_numpy(bool) & ~spoken.isin(known)]
    kept = contacts[~known.isin(spoken[~said["happened"].to_numpy(bool)])]
    new = new.assign(definition=BY_HAND, repaired=new["repaired_a"] | new["repaired_b"]).reindex(
        columns=contacts.columns
    )
    parts = [each for each in (kept, new) if len(each)] or [kept]
    whole = pd.concat(parts, ignore_index=True).sort_values(key, ignore_index=True)
    return schemas.conform(schemas.Contacts, whole)
