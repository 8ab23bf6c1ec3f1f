from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DatasetError

from cyto_kedro.datasets import ClipsDataset
from cyto_kedro.errors import InputError
from cyto_kedro.images import Clip


def test_clips_come_back_and_the_page_opens_alone(tmp_path: Path) -> None:
    dataset = ClipsDataset(filepath=str(tmp_path / "A 1.html"))
    made = [
        Clip(b"RIFF1", "clip-1", "</script><b>C 1", "c & d", "A 1", "kill", 3, "C", 1, "T", 2, 0.5),
        Clip(b"RIFF2", "clip-2", "title", "caption", "A 1", "death", 4, "C", 2),
    ]
    dataset.save(made)
    assert dataset.load() == made
    page = (tmp_path / "A 1.html").read_text()
    assert 'id="clip-1"' in page and "<b>" not in page and "http" not in page
    assert dataset.preview() == page
    (tmp_path / "A 1.html").write_text(page.replace("base64,", "base64,!"))
    assert dataset.names() == ["clip-1", "clip-2"]  # pictures are not decoded
    dataset.save([])
    assert dataset.load() == dataset.names() == []
    (tmp_path / "A 1.html").write_text("<p>mine")
    with pytest.raises(DatasetError, match="no page of clips"):
        dataset.load()
    with pytest.raises(InputError, match="no page of clips"):
        dataset.names()
