"""Mean squared displacement against closed forms, trackpy and the simulator's random walk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.motion_fits import exponential, furth, power_law
from cyto_kedro.algorithms.contacts.msd import MeanSquaredDisplacement, lag_sums
from cyto_kedro.algorithms.contacts.trajectories import trajectories
from cyto_kedro.algorithms.simulation.motion import persistent_step
from cyto_kedro.errors import InputError
from walks import mean_squared_displacement

TABLES = {"msd": schemas.Msd, "track_fits": schemas.TrackFits, "fits": schemas.MotionFits}


def run(points: pd.DataFrame, **fields: Any) -> dict[str, pd.DataFrame]:
    found = MeanSquaredDisplacement(**fields)({"dataframe": points})
    for name, table in TABLES.items():
        schemas.check(table, found[name])
    return found


def walkers(xy: np.ndarray, dt: float = 1.0, pixel_size_um: float = 1.0) -> pd.DataFrame:
    """Track points of (k, T, 2) µm, a frame every `dt` minutes."""
    k, n, _ = xy.shape
    frame = np.tile(np.arange(n), k)
    columns = {
        "fov": "A",
        "population": "T",
        "frame": frame,
        "time_min": frame * dt,
        "x_um": xy[..., 0].ravel(),
        "y_um": xy[..., 1].ravel(),
        "x_px": xy[..., 0].ravel() / pixel_size_um,
        "y_px": xy[..., 1].ravel() / pixel_size_um,
        "track_id": np.repeat(np.arange(1, k + 1), n),
        "label": 1,
        "interpolated": False,
    }
    return schemas.conform(schemas.TrackPoints, pd.DataFrame(columns))


def brownian(k: int, n: int, diffusion: float, dt: float, seed: int = 0) -> np.ndarray:
    steps = np.random.default_rng(seed).normal(size=(k, n, 2)) * np.sqrt(2 * diffusion * dt)
    return np.cumsum(steps, axis=1)


def persistent(k: int, n: int, speed: float, persistence: float, dt: float) -> np.ndarray:
    """Fürth's random walk, exact at any interval: (k, n, 2)."""
    rng = np.random.default_rng(4)
    velocity = rng.standard_normal((k, 2)) * speed / np.sqrt(2)
    place, all_s, all_p = np.zeros((k, 2)), np.full(k, speed), np.full(k, persistence)
    places = [place]
    for _ in range(n - 1):
        moved, velocity = persistent_step(rng, velocity, all_s, all_p, dt)
        places.append(places[-1] + moved)
    return np.stack(places, axis=1)


def gaps(points: pd.DataFrame, share: float, seed: int = 1) -> pd.DataFrame:
    """Without some rows; tracks become of unequal length, too."""
    kept = np.random.default_rng(seed).random(len(points)) > share
    return points[kept].reset_index(drop=True)


def test_straight_motion_is_ballistic():
    t = np.arange(30.0)
    lines = np.stack([np.stack([v * t, 2 * v * t], axis=1) for v in (1.0, 1.0, 1.0, 1.0, 1.0)])
    found = run(walkers(lines, dt=2.0))
    msd, fits = found["msd"], found["fits"].iloc[0]
    np.testing.assert_allclose(msd["msd_um2"], 5 / 4 * msd["lag_min"] ** 2)
    np.testing.assert_allclose(msd["msd_px2"], 5 * msd["lag_frames"] ** 2)
    assert fits["exponent"] == pytest.approx(2) and fits["exponent_low"] == pytest.approx(2)
    assert fits["msd_at_1_min_um2"] == pytest.approx(5 / 4)
    np.testing.assert_allclose(found["track_fits"]["exponent"], 2)
    assert np.isnan(fits["persistence_min"]) and "persistence" in fits["note"]


