"""Deaths as observed transitions of a track from alive to dead, and the fate of every track."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Collection
from itertools import count
from typing import Any, ClassVar, NamedTuple, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.bodies import Bodies, find_again, find_bodies
from cyto_kedro.algorithms.contacts.corrected_deaths import apply_corrections, fit_corrections
from cyto_kedro.algorithms.contacts.corrected_events import Correctable, said_of
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import MISSING, fov_of, rows_in_frame, rows_of, run_ids, starts_of
from cyto_kedro.core.units import Duration, Length
from cyto_kedro.errors import InputError

log = logging.getLogger(__name__)

_MAY_GO_ON = ("lost", "merge", "border")  # ends of tracks whose cell may be found again


class Series(NamedTuple):
    """Every detection with a viability, sorted by row (of `tracks`) and frame."""

    row: np.ndarray
    frame: np.ndarray
    alive: np.ndarray

    def lasting(self, clock: Clock) -> np.ndarray:
        """(n + 1,) what the detections before each stand for: minutes, or their number."""
        each = clock.duration_min(self.frame)
        if np.isnan(each).any():
            each = np.ones(len(self.frame))
        return np.concatenate([[0.0], np.cumsum(each)])


class Judged(NamedTuple):
    """Per track: died, dead at first sight, frame of the death and the last one alive before it.

    `recovered`: dead for as long as a death takes and yet no death, as it lived on for longer.
    """

    died: np.ndarray
    first_sight: np.ndarray
    death: np.ndarray
    last_alive: np.ndarray
    recovered: np.ndarray

    @classmethod
    def nobody(cls, n: int) -> Judged:
        """All of `n` tracks alive throughout."""
        died, first_sight, recovered = np.zeros((3, n), bool)
        return cls(died, first_sight, np.full(n, -1), np.full(n, -1), recovered)


class Called(TypedDict):
    """Deaths, `n_killers` 0, to be filled by attribution, and every track's fate."""

    deaths: TableOf[schemas.Deaths]
    fates: TableOf[schemas.Fates]


