"""A notebook and a wheel are as quiet as a run in the project; who sets up logging is heeded."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cyto_kedro.console import quiet_loading


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> logging.Logger:
    """What tells of datasets loaded, as Kedro sets it up; an empty folder."""
    logger = logging.getLogger("kedro.io")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    monkeypatch.delenv("KEDRO_LOGGING_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return logger


def test_where_kedro_finds_no_configuration(loads: logging.Logger) -> None:
    quiet_loading()
    assert loads.level == logging.WARNING


def test_a_configuration_holds(loads: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("conf").mkdir()
    Path("conf/logging.yml").touch()
    quiet_loading()
    assert loads.level == logging.NOTSET
    monkeypatch.setenv("KEDRO_LOGGING_CONFIG", "mine.yml")
    Path("conf/logging.yml").unlink()
    quiet_loading()
    assert loads.level == logging.NOTSET
