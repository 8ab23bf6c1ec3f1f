"""Each step up to tracking alone: time and memory a frame, beside the library that it calls.

    python benchmarks/frontend.py                  # all
    python benchmarks/frontend.py --only Otsu LAP  # whose names contain one of these
    .venv-cellpose/bin/python benchmarks/frontend.py --only CellPose --no-growth  # and StarDist

Frames of 1024 x 1024, 450 cells (`long_film.frames`), 32-bit floats for engines, 16-bit for the rest,
one process, one thread. Milliseconds a frame, estimate and apply together, CPU and by the clock, the
best of the repeats. Memory is the most that Python's arrays reached beyond the input for one frame
(`tracemalloc`; what compiled code allocates for itself is not in it). `library` is a call of the
library alone that serves the same end, CPU, in turn with ours on the same frames; `overhead` is what
ours takes beyond it. `filters` is CPU in filters of whole frames (`core.ndi`: Gaussians, extremes,
medians, distances of 2^16 pixels and more), which is what a GPU could take over. Then CPU by side of
the field (cells in proportion) and by number of cells.

Linkers get a table of `--linked` frames; their memory is that of the whole film.
"""

from __future__ import annotations

import argparse
import os
import time
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # before the libraries are loaded

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from scipy import ndimage as ndi  # noqa: E402

from cyto_kedro.algorithms.preprocessing.chain import apply_film, estimate_chain  # noqa: E402
from cyto_kedro.algorithms.preprocessing.denoise import noise_sd  # noqa: E402
from cyto_kedro.core import ndi as core_ndi  # noqa: E402
from cyto_kedro.registry import build  # noqa: E402
from long_film import frames  # noqa: E402
from preprocessing import STEPS  # noqa: E402

Work = Callable[[], Any]
PIXEL_UM = 0.5
ENGINES: tuple[tuple[str, dict[str, Any]], ...] = (
    *((name, {}) for name in ("Otsu", "Li", "LocalThreshold", "Nuclei")),
    ("LocalThreshold", {"diameter_px": 14}),
)
MODELS = Path(__file__).resolve().parents[1] / "../shared/models"
LEARNED: dict[
    str, dict[str, Any]
] = {  # each in an environment of its own: only where it is asked for
    "CellPose": {
        "model": str(MODELS / "cellpose3_dsb2018_nuclei/cp3_dsb2018_nuclei"),
        "diameter_px": 14,
        "gpu": False,
    },
    "StarDist": {
        "model": str(MODELS / "stardist_dsb2018_nuclei"),
        "diameter_px": 14,
        "model_diameter_px": 17,
    },
}
CLEAN_UP: tuple[tuple[str, dict[str, Any]], ...] = (
    ("CleanUp", {"min_area_px": 20, "largest_part": True}),
    ("SplitTouching", {"diameter_px": 14}),
    ("SmoothOutlines", {"radius_px": 2}),
    ("SubtractPopulation", {}),
)
LINKERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("LAP", {"max_distance_px": 15}),
    ("LAP", {"max_distance_px": 15, "gap_closing_max_frames": 2, "splitting": True}),
    ("TrackPy", {"search_range_px": 10, "memory": 1}),
    ("Overlap", {}),
)


class Scene:
    """Frames of one size and number of cells, and what is read off them, made once each."""

    def __init__(self, n: int, side: int, cells: int) -> None:
        self.raw = np.stack(list(islice(frames(n, side, cells), n)))
        low, high = np.percentile(self.raw, (1.0, 99.8))
        self.scaled = np.clip((self.raw.astype(np.float32) - low) / (high - low), 0, 1)
        engine = build("segmentation", "LocalThreshold", {"diameter_px": 14})
        self.label = engine({"image": self.scaled})["label"]
        self.where = {"fov": "f", "population": "cells", "pixel_size_um": PIXEL_UM}
        features = build("tabulation", "Features", {})
        table = features({**self.where, "label": self.label, "image": {"a": self.raw}})
        self.cells: pd.DataFrame = table["dataframe"]


@cache
def scene(n: int, side: int, cells: int) -> Scene:
    """See `Scene`."""
    return Scene(n, side, cells)


def preprocess(name: str, arguments: dict[str, Any], of: Scene, n: int) -> Work:
    """A step on `n` frames of the channel a (and b, where it reads one)."""
    two = {"ChannelOffset", "BleedThrough", "ChannelMerge", "CrossChannelCorrelation"}
    image = {"a": of.raw[:n]} | ({"b": of.raw[:n][:, ::-1]} if name in two else {})
    step: Any = build("preprocessing", name, arguments)

    def blocks() -> Any:
        yield {"image": image, "frame_start": 0}

    def work() -> None:
        for _ in apply_film([step], estimate_chain([step], blocks), blocks()):
            pass

    return work


