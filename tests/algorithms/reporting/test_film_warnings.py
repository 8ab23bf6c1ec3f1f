"""What stands first in the report: each fault of a film is told of, a sound film of nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cyto_kedro.algorithms.reporting.film_warnings import quality_warnings
from cyto_kedro.algorithms.tabulation.quality import frame_quality

N = 60
RNG = np.random.default_rng(4)


def film(n: int = N, level: float = 100, dtype: Any = np.uint16) -> np.ndarray:
    fade = np.exp(-np.arange(n) / 40)[:, None, None]  # bleached to a fifth
    cells = np.zeros((n, 48, 48))
    cells[:, 10:20, 10:20] = 900
    return (level + cells * fade + RNG.normal(0, 5, cells.shape)).round().clip(0).astype(dtype)


def warned(excluded: tuple[int, ...] = (), remarks: str = "", **films: np.ndarray) -> pd.DataFrame:
    """Warnings of one field, or of several called ``<fov>_<channel>``."""
    tables, frames = [], []
    for name, stack in films.items():
        fov, channel = name.split("_")
        tables.append(frame_quality(stack).assign(fov=fov, channel=channel))
    for fov in dict.fromkeys(name.split("_")[0] for name in films):
        number = np.arange(len(next(iter(films.values()))))
        out = np.isin(number, excluded)
        frames.append(
            pd.DataFrame({"fov": fov, "frame": number, "excluded": out, "time_s": number})
        )
    fields = pd.DataFrame({"fov": [f["fov"][0] for f in frames], "pixel_size_um": 0.65})
    fields["remarks"] = remarks
    data = {"quality": pd.concat(tables), "frames": pd.concat(frames), "fields": fields}
    return quality_warnings(data)


def said(table: pd.DataFrame, what: str) -> list[tuple[str, str, int, int]]:
    rows = table[table["what"].str.contains(what, regex=False)]
    return list(
        rows[["fov", "channel", "n_frames", "first_frame"]].itertuples(index=False, name=None)
    )


def test_a_sound_film_that_bleaches() -> None:
    assert warned(f_A=film(), f_B=film(level=30)).empty


@pytest.mark.parametrize("first", [0, 20, 45])
@pytest.mark.parametrize("dark", ["zeros", "offset"])
def test_black_frames_in_a_row(first: int, dark: str) -> None:
    stack = film()
    last = first + 40 if first else 30
    stack[first:last] = 0 if dark == "zeros" else RNG.normal(100, 1, stack[first:last].shape)
    found = said(warned(f_A=stack, f_B=film()), "black frames")
    assert found == [("f", "A", min(last, N) - first, first)]


@pytest.mark.parametrize(("level", "early"), [(100, True), (90, False)])
def test_a_marker_before_the_first_death_is_not_called_a_closed_shutter(
    level: int, early: bool
) -> None:
    stack = RNG.normal(100, 1, film().shape)
    stack[8:, 10:30, 10:30] += 300  # the first death
    stack[:8] += level - 100
    table = warned(f_A=stack.astype(np.uint16), f_B=film())
    (found,) = said(table, "black frames")
    assert found == ("f", "A", 8, 0)
    assert bool(said(table, "nothing there yet")) is early


def test_a_channel_in_which_nothing_was_filmed() -> None:
    table = warned(f_A=film(), f_B=np.full((N, 48, 48), 7, np.uint16))
    assert said(table, "nothing was filmed") == [("f", "B", N, 0)]
    assert not said(table, "black") and not said(table, "stored twice")


def test_a_frame_stored_twice() -> None:
    a, b = film(), film()
    a[7] = a[6]
    assert not said(
        warned(f_A=a, f_B=b), "stored twice"
    )  # one channel: another may have stood still
    b[7] = b[6]
    assert said(warned(f_A=a, f_B=b), "stored twice") == [("f", "", 1, 7)]
    dark = np.zeros_like(a)
    assert said(warned(f_A=a, f_B=dark), "stored twice") == [("f", "", 1, 7)]


@pytest.mark.parametrize(
    ("top", "shift", "told"), [(4095, 0, True), (1023, 0, True), (4095, 4, True), (3000, 0, False)]
)
def test_a_camera_of_fewer_bits_saturates_below_the_file(top: int, shift: int, told: bool) -> None:
    stack = (film().astype(np.int64) * 6).clip(0, top).astype(np.uint16) << shift
    found = said(warned(f_A=stack), "camera's highest level")
    assert bool(found) == told
    peak = (film() * 6).clip(0, 60_000).astype(np.uint16)  # one pixel at 4095 is chance
    peak[peak > 4000] = 4000
    peak[3, 0, 0] = 4095
    assert not said(warned(f_A=peak), "camera's highest level")


def test_excluded_frames_are_counted_and_nothing_else() -> None:
    stack = film()
    stack[5:30] = 0
    stack[40] = 65_535
    table = warned((*range(5, 30), 40), f_A=stack)
    assert table["what"].tolist() == ["frames excluded by the sample sheet"]


def test_fields_on_different_scales() -> None:
    table = warned(f_A=film(), g_A=film(), h_A=(film() // 16).astype(np.uint16))
    assert said(table, "other fields") == [("h", "A", N, 0)]


def test_a_margin_and_what_ingestion_found() -> None:
    stack = film()
    stack[:, :6] = 0
    table = warned(remarks="pixel size unknown (…)\nchannels taken in order", f_A=stack)
    assert said(table, "never filmed") == [("f", "A", N, 0)]
    assert said(table, "channels taken in order") == [("f", "", N, 0)]
    assert len(table) == 2


def test_films_of_different_length_are_told_of() -> None:
    frames = [
        pd.DataFrame({"fov": fov, "frame": range(n), "time_s": np.arange(n) * 60.0})
        for fov, n in (("A", 61), ("B", 41), ("C", 60), ("D", 41), ("E", 21))
    ]
    fields = pd.DataFrame({"fov": [*"ABCDE"], "pixel_size_um": 0.65})
    data = {"frames": pd.concat(frames).assign(excluded=False), "fields": fields}
    found = quality_warnings(data)
    assert said(found, "film of 40 min, others of up to 60") == [("B", "", 1, 40), ("D", "", 1, 40)]
    assert said(found, "film of 20 min, others of up to 60") == [("E", "", 1, 20)]
    assert len(found) == 3
