"""What a command imports: told by modules, not by a clock."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("dask", "matplotlib", "networkx", "skimage", "sklearn", "zarr", "laptrack", "lifelines")
SCIPY = ("scipy.ndimage", "scipy.optimize", "scipy.sparse", "scipy.spatial", "scipy.special")
PIPELINES = (
    "from kedro.framework.project import configure_project, pipelines; "
    "configure_project('cyto_kedro'); list(pipelines)"
)
CHECKED = (
    "from cyto_kedro.datasets import GraphDataset; from cyto_kedro.schemas import Cells, check, empty; "
    "check(Cells, empty(Cells))"
)


@pytest.mark.parametrize(
    ("code", "without"),
    [
        # Kedro imports these for every command, `kedro --help` too
        ("import cyto_kedro.hooks", (*HEAVY, *SCIPY, "pandera", "pandas", "cyto_kedro.algorithms")),
        ("import cyto_kedro.settings, cyto_kedro.cli", (*HEAVY, *SCIPY, "pandera")),
        (PIPELINES, (*HEAVY, *SCIPY)),  # every algorithm, and no library of theirs
        # what a run with nothing to make does
        (CHECKED, (*HEAVY, *SCIPY, "ibis")),
    ],
)
def test_what_is_not_used_is_not_imported(code: str, without: tuple[str, ...]) -> None:
    told = f"{code}\nimport sys; print('!', *(each for each in {without!r} if each in sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["!"]