def test_confined_motion_flattens_at_twice_the_spread():
    rng = np.random.default_rng(2)
    radius = 5 * np.sqrt(rng.random((40, 400)))
    angle = 2 * np.pi * rng.random((40, 400))
    inside = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
    found = run(walkers(inside))
    # independent places in a disc of radius R: <(a - b)²> = R² at every lag
    np.testing.assert_allclose(found["msd"]["msd_um2"], 25, rtol=0.03)
    assert found["fits"]["exponent"].iloc[0] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_brownian_motion_gives_its_diffusion_coefficient(share):
    points = gaps(walkers(brownian(400, 80, diffusion=3.0, dt=2.0), dt=2.0), share)
    found = run(points)
    msd, fits = found["msd"], found["fits"].iloc[0]
    np.testing.assert_allclose(msd["msd_um2"], 4 * 3.0 * msd["lag_min"], rtol=0.05)
    assert fits["diffusion_low_um2_per_min"] < 3.0 < fits["diffusion_high_um2_per_min"]
    assert fits["exponent_low"] < 1.0 < fits["exponent_high"]
    assert fits["diffusion_um2_per_min"] == pytest.approx(3.0, rel=0.03)


@pytest.mark.parametrize(("n", "share"), [(40, 0.0), (150, 0.0), (60, 0.2)])
def test_intervals_of_a_track_cover_the_truth(n, share):
    points = gaps(walkers(brownian(1000, n, 3.0, 2.0, seed=7), dt=2.0), share)
    fits = run(points, n_bootstrap=0)["track_fits"]
    d, alpha = "diffusion_{}um2_per_min", "exponent{}"
    covered = (fits[d.format("low_")] <= 3) & (fits[d.format("high_")] >= 3)
    assert 0.91 < covered.mean() < 0.99  # with gaps a little too wide
    covered = (fits[alpha.format("_low")] <= 1) & (fits[alpha.format("_high")] >= 1)
    assert 0.91 < covered.mean() < 0.99
    assert fits[d.format("")].mean() == pytest.approx(3.0, rel=0.02)
    assert fits["exponent"].mean() == pytest.approx(1.0, abs=0.06)  # log MSD bends a little


def test_intervals_of_a_population_cover_the_truth():
    inside = []
    for seed in range(30):
        points = walkers(brownian(40, 30, 3.0, 1.0, seed=seed))
        fits = run(points, n_bootstrap=100)["fits"].iloc[0]
        inside.append(
            [
                fits["diffusion_low_um2_per_min"] <= 3 <= fits["diffusion_high_um2_per_min"],
                fits["exponent_low"] <= 1 <= fits["exponent_high"],
            ]
        )
    assert (np.mean(inside, axis=0) > 0.85).all()


def test_the_simulators_persistent_walk_is_found_again():
    points = walkers(persistent(500, 80, speed=2.5, persistence=6.0, dt=1.5), dt=1.5)
    found = run(gaps(points, 0.1))
    msd, fits = found["msd"], found["fits"].iloc[0]
    truth = mean_squared_displacement(2.5, 6.0, msd["lag_min"].to_numpy())
    np.testing.assert_allclose(msd["msd_um2"], truth, rtol=0.05)
    assert fits["furth_speed_um_per_min"] == pytest.approx(2.5, rel=0.03)
    assert fits["persistence_min"] == pytest.approx(6.0, rel=0.08)
    assert fits["persistence_low_min"] < 6.0 < fits["persistence_high_min"]
    assert fits["persistence_frames"] == pytest.approx(4.0, rel=0.08)
    assert fits["note"] == ""


def test_errors_of_position_are_told_from_motion():
    rng = np.random.default_rng(8)
    walk = persistent(500, 80, speed=2.5, persistence=6.0, dt=1.5)
    fits = run(walkers(walk + rng.normal(scale=1.0, size=walk.shape), dt=1.5))["fits"].iloc[0]
    assert fits["position_error_um"] == pytest.approx(1.0, rel=0.05)
    assert fits["persistence_min"] == pytest.approx(6.0, rel=0.1)


