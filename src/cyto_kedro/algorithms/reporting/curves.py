"""Kaplan-Meier curves per condition and replicate, with the numbers at risk below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.reporting.plots import FEW, Sheet, count, short
from cyto_kedro.core.groups import condition_order
from cyto_kedro.core.style import FAINT, colours, figure, say, strokes, styled
from cyto_kedro.core.survival import at_risk, kaplan_meier, median
from cyto_kedro.core.units import three_digits
from cyto_kedro.core.watched import n_cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


FEWEST = 3  # at risk: of fewer no curve is drawn


def draw_curves(
    rows: pd.DataFrame, sheet: Sheet, xlabel: str, ylabel: str, title: str, event: str, unit: str
) -> Figure:
    """Curves of `entry`, `leave`, `event` per condition (thick, 95 % band) and replicate (thin).

    A curve ends where fewer than `FEWEST` are at risk.

    `rows`: columns condition, replicate, entry, leave, event, and of cells fov, population, cell_id
    (`core.watched`), which are counted once each; at least one row. `event`: what an event is called in
    the legend. `unit`: of the median given there.
    """
    conditions = condition_order(sheet, rows["condition"])
    hues, lines = colours(conditions), strokes(conditions)
    faint = 0.7 if len(conditions) <= FEW else 0.25  # of replicates, where curves cross each other
    end = float(rows["leave"].max()) or 1.0
    with styled():
        fig = figure(7.2, 4.2 + 0.36 * len(conditions))
        ax = fig.add_subplot()
        ax.set(xlabel=xlabel, ylabel=ylabel, title=title, ylim=(-2, 102))
        for condition in conditions:
            mine = rows[rows["condition"] == condition]
            curve = kaplan_meier(*_columns(mine))
            hue = hues[condition]
            half, replicates = median(curve), mine.groupby("replicate")
            name = f"{short(condition, 28)}  ({_counts(mine, event)}"
            name += f", median {three_digits(half)} {unit}" if np.isfinite(half) else ""
            name += f"; {count(len(replicates), 'replicate')})"
            if len(replicates) > 1:
                for replicate, one in replicates:
                    said = say(f"{condition}, {replicate}: {_counts(one, event)}")
                    part = _until_few(kaplan_meier(*_columns(one)), one)
                    _step(ax, part, "survival", color=hue, lw=0.8, alpha=faint, gid=said)
            shown = _until_few(curve, mine)
            look = {"color": hue, "ls": lines[condition], "label": name, "gid": say(name)}
            _step(ax, shown, "survival", **look)
            band: dict[str, Any] = {"step": "post", "color": hue, "alpha": 0.13, "lw": 0}
            ax.fill_between(shown["time"], 100 * shown["lower"], 100 * shown["upper"], **band)
        ax.set_xlim(0, end)
        ticks = [tick for tick in ax.get_xticks() if 0 <= tick <= end]
        ax.set_xticks(ticks)
        _risk_table(fig, ax, rows, conditions, hues, ticks)
    return fig


def _columns(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rows["entry"].to_numpy(), rows["leave"].to_numpy(), rows["event"].to_numpy()


def _counts(rows: pd.DataFrame, event: str) -> str:
    n = n_cells(rows) if "cell_id" in rows else len(rows)
    return f"n = {n}, {int(rows['event'].sum())} {event}"


def _until_few(curve: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """A curve as long as `FEWEST` of `rows` are under observation, carried on to that time."""
    leave = np.sort(rows["leave"].to_numpy(float))
    if len(leave) < FEWEST:
        return curve.iloc[:0]
    shown = curve[curve["time"] <= leave[-FEWEST]]
    return pd.concat([shown, shown.tail(1).assign(time=leave[-FEWEST])])


def _step(ax: Axes, curve: pd.DataFrame, column: str, **look: Any) -> None:
    ax.plot(curve["time"], 100 * curve[column], drawstyle="steps-post", **look)


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
