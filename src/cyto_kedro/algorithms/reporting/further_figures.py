"""Figures of the further analyses: mean squared displacement, and curves of all that have an axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.reporting.motion_figures import draw_msd, msd_curves
from cyto_kedro.algorithms.reporting.plots import Drawing, Drawn, Sheet, count, in_words, short
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.groups import condition_order, known, with_condition
from cyto_kedro.core.style import colours, figure, say, strokes, styled
from cyto_kedro.schemas import Msd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACROSS = 3  # panels beside each other


class FurtherFigures(Drawing):
    """What the further analyses found, by condition.

    Inputs are `schemas.Msd` and, by name, the tables of `CURVES`, each in parts (a field at a time):
    a part is averaged at once, so that no table of the whole assay is held.

    Examples
    --------
    >>> from cyto_kedro.schemas import DeathIndexes, empty, filled
    >>> dead = filled(DeathIndexes, {"fov": "A1", "frame": [0, 1], "death_index": [0.0, 0.2]})
    >>> drawn = FurtherFigures(dpi=50)(
    ...     msd=empty(Msd), further={"death_index": [dead]}, roles={"CancerCell": "target"})
    >>> sorted(drawn["figures"])
    ['further', 'msd']
    """

    def run(
        self,
        msd: TableOf[Msd],
        further: Mapping[str, Iterable[pd.DataFrame]],
        roles: Mapping[str, str],
        sample_sheet: Sheet = None,
    ) -> Drawn:
        """Draw `msd` and the curves of the tables in `further`."""
        curves: dict[Curve, list[pd.DataFrame]] = {each: [] for each in CURVES}
        for name, parts in further.items():
            mine = [curve for curve in CURVES if curve.table == name]
            for part in parts:
                for curve in mine:
                    curves[curve].append(curve.means(part))
        displaced, units = msd_curves(msd, sample_sheet)
        made = {
            "msd": draw_msd(displaced, units, sample_sheet, roles),
            "further": draw_curves(curves, sample_sheet),
        }
        means = [one.assign(curve=each.title) for each, parts in curves.items() for one in parts]
        numbers = {"msd": displaced.assign(msd_unit=units[0], lag_unit=units[1])}
        if means:
            numbers["further"] = pd.concat(means, ignore_index=True).drop(columns="uncalibrated")
        return self.finished(made, numbers)


@dataclass(frozen=True)
class Curve:
    """A column of a table over time, lag or distance, a panel for each value of `facets`."""

    table: str
    title: str
    #: x, y: columns with their axes' labels, the first of which all values are known is drawn
    x: tuple[tuple[str, str], ...]
    y: tuple[tuple[str, str], ...]
    facets: tuple[str, ...] = ()
    #: whether x is taken off y (Ripley's L against chance)
    minus: bool = False

    def means(self, part: pd.DataFrame) -> pd.DataFrame:
        """``fov, facet, axis, x, y``: the mean of y at each x in each field."""
        (x, over), (y, label) = _known(part, self.x), _known(part, self.y)
        value = part[y].astype(float) - (part[x].astype(float) if self.minus else 0.0)
        facet: Any = ""
        for name in self.facets:
            facet = part[name].astype(str) if isinstance(facet, str) else facet + " → " + part[name]
        found = part[["fov"]].assign(facet=facet, x=part[x].astype(float), y=value)
        means = found.groupby(["fov", "facet", "x"])["y"].mean().reset_index()
        rank = (x, y) != (self.x[0][0], self.y[0][0])
        return means.dropna(subset=["y"]).assign(axis=f"{over}\n{label}", uncalibrated=rank)


def _known(part: pd.DataFrame, columns: Sequence[tuple[str, str]]) -> tuple[str, str]:
    return next((each for each in columns if known(part[each[0]])), columns[-1])


_TIME = (("time_min", "time (min)"), ("frame", "frame"))
_SPREAD = (("spread", "entropy (1: even)"),)
_MIXING = (("mixing", "entropy (1: mixed)"),)
CURVES = (
    Curve(
        "velocity_autocorrelation",
        "Persistence",
        (("lag_min", "lag (min)"), ("lag", "lag (frames)")),
        (("normalised", "autocorrelation of velocity"),),
        ("population",),
    ),
    Curve(
        "death_index", "Dead cells", _TIME, (("death_index", "dead of all cells"),), ("population",)
    ),
    Curve(
        "conjugation",
        "Effectors in contact",
        _TIME,
        (("effector_contact_share", "of all effectors"),),
    ),
    Curve(
        "conjugation", "Targets in contact", _TIME, (("target_contact_share", "of all targets"),)
    ),
    Curve("clusters", "Size of clusters", _TIME, (("n_cells", "cells in a cluster (mean)"),)),
    Curve(
        "cell_density",
        "Density around a cell",
        (("frame", "frame"),),
        (("density_per_mm2", "cells per mm²"), ("density_per_px2", "cells per px²")),
        ("population", "of_population"),
    ),
    Curve(
        "spatial_statistics",
        "Clustering (Ripley's L)",
        (("radius_um", "radius (µm)"), ("radius_px", "radius (px)")),
        (("l_um", "L - radius (µm)"), ("l_px", "L - radius (px)")),
        ("population_a", "population_b"),
        minus=True,
    ),
    Curve("organisation", "Spread over the field", _TIME, _SPREAD, ("population",)),
    Curve("organisation", "Mixed with others", _TIME, _MIXING, ("population",)),
)


def draw_curves(curves: Mapping[Curve, list[pd.DataFrame]], sample_sheet: Sheet) -> Figure:
    """A panel per curve and facet: thin each field, thick the mean of a condition's fields."""
    panels = [
        (f"{curve.title}\n{short(str(facet), 40)}".rstrip(), rows)
        for curve, parts in curves.items()
        if (filled := [part for part in parts if len(part)])
        for facet, rows in _alike(pd.concat(filled)).groupby("facet", sort=False)
    ]
    if not panels:
        return in_words("Further analyses", "No table holds a row to draw.")
    panels = [(title, with_condition(rows, sample_sheet)) for title, rows in panels]
    rows = pd.concat([each for _, each in panels])
    conditions = condition_order(sample_sheet, rows["condition"])
    hues, lines = colours(conditions), strokes(conditions)
    with styled():
        down = ceil(len(panels) / ACROSS)
        fig = figure(4.1 * ACROSS, 3.4 * down + 0.25 * len(conditions))
        axes: Any = fig.subplots(down, ACROSS, squeeze=False).ravel()
        for ax in axes[len(panels) :]:
            ax.axis("off")
        for ax, (title, mine) in zip(axes, panels, strict=False):
            xlabel, ylabel = mine["axis"].iloc[0].split("\n")
            ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
            for condition, here in mine.groupby("condition"):
                name = str(condition)
                for fov, one in here.groupby("fov"):
                    said = say(f"{name}, {fov}")
                    ax.plot(one["x"], one["y"], color=hues[name], lw=0.7, alpha=0.5, gid=said)
                mean, said = _mean(here), say(f"{name}: mean of the fields")
                ax.plot(mean.index, mean, color=hues[name], ls=lines[name], gid=said)
        for condition in conditions:
            n = rows.loc[rows["condition"] == condition, "fov"].nunique()
            label = f"{short(condition, 28)}  ({count(n, 'field')})"
            axes[0].plot([], [], color=hues[condition], ls=lines[condition], label=label)
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", handlelength=3.2)
    return fig


def _alike(rows: pd.DataFrame) -> pd.DataFrame:
    """Fields on one axis: those without calibration are left out where others have it."""
    return rows if rows["uncalibrated"].all() else rows[~rows["uncalibrated"]]


def _mean(rows: pd.DataFrame) -> pd.Series:
    """Mean of a condition's fields where all of them are known, each counting once."""
    fields = [one.set_index("x")["y"].sort_index() for _, one in rows.groupby("fov")]
    first, last = max(f.index.min() for f in fields), min(f.index.max() for f in fields)
    at = max(fields, key=len).index.to_numpy(float)
    at = at[(at >= first) & (at <= last)]
    each = [np.interp(at, f.index.to_numpy(float), f.to_numpy(float)) for f in fields]
    return pd.Series(np.mean(each, axis=0), at)
