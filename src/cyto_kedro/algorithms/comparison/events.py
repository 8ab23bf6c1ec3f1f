"""Any column of a cell around any event: a contact, a death, a kill, or one that a condition defines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import scipy
from pydantic import Field, field_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.comparison.design import ALL, clocked
from cyto_kedro.algorithms.comparison.survival import survival_curve
from cyto_kedro.algorithms.tabulation.expressions import Expression
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.groups import between, of_design
from cyto_kedro.core.units import PositiveDuration
from cyto_kedro.errors import ConfigError, unknown
from cyto_kedro.schemas import TableOf

TRACK = ["fov", "population", "track_id"]
GROUP = ["event", "population", "column", "condition"]


class Followed(TypedDict):
    """When each track had each event, and sums of columns by the time from it."""

    event_times: TableOf[schemas.EventTimes]
    event_sums: TableOf[schemas.EventSums]


class Signals(TypedDict):
    """Means of replicates around events, and the events' survival curves."""

    event_signals: TableOf[schemas.EventSignals]
    event_curves: TableOf[schemas.EventCurves]


class FollowEvents(Algorithm):
    """One field: when each track first has each event, and its columns before and after.

    Notes
    -----
    **contact**: a cell's first contact with one of the other role (effector, target). **death**: its
    own. **kill**: the death of an effector's first victim, of which its share is at least half.
    `define` adds others: the first frame in which a condition on columns holds, for `min_frames`
    points of the track in a row; columns are those of `cells`, `steps` and `track_points`, written
    as in `Compute`. An event
    that is there when the track is first seen (a contact whose start was not seen) is no event: nobody
    knows when it was, so the track is left out of it. Death ends the time in which others may happen.

    Examples
    --------
    >>> points = {"fov": "A1", "population": "TCell", "track_id": 1, "frame": range(4), "label": 1}
    >>> points = schemas.filled(schemas.TrackPoints, points | {"x_px": [0, 9, 18, 18], "y_px": 0.0})
    >>> found = FollowEvents(columns=("x_px",), define={"far": "x_px > 10"})(
    ...     track_points=points, populations={"TCell": "effector"})
    >>> row = found["event_times"].query("event == 'far'").iloc[0]
    >>> int(row["frame"]), bool(row["happened"])
    (2, True)
    >>> found["event_sums"].query("event == 'far'")[["lag_frames", "sum"]].values.tolist()
    [[-2.0, 0.0], [-1.0, 9.0], [0.0, 18.0], [1.0, 18.0]]
    """

    columns: tuple[str, ...] = Field(
        default=("speed_um_per_min", "area_px"), min_length=1, description="what is averaged"
    )
    define: dict[str, str] = Field(default={}, description="event -> condition on columns")
    min_frames: int = Field(
        default=1, ge=1, description="points in a row that a condition must hold"
    )
    window: PositiveDuration = Field(
        default=PositiveDuration(min=30.0, frames=15), description="before and after an event"
    )

    @field_validator("define")
    @classmethod
    def _are_conditions(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if name in ("contact", "death", "kill"):
                raise ValueError(f"{name!r} is an event already; give yours another name")
            Expression(text)
        return value

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        populations: Mapping[str, str],
        cells: TableOf[schemas.Cells] | None = None,
        steps: TableOf[schemas.Steps] | None = None,
        bouts: TableOf[schemas.Bouts] | None = None,
        deaths: TableOf[schemas.Deaths] | None = None,
        kills: TableOf[schemas.Kills] | None = None,
        fates: TableOf[schemas.Fates] | None = None,
    ) -> Followed:
        """Follow the tracks of one field; `populations` is name -> role.

        Raises
        ------
        ConfigError
            If no table has a column that is asked for.
        """
        if track_points.empty:
            empty = schemas.empty(schemas.EventTimes), schemas.empty(schemas.EventSums)
            return {"event_times": empty[0], "event_sums": empty[1]}
        rows = _joined(track_points, steps, cells)
        conditions = {name: Expression(text) for name, text in self.define.items()}
        asked = [*self.columns, *(c for each in conditions.values() for c in each.columns)]
        for column in asked:
            if column not in rows.columns:
                numbers = list(rows.select_dtypes("number").columns)
                raise ConfigError(f"comparison.events: {unknown('column', column, numbers)}")
        tracks = rows.groupby(TRACK)["frame"].agg(first="min", last="max").reset_index()
        tracks["died"] = _death(tracks, deaths)
        events = {
            "contact": _contact(tracks, bouts, populations),
            "death": tracks["died"],
            "kill": _kill(tracks, kills),
            **{name: self._defined(tracks, rows, each) for name, each in conditions.items()},
        }
        clock = Clock(track_points)
        dead = _dead(tracks, fates)
        times = pd.concat(
            [_times(tracks[~dead], name, frame[~dead], clock) for name, frame in events.items()],
            ignore_index=True,
        )
        return {
            "event_times": schemas.conform(schemas.EventTimes, times),
            "event_sums": self._sums(rows, times, clock),
        }

    def _defined(
        self, tracks: pd.DataFrame, rows: pd.DataFrame, condition: Expression
    ) -> pd.Series:
        """The first frame of each track from which the condition holds `min_frames` points in a row."""
        held = pd.Series(condition.holds(rows), index=rows.index).astype(float)
        track = [rows[name] for name in TRACK]
        run = held.groupby(track).transform(lambda h: h[::-1].rolling(self.min_frames).sum()[::-1])
        first = rows[run >= self.min_frames].groupby(TRACK)["frame"].min().rename("at")
        return tracks.merge(first.reset_index(), on=TRACK, how="left")["at"].astype(float)

    def _sums(
        self, rows: pd.DataFrame, times: pd.DataFrame, clock: Clock
    ) -> TableOf[schemas.EventSums]:
        timed = np.isfinite(clock.interval_min)
        reach = self.window.in_unit("window", "min" if timed else "frames")
        interval = clock.interval_min if timed else 1.0
        happened = times.loc[times["happened"], [*TRACK, "event", "frame"]]
        near = happened.merge(
            rows[[*TRACK, "frame", *self.columns]], on=TRACK, suffixes=("_at", "")
        )
        at = near["frame_at"].to_numpy(np.int64)
        lag = clock(near["frame"]) - clock(at) if timed else near["frame"] - at
        near = near.assign(lag=np.round(np.asarray(lag, float) / interval))
        near = near[near["lag"].abs() * interval <= reach * (1 + 1e-9)]
        by = ["fov", "population", "event", "lag"]
        parts = []
        for column in self.columns:
            known = near[near[column].notna()]
            squares = known.assign(value=known[column].astype(float))
            squares["square"] = squares["value"] ** 2
            found = {"n": ("value", "size"), "sum": ("value", "sum"), "squares": ("square", "sum")}
            parts.append(squares.groupby(by, as_index=False).agg(**found).assign(column=column))
        table = pd.concat(parts, ignore_index=True)
        table["lag_frames"] = table["lag"]
        table["lag_min"] = table.pop("lag") * interval if timed else np.nan
        return schemas.conform(schemas.EventSums, table)


