"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


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
