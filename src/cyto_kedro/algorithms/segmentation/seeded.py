"""Cells grown from their nuclei: seeds from one channel, outlines from another."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.cellpose import CellPose
from cyto_kedro.algorithms.segmentation.classical import Classical
from cyto_kedro.algorithms.segmentation.cleanup import Labelled
from cyto_kedro.algorithms.segmentation.frames import Frames, one_channel, within_filmed
from cyto_kedro.algorithms.segmentation.labels import ImageToLabel
from cyto_kedro.algorithms.segmentation.size import CellSize
from cyto_kedro.algorithms.segmentation.stardist import StarDist
from cyto_kedro.algorithms.segmentation.threshold import Li, LocalThreshold, Otsu
from cyto_kedro.core import ndi
from cyto_kedro.core.contract import Images
from cyto_kedro.core.units import PositiveLength, in_px
from cyto_kedro.errors import InputError

_ENGINES: dict[str, type[Algorithm]] = {
    each.__name__: each for each in (CellPose, ImageToLabel, Li, LocalThreshold, Otsu, StarDist)
}


class SeededGrowth(Algorithm):
    """Nuclei of one channel, each grown into its cell in another; a cell has its nucleus' number.

    The image is ``{channel: (T, Y, X)}`` with two channels. The nuclei are found by `engine`. Cells
    are the nuclei and what is brighter than a threshold in the other channel, cut apart by a
    watershed of the smoothed intensities from the nuclei (Jones, Carpenter and Golland 2005 grow
    from seeds alike). Bright parts that no nucleus touches are left out.

    Examples
    --------
    >>> y, x = np.mgrid[:60, :90]
    >>> at = (y - 30) ** 2 + (abs(x - 45) - 20) ** 2
    >>> image = {"Nucleus": 50.0 * (at < 36)[None], "Cell": 20.0 * (at < 100)[None]}
    >>> engine = SeededGrowth(nucleus="Nucleus", engine_args={"diameter_px": 12})
    >>> label = engine(image=image)["label"][0]
    >>> int(label.max()), bool((label > 0)[at < 100].mean() > 0.9)
    (2, True)
    """

    version: ClassVar[int] = 3

    nucleus: str = Field(
        description="channel of the nuclei; the population's other one is the cells'"
    )
    engine: Literal["LocalThreshold", "Otsu", "Li", "CellPose", "StarDist", "ImageToLabel"] = Field(
        default="LocalThreshold", description="finds the nuclei"
    )
    engine_args: dict[str, Any] = Field(default={}, description="its arguments")
    threshold: Literal["li", "otsu", "none"] = Field(
        default="li",
        description="where cells end in their channel, from each frame; none: max_distance alone",
    )
    max_distance: PositiveLength | None = Field(
        default=None, description="largest growth away from the nucleus; null: no limit"
    )

    @property
    def channels_apart(self) -> tuple[str, ...]:
        """Channels that must not be mixed with the population's others."""
        return (self.nucleus,)

    @property
    def needs_size(self) -> bool:
        """Whether the film has to tell how wide the nuclei are."""
        return bool(getattr(self.seeds(), "needs_size", False))

    def film_size(self, image: Images, valid: np.ndarray | None = None) -> CellSize | None:
        """Size of the nuclei over the frames of `image`; None where none holds any."""
        engine = self.seeds()
        assert isinstance(engine, Classical)
        return engine.film_size(one_channel(image, self.nucleus), valid=valid)

    def seeds(self) -> Algorithm:
        """The engine that finds the nuclei."""
        return _ENGINES[self.engine](**self.engine_args)

    @model_validator(mode="after")
    def _arguments(self) -> SeededGrowth:
        if self.threshold == "none" and self.max_distance is None:
            raise ValueError("threshold=none needs max_distance_um or max_distance_px")
        self.seeds()
        return self

    def run(
        self,
        image: Images,
        field: Images | None = None,
        corner: tuple[int, int] | None = None,
        valid: np.ndarray | None = None,
        frame_start: int = 0,
        pixel_size_um: float | None = None,
        typical_diameter_px: float | None = None,
    ) -> Labelled:
        """Segment every frame; thresholds are those of the whole `field`.

        Raises
        ------
        InputError
            If the channels are not two, one of them `nucleus`, or a frame holds NaN.
        ConfigError
            If `max_distance_um` is given and the pixel size is unknown.
        """
        reach = in_px(self, "max_distance", pixel_size_um)
        nuclei = one_channel(image, self.nucleus)
        others = [name for name in image if name != self.nucleus]
        if len(others) != 1:
            raise InputError(
                f"SeededGrowth takes the channel {self.nucleus!r} and one more, that of the cells; "
                f"the population has {others}"
            )
        where = {
            **{"corner": corner, "valid": valid},
            **{"frame_start": frame_start, "pixel_size_um": pixel_size_um},
            "typical_diameter_px": typical_diameter_px,
        }
        whole = {} if field is None else {"field": field[self.nucleus]}
        seeds = np.asarray(self.seeds()({"image": nuclei, **whole, **where})["label"])
        of_field = None if field is None else field[others[0]]
        cells = Frames(image[others[0]], of_field, corner, valid, frame_start)
        if cells.shape != seeds.shape:
            raise InputError(
                f"channels {self.nucleus!r} {seeds.shape} and {others[0]!r} {cells.shape} differ in "
                "shape"
            )
        label = np.zeros(seeds.shape, np.uint32)
        for index, seed in enumerate(seeds):
            if seed.any():
                frame = cells[index]
                level = self._level(frame.sample())
                grown = self._grow(
                    seed, frame.part.image, level, np.inf if reach is None else reach
                )
                label[index] = within_filmed(grown, frame.own_filmed)
        return {"label": label}

    def _level(self, image: np.ndarray) -> float:
        from skimage.filters import threshold_li, threshold_otsu

        if self.threshold == "none":
            return -np.inf
        if image.min() == image.max():
            return np.inf
        return float(threshold_li(image) if self.threshold == "li" else threshold_otsu(image))

    def _grow(self, seed: np.ndarray, image: np.ndarray, level: float, reach: float) -> np.ndarray:
        from skimage.segmentation import watershed

        smooth = ndi.gaussian_filter(image, 1.0)  # noise of single pixels
        mask = smooth > level
        if np.isfinite(reach):
            mask &= ndi.distance_transform_edt(seed == 0) <= reach
        surface = np.where(seed > 0, smooth.max(), smooth)  # nuclei may be dark in this channel
        return watershed(-surface, seed.astype(np.int64), mask=mask | (seed > 0)).astype(np.uint32)
