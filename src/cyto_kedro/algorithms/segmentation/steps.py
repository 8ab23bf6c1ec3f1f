"""Steps on labels that reshape cells: cut those that are two, smooth outlines."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.base import Data, length_px
from cyto_kedro.algorithms.segmentation.cleanup import LabelStep, check_labels, renumber
from cyto_kedro.algorithms.segmentation.frames import stack_shape
from cyto_kedro.algorithms.segmentation.split import cut_by_distance


class SplitTouching(LabelStep):
    """Cut labels at their waists: ``{"label": (T, Y, X)}`` -> ``{"label": (T, Y, X) uint32}``.

    Every label is cut along the watershed of the distance to its edge; labels are numbered anew.
    """

    diameter_um: float | None = Field(default=None, gt=0, description="typical cell diameter, um")
    diameter_px: float | None = Field(default=None, gt=0, description="the same in pixels")
    depth: float = Field(
        default=0.07, gt=0, description="smaller: more cuts; depth of a waist, in typical radii"
    )

    def __call__(self, data: Data) -> Data:
        """Cut ``data["label"]``; reads ``pixel_size_um`` where the diameter is in um.

        Raises
        ------
        ConfigError
            If not exactly one diameter is given, or it is in um and the pixel size is unknown.
        """
        pixel = data.get("pixel_size_um")
        diameter = length_px("diameter", self.diameter_um, self.diameter_px, pixel)
        stack_shape(data["label"], "label")
        label = check_labels(data["label"], int(data.get("frame_start", 0)))
        for index, frame in enumerate(label):
            if frame.any():
                part, owner = cut_by_distance(renumber(frame), diameter, self.depth)
                label[index] = renumber(np.where(owner[part] > 0, part + 1, 0))
        return {"label": label}


class SmoothOutlines(LabelStep):
    """Take thin spurs off cells: ``{"label": (T, Y, X)}`` -> ``{"label": (T, Y, X) uint32}``.

    A morphological opening of each label by a disc (Serra 1982). What is nowhere as wide as the disc
    vanishes; labels keep their numbers.
    """

    radius_um: float | None = Field(default=None, gt=0, description="radius of the disc, um")
    radius_px: float | None = Field(default=None, gt=0, description="the same in pixels")

    def __call__(self, data: Data) -> Data:
        """Smooth ``data["label"]``; reads ``pixel_size_um`` where the radius is in um.

        Raises
        ------
        ConfigError
            If not exactly one radius is given, or it is in um and the pixel size is unknown.
        """
        from scipy import ndimage as ndi
        from skimage.segmentation import expand_labels, find_boundaries

        pixel = data.get("pixel_size_um")
        radius = length_px("radius", self.radius_um, self.radius_px, pixel)
        stack_shape(data["label"], "label")
        label = check_labels(data["label"], int(data.get("frame_start", 0)))
        for index, frame in enumerate(label):
            # distance to the nearest pixel of another label or background, of which the outline's
            # own pixels are 1 away
            inside = (frame > 0) & ~find_boundaries(frame, connectivity=1, mode="inner")
            core = np.where(ndi.distance_transform_edt(inside) + 1 > radius, frame, 0)
            back = expand_labels(core, radius)
            label[index] = np.where(back == frame, frame, 0)
        return {"label": label}
