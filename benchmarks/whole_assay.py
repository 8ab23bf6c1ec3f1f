"""Nodes that see the whole assay, as its cells grow: CPU seconds and memory.

    python benchmarks/whole_assay.py                       # 10^5, 10^6, 10^7 rows of track points
    python benchmarks/whole_assay.py --rows 100000 --nodes summarise --results FOLDER

Tables are made at random in a temporary folder: fields of 60 targets and 40 effectors in 100 frames,
10,000 rows of track points and of cells each, so 1,000 fields at 10^7, in six conditions of three
replicates; times are those of a stage that goes from field to field. A third of the targets die, every
tenth track is the rest of another, each cell has a touch in every fourth frame and one bout. Each node
runs in a process of its own, whose CPU seconds (user + sys) and peak memory are all of it, Python and
imports included: the node `nothing` says how much those are. `--results`: what the nodes made, as
Parquet, for `equal_results.py`.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import yaml

from cyto_kedro import schemas
from cyto_kedro.datasets import ObjectDataset, PartitionedDataset, TableDataset
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.table import to_arrow
from cyto_kedro.parameters import Comparison, ContactsSpec
from cyto_kedro.partitions import Partitions, select

CONF = Path(__file__).resolve().parents[1] / "conf" / "base"
FRAMES, CELLS = 100, {"TCell": 40, "CancerCell": 60}
BLOCK = f"t0000-{FRAMES - 1:04d}"
ROLES = {"TCell": "effector", "CancerCell": "target"}
GRAINS = {
    **dict.fromkeys(("track_points", "motility", "fates", "mask_quality"), "fov/population"),
    **dict.fromkeys(("observed_deaths",), "fov/population"),
    **dict.fromkeys(("bouts", "kills", "quality", "contacts"), "fov"),
    "cells": "fov/population/block",
    "cell_sizes": "fov/population",
    "touches": "fov/block",
    "viability_state": "population",
}
#: nodes and the tables that each reads
NODES = {
    "nothing": (),
    "summarise": (
        *("quality", "track_points", "motility", "bouts", "fates", "kills", "touches"),
        *("mask_quality", "cell_sizes", "viability_state"),
    ),
    "compare_conditions": ("track_points", "motility", "bouts", "fates", "kills"),
    "estimate_survival": ("fates",),
    "relate_contact": ("fates", "bouts"),
    "learn_killing": ("observed_deaths", "fates", "contacts"),
    "estimate_viability": ("cells",),
}


def manifest(n_fovs: int) -> Manifest:
    """A plan of so many fields, of one block each."""
    planned = {"n_frames": FRAMES, "height_px": 1024, "width_px": 1024, "pixel_size_um": 0.5}
    return Manifest(
        fovs={f"f{number:04d}": planned for number in range(n_fovs)},
        **{"channels": ("c",), "populations": tuple(CELLS), "block_length": FRAMES},
        **{"roles": ROLES, "sources": dict.fromkeys(CELLS, ("c",))},
        **{"subtract": {}, "markers": {"death": "c"}},
    )


def sheet(n_fovs: int, conditions: int) -> pd.DataFrame:
    """`schemas.Fields` with the columns of a sample sheet."""
    number = np.arange(n_fovs)
    rows = {"fov": [f"f{each:04d}" for each in number], "n_frames": FRAMES, "pixel_size_um": 0.5}
    size = {"height_px": 1024, "width_px": 1024, "remarks": ""}
    rows |= {"condition": [f"condition {each % conditions}" for each in number]}
    rows["control"] = number % conditions == 0
    rows["et_ratio"] = np.where(rows["control"], 0.0, 1.0)
    rows["replicate"] = [f"well {each // conditions % 3}" for each in number]
    return schemas.filled(schemas.Fields, rows | size)


def clock(n_fovs: int) -> pd.DataFrame:
    """`schemas.Frames`: five minutes a frame, each field some seconds after the one before."""
    frame = np.tile(np.arange(FRAMES), n_fovs)
    fov = np.repeat(np.arange(n_fovs), FRAMES)
    time = 300.0 * frame + np.where(frame > 0, 0.25 * (fov % 1000), 0)
    names = np.array([f"f{each:04d}" for each in range(n_fovs)], object)
    rows = {"fov": names[fov], "frame": frame, "time_s": time, "excluded": False}
    return schemas.filled(schemas.Frames, rows)


def field(fov: str, number: int) -> dict[str, pd.DataFrame]:
    """The tables of a field by dataset and partition."""
    rng, made = np.random.default_rng(number), {}
    of_frame = np.arange(FRAMES)
    for population, n in CELLS.items():
        where = {"fov": fov, "population": population}
        track = np.repeat(np.arange(1, n + 1), FRAMES)
        frame = np.tile(of_frame, n)
        place = rng.uniform(0, 1000, (2, n * FRAMES))
        points = {**where, "track_id": track, "frame": frame, "label": track}
        points |= {"time_min": 5.0 * frame, "x_px": place[0], "y_px": place[1]}
        points |= {"x_um": place[0] / 2, "y_um": place[1] / 2, "interpolated": False}
        made[f"track_points/{fov}/{population}"] = (schemas.TrackPoints, points)
        ids, tenth = np.arange(1, n + 1), np.arange(1, n + 1) % 10 == 0
        first, last = np.where(tenth, 60, 0), np.where(np.arange(n) % 10 == 8, 50, FRAMES - 1)
        died = (rng.random(n) < (1 / 3 if population == "CancerCell" else 0.05)) & (last > 90)
        death = pd.array(np.where(died, rng.integers(70, 95, n), 0), "Int64")
        death[~died] = pd.NA
        past = pd.array(ids - 1, "Int64")
        past[~tenth] = pd.NA
        leave = np.where(died, death.fillna(0), last)
        fates = {"track_id": ids, "first_frame": first, "last_frame": last, "died": died}
        fates |= {"death_frame": death, "entry_min": 5.0 * first, "exit_min": 5.0 * leave}
        fates |= {"past_track_id": past, "dead_at_first_sight": False, "recovered": False}
        fates |= {"start_reason": "film_start"}
        fates["end_reason"] = np.where(last < FRAMES - 1, "lost", "film_end").astype(object)
        made[f"fates/{fov}/{population}"] = (schemas.Fates, {**where, **fates})
        seen_dead = {"track_id": ids[died], "frame": death[died].astype(int)}
        seen_dead |= {"last_alive_frame": seen_dead["frame"] - 1}
        seen_dead |= {"time_min": 5.0 * seen_dead["frame"]}
        made[f"observed_deaths/{fov}/{population}"] = (schemas.Deaths, {**where, **seen_dead})
        late = frame >= death.fillna(FRAMES).astype(int)[track - 1]
        dye = np.where(late, 2000.0, 100.0) + rng.normal(0, 5, len(late))
        cells = {**points, "area_px": 300.0} | {f"c_{stat}": dye for stat in schemas.STATS}
        made[f"cells/{fov}/{population}/{BLOCK}"] = (schemas.Cells, cells)
        speed = rng.gamma(2, 1, n)
        motility = {"track_id": ids, "n_points": FRAMES, "duration_frames": FRAMES - 1}
        motility |= {"straightness": rng.random(n), "mean_speed_um_per_min": speed}
        motility |= {"mean_speed_px_per_frame": 10 * speed, "arrest_coefficient": rng.random(n)}
        made[f"motility/{fov}/{population}"] = (schemas.Motility, {**where, **motility})
        quality = {"frame": of_frame, "flagged": False, "jumps": False}
        made[f"mask_quality/{fov}/{population}"] = (schemas.MaskQuality, {**where, **quality})
        size = {"diameter_px": [20.0], "source": "film", "doubt": ""}
        made[f"cell_sizes/{fov}/{population}"] = (schemas.CellSizes, {**where, **size})
        if population == "CancerCell":
            by = rng.integers(1, CELLS["TCell"] + 1, n)
            begin = rng.integers(1, 60, n)
            pair = {"population_a": "TCell", "population_b": population}
            bouts = {"fov": fov, **pair, "track_id_a": by, "track_id_b": ids, "bout": 1}
            lasts = rng.integers(1, 30, n)
            bouts |= {"start_frame": begin, "end_frame": begin + lasts - 1, "n_frames": lasts}
            bouts |= {"n_contact_frames": lasts, "start_min": 5.0 * begin}
            bouts |= {"duration_min": 5.0 * lasts, "censored_start": begin < 3}
            bouts |= {"censored_end": begin % 7 == 0, "start_cause": "seen", "end_cause": "seen"}
            made[f"bouts/{fov}"] = (schemas.Bouts, bouts)
            kills = {"fov": fov, "target_population": population, "target_track_id": ids[died]}
            kills |= {"effector_population": "TCell", "effector_track_id": by[died], "share": 1.0}
            kills |= {"death_frame": death[died].astype(int), "contact_frames": 1}
            made[f"kills/{fov}"] = (schemas.Kills, kills)
            meet, side = np.meshgrid(ids, of_frame[::4])
            touch = {"fov": fov, "frame": side.ravel(), **pair, "label_b": meet.ravel()}
            touch["label_a"] = 1 + meet.ravel() % (CELLS["TCell"] + 5)
            touch |= {"distance_px": 0.0, "contact_length_px": 1.0, "overlap_px": 0.0}
            made[f"touches/{fov}/{BLOCK}"] = (schemas.Touches, touch)
            pairs = {"fov": fov, "frame": touch["frame"], **pair, "repaired": False}
            pairs |= {f"track_id{side}": touch[f"label{side}"] for side in ("_a", "_b")}
            pairs |= {"time_min": 5.0 * touch["frame"], "definition": "outlines"}
            known = pairs["track_id_a"] <= CELLS["TCell"]
            pairs = pd.DataFrame(pairs)[known]
            made[f"contacts/{fov}"] = (schemas.Contacts, pairs)
    seen = {"fov": fov, "channel": "c", "frame": of_frame, "mean": 100.0, "sd": 9.0, "max": 900.0}
    made[f"quality/{fov}"] = (schemas.Quality, seen | {"focus": 1.0})
    return {name: schemas.filled(table, pd.DataFrame(rows)) for name, (table, rows) in made.items()}


def write(folder: Path, n_fovs: int) -> None:
    """Write the tables of so many fields, with the ledger's entries that a run writes."""
    sets = {name: dataset(folder, name) for name in GRAINS if name != "viability_state"}
    for number, fov in enumerate(manifest(n_fovs).fovs):
        for name, table in field(fov, number).items():
            path = folder / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(to_arrow(table), path)
            kind, identity = name.split("/", 1)
            sets[kind].record(identity, {})
    for population in CELLS:
        path = folder / f"viability_state/{population}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps({}))


