"""Public names of the stage packages, without importing what is not asked for."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from cyto_kedro import registry
from cyto_kedro.algorithms import segmentation
from cyto_kedro.algorithms.listing import STAGES
from cyto_kedro.core.exports import public_class, public_classes


@pytest.mark.parametrize("stage", STAGES)
def test_every_algorithm_is_a_public_name(stage: str) -> None:
    package = f"cyto_kedro.algorithms.{stage}"
    for name, cls in registry.algorithms(stage).items():
        assert public_class(package, name) is cls
    assert set(registry.algorithms(stage)) <= set(public_classes(package))
    assert "Otsu" in dir(segmentation)
    with pytest.raises(AttributeError, match="Otsu"):
        segmentation.Ostu  # noqa: B018


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from cyto_kedro.algorithms.segmentation import Otsu, CellPose; "
        "import cyto_kedro; assert 'Otsu' in cyto_kedro.algorithms('segmentation'); "
        "print([m for m in ('skimage', 'torch', 'cellpose', 'tensorflow') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("stage", STAGES)
def test_public_names_are_those_that_the_parser_finds(stage: str) -> None:
    package = f"cyto_kedro.algorithms.{stage}"
    folder = Path(importlib.import_module(package).__path__[0])
    parsed = {
        node.name: f"{package}.{file.stem}"
        for file in folder.glob("*.py")
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }
    assert public_classes(package) == parsed