def _joined(
    points: pd.DataFrame, steps: pd.DataFrame | None, cells: pd.DataFrame | None
) -> pd.DataFrame:
    """Track points with the columns of `steps` and of their cells."""
    rows = points
    for table, key in (
        (steps, [*TRACK, "frame"]),
        (cells, ["fov", "population", "frame", "label"]),
    ):
        if table is None or table.empty:
            continue
        new = [name for name in table.columns if name not in rows.columns]
        mine = table[[*key, *new]]
        if "label" in key:
            mine = mine.astype({"label": "Int64"})
        rows = rows.merge(mine, on=key, how="left")
    return rows.sort_values([*TRACK, "frame"], ignore_index=True)


def _at(tracks: pd.DataFrame, events: pd.DataFrame) -> pd.Series:
    """The first `frame` of `events` (by track) for each of `tracks`, null where there is none."""
    first = events.groupby(TRACK)["frame"].min().rename("at").reset_index()
    return tracks.merge(first, on=TRACK, how="left")["at"].astype(float)


def _death(tracks: pd.DataFrame, deaths: pd.DataFrame | None) -> pd.Series:
    none = pd.Series(np.nan, index=tracks.index)
    return none if deaths is None or deaths.empty else _at(tracks, deaths)


def _contact(
    tracks: pd.DataFrame, bouts: pd.DataFrame | None, roles: Mapping[str, str]
) -> pd.Series:
    """First contact with the other role; one whose start was not seen is put at the track's start."""
    if bouts is None or bouts.empty:
        return pd.Series(np.nan, index=tracks.index)
    met = between(bouts, roles)
    sides = [
        met[["fov"]].assign(
            population=met[f"population_{side}"],
            track_id=met[f"track_id_{side}"],
            frame=met["start_frame"].where(~met["censored_start"].astype(bool), -1),
        )
        for side in "ab"
    ]
    return _at(tracks, pd.concat(sides))


