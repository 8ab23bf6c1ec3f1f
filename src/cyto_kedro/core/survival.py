"""Survival curves of what a film shows: cells enter late, leave early, and some die.

Product-limit estimate of Kaplan and Meier (1958) and cumulative hazard of Nelson (1972) and Aalen
(1978), both with delayed entry (left truncation): a cell counts as at risk in (entry, exit], from
when it was first seen to its death or when it was last seen. Point estimates and the pointwise
bands for independent cells (Greenwood's variance on the log(-log) scale; Aalen's on the log scale)
are lifelines'.

Cells of one well are not independent, so those bands are too narrow. `clustered_se` gives the
standard errors in which whole replicates are the units (infinitesimal jackknife, as ``survfit(...,
cluster=)`` of R's survival: Therneau and Grambsch 2000, section 7.2.1, and Williams 1995, *Stat
Med* 14:453). With d deaths among n at risk at s, the weight of cell i moves the estimates by

    d log S(t) / d w_i = - sum over s <= t of (dN_i - Y_i d/n) / (n - d)
    d H(t) / d w_i     =   sum over s <= t of (dN_i - Y_i d/n) / n

These are added up within each replicate, squared and added over the G replicates, times G / (G - 1).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy

# a share computed as a product of many may miss one half by rounding
_ROUNDING = 1e-9
COLUMNS = ("time", "at_risk", "events", "survival", "lower", "upper")
CLUSTERED = ("survival", "hazard")
_NORMAL = 1.959963984540054  # 97.5 % quantile


def kaplan_meier(entry: np.ndarray, leave: np.ndarray, event: np.ndarray) -> pd.DataFrame:
    """Estimate the share surviving past each time.

    Parameters
    ----------
    entry, leave
        (n,) when each came under observation and when it ended, in one unit; leave > entry.
    event
        (n,) true where `leave` is the event, false where it is censored.

    Returns
    -------
    pandas.DataFrame
        `time` (from the earliest entry), `at_risk`, `events`, `survival`, `lower`, `upper`
        (95 %), one row per time at which something changed. No rows if nothing was observed.
        Where nobody is left under observation, the curve ends: what enters later has no share of
        survivors to go on from, and is left out.
    """
    entry, leave, event = joined(entry, leave, event)
    time = np.union1d(entry, leave)
    entered, left, died = (
        np.bincount(np.searchsorted(time, each), minlength=len(time))
        for each in (entry, leave, leave[event])
    )
    # those who enter at a time join after its deaths; at the first time, before
    exposed = np.cumsum(entered) - (np.cumsum(left) - left)
    exposed[1:] -= entered[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        survival = np.exp(np.cumsum(np.log(exposed - died) - np.log(exposed)))
        log = np.log(survival)
        variance = died / (exposed.astype(float) * (exposed - died))
        variance = np.cumsum(np.where(np.isinf(variance), 0.0, variance))
        width = _NORMAL * np.sqrt(variance) / log
        lower, upper = (np.exp(-np.exp(np.log(-log) + each)) for each in (-width, width))
    first = np.arange(len(time)) == 0
    return pd.DataFrame(
        {
            "time": time,
            "at_risk": at_risk(entry, leave, time).astype(float),
            "events": died.astype(float),
            "survival": np.where(first, 1.0, survival),
            "lower": np.where(first | np.isnan(lower), 1.0, lower),
            "upper": np.where(first | np.isnan(upper), 1.0, upper),
        }
    )


def nelson_aalen(
    entry: np.ndarray, leave: np.ndarray, event: np.ndarray, time: np.ndarray
) -> pd.DataFrame:
    """Estimate the cumulative hazard at each of `time`: `hazard`, `lower`, `upper` (95 %).

    Arguments as in `kaplan_meier`, whose times `time` are. Tied deaths count d / n. Before the
    first event the hazard is 0 and has no band (null).
    """
    entry, leave, event = joined(entry, leave, event)
    if len(leave) == 0:
        return pd.DataFrame({name: pd.Series(dtype=float) for name in ("hazard", "lower", "upper")})
    from lifelines import NelsonAalenFitter

    fit = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(leave, event, entry=entry)
    table = pd.concat([fit.cumulative_hazard_, fit.confidence_interval_], axis=1)
    table.columns = pd.Index(["hazard", "lower", "upper"])
    table = table.reindex(np.union1d(table.index, time)).ffill().fillna(0.0).loc[time]
    table.loc[table["hazard"] == 0, ["lower", "upper"]] = np.nan
    return table.reset_index(drop=True)


def joined(
    entry: np.ndarray, leave: np.ndarray, event: np.ndarray, *others: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The cells that the curve can use: entered before the first time that nobody was left."""
    entry, leave = np.asarray(entry, dtype=float), np.asarray(leave, dtype=float)
    keep = entry < _emptied(entry, leave)
    return (
        entry[keep],
        leave[keep],
        np.asarray(event, dtype=bool)[keep],
        *(np.asarray(each)[keep] for each in others),
    )


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
    first = time <= np.min(entry, initial=np.inf)
    entered = np.searchsorted(np.sort(entry), time, side="right")
    return np.where(first, entered, risk(entry, leave, time))


