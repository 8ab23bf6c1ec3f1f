"""The view of a film: frames, crop and bins, NumPy and Dask alike."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from pydantic import ValidationError

from cyto_kedro.errors import InputError
from cyto_kedro.view import View, project

FILM = np.random.default_rng(0).integers(0, 60_000, (9, 11, 14)).astype(np.uint16)


@pytest.mark.parametrize(
    "view",
    [
        View(),
        View(first_frame=2, last_frame=7, every_frame=2),
        View(crop_px=(1, 8, 3, 14)),
        View(bin_px=3),
        View(bin_px=2, bin_by="sum", crop_px=(0, 11, 2, 13), first_frame=8),
    ],
)
def test_numpy_and_dask_agree_with_plain_slicing(view: View) -> None:
    y0, y1, x0, x1 = view.crop_px or (0, 11, 0, 14)
    truth: Any = FILM[
        view.first_frame : (view.last_frame or 8) + 1 : view.every_frame, y0:y1, x0:x1
    ]
    k = view.bin_px
    if k > 1:
        rows, columns = truth.shape[1] // k, truth.shape[2] // k
        reduce = np.mean if view.bin_by == "mean" else np.sum
        truth = np.array(
            [
                [
                    [reduce(f[i * k : i * k + k, j * k : j * k + k]) for j in range(columns)]
                    for i in range(rows)
                ]
                for f in truth.astype(float)
            ]
        )
    found = view.stack(FILM)
    lazy = view.stack(da.from_array(FILM, chunks=(1, 11, 14)))
    np.testing.assert_allclose(found, truth, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(lazy), found)
    assert lazy.dtype == found.dtype == (np.float32 if k > 1 else np.uint16)
    assert lazy.shape == found.shape and lazy.chunks[0] == (1,) * len(found)
    assert view.shape(11, 14) == found.shape[1:]
    assert len(view.frames(9)) == len(found)
    for start, stop in ((0, len(found)), (len(found) - 1, len(found))):
        part = view.read(lambda a, b: FILM[a:b], 9, start, stop)
        np.testing.assert_array_equal(part, found[start:stop])
        assert part.dtype == found.dtype


def test_units_follow() -> None:
    assert View(bin_px=3).pixel_size_um(0.5) == 1.5
    assert View(bin_px=3).pixel_size_um(None) is None
    assert list(View(first_frame=1, every_frame=3).frames(9)) == [1, 4, 7]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"last_frame \(1\) is before first_frame \(2\)"):
        View(first_frame=2, last_frame=1)
    for crop in ((3, 3, 0, 4), (-1, 4, 0, 4), (0, 4, 5, 4)):
        with pytest.raises(ValidationError, match="crop_px"):
            View(crop_px=crop)
    with pytest.raises(InputError, match=r"frames 2 to 9 .* the film has 9 \(0 to 8\)"):
        View(first_frame=2, last_frame=9).stack(FILM)
    with pytest.raises(InputError, match="frames 9 to 8"):
        View(first_frame=9).frames(9)
    with pytest.raises(InputError, match="reaches beyond the image, 11 x 14"):
        View(crop_px=(0, 12, 0, 4)).plane(FILM)
    with pytest.raises(InputError, match="bin_px=12 leaves nothing"):
        View(bin_px=12).plane(FILM)


def test_projections() -> None:
    planes = list(FILM[:4])
    found = project(iter(planes), "max")
    np.testing.assert_array_equal(found, FILM[:4].max(0))
    assert found.dtype == np.uint16
    mean = project(iter(planes), "mean")
    np.testing.assert_allclose(mean, FILM[:4].mean(0), rtol=1e-6)
    assert mean.dtype == np.float32
    np.testing.assert_array_equal(project(planes[:1], None), FILM[0])
