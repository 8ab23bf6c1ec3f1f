"""Other tools' masks and tracks come back as they were made, and absent tools are named."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

# Stands for btrack: the cells of each frame, from left to right, go on as those of the next.
STAND_IN = """
class Track:
    def __init__(self, name, refs):
        self.ID, self.parent, self.refs = name, name, refs

class BayesianTracker:
    def __init__(self, verbose): pass
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def configure(self, path): pass
    def append(self, objects): self.objects = objects
    def track(self, step_size): pass
    def optimise(self): pass
    @property
    def tracks(self):
        rows = {}
        for each in self.objects:
            rows.setdefault(each["t"], []).append((each["x"], each["ID"]))
        columns = zip(*(sorted(each) for _, each in sorted(rows.items())))
        return [Track(i, [ref for _, ref in each] + [-3]) for i, each in enumerate(columns, 1)]
"""


@pytest.fixture
def versus(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import versus as module

    return module


def crossing() -> np.ndarray:
    """Two cells side by side, whose labels are exchanged in the second frame."""
    label = np.zeros((3, 12, 24), np.uint32)
    label[:, 2:6, 2:6], label[:, 2:6, 14:18] = 1, 2
    label[1] = np.where(label[1] > 0, 3 - label[1].astype(int), 0)
    return label


def test_a_tool_that_is_absent_is_named(versus: ModuleType) -> None:
    with pytest.raises(versus.MissingExtraError, match="no_such_tool is not installed"):
        versus.run_outside(sys.executable, "no_such_tool", {}, {})


def test_tracks_of_a_tool_name_the_masks_that_it_was_given(
    versus: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "btrack"
    package.mkdir()
    (package / "__init__.py").write_text(STAND_IN, encoding="utf-8")
    types = "class PyTrackObject:\n    from_dict = staticmethod(dict)\n"
    (package / "btypes.py").write_text(types, encoding="utf-8")
    about = tmp_path / "btrack-0.7.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: btrack\nVersion: 0.7.0\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    label, parents, seconds = versus.run_outside(
        sys.executable, "btrack", versus.btrack_config(5.0), {"masks0": crossing()}
    )
    assert parents == {}
    assert seconds > 0
    assert (label[:, 3, 3] == 1).all()
    assert (label[:, 3, 15] == 2).all()
    assert ((label > 0) == (crossing() > 0)).all()


def test_labels_that_are_cells_become_tracks(versus: ModuleType) -> None:
    label = crossing()
    label[1] = label[0]
    label[2] = np.where(label[2] == 2, 7, 0)
    found = versus.Given(parents={7: 2})(label=label)
    # cell 7 is all that came of cell 2, which so goes on
    assert found["track_points"].groupby("track_id")["frame"].nunique().tolist() == [2, 3]
