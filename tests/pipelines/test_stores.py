"""Films and results in an object store: the same tables, resumed by partition, no secrets kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import numpy as np
import pandas as pd
import pytest

from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import ConfigError
from cyto_kedro.runner import PartitionRunner
from tiny_project import FOVS, Project

STAGES = ("ingestion", "preprocessing", "segmentation")
SECRET = "not-to-be-told"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """A store that speaks S3, on this machine, found by the usual variables."""
    from moto import server

    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("lab")
        yield "s3://lab"
    running.stop()


needs_s3 = pytest.mark.companion("s3fs", "moto.server")


@pytest.fixture(params=["memory", pytest.param("s3", marks=needs_s3)])
def root(request: pytest.FixtureRequest, tiny_raw: Path) -> str:
    """A place with the films of the tiny project under ``raw``."""
    base = "memory://lab" if request.param == "memory" else request.getfixturevalue("moto")
    return uploaded(f"{base}/{uuid4().hex}", tiny_raw)


def uploaded(url: str, raw: Path) -> str:
    """`url`, with the files of `raw` under it."""
    fs, path = find_place(url)
    for file in sorted(each for each in raw.rglob("*") if each.is_file()):
        fs.pipe_file(f"{path}/raw/{file.relative_to(raw)}", file.read_bytes())
    return url


def over(root: str, path: Path) -> Project:
    project = Project.make(path, Path("elsewhere"))
    return project.write(
        "globals", {"raw": f"{root}/raw", "data": f"{root}/data", "simulated": f"{root}/raw"}
    )


@pytest.fixture(scope="module")
def local(tiny_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same films analysed on a disk."""
    project = Project.make(tmp_path_factory.mktemp("local") / "project", tiny_raw)
    project.run(*STAGES)
    return project


@pytest.mark.slow
def test_a_store_holds_films_and_results(root: str, tmp_path: Path, local: Project) -> None:
    project = over(root, tmp_path / "project")
    made = project.resume(*STAGES)
    gone = "treated_1/TCell/t0000-0006"
    assert ("labels", gone) in made
    stored, on_disk = (each.catalog.load("labels") for each in (project, local))
    assert sorted(stored) == sorted(on_disk)
    for identity in on_disk:
        np.testing.assert_array_equal(stored[identity](), on_disk[identity]())
    pd.testing.assert_frame_equal(project.table("quality"), local.table("quality"))

    looked_at_anew = {"manifest", "fields", "frames"}
    assert {each for each, _ in project.resume(*STAGES)} == looked_at_anew
    fs, path = find_place(f"{root}/data/03_primary/labels/{gone}.tif")
    fs.rm_file(path)
    again = [each for each in project.resume(*STAGES) if each[0] not in looked_at_anew]
    block = {("labels", f"treated_1/{each}/t0000-0006") for each in ("TCell", "CancerCell")}
    assert set(again) == block  # a node makes both populations of a block

    left = [each for each in project.path.rglob("*") if each.is_file()]
    assert not (project.path / "data").exists()
    assert not [each for each in left if SECRET.encode() in each.read_bytes()]
    kept = fs.find(find_place(f"{root}/data")[1])
    assert not [each for each in kept if SECRET.encode() in fs.cat_file(each)]


def test_memory_does_not_reach_workers(tmp_path: Path, tiny_raw: Path) -> None:
    project = over("memory://nowhere", tmp_path / "project")
    with pytest.raises(ConfigError, match="lives only in memory"):
        project.run("ingestion", "preprocessing", runner=PartitionRunner(resources="local"))


@pytest.mark.slow
@needs_s3
def test_workers_share_a_store(moto: str, tiny_raw: Path, tmp_path: Path) -> None:
    """What a worker wrote is there for the driver that looked before, and for the next worker."""
    root = uploaded(f"{moto}/{uuid4().hex}", tiny_raw)
    project = over(root, tmp_path / "project")
    project.run("ingestion", runner=PartitionRunner(resources="local"), only_missing=True)
    assert sorted(project.catalog.load("quality")) == sorted(FOVS)
    project.run("ingestion", runner=PartitionRunner(resources="local"), only_missing=True)
    assert "quality" not in {each["dataset"] for each in project.manifest()["partitions"]}
