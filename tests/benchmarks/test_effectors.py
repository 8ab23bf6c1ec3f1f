"""Scores against marks made by eye, on marks and labels that are counted by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import effectors

COLUMNS = ["kind", "x_px", "y_px", "a_px", "b_px", "angle_deg"]


def marks(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def test_an_ellipse_has_its_area_place_and_angle() -> None:
    label = effectors.ellipses(marks(("cell", 40, 30, 12, 6, 90.0)), (60, 80))
    y, x = np.nonzero(label == 1)
    assert len(y) == pytest.approx(np.pi * 72, rel=0.05)
    assert (y.mean(), x.mean()) == pytest.approx((30, 40))
    assert np.ptp(y) > 1.8 * np.ptp(x)  # turned: it is longer down than across


def test_overlapping_ellipses_share_their_pixels() -> None:
    label = effectors.ellipses(
        marks(("cell", 30, 30, 10, 10, 0.0), ("cell", 44, 30, 10, 10, 0.0)), (60, 80)
    )
    assert label[30, 36] == 1 and label[30, 38] == 2


def test_what_is_found_at_a_doubtful_place_is_neither_right_nor_wrong() -> None:
    table = marks(
        ("cell", 20, 20, 8, 8, 0.0),
        ("cell", 60, 20, 8, 8, 0.0),
        ("doubtful", 20, 60, 8, 8, 0.0),
        ("doubtful", 60, 60, 12, 12, 0.0),
    )
    found = np.zeros((100, 100), np.int64)
    found[13:28, 13:28] = 1  # a cell
    found[53:68, 13:28] = 2  # a doubtful one
    found[58:63, 58:63] = 3  # a piece of another
    found[85:95, 85:95] = 4  # nothing
    scores = effectors.against_marks(found, table)
    half = scores.at_half
    assert (half.hits, half.found, half.true) == (1, 2, 2)
    assert (scores.all_cells.hits, scores.all_cells.found, scores.all_cells.true) == (2, 4, 4)
    assert (scores.none_cells.hits, scores.none_cells.found, scores.none_cells.true) == (1, 4, 2)


def test_the_marks_are_of_eight_fields_and_inside_them() -> None:
    table = pd.read_csv(effectors.MARKS)
    assert list(table.columns) == ["field", *COLUMNS]
    assert table["field"].nunique() == 8 and set(table["kind"]) == {"cell", "doubtful"}
    assert table[["x_px", "y_px"]].ge(-5).all(axis=None) and table[["x_px", "y_px"]].le(517).all(
        axis=None
    )
