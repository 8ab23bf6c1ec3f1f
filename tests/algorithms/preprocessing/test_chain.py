"""The part of a chain that some channels hang on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cyto_kedro.algorithms.preprocessing.base import Step
from cyto_kedro.algorithms.preprocessing.chain import apply_chain, estimate_chain, serving
from cyto_kedro.registry import build

CHAIN: list[tuple[str, dict[str, Any]]] = [
    ("DriftRegistration", {"channel": "A"}),
    ("BleedThrough", {"channels": ["B", "C"], "source": "A", "fraction": 0.1}),
    ("ChannelMerge", {"channels": ["B", "C"], "output": "M", "weights": [1, 1]}),
    ("Gamma", {"channels": ["M", "D"]}),
    ("MinMaxNormalisation", {}),
]


def step(name: str, args: dict[str, Any]) -> Step:
    made = build("preprocessing", name, args)
    assert isinstance(made, Step)
    return made


@pytest.mark.parametrize(
    ("wanted", "places", "read"),
    [
        ("A", [0, 4], "A"),
        ("B", [0, 1, 4], "AB"),
        ("D", [0, 3, 4], "D"),
        ("M", [0, 1, 2, 3, 4], "ABC"),
    ],
)
def test_channels_come_out_as_of_the_whole_chain(wanted: str, places: list[int], read: str) -> None:
    rng = np.random.default_rng(1)
    film = {name: rng.integers(10, 90, (3, 24, 20)).astype(np.uint8) for name in "ABCDE"}
    steps = [step(*each) for each in CHAIN]
    states = estimate_chain(steps, lambda: [{"image": film}])
    whole = apply_chain(steps, states, {"image": film})["image"][wanted]
    kept, needed = serving(steps, [wanted])
    assert list(kept) == places and needed - {"M"} == set(read)
    own = {"image": {name: film[name] for name in read}}
    part = apply_chain(list(kept.values()), [states[each] for each in kept], own)["image"][wanted]
    np.testing.assert_array_equal(part, whole)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        *CHAIN,
        ("Background", {"method": "polynomial"}),
        ("ChannelOffset", {"shift_yx_px": {"A": (1, 0)}}),
        ("FlatField", {"flat": "robust"}),
        ("CrossChannelCorrelation", {"channels": ["A", "B"], "output": "r"}),
        ("AddStained", {"channels": ["A", "B"], "output": "r"}),
        ("BleachCorrection", {}),
        ("RobustNormalisation", {}),
    ],
)
def test_quick_steps_are_made_again_of_what_a_recipe_holds(name: str, args: dict[str, Any]) -> None:
    first = step(name, args)
    assert first.quick and step(name, first.model_dump(mode="json")) == first
