"""kedro-viz shows the pipelines with previews (its server, asked as a browser would)."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cyto_kedro.pipeline_registry import ANALYSIS


@pytest.fixture(scope="module")
def viz(finished_sample: Path) -> Iterator[str]:
    """The address of a kedro-viz server of the sample's project."""
    port = free_port()
    command = [sys.executable, "-m", "kedro", "viz", "run", "--no-browser", "--port", str(port)]
    log = (finished_sample / "viz.log").open("w")
    with log, subprocess.Popen(command, cwd=finished_sample, stdout=log, stderr=log) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(90):
                try:
                    ask(f"{address}/api/main")
                    break
                except OSError:
                    assert server.poll() is None, (finished_sample / "viz.log").read_text()[-2000:]
                    time.sleep(1)
            yield address
        finally:
            server.terminate()


def free_port() -> int:
    """A port that nothing listens on, below the ephemeral ones, which kedro-viz refuses."""
    for port in range(4300, 4400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    pytest.fail("no free port between 4300 and 4399")


def ask(url: str) -> Any:
    """The JSON at `url`."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_pipelines_and_previews(viz: str) -> None:
    main = ask(f"{viz}/api/main")
    assert {each["id"] for each in main["pipelines"]} >= {
        "__default__",
        "segmentation",
        "reporting",
    }
    assert not main["layers"]  # their bands take a fifth of the screen; boxes say it
    data = {node["name"]: node["id"] for node in main["nodes"] if node["type"] == "data"}
    tasks = [node for node in main["nodes"] if node["type"] == "task"]
    assert len(tasks) <= 35
    boxes = {name for name in main["modular_pipelines"] if "." not in name}
    assert boxes == {"__root__", *ANALYSIS}  # one a category
    kinds = {
        "labels": "ImagePreview",
        "raw_images": "ImagePreview",
        "measurement_images": "ImagePreview",
        "contact_graph_over_time": "ImagePreview",
        "survival_figure": "ImagePreview",
        "cells": "TablePreview",
        "kills": "TablePreview",
        "sample_sheet": "TablePreview",
        "manifest": "JSONPreview",
    }
    for name, kind in kinds.items():
        shown = ask(f"{viz}/api/nodes/{data[name]}")
        assert shown["preview"], f"{name} shows no preview"
        assert shown["preview_type"] == kind, name
