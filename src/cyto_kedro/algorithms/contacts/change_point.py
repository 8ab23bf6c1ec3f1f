"""Deaths as the one change in a cell's own signal that a slow drift does not explain."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.contacts.deaths import DeathCaller, Judged, Series
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.keys import divide, run_ids, starts_of
from cyto_kedro.core.units import Duration

_LEAST_NOISE = 0.5  # sd of the logit
_LARGEST = 30.0  # logit beyond which alive and dead are certain


class ChangePointDeaths(DeathCaller):
    """Find deaths as a step in each cell's signal, judged against that cell's own past.

    Inputs, outputs, clocks and bodies: see `DeathCaller`.

    Notes
    -----
    The signal y is the logit of alive_probability, which falls from 6.9 at the background to 0 at
    the threshold and is asinh-like in grey levels, so that noise is even (`MarkerThreshold`). A cell
    that lives drifts at most along a line (bleaching, focus); one that dies falls once:

        y = a + b t + c [t >= s],    c < 0

    Both are fitted by least squares for every frame s at once: with r the residuals of y about the
    line and q(s) those of the step, the gain of the step is ``(sum_{t >= s} r)^2 / |q(s)|^2``
    (Frisch-Waugh-Lovell), all of it from running sums. The s of largest gain is a death if the
    step is at least `min_step`; if the gain, over twice the noise variance, exceeds ``penalty * log n``
    (a penalised likelihood ratio; Yao 1988, doi:10.1016/0167-7152(88)90118-6, takes 1); if the cell
    was above half of the fall in more than half of the frames before s, and below it in at least
    `min_dead_share` of those from s on; and if those stand for `min_dead`, or the track ends.
    Noise is the median absolute difference of successive frames of all tracks, at least
    0.5 of a logit: a marker that hardly scatters would make a death of every ripple.

    It needs no level common to all cells: one that is bright while alive is judged by its own step.
    A track that is dead in at least `min_dead_share` of its frames without a step was dead at first
    sight. Of a track seen in fewer than 4 frames only that can be told.

    Examples
    --------
    >>> from cyto_kedro import schemas
    >>> frames = np.arange(12)
    >>> cell = {"population": "T", "frame": frames, "label": 1}
    >>> alive = np.where(frames < 7, 0.999, 0.001)
    >>> viability = schemas.filled(schemas.Viability, {**cell, "alive_probability": alive})
    >>> points = schemas.filled(schemas.TrackPoints, {**cell, "track_id": 1, "x_px": 9, "y_px": 9})
    >>> track = {"population": ["T"], "track_id": 1, "last_frame": 11, "end_reason": "film_end"}
    >>> tracks = schemas.filled(schemas.Tracks, track)
    >>> called = ChangePointDeaths()(viability=viability, track_points=points, tracks=tracks)
    >>> called["deaths"]["frame"].tolist()
    [7]
    """

    version: ClassVar[int] = 4

    min_step: float = Field(
        default=6.0,
        gt=0,
        description="fall in logit; 6.9 leads from the background to the threshold",
    )
    penalty: float = Field(default=2.0, ge=0, description="times log n, on the likelihood ratio")
    min_dead: Duration = Field(
        default=Duration(min=5, frames=3),
        description="what the detections from the death on stand for, or up to the track's end",
    )
    min_dead_share: float = Field(
        default=0.5, ge=0, le=1, description="of the detections from the death on"
    )

    def judge(self, series: Series, n_tracks: int, clock: Clock) -> Judged:
        row, frame, alive = series
        died, first_sight, death, last_alive, _ = judged = Judged.nobody(n_tracks)
        if not len(row):
            return judged
        tiny = np.exp(-_LARGEST)
        clipped = np.clip(alive, tiny, 1 - 1e-12)
        y = np.log(clipped) - np.log1p(-clipped)
        start = starts_of(row)
        run = run_ids(start, len(row))
        n = np.bincount(run)
        gain, step = steps_of(frame.astype(float), y, run)
        same = run[1:] == run[:-1]
        noise = np.median(np.abs(np.diff(y)[same])) / (0.6745 * np.sqrt(2)) if same.any() else 0.0
        noise = max(float(noise), _LEAST_NOISE)
        gain = np.where(step <= -self.min_step, gain, -1.0)
        order = np.lexsort((-gain, run))  # the best of each run comes first
        at = order[start]
        level = _mean(y, run, np.arange(len(row)) < at[run])[run] + step[at][run] / 2
        before = np.arange(len(row)) < at[run]
        high, low = _mean(y > level, run, before), _mean(y <= level, run, ~before)
        least, timed = self.min_dead.timed(
            "min_dead", not np.isnan(clock.duration_min(frame)).any()
        )
        summed = series.lasting(clock) if timed else np.arange(len(row) + 1)
        least -= clock.jitter_min if timed else 1e-9
        left = summed[start + n] - summed[at]
        found = (n >= 4) & (gain[at] / (2 * noise**2) > self.penalty * np.log(n))
        found &= (high > 0.5) & (low >= self.min_dead_share)
        found &= (left >= least) | (low == 1)
        track = row[start]
        died[track[found]] = True
        death[track[found]] = frame[at[found]]
        last_alive[track[found]] = frame[np.maximum(at[found] - 1, 0)]
        dead = _mean(alive < 0.5, run, np.ones(len(row), bool)) >= self.min_dead_share
        first_sight[track[dead & ~found]] = True
        return judged


def steps_of(t: np.ndarray, y: np.ndarray, run: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain in sum of squares, and height, of a step at each point beside a line through its run.

    `t`, `y`, `run`: (n,) time, signal and number of the run (0, 1, ..., ascending) of each point.
    Returns of a step at the point, itself included; 0 where a line explains all that a step could.
    """
    count = np.bincount(run).astype(float)

    def centred(values: np.ndarray) -> np.ndarray:
        return values - (np.bincount(run, values) / count)[run]

    t, y = centred(t), centred(y)
    spread = np.bincount(run, t * t)
    rest = y - t * np.nan_to_num(divide(np.bincount(run, t * y), spread))[run]

    def onward(values: np.ndarray) -> np.ndarray:
        """Sum from each point to the end of its run."""
        summed = np.concatenate([[0.0], np.cumsum(values)])
        end = np.cumsum(count).astype(int)
        return summed[end][run] - summed[:-1]

    m = onward(np.ones(len(t)))
    square = m - m**2 / count[run] - np.nan_to_num(divide(onward(t) ** 2, spread[run]))
    square = np.where(square > 1e-9, square, 0)
    later = onward(rest)
    return np.nan_to_num(divide(later**2, square)), np.nan_to_num(divide(later, square))


def _mean(values: np.ndarray, run: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Mean per run over the points kept; 0 where there is none."""
    n = run[-1] + 1
    total = np.bincount(run[kept], values[kept].astype(float), minlength=n)
    return np.nan_to_num(divide(total, np.bincount(run[kept], minlength=n)))
