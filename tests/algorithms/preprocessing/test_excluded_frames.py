"""An excluded frame has no influence: not on an estimate, not on the frames beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import ndimage as ndi

from cyto_kedro.algorithms.preprocessing.base import Step
from cyto_kedro.algorithms.preprocessing.chain import apply_film, estimate_chain
from cyto_kedro.algorithms.preprocessing.channels import ChannelMerge, CrossChannelCorrelation
from cyto_kedro.algorithms.preprocessing.contrast import (
    HistogramMatching,
    MinMaxNormalisation,
    PercentileNormalisation,
    RobustNormalisation,
)
from cyto_kedro.algorithms.preprocessing.denoise import TemporalMedian
from cyto_kedro.algorithms.preprocessing.film import BleachCorrection
from cyto_kedro.algorithms.preprocessing.flat import FlatField
from cyto_kedro.algorithms.preprocessing.registration import ChannelOffset, DriftRegistration

RNG = np.random.default_rng(2)
N = 12
SCENE = ndi.gaussian_filter(RNG.normal(0, 1, (64, 72)), 2) * 400
FILM = np.stack(
    [
        200 * np.exp(-0.03 * t) + ndi.shift(SCENE, (0.4 * t, -0.3 * t), mode="wrap").clip(-60)
        for t in range(N)
    ]
) + RNG.normal(0, 1, (N, 64, 72))
STEPS: list[Step] = [
    BleachCorrection(),
    BleachCorrection(method="ratio", measure="median"),
    DriftRegistration(channel="a"),
    DriftRegistration(channel="a", reference="first"),
    ChannelOffset(reference="a", channels=["b"]),
    FlatField(),
    FlatField(flat="robust"),
    PercentileNormalisation(),
    MinMaxNormalisation(),
    RobustNormalisation(),
    HistogramMatching(),
    TemporalMedian(radius_frames=2),
    ChannelMerge(channels=["a", "b"], output="m"),
    CrossChannelCorrelation(channels=["a", "b"], output="r"),
]
SPOILED = {
    "black": lambda frame: np.zeros_like(frame),
    "noise": lambda frame: RNG.normal(5000, 900, frame.shape),
}


def result(film: np.ndarray, step: Step, excluded: tuple[int, ...], length: int) -> dict[str, Any]:
    def blocks() -> Iterator[dict[str, Any]]:
        for t in range(0, N, length):
            part = film[t : t + length]
            image = {"a": part, "b": part * 0.5 + 7}
            yield {"image": image, "frame_start": t, "excluded": excluded}

    states = estimate_chain([step], blocks)
    parts = [each["image"] for each in apply_film([step], states, blocks())]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("step", STEPS, ids=lambda s: f"{type(s).__name__}")
@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
@pytest.mark.parametrize("excluded", [(0,), (5,), (4, 5, 6, 7), (11,), (0, 5, 11)])
def test_what_an_excluded_frame_shows_changes_no_other_frame(
    step: Step, spoil: Any, excluded: tuple[int, ...]
) -> None:
    used = [t for t in range(N) if t not in excluded]
    right = result(FILM, step, excluded, 4)
    spoiled = FILM.copy()
    for t in excluded:
        spoiled[t] = spoil(FILM[t])
    found = result(spoiled, step, excluded, 4)
    whole = result(spoiled, step, excluded, N)
    for name, stack in right.items():
        np.testing.assert_array_equal(found[name][used], stack[used])
        np.testing.assert_allclose(whole[name][used], stack[used], rtol=1e-5, atol=1e-4)
        assert len(found[name]) == N


def test_levels_are_as_if_the_frame_had_never_been() -> None:
    """Bleaching is fitted over frame numbers: a gap is a gap, not a shorter film."""
    levels = 100 * np.exp(-0.1 * np.arange(N))
    film = np.broadcast_to(levels[:, None, None], (N, 4, 4)).copy()
    film[3] = 0
    data = {"image": {"a": film}, "excluded": (3,)}
    step = BleachCorrection()
    factor = step.estimate([data])["factor"]["a"]
    np.testing.assert_allclose(np.delete(factor, 3), np.delete(levels / 100, 3), rtol=1e-6)
