from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyto_kedro import journals
from cyto_kedro.errors import PartitionError
from cyto_kedro.ledger import (
    Correction,
    Entry,
    Ledger,
    _feed_rows,
    changed,
    digest,
    hash_file,
    split_home,
)
from cyto_kedro.parameters import Assay, Segmentation

LOCAL = fsspec.filesystem("file")
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def entry(**more: object) -> Entry:
    return Entry.model_validate({"inputs": {"a": "1"}, "content": "c", "size": 3, **more})


def test_an_entry_is_read_back_as_written(tmp_path: Path) -> None:
    ledger = Ledger(LOCAL, str(tmp_path))
    now = datetime.now(UTC)
    written = entry(
        run_id="r",
        saved_at=now,
        seconds=1.5,
        correction=Correction(who="Ana", why="two cells merged", when=now, source="a.tif"),
    )
    ledger.write("f/T/t0000-0003", written)
    assert ledger.read("f/T/t0000-0003") == written
    assert ledger.read("f/T/t0004-0007") is None
    assert list(tmp_path.rglob("*.part")) == []


def older(folder: Path, identity: str, written: Entry) -> Path:
    """An entry as it was kept before there were journals."""
    path = folder / ".ledger" / f"{identity}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written.model_dump_json(indent=1))
    return path


def test_half_an_entry_counts_as_none(tmp_path: Path) -> None:
    ledger = Ledger(LOCAL, str(tmp_path))
    path = older(tmp_path, "f", entry())
    assert ledger.read("f") == entry()
    path.write_bytes(path.read_bytes()[:20])
    assert ledger.read("f") is None
    ledger.write("g", entry())
    (path,) = (tmp_path / ".ledger").glob("*.journal")
    path.write_bytes(path.read_bytes()[:-9])
    journals._KNOWN.clear()  # another process
    assert ledger.read("g") is None


def test_an_entry_whose_write_dies_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(LOCAL, str(tmp_path))
    ledger.write("f", entry(run_id="first"))

    def die(*_: object, **__: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", die)
        with pytest.raises(
            PartitionError, match=r"f: it is saved, but .*ledger cannot .*disk full"
        ):
            ledger.write("f", entry(run_id="second"))
    assert ledger.read("f") == entry(run_id="first")
    journals._KNOWN.clear()  # another process
    assert ledger.read("f") == entry(run_id="first")


def test_what_gives_or_takes_a_correction_is_forced_to_disk_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    ledger = Ledger(LOCAL, str(tmp_path))
    ledger.write("f", entry())
    assert synced == []
    now = datetime.now(UTC)
    given = entry(correction=Correction(who="Ana", why="merged", when=now, source="a.tif"))
    steps = [lambda: ledger.write("f", given), lambda: ledger.write("f", entry())]
    for number, step in enumerate([*steps, lambda: ledger.remove("f")], 1):
        step()
        assert len(synced) == number
    assert ledger.read("f") is None


def test_a_ledger_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    ledger = Ledger(LOCAL, str(tmp_path))
    (tmp_path / ".ledger" / "0f.journal").mkdir(parents=True)  # unreadable for root too
    with pytest.raises(PartitionError, match=r"f/T: the ledger entry in .*ledger cannot be read"):
        ledger.read("f/T")


def test_older_entries_are_read_till_they_are_merged(tmp_path: Path) -> None:
    """One file a partition, as it was: nothing is made again, and a correction stays one."""
    now = datetime.now(UTC)
    of_person = entry(correction=Correction(who="Ana", why="merged", when=now, source="a.tif"))
    ledger = Ledger(LOCAL, str(tmp_path))
    written = {"a/T": entry(run_id="r", saved_at=now), "a/C": of_person, "b": entry(stamp="7.0")}
    paths = [older(tmp_path, *each) for each in {**written, "a/new": entry()}.items()]
    ledger.write("a/new", entry(content="newer"))
    written["a/new"] = entry(content="newer")
    (tmp_path / ".ledger" / "a" / "torn.json").write_text("{")
    (tmp_path / ".ledger" / "a" / "strange.json").write_text("[1]")
    for _ in range(2):
        assert {each: ledger.read(each) for each in written} == written
        ledger.merge()
    assert not any(path.exists() for path in paths)
    assert sorted(path.name for path in (tmp_path / ".ledger" / "a").iterdir()) == [
        *("strange.json", "torn.json")
    ]
    assert len(list((tmp_path / ".ledger").glob("*.journal"))) == 1
    ledger.remove("b")
    older(tmp_path, "b", entry())  # cannot come back
    assert ledger.read("b") is None


def test_a_merge_killed_among_older_entries_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"f/{i}" for i in range(6)]
    for name in names:
        older(tmp_path, name, entry(run_id=name))
    ledger, removed = Ledger(LOCAL, str(tmp_path)), []

    def die(fs: object, path: str) -> None:
        if len(removed) == 3:
            raise KeyboardInterrupt
        removed.append(path)
        Path(path).unlink()

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(LOCAL), "rm_file", die)
        ledger.merge()
    assert [ledger.read(name) for name in names] == [entry(run_id=name) for name in names]
    ledger.merge()
    assert [ledger.read(name) for name in names] == [entry(run_id=name) for name in names]
    assert [each.suffix for each in (tmp_path / ".ledger").iterdir()] == [".journal"]


