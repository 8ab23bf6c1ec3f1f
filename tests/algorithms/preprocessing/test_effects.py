"""What the steps did: the numbers are those of the images that a run makes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from scipy import ndimage as ndi

from cyto_kedro.algorithms.preprocessing.chain import apply_film, estimate_chain
from cyto_kedro.algorithms.preprocessing.channels import ChannelMerge
from cyto_kedro.algorithms.preprocessing.denoise import TemporalMedian
from cyto_kedro.algorithms.preprocessing.effects import (
    draw_effects,
    effect_table,
    measure,
    step_effects,
)
from cyto_kedro.algorithms.preprocessing.field import Background

RNG = np.random.default_rng(5)
TILT = np.linspace(0, 100, 64)
FILM = RNG.normal(500, 8, (9, 64, 64)) + TILT
STEPS = [
    Background(method="polynomial", channels=["a"]),
    TemporalMedian(radius_frames=2),
    ChannelMerge(channels=["a", "b"], output="m", weights=[1, 1]),
]


def open_frames(start: int, stop: int) -> dict[str, Any]:
    image = {"a": FILM[start:stop], "b": FILM[start:stop] * 2}
    return {"image": image, "frame_start": start}


def test_measures_against_numpy() -> None:
    found = measure(FILM[0])
    assert found["mean"] == pytest.approx(FILM[0].mean())
    assert found["sd"] == pytest.approx(FILM[0].std())
    assert found["background"] == np.median(FILM[0])
    assert found["noise"] == pytest.approx(8, rel=0.1)
    # columns of medians 100 / 4 apart: sd of -37.5, -12.5, 12.5, 37.5
    assert found["unevenness"] == pytest.approx(np.std([-37.5, -12.5, 12.5, 37.5]), rel=0.05)
    assert measure(np.ones((1, 2)))["unevenness"] == 0


def test_effects_are_those_of_a_run() -> None:
    states = estimate_chain(STEPS, lambda: [open_frames(0, 9)])
    run = next(apply_film(STEPS, states, [open_frames(0, 9)]))["image"]
    effects = step_effects(STEPS, states, open_frames, 9, [0, 4, 8])
    table = effect_table(effects)
    assert [(e.step, e.channel) for e in effects[:4]] == [(1, "a"), (2, "a"), (2, "b"), (3, "m")]
    assert len(effects) == 12 and table["frame"].unique().tolist() == [0, 4, 8]
    for each in effects:
        if each.step == 3:
            np.testing.assert_array_equal(each.after, run["m"][each.frame])
            assert each.before is None
    background = table[table["step"] == 1]
    assert (background["unevenness_before"] > 25).all()
    assert (background["unevenness_after"] < 3).all()
    median = table[(table["step"] == 2) & (table["frame"] == 4)]
    # the median of 5 has an sd of 0.536 of one value's
    np.testing.assert_allclose(median["noise_after"] / median["noise_before"], 0.536, atol=0.06)
    assert table.loc[table["step"] == 3, "mean_before"].isna().all()
    assert len(effect_table([])) == 0 and "mean_after" in effect_table([])


def test_a_picture_has_a_row_for_each_effect() -> None:
    states = estimate_chain(STEPS, lambda: [open_frames(0, 9)])
    effects = step_effects(STEPS, states, open_frames, 9, [4])
    picture, none = draw_effects(effects, "a"), draw_effects([], "a")
    heights = [Pillow.open(BytesIO(each.png)).height for each in (picture, none)]
    assert heights[0] > 3 * heights[1]
    for word in ("1 Background", "2 TemporalMedian", "3 ChannelMerge", "frame 4"):
        assert word in picture.caption
    assert ndi.standard_deviation(np.asarray(Pillow.open(BytesIO(picture.png)).convert("L"))) > 20