def _kill(tracks: pd.DataFrame, kills: pd.DataFrame | None) -> pd.Series:
    if kills is None or kills.empty:
        return pd.Series(np.nan, index=tracks.index)
    sure = kills[kills["share"] >= 0.5]
    names = {"effector_population": "population", "effector_track_id": "track_id"}
    return _at(tracks, sure.rename(columns=names | {"death_frame": "frame"}))


def _dead(tracks: pd.DataFrame, fates: pd.DataFrame | None) -> np.ndarray:
    """Tracks that were dead at first sight: nothing can happen to them."""
    if fates is None or fates.empty:
        return np.zeros(len(tracks), bool)
    gone = fates.loc[fates["dead_at_first_sight"].astype(bool), TRACK]
    return pd.MultiIndex.from_frame(tracks[TRACK]).isin(pd.MultiIndex.from_frame(gone))


def _times(tracks: pd.DataFrame, event: str, frame: pd.Series, clock: Clock) -> pd.DataFrame:
    """Rows of `schemas.EventTimes` of one event."""
    end = np.fmin(tracks["last"].to_numpy(float), tracks["died"].to_numpy(float))
    at = frame.to_numpy(float)
    at = np.where(at <= end, at, np.nan)  # after death, or after the track: not of this cell
    first = tracks["first"].to_numpy(np.int64)
    seen = at <= first
    happened = np.isfinite(at) & ~seen
    stop = np.where(happened, at, end).astype(np.int64)
    table = tracks[TRACK].assign(event=event, happened=happened, at_first_sight=seen)
    table["frame"] = pd.array(np.where(happened, at, np.nan), dtype="Float64").astype("Int64")
    table["entry_frames"], table["exit_frames"] = first.astype(float), stop.astype(float)
    return table.assign(entry_min=clock(first), exit_min=clock(stop))


