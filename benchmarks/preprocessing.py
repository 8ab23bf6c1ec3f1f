"""How well preprocessing recovers what is known, and what each step costs.

``python benchmarks/preprocessing.py`` prints the tables of docs/preprocessing.md. Films are made here:
slow cells over known light, so that the truth is known to the last digit.
"""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

import numpy as np
from scipy import ndimage as ndi

from cyto_kedro.algorithms.preprocessing.base import Step
from cyto_kedro.algorithms.preprocessing.chain import apply_film, estimate_chain
from cyto_kedro.algorithms.preprocessing.flat import FlatField
from cyto_kedro.algorithms.preprocessing.registration import DriftRegistration
from cyto_kedro.registry import build

SIZE, FRAMES = 1024, 8
STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("PercentileNormalisation", {}),
    ("MinMaxNormalisation", {}),
    ("RobustNormalisation", {}),
    ("Gamma", {}),
    ("HistogramMatching", {}),
    ("Background", {"method": "rolling_ball", "radius_px": 25}),
    ("Background", {"method": "morphological", "radius_px": 25}),
    ("Background", {"method": "gaussian", "radius_px": 25}),
    ("Background", {"method": "polynomial"}),
    ("FlatField", {"flat": "mean"}),
    ("FlatField", {"flat": "robust"}),
    ("BleachCorrection", {}),
    ("DriftRegistration", {"channel": "a"}),
    ("ChannelOffset", {"reference": "a"}),
    ("BleedThrough", {"source": "b", "channels": ["a"], "fraction": 0.1}),
    ("ChannelMerge", {"channels": ["a", "b"], "output": "m"}),
    ("CrossChannelCorrelation", {"channels": ["a", "b"], "output": "r"}),
    ("GaussianSmooth", {"sigma_px": 1.0}),
    ("MedianFilter", {"radius_px": 1}),
    ("NonLocalMeans", {}),
    ("TemporalMedian", {"radius_frames": 2}),
)


def film(n: int, size: int, cells: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(T, Y, X) of slow cells under uneven light on an offset of 100; the flat field (Y, X)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / (size - 1) - 0.5
    flat = 1 - (x - 0.1) ** 2 - (y + 0.05) ** 2 + 0.2 * x
    flat /= flat.mean()
    at = rng.random((cells, 2)) * size
    frames = np.empty((n, size, size), np.float32)
    for t in range(n):
        at = (at + rng.normal(0, 4, at.shape)) % size
        points = np.zeros((size, size), np.float32)
        np.add.at(points, tuple(at.astype(int).T), 300 * 2 * np.pi * 16)
        light = 200 + ndi.gaussian_filter(points, 4)
        frames[t] = flat * light + 100 + rng.normal(0, 8, (size, size))
    return frames, flat


def flat_fields() -> list[str]:
    """Error of the estimated flat field, by method, frames and cells."""
    rows = ["| frames | cells in 512² | mean | robust |", "|---|---|---|---|"]
    for n, cells in ((1, 60), (8, 60), (40, 60), (40, 240), (40, 800)):
        stack, truth = film(n, 512, cells)
        errors = []
        for method in ("mean", "robust"):
            step = FlatField.model_validate({"flat": method, "dark": 100})
            found = step.estimate([{"image": {"c": stack}}])["flat"]["c"]
            errors.append(100 * float(np.sqrt(np.mean((found - truth) ** 2))))
        rows.append(f"| {n} | {cells} | {errors[0]:.1f} % | {errors[1]:.1f} % |")
    return rows


def drifts() -> list[str]:
    """Error of the shifts that drift registration finds, by noise."""
    rng = np.random.default_rng(1)
    scene = ndi.gaussian_filter(rng.random((400, 400)), 3) * 1e4
    truth = np.cumsum(rng.uniform(-2, 2, (30, 2)), axis=0)
    truth -= truth[0]
    clean = np.stack([ndi.shift(scene, each, order=3)[72:328, 72:328] for each in truth])
    rows = ["| noise, share of the signal's sd | previous | first |", "|---|---|---|"]
    for share in (0.05, 0.5, 2.0):
        noisy = clean + rng.normal(0, share * clean.std(), clean.shape)
        errors = []
        for reference in ("previous", "first"):
            step = DriftRegistration.model_validate({"channel": "a", "reference": reference})
            found = step.estimate([{"image": {"a": noisy}}])["shift_yx_px"]
            errors.append(float(np.sqrt(np.mean((found + truth) ** 2))))
        rows.append(f"| {share:g} | {errors[0]:.2f} px | {errors[1]:.2f} px |")
    return rows


def costs() -> list[str]:
    """CPU milliseconds per frame of SIZE² and channel, estimate and apply."""
    stack = film(FRAMES, SIZE, 450)[0].astype(np.uint16)
    other = film(FRAMES, SIZE, 200, 1)[0].astype(np.uint16)

    def blocks() -> Any:
        image = {"a": stack, "b": other}
        for t in range(0, FRAMES, 4):
            yield {"image": {k: v[t : t + 4] for k, v in image.items()}, "frame_start": t}

    rows = ["| step | estimate | apply |", "|---|---|---|"]
    for name, arguments in STEPS:
        step = build("preprocessing", name, arguments)
        assert isinstance(step, Step)
        start = time.process_time()
        states = estimate_chain([step], blocks)
        middle = time.process_time()
        for _ in apply_film([step], states, blocks()):
            pass
        spent = (middle - start, time.process_time() - middle)
        per_frame = [1000 * each / FRAMES / 2 for each in spent]
        words = ", ".join(
            str(value) for key, value in arguments.items() if key in ("method", "flat")
        )
        label = f"{name} ({words})" if words else name
        rows.append(f"| {label} | {per_frame[0]:.0f} | {per_frame[1]:.0f} |")
    return rows


def main() -> str:
    """All tables."""
    parts = [flat_fields(), drifts(), costs()]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return "\n\n".join("\n".join(part) for part in parts) + f"\n\npeak memory {peak:.0f} MB\n"


if __name__ == "__main__":
    sys.stdout.write(main())