def on_frames(stage: str, name: str, arguments: dict[str, Any], of: Scene, n: int) -> Work:
    """An engine, a clean-up step, features or a linker on `n` frames."""
    data: dict[str, Any] = {**of.where, "image": of.scaled[:n], "label": of.label[:n]}
    if stage == "tabulation":
        data["image"] = {"a": of.raw[:n]}
    if stage == "tracking":
        data |= {"dataframe": of.cells[of.cells["frame"] < n], "n_frames": n}
        data["shape"] = of.raw.shape[1:]
    if name == "SubtractPopulation":
        data["subtract"] = [of.label[:n, ::-1]]
    step = build(stage, name, arguments)
    return lambda: step(data)


def library(name: str, arguments: dict[str, Any], of: Scene, n: int) -> Work | None:
    """What a user of the library alone would call for the same result, or None."""
    from skimage import exposure, restoration
    from skimage.measure import label, regionprops_table
    from skimage.morphology import remove_small_objects
    from skimage.registration import phase_cross_correlation

    def each(call: Callable[[np.ndarray], Any]) -> Work:
        return lambda: [call(frame.astype(np.float32)) for frame in of.raw[:n]]

    first = of.raw[0].astype(np.float32)
    method = arguments.get("method")
    if name == "Background" and method == "rolling_ball":
        return each(lambda x: x - restoration.rolling_ball(x, radius=25))
    if name == "Background" and method == "morphological":
        return each(lambda x: x - ndi.grey_opening(x, (51, 51), mode="nearest"))
    if name == "Background" and method == "gaussian":
        return each(lambda x: x - ndi.gaussian_filter(x, 25, mode="nearest"))
    if name == "NonLocalMeans":
        sd = noise_sd(first)
        own = {"patch_size": 5, "patch_distance": 6, "fast_mode": True}
        return each(lambda x: restoration.denoise_nl_means(x, h=0.8 * sd, sigma=sd, **own))
    if name == "TemporalMedian":
        return lambda: [np.median(of.raw[max(0, t - 2) : t + 3][: n + 2], 0) for t in range(n)]
    if name == "PercentileNormalisation":
        return lambda: exposure.rescale_intensity(
            of.raw[:n].astype(np.float32), tuple(np.percentile(of.raw[:n], (1, 99.8))), (0, 1)
        )
    if name == "DriftRegistration":

        def register() -> None:
            for one, two in zip(of.raw[: n - 1], of.raw[1:n], strict=True):
                by = phase_cross_correlation(one, two, upsample_factor=20, normalization=None)[0]
                ndi.shift(two.astype(np.float32), by, order=1, mode="nearest")

        return register
    if name == "TrackPy":
        import trackpy

        trackpy.quiet()
        cells = of.cells[of.cells["frame"] < n]
        table = cells.assign(x=cells["x_px"], y=cells["y_px"])[["frame", "y", "x"]]
        return lambda: trackpy.link(table, 10, memory=1)
    if name == "LAP":
        from laptrack import LapTrack

        cells = of.cells[of.cells["frame"] < n]
        parts = [part[["y_px", "x_px"]].to_numpy() for _, part in cells.groupby("frame")]
        split = 225 if arguments.get("splitting") else False
        tracker = LapTrack(cutoff=225, gap_closing_cutoff=225, splitting_cutoff=split)
        return lambda: tracker.predict(parts)
    if name == "CellPose":
        from cellpose.models import CellposeModel

        network = CellposeModel(gpu=False, pretrained_model=arguments["model"])
        given = {"channels": [0, 0], "diameter": arguments["diameter_px"]}
        return lambda: [network.eval(frame, **given) for frame in of.scaled[:n]]
    if name == "StarDist":
        from csbdeep.utils import normalize
        from stardist.models import StarDist2D

        model = StarDist2D(None, Path(arguments["model"]).name, basedir=str(MODELS))
        scale = arguments["model_diameter_px"] / arguments["diameter_px"]
        quiet = {"scale": scale, "show_tile_progress": False}
        return lambda: [
            model.predict_instances(normalize(frame, 1, 99.8), **quiet) for frame in of.scaled[:n]
        ]
    wanted = ("label", "centroid", "bbox", "area", "perimeter", "solidity", "feret_diameter_max")
    wanted += ("eccentricity", "orientation", "intensity_mean", "intensity_std", "intensity_max")
    calls: dict[str, Work] = {
        "MinMaxNormalisation": each(lambda x: exposure.rescale_intensity(x, out_range=(0.0, 1.0))),
        "Gamma": each(lambda x: exposure.adjust_gamma(x, 0.5)),
        "HistogramMatching": each(lambda x: exposure.match_histograms(x, first)),
        "GaussianSmooth": each(lambda x: ndi.gaussian_filter(x, 1.0)),
        "MedianFilter": each(lambda x: ndi.median_filter(x, 3, mode="nearest")),
        "CleanUp": lambda: [
            remove_small_objects(label(ndi.binary_fill_holes(x)), max_size=19) for x in of.label[:n]
        ],
        "Features": lambda: [
            regionprops_table(mask, image, properties=wanted)
            for mask, image in zip(of.label[:n], of.raw[:n], strict=True)
        ],
    }
    return calls.get(name)


