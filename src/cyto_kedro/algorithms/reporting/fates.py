"""A raster of what happened to every target: seen, in contact, dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.reporting.plots import Roles, Sheet, at_frame, film_time, in_words, short
from cyto_kedro.algorithms.reporting.shots import clip_id
from cyto_kedro.core.groups import between, condition_order, of_role, with_condition
from cyto_kedro.core.style import HIT, INK, ROLE_COLOURS, figure, styled
from cyto_kedro.core.watched import cell_ids

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL = ["fov", "population", "track_id"]


def fate_rows(
    fates: pd.DataFrame,
    bouts: pd.DataFrame,
    frames: pd.DataFrame,
    sample_sheet: Sheet,
    roles: Roles,
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """What happened to every target, as bars over time.

    Returns
    -------
    rows
        One per target, its pieces together: `fov`, `population`, `cell_id`, `condition`,
        `replicate`, `start`, `end` (first and last seen), `death` (start where dead at first sight;
        NaN alive), `track_id` of the piece that died, `dead_at_first_sight`, `shown_track_id` (that
        piece, or of a cell that did not die the one in contact longest; null without contact), and
        `row`, its place in its condition: by time of death, then those dead at first sight, then the
        survivors by when they were last seen.
    spells
        Bouts with effectors until death: `condition`, `row`, `start`, `end`.
    unit
        ``min``, or ``frames``.
    """
    time, unit = film_time(frames)
    mine = with_condition(
        fates[fates["population"].isin(of_role(roles, "target"))].reset_index(drop=True),
        sample_sheet,
    )
    mine["cell_id"] = cell_ids(mine)
    rows = mine[["fov", "population", "cell_id", "condition", "replicate"]].assign(
        start=at_frame(mine, "first_frame", time),
        end=at_frame(mine, "last_frame", time),
        death=np.where(mine["died"], at_frame(mine, "death_frame", time), np.nan),
        track_id=mine["track_id"].astype("Int64").where(mine["died"]),
    )
    old = (mine["dead_at_first_sight"] & (mine["cell_id"] == mine["track_id"])).to_numpy(bool)
    rows["death"] = rows["death"].where(~old, rows["start"])
    rows["dead_at_first_sight"] = old
    ends = {"start": "min", "end": "max", "death": "min", "track_id": "max"}
    ends["dead_at_first_sight"] = "max"
    rows = rows.groupby([*rows.columns[:5]], sort=False, as_index=False).agg(ends)
    # a track may be lost at its death: its bar then reaches it
    rows["end"] = rows[["end", "death"]].max(axis=1)
    by = ["condition", "alive", "dead_at_first_sight", "death", "end", "start"]
    order = rows.assign(alive=rows["death"].isna()).sort_values(by, kind="stable")
    rows["row"] = order.groupby("condition").cumcount()
    met = between(bouts, roles)
    b_is_target = met["population_b"].isin(of_role(roles, "target"))
    spells = pd.DataFrame(
        {
            "fov": met["fov"],
            "population": met["population_b"].where(b_is_target, met["population_a"]),
            "track_id": met["track_id_b"].where(b_is_target, met["track_id_a"]),
            "start": at_frame(met, "start_frame", time),
            "end": at_frame(met, "end_frame", time),
        }
    )
    spells = spells.merge(mine[[*CELL, "cell_id"]], on=CELL).merge(
        rows[["fov", "population", "cell_id", "condition", "row", "death"]],
        on=["fov", "population", "cell_id"],
    )
    lasting = (spells["end"] - spells["start"]).sort_values(ascending=False, kind="stable")
    cell = ["fov", "population", "cell_id"]
    longest = spells.loc[lasting.index].drop_duplicates(cell)[[*cell, "track_id"]]
    touched = rows[cell].merge(longest, on=cell, how="left")["track_id"].astype("Int64")
    rows["shown_track_id"] = rows["track_id"].fillna(touched.set_axis(rows.index))
    spells["end"] = spells[["end", "death"]].min(axis=1)
    spells = spells[spells["end"] >= spells["start"]]
    return rows, spells[["condition", "row", "start", "end"]].reset_index(drop=True), unit


def _addresses(rows: pd.DataFrame) -> list[str | None]:
    """Where the clip of each row's cell would be in a page."""
    who = rows[["fov", "population", "shown_track_id"]].itertuples(index=False, name=None)
    return [
        None if pd.isna(track) else f"#{clip_id(fov, population, int(track))}"
        for fov, population, track in who
    ]


