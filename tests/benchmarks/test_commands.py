"""Benchmarks of the docs that can be made small run, so that none of them rots."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

TINY = {
    "beside": "--frames 2 --repeats 1 --side 256",
    "contacts_truth": "--seeds 1",
    "interval_coverage": "--assays 2 --cells 20",
    "crowded": "--seeds 1 --frames 2 --engine Otsu --bare --masks",
    "density_speed": "--cells 100 --repeats 1",
    "features": "--frames 1 --repeats 1",
    "frontend": "--only Otsu LAP --no-growth --side 192 --frames 2 --linked 4 --repeats 1",
    "killing": "--quick",
    "layouts": "MetaMorph --new-only --fields control_1",
    "long_film": "--frames 3 --side 96 --cells 6",
    "motion_speed": "--cells 15 --frames 12 --repeats 1",
    "network_speed": "--sizes 60 --frames 2 --repeats 1",
    "original": "--frames 2 --repeats 1 --side 256",
    "report_size": "12",
    "tiles": "--size 512 --sides 256 --engines Otsu",
    "versus": "--tool LAP btrack --frames 4",
    "whole_assay": "--rows 10000 --nodes summarise",
}
#: over ten seconds
SLOW = ("contacts_truth", "report_size", "tiles", "versus")
#: of the others, those that say what they would do without doing it
ASKED = (
    *(
        "adcc",
        "classes",
        "contacts_speed",
        "deaths",
        "effectors",
        "engines",
        "equal_results",
        "kills",
    ),
    *("leave_out", "quality", "runners", "sample", "speed", "steps", "tracking", "training"),
)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in TINY]
)
def test_the_benchmark_runs(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in ("features", "original"):
        pytest.importorskip("SimpleITK")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(sys, "argv", [name, *TINY[name].split()])
    monkeypatch.syspath_prepend(BENCHMARKS)
    try:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    except SystemExit as ended:
        assert not ended.code
    assert capsys.readouterr().out


@pytest.mark.parametrize("name", ASKED)
def test_the_benchmark_says_how_it_is_called(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.syspath_prepend(BENCHMARKS)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 0 and "usage:" in capsys.readouterr().out
