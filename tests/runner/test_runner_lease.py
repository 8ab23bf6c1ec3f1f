from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cyto_kedro.errors import RunStoppedError
from cyto_kedro.runner import lease as module
from cyto_kedro.runner.lease import EXPIRES_S, Lease


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


def test_a_dead_host_holds_it_until_it_expires(tmp_path: Path) -> None:
    with Lease(tmp_path, ["labels"], "first"):
        path = change(tmp_path, host="elsewhere")
        with pytest.raises(RunStoppedError, match="on elsewhere"):
            Lease(tmp_path, ["labels"], "second").__enter__()
        old = time.time() - EXPIRES_S - 5
        os.utime(path, (old, old))
        with Lease(tmp_path, ["labels"], "second"):
            assert json.loads(path.read_text())["run_id"] == "second"
    assert not path.exists()


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
