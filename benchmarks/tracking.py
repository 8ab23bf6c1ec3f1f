"""How well the engines link, beside other programs' on the same detections; and how fast.

    python benchmarks/tracking.py films       # two Cell Tracking Challenge films, true masks
    python benchmarks/tracking.py assays      # simulated assays at four densities
    python benchmarks/tracking.py speed       # btrack's example: 52,581 detections, 500 frames

btrack is run where it is installed. What each measure is: docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
import yaml

import ctc_format as ctc
import metrics as m
from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Data
from cyto_kedro.algorithms.segmentation.threshold import LocalThreshold
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tracking.btrack import BTrack
from cyto_kedro.algorithms.tracking.common import Detections, Linker, tracks_of
from cyto_kedro.algorithms.tracking.lap import LAP
from cyto_kedro.algorithms.tracking.overlap import Overlap
from cyto_kedro.algorithms.tracking.trackpy import TrackPy
from cyto_kedro.errors import MissingExtraError
from cyto_kedro.parameters import TrackingSpec
from run_folder import ROOT

SHARED = ROOT / "../shared/data"
FILMS = {  # name -> (folder, environment, micrometres a pixel)
    "GOWT1": ("ctc_Fluo-N2DH-GOWT1_seq01_f40", "gowt1", 0.24),
    "SIM+": ("ctc_Fluo-N2DH-SIM+_seq01", "simplus", 0.125),
}
DENSITIES = {"1": (10, 14), "2": (20, 28), "3": (40, 56), "4": (60, 84)}  # (effectors, targets)
SIDE = 256  # pixels, of the simulated fields


class LapTrackItself(Linker):
    """laptrack called as its own documentation does, on positions."""

    max_distance_px: float
    splitting: bool = False

    def link(self, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
        """See `Linker.link`."""
        from laptrack import LapTrack

        square = self.max_distance_px**2
        tracker = LapTrack(
            cutoff=square,
            gap_closing_cutoff=square,
            gap_closing_max_frame_count=2,
            splitting_cutoff=square if self.splitting else False,
        )
        table = detections.cells[["frame", "y_px", "x_px"]]
        start = np.searchsorted(table["frame"], np.arange(table["frame"].max() + 1))
        blocks = np.split(detections.position, start[1:])
        edges = np.array(list(tracker.predict(blocks).edges), np.int64).reshape(-1, 2, 2)
        row = start[edges[:, :, 0]] + edges[:, :, 1]
        return row[:, 0], row[:, 1]


@dataclass(frozen=True)
class Truth:
    """A film whose tracks are known: masks that carry the track's number, and who divides."""

    label: np.ndarray
    parent: dict[int, int]


def engines(reach: float, splitting: bool, masks: bool) -> dict[str, TrackingSpec | Linker]:
    """What is compared; `reach` is the largest step in pixels, one for all."""
    found: dict[str, TrackingSpec | Linker] = {
        "LAP": LAP(max_distance_px=reach, splitting=splitting),
        "LAP, size": LAP(max_distance_px=reach, splitting=splitting, penalties={"area_px": 1.0}),
    }
    if masks:
        found["LAP, size and overlap"] = LAP(
            max_distance_px=reach,
            splitting=splitting,
            penalties={"area_px": 1.0},
            overlap_weight=1.0,
        )
        found["Overlap"] = Overlap(splitting=splitting)
    found["TrackPy"] = TrackPy(search_range_px=reach, memory=1, adaptive_stop_px=reach / 8)
    found["TrackPy, nearest_velocity"] = found["TrackPy"].model_copy(
        update={"predict": "nearest_velocity"}
    )
    found["*laptrack*"] = LapTrackItself(max_distance_px=reach, splitting=splitting)
    found["*btrack*"] = BTrack(max_search_radius_px=reach, splitting=splitting)
    return found


