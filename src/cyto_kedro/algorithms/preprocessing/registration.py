"""Registration: frames on each other (drift), channels on each other (offset)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Data
from cyto_kedro.algorithms.preprocessing.base import (
    State,
    Step,
    at_frame,
    excluded_of,
    iter_frames,
    over_gaps,
    peek,
)
from cyto_kedro.algorithms.preprocessing.parts import Part
from cyto_kedro.core import ndi


def tapered(image: np.ndarray) -> np.ndarray:
    """`image` (Y, X) made ready for correlation: smoothed, mean 0, fading towards its edges.

    The taper keeps the edges, which do not move, from pulling shifts towards 0.
    """
    smooth = ndi.gaussian_filter(image, 1.0)  # noise of single pixels does not move
    window = np.outer(*(np.hanning(size + 2)[1:-1] for size in image.shape))
    return np.asarray((smooth - smooth.mean()) * window)


def shift_between(fixed: np.ndarray, moving: np.ndarray, precision: int) -> np.ndarray:
    """Shift (y, x) in pixels that brings `moving` onto `fixed`, both `tapered`; to 1/precision px.

    Sub-pixel cross-correlation (Guizar-Sicairos, Thurman and Fienup 2008, as in scikit-image). An
    image without structure correlates with nothing and is not shifted.
    """
    from skimage.registration import phase_cross_correlation

    if not (fixed.any() and moving.any()):
        return np.zeros(2)
    found = phase_cross_correlation(fixed, moving, upsample_factor=precision, normalization=None)
    return np.asarray(found[0], float)


def valid_yx(shift: np.ndarray, shape: tuple[int, ...]) -> list[int]:
    """[y0, y1, x0, x1], ends not included: pixels that no `shift` (N, 2) moves in from outside."""
    low = np.ceil(np.maximum(shift.max(0), 0)).astype(int)
    high = np.array(shape) + np.floor(np.minimum(shift.min(0), 0)).astype(int)
    return [int(low[0]), int(high[0]), int(low[1]), int(high[1])]


def filmed_yx(registration: pd.DataFrame, frames: range, shape: tuple[int, int]) -> np.ndarray:
    """Of every frame, what was filmed of it: (T, 4) y0, y1, x0, x1, ends not included.

    Parameters
    ----------
    registration
        `schemas.Registration` of one field; without rows, everything was filmed.
    frames
        Numbers of the frames asked for.
    shape
        (Y, X) of the film.

    Notes
    -----
    The rest was moved in from outside by registration and repeats the edge. Steps that follow each
    other add up, and of channels moved apart the most counts, so that no channel is worse.
    """
    region = np.tile([0, shape[0], 0, shape[1]], (len(frames), 1))
    for _, rows in registration.groupby("step"):
        of = rows["frame"].astype("Float64").to_numpy(float, na_value=np.nan)
        shift = rows[["shift_y_px", "shift_x_px"]].to_numpy(float)
        for row, frame in zip(region, frames, strict=True):
            here = shift[np.isnan(of) | (of == frame)]
            if len(here):
                row += np.subtract(valid_yx(here, shape), [0, shape[0], 0, shape[1]])
    return region


class DriftRegistration(Step):
    """Undo stage drift: shifts estimated on one channel, applied to all (or `channels`).

    Sub-pixel cross-correlation (Guizar-Sicairos, Thurman and Fienup 2008) under a Hann window of each
    frame with the one before, summed, or with the first frame. A step over `max_jump_px` is not
    believed: it counts as no motion and is told in the state. Pixels moved in from outside repeat
    the edge; `valid_yx` is the region free of them in all frames. Fractions of a pixel are
    interpolated linearly, which keeps sums but smooths noise; `whole_pixels` avoids that.

    State: ``{"first_frame": int, "shift_yx_px": (T, 2) float64, "jump": (T,) bool, "warnings": [str],
    "valid_yx": [y0, y1, x0, x1]}``; a shift is added to positions of that frame.

    Examples
    --------
    >>> scene = ndi.gaussian_filter(np.random.default_rng(0).normal(size=(80, 80)), 2)
    >>> film = {"A": np.stack([scene[:64, :64], scene[3:67, :64]])}
    >>> step = DriftRegistration(channel="A", whole_pixels=True)
    >>> step.estimate([{"image": film}])["shift_yx_px"].tolist()
    [[0.0, 0.0], [3.0, 0.0]]
    """

    measurement_safe: ClassVar[bool] = True

    channel: str = Field(description="channel the drift is estimated on")
    reference: Literal["previous", "first"] = Field(
        default="previous", description="frame each frame is compared with"
    )
    max_jump_px: float = Field(default=50.0, gt=0, description="largest believed step, pixels")
    precision: int = Field(default=20, ge=1, description="shifts are found to 1/precision pixel")
    whole_pixels: bool = Field(default=False, description="round shifts; no interpolation")

    @property
    def quick(self) -> bool:
        """Yes: a shift between pixels is a mean of four."""
        return True

    @property
    def reads(self) -> tuple[str, ...] | None:
        """The estimated channel too."""
        return tuple({self.channel, *(self.channels or ())})

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Cumulative shift of every frame; memory holds one block and one frame."""
        first_data, blocks = peek(blocks)
        self.chosen(first_data)
        shifts: list[np.ndarray] = []
        jump: list[bool] = []
        warnings: list[str] = []
        shape, anchor = (0, 0), None
        numbers: list[int] = []
        for number, raw in iter_frames(blocks, self.channel):
            frame = tapered(raw.image)
            numbers.append(number)
            if anchor is None:
                shape, anchor = frame.shape, frame
                shifts.append(np.zeros(2))
                jump.append(False)
                continue
            found = shift_between(anchor, frame, self.precision)
            base = shifts[-1] if self.reference == "previous" else np.zeros(2)
            step = base + found - shifts[-1]
            jump.append(bool(np.hypot(*step) > self.max_jump_px))
            if jump[-1]:
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
        return {
            "first_frame": numbers[0],
            "shift_yx_px": over_gaps(numbers, shift),
            "jump": over_gaps(numbers, np.array(jump, bool)),
            "warnings": warnings,
            "valid_yx": valid_yx(shift, shape),
        }

    def apply(self, data: Data, state: State) -> Data:
        """Shift every frame of the chosen channels."""
        first, left_out = state["first_frame"], excluded_of(data)

        def move(part: Part, channel: str, number: int) -> np.ndarray:
            by = at_frame(state["shift_yx_px"], first, number, "DriftRegistration", left_out)
            image = part.image
            return ndi.shift(image, by, order=1, mode="nearest") if by.any() else image

        return self._map(data, move)


