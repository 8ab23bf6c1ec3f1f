"""Cells that are the same, against scikit-image's own overlap and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cyto_kedro.core.matching import n_cells, n_matched


def test_a_half_is_no_match_and_more_is() -> None:
    true = np.zeros((4, 12), int)
    true[:, :6] = 3
    half, more = np.zeros_like(true), np.zeros_like(true)
    half[:, 3:6] = 1  # IoU 12 / 24
    more[:, 2:6] = 9  # 16 / 24
    assert n_matched(true, half) == 0
    assert n_matched(true, more) == 1
    assert (n_cells(true), n_cells(more), n_cells(np.zeros((2, 2), int))) == (1, 1, 0)
    assert n_matched(true, more, 0.7) == 0


def test_as_pairs_of_masks_by_brute_force() -> None:
    rng = np.random.default_rng(1)
    true = rng.integers(0, 6, (30, 30)).repeat(4, 0).repeat(4, 1)
    found = np.roll(true, 1, 0)
    found[rng.random(found.shape) < 0.1] = 7
    expected = 0
    for a in range(1, 6):
        for b in range(1, 8):
            one, other = true == a, found == b
            expected += (one & other).sum() / (one | other).sum() > 0.5
    assert n_matched(true, found) == expected > 0


def test_below_one_half_a_cell_could_have_two_partners() -> None:
    with pytest.raises(ValueError, match="least_iou"):
        n_matched(np.zeros((2, 2), int), np.zeros((2, 2), int), 0.3)
