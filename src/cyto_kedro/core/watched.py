"""Which times a film shows of its cells and contacts: time at risk, time alive, time in contact.

Estimates from them are `core.survival`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import numpy as np
import pandas as pd

from cyto_kedro.core.clock import Clock, pausing
from cyto_kedro.core.contract import Streamed
from cyto_kedro.core.groups import any_known, between, of_role
from cyto_kedro.core.keys import MISSING, ranges
from cyto_kedro.schemas import TrackPoints

KEY = ["population", "fov"]
#: what `n_living` reads of track points
LivingPoints = Annotated[
    Iterable[pd.DataFrame], Streamed(TrackPoints, "fov population track_id frame dead")
]


def target_intervals(
    fates: pd.DataFrame, roles: Mapping[str, str], frames: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, str]:
    """The time each target was watched alive (`watched`), and the unit (``min``, or ``frames``)."""
    return watched(fates[fates["population"].isin(of_role(roles, "target"))], frames)


def contact_intervals(bouts: pd.DataFrame, roles: Mapping[str, str]) -> tuple[pd.DataFrame, str]:
    """How long each contact of an effector and a target lasted, and the unit.

    A contact already under way when first seen is left out: how long it had lasted is unknown,
    and long ones are more often met so. One still going when last seen is censored. Returns
    columns fov, duration, event.
    """
    mine = between(bouts, roles)
    mine = mine[~mine["censored_start"]]
    unit = "min" if any_known(mine["duration_min"]) else "frames"
    if unit == "min":
        mine = mine[mine["duration_min"].notna()]
    duration = mine["duration_min"] if unit == "min" else mine["n_frames"]
    table = mine[["fov"]].assign(
        duration=duration.astype(float), event=~mine["censored_end"].astype(bool)
    )
    return table.reset_index(drop=True), unit


def without_pauses(fov: pd.Series, minutes: pd.Series, frames: pd.DataFrame | None) -> pd.Series:
    """Film times of several fields by clocks that stand still in pauses: `Clock.without_pauses`.

    `fov`, `minutes`: of each row, its field and a time. `frames`: `schemas.Frames`; a field that is
    not in it, or has no times, is taken to have no pause.
    """
    if frames is None or not len(frames):
        return minutes
    timed = frames.assign(time_min=frames["time_s"] / 60)
    timed = timed[timed["fov"].isin(pausing(timed))]
    shown = minutes.to_numpy(float, copy=True)
    rows = pd.Series(fov.to_numpy()).groupby(fov.to_numpy()).indices if len(timed) else {}
    for name, film in timed.groupby("fov"):
        if name in rows:
            shown[rows[name]] = Clock(film).without_pauses(shown[rows[name]])
    return pd.Series(shown, minutes.index, name=minutes.name)


def watched(fates: pd.DataFrame, frames: pd.DataFrame | None = None) -> tuple[pd.DataFrame, str]:
    """The time each cell was watched alive, and the unit (``min``, or ``frames``).

    Nobody is at risk in a pause of the film: minutes are those of a clock that stands still in it,
    where `frames` (`schemas.Frames`) tells of one.

    Cells dead at first sight are left out (their death was not observed), and so are those seen
    once, which were never at risk. Fields without times are left out where others have them; where
    none has, all are in frames. Returns columns fov, population, track_id, cell_id (`cell_ids`),
    entry, leave, event, end_reason.

    A track that breaks gives rows that share its time, each from where the one before ended if that was
    in view: person-time, Kaplan-Meier and hazards are as if it had not. Only counts of rows are
    not, so cells are counted by `n_cells`.
    """
    piece, past = _unseen(fates)
    mine = fates.assign(cell_id=cell_ids(fates))
    for name, end in (("entry_min", "exit_min"), ("first_frame", "last_frame")):
        if len(piece):
            begin = fates[name].to_numpy(copy=True)
            begin[piece] = fates[end].to_numpy()[past]
            mine[name] = begin
    mine = mine[~fates["dead_at_first_sight"]]
    if any_known(fates["entry_min"]):
        mine = mine[mine["entry_min"].notna() & mine["exit_min"].notna()]
        unit = "min"
        entry, leave = (
            without_pauses(mine["fov"], mine[name], frames) for name in ("entry_min", "exit_min")
        )
    else:
        unit, entry = "frames", mine["first_frame"].astype(float)
        death = mine["death_frame"].astype("Float64").fillna(mine["last_frame"])
        leave = death.where(mine["died"], mine["last_frame"]).astype(float)
    table = mine[["fov", "population", "track_id", "cell_id", "end_reason"]].assign(
        entry=entry.astype(float), leave=leave.astype(float), event=mine["died"].astype(bool)
    )
    return table[table["leave"] > table["entry"]].reset_index(drop=True), unit


def past_rows(fates: pd.DataFrame) -> np.ndarray:
    """The row of the track that each of `fates` is the rest of (`past_track_id`); `MISSING`: none."""
    if "past_track_id" not in fates or not len(fates):
        return np.full(len(fates), MISSING)
    tracks, past = (
        pd.MultiIndex.from_arrays([fates["fov"], fates["population"], each])
        for each in (fates["track_id"].astype("Int64"), fates["past_track_id"].astype("Int64"))
    )
    return np.where(fates["past_track_id"].notna(), tracks.get_indexer(past), MISSING)


def cell_ids(fates: pd.DataFrame) -> pd.Series:
    """The first track of the cell that each of `fates` (`schemas.Fates`) is a piece of."""
    past = past_rows(fates)
    root = np.where(past == MISSING, np.arange(len(fates)), past)
    for _ in range(len(fates).bit_length()):  # each round follows twice as many pieces
        root = root[root]
    return pd.Series(fates["track_id"].to_numpy()[root], fates.index)


def goes_on(fates: pd.DataFrame) -> np.ndarray:
    """Tracks whose cell is found again in another: they ended, it did not."""
    past = past_rows(fates)
    return np.isin(np.arange(len(fates)), past[past != MISSING])


def _unseen(fates: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Rows of living pieces and of their pasts, between which a cell was in view and not tracked.

    Not so a cell that left over the border: that it came back tells that it had not died.
    """
    past = past_rows(fates)
    piece = np.flatnonzero((past != MISSING) & ~fates["dead_at_first_sight"].to_numpy(bool))
    past = past[piece]
    if not len(piece):
        return piece, past
    inside = fates["end_reason"].isin(["lost", "merge"]).to_numpy()[past]
    return piece[inside], past[inside]