def dataset(folder: Path, name: str) -> PartitionedDataset:
    """A dataset as the catalog says it is."""
    kind: Any = (ObjectDataset, ".pkl") if name == "viability_state" else (TableDataset, ".parquet")
    return PartitionedDataset(
        path=str(folder / name), dataset=kind[0], grain=GRAINS[name], filename_suffix=kind[1]
    )


def opened(folder: Path, name: str) -> Partitions:
    """A dataset as the catalog opens it, checked as it is read."""
    parts = dataset(folder, name).load()
    if name == "viability_state":
        return parts
    return schemas.EachPartition(name.removeprefix("observed_")).validate(parts)


def given(part: str, key: str, kind: Any) -> Any:
    """Parameters of ``conf/base``, as a run validates them."""
    every = yaml.safe_load((CONF / f"parameters_{part}.yml").read_text("utf-8"))[part]
    return kind.model_validate(every[key] if key else every)


def run(name: str, folder: Path, n_fovs: int, conditions: int = 6) -> dict[str, Any]:
    """What a node makes, by name."""
    plan = manifest(n_fovs)
    common = {"fields": sheet(n_fovs, conditions), "manifest": plan}
    tables = {each: opened(folder, each) for each in NODES[name]}
    if name == "nothing":
        return {}
    if name == "estimate_viability":
        from cyto_kedro.pipelines.contacts.nodes import estimate_viability

        rule = given("contacts", "viability", ContactsSpec)
        made = {}
        for population in CELLS:
            group = {"population": population}
            cells = select(tables["cells"], plan, group)
            made[population] = estimate_viability(group, cells, **common, viability=rule)
        return {"viability_state": pd.DataFrame(made)}
    common["frames"] = clock(n_fovs)
    if name == "learn_killing":
        from cyto_kedro.pipelines.contacts.death_nodes import learn_killing

        rule = given("contacts", "kills", ContactsSpec)
        return {"attack_models": learn_killing(**common, **tables, kills=rule)}
    if name == "summarise":
        from cyto_kedro.pipelines.reporting.nodes import summarise

        found = summarise(**common, **tables)
        return dict(zip(("by_fov", "by_condition", "warnings"), found, strict=True))
    from cyto_kedro.pipelines.comparison import nodes

    comparison = given("comparison", "", Comparison)
    found = getattr(nodes, name)(**common, **tables, comparison=comparison)
    named = {"compare_conditions": nodes.COMPARED}.get(name, range(len(found)))
    return {str(key): table for key, table in zip(named, found, strict=True)}


