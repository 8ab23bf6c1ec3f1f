"""Threshold and watershed: segmentation that needs no weights, frame by frame.

Steps per frame: typical cell diameter (given, or from the image); background subtraction; Gaussian
smoothing; a global (Otsu, Li) or local threshold, never below the background by less than
`min_contrast` times its noise, so that an empty frame has no cells; holes; watershed split; each
cell trimmed to half of its own height; areas. All is done per frame, so results do not depend on
block length.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.segmentation.classical import Classical, Levels, Scene, levels_of
from cyto_kedro.algorithms.segmentation.cleanup import fill_holes
from cyto_kedro.algorithms.segmentation.scale import wide_gaussian
from cyto_kedro.algorithms.segmentation.split import split_touching, trim_to_height
from cyto_kedro.core import ndi
from cyto_kedro.core.ranks import Ranks


class ThresholdSegmentation(Classical):
    """What `Otsu`, `Li` and `LocalThreshold` share: ``{"image": (T, Y, X)}`` -> ``{"label"}``."""

    split: bool = Field(default=True, description="separate touching cells by a watershed")
    split_depth: float = Field(
        default=0.07, gt=0, description="smaller: more splits; height between two seeds, in radii"
    )
    intensity_weight: float = Field(
        default=0.5, ge=0, description="weight of brightness beside shape in the split"
    )

    @abstractmethod
    def foreground(self, found: Levels, floor: float, diameter: float) -> np.ndarray:
        """Mask (Y, X) of cells in the smoothed, flattened frame.

        `floor`: least value that stands out of the noise. `diameter`: typical cell diameter in
        pixels.
        """

    def cells(self, scene: Scene) -> np.ndarray:
        diameter = scene.diameter
        found = levels_of(scene, self.sigma(diameter))
        floor = found.level + self.min_contrast * found.noise
        mask = self.foreground(found, floor, diameter)
        mask = fill_holes(mask, 0.3 * np.pi / 4 * diameter**2)
        if self.split:
            label = split_touching(
                scene.image,
                mask,
                diameter,
                found.level,
                found.noise,
                self.split_depth,
                self.intensity_weight,
            )
        else:
            label, _ = ndi.label(mask)
        if not self.edge_height:
            return label
        return trim_to_height(found.smooth, label, found.level, self.edge_height)


class Otsu(ThresholdSegmentation):
    """Otsu's threshold (1979) of each frame, then watershed.

    Taken on square roots of the intensities above the darkest (1st percentile), which evens out
    the spread of dim and bright cells.

    Examples
    --------
    >>> y, x = np.mgrid[:60, :90]
    >>> two = 100.0 + 50 * ((y - 30) ** 2 + (abs(x - 45) - 20) ** 2 < 100)
    >>> int(Otsu(diameter_px=20)(image=two[None])["label"].max())
    2
    """

    def foreground(self, found: Levels, floor: float, diameter: float) -> np.ndarray:
        """Pixels above Otsu's threshold and the noise floor."""
        dark = float(found.light.percentile(1))
        roots = np.sqrt(np.maximum(found.light.pixels - dark, 0))
        threshold = Ranks(roots).otsu() ** 2 + dark
        return found.smooth > max(threshold, floor)


class Li(ThresholdSegmentation):
    """Li's minimum cross-entropy threshold (Li and Tam 1998) of each frame, then watershed.

    Lower than Otsu's where cells differ in brightness; the best of the three where background is
    dark and even.

    Examples
    --------
    >>> y, x = np.mgrid[:60, :90]
    >>> two = 100.0 + 50 * ((y - 30) ** 2 + (abs(x - 45) - 20) ** 2 < 100)
    >>> int(Li(diameter_px=20)(image=two[None])["label"].max())
    2
    """

    def foreground(self, found: Levels, floor: float, diameter: float) -> np.ndarray:
        """Pixels above Li's threshold and the noise floor."""
        from skimage.filters import threshold_li

        return found.smooth > max(float(threshold_li(found.light.pixels)), floor)


class LocalThreshold(ThresholdSegmentation):
    """Pixels brighter than their surroundings, then watershed: finds dim cells beside bright ones.

    The surroundings are a Gaussian mean with sigma `window` / 2 cell diameters.

    Examples
    --------
    >>> y, x = np.mgrid[:60, :90]
    >>> two = 100.0 + 50 * ((y - 30) ** 2 + (abs(x - 45) - 20) ** 2 < 100)
    >>> int(LocalThreshold(diameter_px=20)(image=two[None])["label"].max())
    2
    """

    window: float = Field(default=2.0, gt=0, description="width of the mean, in cell diameters")
    min_height: float = Field(
        default=0.15,
        ge=0,
        lt=1,
        description="least height, as a share of the Otsu threshold's height over background",
    )

    def foreground(self, found: Levels, floor: float, diameter: float) -> np.ndarray:
        """Pixels above the local mean, the noise floor and the least height."""
        around = wide_gaussian(found.smooth, self.window * diameter / 2)
        least = found.level + self.min_height * (found.threshold - found.level)
        return (found.smooth > around) & (found.smooth > max(floor, least))
