"""Cells as blobs: seeds where a Laplacian or difference of Gaussians is highest over space and scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.segmentation.classical import Classical, Scene, levels_of
from cyto_kedro.algorithms.segmentation.cleanup import fill_holes
from cyto_kedro.algorithms.segmentation.split import trim_to_height
from cyto_kedro.core import ndi

_STEP = 2**0.5  # between scales, at most
_RATIO = 1.6  # of the sigmas of a difference of Gaussians


def blobs(
    image: np.ndarray, sigmas: Sequence[float], method: Literal["log", "dog"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bright blobs of `image` (Y, X): maxima over space and scale.

    The response is the scale-normalised ``-sigma**2`` Laplacian of the Gaussian mean (Lindeberg 1998,
    doi:10.1023/A:1008045108935), or its approximation by a difference of two Gaussian means with
    sigmas a factor 1.6 apart (Marr and Hildreth 1980, doi:10.1098/rspb.1980.0020), scaled alike.
    A Gaussian blob of sd s answers most, by half of its height, at sigma = s; a disc of radius r at
    sigma = r / sqrt 2.

    Returns
    -------
    at
        (n, 2) int64, y and x.
    sigma, response
        (n,) float64 of each blob; response in the image's units.
    """
    stack = np.stack([_response(image, sigma, method) for sigma in sigmas])
    peaks = np.nonzero((stack == ndi.maximum_filter(stack, 3, mode="nearest")) & (stack > 0))
    found = np.asarray(sigmas, float)[peaks[0]], stack[peaks].astype(float)
    return np.stack(peaks[1:], axis=1), *found


def _response(image: np.ndarray, sigma: float, method: Literal["log", "dog"]) -> np.ndarray:
    if method == "log":
        return -(sigma**2) * ndi.gaussian_laplace(image, sigma, mode="nearest")
    narrow = ndi.gaussian_filter(image, sigma / _RATIO**0.5, mode="nearest")
    wide = ndi.gaussian_filter(image, sigma * _RATIO**0.5, mode="nearest")
    # a Gaussian blob of sd sigma and height 1 keeps R / (R + 1) in one mean and 1 / (R + 1) in the
    # other: scaled to 1 / 2, as of the Laplacian
    return (narrow - wide) * ((_RATIO + 1) / (2 * (_RATIO - 1)))


class BlobSeeds(Classical):
    """One cell for each blob of the right size, as far as it stands out: for round, crowded cells.

    Steps per frame: flattening and smoothing; blobs over the scales of cells between `smallest` and
    `largest` (`blobs`); those too weak, and those that a stronger one overlaps, left out; a watershed
    of the smoothed intensities from the others, within what lies above the noise and `min_height`;
    each cell trimmed to its own half height. Foreground without a blob is no cell.

    Examples
    --------
    >>> y, x = np.mgrid[:60, :90]
    >>> two = 100.0 + 50 * ((y - 30) ** 2 + (abs(x - 45) - 20) ** 2 < 100)
    >>> int(BlobSeeds(diameter_px=20)(image=two[None])["label"].max())
    2
    """

    method: Literal["log", "dog"] = Field(
        default="log",
        description="Laplacian of Gaussian, or difference of Gaussians, its approximation",
    )
    smallest: float = Field(
        default=0.8, gt=0, description="smallest scale, in typical cell diameters"
    )
    largest: float = Field(default=1.4, gt=0, description="largest scale, in typical diameters")
    overlap: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="of two blobs nearer than this share of the sum of their radii the stronger stays",
    )
    min_height: float = Field(
        default=0.3,
        ge=0,
        lt=1,
        description="least height of a cell's pixels and of its blob, as a share of the Otsu "
        "threshold's height over background",
    )

    @model_validator(mode="after")
    def _in_order(self) -> BlobSeeds:
        if self.largest < self.smallest:
            raise ValueError(f"largest={self.largest} is less than smallest={self.smallest}")
        return self

    def cells(self, scene: Scene) -> np.ndarray:
        from skimage.segmentation import watershed

        image, diameter = scene.image, scene.diameter
        found = levels_of(scene, self.sigma(diameter))
        smooth, level = found.smooth, found.level
        least = max(self.min_contrast * found.noise, self.min_height * (found.threshold - level))
        count = int(np.ceil(np.log(self.largest / self.smallest) / np.log(_STEP))) + 1
        diameters = np.geomspace(self.smallest, self.largest, count) * diameter
        at, scale, strength = blobs(image, list(diameters / 2 / 2**0.5), self.method)
        mask = fill_holes(smooth - level > least, 0.3 * np.pi / 4 * diameter**2)
        good = (strength >= least / 2) & mask[tuple(at.T)]
        at, scale, strength = at[good], scale[good], strength[good]
        kept = at[_strongest(at, scale * 2**0.5, strength, self.overlap)]
        seeds = np.zeros(image.shape, np.int64)
        seeds[tuple(kept.T)] = np.arange(1, len(kept) + 1)
        label = watershed(-ndi.gaussian_filter(image, 0.1 * diameter), seeds, mask=mask)
        return trim_to_height(smooth, label, level, self.edge_height) if self.edge_height else label


def _strongest(
    at: np.ndarray, radius: np.ndarray, strength: np.ndarray, overlap: float
) -> np.ndarray:
    """(n,) bool: blobs that no stronger kept one overlaps; of equals the first stays."""
    from scipy.spatial import cKDTree

    alive = np.ones(len(at), bool)
    if len(at) < 2:
        return alive
    pairs = cKDTree(at).query_pairs(2 * overlap * float(radius.max()), output_type="ndarray")
    gap = np.hypot(*(at[pairs[:, 0]] - at[pairs[:, 1]]).T)
    pairs = pairs[gap < overlap * radius[pairs].sum(1)]
    rank = np.empty(len(at), int)
    rank[np.lexsort((at[:, 1], at[:, 0], -strength))] = np.arange(len(at))
    order = np.sort(rank[pairs], 1)  # stronger first
    # in rounds, by rank: whoever has no stronger living rival stays and removes its rivals
    while len(order):
        beaten = np.zeros(len(at), bool)
        beaten[order[:, 1]] = True
        wins = ~beaten[order[:, 0]]
        alive[order[wins, 1]] = False
        order = order[alive[order].all(1) & ~wins]
    return alive[rank]
