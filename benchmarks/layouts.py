"""From a folder as a microscope leaves it to a report, with a stopwatch, for every layout by name.

    python benchmarks/layouts.py                          # all, two minutes each on a busy machine
    python benchmarks/layouts.py MetaMorph "ImageJ hyperstack"
    python benchmarks/layouts.py --fields control_1 --new-only   # what is recognised, without a run

Films of the sample are written anew as each microscope names its files, without calibration. Then, in a
copy of the project's configuration, as a new user would: `kedro cyto new` and `kedro run`. Cells must be
those of the same films as one OME-TIFF a field, in number, place and area.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from run_folder import ROOT

CHANNELS = ("TCell", "CancerCell", "Dead")
PIXEL_UM, INTERVAL_S = 0.85, 180
# a file of each frame: {s} field, {c} channel, {t} frame, from 1; {name} of the channel
BY_FRAME = {
    "MetaMorph": "night_w{c}{name}_s{s}_t{t}.TIF",
    "Operetta / Opera": "Images/r01c{s:02}f01p01-ch{c}sk{t}fk1fl1.tiff",
    "IncuCyte": "{name}/VID1_A{s}_1_00d{h:02}h{m:02}m.tif",
    "NIS-Elements": "xy{s:02}_c{c}_t{t:03}.tif",
    "Micro-Manager": "Pos{s}/img_channel{c:03}_position000_time{t:09}_z000.tif",
    "ImageXpress": "TimePoint_{t}/exp_A{s:02}_s1_w{c}0A1B-22.tif",
    "Yokogawa CV": "plate_A{s:02}_T{t:04}F001L01A0{c}Z01C{c:02}.tif",
    "folders and names": "field{s}/{name}_t{t:03}.tif",
}
BY_FIELD = ("OME-TIFF", "ImageJ hyperstack")


def write(folder: Path, layout: str, films: Sequence[np.ndarray]) -> int:
    """Write `films`, each (T, C, Y, X), in a layout; returns the number of files."""
    if layout in BY_FIELD:
        for s, film in enumerate(films, start=1):
            how = {"ome": True} if layout == "OME-TIFF" else {"imagej": True}
            metadata: dict[str, object] = {"axes": "TCYX"}
            if layout == "OME-TIFF":
                metadata["Channel"] = {"Name": list(CHANNELS)}
            path = folder / (f"field{s}.ome.tif" if layout == "OME-TIFF" else f"field{s}.tif")
            tifffile.imwrite(path, film, photometric="minisblack", metadata=metadata, **how)
        return len(films)
    files = 0
    for s, film in enumerate(films, start=1):
        for t, frame in enumerate(film, start=1):
            hours, minutes = divmod((t - 1) * INTERVAL_S // 60, 60)
            for c, (name, pixels) in enumerate(zip(CHANNELS, frame, strict=True), start=1):
                place = BY_FRAME[layout].format(s=s, c=c, t=t, name=name, h=hours, m=minutes)
                path = folder / place
                path.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(path, pixels, photometric="minisblack")
                files += 1
    return files


def kedro(project: Path, *words: str) -> float:
    """Seconds that ``kedro <words>`` takes in `project`, on the clock; SystemExit where it fails."""
    began = time.monotonic()
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "kedro", *words]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"kedro {' '.join(words)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return time.monotonic() - began


def cells(project: Path, name: str) -> pd.DataFrame:
    """Cells of a run by the order of its fields."""
    data = project / "results" / name / "04_feature" / "cells"
    table = pd.concat(map(pd.read_parquet, sorted(data.rglob("*.parquet"))), ignore_index=True)
    order = {fov: at for at, fov in enumerate(sorted(table["fov"].astype(str).unique()))}
    table = table.assign(fov=table["fov"].astype(str).map(order).astype(int))
    keys = ["fov", "population", "frame", "y_px", "x_px", "area_px"]
    return table[keys].astype({"population": str}).sort_values(keys, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="From a folder to a report, for every layout.")
    parser.add_argument("layouts", nargs="*", default=[], help="; ".join((*BY_FIELD, *BY_FRAME)))
    parser.add_argument("--fields", nargs="+", default=["control_1", "treated_1", "untreated_1"])
    parser.add_argument("--new-only", action="store_true", help="no run")
    args = parser.parse_args()
    chosen = args.layouts or [*BY_FIELD, *BY_FRAME]
    sample = ROOT / "data/01_raw/sample"
    films = [
        np.stack([tifffile.imread(sample / fov / f"{name}.ome.tif") for name in CHANNELS], axis=1)
        for fov in args.fields
    ]
    print("| layout | files | `kedro cyto new`, s | `kedro run`, s | cells as those of OME-TIFF |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temp:
        project, first = Path(temp) / "project", None
        (project / "data/01_raw").mkdir(parents=True)
        shutil.copytree(ROOT / "conf", project / "conf")
        shutil.copy(ROOT / "pyproject.toml", project)
        (project / "src").mkdir()  # the package itself is found by PYTHONPATH
        for number, layout in enumerate(chosen):
            folder, name = Path(temp) / f"films{number}", f"night{number}"
            folder.mkdir()
            files = write(folder, layout, films)
            told = [
                "--raw",
                str(folder),
                "--pixel-size",
                str(PIXEL_UM),
                "--interval",
                str(INTERVAL_S),
            ]
            roles = ["--effector", "TCell", "--target", "CancerCell", "--death", "Dead", "--yes"]
            named = layout in ("OME-TIFF", "MetaMorph", "IncuCyte", "folders and names")
            names = [] if named else ["--channels", ",".join(CHANNELS)]
            new = kedro(project, "cyto", "new", name, *told, *names, *roles)
            line = f"| {layout} | {files} | {new:.0f} |"
            if args.new_only:
                print(line + " | |", flush=True)
                continue
            ran = kedro(project, "run", "--env", name)
            found = cells(project, name)
            first = found if first is None else first
            same = "yes" if found.equals(first) else f"**no**: {len(found)} of {len(first)}"
            print(f"{line} {ran:.0f} | {same} ({len(found)}) |", flush=True)


if __name__ == "__main__":
    main()
