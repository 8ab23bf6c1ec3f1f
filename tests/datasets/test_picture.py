from __future__ import annotations

from base64 import b64decode
from io import BytesIO
from pathlib import Path

import pytest
from kedro.io import DatasetError
from PIL import Image as Pillow

from cyto_kedro.datasets import PictureDataset, TextDataset
from cyto_kedro.errors import InputError
from cyto_kedro.images import Picture


def png(colour: str = "red") -> bytes:
    buffer = BytesIO()
    Pillow.new("RGB", (4, 3), colour).save(buffer, format="PNG")
    return buffer.getvalue()


WORDS = {"title": "Survival", "caption": "Kaplan–Meier, n = 3 µm²", "alt": "Two falling lines"}


def test_a_picture_keeps_its_pixels_and_its_words(tmp_path: Path) -> None:
    dataset = PictureDataset(filepath=tmp_path / "p.png")
    dataset.save(Picture(png=png(), **WORDS))
    loaded = dataset.load()
    assert {name: getattr(loaded, name) for name in WORDS} == WORDS
    with Pillow.open(BytesIO(loaded.png)) as image:
        assert image.size == (4, 3) and image.getpixel((0, 0)) == (255, 0, 0)
    assert b64decode(dataset.preview()) == loaded.png


def test_saving_what_was_loaded_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (PictureDataset(filepath=tmp_path / f"{i}.png") for i in range(2))
    first.save(Picture(png=png(), **WORDS))
    second.save(first.load())
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()


def test_what_is_no_picture_is_refused_by_its_file(tmp_path: Path) -> None:
    dataset = PictureDataset(filepath=tmp_path / "p.png")
    with pytest.raises(DatasetError, match=r"p\.png does not exist"):
        dataset.load()
    (tmp_path / "p.png").write_text("no picture", encoding="utf-8")
    with pytest.raises((InputError, DatasetError), match=r"p\.png is not a picture"):
        dataset.load()


def test_a_broken_picture_leaves_the_old_one(tmp_path: Path) -> None:
    dataset = PictureDataset(filepath=tmp_path / "p.png")
    dataset.save(Picture(png=png(), **WORDS))
    with pytest.raises(DatasetError):
        dataset.save(Picture(png=png()[:40], **WORDS))
    assert dataset.load().title == "Survival"
    assert [each.name for each in tmp_path.iterdir()] == ["p.png"]


def test_text_is_kept_as_written(tmp_path: Path) -> None:
    dataset = TextDataset(filepath=tmp_path / "report.html")
    page = "<p>µm² – 3 ± 1</p>\r\n<p>\u202fend</p>"
    dataset.save(page)
    assert dataset.load() == page == dataset.preview()
    assert (tmp_path / "report.html").read_bytes() == page.encode()
    assert dataset.exists()


def test_vector_figure_and_numbers_lie_beside_the_picture(tmp_path: Path) -> None:
    data = PictureDataset(filepath=tmp_path / "kills.png")
    blank = BytesIO()
    Pillow.new("RGB", (2, 2)).save(blank, format="PNG")
    words = ("Kills", "Shown.", "Curves.")
    data.save(
        Picture(blank.getvalue(), *words, svg="<svg></svg>", numbers="a\n1\n", pdf=b"%PDF \xff")
    )
    assert (tmp_path / "kills.svg").read_text() == "<svg></svg>"
    assert (tmp_path / "kills.csv").read_text() == "a\n1\n"
    assert (tmp_path / "kills.pdf").read_bytes() == b"%PDF \xff"
    found = data.load()
    assert (
        found is not None
        and found.pdf == b"%PDF \xff"
        and (found.svg, found.numbers) == ("<svg></svg>", "a\n1\n")
    )
    data.save(Picture(blank.getvalue(), *words))  # what is there now is of this picture
    assert sorted(each.name for each in tmp_path.iterdir()) == ["kills.png"]
