"""Common drift against trackpy's, and what subtracting it does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.drift import CommonDrift, without_drift
from cyto_kedro.algorithms.contacts.kinematics import Kinematics
from cyto_kedro.errors import ConfigError


def drifting(make_points, flow: tuple[float, float], still: bool = False) -> pd.DataFrame:
    """30 cells of two populations that wander, all carried along by `flow` px a frame."""
    rng = np.random.default_rng(1)
    tracks = {}
    for i in range(30):
        own = rng.normal(size=(12, 2)).cumsum(axis=0) * (not still)
        xy = 100 * rng.random(2) + own + np.outer(np.arange(12), flow)
        seen = rng.random(12) > 0.15
        tracks["T" if i < 10 else "C", i + 1] = {f: tuple(xy[f]) for f in np.flatnonzero(seen)}
    return make_points(tracks)


def run(points: pd.DataFrame, **fields) -> pd.DataFrame:
    found = CommonDrift(**fields)({"dataframe": points, "fov": "A", "n_frames": 12})
    assert len(found["subtracted_drift"]) == (12 if fields.get("subtract") else 0)
    return schemas.check(schemas.Drift, found["drift"])


def test_trackpy_gives_the_same(make_points):
    tp = pytest.importorskip("trackpy")
    points = drifting(make_points, (1.0, -0.5))
    theirs = points.rename(columns={"x_px": "x", "y_px": "y"})
    theirs["particle"] = theirs["track_id"]
    total = tp.compute_drift(theirs[["x", "y", "frame", "particle"]])
    mine = run(points).set_index("frame").loc[total.index]
    np.testing.assert_allclose(mine[["total_drift_x_px", "total_drift_y_px"]], total[["x", "y"]])
    np.testing.assert_allclose(mine["drift_x_um"], mine["drift_x_px"] * 0.5)
    steps = theirs.sort_values(["particle", "frame"])
    apart = steps.groupby("particle")[["frame", "x"]].diff()
    by_frame = apart.loc[apart["frame"] == 1, "x"].groupby(steps["frame"])
    np.testing.assert_allclose(mine["drift_error_x_px"], by_frame.sem())
    assert mine["n_cells"].tolist() == by_frame.size().tolist()


@pytest.mark.parametrize("fields", [{}, {"statistic": "median"}, {"population": "C"}])
def test_cells_at_rest_in_a_flow_are_at_rest(make_points, fields):
    points = drifting(make_points, (1.0, -0.5), still=True)
    drift = run(points, subtract=True, **fields)
    np.testing.assert_allclose(drift["total_drift_x_px"], np.arange(12), atol=1e-9)
    steps = Kinematics()({"dataframe": without_drift(points, drift)})["steps"]
    assert steps["displacement_from_previous_um"].max() < 1e-9
    assert without_drift(points, drift.iloc[:0]) is points


def test_a_median_ignores_a_few_fast_cells_and_a_reference_the_others(make_points):
    tracks = {("T", i): {0: (0.0, 0.0), 1: (1.0, 0.0)} for i in range(1, 6)}
    tracks["C", 6] = {0: (0.0, 0.0), 1: (61.0, 0.0)}
    points = make_points(tracks)
    assert run(points)["drift_x_px"].iloc[1] == pytest.approx(11)
    assert run(points, statistic="median")["drift_x_px"].iloc[1] == 1
    assert run(points, population="C")["drift_x_px"].iloc[1] == 61
    assert run(points, population="T")["n_cells"].tolist() == [0, 5, *[0] * 10]
    with pytest.raises(ConfigError, match="Did you mean"):
        run(points.replace({"population": {"C": "Cancer"}}), population="Cancr")


def test_no_cells_and_no_calibration(make_points):
    empty = run(make_points({}))
    assert empty["fov"].tolist() == ["A"] * 12 and (empty["total_drift_x_px"] == 0).all()
    points = drifting(make_points, (1.0, 0.0)).assign(x_um=np.nan, y_um=np.nan)
    drift = run(points, subtract=True)
    assert drift[[each for each in drift if str(each).endswith("_um")]].isna().all(axis=None)
    assert without_drift(points, drift)["x_um"].isna().all()
