"""Real SLURM clusters, one of each kind a session; tests that need one skip where none can be."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, missing, running
from harness import Assay, Bench, Driver, make_plugin, simulate


@pytest.fixture(scope="session")
def cluster_folder() -> Iterator[Path]:
    """A folder with a short name: the names of sockets may have 108 characters at most."""
    folder = Path(tempfile.mkdtemp(prefix="cyto-slurm-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def session_cluster(cluster_folder: Path) -> Iterator[Cluster]:
    """A cluster with accounting."""
    if reason := missing(accounting=True):
        pytest.skip(f"no SLURM cluster with accounting here: {reason}")
    with running(cluster_folder / "a", accounting=True, cpus=1) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def session_bare_cluster(cluster_folder: Path) -> Iterator[Cluster]:
    """A cluster without accounting, with arrays of three tasks at most."""
    if reason := missing():
        pytest.skip(f"no SLURM cluster here: {reason}")
    with running(cluster_folder / "b", accounting=False, cpus=1, max_array_size=3) as cluster:
        yield cluster


@pytest.fixture
def cluster(session_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster with accounting, idle, found by the client commands of this process."""
    monkeypatch.setenv("SLURM_CONF", str(session_cluster.conf))
    yield session_cluster
    Driver.end_all()
    session_cluster.reset()


@pytest.fixture
def cluster_without_accounting(
    session_bare_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    """The cluster without accounting, idle, found by the client commands of this process."""
    monkeypatch.setenv("SLURM_CONF", str(session_bare_cluster.conf))
    yield session_bare_cluster
    Driver.end_all()
    session_bare_cluster.reset()


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """What all tests start from; they work on copies."""
    if reason := missing():
        pytest.skip(f"no SLURM cluster here: {reason}")
    folder = tmp_path_factory.mktemp("assay")
    raw = simulate(folder)
    plain = Assay.make(folder / "plain", raw, make_plugin(folder / "plugin"), block_length=8)
    plain.kedro("--pipelines", "ingestion,preprocessing,segmentation").ok()
    engine_labels, labels = plain.labels("engine_labels"), plain.labels()
    assert len(engine_labels) == len(labels) == 8 == len(plain.calls())
    assert all(each.any() for each in engine_labels.values())
    prepared = plain.copy(folder / "prepared")
    shutil.rmtree(prepared.path / "data" / "03_primary")
    return Bench(prepared, engine_labels, labels, raw, folder)


@pytest.fixture(scope="session")
def many(bench: Bench) -> Assay:
    """The same films cut into 64 groups, up to segmentation."""
    made = Assay.make(bench.folder / "many", bench.raw, bench.prepared.plugin, block_length=1)
    made.kedro("--pipelines", "ingestion,preprocessing").ok()
    return made


@pytest.fixture
def assay(bench: Bench, cluster: Cluster, tmp_path: Path) -> Assay:
    """A project up to segmentation, on the cluster with accounting."""
    return bench.prepared.copy(tmp_path / "a b", str(cluster.conf))
