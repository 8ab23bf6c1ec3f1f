"""Kaplan-Meier curves per condition and replicate, with the numbers at risk below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.reporting.plots import Sheet, short
from cyto_kedro.core.groups import condition_order
from cyto_kedro.core.style import FAINT, colours, figure, strokes, styled
from cyto_kedro.core.survival import at_risk, kaplan_meier, median

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_curves(
    rows: pd.DataFrame, sheet: Sheet, xlabel: str, ylabel: str, title: str, event: str, unit: str
) -> Figure:
    """Curves of `entry`, `leave`, `event` per condition (thick, 95 % band) and replicate (thin).

    `rows`: columns condition, replicate, entry, leave, event; at least one row. `event`: what an
    event is called in the legend. `unit`: of the median given there.
    """
    conditions = condition_order(sheet, rows["condition"])
    hues, lines = colours(conditions), strokes(conditions)
    end = float(rows["leave"].max()) or 1.0
    with styled():
        fig = figure(7.2, 4.2 + 0.36 * len(conditions))
        ax = fig.add_subplot()
        ax.set(xlabel=xlabel, ylabel=ylabel, title=title, ylim=(-2, 102))
        for condition in conditions:
            mine = rows[rows["condition"] == condition]
            curve = kaplan_meier(*_columns(mine))
            hue = hues[condition]
            n, events, half = len(mine), int(mine["event"].sum()), median(curve)
            name = f"{short(condition, 28)}  (n = {n}, {events} {event}"
            name += f", median {half:.3g} {unit})" if np.isfinite(half) else ")"
            if len(mine["replicate"].unique()) > 1:
                for _, one in mine.groupby("replicate"):
                    part = kaplan_meier(*_columns(one))
                    last = float(one["leave"].max())
                    _step(ax, part["time"], part["survival"], last, color=hue, lw=0.8, alpha=0.7)
            last = float(mine["leave"].max())
            look = {"color": hue, "ls": lines[condition], "label": name}
            _step(ax, curve["time"], curve["survival"], last, **look)
            ax.fill_between(
                [*curve["time"], last],
                100 * np.append(curve["lower"], curve["lower"].iloc[-1]),
                100 * np.append(curve["upper"], curve["upper"].iloc[-1]),
                step="post",
                color=hue,
                alpha=0.13,
                lw=0,
            )
        ax.set_xlim(0, end)
        ticks = [tick for tick in ax.get_xticks() if 0 <= tick <= end]
        ax.set_xticks(ticks)
        _risk_table(fig, ax, rows, conditions, hues, ticks)
    return fig


def _columns(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rows["entry"].to_numpy(), rows["leave"].to_numpy(), rows["event"].to_numpy()


def _step(ax: Axes, time: pd.Series, share: pd.Series, end: float, **look: Any) -> None:
    """A step curve, carried on to when the last one was still watched."""
    ax.plot([*time, end], 100 * np.append(share, share.iloc[-1]), drawstyle="steps-post", **look)


def _risk_table(
    fig: Figure,
    ax: Axes,
    rows: pd.DataFrame,
    conditions: list[str],
    hues: dict[str, str],
    ticks: list[float],
) -> None:
    """Numbers under observation, under the time axis' ticks; the legend above the curves."""
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower left", handlelength=3.2)
    below = fig.add_gridspec(2, 1, height_ratios=(8, 0.5 + 0.55 * len(conditions)))
    ax.set_subplotspec(below[0])
    risk = fig.add_subplot(below[1], sharex=ax)
    risk.set(ylim=(len(conditions) - 0.4, -0.6), yticks=range(len(conditions)))
    risk.set_yticklabels([short(name) for name in conditions])
    risk.set_title("number at risk", fontsize=9, fontweight="normal", color=FAINT)
    risk.tick_params(length=0, labelbottom=False, labelsize=9, pad=16)
    risk.spines[:].set_visible(False)
    for row, condition in enumerate(conditions):
        mine = rows[rows["condition"] == condition]
        numbers = at_risk(mine["entry"].to_numpy(), mine["leave"].to_numpy(), np.array(ticks))
        risk.get_yticklabels()[row].set_color(hues[condition])
        for tick, number in zip(ticks, numbers, strict=True):
            risk.text(tick, row, str(number), ha="center", va="center", fontsize=9, clip_on=False)