def clock(work: Work, n: int) -> tuple[float, float]:
    """Milliseconds a frame, CPU and wall."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return 1e3 * (time.process_time() - cpu) / n, 1e3 * (time.perf_counter() - wall) / n


FILTERS = (
    *("gaussian_filter", "gaussian_laplace", "gaussian_filter1d", "median_filter", "sobel"),
    *("minimum_filter", "maximum_filter", "laplace", "second_differences"),
    "distance_transform_edt",
)


def in_filters(work: Work, n: int) -> float:
    """CPU milliseconds a frame in filters of whole frames."""
    spent, inside = 0.0, False

    def timed(of: Work) -> Work:
        def measured(image: Any, *more: Any, **named: Any) -> Any:
            nonlocal spent, inside
            if inside or np.size(image) < 1 << 16:
                return of(image, *more, **named)
            inside, began = True, time.process_time()
            try:
                return of(image, *more, **named)
            finally:
                spent, inside = spent + time.process_time() - began, False

        return measured

    with ExitStack() as patched:
        for name in FILTERS:
            one = timed(getattr(core_ndi, name))
            patched.enter_context(patch.object(core_ndi, name, one, create=True))
        work()
    return 1e3 * spent / n


def peak(work: Work) -> float:
    """Megabytes that arrays reached."""
    tracemalloc.start()
    work()
    reached = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return reached / 1e6


def every(only: list[str]) -> list[tuple[str, str, dict[str, Any]]]:
    """(stage, class, arguments) of what is asked for."""
    stages = {
        "preprocessing": STEPS,
        "segmentation": ENGINES + CLEAN_UP,
        "tabulation": (("Features", {}),),
        "tracking": LINKERS,
    }
    all_ = [(stage, *each) for stage, steps in stages.items() for each in steps]
    all_ += [("segmentation", *each) for each in LEARNED.items() if each[0] in only]
    return [each for each in all_ if not only or any(word in each[1] for word in only)]


def make(stage: str, name: str, arguments: dict[str, Any], of: Scene, n: int) -> Work:
    """The work to time."""
    if stage == "preprocessing":
        return preprocess(name, arguments, of, n)
    return on_frames(stage, name, arguments, of, n)


def words(name: str, arguments: dict[str, Any]) -> str:
    """A row's name."""
    told = [str(v) for k, v in arguments.items() if k in ("method", "flat")]
    told += [k for k in ("splitting",) if k in arguments]
    told += ["diameter given"] if name == "LocalThreshold" and arguments else []
    return f"{name} ({', '.join(told)})" if told else name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], help="parts of class names")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--linked", type=int, default=40, help="frames that linkers get")
    parser.add_argument("--side", type=int, default=1024, help="of the field; cells in proportion")
    parser.add_argument("--no-growth", action="store_true", help="1024 x 1024, 450 cells only")
    args = parser.parse_args()
    asked = every(args.only)
    print(
        "| step | CPU ms | filters | wall ms | MB | library, CPU ms | overhead |\n"
        "|---|---|---|---|---|---|---|"
    )
    for stage, name, arguments in asked:
        n = args.linked if stage == "tracking" else args.frames
        of = scene(n, args.side, round(450 * (args.side / 1024) ** 2))
        ours, theirs = make(stage, name, arguments, of, n), library(name, arguments, of, n)
        times = np.full((args.repeats, 3), np.nan)
        ours()  # first use of a library
        for row in times:
            row[:2] = clock(ours, n)
            if theirs:
                row[2] = clock(theirs, n)[0]
        cpu, wall, bare = times.min(axis=0)
        least = n if stage == "tracking" else 1
        memory = peak(make(stage, name, arguments, of, least))
        more = f"{bare:.1f} | {cpu / bare - 1:+.0%}" if theirs else " | "
        row = f"| {words(name, arguments)} | {cpu:.1f} | {in_filters(ours, n):.1f} | {wall:.1f} "
        print(f"{row}| {memory:.0f} | {more} |", flush=True)
    if args.no_growth:
        return
    places = [(512, 112), (1024, 450), (2048, 1800), (1024, 100), (1024, 1800)]
    heads = [f"{side}², {cells} cells" for side, cells in places]
    print("\n| CPU ms a frame | " + " | ".join(heads) + " |\n" + "|---" * (1 + len(heads)) + "|")
    for stage, name, arguments in asked:
        n = 10 if stage == "tracking" else 2
        works = (make(stage, name, arguments, scene(n, *place), n) for place in places)
        row = " | ".join(f"{clock(work, n)[0]:.1f}" for work in works)
        print(f"| {words(name, arguments)} | {row} |", flush=True)


if __name__ == "__main__":
    main()
