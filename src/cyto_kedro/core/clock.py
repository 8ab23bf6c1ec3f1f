"""The times of a film's frames, and how long each frame stands for.

A frame stands for the time until the next. Where that is over `PAUSE` times the film's median
interval, the film pauses (a change of medium, a failed shutter): a **gap in observation**. What
happened in it is unknown: contact across it is neither joined nor denied, and nobody is at risk in
it, so the frame before it stands for one median interval only, as does the last frame.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

#: an interval longer than this many median intervals is a pause
PAUSE = 3.0


class Clock:
    """Time of a field's frames, read off any tables with `frame` and `time_min`.

    Attributes
    ----------
    frames : (n,) int64
        Frames whose time is known, ascending.
    minutes : (n,) float64
        Their times.

    Examples
    --------
    >>> clock = Clock.of_times([0, 1, 2, 62, 63])  # a pause of an hour after frame 2
    >>> clock.interval_min
    1.0
    >>> clock.duration_min([1, 2, 4]).tolist()
    [1.0, 1.0, 1.0]
    >>> clock.paused(2, 3), clock.paused(0, 2)
    (True, False)
    """

    def __init__(self, *tables: pd.DataFrame) -> None:
        rows = pd.concat([table[["frame", "time_min"]] for table in tables]).dropna()
        first = rows.drop_duplicates("frame").sort_values("frame")
        self.frames = first["frame"].to_numpy(np.int64)
        self.minutes = first["time_min"].to_numpy(float)

    @classmethod
    def of_times(cls, time_min: Any) -> Self:
        """The clock of frames 0, 1, … at `time_min` (None: times unknown)."""
        minutes = np.asarray([] if time_min is None else time_min, float)
        return cls(pd.DataFrame({"frame": np.arange(len(minutes)), "time_min": minutes}))

    def __call__(self, frame: Any) -> np.ndarray:
        """Minutes at each of `frame`, null where no table tells."""
        return self._told(self.minutes, frame)

    @property
    def interval_min(self) -> float:
        """Median minutes per frame; null with fewer than two timed frames."""
        if len(self.frames) < 2:
            return float("nan")
        return float(np.median(np.diff(self.minutes) / np.diff(self.frames)))

    @property
    def jitter_min(self) -> float:
        """How far a time may miss a limit and meet it: a tenth of an interval, to which frames keep.

        A gap of one frame of 2.01 minutes is one of at most 2.
        """
        return 0.1 * self.interval_min

    def duration_min(self, frame: Any) -> np.ndarray:
        """Minutes that each of `frame` stands for, null where its time is unknown."""
        return self._told(self._durations(), frame)

    def between_min(self, first: Any, last: Any) -> np.ndarray:
        """Observed minutes of frames `first` to `last`, both counted, pauses left out.

        Frames without a time of their own between timed ones are observed too; their time is part
        of the frame before them.
        """
        total = np.concatenate([[0.0], np.cumsum(self._durations())])
        low = np.searchsorted(self.frames, np.asarray(first, np.int64))
        high = np.searchsorted(self.frames, np.asarray(last, np.int64), side="right")
        return total[high] - total[low] if len(self.frames) else np.full(np.shape(first), np.nan)

    def watched_min(self, frame: Any) -> np.ndarray:
        """Observed minutes from the first timed frame to each of `frame`, pauses left out.

        A second clock, which stands still in pauses: time at risk is told by it. Null where no
        table tells.
        """
        if not len(self.frames):
            return np.full(np.shape(frame), np.nan)
        return self._told(self.without_pauses(self.minutes) - self.minutes[0], frame)

    def without_pauses(self, minutes: Any) -> np.ndarray:
        """What a clock that stands still in pauses shows at `minutes` of the film's time.

        It stands where the frame before a pause has lasted one interval. Without a pause times are
        what they were, to the last digit.

        Examples
        --------
        >>> Clock.of_times([5, 6, 7, 67, 68]).without_pauses([5, 7, 30, 67, 68]).tolist()
        [5.0, 7.0, 8.0, 8.0, 9.0]
        """
        shown = np.array(minutes, float)
        paused = self._pauses()
        begin, end = self.minutes[:-1][paused] + self.interval_min, self.minutes[1:][paused]
        for stand, go in zip(begin, end, strict=True):
            shown -= np.clip(np.asarray(minutes, float) - stand, 0, go - stand)
        return shown

    def paused(self, before: Any, after: Any) -> Any:
        """Whether the film pauses anywhere between frames `before` and `after`."""
        paused = np.concatenate([[0], np.cumsum(self._pauses())])
        low, high = (
            np.clip(np.searchsorted(self.frames, np.asarray(each), side="right") - 1, 0, None)
            for each in (before, after)
        )
        if not len(self.frames):
            return np.zeros(np.shape(before), bool) if np.ndim(before) else False
        found = paused[high] > paused[low]
        return found if np.ndim(found) else bool(found)

    def _told(self, values: np.ndarray, frame: Any) -> np.ndarray:
        frame = np.asarray(frame, np.int64)
        if not len(self.frames):
            return np.full(frame.shape, np.nan)
        row = np.minimum(np.searchsorted(self.frames, frame), len(self.frames) - 1)
        return np.where(self.frames[row] == frame, values[row], np.nan)

    def _pauses(self) -> np.ndarray:
        """(n - 1,) bool: the film pauses between a timed frame and the next."""
        per_frame = np.diff(self.minutes) / np.diff(self.frames)
        return per_frame > PAUSE * self.interval_min if len(per_frame) else np.zeros(0, bool)

    def _durations(self) -> np.ndarray:
        """(n,) minutes that each timed frame stands for."""
        if not len(self.frames):
            return np.zeros(0)
        until_next = np.append(np.diff(self.minutes), self.interval_min)
        until_next[:-1][self._pauses()] = self.interval_min
        return until_next


def pausing(timed: pd.DataFrame) -> list[str]:
    """The fields whose film pauses anywhere (`Clock`), of columns fov, frame and time_min."""
    rows = timed[["fov", "frame", "time_min"]].dropna().sort_values(["fov", "frame"])
    rows = rows.drop_duplicates(["fov", "frame"])
    passed = rows.groupby("fov")[["frame", "time_min"]].diff()
    per_frame = (passed["time_min"] / passed["frame"]).groupby(rows["fov"])
    paused = per_frame.max() > PAUSE * per_frame.median()
    return list(paused.index[paused])
