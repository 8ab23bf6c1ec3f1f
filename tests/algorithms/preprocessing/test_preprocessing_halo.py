"""Steps that look at neighbouring frames: the same for any cut into blocks, memory of a block."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage as ndi

from cyto_kedro.algorithms.preprocessing.base import State, Step
from cyto_kedro.algorithms.preprocessing.chain import (
    apply_chain,
    apply_film,
    chain_halo,
    estimate_chain,
    trim,
    with_halo,
)
from cyto_kedro.algorithms.preprocessing.contrast import HistogramMatching, MinMaxNormalisation
from cyto_kedro.algorithms.preprocessing.denoise import TemporalMedian

FILM = np.random.default_rng(1).integers(0, 4000, (17, 6, 5)).astype(np.uint16)


def blocks(film: np.ndarray, length: int, start: int = 0) -> Iterator[dict[str, Any]]:
    for t in range(0, len(film), length):
        part = film[t : t + length]
        yield {"image": {"c": part, "d": part // 2}, "frame_start": start + t}


@given(length=st.integers(1, 20), halo=st.integers(0, 25), start=st.integers(0, 9))
def test_a_block_comes_with_the_frames_beside_it(length: int, halo: int, start: int) -> None:
    seen = []
    for data, first, last in with_halo(blocks(FILM, length, start), halo):
        low, high = max(start, first - halo), min(start + len(FILM), last + halo)
        assert data["frame_start"] == low
        np.testing.assert_array_equal(data["image"]["c"], FILM[low - start : high - start])
        np.testing.assert_array_equal(data["image"]["d"], data["image"]["c"] // 2)
        own = trim(data, first, last)
        assert own["frame_start"] == first
        seen.append(own["image"]["c"])
    np.testing.assert_array_equal(np.concatenate(seen), FILM)


def test_memory_holds_a_block_and_its_halo() -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def film() -> Iterator[dict[str, Any]]:
        for t in range(0, 60, 4):
            part = np.zeros((4, 3, 3))
            alive.append(weakref.ref(part))
            yield {"image": {"c": part}, "frame_start": t}

    for data, _, _ in with_halo(film(), 3):
        gc.collect()
        most = max(most, sum(each() is not None for each in alive))
        del data
    assert len(alive) == 15
    assert most <= 4  # before, own, after, and the one just read


@pytest.mark.parametrize("radius", [1, 3])
@pytest.mark.parametrize("length", [1, 7, 17])
def test_temporal_median_is_scipys_inside_the_film(radius: int, length: int) -> None:
    step = TemporalMedian(radius_frames=radius)
    parts = [d["image"]["c"] for d in apply_film([step], [{}], blocks(FILM, length, 4))]
    found = np.concatenate(parts)
    truth = ndi.median_filter(FILM.astype(float), (2 * radius + 1, 1, 1))
    np.testing.assert_array_equal(found[radius:-radius], truth[radius:-radius])
    np.testing.assert_array_equal(found[0], np.median(FILM[: radius + 1], axis=0))
    assert found.dtype == np.float32


CHAIN: list[Step] = [
    TemporalMedian(radius_frames=2),
    HistogramMatching(),
    TemporalMedian(radius_frames=3),
    MinMaxNormalisation(least_span=0),
]


def test_halos_of_a_chain_add_up_and_states_are_of_the_whole_film() -> None:
    assert chain_halo(CHAIN) == 5
    results: list[np.ndarray] = []
    states: list[list[State]] = []
    for length in (17, 1, 7):

        def open_blocks(length: int = length) -> Iterator[dict[str, Any]]:
            return blocks(FILM, length)

        states.append(estimate_chain(CHAIN, open_blocks))
        done = apply_film(CHAIN, states[-1], open_blocks())
        results.append(np.concatenate([data["image"]["c"] for data in done]))
    whole = apply_chain(CHAIN, states[0], next(blocks(FILM, 17)))["image"]["c"]
    for state, result in zip(states, results, strict=True):
        assert state[3]["range"] == states[0][3]["range"]
        np.testing.assert_array_equal(result, whole)
    assert whole.min() == 0 and whole.max() == 1


def test_a_still_and_a_film_shorter_than_the_halo() -> None:
    step = TemporalMedian(radius_frames=4)
    for film in (FILM[:1], FILM[:3]):
        done = apply_film([step], [{}], blocks(film, 1))
        found = np.concatenate([data["image"]["c"] for data in done])
        np.testing.assert_array_equal(found, np.median(film, axis=0)[None].repeat(len(film), 0))
