"""Smoothed columns against scipy's filters and polynomials."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.signal import savgol_filter

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import construct
from cyto_kedro.algorithms.contacts.smoothing import TrackSmoothing
from cyto_kedro.errors import ConfigError, InputError


def table(lengths: list[int], value: Any = None, dt: float = 1.0) -> pd.DataFrame:
    """Tracks of the given lengths with a column `signal`."""
    frame = np.concatenate([np.arange(n) + 3 * i for i, n in enumerate(lengths)])
    noise = np.random.default_rng(0).normal(size=len(frame)).cumsum()
    return pd.DataFrame(
        {
            "fov": "A",
            "population": "T",
            "track_id": np.repeat(np.arange(1, len(lengths) + 1), lengths),
            "frame": frame,
            "time_min": frame * dt,
            "signal": noise if value is None else value(frame * dt),
        }
    )


def run(rows: pd.DataFrame, **fields: Any) -> pd.DataFrame:
    found = TrackSmoothing(**{"columns": ("signal",), **fields})({"dataframe": rows})
    return schemas.check(schemas.SmoothedSteps, found["smoothed_steps"])


@pytest.mark.parametrize(("window", "degree"), [(5, 2), (7, 3), (9, 1)])
def test_savitzky_golay_is_scipys(window, degree):
    rows = table([40, 25, 11], dt=2.0)
    found = run(rows, window_frames=window, polynomial=degree)
    for track, mine in found.groupby("track_id"):
        y = rows.loc[rows["track_id"] == track, "signal"].to_numpy()
        np.testing.assert_allclose(mine["signal_smoothed"], savgol_filter(y, window, degree))
        slope = savgol_filter(y, window, degree, deriv=1)
        np.testing.assert_allclose(mine["signal_gradient_per_frame"], slope, atol=1e-12)
        np.testing.assert_allclose(mine["signal_gradient_per_min"], slope / 2, atol=1e-12)


def test_moving_average_and_gaussian_are_scipys_within_a_track():
    rows = table([60])
    y = rows["signal"].to_numpy()
    mean = run(rows, method="moving_average", window_frames=7)["signal_smoothed"]
    np.testing.assert_allclose(mean[3:-3], uniform_filter1d(y, 7)[3:-3])
    gauss = run(rows, method="gaussian", sigma_frames=1.5)["signal_smoothed"]
    np.testing.assert_allclose(gauss[6:-6], gaussian_filter1d(y, 1.5)[6:-6])


@pytest.mark.parametrize("method", ["savitzky_golay", "gaussian", "moving_average"])
def test_a_line_stays_a_line_at_uneven_times_too(method):
    rows = table([30, 9])
    rows["time_min"] = rows["frame"] + 0.3 * np.sin(rows["frame"])
    rows["signal"] = 4 - 1.5 * rows["time_min"]
    found = run(rows, method=method)
    np.testing.assert_allclose(found["signal_smoothed"], rows["signal"])
    np.testing.assert_allclose(found["signal_gradient_per_min"], -1.5)


def test_a_parabola_has_its_own_gradient_up_to_the_ends():
    found = run(table([20], value=lambda t: 2 + t**2, dt=0.5))
    t = found["time_min"]
    np.testing.assert_allclose(found["signal_smoothed"], 2 + t**2)
    np.testing.assert_allclose(found["signal_gradient_per_min"], 2 * t, atol=1e-9)


def test_gaps_are_interpolated_and_marked_and_long_ones_left_open():
    rows = table([30], value=lambda t: 3.0 * t)
    rows.loc[4, "signal"] = np.nan  # seen, but without a value
    rows = rows[~rows["frame"].isin([8, 9, *range(15, 22)])]
    found = run(rows, max_gap_frames=4, window_frames=3, polynomial=1)
    assert found["frame"].tolist() == list(range(30))
    assert found.loc[found["interpolated"], "frame"].tolist() == [8, 9, *range(15, 22)]
    made = found.loc[found["signal_interpolated"], "frame"].tolist()
    assert made == [4, 8, 9]
    open_ = found["frame"].between(15, 21)
    assert found.loc[open_, "signal_smoothed"].isna().all()
    np.testing.assert_allclose(found.loc[~open_, "signal_smoothed"], 3.0 * found["frame"][~open_])
    assert found["time_min"].tolist()[:15] == list(range(15))
    # the two sides of a long gap know nothing of each other
    apart = rows.assign(signal=rows["signal"] + 100 * (rows["frame"] > 15))
    before = run(apart, max_gap_frames=4)["signal_smoothed"][:15]
    np.testing.assert_allclose(before, run(rows, max_gap_frames=4)["signal_smoothed"][:15])


def test_interpolation_follows_real_time():
    rows = table([4])
    rows["time_min"] = [0.0, 1.0, 1.5, 5.0]
    rows["signal"] = [0.0, np.nan, np.nan, 10.0]
    found = run(rows, window_frames=3, polynomial=1)
    np.testing.assert_allclose(found["signal_smoothed"], 2 * rows["time_min"], atol=1e-12)
    assert found["signal_interpolated"].tolist() == [False, True, True, False]


def test_short_tracks_nulls_at_the_ends_and_nothing_at_all():
    found = run(table([1, 2, 3]))
    assert found["signal_smoothed"].notna().all()
    np.testing.assert_allclose(found["signal_smoothed"], table([1, 2, 3])["signal"])
    assert np.isnan(found["signal_gradient_per_frame"].iloc[0])
    rows = table([6])
    rows.loc[[0, 5], "signal"] = np.nan
    found = run(rows)
    assert found["signal_smoothed"].isna().tolist() == [True, *[False] * 4, True]
    assert run(rows.assign(signal=np.nan))["signal_smoothed"].isna().all()
    assert run(rows.assign(time_min=np.nan))["signal_gradient_per_min"].isna().all()
    assert len(run(rows.iloc[:0])) == 0 and "signal_smoothed" in run(rows.iloc[:0])
    assert len(run(rows, columns=())) == 0


def test_what_cannot_work_is_refused():
    with pytest.raises(ConfigError, match="no middle"):
        construct(TrackSmoothing, {"window_frames": 4})
    with pytest.raises(ConfigError, match="smooth nothing"):
        construct(TrackSmoothing, {"window_frames": 3, "polynomial": 3})
    with pytest.raises(ConfigError, match="Did you mean 'signal'"):
        run(table([5]), columns=("signl",))
    with pytest.raises(InputError, match="frame 0 twice"):
        run(pd.concat([table([5])] * 2))
