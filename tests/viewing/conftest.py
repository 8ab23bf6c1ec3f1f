"""A project that has run, and a viewer."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tiny_project import finished, project, session_folder, tiny_raw

__all__ = ["finished", "project", "session_folder", "tiny_raw", "viewer"]


@pytest.fixture
def viewer() -> Iterator[Any]:
    """napari without a window on the screen."""
    import napari
    import PyQt6

    if sys.platform == "linux":
        if not os.environ.get("DISPLAY"):
            pytest.skip("needs a display: make test-companions with xvfb-run installed")
        plugin = Path(PyQt6.__file__).parent / "Qt6/plugins/platforms/libqxcb.so"
        said = subprocess.run(["ldd", plugin], capture_output=True, text=True, check=True).stdout
        if lacking := set(re.findall(r"(\S+) => not found", said)):  # Qt would end the process
            pytest.skip(f"Qt lacks {', '.join(sorted(lacking))} (Debian's package libqt6gui6)")
    made = napari.Viewer(show=False)
    yield made
    made.close()
