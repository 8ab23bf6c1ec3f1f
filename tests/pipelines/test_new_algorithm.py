"""Adding an algorithm touches one file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_project import ROOT, Project

CLASS = '''
"""An engine written by a stranger."""

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm, Data


class {name}(Algorithm):
    """One square cell in the corner of every frame."""

    side_px: int = Field(3, gt=0)

    def __call__(self, data: Data) -> Data:
        label = np.zeros(np.asarray(data["image"]).shape, np.uint32)
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
    label = project.catalog.load("engine_labels")["treated_1/TCell/t0007-0008"]()
    expected = np.zeros((2, 96, 96))
    expected[:, :side, :side] = 1
    np.testing.assert_array_equal(label, expected)


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


def test_another_packages_engine_is_found_by_its_entry_point(
    project: Project, tmp_path: Path
) -> None:
    package = tmp_path / "acme"
    (package / "acme_cells").mkdir(parents=True)
    (package / "acme_cells" / "__init__.py").write_text(CLASS.format(name="Acme"), encoding="utf-8")
    (package / "pyproject.toml").write_text(
        """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "acme-cells"
version = "1.0"
[project.entry-points."cyto_kedro.segmentation"]
Acme = "acme_cells:Acme"
""",
        encoding="utf-8",
    )
    pytest.importorskip("pip")
    pytest.importorskip("setuptools")
    target = tmp_path / "site"
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, str(target), str(package)],
        check=True,
        timeout=200,
        capture_output=True,
    )
    project.block("segmentation", TCell={"name": "Acme", "args": {"side_px": 4}})
    done = kedro(project, "run", "--pipelines", "segmentation", path=target)
    assert done.returncode == 0, done.stdout + done.stderr
    check(project, 4)
