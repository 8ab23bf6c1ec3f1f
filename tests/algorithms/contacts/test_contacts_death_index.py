"""The cell death index and Wilson's interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.death_index import CellDeathIndex


def index_of(frames: dict[int, list[bool]], n_frames: int, **args: float) -> pd.DataFrame:
    rows = [
        {"fov": "A", "population": "C", "frame": frame, "label": label + 1, "dead": dead}
        for frame, cells in frames.items()
        for label, dead in enumerate(cells)
    ]
    table = pd.DataFrame(rows, columns=["fov", "population", "frame", "label", "dead"])
    table = table.assign(marker_signal=0.0, alive_probability=0.5)
    data = {
        "viability": schemas.conform(schemas.Viability, table),
        "fov": "A",
        "population": "C",
        "n_frames": n_frames,
        "time_min": np.arange(n_frames) * 2.0,
    }
    return CellDeathIndex(**args)(data)["dataframe"]


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_counts_share_and_scipys_interval(confidence: float) -> None:
    frames = {0: [False] * 7, 1: [True] * 3 + [False] * 9, 3: [True] * 4}
    found = index_of(frames, 5, confidence=confidence)
    schemas.check(schemas.DeathIndexes, found)
    assert found["n_dead"].tolist() == [0, 3, 0, 4, 0]
    assert found["n_live"].tolist() == [7, 9, 0, 0, 0]
    assert found["time_min"].tolist() == [0, 2, 4, 6, 8]
    for frame, cells in frames.items():
        want = binomtest(sum(cells), len(cells)).proportion_ci(confidence, method="wilson")
        row = found.loc[frame]
        assert row["death_index"] == sum(cells) / len(cells)
        assert row["death_index_low"] == pytest.approx(want.low, abs=1e-12)
        assert row["death_index_high"] == pytest.approx(want.high, abs=1e-12)
    empty = found.loc[[2, 4], ["death_index", "death_index_low", "death_index_high"]]
    assert empty.isna().all(axis=None)


def test_a_film_without_any_cell_has_its_frames() -> None:
    found = index_of({}, 3)
    schemas.check(schemas.DeathIndexes, found)
    assert len(found) == 3 and found["death_index"].isna().all()
