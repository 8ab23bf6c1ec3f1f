"""Figure of columns around events: means of conditions with intervals, and each replicate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.comparison.design import ALL
from cyto_kedro.algorithms.reporting.captions import FIGURES as WORDS
from cyto_kedro.algorithms.reporting.findings import plain
from cyto_kedro.algorithms.reporting.plots import Drawn, Sheet, csv, in_words, short
from cyto_kedro.core.groups import condition_order
from cyto_kedro.core.style import FAINT, colours, figure, png, strokes, styled, svg
from cyto_kedro.images import Picture
from cyto_kedro.schemas import TableOf

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDEST, TALLEST = 4, 3


class EventFigures(Algorithm):
    """Columns around contact, death, kill and events of your own, by condition.

    Examples
    --------
    >>> rows = {"event": "kill", "population": "TCell", "column": "area_px", "condition": "drug"}
    >>> rows = schemas.filled(schemas.EventSignals, rows | {"replicate": "(all)", "n": 5,
    ...     "lag_min": [-2.0, 0.0, 2.0], "mean": [3.0, 4.0, 5.0], "n_replicates": 1})
    >>> EventFigures(dpi=50)(event_signals=rows)["figures"]["events"].title
    'Signals around events'
    """

    dpi: int = Field(default=144, ge=20, description="resolution of the picture")

    def run(
        self, event_signals: TableOf[schemas.EventSignals], sample_sheet: Sheet = None
    ) -> Drawn:
        """Draw ``events``."""
        fig = draw_events(event_signals, sample_sheet)
        made = Picture(png(fig, self.dpi), *WORDS["events"], svg(fig, "events"), csv(event_signals))
        return {"figures": {"events": made}}


def draw_events(signals: TableOf[schemas.EventSignals], sheet: Sheet) -> Figure:
    """A column of panels for each event and population, a row for each column of the table."""
    title = WORDS["events"][0]
    whole = signals[signals["replicate"] == ALL]
    if whole.empty:
        return in_words(title, "No event was seen in tracks enough of every replicate.")
    unit = "min" if signals["lag_min"].notna().any() else "frames"
    signals = signals.assign(lag=signals[f"lag_{unit}"])
    pairs = list(whole[["event", "population"]].drop_duplicates().itertuples(index=False))[:WIDEST]
    columns = list(whole["column"].unique())[:TALLEST]
    conditions = condition_order(sheet, whole["condition"])
    hues, lines = colours(conditions), strokes(conditions)
    with styled():
        fig = figure(3.4 * len(pairs) + 0.6, 2.7 * len(columns) + 0.8)
        grid = np.atleast_2d(fig.subplots(len(columns), len(pairs), squeeze=False))
        for row, column in zip(grid, columns, strict=True):
            row[0].set_ylabel(f"mean {plain(column)}")
            for ax, (event, population) in zip(row, pairs, strict=True):
                ax.set_title(f"{plain(event)}, {short(population, 16)}")
                ax.axvline(0, color=FAINT, lw=0.9, ls=(0, (2, 2)))
                mine = signals[(signals["event"] == event) & (signals["population"] == population)]
                mine = mine[mine["column"] == column].sort_values("lag")
                for condition, one in mine.groupby("condition"):
                    hue = hues[str(condition)]
                    for replicate, part in one.groupby("replicate"):
                        if replicate != ALL:
                            ax.plot(part["lag"], part["mean"], color=hue, lw=0.7, alpha=0.6)
                            continue
                        ax.plot(part["lag"], part["mean"], color=hue, ls=lines[str(condition)])
                        ax.fill_between(
                            part["lag"], part["low"], part["high"], color=hue, alpha=0.13, lw=0
                        )
        for ax in grid[-1]:
            ax.set_xlabel(f"time since the event ({unit})")
        for name in conditions:
            grid[0][0].plot([], [], color=hues[name], ls=lines[name], label=short(name, 28))
        fig.legend(
            *grid[0][0].get_legend_handles_labels(),
            loc="outside lower left",
            ncols=3,
            handlelength=3,
        )
    return fig
