"""A segmentation plugged in from outside that can be told to fail, and notes each of its calls.

Its results depend on the image and on `level` alone. ``<folder>/faults.json`` says what goes wrong
where: ``{"<fov>/<population>/<first frame>": {"do": "raise", "first": 1}}`` (or ``"*"`` for all).
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import numpy as np
from pydantic import Field
from scipy import ndimage as ndi

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.labels import Labelled
from cyto_kedro.core.contract import Image


class Faulty(Algorithm):
    """Connected components of what is brighter than `level` (images are scaled to 0..1)."""

    folder: str = Field(description="where the faults are read and the calls are noted")
    level: float = Field(0.3, gt=0)

    def run(self, image: Image, fov: str, population: str, frame_start: int) -> Labelled:
        """Do what the faults say, then segment."""
        where = f"{fov}/{population}/{frame_start}"
        calls = Path(self.folder) / "calls.jsonl"
        before = calls.read_text(encoding="utf-8") if calls.exists() else ""
        count = sum(json.loads(line)["where"] == where for line in before.splitlines())
        self._note(calls, where)
        self._fail(where, count)
        bright = np.asarray(image) > self.level
        label = np.stack([ndi.label(frame)[0] for frame in bright]).astype(np.uint32)
        self._note(calls.with_name("ends.jsonl"), where)
        return {"label": label}

    def _note(self, path: Path, where: str) -> None:
        line = json.dumps(
            {
                "where": where,
                "time": time.time(),
                "pid": os.getpid(),
                "host": os.environ.get("SLURMD_NODENAME", socket.gethostname()),
                "job": os.environ.get("SLURM_JOB_ID"),
                "threads": os.environ.get("OMP_NUM_THREADS"),
                "level": self.level,
            }
        )
        with path.open("a", encoding="utf-8") as file:  # one write below 4 KiB is never torn
            file.write(line + "\n")

    def _fail(self, where: str, count: int) -> None:
        faults = Path(self.folder) / "faults.json"
        told = json.loads(faults.read_text(encoding="utf-8")) if faults.exists() else {}
        fault = told.get(where, told.get("*"))
        if not fault or count >= fault.get("first", 10**9):
            return
        match fault["do"]:
            case "raise":
                raise ValueError(f"the test wants {where} to fail")
            case "sleep":
                time.sleep(fault["s"])
            case "wait":  # until the test says go on
                go_on = Path(self.folder) / "go_on"
                while not go_on.exists():
                    time.sleep(0.1)
            case "memory":
                held = bytearray(fault["mb"] << 20)
                held[::4096] = b"x" * len(held[::4096])  # touch every page
                time.sleep(fault.get("s", 0))
            case _:
                raise ValueError(fault)