def test_a_merge_that_finds_no_room_leaves_all_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(LOCAL, str(tmp_path))
    path = older(tmp_path, "f", entry())

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        ledger.merge()
    assert "cannot be put into one file now" in caplog.text and path.exists()
    assert ledger.read("f") == entry() and len(list(path.parent.iterdir())) == 1


def test_what_was_killed_between_file_and_entry_is_not_current(tmp_path: Path) -> None:
    """The entry of the file before describes another one, in memory and after a merge."""
    path, ledger = tmp_path / "f.bin", Ledger(LOCAL, str(tmp_path))
    path.write_bytes(b"abc")
    first = ledger.record("f", str(path), {"a": "1"})
    path.write_bytes(b"abd")  # killed before its entry
    for _ in range(2):
        assert ledger.content("f", str(path)) == hash_file(LOCAL, str(path)) != first.content
        assert ledger.stranger("f", str(path)) is not None
        ledger.merge()
    path.unlink()
    assert ledger.content("f", str(path)) is None


@pytest.mark.parametrize(
    ("path", "home", "place"),
    [
        ("/x/01_raw/films/data/03_primary/labels", "/x/01_raw/films/data", "03_primary/labels"),
        ("/d/07_model_output/a/b.parquet", "/d", "07_model_output/a/b.parquet"),
        ("/tmp/t/labels", "/tmp/t", "labels"),
        ("bucket/08_reporting/report.html", "bucket", "08_reporting/report.html"),
    ],
)
def test_the_data_folder_is_what_holds_kedros_layers(path: str, home: str, place: str) -> None:
    assert split_home(path) == (home, place)


def test_content_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f.bin"
    ledger = Ledger(LOCAL, str(tmp_path))
    assert ledger.content("f", str(path)) is None
    path.write_bytes(b"abc")
    first = ledger.content("f", str(path))
    assert first == hash_file(LOCAL, str(path))
    written = ledger.record("f", str(path), {"a": "1"}, run_id="r")
    assert ledger.read("f") == written and (written.content, written.size) == (first, 3)
    assert ledger.content("f", str(path)) == first
    path.write_bytes(b"abcd")  # replaced behind the ledger's back
    assert ledger.content("f", str(path)) == hash_file(LOCAL, str(path)) != first


def test_an_edit_that_keeps_the_size_is_seen(tmp_path: Path) -> None:
    """A relabelled uncompressed mask, or a fixed-width table, keeps its file's size."""
    path = tmp_path / "f.bin"
    ledger = Ledger(LOCAL, str(tmp_path))
    path.write_bytes(b"abc")
    ledger.record("f", str(path), {})
    path.write_bytes(b"abd")
    assert ledger.content("f", str(path)) == hash_file(LOCAL, str(path))


def test_an_unchanged_file_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.bin"
    path.write_bytes(b"abc")
    ledger = Ledger(LOCAL, str(tmp_path))
    written = ledger.record("f", str(path), {})
    monkeypatch.setattr("cyto_kedro.ledger.hash_file", pytest.fail)
    assert ledger.content("f", str(path)) == written.content


