"""Steps on labels that reshape cells: cut those that are two, smooth outlines."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.segmentation.cleanup import LabelStep, renumber
from cyto_kedro.algorithms.segmentation.split import cut_by_distance
from cyto_kedro.core.units import PositiveLength


class SplitTouching(LabelStep):
    """Cut labels at their waists.

    Every label is cut along the watershed of the distance to its edge; labels are numbered anew.

    Examples
    --------
    >>> y, x = np.mgrid[:21, :41]
    >>> two = ((y - 10) ** 2 + (abs(x - 20) - 9) ** 2 < 90).astype(np.uint32)
    >>> int(SplitTouching(diameter_px=18)(label=two[None])["label"].max())
    2
    """

    diameter: PositiveLength = Field(description="typical cell diameter")
    depth: float = Field(
        default=0.07, gt=0, description="smaller: more cuts; depth of a waist, in typical radii"
    )

    def edit(self, label: np.ndarray, pixel_size_um: float | None) -> np.ndarray:
        diameter = self.diameter.in_px("diameter", pixel_size_um)
        if not label.any():
            return label
        part, owner = cut_by_distance(renumber(label), diameter, self.depth)
        return renumber(np.where(owner[part] > 0, part + 1, 0))


class SmoothOutlines(LabelStep):
    """Take thin spurs off cells.

    A morphological opening of each label by a disc (Serra 1982). What is nowhere as wide as the disc
    vanishes; labels keep their numbers.

    Examples
    --------
    >>> spur = np.zeros((1, 12, 20), np.uint32)
    >>> spur[0, 2:10, 2:10], spur[0, 5, 10:18] = 7, 7
    >>> int((SmoothOutlines(radius_px=2)(label=spur)["label"][0, :, 12:] > 0).sum())
    0
    """

    radius: PositiveLength = Field(description="radius of the disc")

    def edit(self, label: np.ndarray, pixel_size_um: float | None) -> np.ndarray:
        from scipy import ndimage as ndi
        from skimage.segmentation import expand_labels, find_boundaries

        radius = self.radius.in_px("radius", pixel_size_um)
        # distance to the nearest pixel of another label or background, of which the outline's own
        # pixels are 1 away
        inside = (label > 0) & ~find_boundaries(label, connectivity=1, mode="inner")
        core = np.where(ndi.distance_transform_edt(inside) + 1 > radius, label, 0)
        return np.where(expand_labels(core, radius) == label, label, 0)
