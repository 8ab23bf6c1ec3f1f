"""Channel offset, and what registration reports."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from cyto_kedro import schemas
from cyto_kedro.algorithms.preprocessing.effects import shift_table
from cyto_kedro.algorithms.preprocessing.registration import (
    ChannelOffset,
    DriftRegistration,
    filmed_yx,
    valid_yx,
)
from cyto_kedro.errors import ConfigError

SCENE = ndi.gaussian_filter(np.random.default_rng(2).random((120, 120)), 2) * 1e4


def seen(shift: tuple[float, float], gain: float = 1.0) -> np.ndarray:
    """(2, 80, 80) of the scene moved by `shift`, with fresh noise in each frame."""
    rng = np.random.default_rng(4)
    moved = gain * ndi.shift(SCENE, shift, order=3)[20:100, 20:100]
    return moved + rng.normal(0, 10, (2, 80, 80))


def test_a_known_offset_is_found_and_undone() -> None:
    image = {"a": seen((0, 0)), "b": seen((3, -2), 0.2), "c": seen((1.5, 0.5), 3)}
    step = ChannelOffset(reference="a")
    parts = [{"image": {k: v[t : t + 1] for k, v in image.items()}} for t in range(2)]
    state = step.estimate(parts)
    np.testing.assert_allclose(state["shift_yx_px"]["a"], 0)
    np.testing.assert_allclose(state["shift_yx_px"]["b"], [-3, 2], atol=0.3)
    np.testing.assert_allclose(state["shift_yx_px"]["c"], [-1.5, -0.5], atol=0.3)
    done = step.apply({"image": image}, state)["image"]
    inner = np.s_[:, 6:-6, 6:-6]
    r_before = np.corrcoef(image["a"][inner].ravel(), image["b"][inner].ravel())[0, 1]
    r_after = np.corrcoef(image["a"][inner].ravel(), done["b"][inner].ravel())[0, 1]
    assert r_after > 0.97 > r_before + 0.1
    np.testing.assert_allclose(done["a"], image["a"], rtol=1e-6)


def test_a_given_offset_is_applied_to_its_channel_alone() -> None:
    image = {"a": np.arange(24.0).reshape(1, 4, 6), "b": np.arange(24.0).reshape(1, 4, 6)}
    step = ChannelOffset(shift_yx_px={"b": (1, -2)})
    assert step.reads == ("b",)
    state = step.estimate([{"image": image}])
    done = step.apply({"image": image}, state)["image"]
    np.testing.assert_allclose(done["a"], image["a"])
    np.testing.assert_allclose(done["b"][0, 1:, :-2], image["b"][0, :-1, 2:])
    assert state["valid_yx"] == [1, 4, 0, 4]


def test_an_offset_too_large_is_told_and_not_applied() -> None:
    image = {"a": seen((0, 0)), "b": seen((12, 0))}
    state = ChannelOffset(reference="a", max_offset_px=5).estimate([{"image": image}])
    assert state["shift_yx_px"]["b"] == [0, 0]
    assert len(state["warnings"]) == 1 and "channel b: an offset of 1" in state["warnings"][0]
    for wrong in ({}, {"reference": "a", "shift_yx_px": {"b": (0, 1)}}):
        with pytest.raises(ConfigError, match="give shift_yx_px, or a reference"):
            ChannelOffset(**wrong)


def test_valid_region_is_what_no_frame_moves_in_from_outside() -> None:
    shifts = np.array([[0, 0], [2.5, -1], [-4, 0.2]])
    y0, y1, x0, x1 = valid_yx(shifts, (30, 40))
    inside = np.ones((30, 40), bool)
    for shift in shifts:
        inside &= ndi.shift(np.ones((30, 40)), shift, order=1, mode="constant") > 0.999
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    assert (y0, y1, x0, x1) == (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)


def test_shifts_as_a_table() -> None:
    film = np.concatenate([seen((0, 0))[:1], seen((2, 0))[:1], seen((30, 0))[:1]])
    data = {"image": {"a": film, "b": film}, "frame_start": 4}
    steps = [DriftRegistration(channel="a", max_jump_px=10), ChannelOffset(reference="a")]
    states = [step.estimate([data]) for step in steps]
    table = shift_table(steps, states, 0.5)
    drift = table[table["step"] == 1]
    assert drift["frame"].tolist() == [4, 5, 6]
    assert drift["jump"].tolist() == [False, False, True]
    assert drift["shift_y_px"].to_numpy() == pytest.approx([0, -2, -2], abs=0.3)
    np.testing.assert_allclose(drift["shift_y_um"], drift["shift_y_px"] / 2)
    assert (drift["valid_y1_px"] == 78).all() and (drift["valid_y0_px"] == 0).all()
    offset = table[table["step"] == 2]
    assert offset["channel"].tolist() == ["a", "b"] and offset["frame"].isna().all()
    assert shift_table(steps, states, None)["shift_y_um"].isna().all()
    assert shift_table([], [], None).empty


def test_what_was_filmed_of_a_frame_follows_its_own_shift() -> None:
    """Painting a film of ones with zeros outside shows the same region, steps and channels added."""
    drift = {
        "first_frame": 0,
        "shift_yx_px": np.array([[0, 0], [2.5, 0], [-1, 3]]),
        "jump": np.zeros(3, bool),
        "valid_yx": [3, 39, 3, 60],
    }
    offset = {"shift_yx_px": {"b": [0.0, -4.0], "c": [1.0, 0.0]}, "valid_yx": [1, 40, 0, 56]}
    steps = [DriftRegistration(channel="a"), ChannelOffset(shift_yx_px={"b": (0, -4), "c": (1, 0)})]
    table = shift_table(steps, [drift, offset], None)
    found = filmed_yx(table, range(1, 3), (40, 60))
    for row, frame in zip(found, (1, 2), strict=True):
        worst = np.ones((40, 60))
        for by in (*offset["shift_yx_px"].values(), [0, 0]):
            film = ndi.shift(np.ones((40, 60)), drift["shift_yx_px"][frame], order=1, cval=0)
            film = ndi.shift(film, by, order=1, cval=0)
            worst = np.minimum(worst, film)
        inside = np.argwhere(worst > 0.999)
        low, high = inside.min(0), inside.max(0) + 1
        # steps add up, so never more is called filmed than was, and at most what steps undo is lost
        assert (row[0] >= low[0]) and (row[1] <= high[0])
        assert (row[2] >= low[1]) and (row[3] <= high[1])
    np.testing.assert_array_equal(found, [[4, 40, 0, 56], [1, 39, 3, 56]])
    whole = filmed_yx(schemas.empty(schemas.Registration), range(2), (40, 60))
    np.testing.assert_array_equal(whole, [[0, 40, 0, 60]] * 2)


def test_whole_pixels_change_no_grey_level() -> None:
    film = np.stack([SCENE[20:100, 20 + by : 100 + by] for by in (0, 3, 7)])
    film[1] = ndi.shift(SCENE, (0.4, 0), order=3)[20:100, 23:103]
    film = film.astype(np.float32)
    step = DriftRegistration(channel="a", whole_pixels=True)
    moved = step({"image": {"a": film}, "fov": "f"})["image"]["a"]
    assert np.isin(moved[1:, 10:-10, 10:-10], film[1:]).all()
    partly = DriftRegistration(channel="a")({"image": {"a": film}, "fov": "f"})["image"]["a"]
    assert not np.isin(partly[1, 10:-10, 10:-10], film[1]).all()
