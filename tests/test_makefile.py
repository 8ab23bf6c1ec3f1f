"""The Makefile, read by make itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def test_every_target_is_said_once(project_root: Path) -> None:
    """make warns of a recipe that another one overrides, and refuses a name without a recipe."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    text = (project_root / "Makefile").read_text()
    phony = [
        name
        for line in text.splitlines()
        if line.startswith(".PHONY:")
        for name in line.split()[1:]
    ]
    assert {"demo", "test"} <= set(phony)
    made = subprocess.run(
        ["make", "-n", *phony], cwd=project_root, capture_output=True, text=True, check=False
    )
    assert (made.returncode, made.stderr) == (0, "")