class DeathCaller(Correctable):
    """Find at most one death per track, and every track's fate.

    Tracks of populations without viability are left out.

    Notes
    -----
    A track that is dead without having been seen alive is `dead_at_first_sight` and carries no
    death; one that ends dead is a death; any other is censored where it ends, with its `end_reason`.
    A daughter's clock starts at the division (`start_reason`); her mother is censored there.

    *Bodies.* A dying cell shrinks and rounds up, so its track may be lost just then and its body be
    found as a new track that is dead at first sight. Where a track that was alive ends ``lost`` and
    such a body begins within `body_reach` of its last place, and at most `body_max_gap` is missing
    between them, each the other's nearest, the track is a death (``evidence = body``) in
    the body's first frame. The body keeps its track and stays `dead_at_first_sight`.

    *Pieces.* A living cell that is lost, merges or leaves, and one that begins alive within `max_lost`,
    no farther than cells of the population move in that time, are one cell in two tracks: cells do
    not vanish and appear. So are a dead one and one dead at first sight. `past_track_id` names what a
    body or a piece is the rest of. Counts of cells count each chain once (`core.watched`).
    """

    body_reach: Length | None = Field(
        default=Length(um=6.0, px=0.0), description="how far a body may lie; 0 or null: off"
    )
    body_max_gap: Duration = Field(
        default=Duration(min=5, frames=2), description="time missing at most"
    )
    max_lost: Duration = Field(
        default=Duration(min=30, frames=10),
        description="time after which a lost cell is no longer looked for; 0: never looked for",
    )

    @abstractmethod
    def judge(self, series: Series, n_tracks: int, clock: Clock) -> Judged:
        """Judge each of `n_tracks` tracks by its own detections."""

    def run(
        self,
        viability: TableOf[schemas.Viability],
        track_points: TableOf[schemas.TrackPoints],
        tracks: TableOf[schemas.Tracks],
        event_corrections: TableOf[schemas.EventCorrections] | None = None,
        pixel_size_um: float | None = None,
        excluded: Collection[int] = (),
    ) -> Called:
        """Find the deaths of one field; `excluded` are frames that were not analysed.

        Raises
        ------
        InputError
            If tables of several fields are given, or a track has no points.
        """
        fov_of(viability, track_points, tracks)
        populations = viability["population"].unique()
        kept = tracks[tracks["population"].isin(populations)]
        kept = kept.sort_values(["population", "track_id"], ignore_index=True)
        clock = Clock(track_points)
        points = track_points
        points = points[points["population"].isin(populations) & points["label"].notna()]
        if not len(kept):
            none = schemas.empty(schemas.Deaths)
            late = none.drop(columns=["p_background", "verdict"])  # attribution's
            return {
                "deaths": schemas.conform(schemas.Deaths, late),
                "fates": schemas.empty(schemas.Fates),
            }
        first = next(frame for frame in count() if frame not in excluded)
        said = said_of("death", event_corrections)
        fit = fit_corrections(said, points, kept, self.reach_of_corrections(pixel_size_um))
        last = fit.drop_duplicates("row", keep="last")  # of several words on a cell
        return self._called(_series(viability, points, kept), points, kept, clock, first, last)

    def _called(
        self,
        series: Series,
        points: pd.DataFrame,
        tracks: pd.DataFrame,
        clock: Clock,
        first_frame: int,
        corrected: pd.DataFrame,
    ) -> Called:
        judged = apply_corrections(
            self.judge(series, len(tracks), clock), corrected, points, tracks
        )
        died, first_sight, death, last_alive, recovered = judged
        _warn(tracks, first_sight, recovered)
        seen_alive = np.bincount(series.row, series.alive > 0.5, minlength=len(tracks)) > 0
        seen_alive[corrected["row"]] = False  # a person has said what becomes of these
        rule = self._bodies(points, clock)
        bodies = find_bodies(points, tracks, seen_alive & ~died & ~first_sight, first_sight, rule)
        linked = bodies != MISSING
        past = np.full(len(tracks), MISSING)
        past[bodies[linked]] = np.flatnonzero(linked)
        died, death = died | linked, death.copy()
        known = "parent_track_id" in tracks
        born = tracks["parent_track_id"].notna() if known else np.zeros(len(tracks), bool)
        start = np.where(tracks["first_frame"] <= first_frame, "film_start", "entered")
        start = np.where(born, "division", start)
        told = np.bincount(series.row, minlength=len(tracks)) > 0
        lost = told & tracks["end_reason"].isin(_MAY_GO_ON).to_numpy()
        late = told & (start == "entered") & (past == MISSING)
        gap, timed = self.max_lost.timed("max_lost", not np.isnan(clock.interval_min))
        longer = rule._replace(max_gap=gap, clock=clock if timed else None)
        dead = died | first_sight
        for ended, begun in (
            (lost & ~dead, late & ~first_sight),
            (lost & dead & ~linked, late & first_sight),
        ):
            if gap:
                on = find_again(points, tracks, ended, begun, longer)
                past[on[on != MISSING]] = np.flatnonzero(on != MISSING)
        last = tracks["last_frame"].to_numpy(np.int64)
        death[linked] = tracks["first_frame"].to_numpy(np.int64)[bodies[linked]]
        last_alive = np.where(linked, last, last_alive)
        death_frame = pd.array(np.where(died, death, 0), dtype="Int64")
        death_frame[~died] = pd.NA
        fates = tracks[["fov", "population", "track_id", "first_frame", "last_frame"]].assign(
            dead_at_first_sight=first_sight,
            died=died,
            death_frame=death_frame,
            entry_min=clock(tracks["first_frame"].to_numpy(np.int64)),
            exit_min=clock(np.where(died, death, last)),
            end_reason=tracks["end_reason"],
            start_reason=start,
            recovered=recovered,
            past_track_id=_track_ids(tracks, past),
        )
        body = _track_ids(tracks, bodies)
        evidence = np.where(linked, "body", "marker")
        by_hand = np.isin(np.arange(len(tracks)), corrected["row"])
        deaths = tracks.loc[died, ["fov", "population", "track_id"]].assign(
            frame=death[died],
            time_min=clock(death[died]),
            n_killers=0,
            last_alive_frame=last_alive[died],
            evidence=np.where(by_hand, "person", evidence)[died],
            body_track_id=body[died],
        )
        return {
            "deaths": schemas.conform(schemas.Deaths, deaths),
            "fates": schemas.conform(schemas.Fates, fates),
        }

    def _bodies(self, points: pd.DataFrame, clock: Clock) -> Bodies:
        """Where and how long after its cell was lost a body may begin."""
        gap, timed = self.body_max_gap.timed("body_max_gap", not np.isnan(clock.interval_min))
        if self.body_reach is None:
            return Bodies(0.0, "px", gap, clock if timed else None)
        calibrated = bool(points["x_um"].notna().all())
        if calibrated and self.body_reach.um is not None:
            return Bodies(self.body_reach.um, "um", gap, clock if timed else None)
        reach = self.body_reach.in_px("body_reach", None)
        return Bodies(reach, "px", gap, clock if timed else None)


