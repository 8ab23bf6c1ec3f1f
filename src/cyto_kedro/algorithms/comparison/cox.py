"""Cox regression on episodes (start, stop], with standard errors by replicate.

The estimate is lifelines' `CoxTimeVaryingFitter` (partial likelihood, Efron's ties, strata). It has
no robust errors, and `CoxPHFitter`'s do not handle ties, which films are full of. So the sandwich
of Lin and Wei (1989, *JASA* 84:1074) is made here, from the score residuals for Efron's ties
(Therneau and Grambsch 2000, section 7.1), summed within clusters: R's ``coxph(..., cluster=)``.

Clusters are few in such assays, and the plain sandwich is then too small. With G clusters and c
terms that are constant within every cluster (a condition given to whole wells), its variance is
multiplied by G / (G - 1 - c) and Student's t with G - 1 - c degrees of freedom takes the place of
the normal. For one such term this is the two-sample t test's G - 2, for a term that varies within
clusters the paired test's G - 1.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy


@dataclass(frozen=True)
class CoxFit:
    """Coefficients and their errors; without a fit all are null, and `note` says why.

    `table` has one row per term: `coefficient`, `se_model` (cells independent), `se` (by cluster,
    corrected as above), `low`, `high` (of the coefficient), `p`. `df` is null without errors by cluster.
    """

    table: pd.DataFrame
    df: float
    note: str


def fit_cox(episodes: pd.DataFrame, terms: list[str], small_sample: bool = True) -> CoxFit:
    """Fit the hazard ``h_stratum(t) exp(terms . coefficients)``.

    Parameters
    ----------
    episodes
        One row per cell and stretch (start, stop] in which its terms are constant: columns
        `start`, `stop`, `event` (at stop), `cluster`, `stratum`, and one per term (float).
    terms
        Names of the columns that are terms.
    small_sample
        False: the plain sandwich and the normal, as R and lifelines have them.
    """
    null = pd.DataFrame(
        np.nan,
        index=pd.Index(terms, name="term"),
        columns=["coefficient", "se_model", "se", "low", "high", "p"],
    )
    reason = _unfit(episodes, terms)
    if reason:
        return CoxFit(null, float("nan"), reason)
    from lifelines import CoxTimeVaryingFitter
    from lifelines.exceptions import ConvergenceError, ConvergenceWarning

    # plain names: lifelines' own columns are called much alike, and it may read a name as a formula
    names = {term: f"x{number}" for number, term in enumerate(terms)}
    data = episodes[["start", "stop", "event", "stratum", *terms]].rename(columns=names)
    data = data.sort_values(["stratum", "stop"], ignore_index=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            fit = CoxTimeVaryingFitter().fit(
                data, event_col="event", start_col="start", stop_col="stop", strata=["stratum"]
            )
        except (ConvergenceError, ConvergenceWarning, np.linalg.LinAlgError) as error:
            first = str(error).strip().splitlines()[0]
            return CoxFit(null, float("nan"), f"the fit did not converge: {first}")
    coefficient = fit.params_[[*names.values()]].to_numpy(float)
    order = fit.params_.index.get_indexer([*names.values()])
    inverse = fit.variance_matrix_.to_numpy(float)[np.ix_(order, order)]
    table = null.assign(coefficient=coefficient, se_model=np.sqrt(np.diag(inverse)))

    cluster = pd.factorize(episodes["cluster"])[0]
    n = int(cluster.max()) + 1
    spread = episodes[terms].groupby(cluster)
    constant = int((spread.max() == spread.min()).all().sum())
    df = float(n - 1 - constant) if small_sample else np.inf
    if n < 2 or df < 1:
        needed = 2 + constant
        return CoxFit(
            table,
            float("nan"),
            f"{n} replicate{'s' if n > 1 else ''} where {needed} are needed: "
            "no confidence limits and no p-value",
        )
    residuals = score_residuals(episodes, terms, coefficient)
    sums = np.column_stack([np.bincount(cluster, each, minlength=n) for each in residuals.T])
    robust = inverse @ (sums.T @ sums) @ inverse
    if small_sample:
        robust *= n / df
    se = np.sqrt(np.diag(robust))
    # a replicate-wise contrast without any spread is no evidence of certainty
    se = np.where(se > 1e-12, se, np.nan)
    half = scipy.special.stdtrit(df, 0.975) if np.isfinite(df) else scipy.special.ndtri(0.975)
    t = np.abs(coefficient) / se
    p = 2 * (scipy.special.stdtr(df, -t) if np.isfinite(df) else scipy.special.ndtr(-t))
    return CoxFit(
        table.assign(se=se, low=coefficient - half * se, high=coefficient + half * se, p=p), df, ""
    )


def _unfit(episodes: pd.DataFrame, terms: list[str]) -> str:
    """Why no fit is possible; empty where one may be."""
    event = episodes["event"].to_numpy(bool)
    if not event.any():
        return "no death observed"
    for term in terms:
        value = episodes[term].to_numpy(float)
        if np.ptp(value) == 0:
            return f"{term} is the same for all cells at all times"
        among = value[event]
        if set(np.unique(value)) <= {0.0, 1.0} and np.ptp(among) == 0:
            where = "0" if among[0] == 1 else "1"
            return f"no death where {term} is {where}: the hazard ratio is zero or infinite"
    if np.linalg.matrix_rank(episodes[terms] - episodes[terms].mean()) < len(terms):
        return f"{', '.join(terms)} cannot be told apart: one follows from the others"
    return ""


def score_residuals(
    episodes: pd.DataFrame, terms: list[str], coefficient: np.ndarray
) -> np.ndarray:
    """Derivative of the partial likelihood's score by each episode's weight, (n, p).

    For a set of d deaths tied at t, the k-th of them (k = 0 ... d - 1) sees the risk set with the
    share k / d of the dying taken out: weighted mean a_k = S1_k / S0_k. Episode i gets
    ``x_i - mean of a_k`` if it ends in one of the deaths, and for every t that it is at risk
    ``- sum over k of c_ik exp(x_i b) (x_i - a_k) / S0_k``, with c_ik = 1 - k / d if it is one of
    them, else 1. Rows add up to zero at the estimate.
    """
    found = np.zeros((len(episodes), len(terms)))
    for _, at in episodes.groupby("stratum").indices.items():
        one = episodes.iloc[at]
        # centred, so that exp stays small
        x = one[terms].to_numpy(float)
        x = x - x.mean(axis=0)
        found[at] = _residuals(
            x,
            np.exp(x @ coefficient),
            one["start"].to_numpy(float),
            one["stop"].to_numpy(float),
            one["event"].to_numpy(bool),
        )
    return found


def _residuals(
    x: np.ndarray, weight: np.ndarray, start: np.ndarray, stop: np.ndarray, event: np.ndarray
) -> np.ndarray:
    when, tie = np.unique(stop[event], return_inverse=True)
    if not len(when):
        return np.zeros_like(x)
    deaths = np.bincount(tie)
    moments = np.column_stack([weight, weight[:, None] * x])
    risk = _sum_from(stop, moments, when) - _sum_from(start, moments, when)
    dying = np.zeros_like(risk)
    np.add.at(dying, tie, moments[event])

    # one row per death: k counts those tied at its time
    at = np.repeat(np.arange(len(when)), deaths)
    k = np.arange(len(at)) - np.repeat(np.cumsum(deaths) - deaths, deaths)
    share = (k / deaths[at])[:, None]
    seen = risk[at] - share * dying[at]
    s0, mean = seen[:, :1], seen[:, 1:] / seen[:, :1]

    def per_time(rows: np.ndarray) -> np.ndarray:
        return np.add.reduceat(rows, np.cumsum(deaths) - deaths)

    hazard = np.column_stack([per_time(1 / s0), per_time(mean / s0)])
    before = np.vstack([np.zeros(hazard.shape[1]), np.cumsum(hazard, axis=0)])
    inside = (
        before[np.searchsorted(when, stop, side="right")]
        - before[np.searchsorted(when, start, side="right")]
    )
    found = -weight[:, None] * (inside[:, :1] * x - inside[:, 1:])
    own = np.column_stack([per_time(share / s0), per_time(share * mean / s0)])[tie]
    found[event] += weight[event, None] * (own[:, :1] * x[event] - own[:, 1:])
    found[event] += x[event] - (per_time(mean) / deaths[:, None])[tie]
    return found


def _sum_from(time: np.ndarray, rows: np.ndarray, when: np.ndarray) -> np.ndarray:
    """Sum of `rows` whose `time` is at least each of `when`."""
    order = np.argsort(time)
    above = np.vstack([np.cumsum(rows[order][::-1], axis=0)[::-1], np.zeros(rows.shape[1])])
    return above[np.searchsorted(time[order], when, side="left")]
