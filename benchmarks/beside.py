"""Measuring cells, contacts, neighbours, tracks and velocities: beside celldetective and scikit-image.

    python benchmarks/beside.py --frames 20 --python CELLDETECTIVE/bin/python
    python benchmarks/beside.py --frames 100 --repeats 1 --python CELLDETECTIVE/bin/python

All on the same simulated masks (1024 x 1024, 300 + 150 cells, as in `original.py`), each tool in a
process of its own with one thread on one core. celldetective has an environment of its own, without what
its networks and windows want:

    python -m venv CELLDETECTIVE
    CELLDETECTIVE/bin/pip install numpy==1.26.4 "pandas<3" scipy scikit-image scikit-learn "btrack<0.8" \
        trackpy matplotlib natsort h5py art prettytable PyQt5 superqt seaborn mahotas lifelines lmfit \
        tqdm requests opencv-python-headless==4.7.0.72
    CELLDETECTIVE/bin/pip install --no-deps celldetective

features   14 columns of effectors, one channel. Ours has all of `cells`, and six stats of the channel.
contacts   pairs of the two populations with a gap of at most 1.5 µm. Ours within populations too.
near       pairs of the two populations with centres at most 30 px apart.
tracks     from masks to tracks with velocities: btrack with its `no_z_motion`; `Features`, `LAP` and
           `Kinematics`.
velocity   celldetective: over three frames; `Kinematics`: 40 columns.

Times are CPU times, without imports. A step that a tool lacks is left out, and a tool that is not there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
os.environ.update(ONE_THREAD, QT_QPA_PLATFORM="offscreen")  # before the libraries are loaded

import numpy as np  # noqa: E402

from cyto_kedro.algorithms.contacts.contacts import ContactJoin  # noqa: E402
from cyto_kedro.algorithms.contacts.kinematics import Kinematics  # noqa: E402
from cyto_kedro.algorithms.contacts.positions import CentroidDistance  # noqa: E402
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay  # noqa: E402
from cyto_kedro.algorithms.tabulation.features import Features  # noqa: E402
from cyto_kedro.algorithms.tabulation.touches import Touches  # noqa: E402
from cyto_kedro.algorithms.tracking.lap import LAP  # noqa: E402

CHILD = Path(__file__).with_name("beside_child.py")
ROLES = {"TCell": "effectors", "CancerCell": "targets"}
GAP_UM, REACH_PX = 1.5, 30
Work = Callable[[], Any]


def ours(film: dict[str, Any]) -> dict[str, Work]:
    """Each step; what it returns is counted as the others' are."""
    n_frames, *shape = film["label"]["TCell"].shape
    where = {"fov": "large", "pixel_size_um": film["pixel_size_um"]}
    points = film["track_points"]
    effectors = points[points["population"] == "TCell"].reset_index(drop=True)
    green = {"TCell": film["image"]["TCell"]}

    def mixed(contacts: Any) -> int:
        return int((contacts["population_a"] != contacts["population_b"]).sum())

    def features() -> Any:
        label = film["label"]["TCell"]
        return Features()({**where, "population": "TCell", "label": label, "image": green})[
            "dataframe"
        ]

    def contacts() -> int:
        touches = Touches(max_distance_um=GAP_UM)({**where, "label": film["label"]})["dataframe"]
        return mixed(ContactJoin()({"touches": touches, "dataframe": points})["contacts"])

    def near() -> int:
        made = CentroidDistance(max_distance_px=float(REACH_PX))({**where, "dataframe": points})
        return mixed(made["contacts"])

    def tracks() -> int:
        data = {**where, "population": "TCell", "cells": features(), "n_frames": n_frames}
        made = LAP(max_distance_px=20.0)({**data, "shape": tuple(shape)})["track_points"]
        Kinematics()({"dataframe": made})
        return int(made["track_id"].nunique())

    return {
        "features": lambda: len(features()),
        "contacts": contacts,
        "near": near,
        "tracks": tracks,
        "velocity": lambda: len(Kinematics()({"dataframe": effectors})["steps"]),
    }


def clock(work: Work, n_frames: int, repeats: int) -> dict[str, Any]:
    """CPU milliseconds a frame, and what was found."""
    took = []
    for _ in range(repeats):
        before = time.process_time()
        found = work()
        took.append(1000 * (time.process_time() - before) / n_frames)
    return {"ms": min(took), "found": found}


def theirs(python: str, folder: Path, tool: str, step: str) -> dict[str, Any] | None:
    """The same by a tool in another process; None where it has no such step, or is not there."""
    look = f"import sys, importlib.util as u; sys.exit(u.find_spec('{tool}') is None)"
    if subprocess.run([python, "-c", look], check=False).returncode:
        return None
    words = [python, str(CHILD), str(folder), tool, step]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        if f"KeyError: '{step}'" in done.stderr:
            return None
        raise SystemExit(f"{tool}, {step}: {done.stderr[-2000:]}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", type=int, default=1024, help="of the field; cells in proportion")
    parser.add_argument("--python", default=sys.executable, help="that has celldetective")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    share = (args.side / 1024) ** 2
    cells = {"n_effectors": round(300 * share), "n_targets": round(150 * share)}
    film = SimulatedAssay(
        seed=1, n_frames=args.frames, size_px=args.side, **cells, touch_distance_um=GAP_UM
    )({"fov": "large"})
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        for name, role in ROLES.items():
            np.save(folder / f"{role}.npy", np.asarray(film["label"][name], np.int32))
        np.save(folder / "image.npy", film["image"]["TCell"])
        columns = ["population", "track_id", "frame", "x_px", "y_px"]
        points = film["track_points"][columns]
        points.assign(population=points["population"].map(ROLES)).to_csv(
            folder / "points.csv", index=False
        )
        gap = round(GAP_UM / film["pixel_size_um"])
        settings = {"gap_px": gap, "reach_px": REACH_PX, "repeats": args.repeats}
        (folder / "settings.json").write_text(json.dumps(settings))
        print(f"CPU ms a frame (found), best of {args.repeats}, {args.frames} frames, one core")
        print(f"{'':<12}{'ours':>16}{'celldetective':>24}{'scikit-image':>24}")
        for step, work in ours(film).items():
            work()
            mine = clock(work, args.frames, args.repeats)
            line = f"{step:<12}{mine['ms']:>8.2f} ({mine['found']})".ljust(28)
            for python, tool in ((args.python, "celldetective"), (sys.executable, "skimage")):
                found = theirs(python, folder, tool, step)
                if found is None:
                    line += f"{'-':>24}"
                    continue
                told = f"{found['ms']:.1f} ({found['found']}) x {found['ms'] / mine['ms']:.1f}"
                line += f"{told:>24}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
