"""Figures of events: columns around them, and when they come, by condition and replicate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.design import ALL
from cyto_kedro.algorithms.reporting.captions import FIGURES as WORDS
from cyto_kedro.algorithms.reporting.curves import FEWEST
from cyto_kedro.algorithms.reporting.findings import plain
from cyto_kedro.algorithms.reporting.plots import Drawing, Drawn, Sheet, count, in_words, short
from cyto_kedro.core.groups import condition_order
from cyto_kedro.core.style import FAINT, colours, figure, say, strokes, styled
from cyto_kedro.schemas import TableOf

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDEST, MOST = 4, 8  # panels beside each other; pairs of event and population
UNITS = {
    "_um_per_min": "µm/min",
    "_px_per_frame": "px/frame",
    "_um2": "µm²",
    "_um": "µm",
    "_px": "px",
}


class EventFigures(Drawing):
    """Columns around contact, death, kill and events of your own, by condition.

    Examples
    --------
    >>> rows = {"event": "kill", "population": "TCell", "column": "area_px", "condition": "drug"}
    >>> rows = schemas.filled(schemas.EventSignals, rows | {"replicate": "(all)", "n": 5,
    ...     "lag_min": [-2.0, 0.0, 2.0], "mean": [3.0, 4.0, 5.0], "n_replicates": 1})
    >>> curves = schemas.empty(schemas.EventCurves)
    >>> drawn = EventFigures(dpi=50)(event_signals=rows, event_curves=curves)["figures"]
    >>> [picture.title for picture in drawn.values()]
    ['Signals around events', 'When events come']
    """

    def run(
        self,
        event_signals: TableOf[schemas.EventSignals],
        event_curves: TableOf[schemas.EventCurves],
        sample_sheet: Sheet = None,
    ) -> Drawn:
        """Draw ``events`` and ``event_curves``."""
        made = {
            "events": draw_events(event_signals, sample_sheet),
            "event_curves": draw_event_curves(event_curves, sample_sheet),
        }
        numbers: dict[str, pd.DataFrame] = {"events": event_signals, "event_curves": event_curves}
        return self.finished(made, numbers)


def draw_events(signals: TableOf[schemas.EventSignals], sheet: Sheet) -> Figure:
    """A row of panels for each event and population, a panel for each column of the table."""
    title = WORDS["events"][0]
    whole = signals[signals["replicate"] == ALL]
    if whole.empty:
        return in_words(title, "No event was seen in tracks enough of every replicate.")
    unit = "min" if signals["lag_min"].notna().any() else "frames"
    signals = signals.assign(lag=signals[f"lag_{unit}"])
    pairs = list(whole[["event", "population"]].drop_duplicates().itertuples(index=False))[:MOST]
    columns = list(whole["column"].unique())[:WIDEST]
    conditions = condition_order(sheet, whole["condition"])
    hues, lines = colours(conditions), strokes(conditions)
    with styled():
        fig = figure(max(3.6 * len(columns), 5.0), 2.4 * len(pairs) + 0.8)
        grid = fig.subplots(len(pairs), len(columns), squeeze=False, sharex=True)
        for row, (event, population) in zip(grid, pairs, strict=True):
            for ax, column in zip(row, columns, strict=True):
                ax.set_title(f"{plain(event)}, {short(population, 16)}")
                ax.set_ylabel(_with_unit(column))
                ax.axvline(0, color=FAINT, lw=0.9, ls=(0, (2, 2)))
                mine = signals[(signals["event"] == event) & (signals["population"] == population)]
                mine = mine[mine["column"] == column].sort_values("lag")
                for condition, one in mine.groupby("condition"):
                    hue = hues[str(condition)]
                    for replicate, part in one.groupby("replicate"):
                        who = condition if replicate == ALL else f"{condition}, {replicate}"
                        said = say(f"{who}: {count(part['n'].max(), 'track')}")
                        look: dict[str, Any] = {"color": hue, "gid": said}
                        if replicate != ALL:
                            ax.plot(part["lag"], part["mean"], lw=0.7, alpha=0.6, **look)
                            continue
                        ax.plot(part["lag"], part["mean"], ls=lines[str(condition)], **look)
                        ax.fill_between(
                            part["lag"], part["low"], part["high"], color=hue, alpha=0.13, lw=0
                        )
        for ax in grid[-1]:
            ax.set_xlabel(f"time since the event ({unit})")
        _legend(fig, grid[0][0], {name: short(name, 28) for name in conditions}, hues, lines)
    return fig


def _with_unit(column: str) -> str:
    """``mean speed (µm/min)`` of `speed_um_per_min`."""
    for ending, unit in UNITS.items():
        if column.endswith(ending):
            return f"mean {plain(column.removesuffix(ending))} ({unit})"
    return f"mean {plain(column)}"


def _legend(
    fig: Figure,
    ax: Axes,
    labels: Mapping[str, str],
    hues: Mapping[str, str],
    lines: Mapping[str, Any],
) -> None:
    """One line a condition below all panels, in its colour and stroke."""
    for name, label in labels.items():
        ax.plot([], [], color=hues[name], ls=lines[name], label=label)
    handles = ax.get_legend_handles_labels()
    across = max(int(fig.get_figwidth() // 3.6), 1)
    fig.legend(*handles, loc="outside lower left", ncols=across, handlelength=3)


def draw_event_curves(curves: TableOf[schemas.EventCurves], sheet: Sheet) -> Figure:
    """A panel for each event and population: the share of tracks without it over time."""
    title = WORDS["event_curves"][0]
    happened = curves.groupby(["event", "population"], sort=False)["events"].transform("sum") > 0
    curves = curves[happened]
    if curves.empty:
        return in_words(title, "No event was seen to happen.")
    unit = "min" if curves["time_min"].notna().any() else "frames"
    conditions = condition_order(sheet, curves["condition"])
    hues, lines = colours(conditions), strokes(conditions)
    panels = list(curves.groupby(["event", "population"], sort=False))[:MOST]
    across = min(len(panels), WIDEST)
    down = -(-len(panels) // across)
    with styled():
        fig = figure(3.4 * across + 0.6, 3.3 * down + 0.2 * len(conditions))
        axes = fig.subplots(down, across, squeeze=False, sharey=True).ravel()
        for ax in axes[len(panels) :]:
            ax.axis("off")
        for ax, (key, mine) in zip(axes, panels, strict=False):
            event, population = map(str, key)
            ax.set(title=f"{plain(event)}, {short(population, 16)}", ylim=(-2, 102))
            ax.set_xlabel(f"time since the film's start ({unit})")
            for (name, replicate), one in mine.groupby(["condition", "replicate"], sort=False):
                condition = str(name)
                who = condition if replicate == ALL else f"{condition}, {replicate}"
                look = {"color": hues[condition], "gid": say(f"{who}: {_had_it(one)}")}
                _event_curve(ax, one, unit, lines[condition], replicate == ALL, look)
        for row in axes.reshape(down, across):
            row[0].set_ylabel("tracks without the event (%)")
        single = curves[curves["replicate"] != ALL]
        n_replicates = single.groupby("condition")["replicate"].nunique()
        labels = {
            name: f"{short(name, 28)}  ({count(int(n_replicates.get(name, 0)), 'replicate')})"
            for name in conditions
        }
        _legend(fig, axes[0], labels, hues, lines)
    return fig


def _had_it(one: pd.DataFrame) -> str:
    return f"{count(int(one['events'].sum()), 'event')}, at most {one['at_risk'].max():g} tracks at once"


def _event_curve(
    ax: Axes, one: pd.DataFrame, unit: str, line: Any, whole: bool, look: dict[str, Any]
) -> None:
    """A condition's curve with its band, or a replicate's; paler where few are watched."""
    one = one.sort_values(f"time_{unit}")
    left = one["at_risk"][::-1].cummax()[::-1]
    one = one[left >= FEWEST]  # it ends where fewer are
    time, share = one[f"time_{unit}"], 100 * one["estimate"]
    if not whole:
        ax.plot(time, share, drawstyle="steps-post", lw=0.7, alpha=0.6, **look)
        return
    sure = share.where(~one["few_at_risk"])
    ax.plot(time, share, drawstyle="steps-post", ls=line, alpha=0.4, **look)
    ax.plot(time, sure, drawstyle="steps-post", ls=line, **look)
    low, high = 100 * one["low_clustered"], 100 * one["high_clustered"]
    ax.fill_between(time, low, high, step="post", color=look["color"], alpha=0.13, lw=0)
