"""Figures of the answer: the primary outcome, living targets over time, dose response, the plate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.design import ALL
from cyto_kedro.algorithms.comparison.dose_response import logistic
from cyto_kedro.algorithms.reporting.captions import FIGURES as WORDS
from cyto_kedro.algorithms.reporting.effect_figures import MOST as MOST_EFFECTS
from cyto_kedro.algorithms.reporting.effect_figures import draw_effects, effect_rows
from cyto_kedro.algorithms.reporting.findings import number, plain
from cyto_kedro.algorithms.reporting.plots import FEW, Drawing, Drawn, Sheet, count, in_words, short
from cyto_kedro.core.groups import condition_order
from cyto_kedro.core.style import FAINT, INK, STROKES, colours, figure, say, strokes, styled
from cyto_kedro.core.units import three_digits
from cyto_kedro.schemas import TableOf, or_empty

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ANSWER = ("primary", "live_targets", "dose_response", "plates")
MOST = 14  # conditions, or comparisons, in one figure


class AnswerFigures(Drawing):
    """What the assay was made for, in five figures; one that has nothing to show says why.

    Examples
    --------
    >>> rows = {"condition": "T cells", "population": "CancerCell", "replicate": "D1", "cluster": "D1"}
    >>> curve = schemas.filled(schemas.KillingCurves, pd.DataFrame({**rows, "time_min": [0.0, 60],
    ...     "n_live": [10.0, 5], "live_percent": [100.0, 50]}))
    >>> drawn = AnswerFigures(dpi=50)(killing_curves=curve)["figures"]
    >>> [name for name, picture in drawn.items() if picture.alt]
    ['live_targets']
    """

    version: ClassVar[int] = 4  # doses in grey

    def run(
        self,
        killing_curves: TableOf[schemas.KillingCurves] | None = None,
        field_killing: TableOf[schemas.FieldKilling] | None = None,
        dose_values: TableOf[schemas.DoseValues] | None = None,
        dose_fits: TableOf[schemas.DoseFits] | None = None,
        comparisons: TableOf[schemas.Comparisons] | None = None,
        replicate_summaries: TableOf[schemas.ReplicateSummaries] | None = None,
        sample_sheet: Sheet = None,
    ) -> Drawn:
        """Draw ``primary``, ``live_targets``, ``dose_response``, ``plates`` and ``effects``."""
        curves = or_empty(killing_curves, schemas.KillingCurves)
        fields = or_empty(field_killing, schemas.FieldKilling)
        points = or_empty(dose_values, schemas.DoseValues)
        fits = or_empty(dose_fits, schemas.DoseFits)
        tests = or_empty(comparisons, schemas.Comparisons)
        values = or_empty(replicate_summaries, schemas.ReplicateSummaries)
        shown, effects = primary_values(tests, values), effect_rows(tests, values)
        made = {
            "primary": draw_primary(shown, tests, sample_sheet),
            "live_targets": draw_live(curves, sample_sheet),
            "dose_response": draw_responses(points, fits),
            "plates": draw_plates(fields),
            "effects": draw_effects(effects),
        }
        numbers = {"primary": shown, "live_targets": curves, "dose_response": points}
        drawn = self.finished(made, {**numbers, "plates": fields, "effects": effects})["figures"]
        if len(effects) > MOST_EFFECTS:
            more = f" The first {MOST_EFFECTS} of {len(effects)} are shown; the table has all."
            forest = drawn["effects"]
            drawn = {**drawn, "effects": replace(forest, caption=forest.caption + more)}
        return {"figures": drawn}


def primary_values(tests: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Replicates' values of the first primary measure; without one, of survival."""
    outcome = tests.get("outcome", pd.Series("", tests.index))
    first = tests[outcome == "primary"]
    if first.empty:
        first = values[values["measure"] == "survival"]
    if first.empty:
        return values.iloc[:0]
    of = first.iloc[0]
    same = (values["measure"] == of["measure"]) & (values["population"] == of["population"])
    return values[same & values["value"].notna()].reset_index(drop=True)


