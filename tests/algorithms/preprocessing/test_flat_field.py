"""Flat and dark fields: known ones are recovered, given ones are used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cyto_kedro.algorithms.preprocessing.flat import MAX_FRAMES, FlatField, _small
from cyto_kedro.errors import ConfigError, InputError


def film(
    n: int = 24, size: int = 128, cells: int = 20, decay: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """(T, Y, X) of slow cells over uneven light on an offset of 100, and the flat field."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / (size - 1) - 0.5
    flat = 1 - (x - 0.1) ** 2 - (y + 0.05) ** 2 + 0.2 * x
    flat /= flat.mean()
    at, axis = rng.random((cells, 2)) * size, np.arange(size)
    frames = []
    for t in range(n):
        at = (at + rng.normal(0, 4, at.shape)) % size
        spots = np.exp(-((axis - at[:, :1]) ** 2) / 18), np.exp(-((axis - at[:, 1:]) ** 2) / 18)
        light = 200 + 300 * np.einsum("ky,kx->yx", *spots)
        frames.append(np.exp(-decay * t) * flat * light + 100 + rng.normal(0, 5, (size, size)))
    return np.array(frames), flat


def state(step: FlatField, stack: np.ndarray, length: int = 7, **more: Any) -> dict[str, Any]:
    parts = range(0, len(stack), length)
    return step.estimate({"image": {"c": stack[t : t + length]}, **more} for t in parts)


@pytest.mark.parametrize("decay", [0.0, 0.03])
def test_robust_sees_past_slow_cells_where_the_mean_does_not(decay: float) -> None:
    stack, truth = film(decay=decay)
    error = {
        flat: state(FlatField(flat=flat, dark=100), stack)["flat"]["c"] - truth
        for flat in ("mean", "robust")
    }
    assert np.std(error["robust"]) < 0.02
    assert np.std(error["robust"]) < np.std(error["mean"]) / 2
    assert np.abs(error["robust"]).max() < 0.08


def test_estimates_do_not_depend_on_blocks_and_come_at_the_films_size() -> None:
    stack, _ = film(9, 160, 12, 0.05)
    step = FlatField(flat="robust", estimate_dark=True)
    first = state(step, stack, 1)
    assert first["flat"]["c"].shape == first["dark"]["c"].shape == (160, 160)
    for length in (4, 9):
        other = state(step, stack, length)
        for key in ("flat", "dark"):
            np.testing.assert_array_equal(first[key]["c"], other[key]["c"])


def test_dark_is_what_does_not_fade() -> None:
    stack, truth = film(cells=6, decay=0.03)
    found = state(FlatField(flat="robust", estimate_dark=True), stack)
    assert np.std(found["flat"]["c"] - truth) < 0.02
    # dark is known up to a share of the flat field; what is left is small
    assert found["dark"]["c"].mean() == pytest.approx(100, abs=12)
    assert np.std(found["dark"]["c"]) < 6
    steady = film(n=6)[0]
    with pytest.raises(InputError, match=r"channel c changes by less than 5 %"):
        state(FlatField(flat="robust", estimate_dark=True), steady)


def test_given_images_are_used() -> None:
    stack, truth = film(3)
    dark = np.full(truth.shape, 100.0)
    reference = {"flat_c": truth * 5000 + 100, "shutter": dark}
    step = FlatField(flat="given", flat_images={"c": "flat_c"}, dark_images={"c": "shutter"})
    assert step.references == ("flat_c", "shutter")
    found = state(step, stack, reference=reference)
    np.testing.assert_allclose(found["flat"]["c"], truth, rtol=1e-5)
    done = step.apply({"image": {"c": stack}}, found)["image"]["c"]
    np.testing.assert_allclose(done, (stack - 100) / truth, rtol=1e-4, atol=1e-3)
    only_dark = FlatField(flat="none", dark_images={"c": "shutter"})
    left = only_dark.apply({"image": {"c": stack}}, state(only_dark, stack, reference=reference))
    np.testing.assert_allclose(left["image"]["c"], stack - 100, atol=1e-3)
    with pytest.raises(ConfigError, match=r"'flat_c'\. Did you mean 'flat_d'"):
        state(step, stack, reference={"flat_d": truth, "shutter": dark})
    with pytest.raises(InputError, match=r"'shutter' has shape \(4, 4\), channel c \(128, 128\)"):
        state(step, stack, reference={**reference, "shutter": np.ones((4, 4))})
    other = FlatField(flat="given", flat_images={"d": "flat_c"})
    with pytest.raises(ConfigError, match="channel c has no given image"):
        state(other, stack, reference=reference)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flat": "given"}, "go together"),
        ({"flat_images": {"c": "x"}}, "go together"),
        ({"dark": 3, "dark_images": {"c": "x"}}, "instead of dark"),
        ({"estimate_dark": True}, "needs flat: robust"),
    ],
)
def test_contradictions_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FlatField(**arguments)


def test_a_long_film_is_thinned_evenly_whatever_its_blocks() -> None:
    stack = np.arange(3 * MAX_FRAMES, dtype=np.float32)[:, None, None] * np.ones(
        (1, 2, 2), np.float32
    )
    kept = []
    for length in (1, 100, len(stack)):
        parts = ({"image": {"c": stack[t : t + length]}} for t in range(0, len(stack), length))
        frames, shape = _small(parts, ["c"])["c"]
        assert shape == (2, 2)
        kept.append(frames[:, 0, 0].tolist())
    assert kept[0] == kept[1] == kept[2] == list(range(0, len(stack), 4))


@pytest.mark.parametrize("flat", ["mean", "robust"])
def test_a_dark_channel_and_a_still(flat: str) -> None:
    with pytest.raises(InputError, match=r"channel c is on average 5 grey levels below dark"):
        state(FlatField(flat=flat, dark=5), np.zeros((2, 8, 8)))
    still = state(FlatField(flat=flat), np.full((1, 8, 8), 50.0))
    np.testing.assert_allclose(still["flat"]["c"], 1, rtol=1e-5)
