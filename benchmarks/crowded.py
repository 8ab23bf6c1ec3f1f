"""How well cells, tracks, contacts and bouts are found in a crowd as hard as a real film.

    python benchmarks/crowded.py                        # two films of 155 frames
    python benchmarks/crowded.py --seeds 1 --frames 40  # a short look
    python benchmarks/crowded.py --film-only            # the films' own statistics, nothing analysed
    python benchmarks/crowded.py --engine LocalThreshold OverTime --bare --repair   # tracks as the
        # linker leaves them, and as docs/tracking.md advises for crowds
    python benchmarks/crowded.py --engine Otsu Li LocalThreshold Nuclei --masks    # the masks alone

The films are `SimulatedAssay(preset="crowded")`, analysed with the defaults of `conf/base`. What each
measure is: docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy import ndimage as ndi

import metrics as m
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.contacts.bouts import Bouts
from cyto_kedro.algorithms.contacts.contacts import ContactJoin
from cyto_kedro.algorithms.preprocessing.contrast import PercentileNormalisation
from cyto_kedro.algorithms.segmentation.nuclei import Nuclei
from cyto_kedro.algorithms.segmentation.over_time import OverTime
from cyto_kedro.algorithms.segmentation.threshold import Li, LocalThreshold, Otsu
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tabulation.touches import Touches
from cyto_kedro.algorithms.tracking.common import tracks_of
from cyto_kedro.algorithms.tracking.steps import MinimumLength
from cyto_kedro.registry import build
from run_folder import ROOT
from sample import ROLES, asked, of, true_names
from tracking import Truth, switches, write_truth
from tracking import tra as tra_of

CONFIGURED = {  # of conf/base
    room: yaml.safe_load((ROOT / f"conf/base/parameters_{room}.yml").read_text(encoding="utf-8"))[
        room
    ]
    for room in ("segmentation", "tracking")
}
LINKERS = {
    name: build("tracking", of["name"], of["args"]) for name, of in CONFIGURED["tracking"].items()
}
STEPS = {
    name: [build("tracking", step["name"], step["args"]) for step in of["steps"]]
    for name, of in CONFIGURED["tracking"].items()
}
# as docs/tracking.md advises for crowds
REPAIRS = {name: [*steps, MinimumLength(min_points=4)] for name, steps in STEPS.items()}
ENGINES: dict[str, dict[str, Algorithm]] = {
    "default": {
        name: build("segmentation", of["name"], of["args"])
        for name, of in CONFIGURED["segmentation"].items()
    },
    **{
        each.__name__: dict.fromkeys(ROLES, each())
        for each in (Otsu, Li, LocalThreshold, Nuclei, OverTime)
    },
    # as docs/engines.md advises for crowds
    "advised": {"TCell": OverTime(), "CancerCell": OverTime(same_outline=0.75)},
}
# What was measured on the film of a T cell / tumour assay that the preset stands for.
AIMS = {
    "CancerCell": {
        "cells a frame": 94, "area, median px": 350, "area, 25 %": 222, "area, 75 %": 493,
        "rim on own kind": 0.27, "step, median px": 1.1, "step, 90 % px": 3.0,
    },
    "TCell": {
        "cells a frame": 15, "area, median px": 254, "area, 25 %": 146, "area, 75 %": 324,
        "rim on own kind": 0.22, "step, median px": 0.9, "step, 90 % px": 2.0,
        "pixels on targets": 1 / 6,
    },
    "contacts": {"bout, median frames": 10, "bout, 90 % frames": 46},
}  # fmt: skip


def crowded(seed: int, frames: int) -> dict[str, Any]:
    """A film and its truth."""
    return SimulatedAssay(preset="crowded", seed=seed, n_frames=frames)({"fov": f"crowded{seed}"})


def rim_shares(label: np.ndarray) -> np.ndarray:
    """Per cell of a frame, the share of its rim (pixels at its edge) that lies beside its own kind."""
    high = ndi.maximum_filter(label, 3)
    low = ndi.minimum_filter(np.where(label > 0, label, np.iinfo(np.int32).max), 3)
    edge = (label > 0) & (ndi.minimum_filter(label, 3) != high)
    beside = edge & ((high != label) | (low != label))
    n = int(label.max()) + 1
    rim, touching = (np.bincount(label[at], minlength=n) for at in (edge, beside))
    return (touching[rim > 0] / rim[rim > 0]).astype(float)


def steps_of(points: pd.DataFrame) -> pd.Series:
    """Pixels from frame to frame, without what all cells moved alike (the stage) and pauses."""
    step = points.groupby("track_id")[["frame", "time_min", "x_px", "y_px"]].diff()
    step = step[(step["frame"] == 1) & (step["time_min"] < 1.5 * step["time_min"].median())]
    at = points.loc[step.index, "frame"]
    own = step[["x_px", "y_px"]] - step[["x_px", "y_px"]].groupby(at).transform("median")
    return np.hypot(own["x_px"], own["y_px"])


def statistics(film: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What `AIMS` says, measured on a film's true masks, tracks and contacts."""
    found: dict[str, dict[str, float]] = {}
    for population, label in film["label"].items():
        points = of(film["track_points"], population)
        areas = np.concatenate([np.bincount(frame.ravel())[1:] for frame in label])
        areas = areas[areas > 0]
        rims = np.concatenate([rim_shares(frame.astype(np.int32)) for frame in label[::5]])
        steps = steps_of(points)
        found[population] = {
            "cells a frame": len(areas) / len(label),
            "area, median px": float(np.median(areas)),
            "area, 25 %": float(np.percentile(areas, 25)),
            "area, 75 %": float(np.percentile(areas, 75)),
            "rim on own kind": float((rims > 0.1).mean()),
            "step, median px": float(steps.median()),
            "step, 90 % px": float(steps.quantile(0.9)),
        }
    effectors, targets = (film["label"][name] > 0 for name in ROLES)
    found["TCell"]["pixels on targets"] = float((effectors & targets).sum() / effectors.sum())
    bouts = cross(Bouts()(contacts=film["touches"], track_points=film["track_points"])["bouts"])
    frames = bouts["end_frame"] - bouts["start_frame"] + 1
    found["contacts"] = {
        "bout, median frames": float(frames.median()),
        "bout, 90 % frames": float(frames.quantile(0.9)),
    }
    return found


