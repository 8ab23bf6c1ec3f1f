"""Steps that combine channels: bleed-through, merging, correlation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Data
from cyto_kedro.algorithms.preprocessing.base import (
    FilmMoments,
    State,
    Step,
    channel_stack,
    iter_frames,
    part_of,
)
from cyto_kedro.algorithms.preprocessing.denoise import noise_sd
from cyto_kedro.algorithms.preprocessing.parts import Part, blanked
from cyto_kedro.errors import ConfigError


class BleedThrough(Step):
    """Subtract a fixed share of one channel from others: ``target - fraction * (source - level)``.

    `fraction` is measured on a control with the source's dye alone.

    Examples
    --------
    >>> film = {"Dead": np.full((1, 1, 1), 30.0), "TCell": np.full((1, 1, 1), 100.0)}
    >>> step = BleedThrough(channels=["Dead"], source="TCell", fraction=0.2)
    >>> step(image=film)["image"]["Dead"].tolist()
    [[[10.0]]]
    """

    measurement_safe: ClassVar[bool] = True

    channels: list[str] = Field(min_length=1, description="channels the light leaks into")
    source: str = Field(description="channel whose light leaks")
    fraction: float = Field(gt=0, lt=1, description="share of the source seen in each target")
    source_level: float = Field(
        default=0.0, description="grey level of the source without dye, which does not leak"
    )

    @model_validator(mode="after")
    def _not_itself(self) -> BleedThrough:
        if self.source in self.channels:
            raise ValueError(f"channel {self.source!r} cannot leak into itself")
        return self

    @property
    def reads(self) -> tuple[str, ...] | None:
        """The source too."""
        return (self.source, *self.channels)

    @property
    def quick(self) -> bool:
        """Yes: arithmetic on each pixel."""
        return True

    @property
    def beside(self) -> tuple[str, ...]:
        """The source."""
        return (self.source,)

    def apply(self, data: Data, state: State) -> Data:
        """Subtract the leaked light from every target channel."""
        self.chosen(data)
        start = int(data.get("frame_start", 0))

        def unmix(part: Part, channel: str, number: int) -> np.ndarray:
            light = part_of(data, number - start, self.source).image - self.source_level
            return part.image - self.fraction * light

        return self._map(data, unmix)


class Combine(Step):
    """A step that makes the channel `output` of others."""

    output: str = Field(min_length=1, description="name of the new channel")

    @property
    def makes(self) -> tuple[str, ...]:
        """The new channel."""
        return (self.output,)

    @property
    def beside(self) -> tuple[str, ...]:
        """What the new one is made of."""
        return tuple(self.channels or ())

    def add(self, data: Data, stack: np.ndarray) -> Data:
        """`data` with the new channel.

        Raises ConfigError if there is a channel of that name: it would be lost.
        """
        if self.output in data["image"]:
            raise ConfigError(
                f"{type(self).__name__}: output={self.output!r} is already a channel, which would "
                f"be lost; choose another name"
            )
        return {**data, "image": {**data["image"], self.output: stack}}


class ChannelMerge(Combine):
    """Weighted sum of channels as a new one, as pyCyto: Dead + Alive -> CancerCell.

    Without `weights`, each channel is weighted by the inverse of its mean over the film, so that a
    dim one counts as much as a bright one; these weights sum to 1. A channel that is dark
    throughout gets weight 0.

    State: ``{"weights": [float]}``, in the order of `channels`.

    Examples
    --------
    >>> film = {"Dead": np.full((1, 1, 1), 30.0), "Alive": np.full((1, 1, 1), 100.0)}
    >>> step = ChannelMerge(channels=["Dead", "Alive"], weights=[1, 0.5], output="Cell")
    >>> step(image=film)["image"]["Cell"].tolist()
    [[[80.0]]]
    """

    channels: list[str] = Field(min_length=2, description="channels to add up")
    weights: list[float] | None = Field(
        default=None, description="one per channel; null: inverse means over the film"
    )

    @model_validator(mode="after")
    def _one_weight_each(self) -> ChannelMerge:
        if self.weights is not None and len(self.weights) != len(self.channels):
            raise ValueError(f"{len(self.weights)} weights for {len(self.channels)} channels")
        return self

    @property
    def quick(self) -> bool:
        """Yes: arithmetic on each pixel."""
        return True

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Weights of the channels."""
        if self.weights is not None:
            return {"weights": list(self.weights)}
        moments = {channel: FilmMoments() for channel in self.channels}
        for data in blocks:
            self.chosen(data)
            for channel, moment in moments.items():
                for _, frame in iter_frames([data], channel):
                    moment.add(frame.pixels)
        means = np.array([moment.mean for moment in moments.values()])
        inverse = np.divide(1.0, means, out=np.zeros_like(means), where=means > 0)
        return {"weights": (inverse / (inverse.sum() or 1.0)).tolist()}

    def apply(self, data: Data, state: State) -> Data:
        """Add the new channel."""
        names = self.chosen(data)
        merged = np.zeros(channel_stack(data, self.channels[0]).shape, np.float32)
        for i, frame in enumerate(merged):
            parts = [part_of(data, i, channel) for channel in names]
            for part, weight in zip(parts, state["weights"], strict=True):
                frame += np.float32(weight) * part.image
            merged[i] = blanked(frame, _shown_in_all(parts))
        return self.add(data, merged)