def track(engine: TrackingSpec | Linker, data: Data) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Points, tracks and seconds."""
    start = time.perf_counter()
    spec = isinstance(engine, TrackingSpec)
    points = (engine.make() if spec else engine)(data)["track_points"]  # type: ignore[union-attr]
    for step in engine.steps if spec else ():  # type: ignore[union-attr]
        points = step.make()(data, track_points=points)["track_points"]
    seconds = time.perf_counter() - start
    place = data["n_frames"], data["shape"]
    return points, tracks_of(points, data["cells"], *place), seconds


def links(points: pd.DataFrame, tracks: pd.DataFrame, who: dict[Any, int]) -> set[tuple]:
    """Links as ((frame, true track), (frame, true track)), divisions too; -1: no true cell."""
    real = points[points["label"].notna()].sort_values(["track_id", "frame"])
    keys = [
        (int(t), who.get((int(t), int(n)), -int(n)))
        for t, n in zip(real["frame"], real["label"], strict=True)
    ]
    track_id = real["track_id"].to_numpy()
    first = dict(zip(track_id[::-1], keys[::-1], strict=True))
    last = dict(zip(track_id, keys, strict=True))
    same = np.flatnonzero(track_id[1:] == track_id[:-1])
    found = {(keys[i], keys[i + 1]) for i in same}
    born = tracks.dropna(subset="parent_track_id")
    return found | {(last[r.parent_track_id], first[r.track_id]) for r in born.itertuples()}


def divisions(found: set[tuple]) -> set[tuple]:
    """Mothers with two or more daughters, frames aside: (mother, daughters), by true track."""
    by_source: dict[Any, set] = {}
    for source, target in found:
        by_source.setdefault(source, set()).add(target)
    return {
        (source[1], frozenset(each[1] for each in targets))
        for source, targets in by_source.items()
        if len(targets) > 1
    }


def switches(points: pd.DataFrame, who: dict[Any, int]) -> int:
    """How often a true track's next matched detection is in another found track."""
    real = points[points["label"].notna()]
    keys = zip(real["frame"], real["label"].astype(int), strict=True)
    true = pd.Series([who.get(key, 0) for key in keys], real.index)
    table = real.assign(true=true)[true > 0].sort_values(["true", "frame"])
    same = table["true"].diff().eq(0)
    return int((same & table["track_id"].diff().ne(0)).sum())


def true_links(truth: Truth) -> set[tuple]:
    """The links of the truth, in the form of `links`."""
    seen = {t: np.unique(frame)[1:].tolist() for t, frame in enumerate(truth.label)}
    last: dict[int, int] = {}
    found = set()
    for t, names in seen.items():
        for name in names:
            if name in last:
                found.add(((last[name], name), (t, name)))
            elif (mother := truth.parent.get(name, 0)) in last:
                found.add(((last[mother], mother), (t, name)))
        last.update(dict.fromkeys(names, t))
    return found


def f1(found: set, true: set) -> float:
    return m.Score(len(found & true), len(found), len(true)).f1


def tra(points: pd.DataFrame, tracks: pd.DataFrame, label: np.ndarray, truth: Path) -> float:
    """TRA by py-ctcmetrics, against a folder of `write_truth`."""
    with tempfile.TemporaryDirectory() as temp:
        named, found = ctc.unbroken(points, tracks)
        res = ctc.write_results(Path(temp), ctc.renamed(label, named), found)
        return ctc.evaluate(res, truth)["TRA"]


def write_truth(folder: Path, truth: Truth) -> Path:
    """The truth in the challenge's format."""
    frames: dict[int, list[int]] = {}
    for t, frame in enumerate(truth.label):
        for name in np.unique(frame)[1:].tolist():
            frames.setdefault(name, []).append(t)
    lineage = [(n, t[0], t[-1], truth.parent.get(n, 0)) for n, t in frames.items()]
    return ctc.write_truth(folder, truth.label, np.array(lineage, np.int64))


