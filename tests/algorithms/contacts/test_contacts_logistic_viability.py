"""Viability from several markers, against scikit-learn and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import construct
from cyto_kedro.algorithms.contacts.logistic_viability import LogisticViability, fit_logistic
from cyto_kedro.errors import ConfigError, InputError

MARKERS = {"death": "PI", "live": "Calcein"}
BOTH: dict[str, Any] = {"death_markers": ("death",), "live_markers": ("live",)}


def cells(pi: Any, calcein: Any) -> pd.DataFrame:
    pi = np.asarray(pi, float)
    return pd.DataFrame(
        {
            "fov": "A",
            "population": "C",
            "frame": 0,
            "label": np.arange(len(pi)) + 1,
            "PI_median": pi,
            "Calcein_median": calcein,
        }
    )


def mixed(n: int, dead_share: float, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Cells of which each marker alone tells four of five, and which are dead."""
    rng = np.random.default_rng(seed)
    dead = rng.random(n) < dead_share
    pi = 200 + 60 * rng.normal(size=n) + 100 * dead
    calcein = 900 + 150 * rng.normal(size=n) - 250 * dead
    return cells(pi, calcein), dead


def test_stated_weights_are_the_curve_as_written() -> None:
    table = cells([0.0, 10.0, 20.0], [3.0, 3.0, 0.0])
    algorithm = LogisticViability(
        **BOTH, weights={"death": -0.5, "live": 1.0}, intercept=2.0, scale="grey"
    )
    found = algorithm({"dataframe": table, "markers": MARKERS})["dataframe"]
    schemas.check(schemas.Viability, found)
    logit = np.array([5.0, 0.0, -8.0])
    np.testing.assert_allclose(found["alive_probability"], 1 / (1 + np.exp(-logit)), rtol=1e-12)
    np.testing.assert_allclose(found["marker_signal"], -logit)
    assert found["dead"].tolist() == [False, False, True]


def test_percentile_scale_is_the_curve_of_slope_ten_and_middle_half() -> None:
    rng = np.random.default_rng(0)
    table = cells(np.zeros(1000), rng.uniform(100, 400, 1000))
    algorithm = LogisticViability(
        death_markers=(),
        live_markers=("live",),
        weights={"live": 10},
        intercept=-5,
        scale="percentile",
    )
    found = algorithm({"dataframe": table, "markers": MARKERS})["dataframe"]
    low, high = np.percentile(table["Calcein_median"], [1, 99])
    x = np.clip((table["Calcein_median"] - low) / (high - low), 0, 1)
    np.testing.assert_allclose(found["alive_probability"], 1 / (1 + np.exp(-10 * (x - 0.5))))


@pytest.mark.parametrize("grey", [1.0, 1000.0])
def test_the_fit_is_scikit_learns(grey: float) -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(1)
    live, dead = rng.normal([0, 1], 1, (300, 2)) * grey, rng.normal([1, 0], 1, (60, 2)) * grey
    weights, intercept = fit_logistic(live, dead, penalty=0.01)
    n = len(live) + len(dead)
    # on one scale of numbers, or its optimiser does not converge: a weight a grey level is 1/grey
    model = LogisticRegression(
        C=grey**2 / (n * 0.01), class_weight="balanced", tol=1e-10, max_iter=5000
    )
    model.fit(np.concatenate([live, dead]) / grey, np.repeat([1, 0], [len(live), len(dead)]))
    np.testing.assert_allclose(weights * grey, model.coef_[0], rtol=1e-4)
    assert intercept == pytest.approx(model.intercept_[0], rel=1e-4)


def test_two_markers_from_controls_beat_one_and_are_calibrated() -> None:
    assay, dead = mixed(4000, 0.3, 0)
    live_control, dead_control = mixed(500, 0.0, 1)[0], mixed(200, 1.0, 2)[0]
    data = {
        "dataframe": assay,
        "markers": MARKERS,
        "controls": {"live": live_control, "dead": dead_control},
    }
    both = LogisticViability(**BOTH)(data)
    one = LogisticViability()(data)
    accuracy = [(each["dataframe"]["dead"] == dead).mean() for each in (both, one)]
    # the best that can be: normal groups 1.667 and 1.667 standard deviations apart
    assert accuracy[0] == pytest.approx(0.881, abs=0.02)
    assert accuracy[1] == pytest.approx(0.798, abs=0.025)
    assert both["state"]["n_live"] == 500 and both["state"]["n_dead"] == 200
    # the state alone gives the same again, block by block
    parts = [
        LogisticViability(**BOTH)({"dataframe": part, "markers": MARKERS, "state": both["state"]})[
            "dataframe"
        ]
        for part in (assay[:1000], assay[1000:])
    ]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), both["dataframe"])


def test_controls_that_are_wholly_apart_have_finite_weights() -> None:
    live, dead = cells(np.arange(20), np.full(20, 9)), cells(np.arange(20) + 500, np.full(20, 9))
    data = {"dataframe": live, "markers": MARKERS, "controls": {"live": live, "dead": dead}}
    found = LogisticViability()(data)
    assert np.isfinite(found["state"]["weights"]).all()
    assert not found["dataframe"]["dead"].any()


def test_no_cells_and_no_made_up_weights() -> None:
    none = cells([], [])
    stated = LogisticViability(weights={"death": -1}, intercept=0)
    found = stated({"dataframe": none, "markers": MARKERS})["dataframe"]
    schemas.check(schemas.Viability, found)
    assert len(found) == 0
    some = mixed(50, 0.5, 0)[0]
    with pytest.raises(InputError, match="0 cells of control fields known to be live"):
        LogisticViability()({"dataframe": some, "markers": MARKERS})
    swapped = {"live": mixed(50, 1.0, 1)[0], "dead": mixed(50, 0.0, 2)[0]}
    with pytest.raises(InputError, match="right way round"):
        LogisticViability()({"dataframe": some, "markers": MARKERS, "controls": swapped})


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"weights": {"death": 1.0}, "intercept": 0}, "a death marker's is negative"),
        ({"weights": {"death": -1.0}}, "weights and intercept, or neither"),
        ({"weights": {"dead": -1.0}, "intercept": 0}, "Did you mean 'death'"),
        ({**BOTH, "weights": {"death": -1.0}, "intercept": 0}, "no weight for the marker 'live'"),
        ({"live_markers": ("death",)}, "each marker once"),
        ({"death_markers": ()}, "each marker once"),
    ],
)
def test_arguments_that_cannot_be(args: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        construct(LogisticViability, args)


def test_a_marker_that_is_not_there_and_a_signal_that_is_not_finite() -> None:
    table = cells([1.0, np.nan], [1.0, 1.0])
    algorithm = LogisticViability(**BOTH, weights={"death": -1, "live": 1}, intercept=0)
    with pytest.raises(InputError, match="label 2: PI_median is nan"):
        algorithm({"dataframe": table, "markers": MARKERS})
    with pytest.raises(InputError, match="unknown marker 'live'"):
        algorithm({"dataframe": table[:1], "markers": {"death": "PI"}})
    with pytest.raises(InputError, match="column 'X_median' is missing"):
        algorithm({"dataframe": table[:1], "markers": {"death": "PI", "live": "X"}})
