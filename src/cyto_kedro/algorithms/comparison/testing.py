"""Conditions compared by their replicates, not by their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd
import scipy
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.comparison.design import effector_free, matched_references
from cyto_kedro.algorithms.comparison.replicates import WHOLE_FILMS
from cyto_kedro.errors import ConfigError, unknown
from cyto_kedro.schemas import TableOf

LEVEL = 0.95
# measures that an assay may have beside those of its tracks (`ReplicateValues`)
MEASURES = (
    *("survival", "restricted_mean_survival", "death_rate", "first_contact_rate"),
    *("contact_duration", "kills_per_effector_per_hour"),
    *("live_targets", "specific_killing", "specific_killing_area"),
)


class Compared(TypedDict):
    """One row per measure, population and pair of conditions."""

    comparisons: TableOf[schemas.Comparisons]


class ReplicateTests(Algorithm):
    """Compare the replicates' values of two conditions, for every measure and population.

    Notes
    -----
    n is the number of independent experiments. Replicates of one `cluster` (a donor that the sample
    sheet names) are one experiment: several of them in a condition are averaged, and conditions that
    share experiments are compared pair by pair, which for equal numbers of wells is what a mixed model
    with a random donor comes to (``paired`` True: those of one name; False: none). Equal names of
    replicates alone pair nothing. A measure that has one value in every replicate is left out.

    **auto**: Welch's t test, or the paired t test. **student**: equal variances. **wilcoxon**:
    Mann-Whitney's, or the signed-rank test; with few replicates neither can be small.
    **permutation**: all relabellings of the difference of means, or all changes of sign of the paired
    differences (a random 9999 of them where there are more). The permutation's p is given beside
    the others', with the smallest that it could have been: with 3 against 3 that is 0.1.

    `low` and `high` are of the difference of means, by Welch's or the paired t distribution. The
    effect size is Hedges' g, with pooled standard deviation and exact small-sample factor, of
    paired differences with theirs; its limits come from the noncentral t distribution (Hedges
    1981, *J Educ Stat* 6:107; Cumming and Finch 2001, *Educ Psychol Meas* 61:532). `p_holm` is
    Holm's correction (1979, *Scand J Stat* 6:65) within a measure of a population, over its pairs of
    conditions; **all**: over all comparisons, which few assays have the replicates for.

    `outcome` says what a comparison is for. **primary**: the question that the assay was made for,
    named beforehand in `primary`, of targets where the measure has any. **control**: a pair with an
    effector-free condition, which says what dies unattacked and not what a treatment does.
    **exploratory**: all others; a small p among many of them is a hint, not a finding. Pairs with a
    control are corrected apart. With fewer than two replicates on a side there is no p-value.

    Examples
    --------
    >>> values = pd.DataFrame({"condition": ["vehicle"] * 3 + ["drug"] * 3})
    >>> values = values.assign(replicate=["a", "b", "c", "d", "e", "f"], value=[1.0, 2, 3, 5, 6, 7])
    >>> values = values.assign(measure="death_rate", population="CancerCell", unit="per h",
    ...     cluster=values["replicate"])
    >>> design = pd.DataFrame({"condition": ["vehicle", "drug"]})
    >>> tests = ReplicateTests()(replicate_summaries=values, design=design, reference="vehicle")
    >>> row = tests["comparisons"].iloc[0]
    >>> row["test"], float(row["difference"]), round(float(row["p"]), 4), row["outcome"]
    ('Welch t', 4.0, 0.008, 'exploratory')
    """

    version = 4

    test: Literal["auto", "student", "wilcoxon", "permutation"] = Field(
        default="auto", description="that gives `p`"
    )
    correct_over: Literal["measure", "all"] = Field(
        default="measure",
        description="Holm's correction within a measure over its pairs, or over all comparisons",
    )
    permutations: int = Field(default=9999, ge=99, description="where there are more than these")

    def run(
        self,
        replicate_summaries: TableOf[schemas.ReplicateSummaries],
        design: pd.DataFrame,
        reference: str | None = None,
        paired: bool | None = None,
        primary: Sequence[str] = (),
        populations: Mapping[str, str] | None = None,
    ) -> Compared:
        """Compare each condition with `reference`, in the order of `design`.

        None: with the untreated co-culture of its own E:T ratio, and those with each other, where the
        sheet tells several (`matched_references`); else every pair.

        `primary` names measures, `populations` says name -> role.

        Raises
        ------
        ConfigError
            If `primary` names a measure that there is not.
        """
        table, asked = replicate_summaries, reference
        for name in primary:
            if name not in (known := {*MEASURES, *table["measure"]}):
                raise ConfigError(f"comparison.primary: {unknown('measure', name, sorted(known))}")
        order = list(design["condition"].unique())
        matched = {} if asked is not None else matched_references(design)
        free = {name for name in order if effector_free(design, name)}
        rows = []
        for (measure, population, unit), whole in table.groupby(
            ["measure", "population", "unit"], sort=False
        ):
            if _constant(whole["value"]):
                continue
            here = {str(name): one for name, one in whole.groupby("condition")}
            names = [name for name in order if name in here]
            for first, second in combinations(names, 2):
                if not _asked_for(first, second, asked, matched, free):
                    continue
                turn = second == asked or matched.get(first) == second
                a, b = (second, first) if turn else (first, second)
                rows.append(
                    {"measure": measure, "population": population, "unit": unit}
                    | {"reference": a, "condition": b}
                    | self._compare(here[a], here[b], paired)
                )
        if not rows:
            return {"comparisons": schemas.empty(schemas.Comparisons)}
        found = pd.DataFrame(rows)
        found["outcome"] = _outcomes(found, design, primary, populations or {})
        family: Any = [found["outcome"] == "control"]
        if self.correct_over == "measure":
            family = ["measure", "population", *family]
        found["p_holm"] = found.groupby(family)["p"].transform(lambda p: holm(p.to_numpy(float)))
        return {"comparisons": schemas.conform(schemas.Comparisons, found)}

    def _compare(self, a: pd.DataFrame, b: pd.DataFrame, given: bool | None) -> dict[str, Any]:
        """One row's numbers."""
        by = "cluster" if given is None else "replicate"
        known = [each.dropna(subset="value") for each in (a, b)]
        x, y = (each.groupby(by, sort=False)["value"].mean().astype(float) for each in known)
        told = [each["statistic"] for each in (a, b) if "statistic" in each]
        said = pd.unique(pd.concat(told)) if told else []
        notes = [each[each.index(WHOLE_FILMS) + 2 :] for each in said if WHOLE_FILMS in each]
        if missing := len(a) + len(b) - sum(map(len, known)):
            notes.append(f"{missing} replicate{'s' * (missing > 1)} without a value")
        if sum(map(len, known)) > len(x) + len(y):
            notes.append("replicates of one experiment (donor) were averaged")
        both = x.index.intersection(y.index)
        paired = bool(given) or (
            given is None and len(both) > 0 and len(both) >= min(2, len(x), len(y))
        )
        if paired:
            if len(both) < max(len(x), len(y)):
                notes.append("replicates without a partner were left out")
            x, y = x[both], y[both]
        return {
            "paired": paired,
            **two_samples(x.to_numpy(), y.to_numpy(), paired, self.test, self.permutations, notes),
        }