def measured(
    name: str, folder: Path, n_fovs: int, conditions: int, results: Path | None
) -> tuple[float, float]:
    """CPU seconds and peak MB of a process that runs one node."""
    command = [sys.executable, __file__, "--child", name, str(folder), str(n_fovs)]
    command += ["--conditions", str(conditions)]
    command += ["--results", str(results)] if results else []
    child = subprocess.Popen(command)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{name} failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Measure the nodes of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--nodes", nargs="+", choices=NODES, default=[*NODES])
    parser.add_argument("--results", type=Path)
    parser.add_argument("--folder", type=Path, help="keep the tables here, and use those there")
    parser.add_argument("--conditions", type=int, default=6)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        name, folder, n_fovs = asked.child
        for made, table in run(name, Path(folder), int(n_fovs), asked.conditions).items():
            if asked.results:
                path = asked.results / f"08_reporting/{n_fovs}_{name}_{made}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                table.to_parquet(path)
        return
    print("| rows | fields | node | CPU s | peak MB |\n|---|---|---|---|---|", flush=True)
    for rows in asked.rows:
        n_fovs = max(1, rows // (FRAMES * sum(CELLS.values())))
        with tempfile.TemporaryDirectory() as scratch:
            folder = (asked.folder or Path(scratch)) / str(n_fovs)
            if not folder.exists():
                write(folder, n_fovs)
            for name in asked.nodes:
                seconds, peak = measured(name, folder, n_fovs, asked.conditions, asked.results)
                print(
                    f"| {rows:,} | {n_fovs:,} | {name} | {seconds:.1f} | {peak:.0f} |", flush=True
                )


if __name__ == "__main__":
    main()
