"""Labels made elsewhere: the image already is a mask."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.cleanup import Labelled, check_labels, renumber
from cyto_kedro.core.contract import Image


class ImageToLabel(Algorithm):
    """Use an image as labels.

    Parts of a binary mask are connected through edges and corners.

    Examples
    --------
    >>> mask = np.array([[[255, 0, 255]]], np.uint8)
    >>> ImageToLabel(binary=True)(image=mask)["label"].tolist()
    [[[1, 0, 2]]]
    """

    binary: bool = Field(
        default=False,
        description="the image is a mask of cells against 0: number its connected parts",
    )
    relabel: bool = Field(default=False, description="number labels 1..n in every frame")

    def run(self, image: Image, frame_start: int = 0) -> Labelled:
        """Check (and, if `binary`, number) `image`.

        Raises
        ------
        InputError
            If a value is negative, fractional or too large: names the frame.
        """
        from skimage.measure import label as components

        label = check_labels(image, frame_start, "image")
        if self.binary:
            label = np.array([components(frame > 0) for frame in label], np.uint32).reshape(
                label.shape
            )
        elif self.relabel:
            for index, frame in enumerate(label):
                label[index] = renumber(frame)
        return {"label": label}
