"""Deaths as a step: against least squares by numpy, and on signals with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.change_point import ChangePointDeaths, steps_of
from cyto_kedro.algorithms.contacts.deaths import HysteresisDeaths

_LOGIT = 6.9  # of a living cell


def call(make_points, make_tracks, logits: dict[int, list[float]], algorithm=None) -> pd.DataFrame:
    """Fates, by track, of tracks with these logits of alive_probability."""
    points = make_points(
        {("T", n): dict.fromkeys(range(len(y)), (0.0, 50.0 * n)) for n, y in logits.items()}
    )
    y = np.concatenate([np.asarray(logits[n], float) for n in sorted(logits)])
    points = points.sort_values(["track_id", "frame"], ignore_index=True)
    viability = points[["fov", "population", "frame"]].assign(
        label=points["label"].astype(np.int64), marker_signal=0.0, dead=y < 0,
        alive_probability=1 / (1 + np.exp(-y)),
    )  # fmt: skip
    data = {"viability": viability, "dataframe": points, "tracks": make_tracks(points)}
    found = (algorithm or ChangePointDeaths())(data)
    deaths = schemas.check(schemas.Deaths, found["deaths"])
    assert deaths["frame"].tolist() == found["fates"]["death_frame"].dropna().tolist()
    return schemas.check(schemas.Fates, found["fates"]).set_index("track_id")


def test_gain_and_height_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    n = [12, 1, 2, 9]
    run = np.repeat(np.arange(4), n)
    t = np.concatenate([np.sort(rng.choice(30, k, replace=False)) for k in n]).astype(float)
    y = rng.normal(size=len(t)) + 3 * (t > 12)
    gain, height = steps_of(t, y, run)
    for r in (0, 3):
        at = np.flatnonzero(run == r)
        line = np.column_stack([np.ones(len(at)), t[at]])
        plain = y[at] - line @ np.linalg.lstsq(line, y[at], rcond=None)[0]
        for k in range(1, len(at) - 1):
            full = np.column_stack([line, np.arange(len(at)) >= k])
            fit = np.linalg.lstsq(full, y[at], rcond=None)[0]
            less = (plain**2).sum() - ((y[at] - full @ fit) ** 2).sum()
            assert gain[at[k]] == pytest.approx(less) and height[at[k]] == pytest.approx(fit[2])
    assert np.allclose(gain[(run == 1) | (run == 2)], 0)


def test_what_is_a_death_and_what_is_not(make_points, make_tracks):
    rng = np.random.default_rng(1)

    def noisy(values: np.ndarray) -> list[float]:
        return list(values + rng.normal(0, 0.5, len(values)))

    t = np.arange(40)
    step = np.where(t >= 20, -5.0, _LOGIT)
    rise = _LOGIT - 13 * np.where(t >= 20, -np.expm1(-(t - 19.3) / 2), 0)
    logits = {
        1: noisy(np.full(40, _LOGIT)),
        2: noisy(step),
        3: noisy(rise),
        4: noisy(np.linspace(9, 1, 40)),  # bleaching: a slow drift
        5: noisy(np.where((t >= 10) & (t < 14), -5.0, _LOGIT)),  # debris drifts past
        6: noisy(np.full(40, -6.0)),  # dead at first sight
        7: noisy(np.where(t >= 20, -8.0, 1.0)),  # bright while alive, brighter when dead
        8: noisy(np.where(t >= 38, -6.0, _LOGIT)),  # the film ends right after
        9: noisy(np.linspace(12, 3, 40) - np.where(t >= 25, 11, 0)),  # bleaching and death
    }
    fates = call(make_points, make_tracks, logits)
    assert fates["died"].tolist() == [False, True, True, False, False, False, True, True, True]
    assert fates.index[fates["dead_at_first_sight"]].tolist() == [6]
    frames = fates["death_frame"].dropna().to_dict()
    assert frames[2] == 20 and abs(frames[3] - 20) <= 1 and frames[7] == 20
    assert frames[8] == 38 and frames[9] == 25


def test_ordinary_cases(make_points, make_tracks):
    fates = call(make_points, make_tracks, {1: [6.9], 2: [-6.9, -6.9], 3: [6.9, -6.9, -7]})
    assert not fates["died"].any()
    assert fates["dead_at_first_sight"].tolist() == [False, True, True]
    points = make_points({})
    none = {"dataframe": points, "tracks": make_tracks(points)}
    found = ChangePointDeaths()({**none, "viability": schemas.empty(schemas.Viability)})
    assert not len(found["deaths"]) and not len(found["fates"])


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # they make tables, and keep none
)
@given(
    st.lists(st.lists(st.floats(-30, 15), min_size=1, max_size=15), min_size=1, max_size=5),
    st.sampled_from([ChangePointDeaths(), HysteresisDeaths()]),
)
def test_one_death_at_most_and_never_in_the_first_frame(make_points, make_tracks, lives, algorithm):
    fates = call(make_points, make_tracks, dict(enumerate(lives, start=1)), algorithm)
    assert not (fates["died"] & fates["dead_at_first_sight"]).any()
    assert (fates["death_frame"].dropna() > 0).all()
    assert (fates["start_reason"] == "film_start").all()


def test_a_fall_below_the_least_step_is_no_death(make_points, make_tracks):
    fall = [5.0] * 8 + [-2.0] * 8  # 7 in logit
    for min_step, died in ((6.9, True), (7.1, False)):
        fates = call(make_points, make_tracks, {1: fall}, ChangePointDeaths(min_step=min_step))
        assert bool(fates.loc[1, "died"]) is died


def test_four_frames_are_enough_for_a_death_and_three_are_not(make_points, make_tracks):
    fates = call(make_points, make_tracks, {1: [5.0, 5.0, -5.0, -5.0], 2: [5.0, -5.0, -5.0]})
    assert fates["died"].tolist() == [True, False]


def test_the_penalty_weighs_the_gain_by_the_noise_of_one_frame(make_points, make_tracks):
    """Least squares by numpy, and the noise that normal errors with these differences have."""
    t, n = np.arange(20), 20
    y = np.where(t < 10, _LOGIT, -_LOGIT) + np.where(t % 2 == 0, 1.5, -1.5)
    noise = np.median(np.abs(np.diff(y))) / 0.6745 / 2**0.5  # a difference has the errors of two
    line = np.column_stack([np.ones(n), t])

    def squares(columns: np.ndarray) -> float:
        return float(((y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]) ** 2).sum())

    fell = min(squares(np.column_stack([line, t >= k])) for k in range(2, 19))
    limit = (squares(line) - fell) / (2 * noise**2) / np.log(n)
    died = [
        bool(call(make_points, make_tracks, {1: list(y)},
                  ChangePointDeaths(penalty=share * limit))["died"].loc[1])
        for share in (0.95, 1.05)
    ]  # fmt: skip
    assert died == [True, False]