def draw_fates(rows: pd.DataFrame, spells: pd.DataFrame, unit: str, sample_sheet: Sheet) -> Figure:
    """One panel per condition, one bar per target."""
    title = "Fates of all targets"
    if rows.empty:
        return in_words(title, "No target was tracked.")
    conditions = condition_order(sample_sheet, rows["condition"])
    most = int(rows["row"].max()) + 1
    height = float(np.clip(0.055 * most, 2.2, 7.5))
    across = min(len(conditions), 3)
    down = -(-len(conditions) // across)
    # half a frame to each side, so that a contact of one frame is seen
    steps = rows["end"].max() - rows["start"].min()
    half = 0.002 * (steps if steps > 0 else 1.0)
    points = 72 * height / most
    with styled():
        fig = figure(max(7.2, 3.1 * across + 1), down * height + 1.2)
        grid = fig.subplots(down, across, squeeze=False, sharex=True)
        for ax in grid.flat[len(conditions) :]:
            ax.axis("off")
        for ax, condition in zip(grid.flat, conditions, strict=False):
            mine = rows[rows["condition"] == condition]
            alive = mine["death"].fillna(mine["end"])
            thin, thick = np.clip(0.35 * points, 0.4, 2), np.clip(0.75 * points, 0.8, 6)
            ax.hlines(mine["row"], mine["start"], alive, color="#B9BFC4", lw=thin)
            ax.hlines(mine["row"], alive, mine["end"], color=ROLE_COLOURS["death"], lw=thin)
            met = spells[spells["condition"] == condition]
            look = {"color": ROLE_COLOURS["effector"], "lw": thick}
            ax.hlines(met["row"], met["start"] - half, met["end"] + half, **look)
            gone = mine[mine["death"].notna()]
            size = float(np.clip(1.6 * points, 4, 34))
            dots = ax.scatter(
                gone["death"], gone["row"], s=size, marker="D", color=INK, lw=0, zorder=3
            )
            # a click on a line or its death opens the clip, in a page that has it
            dots.set_urls(_addresses(gone))
            lines = mine[mine["shown_track_id"].notna()]
            over = ax.hlines(lines["row"], lines["start"] - half, lines["end"] + half, zorder=4)
            over.set(color=HIT, lw=0.95 * points, capstyle="butt", urls=_addresses(lines))
            old = int(mine["dead_at_first_sight"].sum())
            name = f"{short(condition, 28)}\n{len(gone) - old} of {len(mine) - old} died"
            name += f", {old} dead at first sight" if old else ""
            ax.set(ylim=(len(mine) - 0.3, -0.7), yticks=[])
            ax.set_title(name, fontsize=10)
            ax.spines["left"].set_visible(False)
            ax.set_xlabel(f"time since the film's start ({unit})")
            ax.set_xlim(left=min(0.0, float(rows["start"].min())))
        grid[0][0].set_ylabel("targets, one per line")
        key = (
            ({"color": "#B9BFC4", "lw": 2}, "seen alive"),
            ({"color": ROLE_COLOURS["effector"], "lw": 5}, "in contact with an effector"),
            ({"color": INK, "marker": "D", "ls": ""}, "death"),
            ({"color": ROLE_COLOURS["death"], "lw": 2}, "dead, still seen"),
        )
        for look, label in key:
            grid[0][0].plot([], [], label=label, **look)
        names = grid[0][0].get_legend_handles_labels()
        fig.legend(*names, loc="outside lower left", ncols=4, columnspacing=1.2)
    return fig