def draw_primary(values: pd.DataFrame, tests: pd.DataFrame, sheet: Sheet) -> Figure:
    """Left each replicate's value by condition, right differences to the reference with intervals."""
    title = WORDS["primary"][0]
    if values.empty:
        return in_words(title, "No condition has a value of the primary outcome.")
    conditions = condition_order(sheet, values["condition"])[:MOST]
    measure, population, unit = values.iloc[0][["measure", "population", "unit"]]
    outcome = tests.get("outcome", pd.Series("exploratory", tests.index))
    same = (tests["measure"] == measure) & (tests["population"] == population)
    pairs = tests[same & (outcome != "control")]
    pairs = pairs.reindex(pairs["difference"].abs().sort_values(ascending=False).index).head(MOST)
    hues = colours(condition_order(sheet, values["condition"]))
    with styled():
        fig = figure(9.0, 1.5 + 0.5 * max(len(conditions), len(pairs)))
        left, right = fig.subplots(1, 2)
        left.set(title=f"{plain(measure).capitalize()} of {short(population, 20)}")
        left.set_xlabel(unit or measure)
        spots: dict[str, list[tuple[float, int]]] = {}
        for at, condition in enumerate(conditions):
            look: dict[str, Any] = {"color": hues[condition], "mec": "white"}
            units = values[values["condition"] == condition].groupby("cluster", sort=False)
            for cluster, wells in units:
                value = float(wells["value"].mean())
                n = f"({wells['n_cells'].sum()} cells, {count(wells['n_fovs'].sum(), 'field')})"
                said = f"{condition}, {unit_name(wells)}: {number(value)} {unit} {n}"
                if len(wells) > 1:  # wells of one donor, of which it is the mean
                    left.plot(wells["value"], [at] * len(wells), "o", alpha=0.35, ms=4, **look)
                left.plot(value, at, "o", alpha=0.9, ms=8, gid=say(said), **look)
                spots.setdefault(str(cluster), []).append((value, at))
            left.plot([units["value"].mean().mean()] * 2, [at - 0.3, at + 0.3], color=INK, lw=1.6)
        for joined in spots.values():  # one experiment in several conditions
            if len(joined) > 1:
                left.plot(*zip(*joined, strict=True), color=FAINT, lw=0.6, zorder=0)
        left.set_yticks(range(len(conditions)), [_counted(name, values) for name in conditions])
        left.set_ylim(len(conditions) - 0.5, -0.5)
        if unit == "share":
            left.set_xlim(-0.03, 1.03)
        right.set(title="Difference (95 % interval)", xlabel=unit or measure)
        right.axvline(0, color=INK, lw=0.9)
        names = []
        for at, row in enumerate(pairs.to_dict("records")):
            hue, tested = hues[row["condition"]], np.isfinite(row["p_holm"])
            p = f"p = {number(float(row['p_holm']))}" if tested else "no p-value"
            limits = f"{number(float(row['low']))} to {number(float(row['high']))}"
            said = f"{row['condition']} against {row['reference']}: "
            said += f"{number(float(row['difference']))} {unit} ({limits}); {p}; {row['test']}"
            right.plot([row["low"], row["high"]], [at, at], color=hue, lw=2.6)
            right.plot(row["difference"], at, "D", color=hue, ms=7, gid=say(said))
            names.append(f"{short(row['condition'], 20)}\nvs {short(row['reference'], 20)}")
            n = f"n = {row['n_condition']} / {row['n_reference']} replicates"
            place = right.get_yaxis_transform()
            right.text(1.01, at, f"{p}\n{n}", transform=place, va="center", fontsize=8.5)
        right.set_yticks(range(len(pairs)), names, fontsize=9)
        right.set_ylim(max(len(pairs), 1) - 0.5, -0.5)
        for ax in (left, right):
            ax.tick_params(axis="y", length=0)
        if pairs.empty:
            right.set_axis_off()
    return fig


def unit_name(rows: pd.DataFrame) -> str:
    """What an independent replicate is called: its own name, or its donor's where it has several."""
    names = rows["replicate"].unique()
    return str(names[0] if len(names) == 1 else rows["cluster"].iloc[0])


def _counted(condition: str, values: pd.DataFrame) -> str:
    mine = values[values["condition"] == condition]
    n = f"{int(mine['n_cells'].sum())} cells, {count(mine['cluster'].nunique(), 'replicate')}"
    return f"{short(condition, 22)}\n{n}"


