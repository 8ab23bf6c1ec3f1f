"""Every algorithm's docstring has an example, and the example does what it shows."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import cyto_kedro.algorithms
import cyto_kedro.core
from cyto_kedro.registry import STAGES, algorithms

# without an example so far; this list only ever gets shorter
WITHOUT = {
    "contacts": {
        *("KillLikelihood", "VelocityAutocorrelation", "Bouts", "ChangePointDeaths", "Conjugation"),
        *("ContactJoin", "CellDeathIndex", "HysteresisDeaths", "DensityMaps", "CommonDrift"),
        *("DwellSurvival", "Encounters", "KillShares", "Kinematics", "LogisticViability"),
        *("MeanSquaredDisplacement", "Neighbours", "CentroidDistance", "NearestNeighbours"),
        *("DeathIndex", "ShapeChange", "TrackSmoothing", "CellTallies", "MarkerThreshold"),
    },
}
MODULES = sorted(
    info.name
    for package in (cyto_kedro.algorithms, cyto_kedro.core)
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
)


@pytest.mark.parametrize("stage", STAGES)
def test_every_algorithm_shows_an_example(stage: str) -> None:
    without = {name for name, cls in algorithms(stage).items() if ">>>" not in (cls.__doc__ or "")}
    assert without <= WITHOUT.get(stage, set())


@pytest.mark.parametrize("name", MODULES)
def test_examples_do_what_they_show(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0, "python -m pytest --doctest-modules shows what differs"