def _stride(*films: np.ndarray) -> int:
    """Pixels that TRA may skip: on every n-th row and column all cells are still there."""

    def whole(step: int) -> bool:
        return all(
            len(np.unique(frame)) == len(np.unique(frame[::step, ::step]))
            for film in films
            for frame in film
        )

    return next((step for step in (8, 4, 2) if whole(step)), 1)


def cells_of(label: np.ndarray, size: float | None) -> Data:
    """What a linker is given of a film of masks."""
    data = {"label": label, "fov": "f1", "population": "cells", "pixel_size_um": size}
    table = Features()(data)["dataframe"]
    return {**data, "cells": table, "n_frames": len(label), "shape": label.shape[1:]}


def rows(
    data: Data, truth: Truth, who: dict[Any, int], compared: dict[str, TrackingSpec | Linker]
) -> Iterator[tuple[str, dict[str, float]]]:
    """Measures of each engine."""
    true = true_links(truth)
    step = _stride(truth.label, data["label"])
    truth = Truth(truth.label[:, ::step, ::step], truth.parent)
    temp = tempfile.TemporaryDirectory()
    folder = write_truth(Path(temp.name), truth)
    for name, engine in compared.items():
        try:
            points, tracks, seconds = track(engine, data)
        except MissingExtraError as error:
            print(f"{name}: not run: {error}")
            continue
        found = links(points, tracks, who)
        yield (
            name,
            {
                "links F1": f1(found, true),
                "divisions F1": f1(divisions(found), divisions(true)),
                "TRA": tra(points, tracks, data["label"][:, ::step, ::step], folder),
                "switches": switches(points, who),
                "seconds": seconds,
            },
        )
    temp.cleanup()


def films(names: list[str], reach_um: float = 10.0) -> None:
    """Linking alone: the true masks of films of the challenge."""
    for name in names or list(FILMS):
        folder, env, size = FILMS[name]
        place = SHARED / folder / "01_GT" / "TRA"
        label = np.stack([tifffile.imread(each) for each in sorted(place.glob("man_track*.tif"))])
        lineage = np.loadtxt(place / "man_track.txt", dtype=int)
        kept = set(np.unique(label).tolist())
        parent = {a: d for a, b, c, d in lineage.tolist() if d in kept}
        truth = Truth(label, parent)
        data = cells_of(label, size)
        block = yaml.safe_load((ROOT / "conf" / env / "parameters_tracking.yml").read_text())
        chosen = TrackingSpec.model_validate(next(iter(block["tracking"].values())))
        compared = {f"`conf/{env}`": chosen, **engines(reach_um / size, True, True)}
        who = {(t, n): n for t, n in data["cells"][["frame", "label"]].to_numpy().tolist()}
        n = len(divisions(true_links(truth)))
        print(f"\n{name}: {len(data['dataframe'])} cells, {len(label)} frames, {n} divisions")
        show(rows(data, truth, who, compared))


def assays(seeds: int = 1) -> None:
    """Simulated assays: our masks of the simulated images, tracked by each engine."""
    for population, reach_um in (("TCell", 15.0), ("CancerCell", 12.0)):
        for density, numbers in DENSITIES.items():
            scores: dict[str, list[dict[str, float]]] = {}
            detected = m.Score()
            for seed in range(200, 200 + seeds):
                assay = SimulatedAssay(
                    seed=seed, size_px=SIDE, n_effectors=numbers[0], n_targets=numbers[1]
                )
                made = assay({"fov": f"density{density}"})
                truth = Truth(made["label"][population], {})
                size = made["pixel_size_um"]
                image = made["image"][population].astype(np.float32)
                low, high = np.percentile(image, (1.0, 99.8))
                image = np.clip((image - low) / (high - low), 0, 1)
                label = LocalThreshold()({"image": image, "pixel_size_um": size})["label"]
                matches = m.match_film(truth.label, label)
                detected += m.detection(truth.label, label, matches)
                keys = zip(matches["frame"], matches["found"], strict=True)
                who = dict(zip(keys, matches["true"], strict=True))
                compared = engines(reach_um / size, False, True)
                for name, row in rows(cells_of(label, size), truth, who, compared):
                    scores.setdefault(name, []).append(row)
            print(f"\n{population}, density {density}: detection F1 {detected.f1:.3f}")
            show((name, pd.DataFrame(each).mean().to_dict()) for name, each in scores.items())


