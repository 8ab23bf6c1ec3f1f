"""Masks that split and merge again, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.flicker import split_merged
from cyto_kedro.algorithms.tabulation.mask_quality import MaskQuality

Seen = list[tuple[int, int, float, float]]  # track, frame, x, area


def table(rows: Seen) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["track_id", "frame", "x_px", "area_px"]).assign(y_px=0.0)


STEADY: Seen = [(1, t, 50.0, 100.0) for t in range(8)]  # far from the others
CUT: Seen = [(2, t, 0.0, 55.0 if t in (3, 4) else 100.0) for t in range(8)]
PIECE: Seen = [(3, t, 8.0, 50.0) for t in (3, 4)]


def told(rows: Seen) -> dict[int, float]:
    share = split_merged(table(rows))
    return {int(frame): float(value) for frame, value in share.items() if value}


def test_a_cell_in_two_pieces_for_two_frames_is_told_once() -> None:
    assert told(STEADY + CUT + PIECE) == {3: pytest.approx(1 / 3)}
    assert told(list(reversed(STEADY + CUT + PIECE))) == {3: pytest.approx(1 / 3)}


def test_two_cells_in_one_mask_for_a_while_are_told_where_they_merge() -> None:
    one = [(2, t, 0.0, 200.0 if t in (3, 4) else 100.0) for t in range(8)]
    other = [(3, t, 12.0, 100.0) for t in (0, 1, 2)] + [(4, t, 12.0, 100.0) for t in (5, 6, 7)]
    assert told(STEADY + one + other) == {3: 0.5}


@pytest.mark.parametrize(
    "rows",
    [
        STEADY + [(2, t, 0.0, 100.0) for t in range(8)] + PIECE,  # its area stays: a visitor
        STEADY + CUT + [(3, t, 40.0, 50.0) for t in (3, 4)],  # far off
        CUT + [(3, t, 40.0, 50.0) for t in (3, 4)],  # the same, and nothing else near
        STEADY + CUT + [(3, t, 8.0, 5.0) for t in (3, 4)],  # too small for what is gone
        # a division: the pieces stay, and so does the smaller area
        STEADY + [(2, t, 0.0, 100.0 if t < 3 else 50.0) for t in range(8)]
        + [(3, t, 8.0, 50.0) for t in range(3, 8)],
        # split early and merged late: no flicker
        STEADY + [(2, t, 0.0, 55.0 if 1 <= t <= 6 else 100.0) for t in range(8)]
        + [(3, t, 8.0, 50.0) for t in range(1, 7)],
        [],
    ],
)  # fmt: skip
def test_what_is_no_flicker(rows: Seen) -> None:
    assert told(rows) == {}


def test_frames_in_which_many_masks_flicker_jump() -> None:
    """Ten cells, two of them cut for a frame: a fifth of the cells, and no step of numbers tells."""
    rows: Seen = []
    for cell in range(10):
        cut = cell < 2
        rows += [(cell + 1, t, 40.0 * cell, 60.0 if cut and t == 3 else 100.0) for t in range(6)]
        rows += [(11 + cell, 3, 40.0 * cell + 8, 45.0)] if cut else []
    seen = table(rows)
    columns = {**seen.to_dict("list"), "fov": "A", "population": "T", "label": seen["track_id"]}
    number = seen.groupby("frame").size()
    evidence = {"fov": "A", "population": "T", "frame": number.index, "n_cells": number.to_numpy()}
    judged = MaskQuality()(
        mask_evidence=schemas.filled(schemas.MaskEvidence, evidence).assign(expected_f1=0.95),
        cells=schemas.filled(schemas.Cells, columns),
        track_points=schemas.filled(schemas.TrackPoints, columns),
    )["mask_quality"]
    assert judged["split_merged"].fillna(0).round(3).tolist() == [0, 0, 0, round(2 / 12, 3), 0, 0]
    assert np.flatnonzero(judged["jumps"]).tolist() == [3]
