"""Figures of killing: kills over time, victims per effector, fates of targets, survival."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from cyto_kedro.algorithms.reporting.curves import draw_curves
from cyto_kedro.algorithms.reporting.fates import draw_fates, fate_rows
from cyto_kedro.algorithms.reporting.plots import (
    FEW,
    Drawing,
    Drawn,
    Roles,
    Sheet,
    count,
    film_time,
    in_words,
    short,
)
from cyto_kedro.core.groups import condition_order, of_role, with_condition
from cyto_kedro.core.style import INK, colours, figure, say, strokes, styled
from cyto_kedro.core.units import three_digits
from cyto_kedro.core.watched import cell_ids, films, target_intervals
from cyto_kedro.schemas import (
    Bouts,
    Deaths,
    EffectorTallies,
    Fates,
    Frames,
    Kills,
    TableOf,
    or_empty,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEAN = "(mean)"
ALL = "(all)"
MOST_VICTIMS = 5


class KillingFigures(Drawing):
    """Kills over time, victims per effector, a raster of the targets' fates, survival of targets.

    Examples
    --------
    >>> from cyto_kedro.schemas import filled
    >>> fates = {"track_id": [1, 2], "died": [True, False], "exit_min": [4.0, 6.0]}
    >>> fates = filled(Fates, fates | {"fov": "A1", "population": "CancerCell", "entry_min": 0.0})
    >>> frames = filled(Frames, {"fov": "A1", "frame": range(4), "time_s": [0.0, 120, 240, 360]})
    >>> drawn = KillingFigures(dpi=50)(fates=fates, frames=frames, roles={"CancerCell": "target"})
    >>> sorted(drawn["figures"])
    ['kills', 'kills_per_effector', 'survival', 'target_fates']
    """

    def run(
        self,
        roles: Roles,
        fates: TableOf[Fates] | None = None,
        deaths: TableOf[Deaths] | None = None,
        kills: TableOf[Kills] | None = None,
        effectors: TableOf[EffectorTallies] | None = None,
        bouts: TableOf[Bouts] | None = None,
        frames: TableOf[Frames] | None = None,
        sample_sheet: Sheet = None,
    ) -> Drawn:
        """Draw ``kills``, ``kills_per_effector``, ``target_fates`` and ``survival``.

        `roles` is population -> role; a table that is not given is taken as empty.
        """
        sheet, fates, frames = sample_sheet, or_empty(fates, Fates), or_empty(frames, Frames)
        curves = kill_curves(
            or_empty(kills, Kills), or_empty(deaths, Deaths), fates, frames, sheet, roles
        )
        rows, spells, unit = fate_rows(fates, or_empty(bouts, Bouts), frames, sheet, roles)
        tallies = victims(of_cells(or_empty(effectors, EffectorTallies), fates), sheet, roles)
        made = {
            "kills": draw_kills(*curves, sheet),
            "kills_per_effector": draw_victims(tallies, sheet),
            "target_fates": draw_fates(rows, spells, unit, sheet),
            "survival": survival(fates, sheet, roles, frames),
        }
        watched = with_condition(target_intervals(fates, roles)[0], sheet)
        numbers = {
            "kills": curves[0].assign(unit=curves[1]),
            "kills_per_effector": tallies,
            "target_fates": rows,
            "survival": watched,
        }
        return self.finished(made, numbers)


def survival(
    fates: pd.DataFrame, sample_sheet: Sheet, roles: Roles, frames: pd.DataFrame | None = None
) -> Figure:
    """Share of targets alive over time without pauses, by condition, with 95 % band and risk set."""
    rows, unit = target_intervals(fates, roles, frames)
    rows = with_condition(rows, sample_sheet)
    title = "Survival of targets"
    if rows.empty:
        return in_words(title, "No living target was seen in more than one frame.")
    label = f"time since the film's start ({unit})"
    return draw_curves(rows, sample_sheet, label, "targets alive (%)", title, "died", unit)


def kill_curves(
    kills: pd.DataFrame,
    deaths: pd.DataFrame,
    fates: pd.DataFrame,
    frames: pd.DataFrame,
    sample_sheet: Sheet,
    roles: Roles,
) -> tuple[pd.DataFrame, str]:
    """Deaths of targets so far per 100 targets alive in the first frame, and the unit of time.

    A replicate's counts are sums over its fields, up to the end of its shortest film; the
    condition is the mean of its replicates, as long as all of them last. Fields of other frame
    times: a count holds until the field's next frame. A replicate without a target at the start
    has no row.

    Returns `condition`, `replicate` (``(mean)``: the condition), `time`, `kills` (attributed
    shares), `deaths` (all), both per 100 targets, `targets` (at the start), `fovs`.
    """
    grid, unit = film_time(films(frames))
    targets = of_role(roles, "target")
    killed = kills[kills["target_population"].isin(targets)].groupby(["fov", "death_frame"])
    dead = deaths[deaths["population"].isin(targets)].groupby(["fov", "frame"])
    place = pd.MultiIndex.from_frame(grid[["fov", "frame"]])
    for name, events in (("kills", killed["share"].sum()), ("deaths", dead.size())):
        new = events.reindex(place, fill_value=0).to_numpy(dtype=float)
        grid[name] = pd.Series(new).groupby(grid["fov"]).cumsum()
    first = fates["fov"].map(grid.groupby("fov")["frame"].min())
    start = fates["population"].isin(targets) & ~fates["dead_at_first_sight"]
    start &= fates["first_frame"] <= first
    alive = fates[start].groupby("fov").size()
    grid = with_condition(grid, sample_sheet)
    made = []
    for condition, mine in grid.groupby("condition", sort=False):
        parts = []
        for replicate, one in mine.groupby("replicate", sort=False):
            fovs = one["fov"].unique()
            n = int(alive.reindex(fovs, fill_value=0).sum())
            if n:
                part = 100 / n * _together(one, "fov").sum().T
                about = {"replicate": replicate, "targets": n, "fovs": len(fovs)}
                parts.append(part.rename_axis("time").reset_index().assign(**about))
        if not parts:
            continue
        each = pd.concat(parts, ignore_index=True)
        mean = _together(each, "replicate").mean().T.rename_axis("time").reset_index()
        mean["replicate"] = MEAN
        mean["targets"] = sum(int(part["targets"].iloc[0]) for part in parts)
        mean["fovs"] = sum(int(part["fovs"].iloc[0]) for part in parts)
        made.append(pd.concat([each, mean], ignore_index=True).assign(condition=condition))
    columns = ["condition", "replicate", "time", "kills", "deaths", "targets", "fovs"]
    if not made:
        return pd.DataFrame(columns=columns), unit
    return pd.concat(made, ignore_index=True)[columns], unit


def _together(table: pd.DataFrame, by: str) -> Any:
    """Counts of each `by` at the times of any of them, up to the end of the shortest, grouped."""
    wide = table.pivot_table(index="time", columns=by, values=["kills", "deaths"])
    last = table.groupby(by)["time"].max().min()
    return wide.ffill().fillna(0.0).loc[:last].T.groupby(level=0)


def draw_kills(curves: pd.DataFrame, unit: str, sample_sheet: Sheet) -> Figure:
    """Attributed kills, and all deaths, side by side on one scale."""
    if curves.empty:
        return in_words("Kills over time", "No living target was seen in the first frame.")
    if curves["time"].nunique() < 2:
        return in_words("Kills over time", "Stills show no dying: kills over time take a film.")
    conditions = condition_order(sample_sheet, curves["condition"])
    hues, lines = colours(conditions), strokes(conditions)
    with styled():
        fig = figure(8.4, 3.9 + 0.2 * len(conditions))
        axes = fig.subplots(1, 2, sharey=True)
        heads = {"kills": "Kills (attributed to effectors)", "deaths": "All deaths of targets"}
        for ax, (name, head) in zip(axes, heads.items(), strict=True):
            ax.set(title=head, xlabel=f"time since the film's start ({unit})")
            for condition in conditions:
                mine = curves[curves["condition"] == condition]
                groups = mine.groupby("replicate", sort=False)
                for replicate, one in groups:
                    if replicate != MEAN and len(groups) > 2:
                        said = f"{condition}, {replicate}: {one[name].iloc[-1]:.3g} of 100 at "
                        said += f"{three_digits(one['time'].iloc[-1])} {unit}; "
                        said += f"{one['targets'].iloc[0]} targets"
                        look: dict[str, Any] = {"color": hues[condition], "gid": say(said)}
                        ax.step(one["time"], one[name], where="post", lw=0.8, alpha=0.7, **look)
                mean = groups.get_group(MEAN)
                n = f"{count(int(mean['targets'].iloc[0]), 'target')} at start"
                n += f", {count(len(groups) - 1, 'replicate')}"
                label = f"{short(condition, 28)}  ({n})"
                look = {"color": hues[condition], "ls": lines[condition], "gid": say(label)}
                ax.step(mean["time"], mean[name], where="post", label=label, **look)
            ax.set_xlim(left=0)
        axes[0].set_ylim(0, max(1.0, 1.06 * float(curves[["kills", "deaths"]].max().max())))
        axes[0].set_ylabel("so far, per 100 targets at start")
        names = axes[0].get_legend_handles_labels()
        fig.legend(*names, loc="outside lower left", handlelength=3.2)
    return fig


def of_cells(effectors: pd.DataFrame, fates: pd.DataFrame) -> pd.DataFrame:
    """Tallies (`schemas.EffectorTallies`) of cells: a broken track's pieces together."""
    key = ["fov", "population", "track_id"]
    pieces = fates[key].assign(cell_id=cell_ids(fates))
    rows = effectors[[*key, "n_victims"]].merge(pieces, on=key, how="left")
    rows["track_id"] = rows["cell_id"].fillna(rows["track_id"])
    return rows.groupby(key, sort=False, as_index=False)[["n_victims"]].sum()


