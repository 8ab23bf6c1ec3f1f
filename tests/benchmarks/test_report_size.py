"""The report of a plate stays small, and so does the memory that it takes, however many its films."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from cyto_kedro.algorithms.reporting.clip_cards import MOST_CLIPS
from cyto_kedro.pipelines.reporting.nodes import MOST_FIELDS
from report_size import measured


@pytest.mark.slow
def test_the_page_of_a_plate_holds_few_of_its_films(tmp_path: Path) -> None:
    found = measured(36, tmp_path)
    assert found.clips > MOST_CLIPS
    assert found.page_mb < found.limit_mb
    # overlays that the page does not show are not even read
    assert found.overlays <= 2 * MOST_FIELDS
    assert found.page.count('<figure class="clip"') == MOST_CLIPS
    assert f"{found.clips - MOST_CLIPS} more lie in the folder clips" in found.page
    last = sorted(path.stem for path in (tmp_path / "clips").glob("*.html"))[-1]
    assert f'href="clips/{last}.html"' in found.page
