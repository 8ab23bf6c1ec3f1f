"""Pixels that were never filmed change nothing that a step makes of the others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from cyto_kedro.algorithms.preprocessing.base import Step
from cyto_kedro.algorithms.preprocessing.chain import estimate_chain
from cyto_kedro.algorithms.preprocessing.effects import measure
from cyto_kedro.algorithms.preprocessing.filmed import filmed
from cyto_kedro.registry import build

SHAPE = (4, 120, 140)
MARGIN = np.zeros(SHAPE[1:], bool)
MARGIN[:40] = True  # a third: whatever counts it is far off

STEPS = {
    "PercentileNormalisation": {},
    "PercentileNormalisation of frames": {"over": "frame"},
    "MinMaxNormalisation": {},
    "RobustNormalisation": {},
    "RobustNormalisation of frames": {"over": "frame"},
    "HistogramMatching": {},
    "Gamma": {},
    "BleachCorrection": {},
    "BleachCorrection of medians": {"measure": "median"},
    "BleachCorrection of cells": {"measure": "foreground", "method": "ratio"},
    "Background": {"method": "percentile"},
    "Background by a polynomial": {"method": "polynomial", "degree": 1},
    "Background by opening": {"radius_px": 15},
    "GaussianSmooth": {"sigma_px": 1},
    "MedianFilter": {},
    "TemporalMedian": {},
    "NonLocalMeans": {},
    "ChannelMerge": {"channels": ["A", "B"], "output": "C"},
    "CrossChannelCorrelation": {"channels": ["A", "B"], "output": "C"},
    "CrossChannelCorrelation of frames": {"channels": ["A", "B"], "output": "C", "over": "frame"},
    "BleedThrough": {"channels": ["A"], "source": "B", "fraction": 0.2},
}


def film() -> np.ndarray:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    clean = np.zeros(SHAPE)
    for cy, cx in rng.uniform((48, 8), (112, 132), (12, 2)):
        clean += 60 * (np.hypot(y - cy, x - cx) < 6)
    fading = 0.95 ** np.arange(4)[:, None, None]
    smooth = ndi.gaussian_filter(clean, (0, 1, 1))
    return (fading * (100 + smooth) + rng.normal(0, 2, SHAPE)).round().astype(np.uint16)


@pytest.mark.parametrize("name", STEPS)
def test_the_rest_is_as_if_the_margin_were_cut_off(name: str) -> None:
    step = build("preprocessing", name.split()[0], STEPS[name])
    assert isinstance(step, Step)
    image = {"A": film(), "B": film()[::-1] + np.uint16(5)}
    cut = {key: np.where(MARGIN, 0, stack).astype(np.uint16) for key, stack in image.items()}
    alone = step(image={key: stack[:, 40:] for key, stack in image.items()})["image"]
    found = step(image=cut)["image"]
    for key in alone:
        inner = found[key][:, 75:], alone[key][:, 35:]  # beyond the reach of every filter
        np.testing.assert_allclose(*inner, rtol=2e-3, atol=2e-3 * np.ptp(alone[key]))
        if found[key].dtype == np.float32:  # a margin yet
            assert (filmed(found[key][1]) == ~MARGIN).mean() > 0.99
    told = step(image=cut, valid=~MARGIN)["image"]
    for key, stack in found.items():
        np.testing.assert_array_equal(told[key], stack)


def test_blocks_with_a_halo_know_what_was_filmed_frame_by_frame() -> None:
    stack, valid = film(), np.stack([np.roll(~MARGIN, 3 * t, axis=0) for t in range(4)])
    stack[~valid] = 7
    steps = [build("preprocessing", name) for name in ("TemporalMedian", "RobustNormalisation")]
    states = []
    for length in (1, 4):
        blocks = [
            {
                "image": {"A": stack[t : t + length]},
                "valid": valid[t : t + length],
                "frame_start": t,
            }
            for t in range(0, 4, length)
        ]
        states.append(estimate_chain(steps, lambda blocks=blocks: iter(blocks))[1])
    assert states[0] == states[1]
    assert states[0]["range"]["A"][0] > 80


@pytest.mark.parametrize("flat", ["mean", "robust"])
def test_flat_field_of_what_was_filmed(flat: str) -> None:
    light = np.broadcast_to(1.2 - 0.4 * np.arange(SHAPE[2]) / SHAPE[2], SHAPE[1:])
    noise = np.random.default_rng(0).normal(0, 1, (8, *SHAPE[1:]))
    stack = (200 * light + noise).astype(np.float32)
    stack[:, MARGIN] = 0
    out = build("preprocessing", "FlatField", {"flat": flat})(image={"A": stack})["image"]["A"]
    inner = out[:, 45:, 15:-15]
    assert inner.std() / inner.mean() < 0.03
    assert not filmed(out[0])[:38].any()


def test_drift_is_that_of_what_was_filmed() -> None:
    rng = np.random.default_rng(2)
    scene = ndi.gaussian_filter(rng.normal(0, 1, (160, 180)), 3) * 300 + 200
    stack = np.stack([scene[10 + t : 130 + t, 20:160] for t in range(4)]).astype(np.float32)
    stack[:, :25] = 0  # a mask at one place of the camera
    step = build("preprocessing", "DriftRegistration", {"channel": "A"})
    shift = step.estimate([{"image": {"A": stack}}])["shift_yx_px"]
    np.testing.assert_allclose(shift, [[t, 0] for t in range(4)], atol=0.35)


def test_numbers_of_an_effect_leave_the_margin_out() -> None:
    frame = film()[0].astype(float)
    cut = np.where(MARGIN, 0, frame)
    whole, found = measure(frame[40:]), measure(cut)
    for key in ("mean", "sd", "background", "noise"):
        assert found[key] == pytest.approx(whole[key], rel=0.02)


@pytest.mark.parametrize("name", ["PercentileNormalisation", "MinMaxNormalisation"])
@pytest.mark.parametrize("over", ["film", "frame"])
def test_noise_alone_is_not_stretched_to_full_contrast(name: str, over: str) -> None:
    rng = np.random.default_rng(3)
    empty = rng.normal(100, 3, (2, 200, 200)).astype(np.float32)
    cells = empty.copy()
    cells[:, 50:80, 50:80] += 300
    step = build("preprocessing", name, {"over": over})
    out = step(image={"PI": empty, "Hoechst": cells})["image"]
    assert out["PI"].max() < 0.35 and out["PI"].std() < 0.05
    assert out["Hoechst"][:, 55:75, 55:75].min() > 0.8
    stretched = build("preprocessing", name, {"over": over, "least_span": 0})(image={"PI": empty})
    assert stretched["image"]["PI"].max() >= 0.99
