"""Survival of what a film shows, against lifelines to the last digit."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines import KaplanMeierFitter

from cyto_kedro.core.survival import kaplan_meier


@pytest.mark.parametrize("late", [False, True])
def test_kaplan_meier_and_its_band_are_lifelines(late: bool) -> None:
    rng = np.random.default_rng(1)
    entry = rng.integers(0, 8, 200).astype(float) if late else np.zeros(200)
    leave, event = entry + rng.integers(1, 30, 200), rng.random(200) < 0.6
    curve = kaplan_meier(entry, leave, event).set_index("time")
    fit = KaplanMeierFitter().fit(leave, event, entry=entry)
    after = curve.index[curve.index > 0]
    assert len(after) > 20
    known = fit.survival_function_.join(fit.confidence_interval_).loc[after].to_numpy()
    assert (curve.loc[after, ["survival", "lower", "upper"]].to_numpy() == known).all()
    assert (curve.loc[after, "events"] == fit.event_table.loc[after, "observed"]).all()
