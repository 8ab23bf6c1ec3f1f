"""Deaths as observed transitions of a track from alive to dead, and the fate of every track."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.contacts.common import (
    MISSING,
    Clock,
    Keys,
    find,
    fov_of,
    need,
    run_ids,
    size,
    starts_of,
)
from cyto_kedro.errors import InputError


class HysteresisDeaths(Algorithm):
    """Find at most one death per track with two thresholds and a minimum duration.

    Reads ``"viability"`` (`schemas.Viability`), ``"dataframe"`` (`schemas.TrackPoints`) and
    ``"tracks"`` (`schemas.Tracks`) of one field; tracks of populations without viability are left
    out. Returns ``"deaths"`` (`schemas.Deaths` with `n_killers` 0, to be filled by attribution,
    and the extra column `last_alive_frame`) and ``"fates"`` (`schemas.Fates`).

    Notes
    -----
    A track's state turns dead when alive_probability falls below `dead_below` and alive when it
    rises above `alive_above`; between, it stays. A run of dead frames is a death if it lasts
    `min_dead_frames` or is the track's last (the film may end, or the cell be lost, right after),
    if from its start on at least `min_dead_share` of the frames are dead (the dead do not recover:
    a cell that does was lit by a neighbour), and if at least `min_alive_frames` frames before it
    were alive beyond doubt. A track that is dead without having been seen alive is
    `dead_at_first_sight`: it carries no death. Frames are those in which the cell was detected. A
    dying cell that its track loses before the dye rises is censored there, not dead.
    """

    dead_below: float = Field(default=0.4, ge=0, le=1, description="alive_probability")
    alive_above: float = Field(default=0.6, ge=0, le=1, description="alive_probability")
    min_dead_frames: int = Field(default=3, ge=1, description="detections in a row")
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

    def __call__(self, data: Data) -> Data:
        """Return ``{"deaths", "fates"}``.

        Raises
        ------
        InputError
            If tables of several fields are given, or a track has no points.
        """
        viability, points, tracks = need(data, "viability", "dataframe", "tracks")
        fov_of(viability, points, tracks)
        populations = viability["population"].unique()
        tracks = tracks[tracks["population"].isin(populations)]
        tracks = tracks.sort_values(["population", "track_id"], ignore_index=True)
        clock = Clock(points)
        points = points[points["population"].isin(populations) & points["label"].notna()]
        if not len(tracks):
            extra = pd.Series(dtype=np.int64)
            return {
                "deaths": schemas.empty(schemas.Deaths).assign(last_alive_frame=extra),
                "fates": schemas.empty(schemas.Fates),
            }
        row, frame, alive = _series(viability, points, tracks)
        died, first_sight, death, last_alive = self._judge(row, frame, alive, len(tracks))
        death_frame = pd.array(np.where(died, death, 0), dtype="Int64")
        death_frame[~died] = pd.NA
        last = tracks["last_frame"].to_numpy(np.int64)
        fates = tracks[["fov", "population", "track_id", "first_frame", "last_frame"]].assign(
            dead_at_first_sight=first_sight,
            died=died,
            death_frame=death_frame,
            entry_min=clock(tracks["first_frame"].to_numpy(np.int64)),
            exit_min=clock(np.where(died, death, last)),
            end_reason=tracks["end_reason"],
        )
        deaths = tracks.loc[died, ["fov", "population", "track_id"]].assign(
            frame=death[died],
            time_min=clock(death[died]),
            n_killers=0,
            last_alive_frame=last_alive[died],
        )
        return {
            "deaths": schemas.conform(schemas.Deaths, deaths),
            "fates": schemas.conform(schemas.Fates, fates),
        }

    def _judge(
        self, row: np.ndarray, frame: np.ndarray, alive: np.ndarray, n_tracks: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Per track: died, dead at first sight, frame of death, last frame alive before it.

        `row` (track, ascending), `frame` and `alive` (probability) are per detection.
        """
        n = len(row)
        died, first_sight = np.zeros(n_tracks, bool), np.zeros(n_tracks, bool)
        death, last_alive = np.full(n_tracks, -1), np.full(n_tracks, -1)
        if n == 0:
            return died, first_sight, death, last_alive
        dead = self._states(row, alive)
        start = starts_of(row, dead)
        stop = np.append(start[1:], n)
        track_first = starts_of(row)
        track = run_ids(track_first, n)[start]
        track_start, track_stop = track_first[track], np.append(track_first[1:], n)[track]
        n_dead = np.concatenate([[0], np.cumsum(dead)])
        share = (n_dead[track_stop] - n_dead[start]) / (track_stop - start)
        lasting = (stop - start >= self.min_dead_frames) | (stop == track_stop)
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
        return died, first_sight, death, last_alive

    def _states(self, row: np.ndarray, alive: np.ndarray) -> np.ndarray:
        """Dead or not, per detection, by hysteresis along each track."""
        new = np.zeros(len(row), bool)
        new[starts_of(row)] = True
        decided = (alive < self.dead_below) | (alive > self.alive_above) | new
        undecided_dead = new & (alive < 0.5) & (alive <= self.alive_above)
        dead = (alive < self.dead_below) | undecided_dead
        return dead[np.maximum.accumulate(np.where(decided, np.arange(len(row)), 0))]


def _series(
    viability: pd.DataFrame, points: pd.DataFrame, tracks: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row in `tracks`, frame and alive_probability of each detection with a viability, sorted."""
    label = points["label"].to_numpy(np.int64)
    n_id = size(points["track_id"], tracks["track_id"], viability["label"], label)
    n_frame = size(points["frame"], viability["frame"])
    keys = Keys([tracks["population"], viability["population"]], n_id, n_frame)

    cell = keys.pack(
        keys.code(viability["population"]),
        viability["label"].to_numpy(np.int64),
        viability["frame"].to_numpy(np.int64),
    )
    order = np.argsort(cell)
    code = keys.code(points["population"])
    at = find(cell[order], keys.pack(code, label, points["frame"].to_numpy()))
    known = at != MISSING
    probability = viability["alive_probability"].to_numpy(float)[order][at[known]]

    code = code[known]
    track = points["track_id"].to_numpy()[known]
    frame = points["frame"].to_numpy(np.int64)[known]
    # `tracks` is sorted by population name and track_id, as the keys are
    names = keys.pack(keys.code(tracks["population"]), tracks["track_id"].to_numpy())
    row = find(names, keys.pack(code, track))
    if (row == MISSING).any():
        bad = points[known].iloc[int(np.flatnonzero(row == MISSING)[0])]
        raise InputError(
            f"field {bad['fov']!r}, {bad['population']}, frame {bad['frame']}: track "
            f"{bad['track_id']} has points but is not in the table of tracks; rerun tracking"
        )
    sorted_ = np.lexsort((frame, row))
    return row[sorted_], frame[sorted_], probability[sorted_]
