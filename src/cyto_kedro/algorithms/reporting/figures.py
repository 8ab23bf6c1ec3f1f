"""Figures of an assay: survival, contact durations, speeds, kills over time, film quality.

Each function takes tables and returns a matplotlib figure; `Figures` makes them all, with captions
that say how they were computed. Where a field is uncalibrated, axes are in frames and pixels.
Thin or small is one field or one cell, thick or large is a replicate or a condition: cells of one
well are not independent, so the replicates are what a comparison rests on (superplot: Lord et al.
2020, *J Cell Biol* 219:e202001064).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.reporting.captions import FIGURES as WORDS
from cyto_kedro.algorithms.reporting.groups import condition_order, known, of_role, with_condition
from cyto_kedro.algorithms.reporting.style import (
    FAINT,
    PALETTE,
    colours,
    figure,
    png,
    styled,
)
from cyto_kedro.algorithms.reporting.summary import table
from cyto_kedro.algorithms.reporting.survival import (
    at_risk,
    contact_intervals,
    kaplan_meier,
    median,
    target_intervals,
)
from cyto_kedro.images import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Sheet = pd.DataFrame | None
Roles = Mapping[str, str]


class Figures(Algorithm):
    """All figures of an assay.

    Reads ``fates``, ``bouts``, ``motility``, ``kills``, ``deaths``, ``frames``, ``quality``
    (absent: taken as empty), ``sample_sheet`` and ``roles`` (population -> role). Returns
    ``figures``: {name: `style.Picture`}; a figure without anything to show says so.
    """

    dpi: int = Field(default=144, ge=20, description="resolution of the pictures")

    def __call__(self, data: Data) -> Data:
        sheet, roles = data.get("sample_sheet"), data["roles"]
        made = {
            "survival": survival(table(data, "fates"), sheet, roles),
            "kills": cumulative_kills(
                table(data, "kills"), table(data, "deaths"), table(data, "frames"), sheet, roles
            ),
            "contact_durations": contact_durations(table(data, "bouts"), sheet, roles),
            "speeds": speeds(table(data, "motility"), sheet, roles),
            "quality": quality(table(data, "quality")),
        }
        return {
            "figures": {
                name: Picture(png(fig, self.dpi), *WORDS[name]) for name, fig in made.items()
            }
        }


def survival(fates: pd.DataFrame, sample_sheet: Sheet, roles: Roles) -> Figure:
    """Share of targets alive over film time, per condition, with 95 % band and number at risk."""
    rows, unit = target_intervals(fates, roles)
    rows = with_condition(rows, sample_sheet)
    label = f"time since the film's start ({unit})"
    return _curves(rows, sample_sheet, label, "targets alive (%)", "Survival of targets", "died")


def contact_durations(bouts: pd.DataFrame, sample_sheet: Sheet, roles: Roles) -> Figure:
    """Share of effector-target contacts that last longer than a time, per condition."""
    rows, unit = contact_intervals(bouts, roles)
    rows = with_condition(rows.assign(entry=0.0, leave=rows["duration"]), sample_sheet)
    label = f"time since the contact began ({unit})"
    return _curves(
        rows, sample_sheet, label, "contacts lasting longer (%)", "Contact durations", "ended"
    )


def _curves(
    rows: pd.DataFrame, sheet: Sheet, xlabel: str, ylabel: str, title: str, event: str
) -> Figure:
    """Kaplan-Meier curves of `entry`, `leave`, `event` per condition; thin ones per replicate."""
    conditions = condition_order(sheet, rows["condition"])
    hues = colours(conditions)
    with styled():
        fig = figure(7.2, 4.2 + 0.22 * len(conditions))
        ax = fig.add_subplot()
        ax.set(xlabel=xlabel, ylabel=ylabel, title=title, ylim=(-2, 102))
        if rows.empty:
            return _nothing(fig, ax)
        end = float(rows["leave"].max()) or 1.0
        for condition in conditions:
            mine = rows[rows["condition"] == condition]
            curve = kaplan_meier(*_columns(mine))
            hue = hues[condition]
            n, events, half = len(mine), int(mine["event"].sum()), median(curve)
            name = f"{condition}  (n = {n}, {events} {event}"
            name += f", median {half:.3g})" if np.isfinite(half) else ")"
            if len(mine["replicate"].unique()) > 1:
                for _, one in mine.groupby("replicate"):
                    part = kaplan_meier(*_columns(one))
                    last = float(one["leave"].max())
                    _step(ax, part["time"], part["survival"], last, color=hue, lw=0.8, alpha=0.6)
            last = float(mine["leave"].max())
            _step(ax, curve["time"], curve["survival"], last, color=hue, label=name)
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
    """Numbers under observation, under the time axis' ticks."""
    ax.legend(loc="best")
    below = fig.add_gridspec(2, 1, height_ratios=(8, 0.5 + 0.55 * len(conditions)))
    ax.set_subplotspec(below[0])
    risk = fig.add_subplot(below[1], sharex=ax)
    risk.set(ylim=(len(conditions) - 0.4, -0.6), yticks=range(len(conditions)))
    risk.set_yticklabels([_short(name) for name in conditions])
    risk.set_title("number at risk", fontsize=9, fontweight="normal", color=FAINT)
    risk.tick_params(length=0, labelbottom=False, labelsize=9, pad=16)
    risk.spines[:].set_visible(False)
    for row, condition in enumerate(conditions):
        mine = rows[rows["condition"] == condition]
        numbers = at_risk(mine["entry"].to_numpy(), mine["leave"].to_numpy(), np.array(ticks))
        risk.get_yticklabels()[row].set_color(hues[condition])
        for tick, number in zip(ticks, numbers, strict=True):
            risk.text(tick, row, str(number), ha="center", va="center", fontsize=9, clip_on=False)


