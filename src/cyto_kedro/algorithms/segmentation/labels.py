"""Labels made elsewhere: the image already is a mask."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.segmentation.cleanup import check_labels, renumber
from cyto_kedro.algorithms.segmentation.frames import stack_shape


class ImageToLabel(Algorithm):
    """Use an image as labels: ``{"image": (T, Y, X)}`` -> ``{"label": (T, Y, X) uint32}``."""

    binary: bool = Field(
        default=False,
        description="the image is a mask of cells against 0: number its connected parts",
    )
    relabel: bool = Field(default=False, description="number labels 1..n in every frame")

    def __call__(self, data: Data) -> Data:
        """Check (and, if `binary`, number) ``data["image"]``.

        Parts of a binary mask are connected through edges and corners.

        Raises
        ------
        InputError
            If a value is negative, fractional or too large: names the frame.
        """
        from skimage.measure import label as components

        stack_shape(data["image"])
        label = check_labels(data["image"], int(data.get("frame_start", 0)), "image")
        if self.binary:
            return (
                {"label": np.stack([components(x > 0) for x in label]).astype(np.uint32)}
                if (len(label))
                else {"label": label}
            )
        if self.relabel:
            for index, frame in enumerate(label):
                label[index] = renumber(frame)
        return {"label": label}
