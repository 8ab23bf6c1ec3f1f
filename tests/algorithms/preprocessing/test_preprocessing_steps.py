"""Preprocessing steps against closed forms, and against the cut into blocks."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from scipy import ndimage as ndi

from cyto_kedro.algorithms.preprocessing.base import FilmMoments
from cyto_kedro.algorithms.preprocessing.chain import apply_film, estimate_chain
from cyto_kedro.algorithms.preprocessing.channels import (
    BleedThrough,
    ChannelMerge,
    CrossChannelCorrelation,
)
from cyto_kedro.algorithms.preprocessing.contrast import (
    FloatHistogram,
    Gamma,
    PercentileNormalisation,
)
from cyto_kedro.algorithms.preprocessing.denoise import GaussianSmooth, TemporalMedian
from cyto_kedro.algorithms.preprocessing.field import Background
from cyto_kedro.algorithms.preprocessing.film import BleachCorrection
from cyto_kedro.algorithms.preprocessing.flat import FlatField
from cyto_kedro.algorithms.preprocessing.registration import DriftRegistration
from cyto_kedro.errors import ConfigError, InputError
from cyto_kedro.registry import build


def film(frames: int = 9, size: int = 48) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    scene = ndi.gaussian_filter(rng.random((size, size)), 2) * 4000
    decay = np.exp(-0.05 * np.arange(frames))[:, None, None]
    alive = scene * decay + rng.normal(0, 3, (frames, size, size)) + 100
    dead = rng.poisson(20, (frames, size, size))
    return {"Alive": alive.clip(0).astype(np.uint16), "Dead": dead.astype(np.uint16)}


def blocks(image: dict[str, np.ndarray], length: int, start: int = 0):
    count = len(next(iter(image.values())))
    for t in range(0, count, length):
        part = {name: stack[t : t + length] for name, stack in image.items()}
        yield {"image": part, "frame_start": start + t, "pixel_size_um": 0.5}


CHAIN = [
    FlatField(dark=10),
    Background(method="morphological", radius_um=4),
    BleachCorrection(measure="foreground"),
    DriftRegistration(channel="Alive"),
    BleedThrough(source="Dead", channels=["Alive"], fraction=0.1),
    ChannelMerge(channels=["Alive", "Dead"], output="CancerCell"),
    CrossChannelCorrelation(channels=["Alive", "Dead"], output="r"),
    PercentileNormalisation(channels=["Alive", "Dead", "CancerCell"]),
    Gamma(channels=["CancerCell"]),
    TemporalMedian(radius_frames=2),
    GaussianSmooth(sigma_um=0.5),
]


def test_result_does_not_depend_on_block_length_or_pickling() -> None:
    image = film()
    results = []
    for length in (1, 7, 9):
        states = estimate_chain(CHAIN, partial(blocks, image, length, 5))
        states = pickle.loads(pickle.dumps(states))
        done = [data["image"] for data in apply_film(CHAIN, states, blocks(image, length, 5))]
        results.append({name: np.concatenate([d[name] for d in done]) for name in done[0]})
    assert set(results[0]) == {"Alive", "Dead", "CancerCell", "r"}
    for other in results[1:]:
        for name, stack in results[0].items():
            assert stack.dtype == np.float32
            assert stack.std() > 0
            np.testing.assert_allclose(stack, other[name], rtol=1e-5, atol=1e-6)


def test_only_corrections_may_touch_measurements() -> None:
    safe = {type(step).__name__ for step in CHAIN if step.measurement_safe}
    assert safe == {
        "FlatField",
        "Background",
        "BleachCorrection",
        "DriftRegistration",
        "BleedThrough",
    }


def test_input_is_not_changed() -> None:
    image = film(2)
    before = {name: stack.copy() for name, stack in image.items()}
    for step in CHAIN:
        if step.channels is None or "CancerCell" not in step.channels:
            step({"image": image, "pixel_size_um": 0.5})
    for name, stack in image.items():
        np.testing.assert_array_equal(stack, before[name])


def test_flat_field_recovers_vignetting() -> None:
    y, x = np.mgrid[:64, :64] / 63 - 0.5
    shade = 1 - 0.6 * (x**2 + y**2)
    rng = np.random.default_rng(0)
    stack = 50 + 200 * shade * rng.uniform(0.9, 1.1, (40, 64, 64))
    out = FlatField(dark=50, smoothness=0.05)({"image": {"c": stack}})["image"]["c"].mean(0)
    raw = stack.mean(0) - 50
    assert raw.std() / raw.mean() > 0.07
    assert out.std() / out.mean() < 0.02
    assert out.mean() == pytest.approx(raw.mean(), rel=0.02)
    with pytest.raises(InputError, match=r"channel c .* lower dark"):
        FlatField(dark=1e6)({"image": {"c": stack}})


@pytest.mark.parametrize("method", ["rolling_ball", "morphological", "gaussian"])
def test_background_leaves_cells_on_zero(method: str) -> None:
    y, x = np.mgrid[:96, :96]
    cell = 100.0 * (np.hypot(y - 48, x - 40) < 4)
    stack = (cell + 300 + 0.5 * x)[None]
    out = Background(method=method, radius_px=12)({"image": {"c": stack}})["image"]["c"][0]
    assert abs(np.median(out)) < 6
    assert out[48, 40] == pytest.approx(100, abs=20)


def test_background_percentile_and_radius_rules() -> None:
    stack = np.arange(101, dtype=float).reshape(1, 1, 101)
    out = Background(method="percentile", percentile=25)({"image": {"c": stack}})["image"]["c"]
    np.testing.assert_allclose(out, stack - 25)
    with pytest.raises(ConfigError, match="radius_um"):
        build("preprocessing", "Background")
    with pytest.raises(ConfigError, match="pixel size"):
        Background(radius_um=3)({"image": {"c": stack}})


@pytest.mark.parametrize("method", ["exponential", "ratio"])
def test_bleaching_is_undone(method: str) -> None:
    rng = np.random.default_rng(1)
    scene = rng.uniform(50, 150, (32, 32))
    stack = 20 + scene * np.exp(-0.08 * np.arange(15))[:, None, None]
    data = {"image": {"c": stack}, "frame_start": 3}
    step = BleachCorrection(method=method, offset=20)
    state = step.estimate([data])
    np.testing.assert_allclose(state["factor"]["c"], np.exp(-0.08 * np.arange(15)), rtol=1e-4)
    np.testing.assert_allclose(step.apply(data, state)["image"]["c"][14], 20 + scene, rtol=1e-3)
    with pytest.raises(InputError, match="frame 99"):
        step.apply({**data, "frame_start": 99}, state)


@pytest.mark.parametrize("reference", ["previous", "first"])
def test_drift_is_found_and_undone(reference: str) -> None:
    rng = np.random.default_rng(2)
    scene = ndi.gaussian_filter(rng.random((120, 120)), 3) * 1e4
    truth = np.array([[0, 0], [1.5, -0.5], [3.25, -2], [5, -4.75]])
    frames = [ndi.shift(scene, s, order=3)[20:100, 20:100] for s in truth]
    stack = np.array(frames) + rng.normal(0, 10, (4, 80, 80))
    data = {"image": {"a": stack, "b": stack * 2}}
    step = DriftRegistration(channel="a", reference=reference)
    state = step.estimate([data])
    np.testing.assert_allclose(state["shift_yx_px"], -truth, atol=0.35)
    assert state["warnings"] == []
    assert state["valid_yx"] == [0, 75, 5, 80]
    moved = step.apply(data, state)["image"]["b"]
    assert (
        np.abs(moved[3] - moved[0])[:74, 6:].mean() < np.abs(2 * (stack[3] - stack[0])).mean() / 4
    )


def test_a_jump_is_not_believed_and_told() -> None:
    rng = np.random.default_rng(2)
    scene = ndi.gaussian_filter(rng.random((80, 80)), 3)
    stack = np.array([scene, np.roll(scene, 20, 1), np.roll(scene, 20, 1)])
    state = DriftRegistration(channel="a", max_jump_px=10).estimate(
        [{"image": {"a": stack}, "frame_start": 7}]
    )
    np.testing.assert_array_equal(state["shift_yx_px"], 0)
    assert len(state["warnings"]) == 1
    assert "frame 8" in state["warnings"][0]


def test_empty_film_does_not_drift() -> None:
    out = DriftRegistration(channel="a")({"image": {"a": np.zeros((3, 16, 16))}})
    assert not out["image"]["a"].any()


def test_bleed_through_is_subtracted() -> None:
    source = np.full((1, 4, 4), 110.0)
    data = {"image": {"s": source, "t": np.full((1, 4, 4), 50.0)}}
    out = BleedThrough(source="s", channels=["t"], fraction=0.2, source_level=10)(data)["image"]
    np.testing.assert_allclose(out["t"], 30)
    np.testing.assert_array_equal(out["s"], source)


def test_merge_weighs_by_inverse_means() -> None:
    image = {"a": np.full((2, 3, 3), 10.0), "b": np.full((2, 3, 3), 40.0)}
    step = ChannelMerge(channels=["a", "b"], output="m")
    state = step.estimate([{"image": image}])
    assert state["weights"] == pytest.approx([0.8, 0.2])
    np.testing.assert_allclose(step.apply({"image": image}, state)["image"]["m"], 16)
    given = ChannelMerge(channels=["a", "b"], output="m", weights=[1, 0.5])
    np.testing.assert_allclose(given({"image": image})["image"]["m"], 30)
    assert given.makes == ("m",)
    dark = {**image, "b": image["b"] * 0}
    np.testing.assert_allclose(step({"image": dark})["image"]["m"], 10)
    with pytest.raises(ConfigError, match="already a channel"):
        ChannelMerge(channels=["a", "b"], output="a")({"image": image})


@pytest.mark.parametrize("over", ["film", "frame"])
def test_mean_of_correlation_is_pearsons_r(over: str) -> None:
    rng = np.random.default_rng(4)
    a = rng.normal(5, 2, (3, 40, 40))
    b = 0.6 * a + rng.normal(0, 1, a.shape)
    step = CrossChannelCorrelation(channels=["a", "b"], output="r", over=over)
    out = step({"image": {"a": a, "b": b}})["image"]["r"]
    parts = zip(a, b, out, strict=True) if over == "frame" else [(a, b, out)]
    for x, y, r in parts:
        assert r.mean() == pytest.approx(np.corrcoef(x.ravel(), y.ravel())[0, 1], abs=1e-5)
    flat = step({"image": {"a": a, "b": b * 0}})["image"]["r"]
    assert not flat.any()


def test_percentiles_match_numpy() -> None:
    rng = np.random.default_rng(5)
    whole = rng.integers(0, 4096, (4, 50, 50)).astype(np.float32)
    signed = rng.normal(-3, 50, (4, 50, 50)).astype(np.float32)
    for values, tolerance in ((whole, 0.0), (signed, 5e-4)):
        histogram = FloatHistogram()
        for frame in values:
            histogram.add(frame)
        for percent in (0, 1, 37, 50, 99.8, 100):
            expected = np.percentile(values, percent, method="inverted_cdf")
            assert histogram.percentile(percent) == pytest.approx(expected, rel=tolerance)


def test_normalisation_and_gamma() -> None:
    stack = np.arange(1001, dtype=np.uint16).reshape(1, 7, 143)
    for over in ("film", "frame"):
        step = PercentileNormalisation(low=10, high=90, over=over)
        out = step({"image": {"c": stack}})["image"]["c"].ravel()
        np.testing.assert_allclose(out, np.clip((np.arange(1001) - 100) / 800, 0, 1), atol=2e-3)
    assert not PercentileNormalisation()({"image": {"c": stack * 0 + 7}})["image"]["c"].any()
    out = Gamma(gamma=2)({"image": {"c": np.array([[[-1.0, 0.5]]])}})["image"]["c"]
    np.testing.assert_allclose(out, [[[0, 0.25]]])


def test_moments_match_numpy() -> None:
    values = np.random.default_rng(6).normal(1e4, 3, (5, 30, 30))
    moments = FilmMoments()
    for frame in values:
        moments.add(frame)
    assert moments.mean == pytest.approx(values.mean(), rel=1e-12)
    assert moments.sd == pytest.approx(values.std(), rel=1e-9)


def test_errors_name_what_is_wrong() -> None:
    image = film(2)
    with pytest.raises(ConfigError, match=r"'Aliv'\. Did you mean 'Alive'"):
        Gamma(channels=["Aliv"])({"image": image})
    with pytest.raises(ConfigError, match=r"'Ded'\. Did you mean 'Dead'"):
        DriftRegistration(channel="Ded")({"image": image})
    broken = {"c": np.array([[[1.0] * 3, [1.0, np.nan, 1.0], [1.0] * 3]])}
    with pytest.raises(InputError, match="channel c, frame 4"):
        PercentileNormalisation()({"image": broken, "frame_start": 4})
    with pytest.raises(InputError, match=r"must be .*\(T, Y, X\)"):
        Gamma()({"image": {"c": np.zeros((4, 4))}})


def test_a_second_channel_is_added_only_where_it_is_stained() -> None:
    rng = np.random.default_rng(3)
    first = rng.normal(10, 1, (2, 64, 64)).astype(np.float32)
    empty = rng.normal(100, 2, (2, 64, 64)).astype(np.float32)
    stained = empty.copy()
    stained[1, 20:30, 20:30] += 50
    step = build("preprocessing", "AddStained", {"channels": ["A", "B"], "output": "C"})
    np.testing.assert_allclose(step(image={"A": first, "B": empty})["image"]["C"], first)
    added = step(image={"A": first, "B": stained})["image"]["C"] - first
    assert (added[1, 20:30, 20:30] > 25).all() and np.count_nonzero(added) <= 100
