"""Each local task that asks for a GPU has one alone; a machine's GPUs are those it tells of."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml

from cyto_kedro.errors import ConfigError
from cyto_kedro.runner import PartitionRunner
from cyto_kedro.runner.gpus import gpus_asked, gpus_here
from cyto_kedro.runner.local import LocalBackend
from cyto_kedro.runner.resources import Machine, Resources
from tiny_project import Project

if TYPE_CHECKING:
    from cyto_kedro.runner.backend import Submission


def told(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """An ``nvidia-smi`` that is this shell script, and nothing else on the PATH."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("said", "found"),
    [("0,1", ("0", "1")), ("GPU-8f, GPU-9a", ("GPU-8f", "GPU-9a")), ("2,-1,3", ("2",)), ("", ())],
)
def test_the_variable_says_which_there_are(
    monkeypatch: pytest.MonkeyPatch, said: str, found: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
    assert gpus_here() == found


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('[ "$1" = --query-gpu=uuid ] && echo GPU-1 && echo GPU-2', ("GPU-1", "GPU-2")),
        ("echo no devices were found; exit 6", ()),
    ],
)
def test_else_nvidia_smi_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: tuple[str, ...]
) -> None:
    told(tmp_path, monkeypatch, script)
    assert gpus_here() == found


@pytest.mark.parametrize("gres", ["gpu:", "gpu:a:b:1", "gpu:1,shard:2", "mps:1"])
def test_what_is_no_number_of_gpus_is_told_apart(gres: str) -> None:
    assert gpus_asked(gres) is None


@pytest.fixture(scope="module")
def prepared(tiny_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose films are ready to be segmented."""
    made = Project.make(tmp_path_factory.mktemp("prepared") / "project", tiny_raw)
    made.run("ingestion", "preprocessing")
    return made


@pytest.fixture
def project(prepared: Project, tmp_path: Path) -> Project:
    """A copy of it, to change at will."""
    return prepared.copy(tmp_path / "project")


def resources(project: Project, **asked: object) -> None:
    """Two cores; each worker writes which GPUs it may use, and each ends after a moment."""
    lines = [f'echo "$CUDA_VISIBLE_DEVICES" >> {project.path}/given']
    content = {
        "machine": {"cores": 2},
        "default": {"mem": "300M", "time": "5", "batch_size": 1},
        "nodes": {"segment": {"setup": lines, **asked}},
    }
    folder = project.path / "conf/resources"
    folder.mkdir(exist_ok=True)
    (folder / "local.yml").write_text(yaml.safe_dump(content))


def given(project: Project) -> list[str]:
    return sorted((project.path / "given").read_text().split("\n")[:-1])


@pytest.mark.parametrize(
    ("there", "gres", "expected"),
    [
        ("GPU-1,GPU-2,GPU-3", "gpu:1", ["GPU-1", "GPU-2"]),  # two cores: two workers
        ("GPU-1", "gpu", ["GPU-1"]),  # the tasks of one GPU follow each other
    ],
)
def test_no_two_workers_share_a_gpu(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    there: str,
    gres: str,
    expected: list[str],
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", there)
    resources(project, gres=gres, environment={"CUDA_VISIBLE_DEVICES": "7"})
    project.run("segmentation", runner=PartitionRunner(resources="local"))
    assert given(project) == expected


@pytest.mark.parametrize(
    ("gres", "said"),
    [
        ("gpu:3", "gres: gpu:3, and .* tell of 1 here: take"),
        ("shard:2", "segment asks for gres: shard:2, which only"),
    ],
)
def test_more_than_there_is_is_refused_by_the_node(
    monkeypatch: pytest.MonkeyPatch, gres: str, said: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    array: Any = SimpleNamespace(node="segment", resources=Resources(gres=gres))
    with pytest.raises(ConfigError, match=said):
        LocalBackend(Machine()).submit(cast("Submission", SimpleNamespace(array=array)))
