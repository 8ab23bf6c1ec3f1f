"""What to beware of in who is called dead: one row per field and kind of doubt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

States = Mapping[str, Mapping[str, Mapping[str, Any]]]
#: share of a field's tracks dead at first sight from which on the threshold of death is doubtful
MOST_FIRST_SIGHT = 0.5
#: deaths of effectors, and how many times the targets' rate, that are no longer put to biology alone
FEW_DEATHS, FAR_ABOVE = 3, 2.0


def death_warnings(fates: pd.DataFrame, states: States) -> pd.DataFrame:
    """Columns fov, channel (empty), what, n_frames (of the tracks meant), first_frame.

    `fates`: `schemas.Fates` of all fields. `states`: population -> field -> state of viability;
    `estimated_apart` in it is said.
    """
    rows = [*_apart(fates, states), *_of_tracks(fates)]
    return pd.DataFrame(rows, columns=["fov", "channel", "what", "n_frames", "first_frame"])


def _apart(fates: pd.DataFrame, states: States) -> Iterator[dict[str, Any]]:
    for population, by_field in states.items():
        for fov, state in by_field.items():
            if isinstance(state, Mapping) and state.get("estimated_apart"):
                what = (
                    f"{population}: living cells differ in the death marker from those of the other "
                    "fields (another exposure, staining or background?), so who is dead is judged by "
                    "this field alone; name plates in the sample sheet if that is meant"
                )
                yield _row(fov, what, fates[fates["fov"] == fov])


def _of_tracks(fates: pd.DataFrame) -> Iterator[dict[str, Any]]:
    no = pd.Series(False, fates.index)
    recovered = fates["recovered"].astype(bool) if "recovered" in fates else no
    first_sight = fates["dead_at_first_sight"].astype(bool)
    orphan = first_sight & ~is_piece(fates) & (_start(fates) == "entered")
    by = [fates["fov"], fates["population"]]
    doubtful = fates[(recovered | orphan | first_sight).groupby(by).transform("any")]
    for (fov, population), mine in doubtful.groupby(["fov", "population"], sort=False):
        back, late, dead = (mine[flag[mine.index]] for flag in (recovered, orphan, first_sight))
        if len(back):
            what = (
                f"{population}: {len(back)} of {len(mine)} tracks are dead for as long as a death takes "
                "and alive afterwards: two cells in one track. Their deaths are not counted; cut them "
                "where they change cells (tracks " + _named(back) + ")"
            )
            yield _row(fov, what, back)
        if len(late):
            what = (
                f"{population}: {len(late)} tracks begin dead in the middle of the film, and no lost "
                "track ends near: cells that died unseen, or came in dead. Their deaths are not "
                "counted (tracks " + _named(late) + ")"
            )
            yield _row(fov, what, late)
        if len(dead) > MOST_FIRST_SIGHT * len(mine):
            what = (
                f"{population}: {len(dead)} of {len(mine)} tracks are dead at first sight: is this "
                "field filmed as the others, and does the death marker stain none but the dead?"
            )
            yield _row(fov, what, dead)


def is_piece(fates: pd.DataFrame) -> pd.Series:
    """Tracks that are the rest of another track: no cells of their own."""
    if "past_track_id" not in fates:
        return pd.Series(False, fates.index)
    return fates["past_track_id"].notna()


def _start(fates: pd.DataFrame) -> pd.Series:
    return fates["start_reason"] if "start_reason" in fates else pd.Series("", fates.index)


def _named(tracks: pd.DataFrame, most: int = 5) -> str:
    named = ", ".join(tracks["track_id"].astype(str).head(most))
    return named + (", …" if len(tracks) > most else "")


def _row(fov: Any, what: str, tracks: pd.DataFrame) -> dict[str, Any]:
    first, last = tracks["first_frame"], tracks["last_frame"]
    frames = int((last - first + 1).sum()) if len(tracks) else 0
    start = int(first.min()) if len(tracks) else 0
    return {"fov": fov, "channel": "", "what": what, "n_frames": frames, "first_frame": start}


def effectors_die_fast(row: Mapping[Any, Any]) -> str:
    """A sentence where effectors of a row of `summary.summarise` die far faster than targets; or ''."""
    deaths, hours = row["effector_deaths"], row["effector_watched"]
    if pd.isna(deaths) or deaths < FEW_DEATHS or not hours > 0:
        return ""
    rate = deaths / hours
    others = row["deaths"] / row["target_watched"] if row["target_watched"] > 0 else float("nan")
    if not rate > FAR_ABOVE * others:
        return ""
    times = f"{rate / others:.1f} times as often as targets" if others > 0 else "and no target does"
    return (
        f"effectors are called dead {times} ({deaths} deaths): does the death marker tell of them? An "
        "effector on a dead target looks dead; if it does not, set death_marker: false for them in "
        "assay.populations"
    )
