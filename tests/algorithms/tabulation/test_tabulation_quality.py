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
    film = np.arange(16, dtype=np.uint16).reshape(1, 4, 4)
    table = frame_quality(film, saturation_level=12)
    assert table["saturated_fraction"].tolist() == [0.25]
    assert frame_quality(film)["saturated_fraction"].tolist() == [0]
    schemas.check(schemas.Quality, table.assign(fov="f", channel="c"))
    schemas.check(schemas.Quality, frame_quality(film[:0]).assign(fov="f", channel="c"))


def test_refuses_what_is_not_a_film():
    with pytest.raises(InputError, match=r"\(T, Y, X\)"):
        frame_quality(np.zeros((4, 4)))
