"""Masks made elsewhere, read by block where they lie."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from kedro.io import DatasetError

from cyto_kedro.datasets import LabelFilms
from cyto_kedro.errors import ConfigError, InputError, PartitionError

FILM = np.arange(9 * 5 * 6, dtype=np.uint16).reshape(9, 5, 6)


@pytest.fixture
def films(tmp_path: Path) -> LabelFilms:
    (tmp_path / "a").mkdir()
    tifffile.imwrite(tmp_path / "a" / "T_cp_masks.tif", FILM, photometric="minisblack")
    return LabelFilms(path=str(tmp_path), pattern="{fov}/{population}_cp_masks.tif")


def test_a_block_is_cut_out_of_the_film(films: LabelFilms) -> None:
    parts = films.load()
    label = parts["a/T/t0003-0006"]()
    assert label.dtype == np.uint32
    np.testing.assert_array_equal(label, FILM[3:7])
    np.testing.assert_array_equal(parts["a/T/t0008-0008"](), FILM[8:])
    whole = LabelFilms(path=films._folder, pattern=films._pattern, grain="fov/population")
    np.testing.assert_array_equal(whole.load()["a/T"](), FILM)


def test_what_is_missing_is_named(films: LabelFilms) -> None:
    assert films.exists() and "b/T/t0000-0001" not in films.load()
    with pytest.raises(PartitionError, match=r"b/T_cp_masks\.tif"):
        films.load_one("b/T/t0000-0001")
    for block in ("t0007-0009", "t0010-0019"):
        with pytest.raises(InputError, match=r"T_cp_masks\.tif ends before frame"):
            films.load_one(f"a/T/{block}")
    with pytest.raises(DatasetError, match="leave segmentation out"):
        films.save({"a/T/t0000-0001": FILM})
    with pytest.raises(ConfigError, match="population"):
        LabelFilms(path="masks", pattern="{fov}.tif")


def test_a_changed_film_has_another_content(films: LabelFilms, tmp_path: Path) -> None:
    before = films.content("a/T/t0000-0001")
    assert before == films.content("a/T/t0000-0001") != films.content("a/T/t0002-0003")
    os.utime(tmp_path / "a" / "T_cp_masks.tif", (1, 1))
    assert films.content("a/T/t0000-0001") != before
