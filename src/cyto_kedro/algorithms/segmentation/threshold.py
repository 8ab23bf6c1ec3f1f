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
from pydantic import Field, model_validator
from scipy import ndimage as ndi

from cyto_kedro.algorithms.base import Algorithm, Data, length_px
from cyto_kedro.algorithms.segmentation.cleanup import (
    area_px,
    drop_border,
    drop_by_area,
    fill_holes,
    renumber,
)
from cyto_kedro.algorithms.segmentation.frames import segment_frames
from cyto_kedro.algorithms.segmentation.scale import (
    background_level,
    flatten,
    typical_diameter,
    wide_gaussian,
)
from cyto_kedro.algorithms.segmentation.split import split_touching, trim_to_height


class ThresholdSegmentation(Algorithm):
    """What `Otsu`, `Li` and `LocalThreshold` share: ``{"image": (T, Y, X)}`` -> ``{"label"}``.

    Lengths are relative to the cells' diameter where they can be, so that one configuration serves
    several magnifications.
    """

    diameter_um: float | None = Field(default=None, gt=0, description="typical cell diameter, um")
    diameter_px: float | None = Field(
        default=None, gt=0, description="the same in pixels; neither given: estimated per frame"
    )
    smoothing: float = Field(
        default=0.05, ge=0, le=0.5, description="sigma of the Gaussian, in cell diameters"
    )
    flatten: bool = Field(
        default=True, description="subtract background that varies over > 4 diameters"
    )
    min_contrast: float = Field(
        default=5.0, gt=0, description="smallest height over background, in sd of its noise"
    )
    split: bool = Field(default=True, description="separate touching cells by a watershed")
    split_depth: float = Field(
        default=0.07, gt=0, description="smaller: more splits; height between two seeds, in radii"
    )
    intensity_weight: float = Field(
        default=0.5, ge=0, description="weight of brightness beside shape in the split"
    )
    edge_height: float = Field(
        default=0.5, ge=0, lt=1, description="cut each cell at this share of its height; 0: do not"
    )
    min_area_um2: float | None = Field(default=None, ge=0, description="smallest cell, um2")
    min_area_px: float | None = Field(
        default=None, ge=0, description="smallest cell, pixels; neither given: 0.1 typical areas"
    )
    max_area_um2: float | None = Field(default=None, gt=0, description="largest cell, um2")
    max_area_px: float | None = Field(default=None, gt=0, description="largest cell, pixels")
    clear_border: bool = Field(default=False, description="remove cells cut by the image's edge")

    @model_validator(mode="after")
    def _one_unit_each(self) -> ThresholdSegmentation:
        for um, px in (
            ("diameter_um", "diameter_px"),
            ("min_area_um2", "min_area_px"),
            ("max_area_um2", "max_area_px"),
        ):
            if getattr(self, um) is not None and getattr(self, px) is not None:
                raise ValueError(f"give {um} or {px}, not both")
        return self

    @abstractmethod
    def foreground(
        self, image: np.ndarray, floor: float, level: float, threshold: float, diameter: float
    ) -> np.ndarray:
        """Mask (Y, X) of cells in the smoothed, flattened `image`.

        Parameters
        ----------
        floor
            Least value that stands out of the noise.
        level, threshold
            Background, and the global Otsu threshold.
        diameter
            Typical cell diameter in pixels.
        """

    def __call__(self, data: Data) -> Data:
        """Segment every frame of ``data["image"]``; reads ``pixel_size_um`` for um lengths.

        Raises
        ------
        ConfigError
            If a length is in um and the pixel size is unknown.
        InputError
            If a frame holds NaN or infinite values, or the image is not (T, Y, X).
        """
        pixel = data.get("pixel_size_um")
        diameter = None
        if self.diameter_um is not None or self.diameter_px is not None:
            diameter = length_px("diameter", self.diameter_um, self.diameter_px, pixel)
        smallest = area_px("min_area", self.min_area_um2, self.min_area_px, pixel)
        largest = area_px("max_area", self.max_area_um2, self.max_area_px, pixel)
        return segment_frames(data, lambda x: self._frame(x, diameter, smallest, largest))

    def _frame(
        self,
        image: np.ndarray,
        diameter: float | None,
        smallest: float | None,
        largest: float | None,
    ) -> np.ndarray:
        from skimage.filters import threshold_otsu

        nothing = np.zeros(image.shape, np.uint32)
        if image.size == 0 or image.min() == image.max():
            return nothing
        diameter = diameter or typical_diameter(image)
        if diameter is None:
            return nothing
        typical_area = np.pi / 4 * diameter**2
        if self.flatten:
            image = flatten(image, diameter)
        smooth = ndi.gaussian_filter(image, max(self.smoothing * diameter, 0.5))
        threshold = float(threshold_otsu(smooth))
        level, noise = background_level(smooth, threshold)
        floor = level + self.min_contrast * noise
        mask = self.foreground(smooth, floor, level, threshold, diameter)
        mask = fill_holes(mask, 0.3 * typical_area)
        if not mask.any():
            return nothing
        if self.split:
            label = split_touching(
                image, mask, diameter, level, noise, self.split_depth, self.intensity_weight
            )
        else:
            label, _ = ndi.label(mask)
        if self.edge_height:
            label = trim_to_height(smooth, label, level, self.edge_height)
        label = drop_by_area(label, 0.1 * typical_area if smallest is None else smallest, largest)
        return renumber(drop_border(label) if self.clear_border else label)


class Otsu(ThresholdSegmentation):
    """Otsu's threshold (1979) of each frame, then watershed.

    Taken on square roots of the intensities above the darkest (1st percentile), which evens out
    the spread of dim and bright cells; `square_root=False` is Otsu on plain intensities.
    """

    square_root: bool = Field(default=True, description="threshold square roots of intensities")

    def foreground(
        self, image: np.ndarray, floor: float, level: float, threshold: float, diameter: float
    ) -> np.ndarray:
        """Pixels above Otsu's threshold and the noise floor."""
        from skimage.filters import threshold_otsu

        if self.square_root:
            dark = float(np.percentile(image, 1))
            threshold = float(threshold_otsu(np.sqrt(np.maximum(image - dark, 0)))) ** 2 + dark
        return image > max(threshold, floor)


class Li(ThresholdSegmentation):
    """Li's minimum cross-entropy threshold (Li and Tam 1998) of each frame, then watershed.

    Lower than Otsu's where cells differ in brightness; the best of the three where background is
    dark and even.
    """

    def foreground(
        self, image: np.ndarray, floor: float, level: float, threshold: float, diameter: float
    ) -> np.ndarray:
        """Pixels above Li's threshold and the noise floor."""
        from skimage.filters import threshold_li

        return image > max(float(threshold_li(image)), floor)


class LocalThreshold(ThresholdSegmentation):
    """Pixels brighter than their surroundings, then watershed: finds dim cells beside bright ones.

    The surroundings are a Gaussian mean with sigma `window` / 2 cell diameters.
    """

    window: float = Field(default=2.0, gt=0, description="width of the mean, in cell diameters")
    min_height: float = Field(
        default=0.15,
        ge=0,
        lt=1,
        description="least height, as a share of the Otsu threshold's height over background",
    )

    def foreground(
        self, image: np.ndarray, floor: float, level: float, threshold: float, diameter: float
    ) -> np.ndarray:
        """Pixels above the local mean, the noise floor and the least height."""
        around = wide_gaussian(image, self.window * diameter / 2)
        least = level + self.min_height * (threshold - level)
        return (image > around) & (image > max(floor, least))
