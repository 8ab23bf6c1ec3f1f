"""Cells where a classifier of pixels, learnt from corrected masks, sees them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.preprocessing.parts import Part
from cyto_kedro.algorithms.segmentation.cleanup import (
    Labelled,
    drop_border,
    drop_by_area,
    renumber,
)
from cyto_kedro.algorithms.segmentation.forest import Forest, read_forest
from cyto_kedro.algorithms.segmentation.frames import (
    FieldFrame,
    Frames,
    one_channel,
    within_filmed,
)
from cyto_kedro.algorithms.segmentation.nuclei import Nuclei, SeenFrame, slope_of
from cyto_kedro.algorithms.segmentation.pixel_features import (
    REACH,
    VERSION,
    features,
    levels,
    n_features,
)
from cyto_kedro.algorithms.segmentation.size import largest_area
from cyto_kedro.core import ndi
from cyto_kedro.core.contract import Image, Images, Stack
from cyto_kedro.core.units import PositiveLength, in_px
from cyto_kedro.errors import InputError

BACKGROUND, INSIDE, RIM = 0, 1, 2  # classes of pixels
_SMOOTH = 0.035  # sigma in diameters, as for images
_RIM_WEIGHT = 0.25
_FLOOR = 0.05  # least chance of a pixel of a cell
_LEAST_HEIGHT = 0.05  # of the chance over that at the cell's edge
_CHOICE = Nuclei(tolerance=0.035, core_height=0.7)


class PixelForest(Algorithm):
    """Pixels told apart by a random forest, and cut into cells: what `TrainPixelForest` learnt.

    The forest gives each pixel the chance to lie inside of a cell, on its rim, or on background. In the
    image of the chance to be cell, `Nuclei` chooses cells by their shape. Lengths are
    relative to the diameter of the cells that were learnt from, in um where pixel sizes are known, so
    that a model serves other magnifications. Brightness is relative to each frame's own background and
    Otsu threshold.

    Examples
    --------
    >>> engine = PixelForest(model="TCell-0123456789.npz")  # doctest: +SKIP
    >>> engine(image=film, pixel_size_um=0.65)["label"]  # doctest: +SKIP
    """

    version: ClassVar[int] = 2

    model: str = Field(
        description="path of a model file, as the pipeline training writes it (06_models)"
    )
    diameter: PositiveLength | None = Field(
        default=None, description="cell diameter; null: that of the cells that were learnt from"
    )
    least_chance: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="least chance to be cell, in the mean over its pixels; lower: more cells",
    )
    clear_border: bool = Field(default=False, description="remove cells cut by the image's edge")

    @model_validator(mode="after")
    def _fits(self) -> PixelForest:
        card = read_forest(self.model).card
        if card.get("features") != VERSION:
            raise ValueError(
                f"{self.model} was learnt from features of version {card.get('features')}, and this is "
                f"version {VERSION}: train it again (kedro run --pipelines training)"
            )
        return self

    @property
    def channels_apart(self) -> tuple[str, ...]:
        """Channels that must not be mixed with the population's others."""
        return tuple(read_forest(self.model).card["channels"])

    def run(
        self,
        image: Image | Images,
        field: Image | Images | None = None,
        corner: tuple[int, int] | None = None,
        valid: np.ndarray | None = None,
        frame_start: int = 0,
        pixel_size_um: float | None = None,
    ) -> Labelled:
        """Segment every frame of `image`.

        Raises
        ------
        ConfigError
            If the diameter is in um and the pixel size is unknown.
        InputError
            If a frame holds NaN, or `image` has other channels than the model.
        """
        forest = read_forest(self.model)
        diameter = in_px(self, "diameter", pixel_size_um) or learnt_diameter(
            forest.card, pixel_size_um, self.model
        )
        fields = channels_of(field, forest.card["channels"]) if field is not None else None
        channels = [
            Frames(each, fields[number] if fields else None, corner, valid, frame_start)
            for number, each in enumerate(channels_of(image, forest.card["channels"]))
        ]
        label = np.zeros(channels[0].shape, np.uint32)
        for index in range(len(label)):
            label[index] = self._frame([each[index] for each in channels], forest, diameter)
        return {"label": label}

    def _frame(self, frames: list[FieldFrame], forest: Forest, diameter: float) -> np.ndarray:
        margin = math.ceil(REACH * diameter)
        read = [frame.with_margin(margin, 1) for frame in frames]
        wide, tile = read[0]
        chance = chances(frames, [part for part, _ in read], forest, diameter)
        if chance is None:
            return np.zeros(frames[0].own.shape, np.uint32)
        smallest, largest = (area * diameter**2 for area in forest.card["areas"])
        label = within_filmed(
            cut(chance, diameter, (smallest, largest), self.least_chance), wide.filmed
        )
        label = drop_by_area(label, smallest, largest)
        return renumber((drop_border(label, wide.filmed) if self.clear_border else label)[tile])


