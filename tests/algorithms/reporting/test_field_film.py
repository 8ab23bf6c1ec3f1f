"""The film of a field has its frames, its size, its marks; MP4 and WebP show the same."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_clips import DEATH, N_FRAMES, SIDE, decoded, is_colour
from test_clips import field as field  # the fixture

from cyto_kedro.algorithms.reporting.drawing import bar_length_um
from cyto_kedro.algorithms.reporting.field_film import FieldFilm
from cyto_kedro.algorithms.reporting.moving import ffmpeg, mp4, webp
from cyto_kedro.datasets import PictureDataset
from cyto_kedro.errors import CytoError, InputError, MissingExtraError
from cyto_kedro.images import Picture

PROGRAM = ffmpeg()
needs_ffmpeg = pytest.mark.companion("imageio_ffmpeg")


@pytest.fixture
def given(field: dict[str, Any]) -> dict[str, Any]:
    met = {"population_a": "C", "track_id_a": 7, "population_b": "T", "track_id_b": 3}
    contacts = pd.DataFrame([met | {"frame": t} for t in (8, 9)])
    read = {name: table for name, table in field.items() if name not in ("cells", "bouts")}
    return read | {"contacts": contacts, "viability": None}


def film(given: dict[str, Any], **args: Any) -> Picture:
    made: Picture = FieldFilm(**{"format": "webp", "side_px": 180, "quality": 95} | args).run(
        **given
    )["film"]
    return made


def test_frames_size_scale_bar_and_marks(given: dict[str, Any]) -> None:
    made = film(given | {"excluded": (9, 20)})
    shown = decoded(made.movie)
    assert len(shown) == N_FRAMES - 2
    assert shown[0].shape == (2 * SIDE, 2 * SIDE, 3)
    length_px = bar_length_um(SIDE * 0.5) / 0.5 * 2
    bar = shown[0][-16].min(axis=-1) > 190
    assert abs(int(bar.sum()) - length_px) <= 2
    frames = [t for t in range(N_FRAMES) if t not in (9, 20)]
    crosses = [int(is_colour(rgb.astype(float), "death").sum()) > 12 for rgb in shown]
    assert crosses == [t >= DEATH for t in frames]
    # where the two are in contact, a white line lies between their centres
    between = [int((rgb[22:50, 84:110].min(axis=-1) > 150).sum()) for rgb in shown]
    assert between[frames.index(8)] > between[frames.index(7)] + 10
    assert made.png.startswith(b"\x89PNG") and made.title == "A 1: Film"
    assert film(given).movie == film(given).movie


def test_one_frame_is_drawn_at_a_time() -> None:
    alive, most = 0, 0
    rng = np.random.default_rng(0)  # the encoder makes one frame of equal ones

    class Counted(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def frames() -> Any:
        nonlocal alive, most
        for _ in range(50):
            alive += 1
            most = max(most, alive)
            yield rng.integers(0, 255, (32, 32, 3), np.uint8).view(Counted)

    assert len(decoded(webp(frames(), 50, 40, 50))) == 50
    assert most <= 3


def test_what_cannot_be_filmed(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="all of its frames are excluded"):
        film(given | {"excluded": range(N_FRAMES)})
    with pytest.raises(InputError, match="at least one frame"):
        webp([], 0, 100, 50)
    monkeypatch.setattr("cyto_kedro.algorithms.reporting.field_film.ffmpeg", lambda: None)
    with pytest.raises(MissingExtraError, match="format: webp"):
        film(given, format="mp4")
    assert film(given, format="auto").movie[8:12] == b"WEBP"
    none = {"deaths": None, "kills": None, "contacts": None, "frames": None, "pixel_size_um": None}
    assert len(decoded(film(given | none).movie)) == N_FRAMES  # a field without kills


@needs_ffmpeg
def test_mp4_shows_the_same(given: dict[str, Any], tmp_path: Path) -> None:
    assert PROGRAM is not None
    made = film(given, format="mp4")
    assert made.movie == film(given, format="mp4").movie and made.movie[4:8] == b"ftyp"
    PictureDataset(filepath=str(tmp_path / "A1.png")).save(made)
    words = (PROGRAM, "-v", "error", "-i", str(tmp_path / "A1.mp4"), str(tmp_path / "%03d.png"))
    subprocess.run(words, check=True)
    shown = [np.asarray(Image.open(each)) for each in sorted(tmp_path.glob("0*.png"))]
    true = decoded(film(given).movie)
    assert len(shown) == len(true) and shown[0].shape == true[0].shape
    for one, other in zip(shown, true, strict=True):
        assert np.abs(one.astype(float) - other).mean() < 6
    odd = mp4([np.zeros((65, 67, 3), np.uint8)], 8, PROGRAM)
    assert odd[4:8] == b"ftyp"
    with pytest.raises(CytoError, match="could not write the film"):
        mp4([np.zeros((1, 1, 3), np.uint8)] * 3, 8, PROGRAM)


def test_the_film_lies_beside_its_picture(given: dict[str, Any], tmp_path: Path) -> None:
    dataset = PictureDataset(filepath=str(tmp_path / "A1.png"))
    made = film(given)
    dataset.save(made)
    assert (tmp_path / "A1.webp").read_bytes() == made.movie
    loaded = dataset.load()
    assert loaded is not None and loaded.title == made.title
