"""A tiny project to run for real: a copy of the configuration, and two simulated fields.

Not a test. `Project` drives Kedro in this process; `tiny_raw` and `finished` are made once a
session, tests copy them (`Project.copy`) before they change anything.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from cyto_kedro.pipeline_registry import ANALYSIS

ROOT = Path(__file__).resolve().parents[1]
FOVS = ("control_1", "treated_1")
POPULATIONS = ("TCell", "CancerCell")
N_FRAMES = 9
BLOCKS = ("t0000-0006", "t0007-0008")
LABEL_BLOCKS = {f"{fov}/{name}/{block}" for fov in FOVS for name in POPULATIONS for block in BLOCKS}


# pipelines that run by name only; and all but reporting: drawing takes most of the time
FURTHER = tuple(
    sorted(
        {each.parent.name for each in (ROOT / "src/cyto_kedro/pipelines").glob("*/__init__.py")}
        - {*ANALYSIS, "simulation", "training", "cell_classes"}
    )
)
STAGES = (*ANALYSIS[:-1], *FURTHER)


def tables() -> dict[str, str]:
    """The schema of every table that an analysis makes by partition, off the catalog."""
    files = sorted((ROOT / "conf" / "base").glob("catalog*.yml"))
    entries = {k: v for f in files for k, v in yaml.safe_load(f.read_text("utf-8")).items()}
    return {
        name: entry["validator"]["options"]["table"]
        for name, entry in entries.items()
        if name.isidentifier() and {"path", "validator"} <= {*entry} and "optional" not in entry
    }


TABLES = tables()


def bootstrap(path: Path) -> None:
    """Kedro's own, but whoever listens to this package's log goes on hearing it."""
    logger = logging.getLogger("cyto_kedro")
    listening = list(logger.handlers)
    bootstrap_project(path)
    for each in listening:
        logger.addHandler(each)


@dataclass(frozen=True)
class Project:
    """A Kedro project in a folder of its own, run in this process."""

    path: Path

    @classmethod
    def make(cls, path: Path, raw: Path, block_length: int = 7) -> Project:
        """Copy the configuration; `raw` is read where it is, results go under `path`."""
        shutil.copytree(ROOT / "conf", path / "conf", ignore=shutil.ignore_patterns("local"))
        shutil.copy(ROOT / "pyproject.toml", path)
        shutil.copy(ROOT / ".telemetry", path)
        (path / "conf" / "local").mkdir()
        (path / "src").mkdir()  # the package itself is installed
        project = cls(path)
        project.write("globals", {"raw": str(raw), "data": "data", "simulated": str(raw)})
        return project.assay(block_length=block_length)

    def copy(self, path: Path) -> Project:
        """The same project, results and ledger too."""
        shutil.copytree(self.path, path)
        return Project(path)

    def read(self, name: str) -> Any:
        """A YAML file of conf/base."""
        return yaml.safe_load(self._conf(name).read_text(encoding="utf-8"))

    def write(self, name: str, content: Any) -> Project:
        """Replace a YAML file of conf/base."""
        self._conf(name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return self

    def _conf(self, name: str) -> Path:
        return self.path / "conf" / "base" / f"{name}.yml"

    def assay(self, **changes: Any) -> Project:
        """Change keys of the assay's block of parameters."""
        content = self.read("parameters")
        content["assay"] |= changes
        return self.write("parameters", content)

    def block(self, name: str, **changes: Any) -> Project:
        """Change keys of the block `name` in parameters_<name>.yml."""
        content = self.read(f"parameters_{name}")
        content[name] |= changes
        return self.write(f"parameters_{name}", content)

    def run(
        self,
        *pipelines: str,
        runner: Any = None,
        only_missing: bool = False,
        params: dict[str, Any] | None = None,
        nodes: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """`kedro run` in this process."""
        bootstrap(self.path)
        session: Any = KedroSession.create(self.path, runtime_params=params or {})
        result: dict[str, Any] = session.run(
            pipeline_names=list(pipelines) or None,
            runner=runner,
            only_missing_outputs=only_missing,
            node_names=nodes,
        )
        return result

    def resume(self, *pipelines: str) -> list[tuple[str, str]]:
        """Run what is not current; (dataset, partition) of everything that was saved."""
        from cyto_kedro.runner import PartitionRunner

        self.run(*pipelines, runner=PartitionRunner(), only_missing=True)
        saved = self.manifest()["partitions"]
        return [(each["dataset"], each["partition"] or "") for each in saved]

    @property
    def catalog(self) -> Any:
        """The project's catalog."""
        bootstrap(self.path)
        session: Any = KedroSession.create(self.path)
        return session.load_context().catalog

    def manifest(self) -> dict[str, Any]:
        """The manifest of the newest run."""
        newest = max((self.path / "runs").glob("*/manifest.json"))
        found: dict[str, Any] = json.loads(newest.read_text(encoding="utf-8"))
        return found

    def table(self, name: str) -> pd.DataFrame:
        """All planned partitions of a table, in order of its key."""
        return whole_table(self.catalog, name)

    def files(self) -> dict[str, tuple[int, int]]:
        """Every file of the results (not of the ledger): its size and time of change."""
        every = sorted(each for each in (self.path / "data").rglob("*") if each.is_file())
        found = [each for each in every if ".ledger" not in each.parts]
        return {
            str(each.relative_to(self.path)): (each.stat().st_size, each.stat().st_mtime_ns)
            for each in found
        }

    def results(self, *folders: str) -> dict[str, bytes]:
        """The bytes of every result (not of the ledger) in folders of data/."""
        files = [each for name in folders for each in (self.path / "data" / name).rglob("*")]
        return {
            str(each.relative_to(self.path)): each.read_bytes()
            for each in files
            if each.is_file() and ".ledger" not in each.parts
        }


def whole_table(catalog: Any, name: str) -> pd.DataFrame:
    """All planned partitions of a table, sorted by every key column."""
    from cyto_kedro import schemas

    parts, manifest = catalog.load(name), catalog.load("manifest")
    whole = pd.concat([parts[each]() for each in manifest.ids(parts.grain)], ignore_index=True)
    return whole.sort_values(schemas.TABLES[TABLES[name]].key(), ignore_index=True)


def simulate_raw(path: Path, conditions: Mapping[str, str] | None = None, **changes: Any) -> Path:
    """Two small fields of a killing assay, with sample sheet, as a microscope would leave them.

    `conditions`: ``control`` or ``treated`` by field, of a larger plate; `changes`: of the assay.
    """
    project = Project.make(path / "maker", path / "raw")
    args = {"seed": 3, "n_frames": N_FRAMES, "size_px": 96, "n_effectors": 5, "n_targets": 5}
    args |= changes
    conditions = conditions or {fov: fov.split("_")[0] for fov in FOVS}
    quick = {"rule": "single_hit", "hit_rate_per_min": 1.0, "delay_min": 2.0}
    slow = {"rule": "spontaneous_only"}
    project.write(
        "parameters_simulation",
        {
            "simulation": {
                "fovs": {
                    fov: {
                        "condition": condition,
                        "control": condition == "control",
                        "assay": {
                            "name": "SimulatedAssay",
                            "args": {**args, "killing": slow if condition == "control" else quick},
                        },
                    }
                    for fov, condition in conditions.items()
                }
            }
        },
    )
    project.run("simulation")
    return path / "raw"


@cache
def raw_of_session(base: Path) -> Path:
    """`simulate_raw`, once a test session."""
    return simulate_raw(base)


@cache
def finished_of_session(base: Path) -> Project:
    """A project in which all analyses have run once; tests read it, or work on a copy."""
    project = Project.make(base / "finished", raw_of_session(base))
    project.run("__default__", *FURTHER)
    return project


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder a test session, whichever tests ask for it."""
    path = tmp_path_factory.getbasetemp() / "tiny_project"
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture(scope="session")
def tiny_raw(session_folder: Path) -> Path:
    """Raw films of two small fields and their sample sheet; do not change them."""
    return raw_of_session(session_folder)


@pytest.fixture(scope="session")
def finished(session_folder: Path) -> Project:
    """A project in which all analyses, `extended` too, have run once; do not change it."""
    return finished_of_session(session_folder)


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, to change at will."""
    return finished.copy(tmp_path / "project")


@pytest.fixture
def fresh(tiny_raw: Path, tmp_path: Path) -> Project:
    """A project that has not run yet, over raw films that the test may change."""
    shutil.copytree(tiny_raw, tmp_path / "raw")
    return Project.make(tmp_path / "fresh", tmp_path / "raw")