def _asked_for(
    first: str, second: str, asked: str | None, matched: Mapping[str, str], free: set[str]
) -> bool:
    """Whether a pair of conditions is a question of this assay."""
    if asked is not None:
        return asked in (first, second)
    if not matched or free & {first, second}:
        return True
    references = set(matched.values())
    own = matched.get(first) == second or matched.get(second) == first
    return own or {first, second} <= references or not {first, second} <= {*matched, *references}


def _constant(values: pd.Series) -> bool:
    """Whether there are several values, all one: nothing can differ, and nothing is tested."""
    x = values.to_numpy(float)
    return len(x) > 1 and bool(np.ptp(x) <= 1e-12 * np.abs(x).max())  # false with nulls


def _outcomes(
    found: pd.DataFrame,
    design: pd.DataFrame,
    primary: Sequence[str],
    populations: Mapping[str, str],
) -> np.ndarray:
    """What each comparison is for: primary, exploratory or control (`ReplicateTests`)."""
    target = found["population"].map(dict(populations)).eq("target")
    of_targets = target.groupby(found["measure"]).transform("any")
    asked = found["measure"].isin(list(primary)) & (target | ~of_targets)
    free = [name for name in design["condition"].unique() if effector_free(design, name)]
    apart = found["reference"].isin(free) | found["condition"].isin(free)
    return np.select([apart, asked], ["control", "primary"], "exploratory")