def risk(entry: np.ndarray, leave: np.ndarray, time: np.ndarray) -> np.ndarray:
    """How many have entry < time <= leave."""
    entered = np.searchsorted(np.sort(entry), time, side="left")
    return entered - np.searchsorted(np.sort(leave), time, side="left")


def median(curve: pd.DataFrame) -> float:
    """The first time at which survival is one half or less; null if it never is."""
    reached = curve.loc[curve["survival"] <= 0.5 + _ROUNDING, "time"]
    return float(reached.iloc[0]) if len(reached) else float("nan")


def at(curve: pd.DataFrame, time: float) -> float:
    """Survival at `time`; null before the curve begins."""
    place = int(np.searchsorted(curve["time"], time, side="right")) - 1
    return float(curve["survival"].iloc[place]) if place >= 0 else float("nan")


def restricted_mean(curve: pd.DataFrame, start: float, stop: float) -> float:
    """Mean time lived from `start` to at most `stop`: the area under the curve between them.

    Divided by the survival at `start`, so that it is of those alive then (Royston and Parmar 2013,
    *BMC Med Res Methodol* 13:152). Null where survival at `start` is 0 or unknown.
    """
    alive = at(curve, start)
    if not alive > 0:
        return float("nan")
    time = curve["time"].to_numpy()
    inner = (time > start) & (time < stop)
    edges = np.concatenate([[start], time[inner], [stop]])
    height = np.concatenate([[alive], curve["survival"].to_numpy()[inner]])
    return float(np.sum(np.diff(edges) * height) / alive)


def clustered_se(
    entry: np.ndarray, leave: np.ndarray, event: np.ndarray, cluster: np.ndarray, time: np.ndarray
) -> pd.DataFrame:
    """Standard errors with whole clusters as units: of log `survival` and of `hazard`, at `time`.

    Arguments as in `kaplan_meier`; `cluster` (n,) names each cell's replicate. Null with fewer than
    two clusters, and of log survival where survival is 0.
    """
    entry, leave, event, cluster = joined(entry, leave, event, cluster)
    names = np.unique(cluster)
    if len(names) < 2:
        return pd.DataFrame(np.nan, index=range(len(time)), columns=[*CLUSTERED])
    when, deaths = np.unique(leave[event], return_counts=True)
    n = risk(entry, leave, when)
    square = np.zeros((2, len(when)))
    for name in names:
        own = cluster == name
        died = np.bincount(np.searchsorted(when, leave[own & event]), minlength=len(when))
        excess = died - risk(entry[own], leave[own], when) * deaths / n
        left = np.where(n > deaths, n - deaths, np.nan)
        square += np.cumsum([excess / left, excess / n], axis=1) ** 2
    se = np.sqrt(square * len(names) / (len(names) - 1))
    place = np.searchsorted(when, time, side="right")
    return pd.DataFrame(np.column_stack([np.zeros(2), se])[:, place].T, columns=[*CLUSTERED])


def survival_limits(survival: np.ndarray, se_log: np.ndarray, n_clusters: int) -> np.ndarray:
    """Limits by replicate of survival, (2, times), on the log(-log) scale.

    With the quantile of Student's t with one degree of freedom less than there are replicates. Null
    where survival is 0 or 1, and without a standard error (of log survival).
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log = np.log(survival)
        factor = np.exp(_t(n_clusters) * se_log / np.abs(log))
        found = np.exp(np.array([log * factor, log / factor]))
    return np.where((survival > 0) & (survival < 1), found, np.nan)


def hazard_limits(hazard: np.ndarray, se: np.ndarray, n_clusters: int) -> np.ndarray:
    """The same of the cumulative hazard, on the log scale; null where it is 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = np.exp(_t(n_clusters) * se / hazard)
        return np.where(hazard > 0, np.array([hazard / factor, hazard * factor]), np.nan)


def _t(n_clusters: int) -> float:
    return float(scipy.special.stdtrit(max(n_clusters - 1, 1), 0.975))
