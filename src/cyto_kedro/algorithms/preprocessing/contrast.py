"""Steps that serve segmentation only: they change what intensities mean."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Data
from cyto_kedro.algorithms.preprocessing.base import State, Step, iter_frames
from cyto_kedro.algorithms.preprocessing.denoise import noise_sd
from cyto_kedro.algorithms.preprocessing.parts import Part

_KEPT_BITS = 20


class FloatHistogram:
    """Counts of float32 values over all of their range, in bins of 11 bits of mantissa.

    The bins are fixed (the bit pattern of a float32 grows with its value), so counts from any
    blocks add up to the same histogram. A percentile is exact for whole numbers up to 4096 and
    within 0.05 % of the value otherwise, the 0th and the 100th always exact; memory 8 MB.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(1 << _KEPT_BITS, np.int64)
        self.least, self.greatest = np.inf, -np.inf

    def add(self, pixels: np.ndarray) -> None:
        """Count the values of a frame's pixels."""
        if not pixels.size:
            return
        self.least = min(self.least, float(pixels.min()))
        self.greatest = max(self.greatest, float(pixels.max()))
        # adding 0 turns -0.0 into 0.0; flipping the bits of negatives makes the order numeric
        bits = np.ravel(pixels + np.float32(0)).astype(np.float32, copy=False).view(np.int32)
        ordered = bits.view(np.uint32) ^ ((bits >> 31).view(np.uint32) | np.uint32(1 << 31))
        bins = ordered >> np.uint32(32 - _KEPT_BITS)
        low = int(bins.min())
        found = np.bincount(bins - np.uint32(low))  # of those there are: a frame has few of all
        self.counts[low : low + found.size] += found

    def percentile(self, percent: float) -> float:
        """Smallest value with at least `percent` % of the counts at or below it."""
        if percent <= 0 or percent >= 100:
            return self.least if percent <= 0 else self.greatest
        total = np.cumsum(self.counts)
        rank = max(1, int(np.ceil(percent / 100 * total[-1])))
        ordered = np.uint32(np.searchsorted(total, rank)) << np.uint32(32 - _KEPT_BITS)
        sign = ordered >> np.uint32(31)
        # of a negative bin the end nearest 0 is the truncated one
        bits = ordered ^ np.uint32(1 << 31) if sign else ~(ordered | np.uint32(0xFFF))
        return float(np.array(bits, np.uint32).view(np.float32))


