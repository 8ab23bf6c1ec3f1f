"""Noise: filters in space and in time. All serve segmentation only, since they mix pixels."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.base import Data
from cyto_kedro.algorithms.preprocessing.base import (
    State,
    Step,
    channel_stack,
    excluded_of,
    part_of,
)
from cyto_kedro.algorithms.preprocessing.parts import Part, blanked
from cyto_kedro.core import ndi
from cyto_kedro.core.units import PositiveLength


class GaussianSmooth(Step):
    """Gaussian smoothing of each frame.

    Examples
    --------
    >>> film = {"A": np.eye(9)[None]}
    >>> float(GaussianSmooth(sigma_px=2)(image=film)["image"]["A"][0, 4, 4]) < 0.5
    True
    """

    sigma: PositiveLength = Field(description="sigma")

    def apply(self, data: Data, state: State) -> Data:
        """Smooth every frame."""
        sigma = self.sigma.in_px("sigma", data.get("pixel_size_um"))
        return self._map(data, lambda x, *_: ndi.gaussian_filter(x.image, sigma))


class MedianFilter(Step):
    """Median of each pixel's square neighbourhood: removes single hot pixels, keeps edges.

    Examples
    --------
    >>> hot = np.zeros((1, 5, 5)); hot[0, 2, 2] = 900
    >>> float(MedianFilter()(image={"A": hot})["image"]["A"].max())
    0.0
    """

    radius_px: int = Field(
        default=1, ge=1, le=20, description="the square has side 2 radius_px + 1 pixels"
    )

    def apply(self, data: Data, state: State) -> Data:
        """Filter every frame; edges are repeated."""
        size = 2 * self.radius_px + 1
        return self._map(data, lambda x, *_: ndi.median_filter(x.image, size, mode="nearest"))


class TemporalMedian(Step):
    """Median of each pixel over a frame and its neighbours: removes flicker and debris that floats by.

    At the ends of the film over the frames that there are. What moves more than its own width
    within the window is removed with the noise. Excluded frames take no part.

    Examples
    --------
    >>> film = {"A": np.array([1.0, 9.0, 2.0])[:, None, None] * np.ones((1, 2, 2))}
    >>> TemporalMedian()(image=film)["image"]["A"][:, 0, 0].tolist()
    [5.0, 2.0, 5.5]
    """

    radius_frames: int = Field(
        default=1, ge=1, le=25, description="frames before and after that are taken in"
    )

    @property
    def halo(self) -> int:
        """The window reaches this far."""
        return self.radius_frames

    def apply(self, data: Data, state: State) -> Data:
        """Filter every frame over its neighbours in `data`."""
        image = dict(data["image"])
        start, left_out = int(data.get("frame_start", 0)), excluded_of(data)
        for channel in self.chosen(data):
            stack = channel_stack(data, channel)
            parts = [part_of(data, t, channel) for t in range(len(stack))]
            out = np.empty(stack.shape, np.float32)
            used = [start + t not in left_out for t in range(len(stack))]
            for t, part in enumerate(parts):
                window = range(max(0, t - self.radius_frames), t + self.radius_frames + 1)
                near = [i for i in window if i < len(parts) and used[i]] if used[t] else [t]
                median = np.median([parts[i].image for i in near], axis=0)
                out[t] = blanked(median, part.filmed)
            image[channel] = out
        return {**data, "image": image}


class NonLocalMeans(Step):
    """Non-local means: each pixel becomes the mean of pixels whose surroundings look alike.

    Buades, Coll and Morel (2005), in scikit-image's fast form. The noise level is estimated per
    frame from its finest wavelet-like detail (`noise_sd`), so that the strength adapts to it.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(50, 4, (1, 32, 32))
    >>> float(NonLocalMeans()(image={"A": noise})["image"]["A"].std()) < 3
    True
    """

    strength: float = Field(
        default=0.8, gt=0, description="how unlike patches may be, in noise standard deviations"
    )
    patch_px: int = Field(default=5, ge=3, description="side of a patch, pixels")
    distance_px: int = Field(default=6, ge=1, description="how far alike patches are looked for")

    def apply(self, data: Data, state: State) -> Data:
        """Denoise every frame; a frame without noise is unchanged."""
        from skimage.restoration import denoise_nl_means

        def smooth(part: Part, channel: str, number: int) -> np.ndarray:
            frame, sigma = part.image, noise_sd(part.image, part.filmed)
            if sigma <= 0:
                return frame
            found: np.ndarray = denoise_nl_means(
                frame,
                h=self.strength * sigma,
                sigma=sigma,
                patch_size=self.patch_px,
                patch_distance=self.distance_px,
                fast_mode=True,
                preserve_range=True,
            )
            return found

        return self._map(data, smooth)


# white noise of sd 1 answers with sd 6; the median of |x| of a normal is 0.6745 sd
_ANSWER = 6 * 0.6744898


def noise_sd(frame: np.ndarray, filmed: np.ndarray | None = None, enough: float = np.inf) -> float:
    """Standard deviation of white noise in what was `filmed` of a frame (Y, X), in its grey levels.

    Of the response to the mask of Immerkaer (Comput. Vis. Image Underst. 1996), second differences of
    second differences, which removes whatever is smooth; by the median of its size, which edges of
    cells do not move. 0 for a frame of less than 3 x 3 pixels. Infinite where it is surely more than
    `enough`: to know that takes less time.
    """
    if min(frame.shape) < 3:
        return 0.0
    response = ndi.second_differences(frame.astype(np.float32, copy=False), np.float64)
    inner = response[1:-1, 1:-1].astype(np.float32)
    if filmed is not None:
        inner = inner[ndi.minimum_filter(filmed, 3)[1:-1, 1:-1]]
    inner = np.abs(inner)
    if 2 * np.count_nonzero(inner > 1.001 * _ANSWER * enough) > inner.size:
        return np.inf
    return float(np.median(inner) / _ANSWER) if inner.size else 0.0
