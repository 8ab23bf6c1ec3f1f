"""Kaplan-Meier estimates of what a film shows: cells enter late, leave early, and some die.

Product-limit estimate of Kaplan and Meier (1958) with delayed entry (left truncation): a cell
counts as at risk in (entry, exit], from when it was first seen to its death or when it was last
seen. Confidence limits are Greenwood's variance on the log(-log) scale, as lifelines has them.
They take cells to be independent, which cells of one well are not: they are too narrow, and
no p-value is computed from pooled cells.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.reporting.groups import between, known, of_role

COLUMNS = ("time", "at_risk", "events", "survival", "lower", "upper")


def kaplan_meier(entry: np.ndarray, leave: np.ndarray, event: np.ndarray) -> pd.DataFrame:
    """Estimate the share surviving past each time.

    Parameters
    ----------
    entry, leave
        When each came under observation and when it ended, in one unit; leave > entry.
    event
        True where `leave` is the event, False where it is censored.

    Returns
    -------
    pandas.DataFrame
        `time` (from the earliest entry), `at_risk`, `events`, `survival`, `lower`, `upper`
        (95 %), one row per time at which something changed. No rows if nothing was observed.
        Where nobody is left under observation, the curve ends: what enters later has no share of
        survivors to go on from, and is left out.
    """
    entry, leave = np.asarray(entry, dtype=float), np.asarray(leave, dtype=float)
    joined = entry < _emptied(entry, leave)
    entry, leave, event = entry[joined], leave[joined], np.asarray(event, dtype=bool)[joined]
    if len(leave) == 0:
        return pd.DataFrame({name: pd.Series(dtype=float) for name in COLUMNS})
    from lifelines import KaplanMeierFitter

    fit = KaplanMeierFitter().fit(leave, event, entry=entry)
    limits = fit.confidence_interval_
    time = fit.survival_function_.index.to_numpy(dtype=float)
    table = pd.DataFrame(
        {
            "time": time,
            "at_risk": at_risk(entry, leave, time).astype(float),
            "events": fit.event_table["observed"].reindex(time, fill_value=0).to_numpy(dtype=float),
            "survival": fit.survival_function_.iloc[:, 0].to_numpy(),
            "lower": limits.iloc[:, 0].to_numpy(),
            "upper": limits.iloc[:, 1].to_numpy(),
        }
    )
    # lifelines starts every curve at 0; with delayed entry nothing is known before the first entry
    start = float(entry.min())
    table = table[table["time"] >= start]
    if table.empty or table["time"].iloc[0] > start:
        first = pd.DataFrame(
            [[start, np.sum(entry <= start), 0.0, 1.0, 1.0, 1.0]], columns=[*COLUMNS]
        )
        table = pd.concat([first, table])
    return table.reset_index(drop=True)


def _emptied(entry: np.ndarray, leave: np.ndarray) -> float:
    """The first time after which nobody is under observation although some enter later; or inf."""
    order = np.argsort(entry, kind="stable")
    last_out = np.maximum.accumulate(leave[order])[:-1]
    gap = np.flatnonzero(entry[order][1:] >= last_out)
    return float(last_out[gap[0]]) if len(gap) else float("inf")


def at_risk(entry: np.ndarray, leave: np.ndarray, time: np.ndarray) -> np.ndarray:
    """How many are under observation at each of `time`: entry < time <= leave.

    At the earliest entry it is those who enter then.
    """
    time = np.asarray(time, dtype=float)
    entered = np.searchsorted(np.sort(entry), time, side="left")
    left = np.searchsorted(np.sort(leave), time, side="left")
    first = time <= np.min(entry, initial=np.inf)
    return np.where(first, np.searchsorted(np.sort(entry), time, side="right"), entered - left)


def median(curve: pd.DataFrame) -> float:
    """The first time at which survival is one half or less; null if it never is."""
    reached = curve.loc[curve["survival"] <= 0.5, "time"]
    return float(reached.iloc[0]) if len(reached) else float("nan")


def target_intervals(fates: pd.DataFrame, roles: Mapping[str, str]) -> tuple[pd.DataFrame, str]:
    """The time each target was watched alive, and the unit (``min``, or ``frames``).

    Cells dead at first sight are left out (their death was not observed), and so are those seen
    once, which were never at risk. Returns columns fov, population, track_id, entry, leave, event.
    """
    mine = fates[fates["population"].isin(of_role(roles, "target")) & ~fates["dead_at_first_sight"]]
    if known(mine["entry_min"], mine["exit_min"]):
        unit, entry, leave = "min", mine["entry_min"], mine["exit_min"]
    else:
        unit, entry = "frames", mine["first_frame"].astype(float)
        death = mine["death_frame"].astype("Float64").fillna(mine["last_frame"])
        leave = death.where(mine["died"], mine["last_frame"]).astype(float)
    table = mine[["fov", "population", "track_id"]].assign(
        entry=entry.astype(float), leave=leave.astype(float), event=mine["died"].astype(bool)
    )
    return table[table["leave"] > table["entry"]].reset_index(drop=True), unit


def contact_intervals(bouts: pd.DataFrame, roles: Mapping[str, str]) -> tuple[pd.DataFrame, str]:
    """How long each contact of an effector and a target lasted, and the unit.

    A contact already under way when first seen is left out: how long it had lasted is unknown,
    and long ones are more often met so. One still going when last seen is censored. Returns
    columns fov, duration, event.
    """
    mine = between(bouts, roles)
    mine = mine[~mine["censored_start"]]
    unit = "min" if known(mine["duration_min"]) else "frames"
    duration = mine["duration_min"] if unit == "min" else mine["n_frames"]
    table = mine[["fov"]].assign(
        duration=duration.astype(float), event=~mine["censored_end"].astype(bool)
    )
    return table.reset_index(drop=True), unit
