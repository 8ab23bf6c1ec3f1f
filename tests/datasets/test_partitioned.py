from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pandas as pd
import pytest
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import ImagePreview, TablePreview
from kedro_datasets.pandas import CSVDataset

from cyto_kedro.currency import record
from cyto_kedro.datasets import (
    GraphDataset,
    ImageDataset,
    LabelDataset,
    PartitionedDataset,
    TableDataset,
)
from cyto_kedro.errors import InputError, PartitionError
from cyto_kedro.images import Image
from cyto_kedro.ledger import Correction
from cyto_kedro.partitions import Partitions
from cyto_kedro.runner.graph import places_of

TABLE = pd.DataFrame({"x": [1, 2]})


class Fragile(AbstractDataset[str, str]):
    """A dataset type that knows nothing of us, and may die half-way through its file."""

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def load(self) -> str:
        return self._filepath.read_text(encoding="utf-8")

    def save(self, data: str) -> None:
        with self._filepath.open("w", encoding="utf-8") as file:
            file.write(data[:3])
            file.flush()
            if "die" in data:
                raise OSError("disk full")
            file.write(data[3:])

    def _describe(self) -> dict[str, Any]:
        return {}


def parts(folder: Path | str, dataset: Any = TableDataset, **more: Any) -> PartitionedDataset:
    settings = {"grain": "fov/population", "filename_suffix": ".csv", **more}
    return PartitionedDataset(path=str(folder), dataset=dataset, **settings)


def test_partitions_are_saved_at_their_ids_and_loaded_by_id(tmp_path: Path) -> None:
    made = parts(tmp_path)
    made.save({"a/T": TABLE, "a/C": TABLE + 1})
    assert (tmp_path / "a" / "T.csv").exists()
    loaded = made.load()
    assert isinstance(loaded, Partitions) and loaded.grain == ("fov", "population")
    pd.testing.assert_frame_equal(loaded["a/C"](), TABLE + 1)
    assert list(loaded) == ["a/C", "a/T"]


def test_loading_does_not_look_into_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = parts(tmp_path)
    made.save({"a/T": TABLE})
    for name in ("find", "ls", "glob", "walk"):
        monkeypatch.setattr(type(made._filesystem), name, pytest.fail)
    assert len(made.load()["a/T"]()) == 2


def test_a_planned_partition_that_is_absent_is_named_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(PartitionError, match=r"partition 'a/T' is planned but not at .*a/T\.csv"):
        parts(tmp_path).load()["a/T"]()


def test_an_id_of_another_grain_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises((PartitionError, DatasetError), match="fov/population"):
        parts(tmp_path).save({"a": TABLE})
    assert list(tmp_path.rglob("*.csv")) == []


def test_a_foreign_type_that_dies_leaves_the_old_partition_and_no_litter(tmp_path: Path) -> None:
    made = parts(tmp_path, Fragile)
    made.save({"a/T": "first version"})
    with pytest.raises(DatasetError, match="disk full"):
        made.save({"a/T": "to die", "a/Z": "never"})
    assert made.load_one("a/T") == "first version"
    assert [each.name for each in tmp_path.rglob("*") if each.is_file()] == ["T.csv"]
    with pytest.raises(DatasetError, match="disk full"):
        made.save({"b/T": "to die"})
    assert made.content("b/T") is None and made.list_ids() == ["a/T"]


def test_what_killed_writers_left_is_swept_once_it_is_old(tmp_path: Path) -> None:
    made = parts(tmp_path)
    made.save({"a/T": TABLE})
    made.record("a/T", {})
    kept = {each for each in tmp_path.rglob("*") if each.is_file()}
    folder = Path(made.path_of("a/T")).parent
    (folder / ".part-0f").mkdir()
    names = ("T.csv.part-0f", ".part-0f/T.csv", "young.csv.part-1a")
    litter = [folder / name for name in names]
    for each in litter:
        each.write_bytes(b"half")
        if each.name != "young.csv.part-1a":  # its writer may live
            os.utime(each, (0, 0))
    assert made.sweep() == 2
    assert {each for each in tmp_path.rglob("*") if each.is_file()} == kept | {litter[2]}


def test_kedros_own_dataset_types_go_through_a_rename(tmp_path: Path) -> None:
    made = parts(tmp_path, {"type": CSVDataset, "save_args": {"index": False}})
    made.save({"a/T": TABLE})
    pd.testing.assert_frame_equal(made.load_one("a/T"), TABLE)
    assert made.list_ids() == ["a/T"]


def test_readers_of_a_partition_that_is_written_again_see_one_version_or_the_other(
    tmp_path: Path,
) -> None:
    made = parts(tmp_path)
    big = pd.DataFrame({"x": np.zeros(20_000, int)})
    made.save({"a/T": big})
    stop = threading.Event()

    def read() -> set[tuple[int, int]]:
        read_tables = set()
        while not stop.is_set():
            table = made.load_one("a/T")
            read_tables.add((len(table), table["x"].nunique()))
        return read_tables

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        for value in range(1, 40):  # each moves the one before aside: no entry says who made it
            made.save({"a/T": big + value})
        stop.set()
        assert reader.result() == {(20_000, 1)}
    assert len(list((tmp_path.parent / "aside" / tmp_path.name).rglob("*.csv"))) >= 38