def test_memory_file_systems_hold_ledgers_too() -> None:
    ledger = Ledger(fsspec.filesystem("memory"), "/ledger_test")
    ledger.write("f/T", entry())
    assert ledger.read("f/T") == entry()


@given(PLAIN, PLAIN)
def test_plain_values_have_equal_digests_exactly_when_equal(a: object, b: object) -> None:
    assert digest(a) == digest(a)
    assert (digest(a) == digest(b)) == (repr_typed(a) == repr_typed(b))


def repr_typed(value: object) -> str:
    """`value` with types (1 is not 1.0 is not True) and keys in order."""
    if isinstance(value, dict):
        items = sorted((repr(k), repr_typed(v)) for k, v in value.items())
        return f"{{{items}}}"
    if isinstance(value, list):
        return f"[{','.join(map(repr_typed, value))}]"
    return f"{type(value).__name__}{value!r}"


def test_the_order_of_keys_and_of_sets_does_not_matter_that_of_lists_does() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({3, 1, 2}) == digest({2, 3, 1})
    assert digest([1, 2]) != digest([2, 1])
    assert digest(["ab", "c"]) != digest(["a", "bc"])


def test_arrays_differ_by_value_shape_and_dtype() -> None:
    a = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert digest(a) == digest(a.copy()) == digest(np.asfortranarray(a))
    assert len({digest(a), digest(a.T), digest(a.astype(np.int64)), digest(a + 1)}) == 4


def test_tables_differ_by_value_column_and_order_of_rows() -> None:
    table = pd.DataFrame({"x": [1.0, np.nan], "s": ["a", None]})
    same = table.copy()
    same.index = pd.Index([7, 8])  # the index is no content
    assert digest(table) == digest(same)
    others = [
        table.assign(x=[1.0, 2.0]),
        table.rename(columns={"s": "t"}),
        table.iloc[::-1],
        table[["s", "x"]],
        table.assign(s=["a", "b"]),
    ]
    assert len({digest(each) for each in [table, *others]}) == 6


@pytest.mark.parametrize("at_once", [1, 7, 1 << 18])
def test_rows_are_hashed_as_pandas_hashes_their_texts(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cyto_kedro.ledger.ROWS_AT_ONCE", at_once)
    table = pd.DataFrame(
        {
            "n": pd.array([1, None, 3], "Int64"),
            "x": [0.1, np.nan, 1e300],
            "s": ["é", None, ""],
            "t": pd.to_datetime(["2026-11-29", None, "2026-11-30"]),
            "k": pd.Categorical(["a", "b", "a"]),
            "b": [True, False, True],
        }
    )
    for each in (table, table.iloc[:0], pd.DataFrame()):
        hashed = pd.util.hash_pandas_object(each.astype(object).map(repr), index=False)
        fed: list[bytes] = []
        _feed_rows(SimpleNamespace(update=fed.append), each)
        assert b"".join(fed) == hashed.to_numpy().tobytes()


def test_models_are_hashed_by_what_they_say() -> None:
    given_default = {"T": {"name": "Otsu"}}
    assert digest(Segmentation.model_validate(given_default)) == digest(
        Segmentation.model_validate({"T": {"name": "Otsu", "args": {}}})
    )
    assay = {
        "raw": {"pattern": "{fov}"},
        "channels": ["c"],
        "populations": {"T": {"role": "other", "channels": ["c"]}},
    }
    first = digest(Assay.model_validate(assay))
    assert first == digest(Assay.model_validate({**assay, "block_length": 50}))
    assert first != digest(Assay.model_validate({**assay, "block_length": 5}))


def test_what_has_no_content_to_hash_is_refused_by_its_type() -> None:
    with pytest.raises(PartitionError, match=r"cannot hash a builtins\.object"):
        digest({"x": object()})


def test_changed_names_the_inputs_that_differ() -> None:
    assert changed(entry(), {"a": "1"}) == []
    assert changed(entry(), {"a": "2"}) == ["a"]
    assert changed(entry(), {"a": "1", "b": "1"}) == ["b"]
    assert changed(entry(), {}) == ["a"]