def test_each_curve_is_fitted_as_by_hand():
    t = np.arange(1.0, 13)
    msd = np.stack([4 * 0.5 * t**1.3, mean_squared_displacement(2.0, 3.0, t) + 4 * 0.7**2])
    weight = np.linspace(5, 1, 12) * np.ones((2, 1))
    law, walk = power_law(msd, t, weight, weight, 2), furth(msd, t, weight, 2)
    for i in range(2):
        slope, start = np.polyfit(np.log(t), np.log(msd[i]), 1, w=np.sqrt(weight[i]))
        assert law.exponent[i] == pytest.approx(slope)
        assert law.at_one[i] == pytest.approx(np.exp(start))
    assert walk.persistence[1] == pytest.approx(3.0, rel=2e-3)
    assert walk.scale[1] == pytest.approx(2.0, rel=0.01)
    assert walk.offset[1] == pytest.approx(0.7, rel=0.05)
    decay = exponential(3 * np.exp(-t / 4.5)[None], t, weight[:1])
    assert decay.persistence[0] == pytest.approx(4.5, rel=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_trackpy_gives_the_same(share):
    tp = pytest.importorskip("trackpy")
    points = walkers(brownian(30, 40, 1.0, 1.0), pixel_size_um=0.5)
    points = gaps(points, share)
    points = points[(points["track_id"] % 3 > 0) | (points["frame"] < 25)]  # unequal lengths
    theirs = points.rename(columns={"x_px": "x", "y_px": "y", "track_id": "particle"})
    theirs = theirs[["particle", "frame", "x", "y"]]
    mine = run(points, max_lag_frames=20)
    ensemble = tp.emsd(theirs, mpp=0.5, fps=1, max_lagtime=20)
    np.testing.assert_allclose(mine["msd"]["msd_um2"], ensemble, rtol=1e-12)
    np.testing.assert_allclose(mine["msd"]["lag_min"], ensemble.index)
    each = tp.imsd(theirs, mpp=0.5, fps=1, max_lagtime=20)
    sums = lag_sums(trajectories(points), 20)
    with np.errstate(invalid="ignore"):
        curves = (sums.square["um"] / sums.pairs)[:, 1:].T
    np.testing.assert_allclose(curves, each.to_numpy(), rtol=1e-9)
    detail = tp.emsd(theirs, mpp=0.5, fps=1, max_lagtime=20, detail=True)
    np.testing.assert_allclose(mine["msd"]["n_independent"], detail["N"], rtol=1e-12)


def test_uneven_times_count_at_their_own_lag():
    times = np.array([0, 1, 2, 3, 7, 8, 9, 10, 15, 16, 17.0])  # a pause, then another
    xy = np.stack([3 * times, np.zeros(len(times))], axis=1)[None]
    points = walkers(xy)
    points["time_min"] = times
    found = run(points, max_lag_frames=4)
    np.testing.assert_allclose(found["msd"]["msd_um2"], 9 * found["msd"]["lag_min"] ** 2)
    assert found["msd"]["n_pairs"].tolist() == [8, 5, 2, 1]
    assert found["msd"]["lag_min"].tolist() == [1, 2, 3, 4]


def test_uncalibrated_films_have_pixels_only():
    points = walkers(brownian(10, 20, 1.0, 1.0))
    without = points.assign(x_um=np.nan, y_um=np.nan)
    found = run(without)
    for name, table in found.items():
        um = [each for each in table if "_um" in str(each)]
        assert um and table[um].isna().all(axis=None), name
    assert "pixel size" in found["fits"]["note"].iloc[0]
    assert found["fits"]["exponent"].notna().all()
    found = run(points.assign(time_min=np.nan))
    assert found["msd"]["lag_min"].isna().all() and found["msd"]["msd_um2"].notna().all()
    assert found["fits"]["diffusion_um2_per_min"].isna().all()
    assert found["track_fits"]["diffusion_px2_per_frame"].notna().all()


def test_few_or_no_cells():
    points = walkers(brownian(3, 20, 1.0, 1.0))
    assert all(len(table) == 0 for table in run(points.iloc[:0]).values())
    still = run(points[points["frame"] == 0])
    assert len(still["msd"]) == 0 and len(still["track_fits"]) == 3 and len(still["fits"]) == 1
    assert still["track_fits"]["exponent"].isna().all() and still["fits"]["n_tracks"].item() == 0
    few = run(points)["fits"].iloc[0]
    assert "fewer than 5 tracks" in few["note"] and np.isnan(few["exponent_low"])
    assert np.isfinite(few["exponent"])
    with pytest.raises(InputError, match="several fields"):
        run(pd.concat([points, points.assign(fov="B")]))


def test_interpolated_points_are_left_out():
    points = walkers(brownian(6, 30, 1.0, 1.0))
    hidden = points["frame"].isin([5, 6, 7])
    filled = points.assign(interpolated=hidden)
    pd.testing.assert_frame_equal(run(filled)["msd"], run(points[~hidden])["msd"])
