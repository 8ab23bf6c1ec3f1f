"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# these machines are shared: how long an example takes says nothing of the code
settings.register_profile("shared_machine", deadline=None)
settings.load_profile("shared_machine")

ROOT = Path(__file__).resolve().parents[1]


# what a slip breaks first: no whole runs, no simulated assays, no examples drawn at random, and none
# of the longest files
LONG = {
    *("test_run_command", "test_segmentation_size", "test_segmentation_tiles", "test_unfilmed"),
    *("test_empty_frames", "test_excluded_frames", "test_networks_death_spread"),
}
STAGES = ("preprocessing", "segmentation", "tabulation", "tracking", "contacts", "networks")
SMOKE = {".", "core", "datasets", "algorithms", *(f"algorithms/{each}" for each in STAGES)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the quickest tests, which CI runs first, by themselves."""
    for item in items:
        if ROOT / "tests" not in item.path.parents:
            continue
        folder = item.path.parent.relative_to(ROOT / "tests").as_posix()
        slow = any(item.get_closest_marker(each) for each in ("slow", "slurm", "engine", "shared"))
        drawn = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        named = any(each in item.nodeid.lower() for each in ("memory", "fuzz"))
        if not (slow or drawn or named or item.path.stem in LONG) and folder in SMOKE:
            item.add_marker(pytest.mark.smoke)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `companion` skips where a library is lacking; asked for by name, it fails."""
    for library in (each for mark in item.iter_markers("companion") for each in mark.args):
        if item.config.getoption("markexpr") == "companion":
            importlib.import_module(library)
        else:
            pytest.importorskip(library, reason=f"needs {library}: make test-companions")


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data sets beside the project; a test that needs them skips without."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"real data not found at {path}")
    return path


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The model weights beside the project; a test that needs them skips without."""
    path = ROOT.parent / "shared" / "models"
    if not path.is_dir():
        pytest.skip(f"model weights not found at {path}")
    return path


@pytest.fixture(scope="session")
def finished_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which ``kedro run`` has analysed one donor of the tracked sample."""
    folder = tmp_path_factory.mktemp("sample_project")
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data/01_raw/sample", folder / "data/01_raw/sample")
    sheet = folder / "data/01_raw/sample/sample_sheet.csv"
    head, *rows = sheet.read_text(encoding="utf-8").splitlines()
    sheet.write_text("\n".join([head, *(row for row in rows if ",D1," in row)]), encoding="utf-8")
    for row in rows:
        if ",D1," not in row:
            shutil.rmtree(sheet.parent / row.split(",")[0])
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, folder / name)
    done = subprocess.run(
        [sys.executable, "-m", "kedro", "run"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder
