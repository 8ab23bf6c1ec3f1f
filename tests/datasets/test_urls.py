"""Paths and URLs, and an object store that tells how often it was asked, and for what."""

from __future__ import annotations

from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile
from kedro.io import DatasetError

from cyto_kedro.datasets import ImageDataset, LabelDataset, PartitionedDataset, urls
from cyto_kedro.datasets.urls import READ_AHEAD, find_place
from cyto_kedro.errors import ConfigError


class Ranged(AbstractBufferedFile):
    """A file read in ranges, as an object is."""

    DEFAULT_BLOCK_SIZE = 50 * 2**20  # s3fs's

    def _fetch_range(self, start: int, end: int) -> bytes:
        self.fs.fetched.append(end - start)
        return bytes(self.fs.cat_file(self.path)[start:end])


class Store(MemoryFileSystem):
    """Objects in memory; counts what is put and fetched."""

    protocol = "store"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    fetched: ClassVar[list[int]] = []
    put: ClassVar[list[str]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("store://").strip("/")

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **more: Any) -> Any:
        if mode != "rb":
            return super()._open(path, mode, block_size, **more)
        return Ranged(self, path, mode, block_size or "default", size=self.info(path)["size"])

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **more: Any) -> Any:
        self.put.append(path)
        return super().pipe_file(path, value, mode, **more)

    def cat_file(self, path: str, *which: Any, **more: Any) -> bytes:
        with super()._open(path, "rb") as file:
            return bytes(file.getvalue())


@pytest.fixture(autouse=True)
def store() -> type[Store]:
    fsspec.register_implementation("store", Store, clobber=True)
    for each in (Store.store, Store.fetched, Store.put):
        each.clear()
    return Store


def test_a_path_and_a_url_are_found_alike(tmp_path: Any) -> None:
    assert find_place(tmp_path)[1] == find_place(f"file://{tmp_path}")[1] == str(tmp_path)
    assert find_place("memory://lab/plate7")[1] == "/lab/plate7"


def test_a_protocol_that_nobody_knows_and_one_whose_library_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match=r"s4://lab/plate7: .*s4.*s3:// or memory:// is meant"):
        find_place("s4://lab/plate7")

    def missing(*_: Any, **__: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(urls, "url_to_fs", missing)
    with pytest.raises(ConfigError, match=r'pip install "cyto_kedro\[s3\]"'):
        find_place("s3://lab/plate7")


def test_one_frame_of_a_film_in_a_store_is_fetched_alone(store: type[Store]) -> None:
    film = np.random.default_rng(0).integers(0, 2**16, (12, 512, 512), np.uint16)
    ImageDataset(filepath="store://lab/film.ome.tif").save(film)
    lazily = ImageDataset(filepath="store://lab/film.ome.tif").load()
    store.fetched.clear()
    np.testing.assert_array_equal(lazily[7].compute(), film[7])
    assert 0 < sum(store.fetched) <= film[7].nbytes + 8 * READ_AHEAD < film.nbytes / 4


def masks() -> PartitionedDataset:
    return PartitionedDataset(
        path="store://lab/data/03_primary/labels",
        dataset=LabelDataset,
        grain="fov/population",
        filename_suffix=".tif",
    )


def test_a_partition_is_one_put_and_its_entry_another(store: type[Store]) -> None:
    labels = masks()
    mask = np.ones((2, 8, 8), np.uint32)
    labels.save({"a/T": mask})
    assert store.put == ["/lab/data/03_primary/labels/a/T.tif"]
    labels.record("a/T", {})
    (journal,) = store.put[1:]
    assert journal.startswith("/lab/data/03_primary/labels/.ledger/")
    assert labels.list_ids() == ["a/T"]
    np.testing.assert_array_equal(labels.load()["a/T"](), mask)


def test_a_killed_runs_partition_is_replaced_and_a_strangers_moved_aside(
    store: type[Store], caplog: pytest.LogCaptureFixture
) -> None:
    """Its bytes tell them apart: neither has an entry."""
    labels = masks()
    mask = np.ones((2, 8, 8), np.uint32)
    labels.save({"a/T": mask})
    labels.save({"a/T": mask})
    fs = labels._filesystem
    assert fs.find("/lab/data/aside") == [] and not caplog.records
    by_hand = fs.cat_file("/lab/data/03_primary/labels/a/T.tif")
    labels.save({"a/T": mask + 1})
    (aside,) = fs.find("/lab/data/aside")
    assert fs.cat_file(aside) == by_hand
    assert "may be somebody's work" in caplog.text
    np.testing.assert_array_equal(labels.load()["a/T"](), mask + 1)


def test_a_strangers_file_is_told_of_where_nothing_could_be_put_in_its_place(
    store: type[Store], caplog: pytest.LogCaptureFixture
) -> None:
    labels = masks()
    labels.save({"a/T": np.ones((2, 8, 8), np.uint32)})
    with pytest.raises(DatasetError):
        labels.save({"a/T": "no masks"})
    (aside,) = labels._filesystem.find("/lab/data/aside")
    assert f"moved to {aside}" in caplog.text


def test_what_another_process_wrote_is_seen_at_once() -> None:
    """With a cache of listings, a driver that once looked would not find what workers made."""
    fs, path = find_place("store://lab/data")
    assert fs.dircache.use_listings_cache is False
    assert not fs.exists(f"{path}/a.tif")
    Store().pipe_file("/lab/data/a.tif", b"1")
    assert fs.exists(f"{path}/a.tif")
