"""Cells grown from their nuclei: seeds from one channel, outlines from another."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator
from scipy import ndimage as ndi

from cyto_kedro.algorithms.base import Algorithm, Data, length_px
from cyto_kedro.algorithms.segmentation.cellpose import CellPose
from cyto_kedro.algorithms.segmentation.frames import (
    FieldFrame,
    channel_data,
    stack_shape,
    within_filmed,
)
from cyto_kedro.algorithms.segmentation.labels import ImageToLabel
from cyto_kedro.algorithms.segmentation.stardist import StarDist
from cyto_kedro.algorithms.segmentation.threshold import Li, LocalThreshold, Otsu
from cyto_kedro.errors import InputError

_ENGINES: dict[str, type[Algorithm]] = {
    each.__name__: each for each in (CellPose, ImageToLabel, Li, LocalThreshold, Otsu, StarDist)
}


class SeededGrowth(Algorithm):
    """Nuclei of one channel, each grown into its cell in another; a cell has its nucleus' number.

    ``{"image": {channel: (T, Y, X)}}`` with two channels -> ``{"label": (T, Y, X) uint32}``. The
    nuclei are found by `engine`. Cells are the nuclei and what is brighter than a threshold in the
    other channel, cut apart by a watershed of the smoothed intensities from the nuclei (Jones,
    Carpenter and Golland 2005 grow from seeds alike). Bright parts that no nucleus touches are left
    out.
    """

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
    smoothing_px: float = Field(default=1.0, ge=0, description="sd of the Gaussian, pixels")
    max_distance_um: float | None = Field(
        default=None, gt=0, description="largest growth away from the nucleus, um"
    )
    max_distance_px: float | None = Field(
        default=None, gt=0, description="the same in pixels; neither given: no limit"
    )

    @property
    def channels_apart(self) -> tuple[str, ...]:
        """Channels that must not be mixed with the population's others."""
        return (self.nucleus,)

    def seeds(self) -> Algorithm:
        """The engine that finds the nuclei."""
        return _ENGINES[self.engine](**self.engine_args)

    @model_validator(mode="after")
    def _arguments(self) -> SeededGrowth:
        if self.max_distance_um is not None and self.max_distance_px is not None:
            raise ValueError("give max_distance_um or max_distance_px, not both")
        limited = self.max_distance_um is not None or self.max_distance_px is not None
        if self.threshold == "none" and not limited:
            raise ValueError("threshold=none needs max_distance_um or max_distance_px")
        self.seeds()
        return self

    def __call__(self, data: Data) -> Data:
        """Segment every frame; reads ``pixel_size_um`` for lengths in um.

        Raises
        ------
        InputError
            If the channels are not two, one of them `nucleus`, or a frame holds NaN.
        ConfigError
            If `max_distance_um` is given and the pixel size is unknown.
        """
        reach = np.inf
        if self.max_distance_um is not None or self.max_distance_px is not None:
            reach = length_px(
                "max_distance",
                self.max_distance_um,
                self.max_distance_px,
                data.get("pixel_size_um"),
            )
        nuclei = channel_data(data, self.nucleus)
        others = [name for name in data["image"] if name != self.nucleus]
        if len(others) != 1:
            raise InputError(
                f"SeededGrowth takes the channel {self.nucleus!r} and one more, that of the cells; "
                f"the population has {others}"
            )
        cells = channel_data(data, others[0])
        seeds = np.asarray(self.seeds()(nuclei)["label"])
        if stack_shape(cells["image"]) != seeds.shape:
            raise InputError(
                f"channels {self.nucleus!r} {seeds.shape} and {others[0]!r} "
                f"{tuple(cells['image'].shape)} differ in shape"
            )
        label = np.zeros(seeds.shape, np.uint32)
        for index, seed in enumerate(seeds):
            if seed.any():
                frame = FieldFrame.of(cells, index)
                grown = self._grow(seed, frame.part.image, self._level(frame.sample()), reach)
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

        smooth = ndi.gaussian_filter(image, self.smoothing_px)
        mask = smooth > level
        if np.isfinite(reach):
            mask &= ndi.distance_transform_edt(seed == 0) <= reach
        surface = np.where(seed > 0, smooth.max(), smooth)  # nuclei may be dark in this channel
        return watershed(-surface, seed.astype(np.int64), mask=mask | (seed > 0)).astype(np.uint32)
