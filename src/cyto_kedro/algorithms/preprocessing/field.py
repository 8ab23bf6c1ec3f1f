"""Flat and dark field, and background: what the microscope adds in space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from scipy import ndimage as ndi

from cyto_kedro.algorithms.base import Data, length_px
from cyto_kedro.algorithms.preprocessing.base import State, Step, channel_stack
from cyto_kedro.errors import InputError


def peek(blocks: Iterable[Data]) -> tuple[Data, Iterator[Data]]:
    """The first block, and an iterator over all blocks with it.

    Raises
    ------
    InputError
        If there are none.
    """
    rest = iter(blocks)
    first = next(rest, None)
    if first is None:
        raise InputError("the film has no blocks, so nothing can be estimated from it")
    return first, chain([first], rest)


class FlatField(Step):
    """Correct uneven illumination and camera offset: ``(image - dark) / flat``.

    The flat field is the film's mean image less the dark offset, smoothed by a wide Gaussian and
    divided by its mean, so that total intensity is kept. It is right where cells have been
    everywhere about equally often: many frames or fields, motile cells.

    State: ``{"flat": {channel: (Y, X) float32, mean 1}}``.
    """

    measurement_safe: ClassVar[bool] = True
    needs_estimate: ClassVar[bool] = True

    dark: float = Field(default=0.0, ge=0, description="camera offset, grey levels")
    flat: bool = Field(default=True, description="estimate and divide by the flat field")
    smoothness: float = Field(
        default=0.125, gt=0, le=1, description="sigma of the smoothing, in shorter image sides"
    )

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Mean image of each channel, smoothed and normalised.

        Raises
        ------
        InputError
            If a channel is nowhere above `dark`.
        """
        if not self.flat:
            return {"flat": {}}
        total: dict[str, np.ndarray] = {}
        count = 0
        for data in blocks:
            for channel in self.chosen(data):
                stack = channel_stack(data, channel)
                for frame in stack:  # frame by frame: the sum is the same for any block length
                    total[channel] = total.get(channel, 0.0) + frame.astype(np.float64)
            count += len(stack)
        flat = {}
        for channel, summed in total.items():
            sigma = self.smoothness * min(summed.shape)
            field = ndi.gaussian_filter(summed / count - self.dark, sigma, mode="reflect")
            if not field.mean() > 0:
                raise InputError(
                    f"FlatField: the mean of channel {channel} is {field.mean() + self.dark:.6g}, "
                    f"not above dark={self.dark}: no flat field can be made; lower dark"
                )
            # an unlit corner must not be blown up without bound
            flat[channel] = np.maximum(field / field.mean(), 0.05).astype(np.float32)
        return {"flat": flat}

    def apply(self, data: Data, state: State) -> Data:
        """Subtract dark, divide by flat."""
        flat = state["flat"]
        return self._map(data, lambda x, channel, _: (x - self.dark) / flat.get(channel, 1.0))


class Background(Step):
    """Subtract each frame's background; negative values are kept, so means are not biased.

    - ``rolling_ball``: a ball of `radius` rolled under the intensity surface (Sternberg 1983); for
      radii over 10 px on block minima, interpolated back, as ImageJ does.
    - ``morphological``: grey opening with a square of side 2 `radius` + 1.
    - ``gaussian``: Gaussian mean with sigma = `radius`. Cells darken their surroundings.
    - ``percentile``: one value per frame, `percentile` of its pixels.

    For the first three, `radius` must exceed the radius of the largest cell.
    """

    measurement_safe: ClassVar[bool] = True

    method: Literal["rolling_ball", "morphological", "gaussian", "percentile"] = Field(
        default="morphological", description="how the background is found"
    )
    radius_um: float | None = Field(default=None, gt=0, description="radius, um")
    radius_px: float | None = Field(default=None, gt=0, description="radius, pixels")
    percentile: float = Field(default=10.0, ge=0, le=100, description="percentile of each frame")

    @model_validator(mode="after")
    def _radius_where_needed(self) -> Background:
        given = (self.radius_um is not None) + (self.radius_px is not None)
        needed = 0 if self.method == "percentile" else 1
        if given != needed:
            raise ValueError(
                f"method={self.method!r} needs "
                + ("exactly one of radius_um and radius_px" if needed else "no radius")
            )
        return self

    def apply(self, data: Data, state: State) -> Data:
        """Subtract the background of every frame; reads ``pixel_size_um`` for `radius_um`."""
        if self.method == "percentile":
            return self._map(data, lambda x, *_: x - np.percentile(x, self.percentile))
        pixel = data.get("pixel_size_um")
        radius = length_px("radius", self.radius_um, self.radius_px, pixel)
        return self._map(data, lambda x, *_: x - self._surface(x, radius))

    def _surface(self, frame: np.ndarray, radius: float) -> np.ndarray:
        if self.method == "gaussian":
            return ndi.gaussian_filter(frame, radius, mode="nearest")
        if self.method == "morphological":
            size = 2 * round(radius) + 1
            low = ndi.minimum_filter(frame, size, mode="nearest")
            return ndi.maximum_filter(low, size, mode="nearest")
        return _rolling_ball(frame, radius)


def _rolling_ball(frame: np.ndarray, radius: float) -> np.ndarray:
    """Surface under `frame` (Y, X) touched by a ball of `radius` pixels."""
    from skimage.restoration import rolling_ball
    from skimage.transform import resize

    factor = next((f for limit, f in ((10, 1), (30, 2), (100, 4)) if radius <= limit), 8)
    if factor == 1:
        return rolling_ball(frame, radius=radius)
    padded = np.pad(frame, [(0, -size % factor) for size in frame.shape], mode="edge")
    rows, columns = (size // factor for size in padded.shape)
    small = padded.reshape(rows, factor, columns, factor).min((1, 3))
    ball = rolling_ball(small, radius=radius / factor)
    full = resize(ball, padded.shape, order=1, mode="edge", preserve_range=True)
    return full[: frame.shape[0], : frame.shape[1]]
