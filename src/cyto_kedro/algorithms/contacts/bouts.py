"""Bouts: runs of contact of one pair of tracked cells.

A cell's position may be interpolated over frames in which it was not detected. It has no mask
there, so whether it touched anything is **unknown, not false**; `Bouts` tells the two apart.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.contacts.joint import Joint
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.keys import PAIR, fov_of, need, run_ids, starts_of
from cyto_kedro.errors import ConfigError


class Bouts(Algorithm):
    """Join the contacts of a pair to bouts, across short gaps.

    Reads ``"contacts"`` (`schemas.Contacts`) and ``"dataframe"`` (`schemas.TrackPoints`) of one
    field, optional ``"n_frames"`` of the film. Returns ``"bouts"`` (`schemas.Bouts`).

    Notes
    -----
    Between two contacts of a pair lie frames in which both cells were seen and *apart*, and
    *unknown* frames, in which one of them was not detected (interpolated, missing or excluded).
    The two contacts are of one bout if the frames apart are at most `max_gap_frames`, and
    `missing_partner` says what an unknown frame is.

    ``duration_min = time(end_frame) - time(start_frame) + median frame interval``: a frame stands
    for one interval, so a bout of one frame lasts one. `censored_start` and `censored_end`: the
    bout reaches the first or last frame in which both cells were seen, at the film's ends or the
    track's, or (``missing_partner="break"``) an unknown frame cut it; `start_cause` and `end_cause`
    say which. ``recontact_min = time(start_frame) - time(end_frame of the pair's bout before)``.
    """

    version = 2

    max_gap_frames: int = Field(
        default=1, ge=0, description="frames apart that a bout may bridge in one go"
    )
    max_gap_min: float | None = Field(
        default=None, ge=0, description="the same in minutes; goes before max_gap_frames"
    )
    min_frames: int = Field(default=1, ge=1, description="contact frames that a bout needs")
    min_duration_min: float | None = Field(
        default=None, ge=0, description="minutes that a bout must last, besides"
    )
    missing_partner: Literal["unknown", "apart", "break"] = Field(
        default="unknown",
        description="a frame in which one cell was not detected: unknown = bridged at no cost, "
        "apart = counted as a frame apart, break = ends the bout",
    )

    def __call__(self, data: Data) -> Data:
        """Return ``{"bouts"}``.

        Raises
        ------
        InputError
            If tables of several fields are given.
        ConfigError
            If a limit in minutes is given and the times are unknown.
        """
        contacts, points = need(data, "contacts", "dataframe")
        fov = fov_of(contacts, points)
        if not len(contacts):
            return {"bouts": schemas.empty(schemas.Bouts)}
        contacts = contacts.sort_values([*PAIR, "frame"], ignore_index=True)
        clock = Clock(points, contacts)
        frame = contacts["frame"].to_numpy(np.int64)
        first_of_pair = starts_of(*(contacts[name].to_numpy() for name in PAIR))
        pair = run_ids(first_of_pair, len(contacts))
        seen = Joint(points, contacts.loc[first_of_pair, PAIR])
        joined = np.zeros(len(contacts), bool)  # to the row before
        later = np.flatnonzero(pair[1:] == pair[:-1]) + 1
        max_gap = self._max_gap(clock, fov)
        joined[later] = self._bridged(seen, pair[later], frame[later - 1], frame[later], max_gap)

        start = np.flatnonzero(~joined)
        end = np.append(start[1:], len(frame)) - 1
        n_contact = end - start + 1
        duration = clock(frame[end]) - clock(frame[start]) + clock.interval_min
        keep = n_contact >= self.min_frames
        if self.min_duration_min is not None:
            _need_times(clock, "min_duration_min", self.min_duration_min, fov)
            keep &= duration >= self.min_duration_min - 1e-9
        start, end, n_contact, duration = start[keep], end[keep], n_contact[keep], duration[keep]
        pair, first, last = pair[start], frame[start], frame[end]
        n_frames = int(data.get("n_frames") or points["frame"].max() + 1)
        causes = {
            "start": seen.cause(pair, first, -1, film=0),
            "end": seen.cause(pair, last, 1, film=n_frames - 1),
        }
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
        bouts = contacts.loc[start, ["fov", *PAIR]].assign(
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
        return {"bouts": schemas.conform(schemas.Bouts, bouts)}

    def _max_gap(self, clock: Clock, fov: str) -> int:
        if self.max_gap_min is None:
            return self.max_gap_frames
        _need_times(clock, "max_gap_min", self.max_gap_min, fov)
        return int(self.max_gap_min / clock.interval_min + 1e-9)

    def _bridged(
        self, seen: Joint, pair: np.ndarray, before: np.ndarray, after: np.ndarray, max_gap: int
    ) -> np.ndarray:
        """Whether contacts at frames `before` and `after` of a pair are of one bout."""
        gap = after - before - 1
        if self.missing_partner == "apart":
            return gap <= max_gap
        apart = seen.count(pair, before + 1, after)
        if self.missing_partner == "break":
            return (gap <= max_gap) & (apart == gap)
        return apart <= max_gap


def _need_times(clock: Clock, name: str, value: float, fov: str) -> None:
    if np.isnan(clock.interval_min):
        raise ConfigError(
            f"field {fov!r}: {name}={value} needs frame times, which are unknown: give "
            "frame_interval_s in the assay, or say it in frames"
        )