def two_samples(
    x: np.ndarray,
    y: np.ndarray,
    paired: bool,
    test: str = "auto",
    permutations: int = 9999,
    notes: list[str] | None = None,
) -> dict[str, Any]:
    """Compare `y` with `x`, (n,) and (m,) values of replicates; paired: in the same order.

    Returns the columns of `schemas.Comparisons` from `n_reference` on, without `p_holm`.
    """
    from scipy import stats

    null = float("nan")
    notes = [*(notes or [])]
    row: dict[str, Any] = {
        "n_reference": len(x),
        "n_condition": len(y),
        "mean_reference": np.mean(x) if len(x) else null,
        "mean_condition": np.mean(y) if len(y) else null,
        **dict.fromkeys(("low", "high", "effect_size", "effect_low", "effect_high"), null),
        **dict.fromkeys(("p", "p_permutation", "smallest_p"), null),
        "test": "",
    }
    row["difference"] = row["mean_condition"] - row["mean_reference"]
    if min(len(x), len(y)) < 2:
        notes.append(
            f"{len(x)} and {len(y)} replicates where each condition needs two: no p-value; cells of "
            "one replicate are not independent and cannot stand in"
        )
        return row | {"note": "; ".join(notes)}
    row |= _permuted(x, y, paired, permutations)
    spread = np.std(y - x) if paired else max(np.std(x), np.std(y))
    # below rounding of the values themselves
    if spread <= 1e-12 * max(np.abs(x).max(), np.abs(y).max()):
        notes.append("no spread between replicates: no t test, no effect size")
        return row | {"note": "; ".join(notes)}
    done: Any = stats.ttest_rel(y, x) if paired else stats.ttest_ind(y, x, equal_var=False)
    limits = done.confidence_interval(LEVEL)
    row |= {"low": limits.low, "high": limits.high} | _effect(x, y, paired)
    name = "paired t" if paired else "Welch t"
    if test == "student" and not paired:
        done, name = stats.ttest_ind(y, x), "Student t"
    elif test == "wilcoxon" and paired:
        done, name = stats.wilcoxon(y, x), "Wilcoxon signed-rank"
    elif test == "wilcoxon":
        done, name = stats.mannwhitneyu(y, x), "Mann-Whitney"
    row |= {"p": float(done.pvalue), "test": name}
    if test == "permutation":
        row |= {"p": row["p_permutation"], "test": "permutation"}
    return row | {"note": "; ".join(notes)}


def _permuted(x: np.ndarray, y: np.ndarray, paired: bool, count: int) -> dict[str, float]:
    """Permutation's two-sided p for the difference of means, and the smallest it could be."""
    from scipy import stats

    def statistic(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(one, axis=axis) - np.mean(other, axis=axis)

    kind: Any = "samples" if paired else "independent"
    found = stats.permutation_test(
        (y, x),
        statistic,
        permutation_type=kind,
        vectorized=True,
        n_resamples=count,
        rng=np.random.default_rng(0),
    )
    ways = 2 ** len(x) if paired else comb(len(x) + len(y), len(x))
    # a random choice of relabellings counts the one observed, which scipy adds
    smallest = 2 / ways if ways <= count else 2 / (count + 1)
    return {"p_permutation": float(found.pvalue), "smallest_p": min(smallest, 1.0)}


def _effect(x: np.ndarray, y: np.ndarray, paired: bool) -> dict[str, float]:
    """Hedges' g of `y` against `x` with its limits."""
    if paired:
        change = y - x
        df, root = len(change) - 1, float(np.sqrt(1 / len(change)))
        d = float(np.mean(change) / np.std(change, ddof=1))
    else:
        df, root = len(x) + len(y) - 2, float(np.sqrt(1 / len(x) + 1 / len(y)))
        sum_of_squares = np.var(x) * len(x) + np.var(y) * len(y)
        d = float((np.mean(y) - np.mean(x)) / np.sqrt(sum_of_squares / df))
    log_factor = scipy.special.gammaln(df / 2) - scipy.special.gammaln((df - 1) / 2)
    factor = float(np.exp(log_factor) / np.sqrt(df / 2)) if df > 1 else float("nan")
    low, high = noncentrality(d / root, df)
    return {
        "effect_size": factor * d,
        "effect_low": factor * low * root,
        "effect_high": factor * high * root,
    }


def noncentrality(t: float, df: int) -> tuple[float, float]:
    """Limits of the noncentrality that could have given `t`."""
    reach = 10 + 10 * abs(t)

    def limit(share: float) -> float:
        def excess(nc: float) -> float:
            below = float(scipy.special.nctdtr(df, nc, t))
            # far out, where it is 1 or 0, scipy's distribution has holes
            return (float(nc < t) if np.isnan(below) else below) - share

        try:
            return float(scipy.optimize.brentq(excess, t - reach, t + reach))
        except ValueError:  # beyond what the distribution can be computed for
            return float("nan")

    return limit(0.5 + LEVEL / 2), limit(0.5 - LEVEL / 2)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values; nulls stay null and do not count."""
    found = np.full(len(p), np.nan)
    some = np.flatnonzero(~np.isnan(p))
    order = some[np.argsort(p[some], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return found
