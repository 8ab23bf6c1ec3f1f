"""Which times a film shows of its cells and contacts: time at risk, time alive, time in contact.

Estimates from them are `core.survival`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cyto_kedro.core.clock import Clock
from cyto_kedro.core.groups import any_known, between, of_role


def target_intervals(
    fates: pd.DataFrame, roles: Mapping[str, str], frames: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, str]:
    """The time each target was watched alive (`watched`), and the unit (``min``, or ``frames``)."""
    return watched(fates[fates["population"].isin(of_role(roles, "target"))], frames)


def contact_intervals(bouts: pd.DataFrame, roles: Mapping[str, str]) -> tuple[pd.DataFrame, str]:
    """How long each contact of an effector and a target lasted, and the unit.

    A contact already under way when first seen is left out: how long it had lasted is unknown,
    and long ones are more often met so. One still going when last seen is censored. Returns
    columns fov, duration, event.
    """
    mine = between(bouts, roles)
    mine = mine[~mine["censored_start"]]
    unit = "min" if any_known(mine["duration_min"]) else "frames"
    if unit == "min":
        mine = mine[mine["duration_min"].notna()]
    duration = mine["duration_min"] if unit == "min" else mine["n_frames"]
    table = mine[["fov"]].assign(
        duration=duration.astype(float), event=~mine["censored_end"].astype(bool)
    )
    return table.reset_index(drop=True), unit


def without_pauses(fov: pd.Series, minutes: pd.Series, frames: pd.DataFrame | None) -> pd.Series:
    """Film times of several fields by clocks that stand still in pauses: `Clock.without_pauses`.

    `fov`, `minutes`: of each row, its field and a time. `frames`: `schemas.Frames`; a field that is
    not in it, or has no times, is taken to have no pause.
    """
    if frames is None or not len(frames):
        return minutes
    shown = minutes.astype(float).copy()
    timed = frames.assign(time_min=frames["time_s"] / 60)
    for name, film in timed.groupby("fov"):
        mine = (fov == name).to_numpy()
        if mine.any():
            shown[mine] = Clock(film).without_pauses(minutes[mine])
    return shown


def watched(fates: pd.DataFrame, frames: pd.DataFrame | None = None) -> tuple[pd.DataFrame, str]:
    """The time each cell was watched alive, and the unit (``min``, or ``frames``).

    Nobody is at risk in a pause of the film: minutes are those of a clock that stands still in it,
    where `frames` (`schemas.Frames`) tells of one.

    Cells dead at first sight are left out (their death was not observed), and so are those seen
    once, which were never at risk. Fields without times are left out where others have them; where
    none has, all are in frames. Returns columns fov, population, track_id, entry, leave, event,
    end_reason.
    """
    mine = fates[~fates["dead_at_first_sight"]]
    if any_known(fates["entry_min"]):
        mine = mine[mine["entry_min"].notna() & mine["exit_min"].notna()]
        unit = "min"
        entry, leave = (
            without_pauses(mine["fov"], mine[name], frames) for name in ("entry_min", "exit_min")
        )
    else:
        unit, entry = "frames", mine["first_frame"].astype(float)
        death = mine["death_frame"].astype("Float64").fillna(mine["last_frame"])
        leave = death.where(mine["died"], mine["last_frame"]).astype(float)
    table = mine[["fov", "population", "track_id", "end_reason"]].assign(
        entry=entry.astype(float), leave=leave.astype(float), event=mine["died"].astype(bool)
    )
    return table[table["leave"] > table["entry"]].reset_index(drop=True), unit


def film_ends(frames: pd.DataFrame, unit: str) -> pd.Series:
    """When each film ends, by the clock of `watched`: fov -> time in `unit`."""
    end = frames["frame"].astype(float)
    if unit == "min":
        end = without_pauses(frames["fov"], frames["time_s"] / 60, frames)
    return end.groupby(frames["fov"]).max()


def common_end(frames: pd.DataFrame, design: pd.DataFrame, unit: str) -> float | None:
    """The last time that films of all replicates reach; None where they end together.

    By the clock of `watched`; a jitter of a twentieth is no difference. Stills do not count.
    `design` is `core.groups.design`'s.
    """
    films = frames[frames.groupby("fov")["frame"].transform("size") > 1]
    ends = design["fov"].map(film_ends(films, unit))
    last = ends.groupby([design["condition"], design["replicate"]]).max().dropna()
    return float(last.min()) if len(last) and last.min() < 0.95 * last.max() else None


def until(rows: pd.DataFrame, end: float | None) -> pd.DataFrame:
    """Rows of `watched` as if the film had ended at `end`; None: as they are."""
    if end is None:
        return rows
    cut = rows.assign(
        event=rows["event"] & (rows["leave"] <= end), leave=rows["leave"].clip(upper=end)
    )
    return cut[cut["leave"] > cut["entry"]]


def effector_hours(
    points: pd.DataFrame,
    frames: pd.DataFrame,
    effectors: list[str],
    fates: pd.DataFrame | None = None,
) -> dict[str, float]:
    """Hours that effectors were watched alive, by fov; null where frame times are unknown.

    The number of tracked, living effectors in each frame, integrated over time by the trapezoid
    rule; frames excluded by the sample sheet are skipped, and a pause of the film (`core.clock`)
    stands for one frame interval.

    Parameters
    ----------
    points
        `schemas.TrackPoints`; where it has a column ``dead``, dead points do not count.
    frames
        `schemas.Frames`.
    effectors
        Populations that count.
    fates
        `schemas.Fates`: from its death on a cell does not count, nor does one dead at first sight.
    """
    mine = while_alive(points[points["population"].isin(effectors)], fates)
    seen = mine.groupby(["fov", "frame"]).size()
    used = frames[~frames["excluded"]].sort_values(["fov", "frame"], ignore_index=True)
    number = seen.reindex(pd.MultiIndex.from_frame(used[["fov", "frame"]]), fill_value=0)
    used = used.assign(number=number.to_numpy(dtype=float))
    minutes = used["time_s"] / 60
    for _, one in used.assign(time_min=minutes).groupby("fov"):
        minutes.loc[one.index] = Clock(one).watched_min(one["frame"])
    used["watched_min"] = minutes
    before = used.groupby("fov")[["watched_min", "number"]].shift()
    passed = used["watched_min"] - before["watched_min"]
    area = passed * (used["number"] + before["number"]) / 2
    hours = area.groupby(used["fov"]).sum(min_count=1) / 60.0
    return {str(fov): float(value) for fov, value in hours.items()}


def while_alive(points: pd.DataFrame, fates: pd.DataFrame | None) -> pd.DataFrame:
    """Track points of cells that live: before their death (`effector_hours`)."""
    if "dead" in points.columns:
        points = points[~points["dead"].fillna(False).astype(bool)]
    if fates is None or not len(fates):
        return points
    gone = fates[fates["died"] | fates["dead_at_first_sight"]]
    end = gone["death_frame"].astype("Float64").where(gone["died"], -1.0)
    key = ["fov", "population", "track_id"]
    ends = gone[key].assign(end=end.astype(float))
    end_frame = points[key].merge(ends, on=key, how="left")["end"].to_numpy(float)
    return points[~(points["frame"].to_numpy() >= end_frame)]
