"""Figures of contact: how long contacts last, how fast cells move before and after one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.reporting.curves import draw_curves
from cyto_kedro.algorithms.reporting.plots import (
    FEW,
    Drawing,
    Drawn,
    Roles,
    Sheet,
    by_parts,
    count,
    film_time,
    in_words,
    short,
)
from cyto_kedro.core.groups import between, condition_order, of_role, with_condition
from cyto_kedro.core.style import FAINT, colours, figure, say, strokes, styled
from cyto_kedro.core.watched import contact_intervals
from cyto_kedro.schemas import Bouts, Deaths, Fields, Frames, Kills, TableOf, or_empty

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = ["fov", "population", "track_id"]
FEWEST_EVENTS = 3


class ContactFigures(Drawing):
    """Contact durations, and speed around contact and death.

    Examples
    --------
    >>> from cyto_kedro.schemas import filled
    >>> bouts = {"population_a": "CancerCell", "track_id_b": 1, "population_b": "TCell"}
    >>> bouts = bouts | {"fov": "A1", "track_id_a": [1, 2], "duration_min": [4.0, 6.0]}
    >>> roles = {"TCell": "effector", "CancerCell": "target"}
    >>> drawn = ContactFigures(dpi=50)(bouts=filled(Bouts, bouts), roles=roles)
    >>> sorted(drawn["figures"])
    ['contact_durations', 'speed_around_contact']
    """

    window_frames: int = Field(
        default=15, ge=1, description="frames shown before and after contact or death"
    )

    def run(
        self,
        roles: Roles,
        bouts: TableOf[Bouts] | None = None,
        deaths: TableOf[Deaths] | None = None,
        kills: TableOf[Kills] | None = None,
        fields: TableOf[Fields] | None = None,
        frames: TableOf[Frames] | None = None,
        steps: pd.DataFrame | Iterable[pd.DataFrame] | None = None,
        sample_sheet: Sheet = None,
    ) -> Drawn:
        """Draw ``contact_durations`` and ``speed_around_contact``.

        `roles` is population -> role; `steps` is `schemas.Steps`, or its parts one by one; a table that
        is not given is taken as empty.
        """
        bouts = or_empty(bouts, Bouts)
        events = moments(bouts, or_empty(deaths, Deaths), or_empty(kills, Kills), roles)
        films, frames = or_empty(fields, Fields), or_empty(frames, Frames)
        around, units = speed_around(
            *(by_parts(steps), events, frames, sample_sheet),
            calibrated=any_calibrated(films, frames),
            window_frames=self.window_frames,
        )
        made = {
            "contact_durations": contact_durations(bouts, sample_sheet, roles),
            "speed_around_contact": draw_speed_around(around, units, sample_sheet),
        }
        durations = with_condition(contact_intervals(bouts, roles)[0], sample_sheet)
        around = around.assign(speed_unit=units[0], time_unit=units[1])
        numbers = {"contact_durations": durations, "speed_around_contact": around}
        return self.finished(made, numbers)


def any_calibrated(fields: pd.DataFrame, frames: pd.DataFrame) -> bool:
    """Whether some field has both a pixel size and times (or there is none)."""
    sized = fields.loc[fields["pixel_size_um"].notna(), "fov"]
    timed = frames.loc[frames["time_s"].notna(), "fov"]
    return not len(fields) or bool(sized.isin(timed).any())


def contact_durations(bouts: pd.DataFrame, sample_sheet: Sheet, roles: Roles) -> Figure:
    """Share of effector-target contacts that last longer than a time, per condition."""
    rows, unit = contact_intervals(bouts, roles)
    rows = with_condition(rows.assign(entry=0.0, leave=rows["duration"]), sample_sheet)
    title = "Contact durations"
    if rows.empty:
        return in_words(title, "No contact of an effector and a target was seen to begin.")
    label = f"time since the contact began ({unit})"
    share = "contacts lasting longer (%)"
    return draw_curves(rows, sample_sheet, label, share, title, "ended", unit)


def moments(
    bouts: pd.DataFrame, deaths: pd.DataFrame, kills: pd.DataFrame, roles: Roles
) -> pd.DataFrame:
    """The moments that speeds are aligned to, of effectors and of targets.

    ``contact``: a cell that was in contact with no cell of the other role comes into contact with
    one; contacts whose start was not seen are left out. ``death``: of the target itself; of an
    effector, the death of a target of which its share is at least half.

    Returns `fov`, `population`, `track_id`, `role`, `event`, `frame`; a cell may have several.
    """
    met = between(bouts, roles)
    sides = [
        met[["fov", "start_frame", "end_frame", "censored_start"]].assign(
            population=met[f"population_{side}"], track_id=met[f"track_id_{side}"]
        )
        for side in "ab"
    ]
    both = pd.concat(sides, ignore_index=True).sort_values([*CELL, "start_frame", "censored_start"])
    # the last frame so far in which the cell was in contact, of the bouts before this one
    until = both.groupby(CELL)["end_frame"].cummax()
    until = until.groupby([both[name] for name in CELL]).shift()
    new = (until.isna() | (both["start_frame"] > until + 1)) & ~both["censored_start"].astype(bool)
    contact = both[new].rename(columns={"start_frame": "frame"}).assign(event="contact")
    own = deaths[deaths["population"].isin(of_role(roles, "target"))].assign(event="death")
    sure = kills[
        (kills["share"] >= 0.5) & kills["target_population"].isin(of_role(roles, "target"))
    ]
    killer = sure.rename(
        columns={
            "effector_population": "population",
            "effector_track_id": "track_id",
            "death_frame": "frame",
        }
    ).assign(event="death")
    columns = [*CELL, "event", "frame"]
    rows = pd.concat([each[columns] for each in (contact, own, killer)], ignore_index=True)
    rows["role"] = rows["population"].map(dict(roles)).astype(object)
    return rows.drop_duplicates(columns).reset_index(drop=True)


def speed_around(
    steps: Iterable[pd.DataFrame],
    events: pd.DataFrame,
    frames: pd.DataFrame,
    sample_sheet: Sheet,
    calibrated: bool = True,
    window_frames: int = 15,
) -> tuple[pd.DataFrame, tuple[str, str]]:
    """Mean speed of cells by the time from a moment (`moments`) to the middle of the step.

    Times are put into bins one frame interval wide (the longest of the fields' median intervals),
    numbered so that the step that ends at the moment's frame is bin -0.5 and the next one 0.5.
    Of `steps` one part is held at a time; all steps of a cell are in one part. `calibrated` says
    that a field has a pixel size and times: those without are left out.

    Returns
    -------
    around : pandas.DataFrame
        `role`, `event`, `condition`, `replicate` (``(all)``: together), `lag` (in the unit of time),
        `mean`, `low`, `high` (mean -+ 1.96 standard errors, events taken as independent; NaN below
        two), `n` (moments).
    units : (str, str)
        Of speed and time: ``µm/min`` and ``min``, or ``px/frame`` and ``frames``.
    """
    time, unit = film_time(frames)
    calibrated = calibrated and unit == "min"
    units = ("µm/min", "min") if calibrated else ("px/frame", "frames")
    if not calibrated:
        time = time.assign(time=time["frame"].astype(float))
    speed = "speed_um_per_min" if calibrated else "speed_px_per_frame"
    interval = float(time.groupby("fov")["time"].diff().groupby(time["fov"]).median().max())
    interval = interval if interval > 0 else 1.0
    clock = time.set_index(["fov", "frame"])["time"]
    by = ["role", "event", "fov", "bin"]
    sums = [pd.DataFrame(columns=[*by, "n", "sum", "squares"])]
    for part in steps:
        pairs = events.merge(
            part.loc[part[speed].notna(), [*CELL, "frame", "dt_frames_from_previous", speed]],
            on=CELL,
            suffixes=("", "_step"),
        )
        # first by frame, which is cheap, then by time
        pairs = pairs[(pairs["frame_step"] - pairs["frame"]).abs() <= 2 * window_frames + 2]
        back = pairs["frame_step"] - pairs["dt_frames_from_previous"]
        begin, end, zero = (
            clock.reindex(pd.MultiIndex.from_arrays([pairs["fov"], each])).to_numpy(float)
            for each in (back.astype("int64"), pairs["frame_step"], pairs["frame"])
        )
        bins = np.floor(((begin + end) / 2 - zero) / interval) + 0.5
        pairs = pairs.assign(bin=bins, squares=pairs[speed] ** 2)[np.abs(bins) <= window_frames]
        found = {"n": (speed, "size"), "sum": (speed, "sum"), "squares": ("squares", "sum")}
        sums.append(pairs.groupby(by, as_index=False).agg(**found))
    rows = with_condition(pd.concat([one for one in sums if len(one)] or sums), sample_sheet)
    rows = pd.concat([rows, rows.assign(replicate="(all)")], ignore_index=True)
    group = ["role", "event", "condition", "replicate", "bin"]
    out = rows.groupby(group, as_index=False)[["n", "sum", "squares"]].sum()
    out = out.astype({"n": int, "bin": float, "sum": float, "squares": float})
    out["mean"] = out["sum"] / out["n"]
    # two values or more give a standard error
    free = (out["n"] - 1).where(out["n"] > 1)
    variance = ((out["squares"] - out["n"] * out["mean"] ** 2) / free).clip(lower=0)
    half = 1.96 * np.sqrt(variance / out["n"])
    out["low"], out["high"] = out["mean"] - half, out["mean"] + half
    out["lag"] = out["bin"] * interval
    columns = ["role", "event", "condition", "replicate", "lag", "mean", "low", "high", "n"]
    return out[columns], units


def draw_speed_around(around: pd.DataFrame, units: tuple[str, str], sample_sheet: Sheet) -> Figure:
    """Four panels: effectors and targets, around contact and around death."""
    title = "Speed around contact and death"
    shown = around[around["n"] >= FEWEST_EVENTS]
    if shown.empty:
        why = f"Fewer than {FEWEST_EVENTS} cells were tracked through the start of a contact or a death."
        return in_words(title, why)
    conditions = condition_order(sample_sheet, shown["condition"])
    hues, lines = colours(conditions), strokes(conditions)
    heads = {
        ("effector", "contact"): "Effectors, coming into contact",
        ("effector", "death"): "Effectors, at the death of a victim",
        ("target", "contact"): "Targets, coming into contact",
        ("target", "death"): "Targets, at their death",
    }
    with styled():
        fig = figure(8.4, 6.0 + 0.2 * len(conditions))
        grid = fig.subplots(2, 2, sharex=True, sharey="row")
        for ax, ((role, event), head) in zip(grid.flat, heads.items(), strict=True):
            mine = shown[(shown["role"] == role) & (shown["event"] == event)]
            ax.set_title(head)
            ax.axvline(0, color=FAINT, lw=0.9, ls=(0, (2, 2)))
            numbers = {}
            for name in conditions:
                n = _speed_line(ax, mine[mine["condition"] == name], name, hues[name], lines[name])
                numbers[name] = n
            seen = {name: n for name, n in numbers.items() if n}
            text = "\n".join(f"{short(name, 20)}: {count(n, 'event')}" for name, n in seen.items())
            if len(seen) > FEW:
                text = f"{min(seen.values())} to {max(seen.values())} events each"
            text = text or f"fewer than {FEWEST_EVENTS} cells seen through it"
            ax.text(0.02, 0.98, text, transform=ax.transAxes, va="top", fontsize=8)
        for row in grid:
            row[0].set_ylabel(f"mean speed ({units[0]})")
            row[0].set_ylim(0, 1.28 * max(row[0].get_ylim()[1], row[1].get_ylim()[1]))
        for ax, what in zip(grid[1], ("contact began", "death"), strict=True):
            ax.set_xlabel(f"time since {what} ({units[1]})")
        for name in conditions:
            look: dict[str, Any] = {"color": hues[name], "ls": lines[name]}
            grid[0][0].plot([], [], label=short(name, 28), **look)
        names = grid[0][0].get_legend_handles_labels()
        fig.legend(*names, loc="outside lower left", handlelength=3.2, ncols=2)
    return fig


def _speed_line(ax: Axes, rows: pd.DataFrame, name: str, hue: str, line: Any) -> int:
    """Draw one condition; return how many moments it rests on."""
    whole = rows[rows["replicate"] == "(all)"].sort_values("lag")
    if whole.empty:
        return 0
    parts = rows[rows["replicate"] != "(all)"]
    if len(parts["replicate"].unique()) > 1:
        for replicate, one in parts.groupby("replicate"):
            one = one.sort_values("lag")
            said = say(f"{name}, {replicate}: {count(one['n'].max(), 'event')}")
            ax.plot(one["lag"], one["mean"], color=hue, lw=0.7, alpha=0.6, gid=said)
    said = say(f"{name}: {count(whole['n'].max(), 'event')}")
    ax.plot(whole["lag"], whole["mean"], color=hue, ls=line, gid=said)
    ax.fill_between(whole["lag"], whole["low"], whole["high"], color=hue, alpha=0.15, lw=0)
    return int(whole["n"].max())