def n_cells(rows: pd.DataFrame) -> int:
    """How many cells `rows` of `watched` are: pieces of one count once."""
    return len(rows[["fov", "population", "cell_id"]].drop_duplicates())


def used(frames: pd.DataFrame) -> pd.DataFrame:
    """Frames (`schemas.Frames`) that the sample sheet does not exclude."""
    return frames[~frames["excluded"].astype(bool)] if "excluded" in frames else frames


def films(frames: pd.DataFrame) -> pd.DataFrame:
    """Used frames of fields that have several: of stills among films time tells nothing.

    All used frames where there are stills alone.
    """
    frames = used(frames)
    several = frames.groupby("fov")["frame"].transform("size") > 1
    return frames[several] if several.any() else frames


def film_ends(frames: pd.DataFrame, unit: str) -> pd.Series:
    """When each film ends, by the clock of `watched`, excluded frames apart: fov -> time in `unit`."""
    frames = used(frames)
    end = frames["frame"].astype(float)
    if unit == "min":
        end = without_pauses(frames["fov"], frames["time_s"] / 60, frames)
    return end.groupby(frames["fov"]).max()


def common_end(frames: pd.DataFrame, design: pd.DataFrame, unit: str) -> float | None:
    """The last time that films of all replicates reach; None where they end together.

    By the clock of `watched`; a jitter of a twentieth is no difference. Stills do not count.
    `design` is `core.groups.design`'s.
    """
    ends = design["fov"].map(film_ends(films(frames), unit))
    last = ends.groupby([design["condition"], design["replicate"]]).max().dropna()
    return float(last.min()) if len(last) and last.min() < 0.95 * last.max() else None


def until(rows: pd.DataFrame, end: float | None) -> pd.DataFrame:
    """Rows of `watched` as if the film had ended at `end`; None: as they are."""
    if end is None:
        return rows
    cut = rows.assign(
        event=rows["event"] & (rows["leave"] <= end), leave=rows["leave"].clip(upper=end)
    )
    return cut[cut["leave"] > cut["entry"]]


def bouts_until(
    bouts: pd.DataFrame, end: float | None, unit: str, frames: pd.DataFrame
) -> pd.DataFrame:
    """`schemas.Bouts` as if the film had ended at `end` by the clock of `watched`; None: as they are."""
    if end is None or not len(bouts):
        return bouts
    time = frames["frame"].astype(float)
    if unit == "min":
        time = without_pauses(frames["fov"], frames["time_s"] / 60, frames)
    filmed = frames[["fov", "frame"]].assign(time=time)
    filmed = filmed[~(filmed["time"] > end * (1 + 1e-9))]
    last = bouts["fov"].map(filmed.groupby("fov")["frame"].max())
    known = time.to_numpy()[
        pd.MultiIndex.from_frame(frames[["fov", "frame"]]).get_indexer(
            pd.MultiIndex.from_arrays([bouts["fov"], bouts["end_frame"]])
        )
    ]
    beyond = (bouts["end_frame"] - last).clip(lower=0)
    late = np.where(beyond > 0, known - bouts["fov"].map(filmed.groupby("fov")["time"].max()), 0)
    cut = bouts.assign(
        censored_end=bouts["censored_end"].astype(bool) | (bouts["end_frame"] >= last),
        n_frames=bouts["n_frames"] - beyond,
        duration_min=bouts["duration_min"] - late,
    )
    return cut[bouts["start_frame"] <= last]


