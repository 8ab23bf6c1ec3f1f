"""The whole analysis of the sample on a cluster, with the resources that the project ships for it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def digests(project: Path) -> dict[str, str]:
    """Hash of every result by its path; what the report says of the run itself is left out."""
    found = {}
    for path in sorted((project / "data").rglob("*")):
        if not path.is_file() or ".ledger" in path.parts:
            continue
        content = path.read_bytes().replace(str(project).encode(), b"")
        if path.name == "report.html":
            content = re.sub(rb'(?s)<section id="origin">.*?</section>', b"", content)
            content = re.sub(rb"Run [0-9TZ.:-]+", b"", content)
        found[str(path.relative_to(project))] = hashlib.sha256(content).hexdigest()
    return found


def test_the_sample_is_that_of_the_sequential_runner(
    finished_sample: Path, cluster: Cluster, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(
        finished_sample,
        project,
        ignore=lambda folder, names: [
            name
            for name in names
            if (Path(folder).name == "data" and name != "01_raw") or name in ("runs", "__pycache__")
        ],
    )
    assert sorted(each.name for each in (project / "data").iterdir()) == ["01_raw"]
    words = ["--runner", "cyto_kedro.runner.SlurmRunner", "--runner-params", "resources=slurm_test"]
    done = subprocess.run(
        [sys.executable, "-m", "kedro", "run", *words],
        cwd=project,
        env={**os.environ, "SLURM_CONF": str(cluster.conf)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    ours, plain = digests(project), digests(finished_sample)
    assert set(ours) == set(plain)
    assert [name for name in plain if ours[name] != plain[name]] == []
    assert len(plain) > 100

    (manifest,) = (project / "runs").glob("*/manifest.json")
    run = json.loads(manifest.read_text(encoding="utf-8"))
    assert run["state"] == "done" and {each["node"] for each in run["tasks"]} > {"segment", "track"}
    assert not any(task["failed"] for task in run["tasks"])
