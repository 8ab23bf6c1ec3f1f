"""The notebooks run from top to bottom."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient


def run(notebook: Path, folder: Path) -> list[str]:
    """Execute a notebook in `folder`; return the texts it put out."""
    book = nbformat.read(notebook, as_version=4)
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert not [each for each in outputs if each["output_type"] == "error"]
    return [str(each.get("data", {}).get("text/plain", each.get("text", ""))) for each in outputs]


@pytest.mark.slow
def test_algorithms_by_hand(project_root: Path) -> None:
    outputs = run(project_root / "notebooks" / "02_algorithms_by_hand.ipynb", project_root)
    assert any("effector_track_id" in text for text in outputs)


@pytest.mark.slow
def test_results_of_a_run(project_root: Path, finished_sample: Path) -> None:
    """`finished_sample` is a copy of the project in which `kedro run` has analysed the sample."""
    outputs = run(project_root / "notebooks" / "01_results_of_a_run.ipynb", finished_sample)
    assert any("treated_1" in text for text in outputs)
    assert any("Graph with" in text for text in outputs)
