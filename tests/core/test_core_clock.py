"""The clock: what a frame stands for, and what a pause is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro.core.clock import Clock


@pytest.fixture
def paused() -> Clock:
    return Clock.of_times([0, 1, 2, 3, 4, 64, 65, 66])


def test_a_pause_stands_for_no_time(paused: Clock) -> None:
    assert paused.interval_min == 1
    assert paused.duration_min(np.arange(8)).tolist() == [1] * 8
    assert paused.between_min(0, 7) == 8
    assert paused.between_min([3, 5], [5, 5]).tolist() == [3, 1]


def test_it_is_known_between_which_frames_the_film_pauses(paused: Clock) -> None:
    assert paused.paused(4, 5) and paused.paused(0, 7)
    assert not paused.paused(0, 4) and not paused.paused(5, 7)
    assert paused.paused([3, 4, 5], [4, 5, 6]).tolist() == [False, True, False]


def test_uneven_times_are_no_pause() -> None:
    clock = Clock.of_times([0, 2, 5, 6, 9])
    assert clock.duration_min(np.arange(5)).tolist() == [2, 3, 1, 3, 2.5]
    assert clock.between_min(0, 4) == 11.5 and not clock.paused(0, 4)


def test_frames_that_were_left_out_are_no_pause() -> None:
    clock = Clock(pd.DataFrame({"frame": [0, 1, 2, 9], "time_min": [0.0, 2, 4, 18]}))
    assert clock.interval_min == 2 and not clock.paused(2, 9)
    assert clock.between_min(0, 9) == 20


def test_unknown_times_are_null_and_never_a_pause() -> None:
    clock = Clock.of_times(None)
    assert np.isnan(clock([0, 1])).all() and np.isnan(clock.interval_min)
    assert np.isnan(clock.duration_min([0])).all() and not clock.paused(0, 1)
    assert np.isnan(clock.between_min(0, 3))


def test_the_watching_clock_stands_still_in_a_pause(paused: Clock) -> None:
    assert paused.watched_min(np.arange(8)).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert np.isnan(paused.watched_min(9)) and np.isnan(Clock.of_times(None).watched_min([0])).all()
