"""A random forest that tells cells from background, pixel by pixel: minutes, without a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.segmentation.frames import FieldFrame
from cyto_kedro.algorithms.segmentation.pixel_features import VERSION
from cyto_kedro.algorithms.segmentation.pixel_forest import (
    BACKGROUND,
    INSIDE,
    RIM,
    described,
    learnt_diameter,
)
from cyto_kedro.algorithms.training.learner import (
    Example,
    Learner,
    Learnt,
    check,
    grown,
    typical_diameter,
)
from cyto_kedro.core import ndi
from cyto_kedro.core.units import PositiveLength
from cyto_kedro.errors import ConfigError, InputError

_RIM = 0.08  # width of a cell's rim, in diameters
_FLOOR_COLUMN = 10  # of the features: the Gaussian at the third scale of the first channel
_SPARED = 0.1  # of a percent: cell pixels that are darker than where the engine looks


class TrainPixelForest(Learner):
    """Learn `PixelForest`: inside, rim and background, from what pixels look like at five scales.

    Every frame gives as many pixels, drawn evenly from all whose class is known: chances are shares only
    if classes are as frequent as in the films. Random forest: Breiman 2001, doi:10.1023/A:1010933404324.

    Examples
    --------
    >>> from cyto_kedro.algorithms.segmentation.forest import Forest
    >>> y, x = np.mgrid[:64, :64]
    >>> label = ((y - 32) ** 2 + (x - 32) ** 2 < 100).astype(np.uint32)
    >>> image = label * 50.0 + np.random.default_rng(0).normal(100, 5, label.shape)
    >>> made = TrainPixelForest(trees=5)(examples=[Example(image, label)])["weights"]
    >>> Forest.from_bytes(made, "here").card["n_cells"]
    1
    """

    version: ClassVar[int] = 1
    engine: ClassVar[str] = "PixelForest"
    suffix: ClassVar[str] = ".npz"

    trees: int = Field(default=40, ge=1, description="trees of the forest")
    depth: int = Field(default=14, ge=2, le=30, description="most questions until a leaf")
    pixels: int = Field(default=90_000, ge=300, description="pixels learnt from, over all frames")
    background: int = Field(
        default=0,
        ge=0,
        description="label that means background. 0: all that is no cell. Another: 0 is unknown, so "
        "that strokes are enough, with the diameter; touching cells are then cut by shape alone",
    )
    diameter: PositiveLength | None = Field(
        default=None, description="of the cells; null: that of the masks, if these are whole"
    )
    seed: int = Field(default=0, ge=0, description="of what is drawn at random")

    def run(self, examples: Sequence[Example]) -> Learnt:
        """Learn from `examples`.

        Raises
        ------
        InputError
            If there is no cell in them, nothing is known to be background, all images are flat, or
            shapes of images and labels differ.
        """
        cells = [self._cells(each.label) for each in examples]
        check([replace(each, label=cell) for each, cell in zip(examples, cells, strict=True)])
        pixels, physical = self._diameter(examples, cells)
        rng = np.random.default_rng(self.seed)
        rows, classes, areas = [], [], []
        share = -(-self.pixels // len(examples))
        for each, cell in zip(examples, cells, strict=True):
            known = {"diameter_px": pixels, "diameter_um": physical}
            diameter = learnt_diameter(known, each.pixel_size_um, "TrainPixelForest")
            kinds = self._classes(each.label, cell, diameter)
            images = each.image if isinstance(each.image, Mapping) else {"": each.image}
            frames = [FieldFrame(image, image) for image in images.values()]
            seen = described(frames, [frame.part for frame in frames], diameter)
            if seen is None:
                continue
            chosen = rng.permutation(np.flatnonzero(kinds.ravel() >= 0))[:share]
            rows.append(seen.reshape(-1, seen.shape[-1])[chosen])
            classes.append(kinds.ravel()[chosen])
            area = np.bincount(cell.ravel())[1:]
            areas.append(area[area > 0] / diameter**2)
        if not rows:
            raise InputError(
                f"TrainPixelForest: each of the {len(examples)} frames has one brightness throughout: "
                "nothing can be learnt from them; look at the images of preprocessing.segmentation"
            )
        row, kind, area = np.concatenate(rows), np.concatenate(classes), np.concatenate(areas)
        n_cells = len(area)
        if not (kind == BACKGROUND).any():
            raise InputError(
                f"TrainPixelForest: no pixel of the {len(examples)} frames is known to be background"
                + (f" (label {self.background})" if self.background else "")
                + ", so nothing would be told from cells: paint some of it too"
            )
        if self.background:  # strokes have no size
            area = np.full(1, np.pi / 4)
        small, large = np.percentile(area, (1, 99))
        floor = np.percentile(row[kind != BACKGROUND, _FLOOR_COLUMN], _SPARED)
        first = examples[0].image
        card = {
            "features": VERSION,
            "channels": list(first) if isinstance(first, Mapping) else [],
            "diameter_px": pixels,
            "diameter_um": physical,
            "areas": [0.5 * float(small), 2.0 * float(large)],
            "floor": [_FLOOR_COLUMN, float(floor)],
            "n_frames": len(examples),
            "n_cells": n_cells,
        }
        return grown(self, row, kind, card, min_samples_leaf=5)

    def _diameter(
        self, examples: Sequence[Example], cells: Sequence[np.ndarray]
    ) -> tuple[float | None, float | None]:
        """Of the cells, in pixels and in um; None where it is not known in these."""
        if self.diameter is not None:
            return self.diameter.px, self.diameter.um
        if self.background:
            raise ConfigError(
                "TrainPixelForest: strokes do not say how wide cells are: give diameter_um (or _px)"
            )
        return typical_diameter(
            [replace(each, label=cell) for each, cell in zip(examples, cells, strict=True)]
        )

    def _cells(self, label: np.ndarray) -> np.ndarray:
        return np.where(label == self.background, 0, label).astype(np.int64)

    def _classes(self, label: np.ndarray, cell: np.ndarray, diameter: float) -> np.ndarray:
        """(Y, X) int8: the class of each pixel, -1 where it is unknown."""
        found = np.where(cell > 0, INSIDE, BACKGROUND).astype(np.int8)
        if self.background:
            return np.where(label == 0, -1, found).astype(np.int8)
        inner = (ndi.minimum_filter(cell, 3) == cell) & (ndi.maximum_filter(cell, 3) == cell)
        way = ndi.distance_transform_edt(inner & (cell > 0))
        found[(cell > 0) & (way <= max(_RIM * diameter, 1) - 0.5)] = RIM
        return found