class ChannelOffset(Step):
    """Undo a fixed offset between channels (chromatic shift, two cameras): shift each onto the others.

    `shift_yx_px` is best measured on beads seen in all channels; then nothing is estimated. With
    `reference` the channels of `channels` are brought onto it, by the cross-correlation of their mean
    images over the film: right only where both show the same things (a dye that leaks, dark debris,
    the outlines of cells). Pixels moved in from outside repeat the edge.

    State: ``{"shift_yx_px": {channel: [y, x]}, "valid_yx": [y0, y1, x0, x1], "warnings": [str]}``.

    Examples
    --------
    >>> film = {"A": np.eye(4)[None], "B": np.eye(4, k=1)[None]}
    >>> step = ChannelOffset(shift_yx_px={"B": (0, -1)})
    >>> bool((step(image=film)["image"]["B"][0, :3, :3] == np.eye(3)).all())
    True
    """

    measurement_safe: ClassVar[bool] = True

    shift_yx_px: dict[str, tuple[float, float]] = Field(
        default={}, description="channel -> (y, x) added to its positions, pixels"
    )
    reference: str | None = Field(
        default=None, description="channel that the others are brought onto; null: shifts are given"
    )
    max_offset_px: float = Field(
        default=10.0, gt=0, description="largest believed estimate; a larger one is not applied"
    )
    precision: int = Field(default=20, ge=1, description="found to 1/precision pixel")

    @model_validator(mode="after")
    def _given_or_estimated(self) -> ChannelOffset:
        if bool(self.shift_yx_px) == (self.reference is not None):
            raise ValueError("give shift_yx_px, or a reference channel to estimate it by")
        if self.shift_yx_px and self.channels is not None:
            raise ValueError("shift_yx_px names its channels itself; leave channels out")
        return self

    @property
    def quick(self) -> bool:
        """Yes: a shift between pixels is a mean of four."""
        return True

    @property
    def reads(self) -> tuple[str, ...] | None:
        """The shifted channels and the reference."""
        if self.shift_yx_px:
            return tuple(self.shift_yx_px)
        named = {self.reference or "", *(self.channels or ())}
        return tuple(sorted(named))

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Shift of every channel."""
        first, blocks = peek(blocks)
        names = self.chosen(first)
        shape = first["image"][names[0]].shape[1:]
        shifts = {name: list(shift) for name, shift in self.shift_yx_px.items()}
        warnings = []
        if self.reference is not None:
            mean = {name: np.zeros(shape) for name in {*names, self.reference}}
            for data in blocks:
                for name in mean:
                    for _, frame in iter_frames([data], name):
                        mean[name] = mean[name] + frame.image
            fixed = tapered(mean[self.reference])
            for name in names:
                moving = tapered(mean[name])
                found = shift_between(fixed, moving, self.precision)
                if np.hypot(*found) > self.max_offset_px:
                    warnings.append(
                        f"channel {name}: an offset of {np.hypot(*found):.1f} px to {self.reference} "
                        f"(over max_offset_px={self.max_offset_px:g}) is not applied: the two "
                        "channels may show different things"
                    )
                    found = np.zeros(2)
                shifts[name] = found.tolist()
        valid = valid_yx(np.array([[0.0, 0.0], *shifts.values()]), shape)
        return {"shift_yx_px": shifts, "valid_yx": valid, "warnings": warnings}

    def apply(self, data: Data, state: State) -> Data:
        """Shift the channels."""
        shifts = state["shift_yx_px"]

        def move(part: Part, channel: str, number: int) -> np.ndarray:
            by = shifts.get(channel, (0.0, 0.0))
            image = part.image
            return ndi.shift(image, by, order=1, mode="nearest") if any(by) else image

        return self._map(data, move)