def speeds(motility: pd.DataFrame, sample_sheet: Sheet, roles: Roles) -> Figure:
    """Mean speed of each track (small), mean of each replicate (large), mean of those (bar)."""
    um = known(motility["mean_speed_um_per_min"][motility["n_points"] > 1])
    column, unit = (
        ("mean_speed_um_per_min", "µm/min") if um else ("mean_speed_px_per_frame", "px/frame")
    )
    rows = with_condition(motility[motility[column].notna()], sample_sheet)
    populations = [name for name in roles if name in set(rows["population"])]
    conditions = condition_order(sample_sheet, rows["condition"])
    hues = colours(conditions)
    with styled():
        fig = figure(max(3.6 * max(len(populations), 1), 4.5), 4.2)
        if not populations:
            ax = fig.add_subplot()
            ax.set(title="Speeds", ylabel=f"mean speed ({unit})")
            return _nothing(fig, ax)
        for axes, population in zip(
            fig.subplots(1, len(populations), squeeze=False)[0], populations, strict=True
        ):
            for x, condition in enumerate(conditions):
                here = (rows["population"] == population) & (rows["condition"] == condition)
                mine = rows[here]
                _superplot(axes, x, mine[column], mine["replicate"], hues[condition])
            axes.set_xticks(range(len(conditions)), [_wrap(name) for name in conditions])
            axes.set(title=population, xlim=(-0.6, len(conditions) - 0.4))
            axes.set_ylim(bottom=0)
            axes.set_ylabel(f"mean speed ({unit})")
    return fig


def _superplot(ax: Axes, x: float, values: pd.Series, replicate: pd.Series, hue: str) -> None:
    # the golden-ratio sequence spreads points evenly and is the same each time
    spread = (np.arange(len(values)) * 0.618034 % 1 - 0.5) * 0.6
    ax.scatter(x + spread, values, s=9, color=hue, alpha=0.35, lw=0)
    means = values.groupby(replicate).mean()
    place = x + (np.linspace(-0.18, 0.18, len(means)) if len(means) > 1 else np.zeros(len(means)))
    ax.scatter(place, means, s=75, color=hue, edgecolor="white", lw=1.3, zorder=3)
    if len(means):
        ax.hlines(means.mean(), x - 0.33, x + 0.33, color="#222222", lw=1.6, zorder=2)