class CrossChannelCorrelation(Combine):
    """Correlation of two channels, pixel by pixel, as a new channel.

    ``(a - mean a)(b - mean b) / (sd a * sd b)``: its mean over the pixels is Pearson's r. It is
    positive where both are bright (or both dark). pyCyto's is the same divided by the number of
    pixels, then scaled to uint16; here it stays float32. A constant channel gives 0.

    State (``over="film"``): ``{"mean": [a, b], "sd": [a, b]}``.

    Examples
    --------
    >>> a = np.random.default_rng(0).normal(size=(1, 16, 16))
    >>> step = CrossChannelCorrelation(channels=["A", "B"], output="r")
    >>> round(float(step(image={"A": a, "B": -a})["image"]["r"].mean()), 3)
    -1.0
    """

    channels: list[str] = Field(min_length=2, max_length=2, description="the two channels")
    over: Literal["frame", "film"] = Field(
        default="film", description="mean and sd of each frame, or of the whole film"
    )

    @property
    def quick(self) -> bool:
        """Yes, where mean and sd are the film's."""
        return self.over == "film"

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Mean and sd of both channels over the film."""
        if self.over == "frame":
            return {}
        moments = [FilmMoments() for _ in self.channels]
        for data in blocks:
            self.chosen(data)
            for channel, moment in zip(self.channels, moments, strict=True):
                for _, frame in iter_frames([data], channel):
                    moment.add(frame.pixels)
        return {"mean": [m.mean for m in moments], "sd": [m.sd for m in moments]}

    def apply(self, data: Data, state: State) -> Data:
        """Add the new channel."""
        names = self.chosen(data)
        product = np.zeros(channel_stack(data, self.channels[0]).shape, np.float32)
        for t in range(len(product)):
            parts = [part_of(data, t, channel) for channel in names]
            frame = np.ones(product.shape[1:])
            for i, part in enumerate(parts):
                pixels = part.pixels.astype(np.float64)
                if self.over == "frame":
                    mean, sd = float(pixels.mean()), float(pixels.std())
                else:
                    mean, sd = state["mean"][i], state["sd"][i]
                frame = frame * ((part.image - mean) / sd if sd > 0 else 0.0)
            product[t] = blanked(frame, _shown_in_all(parts))
        return self.add(data, product)


def _shown_in_all(parts: Sequence[Part]) -> np.ndarray | None:
    """Pixels (Y, X) that were filmed in every one of `parts`; None: all."""
    masks = [part.filmed for part in parts if part.filmed is not None]
    return np.logical_and.reduce(masks) if masks else None


class AddStained(Combine):
    """A channel, and another where it is stained: adds only what exceeds background and noise.

    ``first + sum(max(other - background - min_contrast * noise, 0))``. The mean of two channels halves
    what only one of them shows, and lets the noise of an empty one in; here an empty one adds nothing.
    Background (the median: most of the frame must be unstained) and noise (`noise_sd`) are medians
    over the frames of the film. Bring channels to one scale before (`PercentileNormalisation`).

    State: ``{"least": [float]}``, background and noise of each channel after the first.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> film = {"Hoechst": np.full((1, 32, 32), 3.0), "PI": rng.normal(100, 1, (1, 32, 32))}
    >>> step = AddStained(channels=["Hoechst", "PI"], output="Nuclei", min_contrast=6)
    >>> float(step(image=film)["image"]["Nuclei"].max())
    3.0
    """

    channels: list[str] = Field(min_length=2, description="the first one, and those added to it")
    min_contrast: float = Field(
        default=5.0, ge=0, description="sd of the noise over background that counts as stained"
    )

    @property
    def quick(self) -> bool:
        """Yes: arithmetic on each pixel."""
        return True

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Least stained value of each channel after the first."""
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in self.channels[1:]}
        for data in blocks:
            self.chosen(data)
            for channel, levels in found.items():
                for _, frame in iter_frames([data], channel):
                    noise = noise_sd(frame.image, frame.filmed)
                    levels.append((float(np.median(frame.pixels)), noise))
        middle = [np.median(levels or [(0.0, 0.0)], axis=0) for levels in found.values()]
        return {"least": [float(level + self.min_contrast * noise) for level, noise in middle]}

    def apply(self, data: Data, state: State) -> Data:
        """Add the new channel."""
        names = self.chosen(data)
        merged = np.zeros(channel_stack(data, names[0]).shape, np.float32)
        for i, frame in enumerate(merged):
            parts = [part_of(data, i, channel) for channel in names]
            frame += parts[0].image
            for part, least in zip(parts[1:], state["least"], strict=True):
                frame += np.maximum(part.image - np.float32(least), 0)
            merged[i] = blanked(frame, _shown_in_all(parts))
        return self.add(data, merged)
