"""Other tools beside ours on crowded films, on the same masks where a tool chooses none.

    python benchmarks/versus.py --seeds 3 --first 31 --frames 40 --python ENVIRONMENT/bin/python
    python benchmarks/versus.py --tool default btrack --python ENVIRONMENT/bin/python

btrack and ultrack run in a Python of their own, with their own libraries:

    python -m venv ENVIRONMENT && ENVIRONMENT/bin/pip install btrack==0.7.0 ultrack==0.8.0

Tools that are not there are named and left out. What each row is: docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

import crowded
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.preprocessing.contrast import PercentileNormalisation
from cyto_kedro.algorithms.tracking.common import Detections, Linker
from cyto_kedro.errors import ConfigError, MissingExtraError
from cyto_kedro.importing.identities import identity_links
from run_folder import ROOT
from sample import ROLES
from tracking import LapTrackItself

# btrack's example for cells (examples/cell_config.json of btrack-examples)
CELL_CONFIG = ROOT / "../shared/data/btrack_example_tables/cell_config.json"
CHILD = Path(__file__).with_name("versus_child.py")
Masks = dict[str, np.ndarray]


class Given(Linker):
    """Labels that are cells all through the film; `parents` says who came of whom."""

    parents: dict[int, int] = Field({}, description="cell -> its mother")

    def link(self, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
        """See `Linker.link`."""
        links = identity_links(detections.cells, self.parents, "the tool")
        return links.source, links.target


@dataclass(frozen=True)
class Found:
    """Masks, what links them, what follows, and the seconds of processor that masks and links took."""

    label: Masks
    linkers: Mapping[str, Algorithm]
    steps: Mapping[str, Sequence[Algorithm]] = field(default_factory=dict)
    seconds: float = 0.0


class Film:
    """A film, and the masks of engines on it, which are made once."""

    def __init__(self, seed: int, frames: int) -> None:
        self.film = crowded.crowded(seed, frames)
        self.made: dict[tuple[str, str], tuple[np.ndarray, float]] = {}
        self.known: dict[tuple[int, ...], tuple[Masks, Any, float]] = {}
        self.tracked: dict[Any, tuple[np.ndarray, dict[int, int], float]] = {}
        raw = {name: self.film["image"][name] for name in ROLES}
        self.image = PercentileNormalisation()(image=raw)["image"]

    def masks(self, name: str) -> tuple[Masks, float]:
        """Labels by population, and seconds."""
        label, total = {}, 0.0
        for population, engine in crowded.ENGINES[name].items():
            key = population, repr(engine)
            if key not in self.made:
                before = time.process_time()
                size = self.film["pixel_size_um"]
                made = engine(image=self.image[population], pixel_size_um=size)["label"]
                self.made[key] = np.asarray(made), time.process_time() - before
            label[population], seconds = self.made[key]
            total += seconds
        return label, total

    def measured(self, label: Masks) -> tuple[Any, float]:
        """Cells and touches, and seconds."""
        key = tuple(map(id, label.values()))
        if key not in self.known:
            before = time.process_time()
            made = crowded.measured(self.film, label)
            self.known[key] = label, made, time.process_time() - before  # held, so ids stay
        return self.known[key][1:]

    def reach(self, population: str) -> float:
        """The largest step of `conf/base`, px."""
        linker: Any = crowded.LINKERS[population]
        return linker.max_distance.in_px("max_distance", self.film["pixel_size_um"])


def ours(film: Film, engine: str = "default", steps: bool = True) -> Found:
    """An engine, LAP, and the steps after it."""
    label, seconds = film.masks(engine)
    return Found(label, crowded.LINKERS, crowded.STEPS if steps else {}, seconds)


def laptrack(film: Film) -> Found:
    """laptrack on the default's masks."""
    label, seconds = film.masks("default")
    return Found(
        label, {p: LapTrackItself(max_distance_px=film.reach(p)) for p in label}, seconds=seconds
    )


def outside(
    film: Film,
    python: str,
    tool: str,
    settings: Callable[[float], dict[str, Any]],
    engines: Sequence[str] = ("default",),
    steps: bool = False,
) -> Found:
    """A tool in its own environment, on masks of `engines`; without any, on the image."""
    made = [film.masks(engine) for engine in engines]
    label: Masks = {}
    linkers: dict[str, Algorithm] = {}
    seconds = sum(each for _, each in made)
    for population in ROLES:
        given = {f"masks{i}": masks[population] for i, (masks, _) in enumerate(made)}
        given = given or {"image": np.asarray(film.film["image"][population], np.float32)}
        key = tool, population, *engines
        if key not in film.tracked:
            configuration = settings(film.reach(population))
            film.tracked[key] = run_outside(python, tool, configuration, given)
        label[population], parents, more = film.tracked[key]
        linkers[population] = Given(parents=parents)
        seconds += more
    return Found(label, linkers, crowded.STEPS if steps else {}, seconds)


