"""Small pictures of films for kedro-viz."""

from __future__ import annotations

import numpy as np
import pytest

from cyto_kedro.datasets.previews import MAX_SIDE, four


class Counted:
    """A film that counts which frames are read."""

    def __init__(self, n_frames: int, side: int) -> None:
        self.shape, self.dtype = (n_frames, side, side + 10), np.dtype(np.uint16)
        self.read: list[int] = []

    def __getitem__(self, t: int) -> np.ndarray:
        self.read.append(t)
        return np.full(self.shape[1:], t, self.dtype)


def test_four_frames_two_by_two_and_no_other_is_read() -> None:
    film = Counted(40, 20)
    shown = four(film)
    assert film.read == [0, 13, 26, 39]
    assert shown.shape == (40, 60)  # the shape of a frame
    assert (shown[:20, :30] == 0).all() and (shown[:20, 30:] == 13).all()
    assert (shown[20:, :30] == 26).all() and (shown[20:, 30:] == 39).all()


@pytest.mark.parametrize(("n_frames", "side"), [(1, 3000), (2, 2048), (9, 700)])
def test_they_are_small(n_frames: int, side: int) -> None:
    assert max(four(Counted(n_frames, side)).shape) <= MAX_SIDE + 1


def test_a_still_stays_one_and_an_empty_film_is_black() -> None:
    assert four(Counted(1, 20)).shape == (20, 30)
    assert four(Counted(0, 20)).tolist() == [[0]]
