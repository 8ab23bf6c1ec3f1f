"""How well the expected F1 of masks (docs/quality.md) follows their true F1.

    python benchmarks/quality.py make          # degraded masks, their evidence and true F1
    python benchmarks/quality.py fit           # the table of curves, from the films chosen on
    python benchmarks/quality.py               # rank correlation and flags, both halves; the picture

Every film is masked by engines with right and wrong settings, blurred, with noise, with a black margin,
from a wrong channel, and by its truth spoilt in known ways. F1 is at IoU 0.5. Measures, weights and
limits are chosen on one half of the experiments (`CHOSEN`) and reported on the other.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
import yaml
from scipy import ndimage as ndi

import metrics as m
from cyto_kedro.algorithms.preprocessing.contrast import PercentileNormalisation
from cyto_kedro.algorithms.preprocessing.parts import shown_in
from cyto_kedro.algorithms.segmentation.nuclei import Nuclei
from cyto_kedro.algorithms.segmentation.threshold import Li, LocalThreshold, Otsu
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from cyto_kedro.algorithms.tabulation.mask_evidence import evidence
from run_folder import ROOT
from tracking import DENSITIES

SHARED = ROOT / "../shared/data"
import sys
PART = int(sys.argv[1])
CACHE = ROOT / "data/benchmarks/quality"
#: experiments that measures, weights and limits are chosen on; all others are only reported
CHOSEN = {
    *("simulated 1", "simulated 3", "simulated large", "SIM+"),
    *("adcc 110", "adcc Aligned", "adcc feb", "adcc june25"),
    *("dsb 256x256", "dsb 360x360"),
}


@dataclass(frozen=True)
class Still:
    """One frame: raw channels (Y, X), those that are segmented, and true masks."""

    experiment: str
    name: str
    channels: dict[str, np.ndarray]
    used: tuple[str, ...]
    truth: np.ndarray
    engine: dict[str, Any] = field(default_factory=dict)

    @property
    def image(self) -> np.ndarray:
        """What an engine sees: the mean of its channels, each between its percentiles."""
        step = PercentileNormalisation(low=1.0, high=99.8)
        images = {name: self.channels[name][None] for name in self.used}
        made = step(image=images)["image"]
        return np.mean([np.asarray(each[0]) for each in made.values()], 0).astype(np.float32)

    @property
    def diameter(self) -> float:
        """Median of the true cells', in pixels."""
        sizes = np.bincount(self.truth.ravel())[1:]
        return float(2 * np.sqrt(np.median(sizes[sizes > 0]) / np.pi))


def conf(env: str, name: str) -> Any:
    return yaml.safe_load((ROOT / "conf" / env / f"{name}.yml").read_text(encoding="utf-8"))


def engine_of(env: str, population: str) -> dict[str, Any]:
    return conf(env, "parameters_segmentation")["segmentation"][population]


