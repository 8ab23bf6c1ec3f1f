"""Figures of motion: speeds, mean squared displacement, directions of steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.reporting.plots import (
    FEW,
    Drawing,
    Drawn,
    Roles,
    Sheet,
    by_parts,
    count,
    in_words,
    short,
    wrap,
)
from cyto_kedro.core.groups import any_known, condition_order, with_condition
from cyto_kedro.core.style import FAINT, INK, colours, figure, say, strokes, styled
from cyto_kedro.schemas import Motility, Msd, TableOf, or_empty

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SECTORS = 16
JITTER = 0.02


class MotionFigures(Drawing):
    """Speeds, mean squared displacement, and directions, by population and condition.

    Examples
    --------
    >>> from cyto_kedro.schemas import filled
    >>> motility = {"fov": "A1", "population": "TCell", "track_id": [1, 2], "n_points": 9}
    >>> motility = filled(Motility, motility | {"mean_speed_um_per_min": [4.0, 6.0]})
    >>> drawn = MotionFigures(dpi=50)(motility=motility, roles={"TCell": "effector"})
    >>> sorted(drawn["figures"])
    ['directions', 'speeds']
    """

    def run(
        self,
        roles: Roles,
        motility: TableOf[Motility] | None = None,
        msd: TableOf[Msd] | None = None,
        steps: pd.DataFrame | Iterable[pd.DataFrame] | None = None,
        sample_sheet: Sheet = None,
    ) -> Drawn:
        """Draw ``speeds``, ``directions``, and ``msd`` where it is given.

        `roles` is population -> role; `steps` is `schemas.Steps`, or its parts one by one.
        """
        sheet, motility = sample_sheet, or_empty(motility, Motility)
        ways = directions(by_parts(steps), sheet)
        made = {
            "speeds": draw_speeds(motility, sheet, roles),
            "directions": draw_directions(ways, sheet, roles),
        }
        speeds = ["fov", "population", "track_id", "n_points"]
        speeds += ["mean_speed_um_per_min", "mean_speed_px_per_frame"]
        numbers = {"speeds": with_condition(motility[speeds], sheet), "directions": ways}
        if msd is not None:
            curves, units = msd_curves(msd, sheet)
            made["msd"] = draw_msd(curves, units, sheet, roles)
            numbers["msd"] = curves.assign(msd_unit=units[0], lag_unit=units[1])
        return self.finished(made, numbers)


def draw_speeds(motility: pd.DataFrame, sample_sheet: Sheet, roles: Roles) -> Figure:
    """Mean speed of each track (small), mean of each replicate (large), mean of those (bar)."""
    um = any_known(motility["mean_speed_um_per_min"][motility["n_points"] > 1])
    column, unit = (
        ("mean_speed_um_per_min", "µm/min") if um else ("mean_speed_px_per_frame", "px/frame")
    )
    rows = with_condition(motility[motility[column].notna()], sample_sheet)
    populations = [name for name in roles if name in set(rows["population"])]
    if not populations:
        return in_words("Speeds", "No cell was tracked through two frames.")
    conditions = condition_order(sample_sheet, rows["condition"])
    hues = colours(conditions)
    slant: Any = {}
    if len(conditions) > FEW:
        slant = {"rotation": 45, "ha": "right", "rotation_mode": "anchor", "fontsize": 8}
    with styled():
        across = 1 if slant else len(populations)  # many conditions need the whole width
        down = len(populations) // across
        fig = figure(max(max(3.6, 0.75 * len(conditions)) * across, 4.5), 4.2 * down)
        grid = fig.subplots(down, across, squeeze=False)
        for axes, population in zip(grid.flat, populations, strict=True):
            names = []
            for x, condition in enumerate(conditions):
                here = (rows["population"] == population) & (rows["condition"] == condition)
                mine = rows[here]
                _superplot(
                    axes, x, mine[column], mine["replicate"], condition, hues[condition], unit
                )
                name = short(condition, 26) if len(conditions) > FEW else wrap(condition)
                names.append(f"{name}\nn = {len(mine)}")
            axes.set_xticks(range(len(conditions)), names, **slant)
            axes.set(title=population, xlim=(-0.6, len(conditions) - 0.4))
            axes.set_ylim(bottom=0)
            axes.set_ylabel(f"mean speed ({unit})")
    return fig


def _superplot(
    ax: Axes,
    x: float,
    values: pd.Series,
    replicate: pd.Series,
    condition: str,
    hue: str,
    unit: str,
) -> None:
    # the golden-ratio sequence spreads points evenly and is the same each time
    spread = (np.arange(len(values)) * 0.618034 % 1 - 0.5) * 0.6
    ax.scatter(x + spread, values, s=9, color=hue, alpha=0.35, lw=0)
    means = values.groupby(replicate).mean()
    place = x + (np.linspace(-0.18, 0.18, len(means)) if len(means) > 1 else np.zeros(len(means)))
    look: dict[str, Any] = {"color": hue, "mec": "white", "mew": 1.3, "ms": 8.7, "zorder": 3}
    for at, (name, mean) in zip(place, means.items(), strict=True):
        said = f"{condition}, {name}: {mean:.3g} {unit}, {(replicate == name).sum()} tracks"
        ax.plot(at, mean, "o", gid=say(said), **look)
    if len(means):
        ax.hlines(means.mean(), x - 0.33, x + 0.33, color=INK, lw=1.6, zorder=2)


def msd_curves(msd: pd.DataFrame, sample_sheet: Sheet) -> tuple[pd.DataFrame, tuple[str, str]]:
    """Mean squared displacement of each field, and the mean over the fields of a condition.

    Fields are interpolated (on logarithmic axes) at the lags of the one with the fewest, and
    averaged, each counting once, over the lags that all of them have (within 2 %).

    Returns
    -------
    curves : pandas.DataFrame
        `population`, `condition`, `fov` (blank: the mean), `lag`, `msd`.
    units : (str, str)
        Of msd and lag: ``µm²`` and ``min``, or ``px²`` and ``frames``.
    """
    # fields without a size or times are left out where others have both: the report names them
    um = not len(msd) or (msd["msd_um2"].notna() & msd["lag_min"].notna()).any()
    columns = ("lag_min", "msd_um2") if um else ("lag_frames", "msd_px2")
    units = ("µm²", "min") if um else ("px²", "frames")
    rows = msd[["fov", "population"]].assign(lag=msd[columns[0]], msd=msd[columns[1]])
    # neither a lag nor a displacement of zero has a place on logarithmic axes
    rows = with_condition(rows[(rows["lag"] > 0) & (rows["msd"] > 0)], sample_sheet)
    rows = rows.sort_values(["population", "condition", "fov", "lag"])
    means = []
    for (population, condition), mine in rows.groupby(["population", "condition"], sort=False):
        fields = [one for _, one in mine.groupby("fov")]
        lag = min((one["lag"].to_numpy() for one in fields), key=len)
        first, last = (max(f["lag"].min() for f in fields), min(f["lag"].max() for f in fields))
        # the lags of a field are means of times that jitter
        lag = lag[(lag >= first * (1 - JITTER)) & (lag <= last * (1 + JITTER))]
        each = [np.exp(np.interp(np.log(lag), np.log(f["lag"]), np.log(f["msd"]))) for f in fields]
        mean = pd.DataFrame({"lag": lag, "msd": np.mean(each, axis=0)})
        means.append(mean.assign(population=str(population), condition=str(condition), fov=""))
    columns_out = ["population", "condition", "fov", "lag", "msd"]
    return pd.concat([rows[columns_out], *means], ignore_index=True)[columns_out], units


def draw_msd(
    curves: pd.DataFrame, units: tuple[str, str], sample_sheet: Sheet, roles: Roles
) -> Figure:
    """Logarithmic axes, a panel per population, with the slopes of random and of straight motion."""
    populations = [name for name in roles if name in set(curves["population"])]
    title = "Mean squared displacement"
    if not populations:
        return in_words(title, "No cell was tracked for long enough.")
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    conditions = condition_order(sample_sheet, curves["condition"])
    hues, lines = colours(conditions), strokes(conditions)
    with styled():
        fig = figure(max(3.9 * len(populations), 5), 4.2 + 0.2 * len(conditions))
        panels = fig.subplots(1, len(populations), squeeze=False, sharex=True, sharey=True)[0]
        for ax, population in zip(panels, populations, strict=True):
            mine = curves[curves["population"] == population]
            ax.set(title=population, xscale="log", yscale="log")
            ax.set_xlabel(f"lag ({units[1]})")
            for axis, subs in ((ax.xaxis, (1.0, 2.0, 5.0)), (ax.yaxis, (1.0,))):
                axis.set_major_locator(LogLocator(subs=subs))
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axis.set_minor_formatter(NullFormatter())
            for (condition, fov), one in mine.groupby(["condition", "fov"]):
                name = str(condition)
                look: dict[str, Any] = {"lw": 0.8, "alpha": 0.7} if fov else {"ls": lines[name]}
                look["gid"] = say(f"{name}, {fov}" if fov else f"{name}: mean of the fields")
                marker = "o" if len(one) == 1 else ""
                ax.plot(one["lag"], one["msd"], color=hues[name], marker=marker, **look)
            _slopes(ax, mine)
        panels[0].set_ylabel(f"mean squared displacement ({units[0]})")
        for condition in conditions:
            n = curves.loc[(curves["condition"] == condition) & (curves["fov"] != ""), "fov"]
            label = f"{short(condition, 28)}  ({count(n.nunique(), 'field')})"
            panels[0].plot([], [], color=hues[condition], ls=lines[condition], label=label)
        names = panels[0].get_legend_handles_labels()
        fig.legend(*names, loc="outside lower left", handlelength=3.2)
    return fig


def _slopes(ax: Axes, mine: pd.DataFrame) -> None:
    """Slope 1 (random walk) and 2 (straight ahead), from the first point of the means."""
    means = mine[mine["fov"] == ""]
    if means.empty:
        return
    lag = np.array([means["lag"].min(), means["lag"].max()])
    start = float(means.sort_values("lag")["msd"].iloc[0])
    for slope, name in ((1, "slope 1,\nrandom"), (2, "slope 2,\nstraight")):
        end = start * (lag[1] / lag[0]) ** slope
        ax.plot(lag, [start, end], color=FAINT, lw=1, ls=(0, (1, 2)), zorder=0)
        look: Any = {"textcoords": "offset points", "va": "center", "fontsize": 8, "color": FAINT}
        ax.annotate(name, (lag[1], end), (4, 0), annotation_clip=False, **look)


def directions(steps: Iterable[pd.DataFrame], sample_sheet: Sheet) -> pd.DataFrame:
    """Share of steps in each of 16 directions, by population and condition.

    Directions are as in the picture: 0 to the right, a quarter turn upwards (the image's y axis
    points down). A step without motion has no direction and is left out.

    Returns `population`, `condition`, `sector` (0 to 15, centred on sector / 16 of a turn),
    `share`, `n` (steps of the group), `resultant` (length of the mean direction: 0 all ways alike,
    1 one way).
    """
    group = ["fov", "population"]
    sums = [pd.DataFrame(columns=[*group, "sector", "share", "x", "y"])]
    for part in steps:
        vx, vy = part["velocity_x_px_per_frame"], part["velocity_y_px_per_frame"]
        moved = vx.notna() & vy.notna() & ((vx != 0) | (vy != 0))
        angle = np.arctan2(-vy[moved], vx[moved])
        sector = np.round(angle / (2 * np.pi / SECTORS)).astype(int) % SECTORS
        each: Any = {"sector": sector, "share": 1, "x": np.cos(angle), "y": np.sin(angle)}
        rows = part.loc[moved, group].assign(**each)
        sums.append(rows.groupby([*group, "sector"], as_index=False)[["share", "x", "y"]].sum())
    rows = with_condition(pd.concat([one for one in sums if len(one)] or sums), sample_sheet)
    by = ["population", "condition"]
    every = rows[by].drop_duplicates().merge(pd.DataFrame({"sector": range(SECTORS)}), how="cross")
    found = rows.groupby([*by, "sector"], as_index=False)[["share", "x", "y"]].sum()
    out = every.merge(found.astype({"sector": int}), on=[*by, "sector"], how="left")
    out[["share", "x", "y"]] = out[["share", "x", "y"]].fillna(0).astype(float)
    total = out.groupby(by)[["share", "x", "y"]].transform("sum")
    out["n"] = total["share"].astype(int)
    out["share"] = out["share"] / total["share"]
    out["resultant"] = np.hypot(total["x"], total["y"]) / total["share"]
    return out.drop(columns=["x", "y"])


def draw_directions(shares: pd.DataFrame, sample_sheet: Sheet, roles: Roles) -> Figure:
    """A rose per population (rows) and condition (columns); area is proportional to the share."""
    populations = [name for name in roles if name in set(shares["population"])]
    if not populations:
        return in_words("Directions of steps", "No cell was seen to move.")
    conditions = condition_order(sample_sheet, shares["condition"])
    hues = colours(conditions)
    top = float(np.sqrt(max(shares["share"].max(), 1.2 / SECTORS)))
    across = min(len(conditions), FEW)
    down = -(-len(conditions) // across)
    with styled():
        fig = figure(max(2.7 * across, 5), 2.9 * down * len(populations))
        look = {"projection": "polar"}
        grid = fig.subplots(down * len(populations), across, squeeze=False, subplot_kw=look)
        panels = grid.reshape(len(populations), down * across)
        for row, population in zip(panels, populations, strict=True):
            for ax in row[len(conditions) :]:
                ax.axis("off")
            for ax, condition in zip(row, conditions, strict=False):
                here = (shares["population"] == population) & (shares["condition"] == condition)
                mine = shares[here]
                head = f"{short(population, 20)}\n{short(condition, 28)}"
                ax.set_yticks([np.sqrt(1 / SECTORS)], labels=[""])
                ax.set_xticks(np.pi / 2 * np.arange(4), ["right", "up", "left", "down"], fontsize=8)
                ax.tick_params(pad=-3)
                ax.spines["polar"].set_visible(False)
                ax.set_ylim(0, 1.05 * top)
                turn = 2 * np.pi / SECTORS
                radius = np.sqrt(mine["share"])
                bars: Any = {"color": hues[condition], "edgecolor": "white", "lw": 0.6}
                drawn = ax.bar(mine["sector"] * turn, radius, turn, alpha=0.85, **bars)
                for bar, share in zip(drawn, mine["share"], strict=True):
                    bar.set_gid(say(f"{population}, {condition}: {100 * share:.1f} % of the steps"))
                circle = np.linspace(0, 2 * np.pi, 100)
                ax.plot(circle, np.full(100, np.sqrt(1 / SECTORS)), color=INK, lw=1, ls=(0, (3, 2)))
                ax.grid(False)
                if len(mine):
                    head += f"\n{count(int(mine['n'].iloc[0]), 'step')}, "
                    head += f"R = {mine['resultant'].iloc[0]:.2f}"
                else:
                    head += "\nno step"
                ax.set_title(head, loc="center", fontsize=9)
    return fig