def _track_ids(tracks: pd.DataFrame, row: np.ndarray) -> Any:
    """``track_id`` of each of `row`, null where it is `MISSING`."""
    named = pd.array(tracks["track_id"].to_numpy(np.int64)[row], dtype="Int64")
    named[row == MISSING] = pd.NA
    return named


def _warn(tracks: pd.DataFrame, first_sight: np.ndarray, recovered: np.ndarray) -> None:
    """Say so where most tracks of a population are dead from the first, or some live again."""
    if recovered.any():
        names = tracks.loc[recovered, ["population", "track_id"]].head(5).astype(str)
        log.warning(
            "field %s: %d tracks are dead for as long as a death takes and alive afterwards (%s …): "
            "two cells in one track, or another cell's light. No death is counted; look at them "
            "(column `recovered` of fates), and cut the track where it changes cells.",
            tracks["fov"].iloc[0],
            recovered.sum(),
            ", ".join(names["population"] + " " + names["track_id"]),
        )
    for name, dead in pd.Series(first_sight).groupby(tracks["population"].to_numpy(object)):
        if dead.mean() > 0.5:
            log.warning(
                "field %s, %s: %d of %d tracks are dead at first sight, so nothing is told of them. "
                "Is this field filmed as the others are, and does the death marker stain none but "
                "the dead of this population? contacts.viability says what is called dead.",
                tracks["fov"].iloc[0],
                name,
                dead.sum(),
                len(dead),
            )


