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
from cyto_kedro.algorithms.segmentation.size import CellSize, film_size, largest_area, spread
from cyto_kedro.core import ndi
from cyto_kedro.core.contract import Image
from cyto_kedro.core.ranks import Ranks
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

    version: ClassVar[int] = 5

    diameter: PositiveLength | None = Field(
        default=None,
        description="typical cell diameter; null: estimated over the film",
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
    max_area: PositiveArea | None = Field(
        default=None, description="largest cell; null: 10 typical areas"
    )
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
        typical_diameter_px: float | None = None,
    ) -> Labelled:
        """Segment every frame of `image`.

        Where no diameter is given, `typical_diameter_px` is taken, else it is measured over the frames
        of `image`: of a film that is segmented block by block `film_size` tells it once for all. Where
        its ways disagree, a warning names the field and what is assumed.

        Raises
        ------
        ConfigError
            If a length is in um and the pixel size is unknown.
        InputError
            If a frame holds NaN or infinite values.
        """
        diameter = in_px(self, "diameter", pixel_size_um)
        frames = Frames(image, field, corner, valid, frame_start)
        label = np.zeros(frames.shape, np.uint32)
        if diameter is None and typical_diameter_px is None:
            size = self.film_size(image, field, corner, valid, frame_start)
            if size is None:
                return {"label": label}
            typical_diameter_px = size.diameter
            if doubt := size.doubt():
                log.warning(
                    "field %s, %s: it is not clear how wide the cells are. %s. Look at the masks, or "
                    "give diameter_um (or diameter_px)",
                    *(fov, type(self).__name__, doubt),
                )
        used = float(diameter or typical_diameter_px or 0)
        for index in range(len(label)):
            label[index] = self.of_frame(FlatFrame.of(frames[index], used), pixel_size_um)
        return {"label": label}

    def film_size(
        self,
        image: Image,
        field: Image | None = None,
        corner: tuple[int, int] | None = None,
        valid: np.ndarray | None = None,
        frame_start: int = 0,
    ) -> CellSize | None:
        """Size of the cells over the frames of `image`; None where none holds any.

        Raises InputError if a frame that is looked at holds NaN or infinite values.
        """
        frames = Frames(image, field, corner, valid, frame_start)
        return film_size(frames[index] for index in spread(len(frames)))

    @property
    def needs_size(self) -> bool:
        """Whether the film has to tell how wide cells are."""
        return self.diameter is None

    def of_frame(self, frame: FlatFrame, pixel_size_um: float | None = None) -> np.ndarray:
        """Labels (Y, X) uint32 of one frame; several engines may share what `frame` holds."""
        if frame.scene is None:
            return np.zeros(frame.shape, np.uint32)
        size = frame.scene.diameter
        smallest, largest = (in_px(self, name, pixel_size_um) for name in ("min_area", "max_area"))
        smallest = 0.1 * np.pi / 4 * size**2 if smallest is None else smallest
        largest = max(largest_area(size), smallest) if largest is None else largest
        scene = replace(frame.scene, smallest=smallest, largest=largest)
        label = drop_by_area(within_filmed(self.cells(scene), frame.filmed), smallest, largest)
        return renumber(
            (drop_border(label, frame.filmed) if self.clear_border else label)[frame.tile]
        )

    def sigma(self, diameter: float) -> float:
        """Of the Gaussian, in pixels."""
        return max(self.smoothing * diameter, 0.5)

    @abstractmethod
    def cells(self, scene: Scene) -> np.ndarray:
        """Labels (Y, X) of one flattened frame; areas are checked afterwards."""


@dataclass(frozen=True)
class Scene:
    """A frame as the engines see it, finite and not constant, with all that they are told of it."""

    #: (Y, X) float32
    image: np.ndarray
    #: of the field (or just `image`): thresholds and noise are taken from their filmed pixels
    parts: tuple[Part, ...]
    #: typical cell diameter, pixels
    diameter: float
    #: smallest, largest: areas that cells may have, pixels
    smallest: float
    largest: float

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
            largest=self.largest / factor**2,
        )


@dataclass(frozen=True)
class FlatFrame:
    """A frame of which uneven light is taken off, for cells of one diameter."""

    #: (Y, X) of the tile
    shape: tuple[int, int]
    #: the tile with what lies around it; None where the frame is too small, or of one value
    scene: Scene | None = None
    #: (Y, X) bool of the scene: what was filmed; None: all
    filmed: np.ndarray | None = None
    #: where the tile lies in the scene
    tile: tuple[slice, slice] = (slice(None), slice(None))

    @classmethod
    def of(cls, frame: FieldFrame, size: float) -> FlatFrame:
        """For cells typically `size` pixels wide."""
        image = frame.part.image
        if min(image.shape) < 3 or image.min() == image.max():  # skimage's max_tree needs 3 x 3
            return cls(image.shape)
        margin = math.ceil(_MARGIN * size)
        wide, tile = frame.with_margin(margin, _grid(size, margin))
        scene = Scene(wide.image, tuple(frame.windows()), size, 0, np.inf)
        return cls(image.shape, scene.changed(lambda each: flatten(each, size)), wide.filmed, tile)


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
    light: Ranks  # pixels of the smoothed field, or of parts of it
    threshold: float  # Otsu's
    level: float  # of the background
    noise: float  # its sd


def levels_of(scene: Scene, sigma: float) -> Levels:
    """Smooth a frame and the parts of its field by a Gaussian of `sigma` pixels; find the levels."""
    smooth = scene.changed(lambda each: ndi.gaussian_filter(each, sigma))
    light = Ranks(pool([part.pixels for part in smooth.parts]))
    threshold = light.otsu()
    return Levels(smooth.image, light, threshold, *background_level(light, threshold))
