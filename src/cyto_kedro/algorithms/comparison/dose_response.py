"""Dose-response and E:T curves: values by replicate, four-parameter logistic fits with limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd
import scipy
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.comparison.design import ALL
from cyto_kedro.schemas import TableOf

LEVEL = 0.95
FEWEST = 5  # distinct doses: four parameters, and one to be wrong about
PARAMETERS = ("at_zero", "at_infinity", "ec50", "hill")


class Responses(TypedDict):
    """Points of the curves, and their fits."""

    dose_values: TableOf[schemas.DoseValues]
    dose_fits: TableOf[schemas.DoseFits]


@dataclass(frozen=True)
class LogisticFit:
    """Estimates of `PARAMETERS`, their standard errors and limits (NaN where unknown)."""

    estimate: np.ndarray
    se: np.ndarray
    low: np.ndarray
    high: np.ndarray
    df: int
    note: str = ""


class DoseResponse(Algorithm):
    """How the response depends on the dose, and on the ratio of effectors to targets.

    Notes
    -----
    The response is the field's specific killing at the end, where the sheet names an effector-free
    control, else its living targets in percent of the start. Fields of one replicate at one dose and E:T
    ratio are averaged. A curve is of one `treatment` (column of the sheet) and one E:T ratio over
    `dose`, or of one dose over `et_ratio`; dose 0 belongs to every treatment.

    Four-parameter logistic (drc's LL.4; Ritz et al. 2015, *PLoS ONE* 10:e0146021):
    y = at_infinity + (at_zero - at_infinity) / (1 + (x / ec50)^hill), by least squares, with hill > 0;
    x = 0 is as it stands. Limits of one replicate's fit are Student's t with n - 4 degrees (of `ec50`
    and `hill` on the log scale). Of all replicates (``(all)``) they come from the replicates' own
    estimates, since points of one donor are not independent: mean and t limits, of `ec50` and `hill` on
    the log scale. With fewer than two fits the points of all are fitted together, and `limits_from`
    is ``points``: too narrow where points of a replicate belong together. No fit with fewer than five
    doses, nor where EC50 would lie more than tenfold outside of them.

    Examples
    --------
    >>> dose = [0.0, 1, 3, 10, 30, 100]
    >>> killed = [90 * x / (x + 10) for x in dose]
    >>> rows = pd.DataFrame({"fov": list("abcdef"), "dose": dose, "specific_killing": killed})
    >>> rows = rows.assign(population="CancerCell", condition="drug", replicate="1", cluster="1",
    ...     treatment="drug", et_ratio=5.0, live_percent=50.0)
    >>> fits = DoseResponse()(field_killing=schemas.filled(schemas.FieldKilling, rows))["dose_fits"]
    >>> fits[["ec50", "hill", "at_infinity"]].iloc[0].round(3).tolist()
    [10.0, 1.0, 90.0]
    """

    measure: Literal["specific_killing", "live_percent"] | None = Field(
        default=None, description="null: specific_killing where it is known, else live_percent"
    )

    def run(
        self, field_killing: TableOf[schemas.FieldKilling], design: pd.DataFrame | None = None
    ) -> Responses:
        """Fit every curve that the fields tell; `design` says the unit of dose (`dose_unit`)."""
        measure = self.measure
        if measure is None:
            known = field_killing["specific_killing"].notna().any()
            measure = "specific_killing" if known else "live_percent"
        unit = ""
        if design is not None and "dose_unit" in design:
            units = [str(each) for each in design["dose_unit"].dropna().unique()]
            unit = units[0] if len(units) == 1 else ""
        values: list[pd.DataFrame] = []
        fits: list[dict[str, Any]] = []
        for about, rows in _curves(field_killing.dropna(subset=measure)):
            about |= {"measure": measure, "unit": unit if about["against"] == "dose" else ""}
            key = ["replicate", "cluster", "x"]
            points = rows.groupby(key, sort=True)[measure].agg(["mean", "size"]).reset_index()
            points = points.rename(columns={"mean": "value", "size": "n_fovs"})
            values.append(points.assign(**about))
            several = rows.groupby("x")["condition"].nunique()
            mixed = [f"{x:g}" for x in several.index[several > 1]]
            note = f"several conditions at {', '.join(mixed)}: a column treatment tells them apart"
            fits += _fits(points, about, note if mixed else "")
        return {
            "dose_values": _table(schemas.DoseValues, pd.concat(values) if values else None),
            "dose_fits": _table(schemas.DoseFits, pd.DataFrame(fits) if fits else None),
        }


def _table(table: Any, rows: pd.DataFrame | None) -> Any:
    return schemas.empty(table) if rows is None else schemas.conform(table, rows)


def _curves(fields: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """What each curve is of, and its fields with `x`; at least two different x."""
    fields = fields[~(fields["et_ratio"] == 0)]  # without effectors there is nothing to respond
    for against, other in (("dose", "et_ratio"), ("et_ratio", "dose")):
        told = fields[fields[against].notna()].assign(x=fields[against], at=fields[other])
        for population, one in told.groupby("population"):
            named = [name for name in one.loc[one["dose"] != 0, "treatment"].unique() if name]
            for treatment in named or [""]:
                mine = one
                if named:
                    mine = one[(one["treatment"] == treatment) | (one["dose"] == 0)]
                for _, rows in mine.groupby("at", dropna=False):  # null: not stated
                    if rows["x"].nunique() < 2:
                        continue
                    yield (
                        {
                            "against": against,
                            "population": population,
                            "treatment": treatment,
                            "at": float(rows["at"].iloc[0]),
                        },
                        rows,
                    )


def _fits(points: pd.DataFrame, about: dict[str, Any], note: str) -> Iterator[dict[str, Any]]:
    """Rows of `schemas.DoseFits`: each replicate's, then all replicates'."""
    made = []
    replicates = list(points.groupby(["replicate", "cluster"], sort=False))
    for (replicate, _), one in replicates:
        fit = fit_logistic(one["x"].to_numpy(float), one["value"].to_numpy(float))
        made.append(fit)
        yield _row(fit, one, {**about, "replicate": replicate}, "points", note)
    good = [fit.estimate for fit in made if np.isfinite(fit.estimate).all()]
    if len(good) >= 2:
        yield _row(
            _mean_fit(np.array(good)), points, {**about, "replicate": ALL}, "replicates", note
        )
    else:
        fit = fit_logistic(points["x"].to_numpy(float), points["value"].to_numpy(float))
        yield _row(fit, points, {**about, "replicate": ALL}, "points", note)


def _row(
    fit: LogisticFit, points: pd.DataFrame, about: dict[str, Any], source: str, note: str
) -> dict[str, Any]:
    row: dict[str, Any] = {**about, "limits_from": source, "df": float(fit.df)}
    for i, name in enumerate(PARAMETERS):
        row |= {name: fit.estimate[i], f"{name}_low": fit.low[i], f"{name}_high": fit.high[i]}
        row[f"{name}_se"] = fit.se[i]
    x = points["x"].to_numpy(float)
    notes = [fit.note, note]
    positive = x[x > 0]
    if np.isfinite(fit.estimate[2]) and not positive.min() <= fit.estimate[2] <= positive.max():
        notes.append("EC50 lies outside the doses given: it is extrapolated")
    counts = {
        "n_points": len(points),
        "n_doses": len(np.unique(x)),
        "n_replicates": points["cluster"].nunique(),
    }
    return row | counts | {"note": "; ".join(each for each in notes if each)}


def logistic(
    x: np.ndarray, at_zero: float, at_infinity: float, log_ec50: float, log_hill: float
) -> np.ndarray:
    """The four-parameter logistic at doses `x` (0 too)."""
    with np.errstate(divide="ignore"):
        above = np.exp(log_hill) * (np.log(x) - log_ec50)
    return at_zero + (at_infinity - at_zero) * scipy.special.expit(above)


def fit_logistic(x: np.ndarray, y: np.ndarray) -> LogisticFit:
    """Least squares of the four-parameter logistic; `x` doses, `y` responses, both (n,).

    Without a fit all numbers are null, and `note` says why.
    """
    import warnings

    from scipy import optimize

    null = np.full(4, np.nan)
    doses = np.unique(x)
    if len(doses) < FEWEST:
        note = f"{len(doses)} doses where {FEWEST} are needed for four parameters: no fit"
        return LogisticFit(null, null, null, null, 0, note)
    means = np.array([y[x == dose].mean() for dose in doses])
    if np.ptp(means) <= 1e-12 * max(np.abs(means).max(), 1e-300):
        return LogisticFit(
            null, null, null, null, 0, "the response is the same at all doses: no fit"
        )
    positive = np.log(doses[doses > 0])
    half = (means[0] + means[-1]) / 2
    near = doses[np.argmin(np.abs(means - half) + np.where(doses > 0, 0, np.inf))]
    best: Any = None
    for middle in (np.log(near), positive.mean()):
        for steep in (0.0, 1.0):
            start = (means[0], means[-1], middle, steep)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", optimize.OptimizeWarning)  # said in `note`
                    found = optimize.curve_fit(logistic, x, y, start, method="lm", maxfev=5000)
            except (RuntimeError, ValueError):
                continue
            squares = float(np.sum((y - logistic(x, *found[0])) ** 2))
            if best is None or squares < best[0] - 1e-12:
                best = (squares, *found)
    if best is None:
        return LogisticFit(null, null, null, null, 0, "the fit did not converge")
    _, raw, covariance = best
    far = np.log(10.0)
    if not positive.min() - far <= raw[2] <= positive.max() + far or not np.isfinite(raw).all():
        note = "the response does not turn within the doses: they do not tell the EC50, no fit"
        return LogisticFit(null, null, null, null, 0, note)
    estimate = np.array([raw[0], raw[1], np.exp(raw[2]), np.exp(raw[3])])
    df = len(x) - 4
    spread = np.sqrt(np.diag(covariance)) if df > 0 else null
    if not np.isfinite(spread).all():
        note = (
            "too few points for limits" if df <= 0 else "the doses do not tell the parameters apart"
        )
        return LogisticFit(estimate, null, null, null, df, note)
    return _limited(raw, spread, df)


def _limited(raw: np.ndarray, spread: np.ndarray, df: int) -> LogisticFit:
    """The fit of `raw` parameters (the last two logs) with standard errors `spread`."""
    half = scipy.special.stdtrit(df, 0.5 + LEVEL / 2) * spread

    def natural(values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.concatenate([values[:2], np.exp(values[2:])])

    estimate = natural(raw)
    scale = np.concatenate([np.ones(2), estimate[2:]])
    return LogisticFit(estimate, scale * spread, natural(raw - half), natural(raw + half), df)


def _mean_fit(estimates: np.ndarray) -> LogisticFit:
    """Mean of replicates' estimates (n, 4), and limits from how they differ."""
    raw = np.column_stack([estimates[:, :2], np.log(estimates[:, 2:])])
    n = len(raw)
    return _limited(raw.mean(axis=0), raw.std(axis=0, ddof=1) / np.sqrt(n), n - 1)
