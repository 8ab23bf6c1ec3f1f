"""`frame_quality` against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.quality import frame_quality
from cyto_kedro.errors import InputError


def test_values_by_hand():
    film = np.zeros((2, 4, 4), np.uint8)
    film[1, :, 1::2] = 255  # stripes: every pixel but the mirrored ends differs from both sides
    table = frame_quality(film, frame_start=5)
    assert table["frame"].tolist() == [5, 6]
    assert table["mean"].tolist() == [0, 127.5]
    assert table["sd"].tolist() == [0, 127.5]
    assert table["saturated_fraction"].tolist() == [0, 0.5]
    assert table["max"].tolist() == [0, 255]
    # Laplacian per row: 255, -510, 510, -255, so its variance is 255² * 2.5.
    assert table["focus"].tolist() == [0, pytest.approx(255**2 * 2.5 / 127.5**2)]


def test_focus_falls_with_blur_and_not_with_brightness():
    sharp = np.random.default_rng(0).random((64, 64)) + 1
    film = np.stack([sharp, gaussian_filter(sharp, 2), 3 * sharp])
    focus = frame_quality(film)["focus"]
    assert focus[1] < focus[0] / 10
    assert focus[2] == pytest.approx(focus[0])


def test_fits_the_schema_and_level_is_used():
    film = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    assert frame_quality(film)["saturated_fraction"].tolist() == [0]
    film[film >= 12] = 255
    table = frame_quality(film)
    assert table["saturated_fraction"].tolist() == [0.25]
    assert frame_quality(film.astype(float))["saturated_fraction"].tolist() == [0]
    schemas.check(schemas.Quality, table.assign(fov="f", channel="c"))
    schemas.check(schemas.Quality, frame_quality(film[:0]).assign(fov="f", channel="c"))


def test_refuses_what_is_not_a_film():
    with pytest.raises(InputError, match=r"\(T, Y, X\)"):
        frame_quality(np.zeros((4, 4)))


def test_a_frame_stored_twice_and_pixels_at_the_maximum():
    rng = np.random.default_rng(0)
    film = rng.poisson(100, (9, 64, 64)).astype(np.uint16)[[0, 1, 2, 2, 3, 4, 5, 6, 7]]
    film[5] = film[5].clip(0, 110)
    table = frame_quality(film)
    assert np.flatnonzero(table["repeats_previous"]).tolist() == [3]
    share = (film == film.max((1, 2), keepdims=True)).mean((1, 2))
    np.testing.assert_array_equal(table["share_at_max"], share)
    second = frame_quality(film[3:], frame_start=3, before=film[2])  # as the second block
    assert np.flatnonzero(second["repeats_previous"]).tolist() == [0]


def test_pixels_that_were_never_filmed_take_no_part():
    film = np.random.default_rng(1).normal(500, 9, (1, 64, 64)).round().astype(np.uint16)
    margin = film.copy()
    margin[:, :8] = 0
    cut, whole = frame_quality(film[:, 8:]), frame_quality(margin)
    assert whole["filmed_fraction"].tolist() == [56 / 64] and cut["filmed_fraction"].tolist() == [1]
    for name in ("mean", "sd", "min", "max"):
        assert whole[name][0] == pytest.approx(cut[name][0])
    assert whole["focus"][0] == pytest.approx(cut["focus"][0], rel=0.1)
