"""Films read frame by frame."""

from __future__ import annotations

import numpy as np

from cyto_kedro.core.stack import Blocks, ChosenFrames


def test_chosen_frames_are_a_film_of_their_own() -> None:
    film = np.arange(5 * 4 * 6).reshape(5, 4, 6)
    opened: list[int] = []

    def block(number: int) -> np.ndarray:
        opened.append(number)
        return film[2 * number : 2 * number + 2]

    blocks = Blocks([lambda n=n: block(n) for n in range(3)], [0, 2, 4], (5, 4, 6))
    chosen = ChosenFrames(blocks, [0, 1, 4], slice(1, 3), slice(None, 5))
    assert chosen.shape == (3, 2, 5) and len(chosen) == 3
    assert np.array_equal(chosen[1:], film[[1, 4], 1:3, :5])
    assert np.array_equal(np.stack(list(chosen)), film[[0, 1, 4], 1:3, :5])
    assert 1 not in opened  # frames 2 and 3 are of none that were chosen
