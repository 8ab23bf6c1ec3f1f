"""The site is built without a warning, and its pages can be read at once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs the extra `docs`")
    pytest.importorskip("mkdocstrings", reason="needs the extra `docs`")
    words = (sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path))
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING " not in done.stderr
    assert "LocalThreshold" in (tmp_path / "parameters.html").read_text(encoding="utf-8")
    assert "track_id" in (tmp_path / "tables.html").read_text(encoding="utf-8")
    shown = (tmp_path / "api" / "algorithms.html").read_text(encoding="utf-8")
    assert "cyto_kedro.algorithms.tracking.lap.LAP" in shown
    assert not re.search(r"<p>::: ", shown), "a docstring was not found"
