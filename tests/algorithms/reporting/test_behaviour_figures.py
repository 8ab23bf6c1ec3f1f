"""The figure of behaviours shows the tables' numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.behaviour_figures import BehaviourFigures, draw_behaviours

WINDOWS = schemas.filled(
    schemas.Behaviours,
    {"fov": "A", "population": "TCell", "track_id": [1, 2, 3, 4, 5], "window": [1, 1, 1, 1, 0]}
    | {"x": [0.0, 1, 8, 9, np.nan], "y": 0.0, "behaviour": pd.array([1, 1, 2, 2, None], "Int64")},
)
PROFILES = schemas.filled(
    schemas.BehaviourProfiles,
    {"population": "TCell", "behaviour": [1, 1, 2, 2], "n_windows": 2}
    | {
        "measure": ["speed_um_per_min", "contact_other"] * 2,
        "standardised": [-1.5, 0.5, 1.5, -0.2],
    },
)
SHARES = schemas.filled(
    schemas.ReplicateSummaries,
    {"population": "TCell", "condition": ["drug", "drug", "none"] * 2, "value": [0.2, 0.4, 0.7] * 2}
    | {"measure": ["behaviour_1"] * 3 + ["behaviour_2"] * 3, "replicate": ["a", "b", "a"] * 2},
)


def test_places_profiles_and_shares_are_those_of_the_tables() -> None:
    fig = draw_behaviours(WINDOWS, PROFILES, SHARES, None)
    places, profile, shares = fig.axes
    assert [len(each.get_offsets()) for each in places.collections] == [2, 2]
    assert [text.get_text() for text in places.texts] == ["1", "2"]
    assert np.asarray(profile.images[0].get_array()) == pytest.approx(
        np.array([[-1.5, 0.5], [1.5, -0.2]])
    )
    assert [each.get_text() for each in profile.get_xticklabels()] == ["speed", "contact other"]
    points = [float(line.get_ydata()[0]) for line in shares.lines if len(line.get_ydata()) == 1]
    assert points == pytest.approx([20, 40, 70] * 2)
    means = [each.get_segments()[0][0][1] for each in shares.collections]
    assert means == pytest.approx([30, 70] * 2)


def test_no_class_is_said_in_words_and_numbers_lie_beside_the_figure() -> None:
    drawn = BehaviourFigures(dpi=50)(
        behaviours=WINDOWS, behaviour_profiles=PROFILES, replicate_summaries=SHARES
    )["figures"]["behaviours"]
    assert drawn.numbers.count("behaviour_1") == 3 and "drug, b: 40 %" in drawn.svg
    fig = draw_behaviours(WINDOWS[4:], PROFILES[:0], SHARES[:0], None)
    assert "for as long as a window" in fig.axes[0].texts[0].get_text()
