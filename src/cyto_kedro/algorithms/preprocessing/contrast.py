"""Steps that serve segmentation only: they change what intensities mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from scipy import ndimage as ndi

from cyto_kedro.algorithms.base import Data, length_px
from cyto_kedro.algorithms.preprocessing.base import State, Step, iter_frames

_KEPT_BITS = 20


class FloatHistogram:
    """Counts of float32 values over all of their range, in bins of 11 bits of mantissa.

    The bins are fixed (the bit pattern of a float32 grows with its value), so counts from any
    blocks add up to the same histogram. A percentile is exact for whole numbers up to 4096 and
    within 0.05 % of the value otherwise; memory 8 MB.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(1 << _KEPT_BITS, np.int64)

    def add(self, frame: np.ndarray) -> None:
        """Count the values of a frame."""
        # adding 0 turns -0.0 into 0.0; flipping the bits of negatives makes the order numeric
        bits = np.ascontiguousarray(frame + np.float32(0), np.float32).view(np.uint32)
        ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
        self.counts += np.bincount(
            (ordered >> np.uint32(32 - _KEPT_BITS)).ravel(), minlength=self.counts.size
        )

    def percentile(self, percent: float) -> float:
        """Smallest value with at least `percent` % of the counts at or below it."""
        total = np.cumsum(self.counts)
        rank = max(1, int(np.ceil(percent / 100 * total[-1])))
        ordered = np.uint32(np.searchsorted(total, rank)) << np.uint32(32 - _KEPT_BITS)
        sign = ordered >> np.uint32(31)
        # of a negative bin the end nearest 0 is the truncated one
        bits = ordered ^ np.uint32(1 << 31) if sign else ~(ordered | np.uint32(0xFFF))
        return float(np.array(bits, np.uint32).view(np.float32))


class PercentileNormalisation(Step):
    """Stretch contrast: the `low` percentile becomes 0 and the `high` one 1, clipped between.

    State (``over="film"``): ``{"range": {channel: [low, high]}}``, from a `FloatHistogram`.
    A constant channel becomes 0.
    """

    needs_estimate: ClassVar[bool] = True

    low: float = Field(default=1.0, ge=0, lt=100, description="percentile that becomes 0")
    high: float = Field(default=99.8, gt=0, le=100, description="percentile that becomes 1")
    over: Literal["film", "frame"] = Field(
        default="film", description="one range for the film, or one for each frame"
    )
    clip: bool = Field(default=True, description="cut values to 0..1")

    @model_validator(mode="after")
    def _ordered(self) -> PercentileNormalisation:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be less than high ({self.high})")
        return self

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Percentiles of each chosen channel over the film."""
        if self.over == "frame":
            return {"range": {}}
        histograms: dict[str, FloatHistogram] = {}
        for data in blocks:
            for channel in self.chosen(data):
                histogram = histograms.setdefault(channel, FloatHistogram())
                for _, frame in iter_frames([data], channel):
                    histogram.add(frame)
        return {
            "range": {
                channel: [histogram.percentile(self.low), histogram.percentile(self.high)]
                for channel, histogram in histograms.items()
            }
        }

    def apply(self, data: Data, state: State) -> Data:
        """Rescale every frame."""

        def stretch(frame: np.ndarray, channel: str, _: int) -> np.ndarray:
            if self.over == "frame":
                low, high = np.percentile(frame, (self.low, self.high))
            else:
                low, high = state["range"][channel]
            if high <= low:
                return np.zeros_like(frame)
            out = (frame - low) / (high - low)
            return np.clip(out, 0, 1) if self.clip else out

        return self._map(data, stretch)


class Gamma(Step):
    """``image ** gamma`` of images scaled to 0..1 (after `PercentileNormalisation`).

    `gamma` < 1 lifts dim cells. Negative values count as 0.
    """

    gamma: float = Field(default=0.5, gt=0, description="exponent")

    def apply(self, data: Data, state: State) -> Data:
        """Raise to the power."""
        return self._map(data, lambda x, *_: np.maximum(x, 0) ** np.float32(self.gamma))


class GaussianSmooth(Step):
    """Gaussian smoothing of each frame."""

    sigma_um: float | None = Field(default=None, gt=0, description="sigma, um")
    sigma_px: float | None = Field(default=None, gt=0, description="sigma, pixels")

    @model_validator(mode="after")
    def _one_unit(self) -> GaussianSmooth:
        if (self.sigma_um is None) == (self.sigma_px is None):
            raise ValueError("give exactly one of sigma_um and sigma_px")
        return self

    def apply(self, data: Data, state: State) -> Data:
        """Smooth every frame; reads ``pixel_size_um`` for `sigma_um`."""
        sigma = length_px("sigma", self.sigma_um, self.sigma_px, data.get("pixel_size_um"))
        return self._map(data, lambda x, *_: ndi.gaussian_filter(x, sigma))
