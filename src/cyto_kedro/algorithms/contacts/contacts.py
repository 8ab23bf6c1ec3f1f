"""Contacts (touches between tracked cells) and bouts (runs of contact of one pair).

A cell's position may be interpolated over frames in which it was not detected. It has no mask
there, so whether it touched anything is **unknown, not false**; `Bouts` tells the two apart.
"""

from __future__ import annotations

from typing import Literal

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
    size,
    starts_of,
)
from cyto_kedro.errors import ConfigError, InputError

_PAIR = ["population_a", "track_id_a", "population_b", "track_id_b"]


class ContactJoin(Algorithm):
    """Join touches, read off the masks without tracks, to the tracks of their labels.

    Reads ``"touches"`` (`schemas.Touches`) and ``"dataframe"`` (`schemas.TrackPoints`, all
    populations) of one field. Returns ``"contacts"`` (`schemas.Contacts`) and ``"n_untracked"``,
    the number of touches dropped because a label has no track. Within one population side ``a``
    is the smaller track_id, so that a pair is named alike in every frame.
    """

    max_distance_um: float | None = Field(
        default=None, ge=0, description="drop touches further apart, µm; default: keep all"
    )
    max_distance_px: float | None = Field(
        default=None, ge=0, description="the same in pixels; not both"
    )

    @model_validator(mode="after")
    def _one_unit(self) -> ContactJoin:
        if self.max_distance_um is not None and self.max_distance_px is not None:
            raise ValueError("give max_distance_um or max_distance_px, not both")
        return self

    def __call__(self, data: Data) -> Data:
        """Return ``{"contacts", "n_untracked"}``.

        Raises
        ------
        InputError
            If tables of several fields are given, or a label belongs to two tracks.
        ConfigError
            If `max_distance_um` is given for an uncalibrated field.
        """
        touches, points = need(data, "touches", "dataframe")
        fov_of(touches, points)
        touches = self._near(touches)
        points = points[points["label"].notna()]
        label = points["label"].to_numpy(np.int64)
        n_label = size(label, touches["label_a"], touches["label_b"])
        n_frame = size(points["frame"], touches["frame"])
        names = (points["population"], touches["population_a"], touches["population_b"])
        keys = Keys(names, n_frame, n_label)
        key = keys.pack(keys.code(points["population"]), points["frame"].to_numpy(), label)
        order = np.argsort(key, kind="stable")
        key = key[order]
        _one_track_per_label(points, order, key)

        frame = touches["frame"].to_numpy(np.int64)
        rows = {}
        for side in "ab":
            code = keys.code(touches[f"population_{side}"])
            rows[side] = find(key, keys.pack(code, frame, touches[f"label_{side}"].to_numpy()))
        kept = (rows["a"] != MISSING) & (rows["b"] != MISSING)
        touches = touches[kept]
        track = points["track_id"].to_numpy(np.int64)[order]
        a, b = (track[rows[side][kept]] for side in "ab")
        same = touches["population_a"].to_numpy() == touches["population_b"].to_numpy()
        swap = same & (a > b)
        contacts = pd.DataFrame(
            {
                "fov": touches["fov"],
                "frame": touches["frame"],
                "time_min": points["time_min"].to_numpy(float)[order][rows["a"][kept]],
                "population_a": touches["population_a"],
                "track_id_a": np.where(swap, b, a),
                "population_b": touches["population_b"],
                "track_id_b": np.where(swap, a, b),
                **{name: touches[name] for name in _MEASURES},
            }
        ).sort_values(["frame", *_PAIR])
        return {
            "contacts": schemas.conform(schemas.Contacts, contacts),
            "n_untracked": int((~kept).sum()),
        }

    def _near(self, touches: pd.DataFrame) -> pd.DataFrame:
        if self.max_distance_px is not None:
            return touches[touches["distance_px"] <= self.max_distance_px]
        if self.max_distance_um is None:
            return touches
        if touches["distance_um"].isna().any():
            raise ConfigError(
                f"max_distance_um={self.max_distance_um} needs the pixel size, which is unknown "
                f"for field {fov_of(touches)!r}: give it in the assay, or use max_distance_px"
            )
        return touches[touches["distance_um"] <= self.max_distance_um]


_MEASURES = ("distance_px", "distance_um", "contact_length_px", "contact_length_um", "overlap_px")


def _one_track_per_label(points: pd.DataFrame, order: np.ndarray, key: np.ndarray) -> None:
    twice = np.flatnonzero(key[1:] == key[:-1])
    if len(twice):
        one, two = points.iloc[order[twice[0]]], points.iloc[order[twice[0] + 1]]
        raise InputError(
            f"field {one['fov']!r}, {one['population']}, frame {one['frame']}: label "
            f"{one['label']} belongs to tracks {one['track_id']} and {two['track_id']}, so its "
            f"contacts have no single owner; correct the tracks"
        )


