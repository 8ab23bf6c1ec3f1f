"""What we use of Kedro's and laptrack's inside is where it was; read their changes if this fails."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.framework.context import KedroContext
from kedro.framework.session import KedroSession
from kedro.pipeline import node
from laptrack import LapTrack
from omegaconf import _utils

from cyto_kedro import kedro_private, settings  # noqa: F401 - settings let libyaml read

SOURCE = Path(kedro_private.__file__).parent
# private names of others that are used, and the one module of ours that may
ADAPTERS = {
    "kedro_private.py": r"kedro_datasets\._|session\._|context\._|node\._|_start_browser|\b_utils",
    "lap.py": r"\._predict_gap",
}


def test_the_versions_are_those_that_were_looked_at() -> None:
    """Then look at each name in `kedro_private` and in `lap.closed`, and raise the number here."""
    assert version("kedro").startswith("1.7."), version("kedro")
    assert version("kedro-viz").startswith("12.5."), version("kedro-viz")
    assert version("laptrack").startswith("0.17."), version("laptrack")


def test_private_names_stand_in_their_adapter_alone() -> None:
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for adapter, pattern in ADAPTERS.items():
            found = re.findall(pattern, text)
            assert not found or path.name == adapter, f"{path}: {found}"


def test_a_session_has_what_a_worker_sets() -> None:
    session = KedroSession(session_id="x", project_path=Path.cwd())
    session._store.update({"env": "y"})
    assert session.store["env"] == "y" and session._hook_manager is not None
    assert "save_version" in inspect.signature(KedroContext._get_catalog).parameters
    assert "_pipelines_to_validate" in inspect.getsource(KedroContext)


def test_a_node_with_another_function() -> None:
    before = node(lambda a: a, {"a": "x"}, ["y"], name="n", tags="t", namespace="s")
    after = kedro_private.with_func(before, lambda a: 2 * a)
    assert after.func(2) == 4 and before.func(2) == 2
    assert (after.name, after.inputs, after.outputs, after.tags) == (
        *(before.name, before.inputs, before.outputs),
        before.tags,
    )
    inputs, outputs = kedro_private.given_names(before)
    assert list(outputs) == ["y"] and dict(inputs) == {"a": "x"}


@pytest.mark.parametrize(
    "text",
    [
        *(path.read_text(encoding="utf-8") for path in sorted(Path("conf").rglob("*.yml"))),
        "a: [~, null, yes, 0x1f, 012, 1_000, .5, 1e3, 1:30, .inf, 2026-11-29, é, '\u00b5']",
        "a: &x {b: 1}\nc:\n  <<: *x\n  d: 2",
        "p: !!python/object/apply:pathlib.Path [a, b]",
        "a: >-\n  one\n  two\nb: |\n  x\n\nc: ${globals:raw}/x",
        *("", "# nothing", "a: 1\na: 2", "a: [1,\nb: 2", "\tx: 1", "a: b: c", "p: !!python/none x"),
    ],
)
def test_libyaml_reads_what_omegaconf_reads_and_refuses_the_same(text: str) -> None:
    def read(loader: Any) -> Any:
        try:
            return repr(yaml.load(text, loader))
        except yaml.MarkedYAMLError as error:
            assert error.problem_mark is not None

    made = _utils.get_yaml_loader()
    assert issubclass(made, yaml.cyaml.CParser)  # as the project's settings have it
    plain = made.__mro__[made.__mro__.index(yaml.cyaml.CParser) + 1]
    assert not issubclass(plain, yaml.cyaml.CParser)
    assert read(made) == read(plain)


READ = """
from kedro.config import OmegaConfigLoader
from cyto_kedro.kedro_private import read_quickly

def read(env, more):
    loader = OmegaConfigLoader("conf", env=env, base_env="base", runtime_params=more)
    return [loader[kind] for kind in ("parameters", "catalog", "globals")]

more = {"data": "x", "assay": {"block_length": 3}}
asked = [(env, given) for env in ("local", "adcc", "gowt1") for given in ({}, more)]
before = [read(*each) for each in asked]
read_quickly()
assert before == [read(*each) for each in asked] == [read(*each) for each in asked]
assert before[0] != before[1]
"""


def test_the_configuration_is_the_same_read_quickly() -> None:
    subprocess.run([sys.executable, "-c", READ], cwd=SOURCE.parents[1], check=True)


def test_laptracks_second_problem_takes_what_we_give() -> None:
    names = list(inspect.signature(LapTrack._predict_gap_split_merge).parameters)
    assert names[:2] == ["self", "coords"], names
    assert len(names) == 5, names


@pytest.mark.parametrize("name", ["HTMLPreview", "ImagePreview", "JSONPreview", "TablePreview"])
def test_previews_are_those_that_kedro_viz_knows(name: str) -> None:
    """kedro-viz goes by the name in the annotation."""
    assert getattr(kedro_private, name).__name__ == name


def test_the_browser_opens_at_the_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    from kedro_viz.launchers import utils
    from kedro_viz.launchers.cli import run

    opened: list[str] = []
    monkeypatch.setattr(utils, "_start_browser", utils._start_browser)  # put back afterwards
    monkeypatch.setattr("webbrowser.open_new", opened.append)
    kedro_private.open_at_boxes()
    utils._start_browser("127.0.0.1", 4242)
    utils._start_browser("elsewhere", 4242)
    assert opened == ["http://127.0.0.1:4242/?types=nodes"]
    asked = inspect.getsource(run.run.callback)  # looked up as it is called, with these two
    assert (
        re.search(r"import \([^)]*_start_browser", asked) and "_start_browser(host, port)" in asked
    )
