"""The schema for editors holds what the program holds: every tracked configuration, and no typo."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

import cyto_kedro.algorithms
from cyto_kedro.algorithms import available
from cyto_kedro.cli import cyto
from cyto_kedro.errors import ConfigError
from cyto_kedro.parameters.schema import json_schema
from cyto_kedro.registry import STAGES, algorithms

CONF = Path(__file__).resolve().parents[1] / "conf"
FILES = sorted(CONF.glob("*/parameters*.yml"))


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_tracked_configuration_fits(validator: Any, path: Path) -> None:
    errors = [e.message for e in validator.iter_errors(yaml.safe_load(path.read_text("utf-8")))]
    assert not errors, errors


@pytest.mark.parametrize(
    ("block", "keys", "key", "value"),
    [
        ("trackng", (), None, {}),
        ("assay", ("assay",), "blok_length", 4),
        ("segmentation", ("segmentation", "TCell"), "name", "Otsou"),
        ("segmentation", ("segmentation", "TCell"), "name", "CleanUp"),  # a step, no engine
        ("segmentation", ("segmentation", "TCell"), "arg", {}),
        ("segmentation", ("segmentation", "TCell", "args"), "diamter_um", 9),
        ("tracking", ("tracking", "TCell", "args"), "max_distance_um", "far"),
        ("subtraction", ("subtraction",), "name", "Otsu"),
    ],
)
def test_typos_do_not(validator: Any, block: str, keys: Any, key: str | None, value: Any) -> None:
    files = (
        yaml.safe_load(path.read_text("utf-8")) for path in FILES if path.parent.name == "base"
    )
    whole = copy.deepcopy({k: v for content in files for k, v in content.items()})
    whole.setdefault("subtraction", {"name": "SubtractPopulation"})
    assert validator.is_valid(whole)
    if key is None:
        whole[block] = value
    else:
        place = whole
        for each in keys:
            place = place[each]
        place[key] = value
    assert not validator.is_valid(whole)


def test_the_command_writes_it(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        cyto, ["schema", "-o", str(tmp_path / "s.json")], obj=SimpleNamespace(project_path=tmp_path)
    )
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "s.json").read_text("utf-8")) == json_schema()


def test_what_there_is_can_be_asked_for() -> None:
    found = cyto_kedro.algorithms("segmentation")  # type: ignore[operator]
    assert found == available("segmentation") and set(found) == set(algorithms("segmentation"))
    assert all(found.values()), "every class says in a line what it does"
    assert repr(found).splitlines()[0].split()[0] == min(found)
    everything = available()
    assert {name.split(".")[0] for name in everything} <= set(STAGES)
    assert "tracking.LAP" in everything
    with pytest.raises(ConfigError, match="Did you mean 'tracking'"):
        available("trackng")