class EventSignals(Algorithm):
    """All fields: columns around events by condition and replicate, and the events' survival curves.

    Notes
    -----
    A replicate's mean is over its tracks with the event. A condition's (``(all)``) is the mean of its
    replicates' means, each counting once, where all of them have tracks enough (`min_tracks`); limits
    are Student's t of those means, null with one replicate. Times are put into bins of the longest of
    the fields' intervals. `event_curves` are Kaplan-Meier's share of the tracks that have not had the
    event yet, from the start of the film, tracks entering when first seen; bands by replicate.

    Examples
    --------
    >>> sums = {"fov": ["A1", "A2"], "population": "TCell", "event": "kill", "column": "area_px"}
    >>> sums = sums | {"lag_frames": 0.0, "lag_min": 0.0, "n": 4, "sum": [40.0, 80.0], "squares": 9.0}
    >>> design = pd.DataFrame({"fov": ["A1", "A2"], "condition": "drug", "replicate": ["D1", "D2"]})
    >>> made = EventSignals()(event_sums=schemas.filled(schemas.EventSums, sums),
    ...     event_times=schemas.empty(schemas.EventTimes), design=design.assign(cluster=["D1", "D2"]))
    >>> made["event_signals"][["replicate", "mean", "n"]].values.tolist()
    [['D1', 10.0, 4], ['D2', 20.0, 4], ['(all)', 15.0, 8]]
    """

    min_tracks: int = Field(default=3, ge=1, description="of a replicate at a time")

    def run(
        self,
        event_sums: TableOf[schemas.EventSums],
        event_times: TableOf[schemas.EventTimes],
        design: pd.DataFrame,
    ) -> Signals:
        """Put fields together; `design` is `core.groups.design`'s."""
        return {
            "event_signals": self._signals(of_design(event_sums, design)),
            "event_curves": _curves(of_design(event_times, design)),
        }

    def _signals(self, rows: pd.DataFrame) -> TableOf[schemas.EventSignals]:
        if rows.empty:
            return schemas.empty(schemas.EventSignals)
        timed = rows["lag_min"].notna().any()
        rows = rows[rows["lag_min"].notna()] if timed else rows
        lag = rows["lag_min" if timed else "lag_frames"]
        # the longest of the fields' intervals, so that every bin may hold a frame of each
        steps = lag.abs()[lag.abs() > 0].groupby(rows["fov"]).min()
        width = float(steps.max()) if len(steps) else 1.0
        rows = rows.assign(lag=np.round(lag / width) * width)
        by = [*GROUP, "replicate", "cluster", "lag"]
        each = rows.groupby(by, as_index=False, sort=False)[["n", "sum", "squares"]].sum()
        each["mean"] = each["sum"] / each["n"]
        enough = each[each["n"] >= self.min_tracks].sort_values([*GROUP, "replicate", "lag"])
        whole = []
        for key, mine in enough.groupby(GROUP, sort=False):
            units = mine.groupby(["cluster", "lag"])["mean"].mean().unstack("cluster")  # noqa: PD010
            units = units.dropna()  # a mean of changing replicates would jump
            number = units.shape[1]
            half = np.nan
            if number > 1:
                half = (
                    scipy.special.stdtrit(number - 1, 0.975) * units.std(axis=1) / np.sqrt(number)
                )
            mean = units.mean(axis=1)
            table = pd.DataFrame({"mean": mean, "low": mean - half, "high": mean + half})
            table["n"] = mine.groupby("lag")["n"].sum().reindex(table.index)
            names: dict[str, Any] = dict(zip(GROUP, key, strict=True))
            whole.append(
                table.rename_axis("lag").reset_index().assign(**names, n_replicates=number)
            )
        parts = [enough.assign(low=np.nan, high=np.nan, n_replicates=1)]
        parts += [one.assign(replicate=ALL) for one in whole if len(one)]
        table = clocked(pd.concat(parts, ignore_index=True), "min" if timed else "frames", "lag")
        return schemas.conform(schemas.EventSignals, table)


def _curves(rows: pd.DataFrame) -> TableOf[schemas.EventCurves]:
    """Share of tracks without the event so far, of each condition and replicate."""
    rows = rows[~rows["at_first_sight"].astype(bool)]
    unit = "min" if rows["entry_min"].notna().any() else "frames"
    rows = rows.assign(
        entry=rows[f"entry_{unit}"],
        leave=rows[f"exit_{unit}"],
        event_=rows["happened"].astype(bool),
    )
    rows = rows[rows["leave"] > rows["entry"]]
    parts = []
    for key, whole in rows.groupby(["event", "population", "condition"], sort=False):
        names: dict[str, Any] = dict(zip(("event", "population", "condition"), key, strict=True))
        groups = [(ALL, whole), *whole.groupby("replicate", sort=True)]
        for replicate, one in groups:
            curve = survival_curve(one.drop(columns="event").rename(columns={"event_": "event"}))
            parts.append(curve.assign(**names, replicate=replicate))
    if not parts:
        return schemas.empty(schemas.EventCurves)
    table = clocked(pd.concat(parts, ignore_index=True), unit)
    table["few_at_risk"] = table["at_risk"] < 10
    return schemas.conform(schemas.EventCurves, table)
