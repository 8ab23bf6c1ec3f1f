"""Films with truth, and every way in which `quality` masks them well or badly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import tifffile
import yaml
from scipy import ndimage as ndi

from cyto_kedro.algorithms.preprocessing.contrast import PercentileNormalisation
from cyto_kedro.algorithms.segmentation.nuclei import Nuclei
from cyto_kedro.algorithms.segmentation.threshold import Li, LocalThreshold, Otsu
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from run_folder import ROOT
from tracking import DENSITIES

SHARED = ROOT / "../shared/data"
ENGINES: dict[str, Any] = {
    "Nuclei": Nuclei,
    "Otsu": Otsu,
    "Li": Li,
    "LocalThreshold": LocalThreshold,
}
#: first words of variants that no engine made
DRAWN = ("truth", "dilated", "eroded", "shifted", "dropped", "cut", "joined", "invented", "another")
Masked = tuple[str, np.ndarray, np.ndarray, np.ndarray]  # variant, image, labels, truth
PIXEL_UM = 0.3112  # of the ADCC stills, whose configuration has areas in um2


@dataclass(frozen=True)
class Still:
    """One frame: raw channels (Y, X), those that are segmented, and true masks."""

    experiment: str
    field: str
    frame: int
    channels: dict[str, np.ndarray]
    used: tuple[str, ...]
    truth: np.ndarray
    engine: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its file in the cache."""
        return f"{self.field}_{self.frame}".replace("/", "-")

    @cached_property
    def image(self) -> np.ndarray:
        """What an engine sees: the mean of its channels, each between its percentiles."""
        step = PercentileNormalisation(low=1.0, high=99.8)
        made = step(image={name: self.channels[name][None] for name in self.used})["image"]
        return np.mean([np.asarray(each[0]) for each in made.values()], 0).astype(np.float32)

    @cached_property
    def diameter(self) -> float:
        """Median of the true cells', in pixels."""
        sizes = np.bincount(self.truth.ravel())[1:]
        return float(2 * np.sqrt(np.median(sizes[sizes > 0]) / np.pi))

    def spoilt(self, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """The image of channels that are changed."""
        changed = {name: change(self.channels[name].astype(np.float64)) for name in self.used}
        return replace(self, channels=changed).image


def stills() -> Iterator[Still]:
    """Every frame with truth: real films and stills beside the repository, and simulated ones."""
    yield from adcc()
    yield from dsb()
    yield from small_films()
    for name, folder, env, frames in (
        ("SIM+", "ctc_Fluo-N2DH-SIM+_seq01", "simplus", (5, 60)),
        # the frames of GOWT1 whose masks hold every cell; the others' show one to three
        ("GOWT1", "ctc_Fluo-N2DH-GOWT1_seq01_f40", "gowt1", (21, 39)),
    ):
        engine = conf(env, "parameters_segmentation")["segmentation"]["Nucleus"]
        for t in frames:
            raw = tifffile.imread(SHARED / folder / f"01/t{t:03}.tif")
            truth = tifffile.imread(SHARED / folder / f"01_GT/SEG/man_seg{t:03}.tif")
            height, width = (
                n // 2 * 2 for n in raw.shape
            )  # half the resolution: a quarter the time
            raw = raw[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
            truth = np.ascontiguousarray(truth[1:height:2, 1:width:2])
            yield Still(name, name, t, {"c": raw}, ("c",), truth, engine)
    for density, (n_effectors, n_targets) in DENSITIES.items():
        yield from simulated(
            f"simulated {density}",
            SimulatedAssay(
                seed=300, size_px=256, n_frames=10, n_effectors=n_effectors, n_targets=n_targets
            ),
        )
    yield from simulated(
        "simulated large",
        SimulatedAssay(
            seed=400,
            size_px=320,
            n_frames=10,
            n_effectors=6,
            n_targets=14,
            targets={
                "diameter_um": 26.0,
                "texture": 0.4,
                "irregularity": 0.15,
                "brightness_cv": 0.6,
            },
            effectors={"diameter_um": 10.0, "texture": 0.4},
            camera={"read_noise": 4.0, "photons_per_level": 1.0},
        ),
    )


def conf(env: str, name: str) -> Any:
    """A file of an environment's configuration."""
    return yaml.safe_load((ROOT / "conf" / env / f"{name}.yml").read_text(encoding="utf-8"))


def adcc() -> Iterator[Still]:
    """Killing assay, eight experiments: nuclei of targets, with the channels of the others."""
    assay = conf("adcc", "parameters")["assay"]
    engine = conf("adcc", "parameters_segmentation")["segmentation"]["Target"]
    used = tuple(assay["populations"]["Target"]["channels"])
    for path in sorted((SHARED / "celldetective_adcc_dev").glob("*_labelled.tif")):
        stem = path.name.removesuffix("_labelled.tif")
        order = json.loads(path.with_name(f"{stem}.json").read_text(encoding="utf-8"))["channels"]
        stack = tifffile.imread(path.with_name(f"{stem}.tif"))
        written = assay["raw"]["names"].items()
        channels = {name: stack[order.index(theirs)] for name, theirs in written}
        experiment = f"adcc {stem.split('_')[0]}"
        yield Still(experiment, stem, 0, channels, used, tifffile.imread(path), engine)


def dsb() -> Iterator[Still]:
    """Nuclei of many sources: images of one size are of one source."""
    engine = conf("dsb", "parameters_segmentation")["segmentation"]["Nucleus"]
    folder = SHARED / "dsb2018_fluo_dev"
    index = pd.read_csv(folder / "index.csv")
    index = index[index["width"] < 1000].groupby(["height", "width"]).head(3)
    for name, height, width in index[["file", "height", "width"]].itertuples(index=False):
        raw, truth = (
            tifffile.imread(folder / f"{what}/{name}.tif") for what in ("images", "masks")
        )
        yield Still(f"dsb {height}x{width}", name, 0, {"c": raw}, ("c",), truth, engine)


def small_films() -> Iterator[Still]:
    """HeLa nuclei of odd shapes, and a dense epithelium."""
    folder = SHARED / "small_timelapse_nuclei"
    for name in ("mitocheck_incenp_t1", "mitocheck_incenp_t70"):
        raw, truth = (tifffile.imread(folder / f"{name}{end}.tif") for end in ("", "_labels"))
        yield Still("mitocheck", name, 0, {"c": raw}, ("c",), truth)
    name = "laptrack_homeostasis_nuclei"
    raw, truth = (tifffile.imread(folder / f"{name}_{end}_TYX.tif") for end in ("images", "label"))
    for t in (0, 3, 5):
        yield Still("epithelium", "epithelium", t, {"c": raw[t]}, ("c",), truth[t])


def simulated(experiment: str, assay: SimulatedAssay) -> Iterator[Still]:
    """Both populations in the last frame of a simulated field."""
    made = assay(fov=experiment)
    channels = {each: np.asarray(stack[-1]) for each, stack in made["image"].items()}
    for population in ("TCell", "CancerCell"):
        truth = np.asarray(made["label"][population][-1]).astype(np.int32)
        yield Still(experiment, f"{experiment} {population}", 0, channels, (population,), truth)


def run(engine: Any, image: np.ndarray, **data: Any) -> np.ndarray:
    """Labels (Y, X) by an engine."""
    return np.asarray(engine(image=image[None], pixel_size_um=PIXEL_UM, **data)["label"][0])


def variants(still: Still, every: Sequence[Still]) -> Iterator[Masked]:
    """Every way to mask a still; `every` still lends masks of another field."""
    image, truth = still.image, still.truth
    _, numbered = np.unique(np.r_[0, truth.ravel()], return_inverse=True)
    truth = numbered[1:].reshape(truth.shape).astype(np.int32)
    rng = np.random.default_rng(abs(int(truth.sum())) % 2**32)
    yield from by_engines(still, image, truth)
    yield from by_worse_images(still, truth, rng)
    for name in still.channels:
        if name not in still.used:
            yield f"channel {name}", image, run(Nuclei(), replace(still, used=(name,)).image), truth
    others = [
        each.truth
        for each in every
        if each.truth.shape == truth.shape and each.field != still.field
    ]
    other = others[0] if others else truth[::-1, ::-1]
    yield "another field", image, np.ascontiguousarray(other), truth
    yield from from_truth(image, truth, still.diameter, rng)


def by_engines(still: Still, image: np.ndarray, truth: np.ndarray) -> Iterator[Masked]:
    """Engines without weights, as they are and with wrong settings; plain thresholds."""
    d = still.diameter
    for name, engine in ENGINES.items():
        yield name, image, run(engine(), image), truth
    if still.engine:
        engine = ENGINES[still.engine["name"]](**still.engine.get("args", {}))
        yield "configured", image, run(engine, image), truth
    for name in ("Nuclei", "Otsu"):
        for factor in (0.4, 1.0, 2.5) if name == "Nuclei" else (0.4, 0.63, 1.6, 2.5):
            label = run(ENGINES[name](diameter_px=factor * d), image)
            yield f"{name}, diameter x {factor:g}", image, label, truth
    low, high = np.percentile(image, (20, 99))
    smooth = ndi.gaussian_filter(image, max(0.05 * d, 0.7))
    for share in (0.1, 0.3, 0.8):
        label, _ = ndi.label(smooth > low + share * (high - low))
        large = np.bincount(label.ravel()) > 0.05 * d * d
        yield f"threshold at {share:g}", image, np.where(large[label], label, 0), truth
    yield "not split", image, run(Otsu(split=False, diameter_px=d), image), truth
    yield "edge height 0.85", image, run(Li(edge_height=0.85, diameter_px=d), image), truth


def by_worse_images(still: Still, truth: np.ndarray, rng: np.random.Generator) -> Iterator[Masked]:
    """Engines on blurred and noisy images, and with a black margin that they are not told of."""
    d = still.diameter
    for width in (0.2, 0.5):
        sigma = width * d
        blurred = still.spoilt(lambda raw, sigma=sigma: ndi.gaussian_filter(raw, sigma))  # type: ignore[misc]
        yield f"blur {width:g} d", blurred, run(Otsu(), blurred), truth
    for share in (0.5, 2.0):

        def noisy(raw: np.ndarray, share: float = share) -> np.ndarray:
            height = float(np.median(raw[truth > 0]) - np.median(raw[truth == 0]))
            return np.asarray(raw + rng.normal(0, share * abs(height), raw.shape))

        image = still.spoilt(noisy)
        yield f"noise {share:g} h", image, run(LocalThreshold(), image), truth
    cut = truth.shape[0] // 3
    margin = np.arange(truth.shape[0])[:, None] < cut
    image = still.spoilt(lambda raw: np.where(margin, 0, raw))
    left = np.where(margin, 0, truth)
    told = np.ones(truth.shape, bool)
    yield "black margin", image, run(Otsu(), image, valid=told), left


def from_truth(
    image: np.ndarray, truth: np.ndarray, d: float, rng: np.random.Generator
) -> Iterator[Masked]:
    """The truth itself, and spoilt: grown, shrunk, moved, cells lost, cut, joined and invented."""
    yield "truth", image, truth, truth
    n = int(truth.max())
    away, at = ndi.distance_transform_edt(truth == 0, return_indices=True)
    for share in (0.1, 0.2, 0.35):
        yield f"dilated {share:g} d", image, np.where(away <= share * d, truth[tuple(at)], 0), truth
    line = (ndi.maximum_filter(truth, 3) != truth) | (ndi.minimum_filter(truth, 3) != truth)
    deep = ndi.distance_transform_edt(~line)
    for share in (0.08, 0.16, 0.25):
        yield f"eroded {share:g} d", image, np.where(deep > share * d, truth, 0), truth
    for share in (0.12, 0.3, 0.6):
        moved = np.zeros_like(truth)
        step = max(1, round(share * d))
        moved[step:] = truth[:-step]
        yield f"shifted {share:g} d", image, moved, truth
    for share in (0.25, 0.5, 0.9):
        kept = np.r_[False, rng.random(n) > share]
        yield f"dropped {share:g}", image, np.where(kept[truth], truth, 0), truth
        yield f"cut {share:g}", image, cut_in_two(truth, share, rng), truth
        yield f"joined {share:g}", image, joined(truth, share, d, rng), truth
    for share in (0.3, 1.0):
        label = truth.copy()
        y, x = np.ogrid[: truth.shape[0], : truth.shape[1]]
        for k in range(max(1, int(share * n))):
            y0, x0 = rng.uniform(0, truth.shape[0]), rng.uniform(0, truth.shape[1])
            disc = (y - y0) ** 2 + (x - x0) ** 2 < (d / 2) ** 2
            label[disc & (label == 0)] = n + 1 + k
        yield f"invented {share:g}", image, label, truth


def centres(truth: np.ndarray) -> np.ndarray:
    """(n, 2) of cells 1 to n."""
    numbers = np.arange(1, int(truth.max()) + 1)
    return np.array(ndi.center_of_mass(truth > 0, truth, numbers)).reshape(-1, 2)


def cut_in_two(truth: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A share of the cells cut by a line through a point near their middle."""
    n = int(truth.max())
    centre = centres(truth)
    y, x = np.nonzero(truth)
    cell = truth[y, x] - 1
    angle, chosen = rng.uniform(0, np.pi, n), rng.random(n) < share
    side = (y - centre[cell, 0]) * np.sin(angle[cell]) + (x - centre[cell, 1]) * np.cos(angle[cell])
    label = truth.copy()
    label[y, x] += np.where(chosen[cell] & (side > 0), n, 0).astype(label.dtype)
    return label


def joined(truth: np.ndarray, share: float, d: float, rng: np.random.Generator) -> np.ndarray:
    """A share of the cells joined with the nearest one, with what lies between them where it is near."""
    n = int(truth.max())
    if n < 2:
        return truth
    centre, name = centres(truth), np.arange(n + 1)
    for i in rng.permutation(n):
        gap = np.hypot(*(centre - centre[i]).T)
        gap[i] = np.inf
        j = int(gap.argmin())
        if name[i + 1] == i + 1 and name[j + 1] == j + 1 and rng.random() < share:
            name[i + 1] = j + 1
    label = name[truth]
    away, at = ndi.distance_transform_edt(label == 0, return_indices=True)
    pairs = np.isin(label, name[(name != np.arange(n + 1))])
    near = np.where((away <= 0.25 * d) & pairs[tuple(at)], label[tuple(at)], 0)
    return np.where(label > 0, label, near).astype(np.int32)
