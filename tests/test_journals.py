"""Several processes at one ledger, killed and merged at any moment: no line is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyto_kedro import journals
from cyto_kedro.journals import MOST, SILENT_S, Journals, end_all, journals_of, looked_at_once

LOCAL = fsspec.filesystem("file")
WRITER = """
import sys, time, fsspec
from cyto_kedro.journals import Journals
folder, name, count, how = sys.argv[1:]
made = Journals(fsspec.filesystem("file"), folder)
for i in range(int(count)):
    made.put(f"{name}/{i}", f'"value":{i}')
    print(i, flush=True)
    if how == "slow":
        time.sleep(0.002)
if how == "kill":
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
made.end()
"""


def writer(folder: Path, name: str, count: int, how: str = "") -> subprocess.Popen[bytes]:
    """A process that appends `count` lines to a journal of its own."""
    words = [sys.executable, "-c", WRITER, str(folder), name, str(count), how]
    return subprocess.Popen(words, stdout=subprocess.PIPE)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.journal"))


def values(folder: Path) -> dict[str, int]:
    """What a process that knows nothing yet finds."""
    made = Journals(LOCAL, str(folder))
    made.find("")
    return {name: json.loads(line)["value"] for name, (_, line) in made._newest.items()}


def test_two_processes_append_at_once_and_each_sees_both(tmp_path: Path) -> None:
    both = [writer(tmp_path, name, 300) for name in "ab"]
    assert [each.wait(60) for each in both] == [0, 0]
    expected = {f"{name}/{i}": i for name in "ab" for i in range(300)}
    assert values(tmp_path) == expected and len(files(tmp_path)) == 2
    assert Journals(LOCAL, str(tmp_path)).merge({}) is True
    assert values(tmp_path) == expected and len(files(tmp_path)) == 1


def test_merging_while_a_writer_appends_loses_no_line(tmp_path: Path) -> None:
    """Ended journals and those of dead processes come and go; one process writes all the time."""
    busy = writer(tmp_path, "busy", 400, "slow")
    merges = 0
    while busy.poll() is None:
        made = Journals(LOCAL, str(tmp_path))
        made.put("other", f'"value":{merges}')
        made.end()
        merges += Journals(LOCAL, str(tmp_path)).merge({})
    assert busy.returncode == 0 and merges > 3
    assert values(tmp_path) == {f"busy/{i}": i for i in range(400)} | {"other": merges - 1}
    Journals(LOCAL, str(tmp_path)).merge({})
    assert len(files(tmp_path)) == 1
    assert {name for name in values(tmp_path) if name != "other"} == {
        f"busy/{i}" for i in range(400)
    }


def test_two_that_merge_at_once_lose_no_line(tmp_path: Path) -> None:
    for name in "abcd":
        assert writer(tmp_path, name, 50).wait(60) == 0
    merge = (
        "import sys, fsspec; from cyto_kedro.journals import Journals\n"
        "for _ in range(20):\n"
        "    made = Journals(fsspec.filesystem('file'), sys.argv[1])\n"
        "    made.put('x', '\"value\":0'); made.end(); made.merge({})\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", merge, str(tmp_path)]) for _ in range(2)]
    assert [each.wait(60) for each in both] == [0, 0]
    assert values(tmp_path) == {f"{name}/{i}": i for name in "abcd" for i in range(50)} | {"x": 0}


@pytest.mark.parametrize("how", ["kill", "slow"])
def test_a_killed_writer_loses_nothing_that_it_said_it_wrote(tmp_path: Path, how: str) -> None:
    doomed = writer(tmp_path, "a", 100 if how == "kill" else 10_000, how)
    assert doomed.stdout is not None
    said = 0
    for line in doomed.stdout:
        said = int(line) + 1
        if how == "slow" and said == 40:
            doomed.kill()
    assert doomed.wait(60) == -signal.SIGKILL
    found = values(tmp_path)
    assert found == {f"a/{i}": i for i in range(len(found))} and said <= len(found) <= said + 1
    made = Journals(LOCAL, str(tmp_path))
    made.put("b", '"value":1')
    assert made.merge({}) and values(tmp_path) == {**found, "b": 1}
    assert len(files(tmp_path)) == 1  # its process is gone, so its journal is over


@given(cut=st.integers(0, 400))
@settings(max_examples=40, deadline=None)
def test_of_a_torn_journal_every_whole_line_counts(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    made = Journals(LOCAL, str(folder))
    ends = [0]
    for i in range(5):
        made.put(f"a/{i}", f'"value":{i}')
        ends.append(files(folder)[0].stat().st_size)
    text = files(folder)[0].read_bytes()
    files(folder)[0].write_bytes(text[:cut])
    assert values(folder) == {f"a/{i}": i for i in range(5) if ends[i + 1] <= cut}
    files(folder)[0].write_bytes(text[:cut] + bytes(80))  # a power cut leaves zeros
    assert len(values(folder)) == sum(end <= cut for end in ends[1:])


def test_lines_whose_pages_come_late_are_seen_and_an_end_counts_after_all_of_them(
    tmp_path: Path,
) -> None:
    made = Journals(LOCAL, str(tmp_path))
    for i in range(3):
        made.put(f"a/{i}", f'"value":{i}')
    made.end()
    (path,) = files(tmp_path)
    text = path.read_bytes()
    lines = text.split(b"\n")
    hole = len(lines[0]) + 1 + len(lines[1])
    path.write_bytes(bytes(hole) + text[hole:])  # a share shows the second page first
    reader = Journals(LOCAL, str(tmp_path))
    assert reader.find("a/2") is None and not reader._known[path.name].ended
    path.write_bytes(text)
    assert reader.find("a/0") and reader.find("a/2") and reader._known[path.name].ended


def test_the_newer_line_holds_even_if_its_writers_clock_is_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Journals(LOCAL, str(tmp_path)), Journals(LOCAL, str(tmp_path))
    first.put("a", '"value":1')
    monkeypatch.setattr(time, "time_ns", lambda: 5)  # a machine that is decades late
    second.put("a", '"value":2')
    assert values(tmp_path) == {"a": 2}
    first.put("a", '"value":3')
    assert values(tmp_path) == {"a": 3}
    for order in (files(tmp_path), files(tmp_path)[::-1]):  # whatever is read first
        made = Journals(LOCAL, str(tmp_path))
        for path in order:
            made._read(path.name, path.stat().st_size)
        assert json.loads(made._newest["a"][1])["value"] == 3


class Die(BaseException):
    """Stands for SIGKILL between two system calls."""


@pytest.mark.parametrize("at", range(1, 12))
def test_a_merge_killed_at_any_step_leaves_all_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    for name in "abc":
        assert writer(tmp_path, name, 20).wait(60) == 0
    expected = values(tmp_path)
    steps = 0

    def dying(call: Any) -> Any:
        def step(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == at:
                raise Die
            return call(*args, **kwargs)

        return step

    with monkeypatch.context() as patch:
        for name in ("open", "write", "fsync", "close", "ftruncate", "unlink", "remove"):
            patch.setattr(journals.os, name, dying(getattr(os, name)))
        with contextlib.suppress(Die):
            Journals(LOCAL, str(tmp_path)).merge({})
    assert values(tmp_path) == expected
    assert Journals(LOCAL, str(tmp_path)).merge({}) or len(files(tmp_path)) == 1
    assert values(tmp_path) == expected


def test_a_full_disk_tears_no_line_and_what_follows_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Journals(LOCAL, str(tmp_path))
    made.put("a", '"value":1')
    write = os.write

    def full(handle: int, text: bytes) -> int:
        if len(text) < 10:
            raise OSError(28, "No space left on device")
        return write(handle, text[: len(text) - 8])

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(os, "write", full)
        made.put("a", '"value":2')
    assert values(tmp_path) == {"a": 1} and made.find("a") is not None
    made.put("b", '"value":3')  # with room again
    assert values(tmp_path) == {"a": 1, "b": 3}


def test_journals_of_another_machine_stay_till_they_end_or_are_silent_for_a_day(
    tmp_path: Path,
) -> None:
    elsewhere = {"host": "node7", "machine": "m", "pid": 1, "born": "1"}
    line = b'{"id":"a","n":5,"value":1}'
    path = tmp_path / "0f.journal"
    path.write_bytes(json.dumps(elsewhere).encode() + b"\n" + line + b"\n")
    for i in range(2):
        made = Journals(LOCAL, str(tmp_path))
        made.put("b", f'"value":{i}')
        made.end()
    Journals(LOCAL, str(tmp_path)).merge({})
    assert path.exists() and len(files(tmp_path)) == 2
    with path.open("ab") as file:  # its writer lives, and its lines count
        file.write(line.replace(b'"a"', b'"c"') + b"\n")
    assert values(tmp_path) == {"a": 1, "b": 1, "c": 1}
    past = time.time() - SILENT_S - 60
    os.utime(path, (past, past))
    Journals(LOCAL, str(tmp_path)).merge({})
    assert not path.exists() and values(tmp_path) == {"a": 1, "b": 1, "c": 1}


def test_a_reader_follows_a_merge_and_a_removal(tmp_path: Path) -> None:
    reader = Journals(LOCAL, str(tmp_path))
    assert reader.find("a") is None
    for name in "ab":
        made = Journals(LOCAL, str(tmp_path))
        made.put(name, '"value":1')
        made.end()
    assert reader.find("a") and reader.find("b")
    Journals(LOCAL, str(tmp_path)).merge({})
    assert reader.find("a") and reader.find("b")
    reader.put("c", '"value":1')
    for path in files(tmp_path):  # a person deletes results, and the ledger with them
        path.unlink()
    assert reader.find("a") is None and reader.find("c") is None
    reader.put("c", '"value":2')
    assert values(tmp_path) == {"c": 2}


def test_a_forked_process_writes_a_journal_of_its_own(tmp_path: Path) -> None:
    journals_of(LOCAL, str(tmp_path)).put("a", '"value":1')
    if not (child := os.fork()):
        journals_of(LOCAL, str(tmp_path)).put("b", '"value":2')
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert values(tmp_path) == {"a": 1, "b": 2} and len(files(tmp_path)) == 2
    end_all()
    assert sum(b'{"end":true}' in path.read_bytes() for path in files(tmp_path)) == 1


def test_within_a_check_each_folder_is_looked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Journals(LOCAL, str(tmp_path))
    looks: list[str] = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looks.append(path) or scan(path))
    with looked_at_once():
        for i in range(50):
            made.find(str(i))
    assert len(looks) == 1
    made.find("0")
    assert len(looks) == 2


def test_a_put_that_is_interrupted_is_not_forgotten_by_its_own_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Journals(LOCAL, str(tmp_path))
    made.put("a", '"value":1')
    append = Journals._append

    def interrupted(self: Journals, line: bytes, sync: bool) -> None:
        append(self, line, sync)
        if b'"id"' in line:
            raise KeyboardInterrupt  # Ctrl-C, when the line is written

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journals, "_append", interrupted)
        made.put("a", '"value":2')
    with looked_at_once():
        made.find("a")
        assert made.merge({"b": '"value":3'})  # as a driver does when it stops
    assert values(tmp_path) == {"a": 2, "b": 3} and len(files(tmp_path)) == 1


@pytest.fixture
def memory() -> Iterator[Any]:
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()


def test_an_object_store_holds_few_objects_and_each_line_at_once(memory: Any) -> None:
    made = Journals(memory, "/lab/.ledger")
    more = "x" * 500
    for i in range(400):
        made.put(f"a/{i}", f'"value":{i},"more":"{more}"')
        if i == 70:  # another process sees what was put so far
            other = Journals(memory, "/lab/.ledger")
            assert all(other.find(f"a/{j}") for j in range(71)) and other.find("a/71") is None
    objects = memory.ls("/lab/.ledger", detail=True)
    assert 3 <= len(objects) <= 5 and all(each["size"] < MOST + 2000 for each in objects)
    made.end()
    assert all(other.find(f"a/{i}") for i in range(400))
    assert other.merge({}) and len(memory.ls("/lab/.ledger")) == 1
    assert all(Journals(memory, "/lab/.ledger").find(f"a/{i}") for i in range(400))
