"""Which run is meant where none is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cyto_kedro.errors import InputError
from cyto_kedro.runner.history import find


def test_the_last_finished_run_of_the_environment_is_meant(tmp_path: Path) -> None:
    made = {"1": ("done", None), "2": ("done", None), "3": ("done", "adcc"), "4": ("failed", None)}
    for name, (state, env) in made.items():
        (tmp_path / name).mkdir()
        said = json.dumps({"run_id": name, "state": state, "env": env})
        (tmp_path / name / "manifest.json").write_text(said, encoding="utf-8")
    assert find(tmp_path)["run_id"] == "2"  # 4 came later, and failed
    assert find(tmp_path, env="adcc")["run_id"] == "3"
    assert find(tmp_path, "4")["state"] == "failed"  # by its name
    with pytest.raises(InputError, match="no run of the environment dsb was finished"):
        find(tmp_path, env="dsb")
    with pytest.raises(InputError, match="'5'"):
        find(tmp_path, "5")