def speed() -> None:
    """Seconds, and agreement with btrack's own links, on btrack's example."""
    folder = SHARED / "btrack_example_tables"
    objects = pd.read_csv(folder / "objects.csv.gz").sort_values("t", kind="stable")
    table = pd.DataFrame(dict.fromkeys(schemas.dtypes(schemas.Cells), 1), objects.index)
    table["frame"], table["label"] = objects["t"].astype(int), objects.groupby("t").cumcount() + 1
    table["y_px"], table["x_px"] = objects["y"], objects["x"]
    table = table.assign(fov="f1", population="cells", on_border=False)
    table = schemas.conform(schemas.Cells, table)
    own = _example_links(folder, table)
    data = {"cells": table, "n_frames": 500, "shape": (1200, 1600)}
    print(f"{len(table)} detections, {len(own)} links of btrack's own")
    who = {(t, n): n for t, n in table[["frame", "label"]].to_numpy().tolist()}
    print(f"{'':28}{'seconds':>9}{'tracks':>8}{'divisions':>10}{'agrees F1':>10}")
    for name, engine in engines(40.0, True, False).items():
        try:
            points, tracks, seconds = track(engine, data)
        except MissingExtraError as error:
            print(f"{name}: not run: {error}")
            continue
        found = links(points, tracks, who)
        n = (tracks["end_reason"] == "division").sum()
        print(f"{name:28}{seconds:9.1f}{len(tracks):8d}{n:10d}{f1(found, own):10.4f}")


def _example_links(folder: Path, table: pd.DataFrame) -> set[tuple]:
    """btrack's own links; its dummies, which are no detection, are skipped."""
    tracks = pd.read_csv(folder / "tracks.csv.gz").rename(columns={"t": "frame"})
    place = ["frame", "y_px", "x_px"]
    known = table[[*place, "label"]].round({"y_px": 2, "x_px": 2})
    tracks = tracks.rename(columns={"y": "y_px", "x": "x_px"}).round({"y_px": 2, "x_px": 2})
    points = tracks.merge(known.drop_duplicates(place), on=place)
    points = points.sort_values(["ID", "frame"]).astype({"ID": int, "frame": int})
    key = list(zip(points["frame"].tolist(), points["label"].tolist(), strict=True))
    name = points["ID"].to_numpy()
    same = np.flatnonzero(name[1:] == name[:-1])
    found = {(key[i], key[i + 1]) for i in same}
    first = dict(zip(name[::-1].tolist(), key[::-1], strict=True))
    last = dict(zip(name.tolist(), key, strict=True))
    graph = json.loads((folder / "graph.json").read_text())
    for daughter, parents in graph.items():
        if int(daughter) in first and parents[0] in last:
            found.add((last[parents[0]], first[int(daughter)]))
    return found


def show(table: Any) -> None:
    """Print rows as they come."""
    print(f"{'':28}{'links F1':>9}{'div. F1':>9}{'TRA':>8}{'switches':>9}{'seconds':>9}")
    for name, row in table:
        print(
            f"{name:28}{row['links F1']:9.4f}{row['divisions F1']:9.3f}{row['TRA']:8.4f}"
            f"{row['switches']:9.1f}{row['seconds']:9.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])  # type: ignore[union-attr]
    parser.add_argument("what", choices=("films", "assays", "speed"))
    parser.add_argument("names", nargs="*", help="of films: which; default all")
    args = parser.parse_args()
    if args.what == "films":
        films(args.names)
    else:
        {"assays": assays, "speed": speed}[args.what]()


if __name__ == "__main__":
    main()
