"""Files are whole or as they were."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from cyto_kedro.datasets.atomic import write_whole


def test_a_writer_that_dies_leaves_the_old_file_and_no_stray(tmp_path):
    fs = fsspec.filesystem("file")
    path = tmp_path / "new" / "a.bin"
    write_whole(fs, str(path), lambda file: file.write(b"old"))

    def dies(file):
        file.write(b"half of the ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(fs, str(path), dies)
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]
    write_whole(fs, str(path), lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"


def test_a_killed_process_leaves_the_old_file(tmp_path):
    """Not even ``kill -9`` in the middle of writing shows half a file under the final name."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = """
import fsspec, os, signal, sys
from cyto_kedro.datasets.atomic import write_whole
def writer(file):
    file.write(b"half"); file.flush(); os.kill(os.getpid(), signal.SIGKILL)
write_whole(fsspec.filesystem("file"), sys.argv[1], writer)
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.glob("*.bin")] == ["a.bin"]  # the stray has another suffix


def test_elsewhere_nothing_is_stored_before_the_end():
    fs = fsspec.filesystem("memory")
    path = "/atomic/a.bin"
    write_whole(fs, path, lambda file: file.write(b"old"))

    def dies(file):
        file.write(b"half")
        raise ValueError

    with pytest.raises(ValueError):
        write_whole(fs, path, dies)
    assert fs.cat_file(path) == b"old"
    assert [Path(p).name for p in fs.ls("/atomic", detail=False)] == ["a.bin"]