class Normalisation(Step):
    """Rescale linearly: ``(image - zero) / unit``, both read off the quantiles of film or frame.

    State (``over="film"``): ``{"range": {channel: [zero, unit]}}``, from a `FloatHistogram`. A
    constant channel becomes 0.
    """

    over: Literal["film", "frame"] = Field(
        default="film", description="one range for the film, or one for each frame"
    )

    @property
    def quick(self) -> bool:
        """Yes, where the range is the film's."""
        return self.over == "film"

    @abstractmethod
    def _zero_and_unit(self, percentile: Callable[[float], float]) -> tuple[float, float]:
        """The value that becomes 0, and the difference that becomes 1."""

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Zero and unit of each chosen channel over the film."""
        if self.over == "frame":
            return {"range": {}}
        histograms: dict[str, FloatHistogram] = {}
        noise: dict[str, list[float]] = {}
        for data in blocks:
            for channel in self.chosen(data):
                histogram = histograms.setdefault(channel, FloatHistogram())
                for _, frame in iter_frames([data], channel):
                    histogram.add(frame.pixels)
                    noise.setdefault(channel, []).append(self._noise(frame))
        found = {}
        for channel, histogram in histograms.items():
            zero, unit = self._zero_and_unit(histogram.percentile)
            found[channel] = [zero, self._floored(unit, float(np.median(noise[channel])))]
        return {"range": found}

    def _noise(self, frame: Part) -> float:
        """What the floor of the unit is made of."""
        return 0.0

    def _floored(self, unit: float, noise: float) -> float:
        """The difference that becomes 1, where noise alone must not be stretched to it."""
        return unit

    def apply(self, data: Data, state: State) -> Data:
        """Rescale every frame."""

        def stretch(part: Part, channel: str, _: int) -> np.ndarray:
            frame = part.image
            if self.over == "frame":
                zero, unit = self._zero_and_unit(lambda q: float(np.percentile(part.pixels, q)))
                unit = self._floored(unit, self._noise(part))
            else:
                zero, unit = state["range"][channel]
            return self._cut((frame - zero) / unit if unit > 0 else np.zeros_like(frame))

        return self._map(data, stretch)

    def _cut(self, frame: np.ndarray) -> np.ndarray:
        return frame


class Stretch(Normalisation):
    """Normalisations that stretch contrast, but not that of noise alone."""

    least_span: float = Field(
        default=40.0,
        ge=0,
        description="least range that becomes 0 to 1, in sd of the noise; 0: any, even noise alone",
    )

    def _noise(self, frame: Part) -> float:
        return noise_sd(frame.image, frame.filmed) if self.least_span else 0.0

    def _floored(self, unit: float, noise: float) -> float:
        return max(unit, self.least_span * noise) if unit > 0 else unit


class PercentileNormalisation(Stretch):
    """Stretch contrast: the `low` percentile becomes 0 and the `high` one 1, clipped between.

    A channel with nothing in it, of which the range is less than `least_span` times its noise, stays
    dark: stretched to full contrast, its noise would look like cells, and would drown another channel
    that it is merged with. A constant channel becomes 0.

    Examples
    --------
    >>> film = {"A": np.array([[[10.0, 11.0], [12.0, 30.0]]])}
    >>> scaled = PercentileNormalisation(low=0, high=100)(image=film)["image"]["A"]
    >>> scaled.astype(float).round(2).tolist()
    [[[0.0, 0.05], [0.1, 1.0]]]
    """

    version: ClassVar[int] = 3

    low: float = Field(default=1.0, ge=0, lt=100, description="percentile that becomes 0")
    high: float = Field(default=99.8, gt=0, le=100, description="percentile that becomes 1")
    clip: bool = Field(default=True, description="cut values to 0..1")

    @model_validator(mode="after")
    def _ordered(self) -> PercentileNormalisation:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be less than high ({self.high})")
        return self

    def _zero_and_unit(self, percentile: Callable[[float], float]) -> tuple[float, float]:
        zero = percentile(self.low)
        return zero, percentile(self.high) - zero

    def _cut(self, frame: np.ndarray) -> np.ndarray:
        return np.clip(frame, 0, 1) if self.clip else frame


class MinMaxNormalisation(Stretch):
    """Stretch contrast: the least value becomes 0 and the greatest 1. One hot pixel spoils it.

    A constant channel becomes 0.

    Examples
    --------
    >>> film = {"A": np.array([[[10.0, 11.0], [12.0, 30.0]]])}
    >>> MinMaxNormalisation()(image=film)["image"]["A"].astype(float).round(2).tolist()
    [[[0.0, 0.05], [0.1, 1.0]]]
    """

    def _zero_and_unit(self, percentile: Callable[[float], float]) -> tuple[float, float]:
        zero = percentile(0)
        return zero, percentile(100) - zero


class RobustNormalisation(Normalisation):
    """Centre on the median and divide by the spread: ``(image - median) / (IQR / 1.349)``.

    The interquartile range over 1.349 is the standard deviation of a normal distribution, so where
    background is most of the image, cells are given in standard deviations of the background. A
    channel without spread (half of its pixels alike) becomes 0.

    Examples
    --------
    >>> film = {"A": np.random.default_rng(0).normal(50, 4, (1, 64, 64))}
    >>> round(float(RobustNormalisation()(image=film)["image"]["A"].std()), 1)
    1.0
    """

    def _zero_and_unit(self, percentile: Callable[[float], float]) -> tuple[float, float]:
        return percentile(50), (percentile(75) - percentile(25)) / 1.3489795


class Gamma(Step):
    """``image ** gamma`` of images scaled to 0..1 (after `PercentileNormalisation`).

    `gamma` < 1 lifts dim cells. Negative values count as 0.

    Examples
    --------
    >>> Gamma(gamma=0.5)(image={"A": np.full((1, 1, 1), 0.25)})["image"]["A"].tolist()
    [[[0.5]]]
    """

    gamma: float = Field(default=0.5, gt=0, description="exponent")

    @property
    def quick(self) -> bool:
        """Yes: arithmetic on each pixel."""
        return True

    def apply(self, data: Data, state: State) -> Data:
        """Raise to the power."""
        return self._map(data, lambda x, *_: np.maximum(x.image, 0) ** np.float32(self.gamma))


class HistogramMatching(Step):
    """Give every frame the grey levels of the film's first: its quantiles become that frame's.

    Undoes bleaching of whatever shape, and true changes of the cells with it (Miura 2020, *Bleach
    correction ImageJ plugin*). Not linear, so for segmentation only; for images that intensities are
    measured on use `BleachCorrection`. As `skimage.exposure.match_histograms`, on 1025 quantiles.

    State: ``{"quantiles": {channel: (1025,) float64}}``.

    Examples
    --------
    >>> first = np.random.default_rng(0).normal(50, 4, (64, 64))
    >>> film = {"A": np.stack([first, first * 0.6])}
    >>> HistogramMatching()(image=film)["image"]["A"].mean((1, 2)).round().tolist()
    [50.0, 50.0]
    """

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Quantiles of the first frame that is not excluded; no block after it is read."""
        for data in blocks:
            first = {
                channel: next(iter_frames([data], channel), None) for channel in self.chosen(data)
            }
            found = {
                name: _quantiles(each[1].pixels) for name, each in first.items() if each is not None
            }
            if len(found) == len(first):
                return {"quantiles": found}
        return {"quantiles": {}}

    def apply(self, data: Data, state: State) -> Data:
        """Map the quantiles of every frame."""

        def match(part: Part, channel: str, _: int) -> np.ndarray:
            own, first = np.unique(_quantiles(part.pixels), return_index=True)
            # a value that holds several quantiles stands for the middle one of them
            last = np.append(first[1:], _SHARES.size) - 1
            share = (_SHARES[first] + _SHARES[last]) / 2
            # two straight lines after another bend where either does: one line, one pass over pixels
            bends = np.unique(np.concatenate([own, np.interp(_SHARES, share, own)]))
            levels = np.interp(np.interp(bends, own, share), _SHARES, state["quantiles"][channel])
            return np.interp(part.image, bends, levels).astype(np.float32)

        return self._map(data, match)


_SHARES = np.linspace(0, 1, 1025)


def _quantiles(frame: np.ndarray) -> np.ndarray:
    """`np.quantile` of a frame at `_SHARES`, float64; sorting it once is quicker for so many."""
    ordered = np.sort(frame, axis=None)
    at = _SHARES * (ordered.size - 1)
    low = np.floor(at).astype(np.int64)
    below, above = (ordered[np.minimum(low + i, ordered.size - 1)].astype(float) for i in (0, 1))
    return below + (at - low) * (above - below)
