"""What must not change motion measures: where, how turned, how numbered, how fine, in what order."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.autocorrelation import VelocityAutocorrelation
from cyto_kedro.algorithms.contacts.drift import CommonDrift, without_drift
from cyto_kedro.algorithms.contacts.kinematics import Kinematics
from cyto_kedro.algorithms.contacts.msd import MeanSquaredDisplacement, lag_sums
from cyto_kedro.algorithms.contacts.smoothing import TrackSmoothing
from cyto_kedro.algorithms.contacts.trajectories import trajectories

DRAWN = ("msd", "fits", "autocorrelation")  # a bootstrap draws tracks by their place
SEEDS = st.integers(0, 2**32 - 1)


def walkers(seed: int, k: int = 8, n: int = 24) -> pd.DataFrame:
    """Correlated walks with gaps, unequal lengths and uneven times."""
    rng = np.random.default_rng(seed)
    angle = rng.normal(scale=0.6, size=(k, n)).cumsum(axis=1)
    step = rng.gamma(4, 1, size=(k, n))
    x, y = ((step * f(angle)).cumsum(axis=1) for f in (np.cos, np.sin))
    frame = np.tile(np.arange(n), k)
    kept = (rng.random(k * n) > 0.15) & (frame >= np.repeat(rng.integers(0, n // 2, k), n))
    times = (np.arange(n) + rng.uniform(-0.1, 0.1, n)) * 2.0
    columns = {
        "fov": "A",
        "population": "T",
        "frame": frame,
        "time_min": times[frame],
        "x_px": x.ravel(),
        "y_px": y.ravel(),
        "x_um": x.ravel() / 2,
        "y_um": y.ravel() / 2,
        "track_id": np.repeat(np.arange(1, k + 1), n),
        "label": 1,
        "interpolated": False,
    }
    return schemas.conform(schemas.TrackPoints, pd.DataFrame(columns)[kept])


def measures(points: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Every table of motion that has no direction in it."""
    data = {"dataframe": points}
    found = Kinematics()(data)
    found["steps"] = found["steps"].drop(
        columns=[each for each in found["steps"] if str(each).startswith("velocity")]
    )
    displaced = MeanSquaredDisplacement(n_bootstrap=20)(data)
    turned = VelocityAutocorrelation(n_bootstrap=20)(data)
    return {**found, **displaced, "autocorrelation": turned["velocity_autocorrelation"]}


def same(a: dict[str, pd.DataFrame], b: dict[str, pd.DataFrame], tolerance: float = 1e-6) -> None:
    for name, table in a.items():
        pd.testing.assert_frame_equal(table, b[name], rtol=tolerance, atol=1e-6)


@settings(max_examples=8)
@given(SEEDS, st.integers(0, 3), st.floats(-500, 500), st.floats(-500, 500))
def test_translation_and_quarter_turns(seed, quarters, dx, dy):
    points = walkers(seed)
    moved = points.copy()
    for unit, scale in (("px", 1.0), ("um", 0.5)):
        xy = points[[f"x_{unit}", f"y_{unit}"]].to_numpy()
        turn = np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), quarters)
        moved[[f"x_{unit}", f"y_{unit}"]] = xy @ turn.T + scale * np.array([dx, dy])
    same(measures(points), measures(moved))


@settings(max_examples=8)
@given(SEEDS)
def test_numbers_of_tracks_order_of_rows_and_other_populations(seed):
    points = walkers(seed)
    ids = np.random.default_rng(seed).permutation(np.arange(1, 9)) + 40
    renamed = points.assign(track_id=ids[points["track_id"] - 1])
    other = walkers(seed + 1).assign(population="C")
    mixed = pd.concat([other, renamed]).sample(frac=1, random_state=seed % 1000)
    before, after = measures(points), measures(mixed)
    for name, table in before.items():
        back = after[name][after[name]["population"] == "T"]
        if "track_id" in back:
            back = back.assign(
                track_id=np.argsort(ids)[np.searchsorted(np.sort(ids), back["track_id"])] + 1
            )
        keys = [each for each in ("track_id", "frame", "lag") if each in table]
        back = back.sort_values(keys, ignore_index=True) if keys else back.reset_index(drop=True)
        kept = [
            each for each in table
            if name not in DRAWN or not {"low", "high"} & set(str(each).split("_"))
        ]  # fmt: skip
        pd.testing.assert_frame_equal(back[kept], table[kept], rtol=1e-6, atol=1e-9)


