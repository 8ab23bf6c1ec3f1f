"""Projects to import into: one that was only ingested, one that was analysed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_project import Project, finished, project, session_folder, tiny_raw

__all__ = ["finished", "project", "session_folder", "tiny_raw"]


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory, tiny_raw: Path) -> Project:
    """Ingested, nothing else; do not change it."""
    project = Project.make(tmp_path_factory.mktemp("planned") / "project", tiny_raw)
    project.run("ingestion")
    return project


@pytest.fixture
def ingested(planned: Project, tmp_path: Path) -> Project:
    """A copy of the ingested project, to change at will."""
    return planned.copy(tmp_path / "ingested")
