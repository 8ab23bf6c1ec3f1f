"""Bright round cells, each by its own threshold: the most accurate of the engines without weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.segmentation.classical import (
    Classical,
    Levels,
    Scene,
    coarse_factor,
    levels_of,
)
from cyto_kedro.algorithms.segmentation.cleanup import renumber
from cyto_kedro.algorithms.segmentation.packing import flood, within
from cyto_kedro.algorithms.segmentation.scale import smoothed_noise
from cyto_kedro.algorithms.segmentation.split import cut_by_distance, trim_to_height
from cyto_kedro.algorithms.segmentation.tree import RegionTree
from cyto_kedro.core import ndi

_LEVELS = 250
_LEAST_FILL = (0.8, 0.85)  # in the first look, and in later ones, where haloes remain
_SPLIT_GAIN = 1.1  # a region is cut where its parts are better by this factor
_ALIKE = 4  # widths of the smoothing in which noise of neighbours may be alike
_RIM = 0.6  # of the least contrast: a cell as dim as it may be has a dimmer rim
_HAZE = 75  # percentile of what is below the threshold
_REACH = 0.2  # how far a region grows to its cell's edge, in diameters


@dataclass(frozen=True)
class SeenFrame:
    """What is measured once in a frame; lengths in pixels, images (Y, X)."""

    smooth: np.ndarray  # above the background's level
    root: np.ndarray  # its square root: equal steps stand out equally from photon noise
    slope: np.ndarray  # gradient of the root
    threshold: float  # Otsu's, above the background's level
    high: float  # of the root, 99.9th percentile over the field
    floor: float  # least of `smooth` that can be a cell's rim
    least_mean: float  # of `smooth` over a region that can be a cell
    least_height: float
    diameter: float
    smallest: float
    largest: float


class Nuclei(Classical):
    """Choose among the regions of all thresholds those that look most like one cell.

    Steps per frame: flattening and smoothing; the max-tree of the square root of intensity, that is
    every connected region of every threshold (`RegionTree`); a score for each,
    ``sqrt(area) * mean gradient on its contour * exp(-(1 - fill) / tolerance)``, where fill is its
    area over that of the ellipse with its second moments (1 for ellipses, 0.89 for two touching
    discs); the disjoint regions with the largest sum; a cut along the watershed of the distance to
    the edge of what is above `core_height`, where the parts score better; growth to half of each
    cell's own height, or nearer to a level common to all (`common_edge`). What the chosen
    cells leave over is searched again: a dim cell that leans on a bright one is found then. Cells of 60
    pixels or more are chosen in block means, so that the cost does not grow with magnification.

    Trees of thresholds with a choice by shape: Arteta et al. 2012 (doi:10.1007/978-3-642-33415-3_43),
    there with a trained score.

    Examples
    --------
    >>> y, x = np.mgrid[:60, :90]
    >>> two = 100.0 + 50 * ((y - 30) ** 2 + (abs(x - 45) - 20) ** 2 < 100)
    >>> int(Nuclei(diameter_px=20)(image=two[None])["label"].max())
    2
    """

    smoothing: float = Field(
        default=0.035, ge=0, le=0.5, description="sigma of the Gaussian, in cell diameters"
    )
    min_height: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="least mean height over the outline, as a share of the height of the Otsu "
        "threshold over background: lower for dim cells beside bright ones",
    )
    haze_height: float = Field(
        default=0.0,
        ge=0,
        description="least mean height over the outline, as a share of the haze (the 75th percentile of "
        "what is below the Otsu threshold, over background). With it min_height may be low: dim cells "
        "are found in clear fields, and haze is not outlined in others",
    )
    tolerance: float = Field(
        default=0.05, gt=0, description="how far cells depart from ellipses; smaller: more splits"
    )
    core_height: float = Field(
        default=0.6,
        ge=0,
        lt=1,
        description="share of a cell's height over which it is looked at for narrow places to cut it; "
        "higher: more cuts",
    )
    common_edge: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="how far cells end at one level, the Otsu threshold, and not each at its own "
        "edge_height (0): weights of their geometric mean. People draw nearer to one level",
    )
    looks: int = Field(
        default=2, ge=1, le=5, description="searches, each in what the ones before left over"
    )

    def cells(self, scene: Scene) -> np.ndarray:
        factor = coarse_factor(scene.diameter)  # chosen in a smaller image, edges found in this
        frame = self._measured(scene.coarser(factor))
        label, cells = self.chosen(frame)
        if factor == 1 or not label.any():
            return cells
        del frame, cells
        height, width = scene.image.shape
        label = label.repeat(factor, 0).repeat(factor, 1)[:height, :width]
        return self._grown(self._measured(scene), label)

    def chosen(self, frame: SeenFrame) -> tuple[np.ndarray, np.ndarray]:
        """The regions of a frame that are cells, and these grown to their edges: labels (Y, X)."""
        label = np.zeros(frame.smooth.shape, np.int32)
        cells = label
        for look in range(self.looks):
            hidden = within(cells > 0, 0.05 * frame.diameter) if look else None
            found = self._look(frame, hidden, _LEAST_FILL[min(look, 1)])
            if not found.any():
                break
            found[found > 0] += label.max()
            label = numbered(np.where(found > 0, found, label))
            cells = self._grown(frame, label)
        return label, cells

    def _measured(self, scene: Scene) -> SeenFrame:
        sigma = self.sigma(scene.diameter)
        found = levels_of(scene, sigma)
        smooth, level, threshold = found.smooth, found.level, found.threshold
        noise = self._noise(scene, sigma, found)

        def root_of(light: np.ndarray) -> np.ndarray:
            return np.sqrt(np.maximum(light - level, 0))

        root = root_of(smooth)
        return SeenFrame(
            smooth=smooth - level,
            root=root,
            slope=slope_of(root),
            threshold=threshold - level,
            high=float(found.light.percentile(99.9, change=root_of)),
            floor=_RIM * self.min_contrast * noise,
            least_mean=self.min_contrast * noise,
            least_height=max(
                self.min_height * (threshold - level),
                self.haze_height * haze_of(found) if self.haze_height else 0.0,
                0.5 * self.min_contrast * noise,
            ),
            diameter=scene.diameter,
            smallest=max(scene.smallest, 1.0),
            largest=scene.largest,
        )

    def _noise(self, scene: Scene, sigma: float, found: Levels) -> float:
        """Sd of what is left of the noise, also where that of neighbouring pixels is alike.

        The spread of the background holds for any noise, and counts haze as well; second differences
        see no haze, and no noise that is broader than they are. So the lesser of the spread and of wide
        differences counts, and the spread alone in a frame that is nearly all noise.
        """
        fine, wide = (
            float(np.median([smoothed_noise(p, sigma, found.threshold, n) for p in scene.parts]))
            for n in (1, _ALIKE)
        )
        bare = found.threshold - found.level < self.min_contrast * found.noise
        return max(fine, found.noise if bare else min(wide, found.noise))

    def _look(self, frame: SeenFrame, hidden: np.ndarray | None, least_fill: float) -> np.ndarray:
        """Regions (Y, X) chosen where it is not `hidden`, numbered from 1."""
        low = min(frame.floor**0.5, frame.high)
        step = max(frame.high - low, 1e-12) / (_LEVELS - 1)
        level = np.clip(1 + (frame.root - low) / step, 1, _LEVELS)
        open_ = frame.smooth > frame.floor
        if hidden is not None:
            open_ &= ~hidden
        tree = RegionTree.of(np.where(open_, level, 0).astype(np.uint8), frame.smallest)
        del level, open_
        smooth = frame.smooth[tree.inside]
        one = np.ones(smooth.size)
        area, light, *shape, contour, edge, slope = tree.sums(
            (one, smooth, *moments(tree.inside)), (one, smooth, frame.slope[tree.inside])
        )
        area, contour = np.maximum(area, 1), np.maximum(contour, 1)  # node 0 may be empty
        mean, fill = light / area, ellipse_fill(area, *shape)
        height = mean - edge / contour
        possible = (area >= frame.smallest) & (area <= frame.largest) & (fill >= least_fill)
        possible &= (height >= frame.least_height) & (mean >= frame.least_mean)
        possible &= tree.level > 0
        roundness = np.exp(-np.maximum(1 - fill, 0) / self.tolerance)
        score = np.sqrt(area) * (slope / contour) * roundness
        chosen = numbered(tree.best(np.where(possible, score, 0)))
        del tree
        if not chosen.any():
            return chosen
        return self._cut(frame, trim_to_height(frame.smooth, chosen, 0.0, self.core_height))

    def _cut(self, frame: SeenFrame, label: np.ndarray) -> np.ndarray:
        """Cut regions into parts that look more like cells."""
        count = int(label.max()) + 1
        part, owner = cut_by_distance(label, frame.diameter)
        whole = self._roundness(label, 1.0)
        split = np.bincount(owner, self._roundness(part, frame.smallest), count)
        better = split > _SPLIT_GAIN * whole
        better[0] = False
        return numbered(np.where(better[label], count + part, label))

    def _roundness(self, label: np.ndarray, smallest: float) -> np.ndarray:
        """Area times shape score of each label; 0 for the background and under `smallest` pixels."""
        inside = label > 0
        number, count = label[inside], int(label.max()) + 1
        area = np.bincount(number, minlength=count).astype(float)
        sums = [np.bincount(number, each, count) for each in moments(inside)]
        fill = ellipse_fill(area, *sums)
        score = area * np.exp(-np.maximum(1 - fill, 0) / self.tolerance)
        return np.where(area >= smallest, score, 0)

    def _grown(self, frame: SeenFrame, label: np.ndarray) -> np.ndarray:
        """Regions grown to their cells' edges: at `edge_height` of the cell's own height."""
        near = within(label > 0, _REACH * frame.diameter) & (frame.smooth > frame.floor)
        return trim_to_height(
            frame.smooth,
            flood(-frame.smooth, label, near),
            0.0,
            self.edge_height,
            label,
            self.common_edge,
            frame.threshold,
        )


def haze_of(found: Levels) -> float:
    """How far what is no bright cell lies above the background: 75th percentile below the threshold.

    A clear field has next to none, whatever its dim cells are: they cover little of it.
    """
    haze = found.light.percentile(_HAZE, found.light.at_most(found.threshold))
    return max(float(haze) - found.level, 0.0)


def slope_of(image: np.ndarray) -> np.ndarray:
    """Gradient (Y, X) of an image, per pixel."""
    return np.hypot(ndi.sobel(image, 0), ndi.sobel(image, 1)) / 8


def numbered(label: np.ndarray) -> np.ndarray:
    """`renumber` as int32, in which labels may be subtracted and indexed with."""
    return renumber(label).view(np.int32)


def moments(mask: np.ndarray) -> Iterator[np.ndarray]:
    """By pixel of `mask` (Y, X), (n,): y, x, y**2, x**2, x * y from its middle: sums give moments."""
    y, x = (at - n / 2 for at, n in zip(np.nonzero(mask), mask.shape, strict=True))
    yield from (y, x)
    yield y * y
    yield x * x
    yield x * y


def ellipse_fill(
    area: np.ndarray, y: np.ndarray, x: np.ndarray, yy: np.ndarray, xx: np.ndarray, xy: np.ndarray
) -> np.ndarray:
    """Area over that of the ellipse with the same second moments, from sums over pixels.

    1 for an ellipse, 3 / pi for a rectangle, 2 / sqrt(5) for two touching discs.
    """
    count = np.maximum(area, 1)
    # a pixel is a square: 1 / 12 is its own variance
    var_y = yy / count - (y / count) ** 2 + 1 / 12
    var_x = xx / count - (x / count) ** 2 + 1 / 12
    cov = xy / count - y * x / count**2
    return count / (4 * np.pi * np.sqrt(np.maximum(var_y * var_x - cov**2, 1e-9)))
