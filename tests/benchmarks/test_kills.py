"""A short campaign of `benchmarks/kills.py`: whole runs killed, a correction between them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import kills

pytestmark = pytest.mark.slow


def test_killed_runs_lose_nothing(tmp_path: Path) -> None:
    stages = ("ingestion", "preprocessing", "segmentation", "tabulation")
    found = kills.campaign(tmp_path, 3, 40, stages=stages)
    assert found.faults == []
    assert found.killed == 3 and found.tables >= 2 and found.corrected
