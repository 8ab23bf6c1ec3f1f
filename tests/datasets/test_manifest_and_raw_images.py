from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from kedro.io import DatasetError
from pydantic import ValidationError

from cyto_kedro.datasets import ModelDataset, RawImages
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.raw import scan
from cyto_kedro.errors import PartitionError
from cyto_kedro.partitions import select

FILMS = {
    (fov, channel): np.arange(5 * 6 * 7, dtype=np.uint16).reshape(5, 6, 7) + 1000 * i
    for i, (fov, channel) in enumerate((f, c) for f in ("a", "b") for c in ("red", "green"))
}


def manifest_of(raw: Any = ()) -> Manifest:
    fov = {"n_frames": 5, "height_px": 6, "width_px": 7}
    return Manifest(
        fovs={"a": fov, "b": fov},
        channels=("red", "green"),
        populations=("T", "C"),
        block_length=2,
        roles={"T": "effector", "C": "target"},
        sources={"T": ("green",), "C": ("red",)},
        subtract={"T": (), "C": ("T",)},
        markers={"death": "red"},
        raw=tuple(raw),
    )


@pytest.fixture
def images(tmp_path: Path) -> RawImages:
    """Raw films on disk, opened by a manifest."""
    for (fov, channel), film in FILMS.items():
        path = tmp_path / "raw" / fov / f"{channel}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, film, photometric="minisblack", metadata={"axes": "TYX"})
    raw = scan(str(tmp_path / "raw"), "{fov}/{channel}.tif", channels=["red", "green"])
    file = str(tmp_path / "manifest.json")
    ModelDataset(filepath=file, model="cyto_kedro.datasets.manifest.Manifest").save(
        manifest_of(raw)
    )
    return RawImages(filepath=file)


def test_a_group_sees_its_own_field_and_population_and_no_raw_file() -> None:
    seen = manifest_of().for_group({"fov": "a", "population": "C", "block": "t0000-0001"})
    assert list(seen.fovs) == ["a"] and seen.populations == ("C",) and seen.raw == ()
    assert (seen.roles, seen.sources, seen.subtract) == (
        {"C": "target"},
        {"C": ("red",)},
        {"C": ("T",)},
    )
    whole = manifest_of().for_group({"population": "T"})
    assert list(whole.fovs) == ["a", "b"] and whole.channels == ("red", "green")


def test_the_manifest_keeps_its_own_keys_only() -> None:
    with pytest.raises(ValidationError, match="blok_length"):
        Manifest.model_validate({**manifest_of().model_dump(), "blok_length": 3})


def test_each_raw_partition_is_its_frames_of_its_channel(images: RawImages) -> None:
    parts = images.load()
    assert len(parts) == 12
    for (fov, channel), film in FILMS.items():
        blocks = [
            parts[f"{fov}/{channel}/{each}"]()
            for each in ("t0000-0001", "t0002-0003", "t0004-0004")
        ]
        np.testing.assert_array_equal(np.concatenate(blocks), film)
        assert all(block.chunks[0] == (1,) * len(block) for block in blocks)


def test_what_is_held_whole_is_read_without_dask(
    images: RawImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = FILMS["b", "red"]
    with monkeypatch.context() as patch:
        patch.setattr("dask.base.compute", None)
        held = select(
            images.load(), manifest_of(), {"fov": "b", "channel": "red", "block": "t0002-0003"}
        )
        np.testing.assert_array_equal(held, film[2:4])
        window = images.open().window("b/red/t0002-0003")
        np.testing.assert_array_equal(window[1:], film[3:4])
    assert isinstance(held, np.ndarray)
    monkeypatch.setattr("cyto_kedro.partitions.SMALL_FILM_BYTES", 10)
    large = select(
        images.load(), manifest_of(), {"fov": "b", "channel": "red", "block": "t0002-0003"}
    )
    np.testing.assert_array_equal(large.compute(), film[2:4])


def test_an_unknown_film_is_named_with_the_nearest(images: RawImages) -> None:
    with pytest.raises(PartitionError, match=r"unknown raw film 'a/rad'\. Did you mean 'a/red'"):
        images.load()["a/rad/t0000-0001"]()


def test_raw_films_are_never_written(images: RawImages) -> None:
    with pytest.raises(DatasetError, match="never written"):
        images.save({})


def test_a_replaced_film_has_another_content(images: RawImages, tmp_path: Path) -> None:
    parts = images.load()
    before = {each: parts.content(each) for each in parts}
    assert len(set(before.values())) == 12
    film = tmp_path / "raw" / "a" / "red.tif"
    stat = film.stat()
    os.utime(film, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
    after = images.load()
    assert {each for each in before if after.content(each) != before[each]} == {
        f"a/red/{block}" for block in ("t0000-0001", "t0002-0003", "t0004-0004")
    }
    film.unlink()
    assert images.load().content("a/red/t0000-0001") is None


def test_the_preview_is_a_png(images: RawImages) -> None:
    assert images.preview().startswith("iVBOR")
