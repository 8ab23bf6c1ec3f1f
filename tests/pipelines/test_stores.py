"""Films and results in an object store: the same tables, resumed by partition, no secrets kept."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

from counted_store import BUCKET, SECRET, CountedStore, counted_store
from cyto_kedro.datasets.urls import READ_AHEAD, find_place
from cyto_kedro.errors import ConfigError
from cyto_kedro.runner import PartitionRunner
from tiny_project import FOVS, Project, simulate_raw

log = logging.getLogger(__name__)
STAGES = ("ingestion", "preprocessing", "segmentation")


@pytest.fixture(scope="module")
def store() -> Iterator[CountedStore]:
    """A store that speaks S3, on this machine."""
    with counted_store() as store:
        yield store


needs_s3 = pytest.mark.companion("s3fs", "moto.server")


@pytest.fixture(params=["memory", pytest.param("s3", marks=needs_s3)])
def root(request: pytest.FixtureRequest, tiny_raw: Path) -> str:
    """A place with the films of the tiny project under ``raw``."""
    if request.param == "memory":
        return uploaded(f"memory://lab/{uuid4().hex}", tiny_raw)
    request.getfixturevalue("store")
    return uploaded(f"{BUCKET}/{uuid4().hex}", tiny_raw)


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
def test_workers_share_a_store(store: CountedStore, tiny_raw: Path, tmp_path: Path) -> None:
    """What a worker wrote is there for the driver that looked before, and for the next worker."""
    root = uploaded(f"{BUCKET}/{uuid4().hex}", tiny_raw)
    project = over(root, tmp_path / "project")
    project.run("ingestion", runner=PartitionRunner(resources="local"), only_missing=True)
    assert sorted(project.catalog.load("quality")) == sorted(FOVS)
    project.run("ingestion", runner=PartitionRunner(resources="local"), only_missing=True)
    assert "quality" not in {each["dataset"] for each in project.manifest()["partitions"]}


PLATE = {"A1_f1": "control", "B1_f1": "treated"}
N_FRAMES, SIDE = 4, 256


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two wells, whose frames are larger than what is read ahead."""
    folder = tmp_path_factory.mktemp("plate")
    return simulate_raw(folder, PLATE, n_frames=N_FRAMES, size_px=SIDE)


@pytest.mark.slow
@needs_s3
def test_a_plate_in_a_store_equals_one_on_a_disk(
    store: CountedStore, plate: Path, tmp_path: Path
) -> None:
    """Films and results in one bucket: workers killed half way, gone on with, and nothing left to do."""
    local = Project.make(tmp_path / "local", plate)
    local.run(runner=PartitionRunner())
    root = uploaded(f"{BUCKET}/{uuid4().hex}", plate)
    fs, data = find_place(f"{root}/data")
    project = over(root, tmp_path / "project")
    store.requests.clear()

    words = [sys.executable, "-m", "kedro", "run", "--runner-params", "resources=local"]
    killed = subprocess.Popen(words, cwd=project.path, stdout=subprocess.DEVNULL)
    try:
        while len(store.of("PUT", "/labels/")) < 4:
            assert killed.poll() is None
            time.sleep(0.05)
    finally:
        killed.kill()
        killed.wait()
    quiet = -1
    while len(store.requests) > quiet:  # its workers have seen that it is gone
        quiet = len(store.requests)
        time.sleep(2)
    first, told = store.results(), store.told()
    assert not [key for key in first if "/08_reporting/" in key]
    project.run(runner=PartitionRunner(), only_missing=True)
    log.info("killed: %s; both: %s, %d results", told, store.told(), len(bytes_of(fs, data)))
    second = store.results()[len(first) :]
    for keys in (first, second):
        assert len(set(keys)) == len(keys)  # a partition is one PUT
    at_work = {each for each in {*first} & {*second} if each.rsplit("/", 1)[1] not in ANEW}
    assert len(at_work) <= 4  # what was put in the moment of the kill, and has no entry

    stored = bytes_of(fs, data)
    on_disk = bytes_of(*find_place(local.path / "data"))
    with_addresses = {"02_intermediate/manifest.json", "08_reporting/report.html"}
    assert stored.keys() == on_disk.keys() >= with_addresses
    assert {key for key in stored if stored[key] != on_disk[key]} == with_addresses

    films = [each for each in store.of("GET", "/raw/") if each.key.endswith(".tif")]
    frame = 2 * SIDE**2
    assert films and all(each.ranged and each.got <= frame + 2 * READ_AHEAD for each in films)
    assert len(store.requests) < 60 * len(stored)

    store.requests.clear()
    project.run(runner=PartitionRunner(), only_missing=True)
    log.info("nothing to do: %s", store.told())
    assert {key.rsplit("/", 1)[1] for key in store.results()} <= {*ANEW}


# what ingestion looks at in each run
ANEW = ("manifest.json", "fields.parquet", "frames.parquet")


def bytes_of(fs: Any, folder: str) -> dict[str, bytes]:
    """The results under a folder, ledgers and leases left out."""
    found = {path.removeprefix(f"{folder}/"): path for path in fs.find(folder)}
    return {key: fs.cat_file(path) for key, path in found.items() if "/." not in f"/{key}"}
