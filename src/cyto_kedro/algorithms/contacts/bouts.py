"""Bouts: runs of contact of one pair of tracked cells.

A cell's position may be interpolated over frames in which it was not detected. It has no mask
there, so whether it touched anything is **unknown, not false**; `Bouts` tells the two apart.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.contacts.joint import Joint
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import PAIR, fov_of, is_repaired, run_ids, starts_of
from cyto_kedro.core.units import Duration


class Joined(TypedDict):
    """Runs of contact."""

    bouts: TableOf[schemas.Bouts]


class Bouts(Algorithm):
    """Join the contacts of a pair to bouts, across short gaps.

    Notes
    -----
    Between two contacts of a pair lie frames in which both cells were seen and *apart*, and
    *unknown* frames, in which one of them was not detected (interpolated, missing or excluded).
    The two contacts are of one bout if the frames apart last at most `max_gap`, and
    `missing_partner` says what an unknown frame is. A *pause* in the film (`cyto_kedro.core.clock`)
    ends a bout: contact across it is unknown.

    ``duration_min`` is the time that the frames from the first to the last stand for, each until
    the next frame: a bout of one frame lasts one interval. `censored_start` and `censored_end`: the
    bout reaches the first or last frame in which both cells were seen, at the film's ends or the
    track's, or a pause, or (``missing_partner="break"``) an unknown frame cut it; `start_cause` and
    `end_cause` say which. ``recontact_min = time(start_frame) - time(end_frame of the pair's bout
    before)``; null, as its frames, across a pause.

    Examples
    --------
    >>> frames = np.arange(8)
    >>> rows = {"population": np.repeat(["N", "T"], 8), "track_id": 1, "frame": np.tile(frames, 2)}
    >>> rows |= {"label": 1, "time_min": np.tile(2.0 * frames, 2), "x_px": 5.0, "y_px": 5.0}
    >>> points = schemas.filled(schemas.TrackPoints, rows)
    >>> touching = {"population_a": "N", "track_id_a": 1, "population_b": "T", "track_id_b": 1}
    >>> touching |= {"frame": [1, 2, 4, 7], "time_min": [2.0, 4.0, 8.0, 14.0]}
    >>> contacts = schemas.filled(schemas.Contacts, touching)
    >>> bouts = Bouts()(contacts=contacts, track_points=points)["bouts"]
    >>> bouts[["start_frame", "end_frame", "duration_min"]].values.tolist()
    [[1.0, 4.0, 8.0], [7.0, 7.0, 2.0]]
    """

    version: ClassVar[int] = 5

    max_gap: Duration = Field(
        default=Duration(min=3, frames=1), description="time apart that a bout may bridge in one go"
    )
    min_frames: int = Field(default=1, ge=1, description="contact frames that a bout needs")
    min_duration: Duration | None = Field(
        default=None, description="time that a bout must last, besides"
    )
    missing_partner: Literal["unknown", "apart", "break"] = Field(
        default="unknown",
        description="a frame in which one cell was not detected: unknown = bridged at no cost, "
        "apart = counted as a frame apart, break = ends the bout",
    )

    def run(
        self,
        contacts: TableOf[schemas.Contacts],
        track_points: TableOf[schemas.TrackPoints],
        n_frames: int | None = None,
    ) -> Joined:
        """Join the contacts of one field; `n_frames` of its film, where known.

        Raises
        ------
        InputError
            If tables of several fields are given.
        ConfigError
            If a limit is in minutes alone and the times are unknown.
        """
        fov_of(contacts, track_points)
        if not len(contacts):
            return {"bouts": schemas.empty(schemas.Bouts)}
        table = contacts.sort_values([*PAIR, "frame"], ignore_index=True)
        clock = Clock(track_points, table)
        frame = table["frame"].to_numpy(np.int64)
        first_of_pair = starts_of(*(table[name].to_numpy() for name in PAIR))
        pair = run_ids(first_of_pair, len(table))
        seen = Joint(track_points, table.loc[first_of_pair, PAIR])
        joined = np.zeros(len(table), bool)  # to the row before
        later = np.flatnonzero(pair[1:] == pair[:-1]) + 1
        joined[later] = self._bridged(seen, clock, pair[later], frame[later - 1], frame[later])

        start = np.flatnonzero(~joined)
        end = np.append(start[1:], len(frame)) - 1
        n_contact = end - start + 1
        duration = clock.between_min(frame[start], frame[end])
        keep = n_contact >= self.min_frames
        if self.min_duration is not None:
            known = not np.isnan(clock.interval_min)
            least, timed = self.min_duration.timed("min_duration", known)
            lasting = duration if timed else frame[end] - frame[start] + 1
            keep &= lasting >= least - (clock.jitter_min if timed else 1e-9)
        start, end, n_contact, duration = start[keep], end[keep], n_contact[keep], duration[keep]
        pair, first, last = pair[start], frame[start], frame[end]
        n_frames = int(n_frames or track_points["frame"].max() + 1)
        causes = {
            "start": seen.cause(pair, first, -1, film=0),
            "end": seen.cause(pair, last, 1, film=n_frames - 1),
        }
        paused = {"start": clock.paused(first - 1, first), "end": clock.paused(last, last + 1)}
        for side, cause in causes.items():
            cause[paused[side] & np.isin(cause, ["seen", "unseen"])] = "pause"
        censored = {
            side: (cause != "seen") & ((cause != "unseen") | (self.missing_partner == "break"))
            for side, cause in causes.items()
        }
        # an unknown frame before the first joint one hides the start whatever the rule
        censored["start"] |= first == seen.first[pair]
        censored["end"] |= last == seen.last[pair]
        again = np.zeros(len(start), bool)
        again[1:] = pair[1:] == pair[:-1]
        before = np.where(again, np.roll(last, 1), first)
        again &= ~clock.paused(before, first)
        bouts = table.loc[start, ["fov", *PAIR]].assign(
            bout=np.arange(len(start)) - np.searchsorted(pair, pair) + 1,
            start_frame=first,
            end_frame=last,
            n_frames=last - first + 1,
            n_contact_frames=n_contact,
            start_min=clock(first),
            duration_min=duration,
            censored_start=censored["start"],
            censored_end=censored["end"],
            start_cause=causes["start"],
            end_cause=causes["end"],
            recontact_frames=np.where(again, first - before, np.nan),
            recontact_min=np.where(again, clock(first) - clock(before), np.nan),
        )
        bouts["n_repaired_frames"] = _repaired(track_points, bouts)
        return {"bouts": schemas.conform(schemas.Bouts, bouts)}

    def _bridged(
        self, seen: Joint, clock: Clock, pair: np.ndarray, before: np.ndarray, after: np.ndarray
    ) -> np.ndarray:
        """Whether contacts at frames `before` and `after` of a pair are of one bout."""
        limit, timed = self.max_gap.timed("max_gap", not np.isnan(clock.interval_min))
        apart = seen.count(pair, before + 1, after)
        gap = after - before - 1
        if timed and self.missing_partner == "unknown":
            lasting = seen.minutes(clock, pair, before + 1, after)
        elif timed:
            lasting = clock(after) - clock(before) - clock.interval_min
        else:
            lasting = apart if self.missing_partner == "unknown" else gap
        short = lasting <= limit + (clock.jitter_min if timed else 1e-9)
        if self.missing_partner == "break":
            short &= apart == gap
        return short & ~clock.paused(before, after)


def _repaired(points: pd.DataFrame, bouts: pd.DataFrame) -> np.ndarray:
    """(n,) frames from start to end of each bout in which one of its two cells was repaired."""
    made = points.loc[is_repaired(points), ["population", "track_id", "frame"]]
    spans = bouts[[*PAIR, "start_frame", "end_frame"]].assign(row=np.arange(len(bouts)))
    sides = [
        spans.merge(made.rename(columns={name: f"{name}_{side}" for name in made.columns[:2]}))
        for side in "ab"
    ]
    both = pd.concat(sides)[["row", "start_frame", "end_frame", "frame"]]
    within = both[both["frame"].between(both["start_frame"], both["end_frame"])]
    return np.bincount(within.drop_duplicates(["row", "frame"])["row"], minlength=len(bouts))
