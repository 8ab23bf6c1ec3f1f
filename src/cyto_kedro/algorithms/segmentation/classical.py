"""What the engines that need no weights share: lengths in units of the cells, areas, frames."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from pydantic import Field
from scipy import ndimage as ndi

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.preprocessing.parts import Part
from cyto_kedro.algorithms.segmentation.cleanup import Labelled, drop_border, drop_by_area, renumber
from cyto_kedro.algorithms.segmentation.frames import FieldFrame, Frames, within_filmed
from cyto_kedro.algorithms.segmentation.scale import (
    background_level,
    block_mean,
    flatten,
    flatten_factor,
    pool,
    wide_factor,
)
from cyto_kedro.algorithms.segmentation.size import CellSize, cell_size
from cyto_kedro.core.contract import Image
from cyto_kedro.core.units import Area, PositiveArea, PositiveLength, in_px

log = logging.getLogger(__name__)

_COARSE_DIAMETER = 30  # pixels: larger cells may be sought in block means
_MARGIN = 4.0  # around a tile, in diameters


class Classical(Algorithm):
    """Engines without weights: labels frame by frame.

    Lengths are relative to the cells' diameter where they can be, so that one configuration serves
    several magnifications; results do not depend on block length. Neither do they on tiles: with
    ``field`` (the whole images, lazy) and ``corner`` (y, x of ``image`` therein), diameter,
    thresholds and noise are those of the field, and the surroundings of the tile are seen. Pixels
    that were never filmed (``valid``, else `filmed` looks for them) take no part in them and hold no
    cells.
    """

    version: ClassVar[int] = 3

    diameter: PositiveLength | None = Field(
        default=None, description="typical cell diameter; null: estimated per frame"
    )
    smoothing: float = Field(
        default=0.05, ge=0, le=0.5, description="sigma of the Gaussian, in cell diameters"
    )
    min_contrast: float = Field(
        default=5.0, gt=0, description="smallest height over background, in sd of its noise"
    )
    edge_height: float = Field(
        default=0.5, ge=0, lt=1, description="cut each cell at this share of its height; 0: do not"
    )
    min_area: Area | None = Field(
        default=None, description="smallest cell; null: 0.1 typical areas"
    )
    max_area: PositiveArea | None = Field(default=None, description="largest cell")
    clear_border: bool = Field(default=False, description="remove cells cut by the image's edge")

    def run(
        self,
        image: Image,
        field: Image | None = None,
        corner: tuple[int, int] | None = None,
        valid: np.ndarray | None = None,
        frame_start: int = 0,
        pixel_size_um: float | None = None,
        fov: str = "of no name",
    ) -> Labelled:
        """Segment every frame of `image`.

        Where no diameter is given and cells look different in size as blobs and as whole regions, a
        warning names the field and what is assumed.

        Raises
        ------
        ConfigError
            If a length is in um and the pixel size is unknown.
        InputError
            If a frame holds NaN or infinite values.
        """
        diameter, smallest, largest = (
            in_px(self, name, pixel_size_um) for name in ("diameter", "min_area", "max_area")
        )
        frames = Frames(image, field, corner, valid, frame_start)
        label = np.zeros(frames.shape, np.uint32)
        doubts: list[tuple[int, CellSize]] = []
        for index in range(len(label)):
            label[index] = self._frame(frames[index], diameter, smallest, largest, doubts)
        if doubts:
            number, size = doubts[len(doubts) // 2]
            log.warning(
                "field %s, %s: in %d of %d frames it is not clear how wide the cells are. In frame %d "
                "%s. Look at the masks, or give diameter_um (or diameter_px)",
                *(fov, type(self).__name__, len(doubts), len(label), number, size.doubt()),
            )
        return {"label": label}

    def _frame(
        self,
        frame: FieldFrame,
        diameter: float | None,
        smallest: float | None,
        largest: float | None,
        doubts: list[tuple[int, CellSize]],
    ) -> np.ndarray:
        image = frame.part.image
        nothing = np.zeros(image.shape, np.uint32)
        if min(image.shape) < 3 or image.min() == image.max():  # skimage's max_tree needs 3 x 3
            return nothing
        parts = frame.windows()
        size = diameter
        if size is None:
            found = cell_size(parts)
            if found is None:
                return nothing
            size = found.diameter
            if not found.clear:
                doubts.append((frame.number, found))
        margin = math.ceil(_MARGIN * size)
        wide, tile = frame.with_margin(margin, _grid(size, margin))
        smallest = 0.1 * np.pi / 4 * size**2 if smallest is None else smallest
        scene = Scene(wide.image, tuple(parts), size, smallest, largest)
        scene = scene.changed(lambda each: flatten(each, size))
        label = drop_by_area(within_filmed(self.cells(scene), wide.filmed), smallest, largest)
        return renumber((drop_border(label, wide.filmed) if self.clear_border else label)[tile])

    def sigma(self, diameter: float) -> float:
        """Of the Gaussian, in pixels."""
        return max(self.smoothing * diameter, 0.5)

    @abstractmethod
    def cells(self, scene: Scene) -> np.ndarray:
        """Labels (Y, X) of one flattened frame; areas are checked afterwards."""


@dataclass(frozen=True)
class Scene:
    """A frame as the engines see it, finite and not constant, with all that they are told of it.

    Attributes
    ----------
    image : (Y, X) float32
    parts
        Of the field (or just `image`): thresholds and noise are taken from their filmed pixels.
    diameter
        Typical cell diameter, pixels.
    smallest, largest
        Areas that cells may have, pixels.
    """

    image: np.ndarray
    parts: tuple[Part, ...]
    diameter: float
    smallest: float
    largest: float | None

    def changed(self, change: Callable[[np.ndarray], np.ndarray]) -> Scene:
        """`change` of the image and of each part; once where they are the same array."""
        image = change(self.image)
        parts = tuple(
            replace(each, image=image if each.image is self.image else change(each.image))
            for each in self.parts
        )
        return replace(self, image=image, parts=parts)

    def coarser(self, factor: int) -> Scene:
        """The scene in block means, lengths and areas in blocks."""
        if factor == 1:
            return self
        whole = self.changed(lambda each: block_mean(each, factor))
        parts = tuple(
            part
            if part.filmed is None
            else replace(part, filmed=block_mean(part.filmed.astype(np.float32), factor) == 1)
            for part in whole.parts
        )
        return replace(
            whole,
            parts=parts,
            diameter=self.diameter / factor,
            smallest=self.smallest / factor**2,
            largest=None if self.largest is None else self.largest / factor**2,
        )


def coarse_factor(diameter: float) -> int:
    """Side in pixels of the blocks whose means show cells of `diameter` well enough."""
    return max(1, int(diameter / _COARSE_DIAMETER))


def _grid(diameter: float, margin: int) -> int:
    """Pixels after which block means of all kinds begin anew, as far as that is within `margin`."""
    grid = 1
    for factor in (flatten_factor(diameter), coarse_factor(diameter), wide_factor(diameter)):
        grid = math.lcm(grid, factor) if math.lcm(grid, factor) <= margin else grid
    return grid


@dataclass(frozen=True)
class Levels:
    """A smoothed frame, and what of its field thresholds are made of."""

    smooth: np.ndarray  # (Y, X)
    pixels: np.ndarray  # of the smoothed field, or of parts of it
    threshold: float  # Otsu's
    level: float  # of the background
    noise: float  # its sd


def levels_of(scene: Scene, sigma: float) -> Levels:
    """Smooth a frame and the parts of its field by a Gaussian of `sigma` pixels; find the levels."""
    from skimage.filters import threshold_otsu

    smooth = scene.changed(lambda each: ndi.gaussian_filter(each, sigma))
    pixels = pool([part.pixels for part in smooth.parts])
    threshold = float(threshold_otsu(pixels))
    return Levels(smooth.image, pixels, threshold, *background_level(pixels, threshold))
