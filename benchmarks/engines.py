"""Every segmentation engine on a real data set, each with its one configuration.

    make engines                                   # the environments of CellPose and StarDist
    python benchmarks/engines.py adcc              # or gowt1, simplus, dsb; then names of engines

The engines of an environment and their arguments are in conf/<env>/engines.yml, with the steps that
make the images of one where these are its own (`preprocessing`); all else is the
environment's. Results go to data/engines/<env>/<engine>.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

import adcc
import ctc
from cyto_kedro.errors import unknown
from run_folder import ROOT, RunFolder, kedro

STILLS = {  # environment -> (masks under ../shared/data, population)
    "adcc": ("celldetective_adcc_dev/{fov}_labelled.tif", "Target"),
    "dsb": ("dsb2018_fluo_dev/masks/{fov}.tif", "Nucleus"),
}
PYTHONS = {"CellPose": ".venv-cellpose/bin/python", "StarDist": ".venv-stardist/bin/python"}


def segment(env: str, population: str, spec: dict[str, Any], data: Path) -> float:
    """Run `env` with this engine for `population`, results in `data`; returns seconds."""
    spec = dict(spec)
    steps = spec.pop("preprocessing", None)
    stages = ["ingestion", "preprocessing", "segmentation"]
    if env in ctc.FILMS:
        stages += ["tabulation", "tracking"]
    with tempfile.TemporaryDirectory() as temp:
        conf = Path(temp) / "conf"
        shutil.copytree(ROOT / "conf", conf)
        for name, change in (
            ("parameters_segmentation", {"segmentation": {population: spec}}),
            ("globals", {"data": str(data)}),
        ):
            path = conf / env / f"{name}.yml"
            block = yaml.safe_load(path.read_text(encoding="utf-8"))
            for key, value in change.items():
                block[key] = {**block[key], **value} if isinstance(value, dict) else value
            path.write_text(yaml.safe_dump(block), encoding="utf-8")
        if steps is not None:
            made = {"preprocessing": {"measurement": [], "segmentation": steps}}
            path = conf / env / "parameters_preprocessing.yml"
            path.write_text(yaml.safe_dump(made), encoding="utf-8")
        words = ("--conf-source", str(conf), "--env", env, "--pipelines", ",".join(stages))
        python = ROOT / PYTHONS[spec["name"]] if spec["name"] in PYTHONS else sys.executable
        start = time.perf_counter()
        kedro("run", *words, python=str(python))
    return time.perf_counter() - start


def measured(env: str, population: str, run: RunFolder) -> dict[str, float]:
    """SEG, DET and TRA of a film; F1 and SEG of stills."""
    if env in ctc.FILMS:
        found, _, _ = ctc.evaluated(run, ctc.truth_of(env))
        return {**{key: found[key] for key in ("SEG", "DET", "TRA")}, "div. F1": found["BC(1)"]}
    masks = ROOT / "../shared/data" / STILLS[env][0]
    *_, (_, scores, seg) = adcc.compare(run, masks, population)
    least = scores[adcc.THRESHOLDS[0]]
    named = {"P": least.precision, "R": least.recall}
    return {**named, **{f"F1@{t}": each.f1 for t, each in scores.items()}, "SEG": seg}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])  # type: ignore[union-attr]
    parser.add_argument("env", choices=[*STILLS, *ctc.FILMS])
    parser.add_argument("names", nargs="*", help="engines; default all of conf/<env>/engines.yml")
    args = parser.parse_args()
    listed = (ROOT / "conf" / args.env / "engines.yml").read_text(encoding="utf-8")
    engines: dict[str, dict[str, Any]] = yaml.safe_load(listed)
    for name in set(args.names) - {*engines}:
        parser.error(unknown("engine", name, engines))
    population = STILLS[args.env][1] if args.env in STILLS else "Nucleus"
    for name in args.names or engines:
        data = ROOT / "data/engines" / args.env / name
        seconds = segment(args.env, population, engines[name], data)
        row = measured(args.env, population, RunFolder(data))
        numbers = "".join(f"  {key} {value:.3f}" for key, value in row.items())
        print(f"{name:<16}{numbers}  {seconds:.0f} s in all", flush=True)


if __name__ == "__main__":
    main()
