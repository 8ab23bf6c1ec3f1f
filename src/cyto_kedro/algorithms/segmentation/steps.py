"""Steps on labels that reshape cells: cut those that are two, smooth outlines."""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import length_px
from cyto_kedro.algorithms.segmentation.cleanup import LabelStep, renumber
from cyto_kedro.algorithms.segmentation.split import cut_by_distance


class SplitTouching(LabelStep):
    """Cut labels at their waists.

    Every label is cut along the watershed of the distance to its edge; labels are numbered anew.
    Exactly one diameter is given.
    """

    diameter_um: float | None = Field(default=None, gt=0, description="typical cell diameter, um")
    diameter_px: float | None = Field(default=None, gt=0, description="the same in pixels")
    depth: float = Field(
        default=0.07, gt=0, description="smaller: more cuts; depth of a waist, in typical radii"
    )

    @model_validator(mode="after")
    def _one_unit(self) -> SplitTouching:
        if (self.diameter_um is None) == (self.diameter_px is None):
            raise ValueError("give exactly one of diameter_um and diameter_px")
        return self

    def edit(self, label: np.ndarray, pixel_size_um: float | None) -> np.ndarray:
        """See `LabelStep.edit`."""
        diameter = length_px("diameter", self.diameter_um, self.diameter_px, pixel_size_um)
        if not label.any():
            return label
        part, owner = cut_by_distance(renumber(label), diameter, self.depth)
        return renumber(np.where(owner[part] > 0, part + 1, 0))


class SmoothOutlines(LabelStep):
    """Take thin spurs off cells.

    A morphological opening of each label by a disc (Serra 1982). What is nowhere as wide as the disc
    vanishes; labels keep their numbers. Exactly one radius is given.
    """

    radius_um: float | None = Field(default=None, gt=0, description="radius of the disc, um")
    radius_px: float | None = Field(default=None, gt=0, description="the same in pixels")

    @model_validator(mode="after")
    def _one_unit(self) -> SmoothOutlines:
        if (self.radius_um is None) == (self.radius_px is None):
            raise ValueError("give exactly one of radius_um and radius_px")
        return self

    def edit(self, label: np.ndarray, pixel_size_um: float | None) -> np.ndarray:
        """See `LabelStep.edit`."""
        from scipy import ndimage as ndi
        from skimage.segmentation import expand_labels, find_boundaries

        radius = length_px("radius", self.radius_um, self.radius_px, pixel_size_um)
        # distance to the nearest pixel of another label or background, of which the outline's own
        # pixels are 1 away
        inside = (label > 0) & ~find_boundaries(label, connectivity=1, mode="inner")
        core = np.where(ndi.distance_transform_edt(inside) + 1 > radius, label, 0)
        return np.where(expand_labels(core, radius) == label, label, 0)