def victims(effectors: pd.DataFrame, sample_sheet: Sheet, roles: Roles) -> pd.DataFrame:
    """How many effectors killed none, one, two, ... targets.

    A victim is a death of which the effector's share is at least half (`schemas.EffectorTallies`).

    Returns `condition`, `replicate` (``(all)``: together), `victims` (0 to 5; 5 means 5 or more),
    `n`, `share` (of the effectors of the group), `effectors`, `serial` (effectors of two or more).
    """
    mine = effectors[effectors["population"].isin(of_role(roles, "effector"))]
    mine = with_condition(mine, sample_sheet)
    mine["victims"] = mine["n_victims"].clip(upper=MOST_VICTIMS).astype(int)
    both = pd.concat([mine, mine.assign(replicate=ALL)], ignore_index=True)
    every = both[["condition", "replicate"]].drop_duplicates()
    every = every.merge(pd.DataFrame({"victims": range(MOST_VICTIMS + 1)}), how="cross")
    key = ["condition", "replicate", "victims"]
    out = every.merge(both.groupby(key).size().rename("n").reset_index(), on=key, how="left")
    out["n"] = out["n"].fillna(0).astype(int)
    by = out.groupby(["condition", "replicate"])
    out["effectors"] = by["n"].transform("sum")
    out["serial"] = out["n"].where(out["victims"] >= 2, 0)
    out["serial"] = out.groupby(["condition", "replicate"])["serial"].transform("sum")
    out["share"] = out["n"] / out["effectors"]
    return out