@settings(max_examples=10)
@given(SEEDS, st.integers(2, 4))
def test_a_finer_clock_changes_frames_not_minutes(seed, factor):
    """Frames numbered twice as densely, with nothing between: the same film, other numbers."""
    points = walkers(seed)
    finer = points.assign(frame=points["frame"] * factor)
    a, b = Kinematics()({"dataframe": points}), Kinematics()({"dataframe": finer})
    for name in ("steps", "motility"):
        timeless = [
            each for each in a[name]
            if "frame" not in str(each) and a[name][each].dtype.kind == "f"
        ]  # fmt: skip
        pd.testing.assert_frame_equal(a[name][timeless], b[name][timeless])
        per_frame = [each for each in a[name] if str(each).endswith("px_per_frame")]
        np.testing.assert_allclose(a[name][per_frame], factor * b[name][per_frame])


@settings(max_examples=8)
@given(SEEDS, st.integers(2, 4))
def test_films_at_a_lower_frame_rate_share_out_the_pairs(seed, stride):
    """Every `stride`-th frame, from each start: together the same pairs at the same real lag."""
    points = walkers(seed)
    points["time_min"] = points["frame"] * 2.0
    whole = lag_sums(trajectories(points), 2 * stride)
    for lag in (1, 2):
        parts = []
        for start in range(stride):
            coarse = points[points["frame"] % stride == start]
            coarse = coarse.assign(frame=coarse["frame"] // stride)
            parts.append(lag_sums(trajectories(coarse), 2))
        pairs, square, minutes = (
            sum(get(part)[:, lag].sum() for part in parts)
            for get in (lambda p: p.pairs, lambda p: p.square["um"], lambda p: p.minutes)
        )
        assert pairs == whole.pairs[:, lag * stride].sum()
        np.testing.assert_allclose(square, whole.square["um"][:, lag * stride].sum())
        np.testing.assert_allclose(minutes, whole.minutes[:, lag * stride].sum())


@settings(max_examples=10)
@given(SEEDS, st.floats(-3, 3), st.floats(-3, 3))
def test_a_flow_that_is_subtracted_leaves_no_trace(seed, vx, vy):
    points = walkers(seed)
    flowing = points.copy()
    for unit, scale in (("px", 1.0), ("um", 0.5)):
        flowing[f"x_{unit}"] += scale * vx * points["frame"]
        flowing[f"y_{unit}"] += scale * vy * points["frame"]
    drift = CommonDrift(subtract=True)
    left = [
        without_drift(each, drift({"dataframe": each})["subtracted_drift"])
        for each in (points, flowing)
    ]
    # where no cell was seen in two frames running, the flow is not known either
    table = drift({"dataframe": points})["drift"]
    if (table["n_cells"][points["frame"].min() + 1 :] > 0).all():
        same(*(Kinematics()({"dataframe": each}) for each in left))


@settings(max_examples=8)
@given(SEEDS, st.floats(-5, 5), st.floats(-5, 5))
def test_smoothing_is_linear(seed, a, b):
    points = walkers(seed).rename(columns={"x_px": "one", "y_px": "two"})
    points["both"] = a * points["one"] + b * points["two"]
    found = TrackSmoothing(columns=("one", "two", "both"))({"dataframe": points})["smoothed_steps"]
    for end in ("smoothed", "gradient_per_frame", "gradient_per_min"):
        expected = a * found[f"one_{end}"] + b * found[f"two_{end}"]
        np.testing.assert_allclose(found[f"both_{end}"], expected, atol=1e-6)
