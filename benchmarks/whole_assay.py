"""What a node of the whole assay costs: simulated tables of many fields, at several sizes.

    python benchmarks/whole_assay.py --rows 100000 1000000

Each node reads Parquet partitions of track points, 100 frames and 10,000 rows a field, in a process
of its own; the files are removed afterwards. Prints CPU seconds, and the most memory above that of
the imports.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

N_FRAMES, ROWS = 100, 10_000
POPULATIONS = {"TCell": "effector", "CancerCell": "target"}
NODES = ("compare_conditions", "summarise")


def main() -> None:
    """Make the tables of each size, run each node on them, print a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--one", nargs=2, metavar=("NODE", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        node, folder = args.one
        print(measure(node, Path(folder)))
        return
    print("| node | rows | fields | CPU s | MB more |\n|---|---|---|---|---|")
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            simulate(Path(folder), rows // ROWS)
            for node in NODES:
                words = [sys.executable, __file__, "--one", node, folder]
                told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
                print(f"| {node} | {rows} | {rows // ROWS} | {told.splitlines()[-1]} |", flush=True)


def tables(fov: str) -> dict[str, pd.DataFrame]:
    """Track points, fates and motility of a field, and empty tables of what else is read."""
    from cyto_kedro import schemas

    per = ROWS // len(POPULATIONS) // N_FRAMES
    track, frame = (each.ravel() for each in np.indices((per, N_FRAMES)))
    points, fates = [], []
    for population in POPULATIONS:
        known = {"fov": fov, "population": population}
        position = {"x_px": track * 9.0, "y_px": frame * 1.0, "time_min": frame * 2.0}
        rows = {**known, "track_id": track + 1, "frame": frame, "label": track + 1, **position}
        points.append(schemas.filled(schemas.TrackPoints, rows))
        ids = np.arange(per) + 1
        died = (ids % 3 == 0) & (population == "CancerCell")
        ends = {"first_frame": 0, "last_frame": N_FRAMES - 1, "end_reason": "film_end"}
        when = {"entry_min": 0.0, "exit_min": np.where(died, 100.0, 198.0)}
        row = {**known, "track_id": ids, "died": died, **ends, **when}
        row["death_frame"] = pd.array(np.where(died, 50, 0), "Int64")
        row["death_frame"][~died] = pd.NA
        fates.append(schemas.filled(schemas.Fates, row))
    alive = pd.concat(fates, ignore_index=True)
    moved = {name: alive[name] for name in ("fov", "population", "track_id")}
    moved |= {"n_points": N_FRAMES, "mean_speed_um_per_min": 1.0}
    empty = ("bouts", "kills", "touches", "quality", "mask_quality", "cell_sizes")
    return {
        "track_points": pd.concat(points, ignore_index=True),
        "fates": alive,
        "motility": schemas.filled(schemas.Motility, moved),
        **{name: schemas.empty(schemas.TABLES[name]) for name in empty},
    }


def simulate(folder: Path, n_fields: int) -> None:
    """Write the partitions of `n_fields` fields."""
    for index in range(n_fields):
        fov = f"f{index:04d}"
        for name, table in tables(fov).items():
            (folder / name).mkdir(exist_ok=True)
            if name != "track_points":
                table.to_parquet(folder / name / f"{fov}.parquet")
                continue
            (folder / name / fov).mkdir()
            for population, mine in table.groupby("population"):
                mine.reset_index(drop=True).to_parquet(
                    folder / name / fov / f"{population}.parquet"
                )


def measure(node: str, folder: Path) -> str:
    """CPU seconds of `node` on the tables in `folder`, and the megabytes it adds."""
    from cyto_kedro.datasets import PartitionedDataset
    from cyto_kedro.datasets.manifest import Manifest
    from cyto_kedro.parameters import Comparison
    from cyto_kedro.pipelines.comparison.nodes import compare_conditions
    from cyto_kedro.pipelines.reporting.nodes import summarise

    fovs = sorted(each.name for each in (folder / "track_points").iterdir())
    film = {"n_frames": N_FRAMES, "height_px": 512, "width_px": 512, "pixel_size_um": 0.5}
    manifest = Manifest(
        fovs=dict.fromkeys(fovs, film),
        channels=(),
        populations=tuple(POPULATIONS),
        roles=POPULATIONS,
        block_length=N_FRAMES,
        **{name: {} for name in ("sources", "subtract", "markers")},
    )
    parts = {}
    for path in folder.iterdir():
        grain = "fov/population" if path.name == "track_points" else "fov"
        kind = "cyto_kedro.datasets.TableDataset"
        parts[path.name] = PartitionedDataset(
            path=str(path), grain=grain, filename_suffix=".parquet", dataset=kind
        ).load()
    number = np.arange(len(fovs))
    fields = pd.DataFrame({"fov": fovs, "n_frames": N_FRAMES, "pixel_size_um": 0.5})
    fields["condition"] = np.where(number % 2, "treated", "control")
    fields["replicate"] = (number // 2 % 4).astype(str)
    fields["control"] = np.where(number % 2, "", "untreated")
    frames = pd.DataFrame({"fov": np.repeat(fovs, N_FRAMES)})
    frames["frame"] = np.tile(np.arange(N_FRAMES), len(fovs))
    frames["time_s"], frames["excluded"] = frames["frame"] * 120.0, False
    names = ("motility", "bouts", "fates", "kills")
    shared = (fields, frames)
    before, began = held(), cpu()
    if node == "summarise":
        more = (parts[name] for name in ("touches", "mask_quality", "cell_sizes"))
        states = {name: lambda: {} for name in POPULATIONS}
        given = (parts[name] for name in ("quality", "track_points", *names))
        summarise(*shared, *given, *more, states, manifest)
    else:
        given = (parts[name] for name in ("track_points", *names))
        text = Path(__file__, "../../conf/base/parameters_comparison.yml").resolve().read_text()
        settings = Comparison.model_validate(yaml.safe_load(text)["comparison"])
        compare_conditions(*shared, *given, manifest, settings)
    return f"{cpu() - began:.1f} | {held() - before:.0f}"


def cpu() -> float:
    """User and system seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def held() -> float:
    """The most megabytes that this process held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