def draw_victims(tallies: pd.DataFrame, sample_sheet: Sheet) -> Figure:
    """Bars of the share of effectors by number of victims, a dot for each replicate."""
    title = "Kills per effector"
    if tallies.empty:
        return in_words(title, "No effector was tracked.")
    conditions = condition_order(sample_sheet, tallies["condition"])
    hues = colours(conditions)
    shown = int(tallies.loc[tallies["n"] > 0, "victims"].max())
    shown = max(shown, 2)
    tallies = tallies[tallies["victims"] <= shown]
    width = 0.8 / len(conditions)
    with styled():
        fig = figure(7.2, 3.9 + 0.2 * len(conditions))
        ax = fig.add_subplot()
        for i, condition in enumerate(conditions):
            mine = tallies[tallies["condition"] == condition]
            whole = mine[mine["replicate"] == ALL]
            x = whole["victims"] + (i - (len(conditions) - 1) / 2) * width
            n, serial = int(whole["effectors"].iloc[0]), int(whole["serial"].iloc[0])
            label = f"{short(condition, 28)}  ({count(n, 'effector')}, "
            label += f"{count(serial, 'serial killer')} = {100 * serial / n:.1f} %)"
            look: dict[str, Any] = {
                "hatch": ("", "///", "...", "xx")[i % 4],
                "edgecolor": "white",
                "lw": 0,
            }
            ax.bar(
                x, 100 * whole["share"], 0.92 * width, color=hues[condition], label=label, **look
            )
            numbers = whole["n"].astype(str) if len(conditions) <= FEW else [""] * len(whole)
            for at, share, number in zip(x, whole["share"], numbers, strict=True):
                ax.annotate(
                    number,
                    (at, 100 * share),
                    (0, 3),
                    textcoords="offset points",
                    ha="center",
                    fontsize=9,
                )
            each = mine[mine["replicate"] != ALL]
            if len(each["replicate"].unique()) > 1:
                dot: dict[str, Any] = {"marker": "o", "ms": 3.7, "mfc": "white", "mec": INK}
                for row in each.to_dict("records"):
                    at = row["victims"] + (i - (len(conditions) - 1) / 2 + 0.28) * width
                    said = f"{condition}, {row['replicate']}: {row['n']} of "
                    said += f"{count(row['effectors'], 'effector')} killed {row['victims']}"
                    ax.plot(at, 100 * row["share"], mew=0.9, ls="", gid=say(said), **dot)
        ticks = [f"{k} or more" if k == MOST_VICTIMS else str(k) for k in range(shown + 1)]
        ax.set_xticks(range(shown + 1), ticks)
        ax.set(title=title, xlabel="targets killed by one effector", ylim=(0, 109))
        ax.set_ylabel("effectors (%)")
        ax.axvspan(1.5, shown + 0.5, color="#F1F3F4", zorder=-2)
        ax.text(1.56, 104, "serial killers", fontsize=9, va="center")
        ax.set_xlim(-0.5, shown + 0.5)
        fig.legend(*ax.get_legend_handles_labels(), loc="outside lower left")
    return fig
