"""Which inputs and settings for the targets of the ADCC stills, judged by leaving experiments out.

    python benchmarks/leave_out.py            # names of choices as further words: only those

Each field is of another experiment. For each one the choice with the best F1 of all others is taken,
and scored on the one left out: what a lab gets that configures on its own films and goes on to the
next. No run of Kedro: the steps, engines and the subtraction of `conf/adcc`, called by hand.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

import metrics as m
from cyto_kedro.registry import build
from run_folder import ROOT

CHANNELS = {
    "Dead": "dead_nuclei_channel",
    "Effector": "effector_fluo_channel",
    "Hoechst": "live_nuclei_channel",
}
ADD = {"channels": ["Hoechst", "Dead"], "output": "Target"}
INPUTS: dict[str, tuple[str, dict[str, Any]] | None] = {
    "Hoechst": None,
    "mean": ("ChannelMerge", {**ADD, "weights": [0.5, 0.5]}),
    "PI over 5 sd": ("AddStained", {**ADD, "min_contrast": 5.0}),
    "PI over 15 sd": ("AddStained", {**ADD, "min_contrast": 15.0}),
    "PI over 40 sd": ("AddStained", {**ADD, "min_contrast": 40.0}),
}
SPANS = (0.0, 20.0, 40.0, 80.0)
# ways to take the haze of bright nuclei away before all else
HAZE: dict[str, dict[str, Any]] = {
    "opening 10 um": {"method": "morphological", "radius_um": 10.0},
    "opening 20 um": {"method": "morphological", "radius_um": 20.0},
    "rolling ball 15 um": {"method": "rolling_ball", "radius_um": 15.0},
    "Gaussian 8 um": {"method": "gaussian", "radius_um": 8.0},
}
LOW = {"min_height": 0.03, "min_contrast": 3.0, "min_area_um2": 25.0}
ENGINES: dict[str, tuple[str, dict[str, Any]]] = {
    "LocalThreshold, 13 um": ("LocalThreshold", {"diameter_um": 13.0}),
    "Nuclei": ("Nuclei", {"min_area_um2": 25.0}),
    "Nuclei, low": ("Nuclei", LOW),
    "Nuclei, low, strict": ("Nuclei", {**LOW, "tolerance": 0.035, "core_height": 0.7}),
}
EFFECTORS: dict[str, dict[str, Any]] = {
    # as conf/adcc
    "Nuclei": {
        "tolerance": 0.035,
        "core_height": 0.7,
        "min_height": 0.05,
        "haze_height": 0.5,
        "min_area_um2": 12.0,
        "max_area_um2": 150.0,
    },
    "LocalThreshold": {},
}
LEAST_UM2 = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, default=ROOT / "../shared/data/celldetective_adcc_dev")
    parser.add_argument("--effectors", choices=[*EFFECTORS], default="Nuclei")
    parser.add_argument(
        "only", nargs="*", help="words that a choice must have; default: all choices"
    )
    args = parser.parse_args()
    fields = sorted(path.stem for path in args.raw.glob("*.json"))
    scores: dict[str, list[m.Score]] = {}
    print(f"{'choice':<52}{'F1':>7}  by experiment")
    for name, choice in choices():
        if all(word in name for word in args.only):
            scores[name] = [scored(args.raw / field, args.effectors, *choice) for field in fields]
            row = "".join(f"{each.f1:7.3f}" for each in scores[name])
            print(f"{name:<52}{total(scores[name]).f1:>7.3f}  {row}", flush=True)
    show_left_out(fields, scores)


def show_left_out(fields: list[str], scores: Mapping[Any, list[m.Score]]) -> None:
    """Print the choice that is best on all other fields, and what it gives on the one left out."""
    chosen_on, left_out = [], []
    for number, field in enumerate(fields):
        others = {name: total(drop(each, number)).f1 for name, each in scores.items()}
        best = max(others, key=lambda name: others[name])
        chosen_on.append(others[best])
        left_out.append(scores[best][number])
        print(f"without {field:<36} {best:<44} {others[best]:.3f} -> {left_out[-1].f1:.3f}")
    print(f"chosen on {np.mean(chosen_on):.3f}, left out {total(left_out).f1:.3f}")


def choices() -> Iterator[tuple[str, tuple[str, float, str, str]]]:
    """Name and (input, least span, engine, haze): spans and haze for one engine, else the default."""
    for engine in ENGINES:
        for name in INPUTS:
            yield f"{engine}; {name}", (name, 40.0, engine, "")
    for haze in HAZE:
        yield f"Nuclei, low, strict; PI over 15 sd; {haze}", ("PI over 15 sd", 40.0, engine, haze)
    for span in SPANS:
        if span != 40.0:
            for name in ("Hoechst", "mean", "PI over 15 sd"):
                yield f"Nuclei, low, strict; {name}; span {span:.0f}", (name, span, engine, "")


def drop(scores: list[m.Score], number: int) -> list[m.Score]:
    """All but one."""
    return scores[:number] + scores[number + 1 :]


def total(scores: list[m.Score]) -> m.Score:
    """Of all cells together."""
    return sum(scores[1:], scores[0])


@cache
def film(stem: Path, span: float, haze: str = "") -> tuple[dict[str, np.ndarray], float]:
    """The channels of a still, scaled to 0..1, and its pixel size."""
    told = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    raw = tifffile.imread(stem.with_suffix(".tif"))
    image = {name: raw[told["channels"].index(of)][None] for name, of in CHANNELS.items()}
    size = float(told["spatial_calibration"])
    if haze:
        image = build("preprocessing", "Background", HAZE[haze])(image=image, pixel_size_um=size)[
            "image"
        ]
    step = build("preprocessing", "PercentileNormalisation", {"least_span": span})
    return step(image=image)["image"], size


@cache
def effectors(stem: Path, span: float, engine: str) -> np.ndarray:
    """Labels of the NK cells."""
    image, size = film(stem, span)
    data = {"image": image["Effector"], "pixel_size_um": size}
    return np.asarray(build("segmentation", engine, EFFECTORS[engine])(data)["label"])


def scored(stem: Path, effector: str, inputs: str, span: float, engine: str, haze: str) -> m.Score:
    """One choice on one field."""
    image, size = film(stem, span, haze)
    made = INPUTS[inputs]
    if made is not None:
        image = build("preprocessing", *made)(image=image)["image"]
    name, args = ENGINES[engine]
    where = {"pixel_size_um": size}
    found = {
        "label": build("segmentation", name, args)(
            image=image["Hoechst" if made is None else "Target"], **where
        )["label"]
    }
    found = build("segmentation", "CleanUp", {"min_area_um2": LEAST_UM2})(found, **where)
    minus = build("segmentation", "SubtractPopulation", {"min_overlap": 0.9})
    found = minus(found, subtract=[effectors(stem, span, effector)], **where)
    truth = tifffile.imread(f"{stem}_labelled.tif")[None]
    label = np.asarray(found["label"])
    return m.detection(truth, label, m.match_film(truth, label, 0.5))


if __name__ == "__main__":
    main()
