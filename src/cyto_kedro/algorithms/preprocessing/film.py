"""Bleaching: light that fades over the film."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.base import Data
from cyto_kedro.algorithms.preprocessing.base import (
    State,
    Step,
    at_frame,
    excluded_of,
    iter_frames,
    over_gaps,
)
from cyto_kedro.algorithms.preprocessing.parts import Part
from cyto_kedro.errors import InputError


def _exponential(levels: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Least-squares fit of ``a exp(-k t)``, k >= 0, to `levels` (T,) at frames `t`; fitted."""
    from scipy.optimize import least_squares

    if len(levels) < 3:
        return levels
    slope, intercept = np.polyfit(t, np.log(levels), 1)
    start = [np.exp(intercept), max(-slope, 0.0) + 1e-9]
    fit = least_squares(
        lambda p: (p[0] * np.exp(-p[1] * t) - levels) / levels[0],
        start,
        bounds=([0, 0], [np.inf, np.inf]),
        x_scale=[levels[0], 1 / len(levels)],
    )
    return fit.x[0] * np.exp(-fit.x[1] * t)


class BleachCorrection(Step):
    """Undo photobleaching: divide each frame by its level relative to the first frame.

    The level of a frame is its `measure` above `offset`; ``exponential`` fits a decay
    ``a exp(-k frame)`` to the levels, ``ratio`` takes them as they are (then true changes of the
    cells are removed too). Bleaching follows exposures, so frames count, not time stamps. The first
    frame is unchanged.

    State: ``{"first_frame": int, "factor": {channel: (T,) float64}}``.

    Examples
    --------
    >>> film = {"A": 100 * 0.9 ** np.arange(4.0)[:, None, None] * np.ones((1, 2, 2))}
    >>> BleachCorrection()(image=film)["image"]["A"][:, 0, 0].round(1).tolist()
    [100.0, 100.0, 100.0, 100.0]
    """

    measurement_safe: ClassVar[bool] = True

    method: Literal["exponential", "ratio"] = Field(default="exponential", description="see above")
    measure: Literal["mean", "median", "foreground"] = Field(
        default="mean",
        description="level of a frame; foreground: mean of its brightest tenth less its median",
    )
    offset: float = Field(default=0.0, ge=0, description="grey level that does not bleach")

    @property
    def quick(self) -> bool:
        """Yes: arithmetic on each pixel."""
        return True

    def _level(self, frame: Part) -> float:
        pixels = frame.pixels
        if self.measure == "foreground":
            bright = pixels[pixels >= np.percentile(pixels, 90)]
            return float(bright.mean(dtype=np.float64) - np.median(pixels))
        middle = np.median if self.measure == "median" else np.mean
        return float(middle(pixels.astype(np.float64))) - self.offset

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Level of every frame of every chosen channel, relative to the first.

        Raises
        ------
        InputError
            If a frame's level is not above 0.
        """
        levels: dict[str, list[float]] = {}
        numbers: dict[str, list[int]] = {}
        for data in blocks:
            for channel in self.chosen(data):
                for number, frame in iter_frames([data], channel):
                    level = self._level(frame)
                    if level <= 0:
                        raise InputError(
                            f"BleachCorrection: channel {channel}, frame {number}: {self.measure} "
                            f"level {level:.6g} is not above 0, so it has no ratio to the others; "
                            f"lower offset (now {self.offset}) or exclude the field"
                        )
                    levels.setdefault(channel, []).append(level)
                    numbers.setdefault(channel, []).append(number)
        factor = {}
        for channel, values in levels.items():
            curve, at = np.array(values), numbers[channel]
            if self.method == "exponential":
                curve = _exponential(curve, np.array(at, float) - at[0])
            factor[channel] = over_gaps(at, curve / curve[0])
        first = next(iter(numbers.values()), [0])[0]
        return {"first_frame": first, "factor": factor}

    def apply(self, data: Data, state: State) -> Data:
        """``offset + (image - offset) / factor``."""
        first, left_out = state["first_frame"], excluded_of(data)

        def correct(frame: Part, channel: str, number: int) -> np.ndarray:
            factor = at_frame(state["factor"][channel], first, number, "BleachCorrection", left_out)
            return self.offset + (frame.image - self.offset) / factor

        return self._map(data, correct)
