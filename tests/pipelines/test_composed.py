"""The project that docs/compose.md builds around these pipelines runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cyto_kedro.pipelines import segmentation
from tiny_project import ROOT, Project

PAGE = (ROOT / "docs" / "compose.md").read_text(encoding="utf-8")


def snippet(title: str) -> str:
    """The code of the page under `title`, without its indent."""
    found = re.search(rf'^( *)```\w+ title="{title}"\n(.*?)^ *```', PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None, f"compose.md shows no {title}"
    return re.sub(rf"^{found[1]}", "", found[2], flags=re.MULTILINE)


@pytest.mark.slow
def test_a_project_that_composes_the_pipelines_runs(tiny_raw: Path, tmp_path: Path) -> None:
    project = Project.make(tmp_path / "lab", tiny_raw)
    package = project.path / "src" / "my_lab"
    package.mkdir()
    for name in ("settings.py", "pipeline_registry.py"):
        (package / name).write_text(snippet(f"src/my_lab/{name}"), encoding="utf-8")
    (package / "__init__.py").write_text("", encoding="utf-8")
    entry = snippet("conf/base/catalog_my_lab.yml")
    (project.path / "conf/base/catalog_my_lab.yml").write_text(entry, encoding="utf-8")
    (project.path / "pyproject.toml").write_text(
        '[tool.kedro]\npackage_name = "my_lab"\nproject_name = "my lab"\n'
        'kedro_init_version = "1.7.0"\n',
        encoding="utf-8",
    )
    source = os.pathsep.join([str(project.path / "src"), str(ROOT / "src")])

    def kedro_run(*options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "kedro", "run", *options],
            cwd=project.path,
            env={**os.environ, "PYTHONPATH": source},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    kedro_run()
    counts = json.loads((project.path / "data/08_reporting/cell_counts.json").read_text("utf-8"))
    assert set(counts) == {
        f"{fov}/{population}/{block}"
        for fov in ("control_1", "treated_1")
        for population in ("TCell", "CancerCell")
        for block in ("t0000-0006", "t0007-0008")
    }
    assert min(counts.values()) > 0
    nodes = {each["node"] for each in project.manifest()["partitions"]}
    assert nodes >= {"films.segment", "count_cells"}
    # workers of their own know the project too
    local = ("--runner", "cyto_kedro.runner.PartitionRunner", "--runner-params", "resources=local")
    kedro_run("--namespaces", "films.segmentation", *local)
    nodes = {each["node"] for each in project.manifest()["partitions"]}
    assert nodes == {f"films.{each.name}" for each in segmentation.create_pipeline().nodes}
