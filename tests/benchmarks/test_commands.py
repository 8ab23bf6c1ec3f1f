"""Benchmarks of the docs that can be made small run, so that none of them rots."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

TINY = {
    "frontend": "--only Otsu LAP --no-growth --side 192 --frames 2 --linked 4 --repeats 1",
    "motion_speed": "--cells 15 --frames 12 --repeats 1",
    "network_speed": "--sizes 60 --frames 2 --repeats 1",
    "whole_assay": "--rows 10000 --nodes summarise",
    "original": "--frames 2 --repeats 1 --side 256",
    "versus": "--tool LAP btrack --frames 4",
}


SLOW = ("versus",)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in TINY]
)
def test_the_benchmark_runs(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "original":
        pytest.importorskip("SimpleITK")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(sys, "argv", [name, *TINY[name].split()])
    monkeypatch.syspath_prepend(BENCHMARKS)
    runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out