def channels_of(image: Any, names: list[str]) -> list[Stack]:
    """The images of the model's channels; a model of one image takes one.

    Raises InputError if they are others.
    """
    if names:
        return [one_channel(image, name) for name in names]
    if isinstance(image, Mapping):
        raise InputError(
            f"the model was learnt from one image, and the population's channels are apart "
            f"({', '.join(image)}): take combine: separate away, or train on channels apart"
        )
    return [image]


def learnt_diameter(card: Mapping[str, Any], pixel_size_um: float | None, where: str) -> float:
    """Diameter in pixels of the cells that a model was learnt from, at this pixel size.

    Raises InputError if it was learnt in um and the pixel size is unknown.
    """
    if card["diameter_um"] is None or (pixel_size_um is None and card["diameter_px"] is not None):
        return float(card["diameter_px"])
    if pixel_size_um is None:
        raise InputError(
            f"{where} was learnt from cells of {card['diameter_um']:.3g} um, and the pixel size of this "
            "field is unknown: give assay.pixel_size_um, or diameter_px"
        )
    return float(card["diameter_um"]) / pixel_size_um


def described(frames: list[FieldFrame], parts: list[Part], diameter: float) -> np.ndarray | None:
    """Features (Y, X, n) of `parts` of a frame's channels; None where all is alike."""
    images = []
    for frame, part in zip(frames, parts, strict=True):
        level, height = levels(frame)
        images.append((part.image.astype(np.float32) - np.float32(level)) / np.float32(height))
    if all(np.ptp(each) == 0 for each in images):
        return None
    return features(images, diameter)


def chances(
    frames: list[FieldFrame], parts: list[Part], forest: Forest, diameter: float
) -> np.ndarray | None:
    """Chance (Y, X, classes) of each pixel of `parts` of a frame's channels; None: nothing to see.

    Pixels darker than any cell that was learnt from are background without a look.
    """
    found = described(frames, parts, diameter)
    if found is None:
        return None
    if found.shape[-1] != n_features(len(frames)):
        raise InputError("the model was learnt from other channels")
    rows = found.reshape(-1, found.shape[-1])
    column, floor = forest.card["floor"]
    seen = np.flatnonzero(rows[:, column] >= floor)
    chance = np.zeros((len(rows), forest.share.shape[1]), np.float32)
    chance[:, BACKGROUND] = 1
    chance[seen] = forest.predict(rows[seen])
    return chance.reshape(*found.shape[:2], -1)


def cut(
    chance: np.ndarray, diameter: float, areas: tuple[float, float], least: float
) -> np.ndarray:
    """Labels (Y, X) int32 of `chance` (Y, X, classes): chosen by `Nuclei` in the chance to be cell.

    What is less likely cell than `least`, in the mean over its pixels, is none.
    """
    cell = 1 - chance[..., BACKGROUND]
    # cells that touch are cell throughout: rims tell them apart
    lessened = (
        np.maximum(cell - _RIM_WEIGHT * chance[..., RIM], 0) if chance.shape[-1] > RIM else cell
    )
    smooth = ndi.gaussian_filter(lessened, max(_SMOOTH * diameter, 0.5))
    root = np.sqrt(smooth)
    frame = SeenFrame(
        smooth=smooth,
        root=root,
        slope=slope_of(root),
        threshold=0.5,
        high=1.0,
        floor=_FLOOR,
        least_mean=_FLOOR,
        least_height=_LEAST_HEIGHT,
        diameter=diameter,
        smallest=max(areas[0], 1.0),
        largest=max(areas[1], largest_area(diameter)),  # clumps are chosen, then cut
    )
    _, label = _CHOICE.chosen(frame)
    n_pixels = np.maximum(np.bincount(label.ravel()), 1)
    likely = np.bincount(label.ravel(), cell.ravel()) / n_pixels >= least
    return np.where(likely[label], label, 0)