def draw_live(curves: pd.DataFrame, sheet: Sheet) -> Figure:
    """Living targets in percent of the start, and specific killing where a control tells it."""
    title = WORDS["live_targets"][0]
    if curves.empty or curves["live_percent"].notna().sum() < 2:
        return in_words(title, "No living target was seen in the first frame.")
    unit = "min" if curves["time_min"].notna().any() else "frames"
    curves = curves.assign(time=curves[f"time_{unit}"])
    curves = curves[curves["population"] == curves["population"].iloc[0]]
    conditions = condition_order(sheet, curves["condition"])
    hues, lines = colours(conditions), strokes(conditions)
    faint = 0.7 if len(conditions) <= FEW else 0.3
    panels = {"live_percent": "Living targets (% of start)"}
    if curves["specific_killing"].notna().any():
        panels["specific_killing"] = "Specific killing (%)"
    with styled():
        fig = figure(4.5 * len(panels), 3.6 + 0.2 * -(-min(len(conditions), MOST) // 2))
        axes = np.atleast_1d(fig.subplots(1, len(panels)))
        for ax, (column, head) in zip(axes, panels.items(), strict=True):
            ax.set(title=head, xlabel=f"time since the start ({unit})")
            ax.axhline(100 if column == "live_percent" else 0, color=FAINT, lw=0.7)
            for condition in conditions:
                mine = curves[(curves["condition"] == condition) & curves[column].notna()]
                if mine.empty:
                    continue
                each = []
                for _, one in mine.groupby("cluster", sort=False):
                    wells = [well for _, well in one.groupby("replicate", sort=False)]
                    curve = mean_curve([well.set_index("time")[column] for well in wells])
                    if curve.empty:
                        continue
                    each.append(curve)
                    n = sum(well["n_live"].iloc[0] for well in wells)
                    said = f"{condition}, {unit_name(one)}: {number(float(curve.iloc[-1]))} % at "
                    said += f"{three_digits(curve.index[-1])} {unit}, {n:g} targets at the start"
                    look: dict[str, Any] = {"color": hues[condition], "gid": say(said)}
                    ax.plot(curve.index, curve, lw=0.8, alpha=faint, **look)
                n = int(mine.groupby("replicate", sort=False)["n_live"].first().sum())
                label = (
                    f"{short(condition, 28)}  (n = {n} targets, {count(len(each), 'replicate')})"
                )
                mean = mean_curve(each)
                look = {"color": hues[condition], "ls": lines[condition], "gid": say(label)}
                ax.plot(mean.index, mean, lw=2.4, label=label, **look)
        names = axes[0].get_legend_handles_labels()
        fig.legend(*names, loc="outside lower left", ncols=2, handlelength=3.0)
    return fig


def mean_curve(curves: Sequence[pd.Series]) -> pd.Series:
    """Mean of curves (value by time), interpolated, while all of them last."""
    if len(curves) < 2:
        return curves[0] if curves else pd.Series(dtype=float)
    times = np.unique(np.concatenate([one.index.to_numpy(float) for one in curves]))
    each = [np.interp(times, one.index, one, left=np.nan, right=np.nan) for one in curves]
    return pd.Series(np.mean(each, axis=0), index=times).dropna()


def draw_responses(points: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    """Points of replicates over dose and E:T ratio, with the fitted curve where there is one."""
    title = WORDS["dose_response"][0]
    panels = [name for name in ("dose", "et_ratio") if (points["against"] == name).any()]
    if not panels:
        why = "Neither several doses nor several E:T ratios in the sample sheet (dose, et_ratio)."
        return in_words(title, why)
    with styled():
        fig = figure(max(4.5 * len(panels), 6.5), 3.8)
        for ax, against in zip(np.atleast_1d(fig.subplots(1, len(panels))), panels, strict=True):
            mine = points[points["against"] == against]
            unit = mine["unit"].iloc[0]
            head = "Dose" if against == "dose" else "Effectors per target"
            measure = plain(mine["measure"].iloc[0])
            ax.set(
                xlabel=head + (f" ({unit})" if unit else ""), ylabel=f"{measure} (%)", title=head
            )
            positive = mine.loc[mine["x"] > 0, "x"]
            zero = float(positive.min()) / 3 if len(positive) else 1.0  # where 0 is drawn
            ax.set_xscale("log")
            series = list(mine.groupby(["population", "treatment", "at"], dropna=False, sort=True))
            for k, (key, one) in enumerate(series[:8]):
                # hues are of conditions, and a series is of several
                hue, name = (INK, FAINT)[k // 4 % 2], _series(key, against)
                line: dict[str, Any] = {"color": hue, "ls": STROKES[k % 4], "lw": 1.6}
                for row in one.to_dict("records"):
                    said = f"{name}, {row['replicate']}: {number(float(row['value']))} % at "
                    said += f"{row['x']:g} {unit} ({count(row['n_fovs'], 'field')})"
                    look: dict[str, Any] = {"color": hue, "alpha": 0.7, "gid": say(said)}
                    ax.plot(max(row["x"], zero), row["value"], "os^D"[k % 4], ms=5, **look)
                mean = one.groupby("x")["value"].mean()
                fit = _fit_of(fits, against, key)
                if fit is None:
                    ax.plot(np.maximum(mean.index, zero), mean, label=name, **line)
                    continue
                grid = np.geomspace(zero, float(positive.max()), 200)
                raw = (fit["at_zero"], fit["at_infinity"], np.log(fit["ec50"]), np.log(fit["hill"]))
                said = f"{name}: EC50 {number(float(fit['ec50']))} {unit}"
                if np.isfinite(fit["ec50_low"]):
                    said += (
                        f" ({number(float(fit['ec50_low']))} to {number(float(fit['ec50_high']))})"
                    )
                ax.plot(grid, logistic(grid, *raw), label=said, gid=say(said), **line)
            if (mine["x"] == 0).any():
                ax.axvline(zero, color=FAINT, lw=0.6, ls=":")
            given = np.unique(np.maximum(mine["x"], zero))
            ax.set_xticks(given, ["0" if x == zero else f"{x:g}" for x in given])
            ax.minorticks_off()
            below: Any = {"loc": "upper left", "bbox_to_anchor": (0, -0.22), "borderaxespad": 0}
            ax.legend(fontsize=9, **below)  # never over a curve
    return fig


def _series(key: tuple[Any, ...], against: str) -> str:
    population, treatment, at = key
    parts = [short(treatment or population, 20)]
    if np.isfinite(at):
        parts.append(f"E:T {at:g}" if against == "dose" else f"dose {at:g}")
    return ", ".join(parts)


def _fit_of(fits: pd.DataFrame, against: str, key: tuple[Any, ...]) -> Any:
    population, treatment, at = key
    same = (fits["against"] == against) & (fits["population"] == population)
    same &= (fits["treatment"] == treatment) & (fits["replicate"] == ALL)
    same &= fits["at"].isna() if np.isnan(at) else fits["at"] == at
    found = fits[same & fits["ec50"].notna()]
    return found.iloc[0] if len(found) else None


def well_place(well: str) -> tuple[int, int] | None:
    """Row and column of a well, from 0: ``B03`` is (1, 2); None for what names no well."""
    found = re.fullmatch(r"([A-P])0?(\d{1,2})", well.strip().upper())
    return (ord(found[1]) - ord("A"), int(found[2]) - 1) if found else None


def draw_plates(fields: pd.DataFrame) -> Figure:
    """Each well's value at its place: what depends on the place is no treatment's effect."""
    title = WORDS["plates"][0]
    named = fields[fields["well"].map(well_place).notna()]
    if named.empty:
        return in_words(title, "No wells (B03) in the sample sheet's column well.")
    measure = "specific_killing" if named["specific_killing"].notna().any() else "live_percent"
    wells = named.groupby(["plate", "well"])[measure].mean().reset_index()
    places = wells["well"].map(well_place)
    shape = (
        (8, 12) if max(p[0] for p in places) < 8 and max(p[1] for p in places) < 12 else (16, 24)
    )
    plates = list(wells["plate"].unique())[:6]
    limits = wells[measure].min(), wells[measure].max()
    conditions = named.groupby(["plate", "well"])["condition"].first()
    columns = min(len(plates), 2)
    with styled():
        fig = figure(6.4 * columns, 4.2 * -(-len(plates) // columns))
        axes = np.atleast_1d(fig.subplots(-(-len(plates) // columns), columns)).ravel()
        image: Any = None
        for ax, plate in zip(axes, plates, strict=False):
            grid = np.full(shape, np.nan)
            for well, value in wells.loc[wells["plate"] == plate, ["well", measure]].to_numpy():
                row, column = well_place(well) or (0, 0)
                grid[row, column] = value
                said = f"{plate} {well}, {conditions[plate, well]}: {number(float(value))} %"
                ax.plot(column, row, "s", ms=13, alpha=0.0, gid=say(said))
            image = ax.imshow(grid, cmap="viridis", vmin=limits[0], vmax=limits[1], aspect="equal")
            ax.set(title=f"Plate {plate}" if plate else "Plate")
            ax.set_xticks(range(shape[1]), [str(i + 1) for i in range(shape[1])], fontsize=8)
            ax.set_yticks(range(shape[0]), [chr(65 + i) for i in range(shape[0])], fontsize=8)
            ax.spines[:].set_visible(True)
        for ax in axes[len(plates) :]:
            ax.set_axis_off()
        fig.colorbar(image, ax=list(axes[: len(plates)]), shrink=0.8, label=f"{plain(measure)} (%)")
    return fig