class Bouts(Algorithm):
    """Join the contacts of a pair to bouts, across short gaps.

    Reads ``"contacts"`` (`schemas.Contacts`) and ``"dataframe"`` (`schemas.TrackPoints`) of one
    field. Returns ``"bouts"`` (`schemas.Bouts`).

    Notes
    -----
    Between two contacts of a pair lie frames in which both cells were seen and *apart*, and
    *unknown* frames, in which one of them was not detected (interpolated, missing or excluded).
    The two contacts are of one bout if the frames apart are at most `max_gap_frames`, and
    `missing_partner` says what an unknown frame is.

    ``duration_min = time(end_frame) - time(start_frame) + median frame interval``: a frame stands
    for one interval, so a bout of one frame lasts one. `censored_start` and `censored_end`: the
    bout reaches the first or last frame in which both cells were seen, at the film's ends or the
    track's, or (``missing_partner="break"``) an unknown frame cut it.
    """

    max_gap_frames: int = Field(
        default=1, ge=0, description="frames apart that a bout may bridge in one go"
    )
    min_frames: int = Field(default=1, ge=1, description="contact frames that a bout needs")
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
        """
        contacts, points = need(data, "contacts", "dataframe")
        fov_of(contacts, points)
        if not len(contacts):
            return {"bouts": schemas.empty(schemas.Bouts)}
        contacts = contacts.sort_values([*_PAIR, "frame"], ignore_index=True)
        seen = _Seen(points, contacts)
        frame = contacts["frame"].to_numpy(np.int64)
        first_of_pair = starts_of(*(contacts[name].to_numpy() for name in _PAIR))
        joined = np.zeros(len(contacts), bool)  # to the row before
        joined[1:] = True
        joined[first_of_pair] = False
        later = np.flatnonzero(joined)
        joined[later] = self._bridged(seen, later - 1, frame[later - 1], frame[later])

        start = np.flatnonzero(~joined)
        end = np.append(start[1:], len(frame)) - 1
        n_contact = end - start + 1
        keep = n_contact >= self.min_frames
        start, end, n_contact = start[keep], end[keep], n_contact[keep]
        cut_start = frame[start] == seen.first[start]
        cut_end = frame[end] == seen.last[end]
        if self.missing_partner == "break":
            cut_start |= ~seen.both(start, frame[start] - 1)
            cut_end |= ~seen.both(end, frame[end] + 1)
        clock = Clock(points, contacts)
        start_min, end_min = clock(frame[start]), clock(frame[end])
        pair = np.searchsorted(first_of_pair, start, side="right")
        bouts = contacts.loc[start, ["fov", *_PAIR]].assign(
            bout=np.arange(len(start)) - np.searchsorted(pair, pair) + 1,
            start_frame=frame[start],
            end_frame=frame[end],
            n_frames=frame[end] - frame[start] + 1,
            n_contact_frames=n_contact,
            start_min=start_min,
            duration_min=end_min - start_min + clock.interval_min,
            censored_start=cut_start,
            censored_end=cut_end,
        )
        return {"bouts": schemas.conform(schemas.Bouts, bouts)}

    def _bridged(
        self, seen: _Seen, row: np.ndarray, before: np.ndarray, after: np.ndarray
    ) -> np.ndarray:
        """Whether contacts at frames `before` and `after` of a row's pair are of one bout."""
        gap = after - before - 1
        if self.missing_partner == "apart":
            return gap <= self.max_gap_frames
        n_a, n_b = (seen.count(side, row, before + 1, after) for side in "ab")
        if self.missing_partner == "break":
            return (gap <= self.max_gap_frames) & (n_a == gap) & (n_b == gap)
        # both seen: at most the smaller count, at least what the two must share; the few gaps
        # for which these bounds do not decide are counted frame by frame
        bridged = np.minimum(n_a, n_b) <= self.max_gap_frames
        open_ = np.flatnonzero(~bridged & (n_a + n_b - gap <= self.max_gap_frames))
        which = np.repeat(open_, gap[open_])
        offset = np.arange(len(which)) - np.repeat(np.cumsum(gap[open_]) - gap[open_], gap[open_])
        apart = seen.both(row[which], before[which] + 1 + offset)
        counts = np.bincount(which, weights=apart, minlength=len(gap))
        bridged[open_] = counts[open_] <= self.max_gap_frames
        return bridged


class _Seen:
    """In which frames the two cells of each contact row were measured."""

    def __init__(self, points: pd.DataFrame, contacts: pd.DataFrame) -> None:
        points = points[~points["interpolated"].to_numpy(bool)]
        n_track = size(points["track_id"], contacts["track_id_a"], contacts["track_id_b"])
        n_frame = size(points["frame"], contacts["frame"])
        names = (points["population"], contacts["population_a"], contacts["population_b"])
        # two spare frames: one before the film and one after it can be asked for
        self._keys = keys = Keys(names, n_track, n_frame + 2)
        code = keys.code(points["population"])
        self._seen = np.sort(
            keys.pack(code, points["track_id"].to_numpy(), points["frame"].to_numpy() + 1)
        )
        self._track = {
            side: keys.pack(
                keys.code(contacts[f"population_{side}"]), contacts[f"track_id_{side}"].to_numpy()
            )
            for side in "ab"
        }
        self.first = np.maximum(*(self._end(side, n_frame, 0) for side in "ab"))
        self.last = np.minimum(*(self._end(side, n_frame, 1) for side in "ab"))

    def _end(self, side: str, n_frame: int, last: int) -> np.ndarray:
        track = self._track[side]
        at = np.searchsorted(self._seen, track + last * (n_frame + 2)) - last
        at = np.clip(at, 0, max(len(self._seen) - 1, 0))
        return self._seen[at] - track - 1 if len(self._seen) else np.zeros(len(track), np.int64)

    def count(self, side: str, row: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Measured frames of a row's cell in ``[start, stop)``."""
        track = self._track[side][row] + 1
        low, high = (np.searchsorted(self._seen, track + frame) for frame in (start, stop))
        return high - low

    def both(self, row: np.ndarray, frame: np.ndarray) -> np.ndarray:
        """Whether both cells of a row were measured at `frame` (−1 to one past the film)."""
        found = [find(self._seen, self._track[side][row] + frame + 1) for side in "ab"]
        return (found[0] != MISSING) & (found[1] != MISSING)
