"""Adding an algorithm touches one file."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tiny_project import ROOT, Project

CLASS = '''
"""An engine written by a stranger."""

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.labels import Labelled
from cyto_kedro.core.contract import Image


class {name}(Algorithm):
    """One square cell in the corner of every frame."""

    side_px: int = Field(3, gt=0)

    def run(self, image: Image) -> Labelled:
        label = np.zeros(image.shape, np.uint32)
        label[:, : self.side_px, : self.side_px] = 1
        return {{"label": label}}
'''


def kedro(project: Project, *words: str, path: Path) -> subprocess.CompletedProcess[str]:
    """``kedro`` in a process of its own, with `path` before all other packages."""
    return subprocess.run(
        [sys.executable, "-m", "kedro", *words],
        cwd=project.path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "PYTHONPATH": str(path)},
    )


def check(project: Project, side: int) -> None:
    labels = project.path / "data" / "03_primary" / "engine_labels"
    label = tifffile.imread(labels / "treated_1" / "TCell" / "t0007-0008.tif")
    expected = np.zeros((2, 96, 96))
    expected[:, :side, :side] = 1
    np.testing.assert_array_equal(label, expected)


@pytest.mark.slow
def test_a_class_in_a_module_and_its_name_in_yaml_are_enough(project: Project) -> None:
    source = ROOT / "src" / "cyto_kedro"
    shutil.copytree(
        source, project.path / "src" / "cyto_kedro", ignore=shutil.ignore_patterns("__pycache__")
    )
    module = project.path / "src" / "cyto_kedro" / "algorithms" / "segmentation" / "corner.py"
    module.write_text(CLASS.format(name="Corner"), encoding="utf-8")
    project.block("segmentation", TCell={"name": "Corner", "args": {"side_px": 5}})
    done = kedro(project, "run", "--pipelines", "segmentation", path=project.path / "src")
    assert done.returncode == 0, done.stdout + done.stderr
    check(project, 5)
    project.block("segmentation", TCell={"name": "Corner", "args": {"side_px": 0}})
    done = kedro(project, "run", "--pipelines", "segmentation", path=project.path / "src")
    assert done.returncode != 0
    assert "Corner.side_px" in "".join((done.stdout + done.stderr).split())


@pytest.mark.slow
def test_another_packages_engine_is_found_by_its_entry_point(
    project: Project, tmp_path: Path
) -> None:
    if importlib.util.find_spec("pip") is None:
        pytest.skip("pip is needed to install a package")
    wheel, info = tmp_path / "acme_cells-1.0-py3-none-any.whl", "acme_cells-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("acme_cells.py", CLASS.format(name="Acme"))
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: acme-cells\nVersion: 1.0\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(
            f"{info}/entry_points.txt", "[cyto_kedro.segmentation]\nAcme = acme_cells:Acme\n"
        )
        file.writestr(f"{info}/RECORD", "")
    target = tmp_path / "site"
    options = ("--no-deps", "--no-index", "--quiet", "--target", str(target))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, str(wheel)],
        check=True,
        timeout=200,
        capture_output=True,
    )
    project.block("segmentation", TCell={"name": "Acme", "args": {"side_px": 4}})
    done = kedro(project, "run", "--pipelines", "segmentation", path=target)
    assert done.returncode == 0, done.stdout + done.stderr
    check(project, 4)
