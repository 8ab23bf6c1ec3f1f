"""Whether what a network calls a cell stands out of the noise: networks invent cells in empty frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cyto_kedro.algorithms.preprocessing.denoise import noise_sd
from cyto_kedro.algorithms.preprocessing.parts import Part
from cyto_kedro.algorithms.segmentation.frames import FieldFrame
from cyto_kedro.algorithms.segmentation.scale import background_level, flatten, pool
from cyto_kedro.core import ndi
from cyto_kedro.core.ranks import Ranks

_LEAST = 0.1  # of the noise of a pixel
_SMOOTHING = 0.2  # of a diameter: sd of the Gaussian after which noise is as broad as cells


def standing_out(label: np.ndarray, frames: Sequence[FieldFrame], contrast: float) -> np.ndarray:
    """Labels (Y, X) whose cells are `contrast` times as high over background as its noise is.

    Noise is the spread of the background after a Gaussian of a fifth of the cells' median diameter, so
    that of neighbouring pixels, which a network may take for cells, counts in full. A cell's height is
    its mean after the same Gaussian, less the slow background around it.

    `label`: of the frame, or a tile. `frames`: the same in each channel: standing out in one is
    enough. Background and noise are those of the whole field.
    """
    area = np.bincount(label.ravel())[1:]
    if not contrast or not area.any():
        return label
    diameter = float(2 * np.sqrt(np.median(area[area > 0]) / np.pi))
    keep = np.zeros(area.size + 1, bool)
    for frame in (replace(each, as_filmed=False) for each in frames):
        keep[1:] |= _heights(label, frame, diameter) > contrast
    return np.where(keep[label], label, 0).astype(label.dtype)


def _heights(label: np.ndarray, frame: FieldFrame, diameter: float) -> np.ndarray:
    """Height of each label over background, in sd of its noise; no noise is the least there is."""

    def seen(part: Part) -> Part:
        smooth = ndi.gaussian_filter(flatten(part.image, diameter), max(_SMOOTHING * diameter, 1))
        return Part(smooth, part.filmed)

    own = seen(frame.part)
    parts = [own if part is frame.part else seen(part) for part in frame.windows()]
    light = Ranks(pool([part.pixels for part in parts]))
    if light.ends[0] == light.ends[1]:
        return np.zeros(int(label.max()))
    level, noise = background_level(light, light.otsu())
    height = ndi.mean(own.image, label, np.arange(1, int(label.max()) + 1)) - level
    # what is left of a slope, or of rounding, is no cell, however wide it is
    least = max(_LEAST * noise_sd(frame.part.image), 1e-5 * float(np.abs(frame.part.image).max()))
    return np.asarray(height) / max(noise, least, float(np.finfo(np.float32).tiny))
