"""Every algorithm's docstring has an example, and the example does what it shows."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import cyto_kedro.algorithms
import cyto_kedro.core
from cyto_kedro.registry import STAGES, algorithms

MODULES = sorted(
    info.name
    for package in (cyto_kedro.algorithms, cyto_kedro.core)
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
)


@pytest.mark.parametrize("stage", STAGES)
def test_every_algorithm_shows_an_example(stage: str) -> None:
    found = algorithms(stage)
    assert found and not {name for name, cls in found.items() if ">>>" not in (cls.__doc__ or "")}


@pytest.mark.parametrize("name", MODULES)
def test_examples_do_what_they_show(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0, "python -m pytest --doctest-modules shows what differs"
