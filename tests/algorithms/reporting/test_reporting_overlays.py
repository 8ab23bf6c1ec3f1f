"""Overlays put the right colour at the right pixel."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from skimage.segmentation import find_boundaries

from cyto_kedro.algorithms.reporting.drawing import (
    annotate,
    bar_length_um,
    composite,
    display_limits,
    montage,
    noise_of,
    outlines,
    resize,
    segmentation_overlay,
    track_overlay,
)
from cyto_kedro.algorithms.reporting.overlays import Overlays, channel_colours, time_stamp
from cyto_kedro.core.style import FILM_COLOURS
from cyto_kedro.errors import ConfigError, InputError

BLACK = np.zeros((300, 300, 3), dtype=np.uint8)


def is_colour(rgb: np.ndarray, name: str, within: int = 40) -> np.ndarray:
    want = np.array(to_rgb(FILM_COLOURS[name])) * 255
    return np.abs(rgb.astype(float) - want).max(axis=-1) < within


def test_outlines_equal_inner_boundaries() -> None:
    label = np.random.default_rng(0).integers(0, 3, (30, 40)).astype(np.uint32)
    label = label.repeat(4, axis=0).repeat(4, axis=1)
    assert np.array_equal(outlines(label), find_boundaries(label, connectivity=1, mode="inner"))
    assert not outlines(np.ones((5, 5), dtype=np.uint32)).any()


def test_composite_keeps_hue_and_takes_nan_as_black() -> None:
    image = {"a": np.array([[0.0, 1.0, np.nan]]), "b": np.array([[0.0, 1.0, 0.0]])}
    tints = {"a": np.array([1.0, 0, 0]), "b": np.array([1.0, 1.0, 0])}
    out = composite(image, tints, {"a": (0, 1), "b": (0, 1)})
    assert out[0].tolist() == [[0, 0, 0], [255, 128, 0], [0, 0, 0]]
    assert display_limits(np.full((3, 3), np.nan)) == (0, 1)
    assert display_limits(np.full((3, 3), 7.0)) == (7, 8)


def test_resize_by_whole_factors() -> None:
    small = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    big, scale = resize(small, 6)
    assert scale == 3 and np.array_equal(big[::3, ::3], small)
    back, scale = resize(big, 2)
    assert scale == pytest.approx(1 / 3) and np.array_equal(back, small)


def test_segmentation_overlay_colours_population_and_dead() -> None:
    label = {"C": np.zeros((100, 100), dtype=np.uint32)}
    label["C"][10:30, 10:30], label["C"][50:70, 50:70] = 1, 2
    out = segmentation_overlay(BLACK, label, {"C": "target"}, 3.0, {"C": [2]})
    assert is_colour(out, "target")[30, 60] and is_colour(out, "death")[150, 160]
    assert (out[60, 60] == 0).all() and (out[180, 180] == 0).all()
    assert is_colour(out, "target")[:, 100:].sum() == 0
    shrunk = segmentation_overlay(BLACK[:50, :50], label, {"C": "target"}, 0.5)
    assert is_colour(shrunk, "target")[5, 10]
    assert np.array_equal(segmentation_overlay(BLACK, {}, {}), BLACK)


def test_track_overlay_marks_death_kill_and_path(film: dict) -> None:
    points = pd.DataFrame(
        {
            "population": ["T", "T", "C"],
            "track_id": [1, 1, 1],
            "frame": [0, 1, 1],
            "x_px": [20.0, 40.0, 80.0],
            "y_px": [50.0, 50.0, 50.0],
        }
    )
    deaths = pd.DataFrame({"population": ["C"], "track_id": [1], "frame": [1]})
    kills = pd.DataFrame(
        {
            "target_population": ["C"],
            "target_track_id": [1],
            "effector_population": ["T"],
            "effector_track_id": [1],
            "death_frame": [1],
        }
    )
    roles, row = {"T": "effector", "C": "target"}, slice(148, 155)
    plain = track_overlay(BLACK, points, 1, roles, scale=3.0)
    assert is_colour(plain, "effector", 60)[row, 70:110].any()
    assert not is_colour(plain, "death").any()
    dead = track_overlay(BLACK, points, 1, roles, scale=3.0, deaths=deaths)
    assert is_colour(dead, "death")[135:166, 225:258].any()
    assert not is_colour(dead, "death")[:, :220].any()
    killed = track_overlay(BLACK, points, 1, roles, scale=3.0, deaths=deaths, kills=kills)
    assert is_colour(killed, "death")[row, 130:220].sum() > 50
    before = track_overlay(BLACK, points, 0, roles, scale=3.0, deaths=deaths, kills=kills)
    assert not is_colour(before, "death").any()
    later = track_overlay(BLACK, points, 1, roles, scale=3.0, kills=kills, kill_frames=0)
    assert not is_colour(later, "death").any()


def test_scale_bar_has_the_length_it_says() -> None:
    assert [bar_length_um(w) for w in (96, 80, 79.9, 3.9)] == [20, 20, 10, 0.5]
    out = annotate(BLACK, 3.0, 0.5)  # 100 px of 0.5 µm, enlarged 3 times: 10 µm are 60 px
    row = out[300 - 16, :, 0] > 200
    assert abs(row.sum() - 60) <= 2
    for unknown in (None, float("nan")):
        assert not annotate(BLACK, 3.0, unknown).any()


def test_montage_and_stamp() -> None:
    panels = [np.full((4, 5, 3), i, dtype=np.uint8) for i in range(3)]
    sheet = montage(panels, columns=2, gap_px=1)
    assert sheet.shape == (9, 11, 3) and sheet[5, 0, 0] == 2 and sheet[5, 8, 0] == 255
    frames = pd.DataFrame({"frame": [3], "time_s": [3720.0]})
    assert time_stamp(frames, 3) == "frame 3 · 1:02 h"
    assert time_stamp(frames, 4) == "frame 4" == time_stamp(None, 4)


def test_overlays_of_a_film(film: dict) -> None:
    made = Overlays(n_frames=2, side_px=192)(film)["figures"]
    again = Overlays(n_frames=2, side_px=192)(film)["figures"]
    assert set(made) == {"segmentation", "tracks"} and made == again
    picture = np.asarray(Image.open(io.BytesIO(made["segmentation"].png)))
    assert picture.shape == (192, 2 * 192 + 6, 3)
    edge = outlines(film["label"]["TCell"][0])
    assert is_colour(picture[:, :192], "effector", 8)[edge].mean() > 0.5
    assert "blue" in made["tracks"].caption and made["tracks"].alt


def test_stills_empty_fields_and_uncalibrated(film: dict) -> None:
    image = {"X": np.zeros((1, 64, 64), dtype=np.uint8)}
    points = film["track_points"].iloc[:0]
    data = {"image": image, "label": {}, "roles": {}, "track_points": points}
    assert set(Overlays()(data)["figures"]) == {"segmentation", "tracks"}
    assert set(Overlays()({"image": image, "roles": {}})["figures"]) == {"segmentation"}


def test_what_does_not_fit_is_named(film: dict) -> None:
    label = {"CancerCell": film["label"]["CancerCell"][:, :50]}
    with pytest.raises(InputError, match="labels of 'CancerCell'"):
        Overlays()({**film, "label": label})
    with pytest.raises(ConfigError, match="channel 'a'"):
        channel_colours(["a"], {}, {"a": "deth"})
    with pytest.raises(InputError, match="no channel"):
        Overlays()({"image": {}, "roles": {}})


@pytest.mark.parametrize("kind", ["camera", "few photons"])
def test_a_channel_that_holds_nothing_stays_dark(kind: str) -> None:
    rng = np.random.default_rng(3)
    shape = (2, 96, 96)
    empty = (
        rng.normal(100, 3, shape) if kind == "camera" else rng.poisson(0.05, shape).astype(float)
    )
    low, high = display_limits(empty)
    shown = np.clip((empty - low) / (high - low), 0, 1)
    assert np.quantile(shown, 0.999) < 0.7  # percentiles alone stretch its noise to 1
    stained = empty.copy()
    stained[:, 40:50, 40:50] += 60 * noise_of(empty)
    low, high = display_limits(stained)
    assert np.clip((stained - low) / (high - low), 0, 1)[:, 42:48, 42:48].min() > 0.8