def stills() -> Iterator[Still]:
    for density, (n_effectors, n_targets) in DENSITIES.items():
        for seed in (300,):
            assay = SimulatedAssay(
                seed=seed + 10 * int(density), size_px=256, n_frames=25, n_effectors=n_effectors,
                n_targets=n_targets,
            )
            yield from simulated(assay, f"simulated {density}", f"{density} {seed}")
    for seed in (400,):
        assay = SimulatedAssay(
            seed=seed, size_px=320, n_frames=15, n_effectors=6, n_targets=14,
            targets={"diameter_um": 26.0, "texture": 0.4, "irregularity": 0.15, "brightness_cv": 0.6},
            effectors={"diameter_um": 10.0, "texture": 0.4},
            camera={"read_noise": 4.0, "photons_per_level": 1.0},
        )
        yield from simulated(assay, "simulated large", f"large {seed}")
    place = SHARED / "ctc_Fluo-N2DH-SIM+_seq01"
    for t in (5, 30, 60):
        raw, truth = ctc_frame(place, t)
        yield Still("SIM+", f"SIM+ {t}", {"c": raw}, ("c",), truth, engine_of("simplus", "Nucleus"))
    place = SHARED / "ctc_Fluo-N2DH-GOWT1_seq01_f40"
    for t in (21, 31, 39):  # the frames whose masks hold every cell
        raw, truth = ctc_frame(place, t)
        yield Still("GOWT1", f"GOWT1 {t}", {"c": raw}, ("c",), truth, engine_of("gowt1", "Nucleus"))
    named = conf("adcc", "parameters")["assay"]
    used = tuple(named["populations"]["Target"]["channels"])
    for path in sorted((SHARED / "celldetective_adcc_dev").glob("*_labelled.tif")):
        stem = path.name.removesuffix("_labelled.tif")
        side = json.loads((path.parent / f"{stem}.json").read_text())
        order = side["channels"]
        stack = tifffile.imread(path.parent / f"{stem}.tif")
        channels = {
            name: stack[order.index(written)] for name, written in named["raw"]["names"].items()
        }
        experiment = next(
            key for key in ("110", "401", "Aligned", "december", "feb", "jan", "june25", "nkratio")
            if stem.startswith(key)
        )
        truth = tifffile.imread(path)
        yield Still(f"adcc {experiment}", stem, channels, used, truth, engine_of("adcc", "Target"))
    index = pd.read_csv(SHARED / "dsb2018_fluo_dev/index.csv")
    for row in index[index["width"] < 1000].itertuples():
        raw = tifffile.imread(SHARED / f"dsb2018_fluo_dev/images/{row.file}.tif")
        truth = tifffile.imread(SHARED / f"dsb2018_fluo_dev/masks/{row.file}.tif")
        name = f"dsb {row.height}x{row.width}"
        yield Still(name, row.file, {"c": raw}, ("c",), truth, engine_of("dsb", "Nucleus"))
    place = SHARED / "small_timelapse_nuclei"
    for name in ("mitocheck_incenp_t1", "mitocheck_incenp_t70"):
        raw, truth = (tifffile.imread(place / f"{name}{end}.tif") for end in ("", "_labels"))
        yield Still("mitocheck", name, {"c": raw}, ("c",), truth)
    films = (tifffile.imread(place / f"laptrack_homeostasis_nuclei_{what}_TYX.tif") for what in ("images", "label"))
    for t, (raw, truth) in enumerate(zip(*films, strict=True)):
        if t in (0, 3, 5):
            yield Still("epithelium", f"epithelium {t}", {"c": raw}, ("c",), truth)


def ctc_frame(place: Path, t: int) -> tuple[np.ndarray, np.ndarray]:
    return (
        tifffile.imread(place / f"01/t{t:03}.tif"),
        tifffile.imread(place / f"01_GT/SEG/man_seg{t:03}.tif"),
    )


def simulated(assay: SimulatedAssay, experiment: str, name: str) -> Iterator[Still]:
    made = assay(fov=name)
    channels = {each: stack[-1] for each, stack in made["image"].items()}
    for population in ("TCell", "CancerCell"):
        truth = made["label"][population][-1].astype(np.int32)
        yield Still(experiment, f"{name} {population}", channels, (population,), truth)


ENGINES = {"Nuclei": Nuclei, "Otsu": Otsu, "Li": Li, "LocalThreshold": LocalThreshold}


def run(engine: Any, image: np.ndarray, **data: Any) -> np.ndarray:
    return np.asarray(engine(image=image[None], pixel_size_um=0.3112, **data)["label"][0])