def test_stray_files_are_never_swept_in(tmp_path: Path) -> None:
    made = parts(tmp_path)
    made.save({"a/T": TABLE})
    made.record("a/T", {})
    for stray in ("a/.part-1-T.csv", "a/T/t0000-0003.csv", "T.csv", "a/notes.txt", ".x/T.csv"):
        (tmp_path / stray).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / stray).write_text("x\n1\n", encoding="utf-8")
    assert list(made.load()) == ["a/T"]


def test_a_saved_partition_is_described_in_the_ledger(tmp_path: Path) -> None:
    made = parts(tmp_path)
    assert made.content("a/T") is None
    made.save({"a/T": TABLE})
    entry = made.record("a/T", {"source": "1"}, run_id="r")
    assert made.ledger.read("a/T") == entry and entry.content == made.content("a/T")
    made.save({"a/T": TABLE + 1})
    assert made.content("a/T") != entry.content


def test_equal_data_gives_equal_bytes(tmp_path: Path) -> None:
    """Else all that depends on a partition would be redone whenever it is made again."""
    mask = np.arange(2 * 8 * 8, dtype=np.uint32).reshape(2, 8, 8)
    image = Image(mask.astype(np.uint16), 0.5, (0.0, 60.0), ("red",))
    for name, dataset, data in (("l", LabelDataset, mask), ("i", ImageDataset, image)):
        made = parts(tmp_path / name, dataset, filename_suffix=".tif")
        made.save({"a/T": data})
        first = made.record("a/T", {}).content
        made.save({"a/T": data})
        assert made.record("a/T", {}).content == first
        made.save({"a/C": data if name == "i" else data + 1})
        assert (made.content("a/C") == first) == (name == "i")


def test_a_correction_is_kept_until_it_is_dropped_or_gone(tmp_path: Path) -> None:
    made = parts(tmp_path)
    made.save({"a/T": TABLE})
    who = {"who": "Ana", "why": "dirt", "when": "2026-01-01T00:00:00Z", "source": "x"}
    correction = Correction.model_validate(who)
    made.record("a/T", {}, correction=correction)
    made.save({"a/T": TABLE + 5, "a/C": TABLE + 5})
    assert made.correction("a/T") == correction and made.correction("a/C") is None
    assert made.load_one("a/T")["x"].tolist() == [1, 2]
    assert made.load_one("a/C")["x"].tolist() == [6, 7]
    assert made.drop_correction("a/T") == correction and made.drop_correction("a/T") is None
    made.save({"a/T": TABLE + 5})
    assert made.load_one("a/T")["x"].tolist() == [6, 7]


def test_what_a_dataset_writes_beside_its_file_is_put_beside_its_place(tmp_path: Path) -> None:
    made = parts(
        tmp_path,
        {"type": GraphDataset, "export": ["tables", "graphml"]},
        filename_suffix=".pkl",
    )
    graph = networkx.path_graph(3)
    made.save({"a/T": graph})
    made.save({"a/T": graph})
    found = {each.name for each in (tmp_path / "a").iterdir()}
    assert len(found) == 4 and all(name.startswith("T.") for name in found), found


ANA = Correction.model_validate(
    {"who": "Ana", "why": "dirt", "when": "2026-01-01T00:00:00Z", "source": "x"}
)


def by_ana(made: PartitionedDataset, table: pd.DataFrame) -> None:
    with made.correcting(ANA):
        made.save({"a/T": table})


def test_a_correction_has_a_copy_where_no_node_writes(tmp_path: Path) -> None:
    made = parts(tmp_path / "data/03_primary/labels")
    by_ana(made, TABLE)
    copy = tmp_path / "data/corrections/03_primary/labels/a/T.csv"
    assert copy.read_bytes() == Path(made.path_of("a/T")).read_bytes()
    shutil.rmtree(tmp_path / "data/03_primary")  # all results, and the ledger with them
    made = parts(tmp_path / "data/03_primary/labels")
    made.save({"a/T": TABLE + 5, "a/C": TABLE + 5})
    assert made.load_one("a/T")["x"].tolist() == [1, 2] and made.correction("a/T") == ANA
    by_ana(made, TABLE + 7)  # a better one: the first is moved aside, not lost
    assert made.load_one("a/T")["x"].tolist() == [8, 9]
    (first,) = (tmp_path / "data/aside/corrections").rglob("*.csv")
    assert first.read_text() == "x\n1\n2\n"
    assert made.drop_correction("a/T") == ANA and not copy.exists()
    assert len(list((tmp_path / "data/aside/corrections").rglob("*.csv"))) == 2
    made.save({"a/T": TABLE + 5})
    assert made.load_one("a/T")["x"].tolist() == [6, 7]


