"""The wheel, its archive of configuration and the image recipes are enough to run the sample."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import pytest
import yaml
from kedro.framework.project import PACKAGE_NAME, configure_project

import cyto_kedro.__main__ as packaged

ROOT = Path(__file__).resolve().parents[1]
RECIPES = (ROOT / "containers" / "Dockerfile", ROOT / "containers" / "cyto.def")


def run(*words: str | Path, cwd: Path, timeout: int = 500) -> str:
    """What a command prints; the environment names no source folder."""
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(each) for each in words],
        cwd=cwd,
        env=bare,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that ``kedro package`` builds, built with the tools that are here."""
    pytest.importorskip("build", reason="needs `build` to make a wheel")
    folder = tmp_path_factory.mktemp("dist")
    options = ("--wheel", "--no-isolation", "--outdir", folder)
    run(sys.executable, "-m", "build", *options, cwd=ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a fresh environment with the wheel, and the packages of this one behind it."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    # a path in a .pth file is added behind the environment's own, without the .pth files in it
    Path(site.strip(), "behind.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    options = ("install", "--quiet", "--no-deps", "--no-index", "--target", site.strip())
    run(sys.executable, "-m", "pip", *options, wheel, cwd=folder)
    return python


@pytest.mark.slow
def test_wheel_and_archive_run_the_sample_in_an_empty_folder(python: Path, tmp_path: Path) -> None:
    archive, folder = tmp_path / "conf-cyto_kedro.tar.gz", tmp_path / "empty"
    with tarfile.open(archive, "w:gz") as file:  # as `kedro package` packs it
        file.add(
            ROOT / "conf", "conf", filter=lambda each: None if "/local/" in each.name else each
        )
    folder.mkdir()
    where = run(python, "-c", "import cyto_kedro; print(cyto_kedro.__file__)", cwd=folder)
    assert not where.startswith(str(ROOT))
    said = run(python, "-m", "cyto_kedro", "--conf-source", archive, cwd=folder)
    assert "the sample is simulated there first" in said and "usage data" not in said
    assert "Loading data" not in said  # a line for each partition
    assert (folder / "data" / "08_reporting" / "report.html").stat().st_size > 10_000
    assert {each.name for each in folder.iterdir()} - {".viz"} == {"data", "runs"}
    # films that are there are left alone, and workers of their own find the package too
    again = (python, "-m", "cyto_kedro", "--conf-source", ROOT / "conf", "--pipelines", "ingestion")
    options = (
        "--runner",
        "cyto_kedro.runner.PartitionRunner",
        "--runner-params",
        "resources=local",
    )
    assert "simulated" not in run(*again, *options, cwd=folder)


def test_telemetry_is_off_where_no_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kedro_telemetry import plugin

    from cyto_kedro import settings

    for name in ("KEDRO_DISABLE_TELEMETRY", "DO_NOT_TRACK", "GITHUB_REPOSITORY_OWNER"):
        monkeypatch.setenv(name, "")  # put back afterwards
        monkeypatch.delenv(name)
    assert plugin._check_for_telemetry_consent(tmp_path) is None  # it would be sent
    importlib.reload(settings)
    assert plugin._check_for_telemetry_consent(tmp_path) is False


def test_sample_is_made_only_where_the_configuration_means_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[list[str]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        packaged.KedroSession, "run", lambda self, pipeline_names: runs.append(pipeline_names)
    )
    before = PACKAGE_NAME
    configure_project("cyto_kedro")
    options = {"env": None, "conf_source": str(ROOT / "conf"), "params": None}
    packaged.make_sample(options | {"params": {"raw": str(tmp_path / "films")}})
    assert runs == []
    packaged.make_sample(options)
    assert runs == [["simulation"]]
    (tmp_path / "data" / "01_raw" / "sample").mkdir(parents=True)
    packaged.make_sample(options)
    assert len(runs) == 1
    configure_project(before or "cyto_kedro")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_recipes_install_what_the_tests_install(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    installs = re.findall(r"python -m pip install --no-cache-dir (.*)", text)
    assert installs == ["--require-hashes -r /opt/cyto/core.lock", "--no-deps /opt/cyto/*.whl"]
    assert "requirements/core.lock /opt/cyto/core.lock" in text
    assert (ROOT / "requirements" / "core.lock").is_file()
    assert re.search(r'python", "-m", "cyto_kedro"|exec python -m cyto_kedro "\$@"', text)


def test_citation_names_this_version() -> None:
    from cyto_kedro import __version__

    held = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert held["version"] == __version__
    assert {"cff-version", "message", "title", "authors"} <= held.keys()