def cross(table: pd.DataFrame) -> pd.DataFrame:
    """Effectors with targets."""
    return table[table["population_a"] != table["population_b"]]


@dataclass
class Analysed:
    """Labels by population, track points and tracks, contacts and bouts."""

    label: dict[str, np.ndarray]
    points: dict[str, pd.DataFrame]
    tracks: dict[str, pd.DataFrame]
    contacts: pd.DataFrame
    bouts: pd.DataFrame


def segmented(film: dict[str, Any], engines: dict[str, Algorithm]) -> dict[str, np.ndarray]:
    """Labels by an engine for each population, preprocessed by the defaults."""
    image = {name: film["image"][name] for name in ROLES}
    image = PercentileNormalisation()(image=image)["image"]
    size = film["pixel_size_um"]
    return {
        name: np.asarray(engines[name](image=stack, pixel_size_um=size)["label"])
        for name, stack in image.items()
    }


def measured(
    film: dict[str, Any], label: dict[str, np.ndarray]
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Cells by population, and touches."""
    where = {"fov": film["tracks"]["fov"].iloc[0], "pixel_size_um": film["pixel_size_um"]}
    time_min = film["time_s"] / 60
    cells = {
        name: Features()({**where, "time_min": time_min, "population": name, "label": masks})[
            "cells"
        ]
        for name, masks in label.items()
    }
    return cells, Touches(max_distance_um=1.0)(label=label, **where)["touches"]


def analysed(
    film: dict[str, Any],
    label: dict[str, np.ndarray],
    steps: Mapping[str, Sequence[Algorithm]] = STEPS,
    linkers: Mapping[str, Algorithm] = LINKERS,
    known: tuple[dict[str, pd.DataFrame], pd.DataFrame] | None = None,
) -> Analysed:
    """Tracks by `linkers`, then `steps`; contacts and bouts by the defaults.

    `known` is what was `measured` of `label` before.
    """
    fov = film["tracks"]["fov"].iloc[0]
    cells, touches = known or measured(film, label)
    points, tracks = {}, {}
    size, n_frames = film["pixel_size_um"], len(film["time_s"])
    data = {"fov": fov, "pixel_size_um": size, "time_min": film["time_s"] / 60}
    for name, masks in label.items():
        place = {**data, "population": name, "n_frames": n_frames, "shape": masks.shape[1:]}
        place["cells"] = cells[name]
        points[name] = linkers[name](place)["track_points"]
        for step in steps.get(name, ()):
            points[name] = step(place, track_points=points[name])["track_points"]
        tracks[name] = tracks_of(points[name], cells[name], n_frames, masks.shape[1:])
    every = pd.concat(points.values(), ignore_index=True)
    contacts = ContactJoin()(touches=touches, track_points=every)["contacts"]
    bouts = Bouts()(contacts=contacts, track_points=every)["bouts"]
    return Analysed(label, points, tracks, contacts, bouts)


@dataclass
class Tally:
    """What is counted over films."""

    detection: dict[str, m.Score] = field(
        default_factory=lambda: {name: m.Score() for name in ROLES}
    )
    switches: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    tracks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    true_tracks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    tra: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in ROLES})
    contacts: m.Score = field(default_factory=m.Score)
    bouts: m.Score = field(default_factory=m.Score)
    bouts_overlapping: m.Score = field(default_factory=m.Score)


def add(tally: Tally, film: dict[str, Any], found: Analysed, tra: bool) -> None:
    """Score one film."""
    named = {}
    for name in ROLES:
        true = film["label"][name]
        matches = m.match_film(true, found.label[name])
        tally.detection[name] += m.detection(true, found.label[name], matches)
        named[name] = m.name_tracks(matches, found.points[name])
        keys = zip(matches["frame"].tolist(), matches["found"].tolist(), strict=True)
        who = dict(zip(keys, matches["true"].tolist(), strict=True))
        tally.switches[name] += switches(found.points[name], who)
        tally.tracks[name] += len(found.tracks[name])
        tally.true_tracks[name] += of(film["tracks"], name)["track_id"].nunique()
        if tra:
            with tempfile.TemporaryDirectory() as temp:
                folder = write_truth(Path(temp), Truth(true, {}))
                score = tra_of(found.points[name], found.tracks[name], found.label[name], folder)
                tally.tra[name].append(score)
    names = {f"track_id_{side}": true_names(found.contacts, side, named) for side in m.SIDES}
    tally.contacts += m.contact_score(cross(film["touches"]), cross(found.contacts.assign(**names)))
    true = cross(Bouts()(contacts=film["touches"], track_points=film["track_points"])["bouts"])
    mine = cross(named_bouts(found.bouts, named))
    for key, slack in (("bouts", 1), ("bouts_overlapping", None)):
        hits = bout_hits(true, mine, slack)
        setattr(tally, key, getattr(tally, key) + m.Score(hits, len(mine), len(true)))


def show_masks(films: Sequence[dict[str, Any]], engines: Iterable[str]) -> None:
    """Print how well cells are found and outlined in each frame."""
    print(
        "| engine | "
        + " | ".join(f"{name}, F1 | SEG" for name in ROLES)
        + " |\n|---|---|---|---|---|"
    )
    for engine in engines:
        found = [segmented(film, ENGINES[engine]) for film in films]
        cells = [engine]
        for name in ROLES:
            pairs = [
                (film["label"][name], each[name]) for film, each in zip(films, found, strict=True)
            ]
            scores = [m.detection(*pair, m.match_film(*pair)) for pair in pairs]
            iou, n = np.sum([m.seg(*pair) for pair in pairs], axis=0)
            cells += [f"{sum(scores, m.Score()).f1:.3f}", f"{iou / n:.3f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def named_bouts(bouts: pd.DataFrame, named: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The bouts with true tracks: who each was in most frames of the bout."""
    result = bouts.copy()
    for side in m.SIDES:
        for population, who in named.items():
            at = np.flatnonzero(bouts[f"population_{side}"] == population)
            rows = asked(bouts.iloc[at], f"track_id_{side}", "start_frame", "end_frame")
            result.iloc[at, result.columns.get_loc(f"track_id_{side}")] = m.identify(who, rows)
    return result


def bout_hits(true: pd.DataFrame, found: pd.DataFrame, slack: int | None) -> int:
    """Bouts of the same two cells that pair one to one, the most overlapping first.

    They start and end at most `slack` frames apart; None: they share half of the frames of either.
    """
    pair = ["population_a", "track_id_a", "population_b", "track_id_b"]
    columns = [*pair, "start_frame", "end_frame"]
    both = (
        true[columns]
        .reset_index(names="row_t")
        .merge(found[columns].reset_index(names="row_f"), on=pair, suffixes=("_t", "_f"))
    )
    low, high = both.filter(like="start_frame"), both.filter(like="end_frame")
    shared = high.min(axis=1) - low.max(axis=1) + 1
    if slack is None:
        fits = shared >= 0.5 * (high.max(axis=1) - low.min(axis=1) + 1)
    else:
        fits = (np.ptp(low, axis=1) <= slack) & (np.ptp(high, axis=1) <= slack) & (shared > 0)
    best = both.assign(shared=shared)[fits].sort_values("shared", ascending=False, kind="stable")
    return len(best.drop_duplicates("row_t").drop_duplicates("row_f"))


def show(tally: Tally) -> None:
    """Print a table."""
    print("| | found | P | R | F1 | TRA | switches | tracks (true) |")
    print("|---" * 8 + "|")
    for name, each in tally.detection.items():
        tra = f"{np.mean(tally.tra[name]):.3f}" if tally.tra[name] else "-"
        print(
            f"| {name} | {each.found:.0f} of {each.true:.0f} | {each.precision:.3f} | "
            f"{each.recall:.3f} | {each.f1:.3f} | {tra} | {tally.switches[name]} | "
            f"{tally.tracks[name]} ({tally.true_tracks[name]}) |"
        )
    for title, score in (
        ("contact pairs a frame", tally.contacts),
        ("bouts, both ends within a frame", tally.bouts),
        ("bouts, by overlap", tally.bouts_overlapping),
    ):
        print(
            f"| {title} | {score.found:.0f} of {score.true:.0f} | {score.precision:.3f} | "
            f"{score.recall:.3f} | {score.f1:.3f} | | | |",
            flush=True,
        )


def show_statistics(films: Iterable[dict[str, Any]]) -> None:
    """Print the films' statistics beside those of the film they stand for."""
    rows = [statistics(film) for film in films]
    print("| | film | preset |\n|---|---|---|")
    for group, aims in AIMS.items():
        for name, aim in aims.items():
            mean = np.mean([row[group][name] for row in rows])
            print(f"| {group}: {name} | {aim:.3g} | {mean:.3g} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--frames", type=int, default=155)
    parser.add_argument("--film-only", action="store_true", help="the films' statistics only")
    parser.add_argument(
        "--repair", action="store_true", help="tracks with these and without short ones, besides"
    )
    parser.add_argument("--engine", choices=list(ENGINES), nargs="+", default=["default"])
    parser.add_argument("--bare", action="store_true", help="no steps after linking")
    parser.add_argument("--masks", action="store_true", help="the masks of each frame only")
    args = parser.parse_args()
    films = [crowded(seed, args.frames) for seed in range(args.first, args.first + args.seeds)]
    if args.masks:
        show_masks(films, args.engine)
        return
    show_statistics(films)
    if args.film_only:
        return
    compared: dict[str, Mapping[str, Sequence[Algorithm]]] = {"": {} if args.bare else STEPS}
    compared |= {", with repairs": REPAIRS} if args.repair else {}
    tallies = {engine + name: Tally() for engine in args.engine for name in compared}
    for film in films:
        for engine in args.engine:
            before = time.process_time()
            label = segmented(film, ENGINES[engine])
            print(f"{engine}: {time.process_time() - before:.0f} s of CPU")
            for name, steps in compared.items():
                add(tallies[engine + name], film, analysed(film, label, steps), tra=True)
    for name, tally in tallies.items():
        print(f"\n{name}")
        show(tally)


if __name__ == "__main__":
    main()