def test_a_correction_that_lands_while_a_node_writes_the_same_partition_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = parts(tmp_path / "labels")
    made.save({"a/T": TABLE})
    made.record("a/T", {"in": "1"})
    replace, landed = Path.replace, []

    def between(part: Path, target: Path | str) -> Path:
        if Path(target) == Path(made.path_of("a/T")) and not landed:
            landed.append(target)
            by_ana(parts(tmp_path / "labels"), TABLE + 7)
        return replace(part, target)

    monkeypatch.setattr(Path, "replace", between)
    made.save({"a/T": TABLE + 5})
    assert landed and made.load_one("a/T")["x"].tolist() == [8, 9]
    record(made, "a/T", {"in": "2"})
    entry = made.ledger.read("a/T")
    assert entry is not None and entry.correction == ANA and entry.content == made.content("a/T")


def test_a_correction_that_lands_before_the_entry_is_written_is_kept(tmp_path: Path) -> None:
    made = parts(tmp_path / "labels")
    made.save({"a/T": TABLE})
    by_ana(parts(tmp_path / "labels"), TABLE + 7)
    assert record(made, "a/T", {"in": "1"}) is None
    assert made.load_one("a/T")["x"].tolist() == [8, 9]
    assert made.correction("a/T") == ANA


def test_a_file_that_the_ledger_does_not_know_is_moved_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody's mask whose entry got lost, or a file put there by hand."""
    made = parts(tmp_path / "data/03_primary/labels")
    made.save(dict.fromkeys(("a/T", "a/C", "b/T"), TABLE))
    for each in ("a/T", "a/C", "b/T"):
        made.record(each, {})
    Path(made.path_of("a/T")).write_text("x\n70\n")  # changed by hand
    made.ledger.remove("a/C")  # its entry is lost
    with caplog.at_level("INFO", logger="cyto_kedro"):
        made.save(dict.fromkeys(("a/T", "a/C", "b/T"), TABLE + 5))
    aside = sorted((tmp_path / "data/aside/03_primary/labels/a").iterdir())
    assert [each.name.split(".")[0] for each in aside] == ["C", "T"]
    assert aside[1].read_text() == "x\n70\n"
    assert [made.load_one(each)["x"].tolist() for each in ("a/T", "a/C", "b/T")] == [[6, 7]] * 3
    said = [each for each in caplog.records if "may be somebody's work" in each.message]
    assert [each.levelname for each in said] == ["WARNING", "INFO"]  # once is enough
    made.save({"a/C": TABLE + 5})  # the same bytes: nothing can be lost
    assert len(list((tmp_path / "data/aside").rglob("*.csv"))) == 2


def test_a_corrected_file_that_was_changed_is_moved_aside_and_the_correction_put_back(
    tmp_path: Path,
) -> None:
    made = parts(tmp_path / "labels")
    by_ana(made, TABLE)
    Path(made.path_of("a/T")).write_text("x\n70\n")
    made.save({"a/T": TABLE + 5})
    assert made.load_one("a/T")["x"].tolist() == [1, 2]
    assert [each.read_text() for each in (tmp_path / "aside").rglob("*.csv")] == ["x\n70\n"]


def test_partitions_live_on_any_file_system() -> None:
    made = parts("memory://partitioned_test")
    made.save({"a/T": TABLE})
    made.record("a/T", {})
    pd.testing.assert_frame_equal(made.load()["a/T"](), TABLE)
    assert made.list_ids() == ["a/T"] and made.content("a/T") is not None
    with pytest.raises(PartitionError, match="a/C"):
        made.load_one("a/C")


def test_kedro_viz_sees_the_kind_of_preview_of_the_partitions_own_type(tmp_path: Path) -> None:
    tables = parts(tmp_path / "tables")
    labels = parts(tmp_path / "labels", LabelDataset, filename_suffix=".tif")
    assert tables.preview.__annotations__["return"] in (TablePreview, "TablePreview")
    assert labels.preview.__annotations__["return"] in (ImagePreview, "ImagePreview")
    assert not hasattr(parts(tmp_path / "fragile", Fragile), "preview")
    with pytest.raises(DatasetError, match="nothing to preview yet"):
        tables.preview()
    tables.save({"b/T": TABLE + 1, "a/T": TABLE})
    assert tables.preview()["data"] == [[1], [2]]


def test_a_file_from_elsewhere_is_read_as_a_partition_would_be(tmp_path: Path) -> None:
    labels = parts(tmp_path / "labels", LabelDataset, filename_suffix=".tif")
    mask = np.zeros((2, 4, 4), np.uint32)
    mask[0, 1, 1] = 7
    labels.save({"a/T": mask})
    np.testing.assert_array_equal(labels.read_like(tmp_path / "labels" / "a" / "T.tif"), mask)
    with pytest.raises((InputError, DatasetError), match=r"nothing\.tif"):
        labels.read_like(tmp_path / "nothing.tif")


def test_a_file_url_and_its_path_are_one_place(tmp_path: Path) -> None:
    """Else two runs of one folder, one given each, would hold different leases."""
    catalog = {
        "url": parts(f"file://{tmp_path}/03_primary/x"),
        "path": parts(tmp_path / "03_primary/x"),
    }
    assert places_of(catalog, ["url"]) == places_of(catalog, ["path"])
