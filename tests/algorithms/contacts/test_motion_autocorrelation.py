"""Velocity autocorrelation against closed forms and a plain double loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.autocorrelation import VelocityAutocorrelation
from cyto_kedro.algorithms.simulation.motion import persistent_step


def run(points: pd.DataFrame, **fields: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    found = VelocityAutocorrelation(**fields)({"dataframe": points})
    table = schemas.check(schemas.VelocityAutocorrelation, found["velocity_autocorrelation"])
    return table, found["fits"]


def walkers(xy: np.ndarray, dt: float = 1.0) -> pd.DataFrame:
    """Track points of (k, T, 2) µm; a pixel is half a micrometre."""
    k, n, _ = xy.shape
    frame = np.tile(np.arange(n), k)
    x, y = xy.reshape(-1, 2).T
    columns = {"x_um": x, "y_um": y, "x_px": 2 * x, "y_px": 2 * y}
    return schemas.conform(
        schemas.TrackPoints,
        pd.DataFrame(
            {
                "fov": "A",
                "population": "T",
                "frame": frame,
                "time_min": dt * frame,
                **columns,
                "track_id": np.repeat(np.arange(1, k + 1), n),
                "label": 1,
                "interpolated": False,
            }
        ),
    )


def persistent(k: int, n: int, dt: float, noise: float = 0.0) -> np.ndarray:
    """Random walks of rms speed 2.5 and persistence 6."""
    rng = np.random.default_rng(11)
    v = rng.standard_normal((k, 2)) * 2.5 / np.sqrt(2)
    places = [np.zeros((k, 2))]
    for _ in range(n - 1):
        moved, v = persistent_step(rng, v, np.full(k, 2.5), np.full(k, 6.0), dt)
        places.append(places[-1] + moved)
    walk = np.stack(places, axis=1)
    return walk + rng.normal(scale=noise, size=walk.shape)


def test_a_constant_velocity_is_remembered():
    t = np.arange(20.0)
    lines = np.stack([np.stack([3 * t, 4 * t], axis=1)] * 6)
    table, fits = run(walkers(lines, dt=2.0))
    np.testing.assert_allclose(table["autocorrelation_um2_per_min2"], 25 / 4)
    np.testing.assert_allclose(table["autocorrelation_px2_per_frame2"], 100)
    np.testing.assert_allclose(table[["normalised", "mean_cosine", "normalised_low"]], 1)
    assert fits["autocorrelation_persistence_min"].isna().all()  # longer than any lag


def test_a_walk_without_memory_forgets_at_once():
    steps = np.random.default_rng(0).normal(size=(300, 60, 2))
    table, _ = run(walkers(steps.cumsum(axis=1)))
    assert table["normalised"].iloc[0] == 1
    np.testing.assert_allclose(table["normalised"].iloc[1:], 0, atol=0.03)
    np.testing.assert_allclose(table["mean_cosine"].iloc[1:], 0, atol=0.03)
    inside = (table["normalised_low"] <= 0) & (table["normalised_high"] >= 0)
    assert inside.iloc[1:].mean() > 0.8


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_simulators_walk_decays_as_it_must(noise):
    dt = 1.5
    table, fits = run(walkers(persistent(500, 80, dt, noise), dt))
    decay = np.exp(-dt / 6)
    # velocities averaged over a step: C(k) = S² (P / dt)² (1 - e)² e^(k - 1), from the first lag on;
    # an error of position adds 2 d s² / dt² at lag 0 and takes half of that off at lag 1
    lag = table["lag"].to_numpy()
    expected = 2.5**2 * (6 / dt) ** 2 * (1 - decay) ** 2 * decay ** (lag - 1.0)
    expected[1] -= 2 * noise**2 / dt**2
    np.testing.assert_allclose(
        table["autocorrelation_um2_per_min2"].iloc[1:8], expected[1:8], rtol=0.08
    )
    fit = fits.iloc[0]
    assert fit["autocorrelation_persistence_min"] == pytest.approx(6.0, rel=0.1)
    low, high = (fit[f"autocorrelation_persistence_{each}_min"] for each in ("low", "high"))
    assert low < 6.0 < high
    assert fit["autocorrelation_persistence_frames"] == pytest.approx(4.0, rel=0.1)


def test_gaps_are_handled_as_by_a_double_loop():
    points = walkers(persistent(12, 25, 1.0))
    points = points[np.random.default_rng(3).random(len(points)) > 0.2]
    table, _ = run(points, max_lag_frames=6)
    products: dict[int, list[float]] = {lag: [] for lag in range(7)}
    for _, rows in points.groupby("track_id"):
        at = dict(zip(rows["frame"], rows[["x_um", "y_um"]].to_numpy(), strict=True))
        v = {f: at[f] - at[f - 1] for f in at if f - 1 in at}
        for a in v:
            for b in v:
                if 0 <= b - a <= 6:
                    products[b - a].append(float(v[a] @ v[b]))
    assert table["n_pairs"].tolist() == [len(each) for each in products.values()]
    np.testing.assert_allclose(
        table["autocorrelation_um2_per_min2"], [np.mean(each) for each in products.values()]
    )


def test_few_or_no_cells_and_no_calibration():
    points = walkers(persistent(3, 12, 1.0))
    table, fits = run(points.iloc[:0])
    assert len(table) == len(fits) == 0
    table, fits = run(points[points["frame"] == 0])
    assert len(table) == 0 and len(fits) == 1
    table, _ = run(points.assign(x_um=np.nan, y_um=np.nan, time_min=np.nan))
    assert table["lag_min"].isna().all() and table["autocorrelation_um2_per_min2"].isna().all()
    assert table["normalised"].iloc[0] == 1 and table["normalised_low"].isna().all()
