"""Bleaching and drift: what changes over the film."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy import ndimage as ndi

from cyto_kedro.algorithms.base import Data
from cyto_kedro.algorithms.preprocessing.base import State, Step, at_frame, iter_frames, peek
from cyto_kedro.errors import InputError


def _exponential(levels: np.ndarray) -> np.ndarray:
    """Least-squares fit of ``a exp(-k t)``, k >= 0, to `levels` (T,) at t = 0, 1, ...; fitted."""
    from scipy.optimize import least_squares

    t = np.arange(len(levels), dtype=float)
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
    """

    measurement_safe: ClassVar[bool] = True
    needs_estimate: ClassVar[bool] = True

    method: Literal["exponential", "ratio"] = Field(default="exponential", description="see above")
    measure: Literal["mean", "median", "foreground"] = Field(
        default="mean",
        description="level of a frame; foreground: mean of its brightest tenth less its median",
    )
    offset: float = Field(default=0.0, ge=0, description="grey level that does not bleach")

    def _level(self, frame: np.ndarray) -> float:
        if self.measure == "foreground":
            bright = frame[frame >= np.percentile(frame, 90)]
            return float(bright.mean(dtype=np.float64) - np.median(frame))
        middle = np.median if self.measure == "median" else np.mean
        return float(middle(frame.astype(np.float64))) - self.offset

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Level of every frame of every chosen channel, relative to the first.

        Raises
        ------
        InputError
            If a frame's level is not above 0.
        """
        levels: dict[str, list[float]] = {}
        first_frame = None
        for data in blocks:
            for channel in self.chosen(data):
                for number, frame in iter_frames([data], channel):
                    first_frame = number if first_frame is None else first_frame
                    level = self._level(frame)
                    if level <= 0:
                        raise InputError(
                            f"BleachCorrection: channel {channel}, frame {number}: {self.measure} "
                            f"level {level:.6g} is not above 0, so it has no ratio to the others; "
                            f"lower offset (now {self.offset}) or exclude the field"
                        )
                    levels.setdefault(channel, []).append(level)
        factor = {}
        for channel, values in levels.items():
            curve = np.array(values)
            curve = _exponential(curve) if self.method == "exponential" else curve
            factor[channel] = curve / curve[0]
        return {"first_frame": first_frame or 0, "factor": factor}

    def apply(self, data: Data, state: State) -> Data:
        """``offset + (image - offset) / factor``."""
        first = state["first_frame"]

        def correct(frame: np.ndarray, channel: str, number: int) -> np.ndarray:
            factor = at_frame(state["factor"][channel], first, number, "BleachCorrection")
            return self.offset + (frame - self.offset) / factor

        return self._map(data, correct)


class DriftRegistration(Step):
    """Undo stage drift: shifts estimated on one channel, applied to all (or `channels`).

    Sub-pixel cross-correlation (Guizar-Sicairos, Thurman and Fienup 2008) under a Hann window of each
    frame with the one before, summed, or with the first frame. A step over `max_jump_px` is not
    believed: it counts as no motion and is told in the state. Pixels moved in from outside repeat
    the edge; `valid_yx` is the region free of them in all frames. Fractions of a pixel are
    interpolated linearly, which keeps sums but smooths noise; `whole_pixels` avoids that.

    State: ``{"first_frame": int, "shift_yx_px": (T, 2) float64, "warnings": [str],
    "valid_yx": [y0, y1, x0, x1]}``; a shift is added to positions of that frame.
    """

    measurement_safe: ClassVar[bool] = True
    needs_estimate: ClassVar[bool] = True

    channel: str = Field(description="channel the drift is estimated on")
    reference: Literal["previous", "first"] = Field(
        default="previous", description="frame each frame is compared with"
    )
    max_jump_px: float = Field(default=50.0, gt=0, description="largest believed step, pixels")
    precision: int = Field(default=20, ge=1, description="shifts are found to 1/precision pixel")
    smoothing_px: float = Field(default=1.0, ge=0, description="Gaussian before correlation")
    whole_pixels: bool = Field(default=False, description="round shifts; no interpolation")

    @property
    def reads(self) -> tuple[str, ...] | None:
        """The estimated channel too."""
        return tuple({self.channel, *(self.channels or ())})

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Cumulative shift of every frame; memory holds one block and one frame."""
        from skimage.registration import phase_cross_correlation

        first_data, blocks = peek(blocks)
        self.chosen(first_data)
        shifts: list[np.ndarray] = []
        warnings: list[str] = []
        shape, first_frame, anchor = (0, 0), 0, None
        for number, raw in iter_frames(blocks, self.channel):
            frame = ndi.gaussian_filter(raw, self.smoothing_px)
            # the taper keeps the edges, which do not move, from pulling shifts towards 0
            frame = (frame - frame.mean()) * np.outer(*map(np.hanning, frame.shape))
            if anchor is None:
                shape, first_frame, anchor = frame.shape, number, frame
                shifts.append(np.zeros(2))
                continue
            # a frame without structure correlates with nothing
            if frame.any() and anchor.any():
                found = phase_cross_correlation(
                    anchor, frame, upsample_factor=self.precision, normalization=None
                )[0]
            else:
                found = np.zeros(2)
            base = shifts[-1] if self.reference == "previous" else np.zeros(2)
            step = base + found - shifts[-1]
            if np.hypot(*step) > self.max_jump_px:
                warnings.append(
                    f"frame {number}: a jump of {np.hypot(*step):.1f} px (over max_jump_px="
                    f"{self.max_jump_px:g}) on channel {self.channel} was taken as no motion"
                )
                step = np.zeros(2)
            shifts.append(shifts[-1] + step)
            if self.reference == "previous":
                anchor = frame
        shift = np.array(shifts).reshape(-1, 2)
        shift = np.rint(shift) if self.whole_pixels else shift
        low = np.ceil(np.maximum(shift.max(0), 0)).astype(int)
        high = np.array(shape) + np.floor(np.minimum(shift.min(0), 0)).astype(int)
        return {
            "first_frame": first_frame,
            "shift_yx_px": shift,
            "warnings": warnings,
            "valid_yx": [int(low[0]), int(high[0]), int(low[1]), int(high[1])],
        }

    def apply(self, data: Data, state: State) -> Data:
        """Shift every frame of the chosen channels."""
        first = state["first_frame"]

        def move(frame: np.ndarray, channel: str, number: int) -> np.ndarray:
            by = at_frame(state["shift_yx_px"], first, number, "DriftRegistration")
            return ndi.shift(frame, by, order=1, mode="nearest") if by.any() else frame

        return self._map(data, move)