def cumulative_kills(
    kills: pd.DataFrame,
    deaths: pd.DataFrame,
    frames: pd.DataFrame,
    sample_sheet: Sheet,
    roles: Roles,
) -> Figure:
    """Attributed kills so far, per field (thin) and mean over fields (thick); deaths dashed."""
    unit = "min" if known(frames["time_s"]) else "frames"
    grid = with_condition(frames[["fov", "frame", "time_s"]], sample_sheet)
    grid["x"] = grid["time_s"] / 60 if unit == "min" else grid["frame"].astype(float)
    targets = of_role(roles, "target")
    killed = kills[kills["target_population"].isin(targets)].groupby(["fov", "death_frame"])
    dead = deaths[deaths["population"].isin(targets)].groupby(["fov", "frame"])
    grid = grid.sort_values(["fov", "frame"], ignore_index=True)
    place = pd.MultiIndex.from_frame(grid[["fov", "frame"]])
    for name, events in (("kills", killed["share"].sum()), ("deaths", dead.size())):
        new = events.reindex(place, fill_value=0).to_numpy(dtype=float)
        grid[name] = pd.Series(new).groupby(grid["fov"]).cumsum()
    conditions = condition_order(sample_sheet, grid["condition"])
    hues = colours(conditions)
    with styled():
        fig = figure(7.2, 4.2)
        ax = fig.add_subplot()
        ax.set(title="Kills over time", xlabel=f"time since the film's start ({unit})")
        ax.set_ylabel("kills per field, cumulative")
        if grid.empty:
            return _nothing(fig, ax)
        for condition in conditions:
            mine = grid[grid["condition"] == condition]
            hue, fields = hues[condition], list(mine["fov"].unique())
            mean, each = {}, {}
            for name in ("kills", "deaths"):
                # fields of other frame times: the count so far holds until the next frame
                wide = mine.pivot_table(index="x", columns="fov", values=name).ffill().fillna(0.0)
                mean[name], each[name] = wide.to_numpy().mean(axis=1), wide
            x = each["kills"].index.to_numpy(dtype=float)
            if len(fields) > 1:
                ax.step(x, each["kills"], where="post", color=hue, lw=0.8, alpha=0.6)
            label = f"{condition}  ({len(fields)} fields)"
            ax.step(x, mean["kills"], where="post", color=hue, label=label)
            ax.step(x, mean["deaths"], where="post", color=hue, lw=1.4, ls=(0, (2, 2)))
        ax.plot([], [], color=FAINT, lw=1.4, ls=(0, (2, 2)), label="all deaths of targets, mean")
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)
        ax.legend(loc="upper left")
    return fig


def quality(quality: pd.DataFrame) -> Figure:
    """Mean intensity, focus and saturation of each channel, frame by frame, a line per field."""
    channels = list(pd.unique(quality["channel"]))
    measures = {
        "mean": "mean intensity",
        "focus": "focus (a.u.)",
        "saturated_fraction": "saturated pixels (%)",
    }
    with styled():
        fig = figure(8.4, 1.0 + 1.7 * max(len(channels), 1))
        if not channels:
            ax = fig.add_subplot()
            ax.set_title("Quality of the films")
            return _nothing(fig, ax)
        grid = fig.subplots(len(channels), len(measures), squeeze=False, sharex=True)
        fovs = sorted(quality["fov"].unique())
        hues = colours(fovs) if len(fovs) <= len(PALETTE) else dict.fromkeys(fovs, PALETTE[0])
        single = len(quality["frame"].unique()) == 1
        for row, channel in zip(grid, channels, strict=True):
            mine = quality[quality["channel"] == channel].sort_values("frame")
            for ax, (column, title) in zip(row, measures.items(), strict=True):
                factor = 100 if column == "saturated_fraction" else 1
                for fov, one in mine.groupby("fov"):
                    look: dict[str, Any] = {"marker": "o", "ms": 4} if single else {"lw": 1.1}
                    ax.plot(
                        one["frame"],
                        one[column] * factor,
                        color=hues[fov],
                        label=fov,
                        clip_on=False,
                        **look,
                    )
                ax.set_ylim(bottom=0)
                if ax in grid[0]:
                    ax.set_title(title)
                if ax in grid[-1]:
                    ax.set_xlabel("frame")
            row[0].set_ylabel(_wrap(channel), fontweight="bold")
        if len(fovs) <= len(PALETTE):
            lines, names = grid[0][0].get_legend_handles_labels()
            fig.legend(lines, names, loc="outside lower center", ncols=min(len(fovs), 6))
    return fig


def _nothing(fig: Figure, ax: Axes) -> Figure:
    ax.text(0.5, 0.5, "nothing to show", transform=ax.transAxes, ha="center", color=FAINT)
    return fig


def _short(name: str, width: int = 16) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"


def _wrap(name: str, width: int = 14) -> str:
    from textwrap import fill

    return fill(name, width)
