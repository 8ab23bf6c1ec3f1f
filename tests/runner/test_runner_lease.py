from __future__ import annotations

import ctypes
import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cyto_kedro.errors import RunStoppedError
from cyto_kedro.runner import lease as module
from cyto_kedro.runner.holding import Hold
from cyto_kedro.runner.lease import EXPIRES_S, Lease
from cyto_kedro.runner.process import alive, whoami


def change(folder: Path, **what: object) -> Path:
    (path,) = folder.glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | what))
    return path


def test_what_a_live_driver_holds_is_refused_and_it_says_who(tmp_path: Path) -> None:
    with Lease(tmp_path, ["labels", "cells"], "first"):
        with pytest.raises(
            RunStoppedError, match=r"labels is being written by run first .*process"
        ):
            Lease(tmp_path, ["labels", "tracks"], "second").__enter__()
        with Lease(tmp_path, ["tracks"], "third"):  # and nothing of the refused one is left
            pass
    assert list(tmp_path.glob("*.json")) == []
    with Lease(tmp_path, ["labels"], "second"):
        pass


def test_a_dead_process_of_this_host_holds_nothing(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with Lease(tmp_path, ["labels"], "first"):
        path = change(tmp_path, pid=gone.pid)
        with Lease(tmp_path, ["labels"], "second"):
            assert json.loads(path.read_text())["run_id"] == "second"


def test_a_dead_host_holds_it_until_it_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCH_S", 0.2)
    with Lease(tmp_path, ["labels"], "first"):
        path = change(tmp_path, host="elsewhere")
        with pytest.raises(RunStoppedError, match="on elsewhere"):
            Lease(tmp_path, ["labels"], "second").__enter__()
        old = time.time() - EXPIRES_S - 5
        os.utime(path, (old, old))
        with Lease(tmp_path, ["labels"], "second"):
            assert json.loads(path.read_text())["run_id"] == "second"
    assert not path.exists()


def test_a_live_lease_of_another_host_is_not_void_whatever_its_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.05)
    monkeypatch.setattr(module, "WATCH_S", 2.0)
    with Lease(tmp_path, ["labels"], "first"):
        path = change(tmp_path, host="elsewhere")
        stop = threading.Event()

        def renew() -> None:  # its clock is an hour slow
            while not stop.wait(0.1):
                os.utime(path, (time.time() - 3600,) * 2)

        thread = threading.Thread(target=renew)
        thread.start()
        time.sleep(0.3)
        with pytest.raises(RunStoppedError, match="on elsewhere"):
            Lease(tmp_path, ["labels"], "second").__enter__()
        stop.set()
        thread.join()


@pytest.mark.parametrize("what", [{"machine": "another boot"}, {"host": "elsewhere"}])
def test_the_process_of_another_machine_of_the_same_name_is_not_looked_for_here(
    tmp_path: Path, what: dict[str, str]
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with Lease(tmp_path, ["labels"], "first"):
        change(tmp_path, pid=gone.pid, **what)
        with pytest.raises(RunStoppedError, match="labels is being written by run first"):
            Lease(tmp_path, ["labels"], "second").__enter__()


def test_a_stopped_process_of_this_host_holds_it_however_long(tmp_path: Path) -> None:
    with Lease(tmp_path, ["labels"], "first"):
        (path,) = tmp_path.glob("*.json")
        os.utime(path, (1, 1))
        with pytest.raises(RunStoppedError, match="being written"):
            Lease(tmp_path, ["labels"], "second").__enter__()


def test_a_process_number_that_was_given_to_another_one_is_not_the_holder() -> None:
    here = whoami()
    assert alive(here["pid"], here["born"]) and alive(here["pid"])
    if here["born"] is not None:  # Linux
        assert not alive(here["pid"], "1")
    assert not alive(0) and not alive(-1) and not alive(None) and not alive("1")


def test_windows_is_asked_without_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """There os.kill(pid, 0) ends the process."""

    class Kernel:
        def OpenProcess(self, access: int, inherit: bool, pid: int) -> int:
            return 7 if pid == 42 else 0

        def GetLastError(self) -> int:
            return 87

        def GetExitCodeProcess(self, handle: int, code: Any) -> int:
            code._obj.value = 259
            return 1

        def CloseHandle(self, handle: int) -> None: ...

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "kill", pytest.fail)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=Kernel()), raising=False)
    assert alive(42) and not alive(43)


def test_a_lease_that_cannot_be_read_is_neither_lost_nor_void(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.02)
    monkeypatch.setattr(module, "READ_AGAIN_S", (0.001,))
    with Lease(tmp_path, ["labels"], "first") as lease:
        (path,) = tmp_path.glob("*.json")
        read_text = Path.read_text

        def stale(self: Path, *args: Any, **kwargs: Any) -> str:
            if self == path:
                raise OSError(errno.ESTALE, "Stale file handle")
            return read_text(self, *args, **kwargs)

        with monkeypatch.context() as share:
            share.setattr(Path, "read_text", stale)
            time.sleep(0.2)
            assert not lease.lost.is_set()
            with pytest.raises(RunStoppedError, match="cannot be told"):
                Lease(tmp_path, ["labels"], "second").__enter__()
        os.utime(path, (1, 1))
        time.sleep(0.2)
        assert path.stat().st_mtime > 2 and not lease.lost.is_set()


def test_a_lease_that_somebody_removed_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.05)
    with Lease(tmp_path, ["labels"], "first") as lease:
        (path,) = tmp_path.glob("*.json")
        path.unlink()
        deadline = time.monotonic() + 5
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.exists() and not lease.lost.is_set()


def test_it_lies_with_the_data_so_that_two_clones_know_of_each_other(tmp_path: Path) -> None:
    data = tmp_path / "data"
    places = [str(data / "03_primary/labels"), str(data / "08_reporting/report.html")]
    (tmp_path / "mounted").symlink_to(data)  # the same share under another name
    other = [str(tmp_path / "mounted/03_primary/labels")]
    with Hold(places, "first", tmp_path / "clone1/runs"):
        assert len(list((data / ".leases").glob("*.json"))) == 2
        with pytest.raises(RunStoppedError, match=r"03_primary/labels is being written by run fi"):
            Hold(other, "second", tmp_path / "clone2/runs").__enter__()
        with Hold([str(data / "03_primary/other")], "third"):
            pass
    assert not (data / ".leases").exists()
    with Hold(other, "second"):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(RunStoppedError, match=r"data/\.leases cannot be written"):
        Hold([str(tmp_path / "data/03_primary/labels")], "first").__enter__()


def test_a_holder_renews_it_and_notices_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.05)
    with Lease(tmp_path, ["labels"], "first") as lease:
        (path,) = tmp_path.glob("*.json")
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime > 2 and not lease.lost.is_set()
        change(tmp_path, token="another's")
        assert lease.lost.wait(5)
    assert path.exists()  # another's is not removed
