"""A project that has run, and a viewer."""

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tiny_project import finished, project, session_folder, tiny_raw

__all__ = ["finished", "project", "session_folder", "tiny_raw", "viewer"]


@pytest.fixture
def viewer() -> Iterator[Any]:
    """napari without a window on the screen."""
    import napari

    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        pytest.skip("needs a display: make test-companions with xvfb-run installed")
    made = napari.Viewer(show=False)
    yield made
    made.close()