def effector_hours(
    points: pd.DataFrame | pd.Series,
    frames: pd.DataFrame,
    effectors: list[str],
    fates: pd.DataFrame | None = None,
) -> dict[str, float]:
    """Hours that effectors were watched alive, by fov; null where frame times are unknown.

    The number of tracked, living effectors in each frame, integrated over time by the trapezoid
    rule; frames excluded by the sample sheet are skipped, and a pause of the film (`core.clock`)
    stands for one frame interval.

    Parameters
    ----------
    points
        `schemas.TrackPoints`, or what `n_living` counted of them and of `fates`.
    frames
        `schemas.Frames`.
    effectors
        Populations that count.
    fates
        As in `n_living`.
    """
    seen = n_living([points], fates) if isinstance(points, pd.DataFrame) else points
    seen = seen[seen.index.isin(effectors, level="population")].groupby(["fov", "frame"]).sum()
    used = frames[~frames["excluded"]].sort_values(["fov", "frame"], ignore_index=True)
    number = seen.reindex(pd.MultiIndex.from_frame(used[["fov", "frame"]]), fill_value=0)
    used = used.assign(number=number.to_numpy(dtype=float), time_min=used["time_s"] / 60)
    minutes = used["time_min"] - used.groupby("fov")["time_min"].transform("first")
    for _, one in used[used["fov"].isin(pausing(used))].groupby("fov"):
        minutes.loc[one.index] = Clock(one).watched_min(one["frame"])
    used["watched_min"] = minutes
    before = used.groupby("fov")[["watched_min", "number"]].shift()
    passed = used["watched_min"] - before["watched_min"]
    area = passed * (used["number"] + before["number"]) / 2
    hours = area.groupby(used["fov"]).sum(min_count=1) / 60.0
    return {str(fov): float(value) for fov, value in hours.items()}


def n_living(parts: Iterable[pd.DataFrame], fates: pd.DataFrame | None) -> pd.Series:
    """How many cells of each population live in each frame: before their death, and while unseen.

    Parameters
    ----------
    parts
        `LivingPoints`, in as many tables as there are: they are read one after the
        other. Where one has a column ``dead``, dead points do not count.
    fates
        `schemas.Fates`: from its death on a cell does not count, nor does one dead at first sight;
        it does between pieces of its track (`watched`).

    Returns
    -------
    pandas.Series
        Counts, by population, fov and frame; frames without any are left out.
    """
    ends = {} if fates is None or not len(fates) else _ends(fates)
    living: dict[Any, np.ndarray] = {}

    def count(key: Any, frame: np.ndarray) -> None:
        so_far = living.get(key, np.zeros(0, int))
        number = np.bincount(frame, minlength=len(so_far))
        number[: len(so_far)] += so_far
        living[key] = number

    for part in parts:
        if "dead" in part:
            part = part[~part["dead"].fillna(False).astype(bool)]
        for key, rows in part.groupby(KEY).indices.items():
            frame = part["frame"].to_numpy(np.int64)[rows]
            if key in ends:
                track, (ids, end) = part["track_id"].to_numpy(np.int64)[rows], ends[key]
                place = np.minimum(np.searchsorted(ids, track), len(ids) - 1)
                frame = frame[(ids[place] != track) | ~(frame >= end[place])]
            count(key, frame)
    if fates is not None and len(fates):
        seen = {population for population, _ in living}
        for key, frame in _between_pieces(fates[fates["population"].isin(seen)]):
            count(key, frame)
    tables = [
        pd.DataFrame(dict(zip(KEY, key, strict=True)) | {"frame": frame, "n": number[frame]})
        for key, number in living.items()
        if len(frame := np.flatnonzero(number))
    ]
    none = pd.DataFrame({"population": [], "fov": [], "frame": [], "n": []}, dtype=object)
    table = pd.concat(tables, ignore_index=True) if tables else none.astype({"n": int})
    return table.set_index(["population", "fov", "frame"])["n"]


def _ends(fates: pd.DataFrame) -> dict[Any, tuple[np.ndarray, np.ndarray]]:
    """By population and fov: tracks that died, ascending, and from which frame on (-1: all)."""
    gone = fates[fates["died"] | fates["dead_at_first_sight"]]
    end = gone["death_frame"].astype("Float64").where(gone["died"], -1.0).astype(float).to_numpy()
    track = gone["track_id"].to_numpy(np.int64)
    order = np.argsort(track, kind="stable")
    groups = gone.iloc[order].groupby(KEY).indices
    return {key: (track[order[rows]], end[order[rows]]) for key, rows in groups.items()}


def _between_pieces(fates: pd.DataFrame) -> Iterator[tuple[Any, np.ndarray]]:
    """Population and fov, and frames in which cells were in view between pieces of their tracks."""
    piece, past = _unseen(fates)
    if not len(piece):
        return
    first, last = (fates[name].to_numpy(np.int64) for name in ("first_frame", "last_frame"))
    begin = last[past] + 1
    frame, owner = ranges(begin, first[piece] - begin)
    unseen = fates[KEY].iloc[piece[owner]].reset_index(drop=True)
    for key, rows in unseen.groupby(KEY).indices.items():
        yield key, frame[rows]