class HysteresisDeaths(DeathCaller):
    """Find deaths with two thresholds and a minimum duration.

    Inputs, outputs, clocks and bodies: see `DeathCaller`.

    Notes
    -----
    A track's state turns dead when alive_probability falls below `dead_below` and alive when it
    rises above `alive_above`; between, it stays. A run of dead frames is a death if they stand for
    `min_dead` or it is the track's last (the film may end, or the cell be lost, right after),
    if from its start on at least `min_dead_share` of the frames are dead (the dead do not recover:
    a cell that does was lit by a neighbour), and if at least `min_alive_frames` frames before it
    were alive beyond doubt. Frames are those in which the cell was detected.

    Examples
    --------
    >>> frames = np.arange(8)
    >>> cell = {"population": "T", "frame": frames, "label": 1}
    >>> alive = np.where(frames < 5, 0.95, 0.02)
    >>> viability = schemas.filled(schemas.Viability, {**cell, "alive_probability": alive})
    >>> points = schemas.filled(schemas.TrackPoints, {**cell, "track_id": 1, "x_px": 9, "y_px": 9})
    >>> track = {"population": ["T"], "track_id": 1, "last_frame": 7, "end_reason": "film_end"}
    >>> tracks = schemas.filled(schemas.Tracks, track)
    >>> called = HysteresisDeaths()(viability=viability, track_points=points, tracks=tracks)
    >>> called["deaths"][["track_id", "last_alive_frame", "frame"]].values.tolist()
    [[1, 4, 5]]
    """

    version: ClassVar[int] = 6

    dead_below: float = Field(default=0.4, ge=0, le=1, description="alive_probability")
    alive_above: float = Field(default=0.6, ge=0, le=1, description="alive_probability")
    min_dead: Duration = Field(
        default=Duration(min=5, frames=3), description="what detections in a row stand for"
    )
    min_alive_frames: int = Field(default=1, ge=1, description="detections before the death")
    min_dead_share: float = Field(
        default=0.5, ge=0, le=1, description="of the detections from the death on"
    )

    @model_validator(mode="after")
    def _ordered(self) -> HysteresisDeaths:
        if self.dead_below > self.alive_above:
            raise ValueError(
                f"dead_below={self.dead_below} is above alive_above={self.alive_above}: a cell "
                f"could be dead and alive at once"
            )
        return self

    def judge(self, series: Series, n_tracks: int, clock: Clock) -> Judged:
        row, frame, alive = series
        n = len(row)
        died, first_sight, death, last_alive, recovered = judged = Judged.nobody(n_tracks)
        if n == 0:
            return judged
        dead = self._states(row, alive)
        start = starts_of(row, dead)
        stop = np.append(start[1:], n)
        track_first = starts_of(row)
        track = run_ids(track_first, n)[start]
        track_start, track_stop = track_first[track], np.append(track_first[1:], n)[track]
        n_dead = np.concatenate([[0], np.cumsum(dead)])
        share = (n_dead[track_stop] - n_dead[start]) / (track_stop - start)
        least, timed = self.min_dead.timed(
            "min_dead", not np.isnan(clock.duration_min(frame)).any()
        )
        summed = series.lasting(clock) if timed else np.arange(n + 1)
        least -= clock.jitter_min if timed else 1e-9
        lasting = (summed[stop] - summed[start] >= least) | (stop == track_stop)
        candidate = np.flatnonzero(dead[start] & lasting & (share >= self.min_dead_share))
        _, first = np.unique(track[candidate], return_index=True)
        run = candidate[first]
        n_alive = np.concatenate([[0], np.cumsum(alive > self.alive_above)])
        before = n_alive[start[run]] - n_alive[track_start[run]]
        seen = before >= self.min_alive_frames
        which = row[start[run]]
        died[which], first_sight[which] = seen, ~seen
        death[which] = frame[start[run]]
        last_alive[which] = frame[np.maximum(start[run] - 1, 0)]
        back = dead[start] & lasting & (stop < track_stop) & (share < self.min_dead_share)
        recovered[row[start[back]]] = True
        recovered &= ~died
        return judged

    def _states(self, row: np.ndarray, alive: np.ndarray) -> np.ndarray:
        """Dead or not, per detection, by hysteresis along each track."""
        new = np.zeros(len(row), bool)
        new[starts_of(row)] = True
        decided = (alive < self.dead_below) | (alive > self.alive_above) | new
        undecided_dead = new & (alive < 0.5) & (alive <= self.alive_above)
        dead = (alive < self.dead_below) | undecided_dead
        return dead[np.maximum.accumulate(np.where(decided, np.arange(len(row)), 0))]


def _series(viability: pd.DataFrame, points: pd.DataFrame, tracks: pd.DataFrame) -> Series:
    """The detections of `tracks` with their alive_probability."""
    at = rows_in_frame(viability, points, "label")
    points, at = points[at != MISSING], at[at != MISSING]
    probability = viability["alive_probability"].to_numpy(float)[at]
    frame = points["frame"].to_numpy(np.int64)
    row = rows_of(tracks, points["population"], points["track_id"])
    if (row == MISSING).any():
        bad = points.iloc[int(np.flatnonzero(row == MISSING)[0])]
        raise InputError(
            f"field {bad['fov']!r}, {bad['population']}, frame {bad['frame']}: track "
            f"{bad['track_id']} has points but is not in the table of tracks; rerun tracking"
        )
    sorted_ = np.lexsort((frame, row))
    return Series(row[sorted_], frame[sorted_], probability[sorted_])