def run_outside(
    python: str, tool: str, settings: dict[str, Any], given: Masks
) -> tuple[np.ndarray, dict[int, int], float]:
    """Labels that are cells, child -> parent, and seconds, by `versus_child.py`.

    Raises MissingExtraError if the tool is not there.
    """
    look = f"import sys, importlib.util as u; sys.exit(u.find_spec('{tool}') is None)"
    probe = subprocess.run([python, "-c", look], check=False)
    if probe.returncode:
        raise MissingExtraError(f"{tool} is not installed for {python}; see the top of versus.py")
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        for name, array in given.items():
            np.save(folder / f"{name}.npy", array)
        (folder / "settings.json").write_text(json.dumps({"tool": tool, **settings}))
        done = subprocess.run(
            [python, str(CHILD), temp], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ConfigError(f"{tool} failed: {done.stderr[-2000:]}")
        parents = pd.read_csv(folder / "parents.csv").astype(int).to_numpy().tolist()
        said = json.loads((folder / "said.json").read_text(encoding="utf-8"))
        return np.load(folder / "label.npy"), dict(parents), said["seconds"]


def ultrack_config(reach: float) -> dict[str, Any]:
    """Its defaults, but for our largest step, and the solver that needs no licence."""
    made: dict[str, dict[str, Any]] = {
        "linking_config": {"max_distance": reach},
        "tracking_config": {"solver_name": "CBC", "n_threads": 1},
    }
    return {"configuration": made, "reach": reach}


def btrack_config(reach: float) -> dict[str, Any]:
    return {"configuration": str(CELL_CONFIG), "reach": reach}


def tools(python: str) -> dict[str, Callable[[Film], Found]]:
    """Name -> what is done with a film."""
    ultrack = functools.partial(outside, python=python, tool="ultrack", settings=ultrack_config)
    btrack = functools.partial(outside, python=python, tool="btrack", settings=btrack_config)
    return {
        "default": ours,
        "OverTime": functools.partial(ours, engine="OverTime"),
        "LAP": functools.partial(ours, steps=False),  # TrackMate's rules
        "laptrack": laptrack,
        "btrack": btrack,
        "btrack+steps": functools.partial(btrack, steps=True),
        "ultrack": ultrack,
        "ultrack-engines": functools.partial(ultrack, engines=("Nuclei", "LocalThreshold")),
        "ultrack-image": functools.partial(ultrack, engines=()),
        "ultrack-engines+steps": functools.partial(
            ultrack, engines=("Nuclei", "LocalThreshold"), steps=True
        ),
    }


def score(
    film: Film, names: Sequence[str], python: str, scores: dict[str, tuple[crowded.Tally, float]]
) -> None:
    """Add a film to `scores`, of each tool that is there."""
    known = tools(python)
    for name in names:
        try:
            found = known[name](film)
        except MissingExtraError as error:
            print(f"{name}: not run: {error}", flush=True)
            continue
        tally, seconds = scores.setdefault(name, (crowded.Tally(), 0.0))
        cells, more = film.measured(found.label)
        before = time.process_time()
        made = crowded.analysed(film.film, found.label, found.steps, found.linkers, cells)
        seconds += found.seconds + more + time.process_time() - before
        crowded.add(tally, film.film, made, tra=True)
        scores[name] = tally, seconds


def show(scores: Mapping[str, tuple[crowded.Tally, float]]) -> None:
    """Print a row for each tool; two numbers are of effectors and of targets."""
    head = ["tool", "detection F1", "TRA", "switches", "tracks", "contact pairs F1", "bouts F1"]
    head += ["bouts by overlap F1", "CPU s"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for name, (tally, seconds) in scores.items():
        cells = [
            name,
            ", ".join(f"{tally.detection[p].f1:.3f}" for p in ROLES),
            ", ".join(f"{np.mean(tally.tra[p]):.3f}" for p in ROLES),
            ", ".join(str(tally.switches[p]) for p in ROLES),
            ", ".join(f"{tally.tracks[p]} of {tally.true_tracks[p]}" for p in ROLES),
            *(f"{s.f1:.3f}" for s in (tally.contacts, tally.bouts, tally.bouts_overlapping)),
            f"{seconds:.0f}",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    names = list(tools(""))
    parser.add_argument("--tool", choices=names, nargs="+", default=names)
    parser.add_argument("--python", default=sys.executable, help="that has btrack and ultrack")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--frames", type=int, default=40)
    args = parser.parse_args()
    scores: dict[str, tuple[crowded.Tally, float]] = {}
    for seed in range(args.first, args.first + args.seeds):
        score(Film(seed, args.frames), args.tool, args.python, scores)
    show(scores)


if __name__ == "__main__":
    main()
