"""What a pixel looks like at several scales, as a classifier of pixels sees it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from cyto_kedro.algorithms.segmentation.frames import FieldFrame
from cyto_kedro.algorithms.segmentation.scale import background_level
from cyto_kedro.core import ndi
from cyto_kedro.core.ranks import Ranks

#: Raised when features change: a model of other features is refused.
VERSION = 1
SCALES = (0.04, 0.08, 0.16, 0.32, 0.64)  # sigmas of Gaussians, in cell diameters
_LEAST_SIGMA = 0.5  # pixels
REACH = 4 * SCALES[-1]  # how far a pixel's features look, in cell diameters


def n_features(n_channels: int) -> int:
    """How many features a pixel has."""
    return n_channels * (5 * len(SCALES) + len(SCALES) - 1)


def levels(frame: FieldFrame) -> tuple[float, float]:
    """Background level of a frame's field, and the height of its Otsu threshold over it.

    In units of these, fields of other brightness look alike. In a field of noise the height is three
    sd of it.
    """
    pixels = frame.sample()
    if pixels.size == 0 or np.ptp(pixels) == 0:
        return 0.0, 1.0
    light = Ranks(pixels)
    threshold = light.otsu()
    level, noise = background_level(light, threshold)
    return level, max(threshold - level, 3 * noise, 1e-9)


def features(images: Sequence[np.ndarray], diameter: float) -> np.ndarray:
    """Features (Y, X, n) float32 of the channels of a frame, each (Y, X), scaled by its `levels`.

    Per channel and scale: the Gaussian, its gradient, its Laplacian and both eigenvalues of its
    Hessian, in units of the scale; between neighbouring scales the difference of Gaussians. These
    are what ilastik calls colour, edge and texture (Berg et al. 2019,
    doi:10.1038/s41592-019-0582-9). The square root makes steps of photon noise alike.
    """
    found: list[np.ndarray] = []
    for image in images:
        root = np.sign(image) * np.sqrt(np.abs(image, dtype=np.float32))
        smooth = []
        for scale in SCALES:
            sigma = max(scale * diameter, _LEAST_SIGMA)
            one = ndi.gaussian_filter(root, sigma, mode="nearest", output=np.float32)
            gy, gx = np.gradient(one)
            yy, yx = np.gradient(gy)
            xx = np.gradient(gx, axis=1)
            spread = np.sqrt(((yy - xx) / 2) ** 2 + yx**2)
            middle = (yy + xx) / 2
            found += [one, np.hypot(gy, gx) * sigma, 2 * middle * sigma**2]
            found += [(middle - spread) * sigma**2, (middle + spread) * sigma**2]
            smooth.append(one)
        found += [fine - coarse for fine, coarse in pairwise(smooth)]
    return np.stack(found, axis=-1).astype(np.float32, copy=False)