def variants(still: Still, other: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """(name, image, masks, truth) of every way to mask a still; `other` has another field's masks."""
    image, truth, d = still.image, still.truth, still.diameter
    rng = np.random.default_rng(abs(hash(still.name)) % 2**32 if False else len(still.name) * 7919)
    by_engine = {name: run(cls(), image) for name, cls in ENGINES.items()}
    for name, label in by_engine.items():
        yield name, image, label, truth
    if still.engine:
        cls = ENGINES[still.engine["name"]]
        yield "configured", image, run(cls(**still.engine.get("args", {})), image), truth
    for name in ("Nuclei", "Otsu"):
        for factor in (0.4, 0.63, 1.0, 1.6, 2.5):
            label = run(ENGINES[name](diameter_px=factor * d), image)
            yield f"{name} diameter x{factor:g}", image, label, truth
    level, top = np.percentile(image, 20), np.percentile(image, 99)
    smooth = ndi.gaussian_filter(image, max(0.05 * d, 0.7))
    for share in (0.1, 0.3, 0.8):
        label, _ = ndi.label(smooth > level + share * (top - level))
        sizes = np.bincount(label.ravel())
        yield f"threshold at {share:g}", image, np.where(sizes[label] > 0.05 * d * d, label, 0), truth
    yield "not split", image, run(Otsu(split=False, diameter_px=d), image), truth
    for edge in (0.1, 0.85):
        yield f"edge height {edge:g}", image, run(Li(edge_height=edge, diameter_px=d), image), truth
    for width in (0.2, 0.5):
        blurred = spoilt(still, lambda raw: ndi.gaussian_filter(raw, width * d))
        yield f"blur {width:g} d", blurred, run(Otsu(), blurred), truth
    for share in (0.5, 2.0):
        noisy = spoilt(still, lambda raw: raw + rng.normal(0, share * height_of(raw, truth), raw.shape))
        yield f"noise {share:g} heights", noisy, run(LocalThreshold(), noisy), truth
        yield f"noise {share:g} heights, Nuclei", noisy, run(Nuclei(), noisy), truth
    cut = truth.shape[0] // 3
    margin = spoilt(still, lambda raw: np.where(np.arange(raw.shape[0])[:, None] < cut, 0, raw))
    whole = np.ones(truth.shape, bool)
    part = truth.copy()
    part[:cut] = 0
    yield "black margin", margin, run(Otsu(), margin, valid=whole), part
    yield "black margin, Nuclei", margin, run(Nuclei(), margin, valid=whole), part
    for name in still.channels:
        if name not in still.used:
            wrong = replace(still, used=(name,)).image
            yield f"channel {name}", image, run(Nuclei(), wrong), truth
    yield "another field", image, other, truth
    yield from spoilt_truth(image, truth, d, rng)


def height_of(raw: np.ndarray, truth: np.ndarray) -> float:
    return float(np.median(raw[truth > 0]) - np.median(raw[truth == 0]))


def spoilt(still: Still, change: Any) -> np.ndarray:
    channels = {name: change(each.astype(np.float64)) for name, each in still.channels.items() if name in still.used}
    return replace(still, channels=channels).image


def spoilt_truth(image: np.ndarray, truth: np.ndarray, d: float, rng: Any) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    _, flat = np.unique(truth, return_inverse=True)
    truth = flat.reshape(truth.shape).astype(np.int32)
    n = int(truth.max())
    yield "truth", image, truth, truth
    away, at = ndi.distance_transform_edt(truth == 0, return_indices=True)
    for share in (0.1, 0.2, 0.35):
        yield f"dilated {share:g} d", image, np.where(away <= share * d, truth[tuple(at)], 0), truth
    edge = (ndi.maximum_filter(truth, 3) != truth) | (ndi.minimum_filter(truth, 3) != truth)
    deep = ndi.distance_transform_edt(~edge)
    for share in (0.08, 0.16, 0.25):
        yield f"eroded {share:g} d", image, np.where(deep > share * d, truth, 0), truth
    for share in (0.12, 0.3, 0.6):
        step = int(round(share * d))
        moved = np.zeros_like(truth)
        moved[step:] = truth[:-step] if step else truth
        yield f"shifted {share:g} d", image, moved, truth
    centre = np.array(ndi.center_of_mass(truth > 0, truth, np.arange(1, n + 1))).reshape(-1, 2)
    for share in (0.25, 0.5, 0.9):
        yield f"dropped {share:g}", image, np.where(np.r_[0, rng.random(n) > share].astype(bool)[truth], truth, 0), truth
        cut = np.r_[False, rng.random(n) < share]
        angle = rng.uniform(0, np.pi, n + 1)
        y, x = np.nonzero(truth)
        k = truth[y, x]
        side = (y - centre[k - 1, 0]) * np.sin(angle[k]) + (x - centre[k - 1, 1]) * np.cos(angle[k]) > 0
        halves = truth.copy()
        halves[y, x] = np.where(side & cut[k], k + n, k)
        yield f"split {share:g}", image, halves, truth
        if n > 1:
            name = np.arange(n + 1)
            for i in rng.permutation(n):
                gap = np.hypot(*(centre - centre[i]).T)
                gap[i] = np.inf
                j = int(gap.argmin())
                if name[i + 1] == i + 1 and name[j + 1] == j + 1 and rng.random() < share:
                    name[i + 1] = j + 1
            joined = name[truth]
            near = np.where((away <= 0.25 * d), joined[tuple(at)], 0)
            bridge = ndi.grey_closing(near, size=max(3, int(0.3 * d)))
            merged = np.where(joined > 0, joined, np.where((bridge > 0) & (np.bincount(joined.ravel(), minlength=n + 1)[bridge] > 1.3 * np.median(np.bincount(truth.ravel())[1:])), near, 0))
            yield f"merged {share:g}", image, merged, truth
    for share in (0.3, 1.0):
        label = truth.copy()
        for k in range(max(1, int(share * n))):
            y0, x0 = rng.uniform(0, truth.shape[0]), rng.uniform(0, truth.shape[1])
            yy, xx = np.ogrid[: truth.shape[0], : truth.shape[1]]
            label[((yy - y0) ** 2 + (xx - x0) ** 2 < (d / 2) ** 2) & (label == 0)] = n + 1 + k
        yield f"invented {share:g}", image, label, truth


def make() -> None:
    """Degraded masks of every still: tables of cells and of frames, in the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    every = list(stills())
    all_stills = every
    every = every[PART::2]
    cells, frames = [], []
    start = time.process_time()
    for still in every:
        mates = [e for e in all_stills if e.truth.shape == still.truth.shape and e.name != still.name]
        other = mates[0].truth if mates else still.truth[::-1, ::-1]
        if mates and np.array_equal(mates[0].truth > 0, still.truth > 0):
            other = still.truth[::-1, ::-1]
        found_alone: tuple[Any, np.ndarray] | None = None
        for name, image, label, truth in variants(still, np.ascontiguousarray(other)):
            if found_alone is None or image is not found_alone[0]:
                found_alone = image, run(LocalThreshold(), image)
            if len(np.unique(label)) > 3000:
                continue
            found, row = evidence(image, label, shown_in(image))
            same = m.match(truth, label)
            hit = np.isin(np.setdiff1d(label, 0), same["found"])
            score = m.Score(len(same), m.n_labels(label), m.n_labels(truth))
            key = {"experiment": still.experiment, "still": still.name, "variant": name}
            alone = found_alone[1]
            agreed = {"agree": m.Score(len(m.match(alone, label)), m.n_labels(label), m.n_labels(alone)).f1}
            frames.append({**key, **row, **agreed, "f1": score.f1, "hits": score.hits, "found": score.found, "true": score.true})
            if found and len(hit) == len(found["cnr"]):
                cells.append(pd.DataFrame(found).assign(hit=hit, **key))
        pd.DataFrame(frames).to_parquet(CACHE / f"frames{PART}.parquet")
        pd.concat(cells).to_parquet(CACHE / f"cells{PART}.parquet")
        print(f"{still.experiment:18}{still.name:40}{time.process_time() - start:8.0f} s", flush=True)


if __name__ == "__main__":
    make()
