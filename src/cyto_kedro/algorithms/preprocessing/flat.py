"""Flat and dark field: uneven light and camera offset, given as images or estimated from the film."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Data
from cyto_kedro.algorithms.preprocessing.base import State, Step, iter_frames, peek
from cyto_kedro.core import ndi
from cyto_kedro.errors import ConfigError, InputError, unknown

MAX_FRAMES = 256  # of a film that the robust fit keeps, small
SIDE = 128  # their longer side, pixels
LEAST_FLAT = 0.05  # an unlit corner must not be blown up without bound


class FlatField(Step):
    """Correct uneven illumination and camera offset: ``(image - dark) / flat``, flat of mean 1.

    `flat` says where the flat field is from:

    - ``mean``: the film's mean image, smoothed. Right where cells have been everywhere about equally
      often: many frames, motile cells.
    - ``robust``: as BaSiC (Peng et al., Nat. Commun. 2017) the film is ``level of the frame x flat +
      dark + cells``, cells being few and flat smooth; fitted by reweighted least squares, in which
      pixels that stand out of the rest count less, on at most 256 frames of 128 pixels. Right where
      each place is without cells in a fair part of the frames.
    - ``given``: `flat_images`, of an empty dyed field, less dark.
    - ``none``: subtract dark only.

    Dark is `dark`, or `dark_images` (shutter closed), or with `estimate_dark` what does not follow the
    frames' level: that needs a level that changes (bleaching, a lamp that drifts) and robust.

    State: ``{"flat": {channel: (Y, X) float32}, "dark": {channel: (Y, X) float32}}``.

    Examples
    --------
    >>> light = np.linspace(50, 150, 64)[None, None] * np.ones((2, 64, 1))
    >>> out = FlatField(smoothness=0.02)(image={"A": light})["image"]["A"]
    >>> bool(out.std() < 0.1 * light.std())
    True
    """

    version: ClassVar[int] = 3
    measurement_safe: ClassVar[bool] = True

    flat: Literal["mean", "robust", "given", "none"] = Field(
        default="mean", description="where the flat field is from"
    )
    flat_images: dict[str, str] = Field(
        default={}, description="channel -> name of its flat image among the reference images"
    )
    dark: float = Field(default=0.0, ge=0, description="camera offset, grey levels")
    dark_images: dict[str, str] = Field(
        default={}, description="channel -> name of its dark image among the reference images"
    )
    estimate_dark: bool = Field(default=False, description="estimate the dark field too")
    smoothness: float = Field(
        default=0.125, gt=0, le=1, description="sigma of the smoothing, in shorter image sides"
    )

    @model_validator(mode="after")
    def _one_source(self) -> FlatField:
        if (self.flat == "given") != bool(self.flat_images):
            raise ValueError("flat: given and flat_images go together")
        if self.dark_images and (self.dark or self.estimate_dark):
            raise ValueError("dark_images are instead of dark and of estimate_dark")
        if self.estimate_dark and self.flat != "robust":
            raise ValueError("estimate_dark needs flat: robust")
        return self

    @property
    def references(self) -> tuple[str, ...]:
        """The given images."""
        return (*self.flat_images.values(), *self.dark_images.values())

    @property
    def quick(self) -> bool:
        """Yes: arithmetic on each pixel."""
        return True

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Flat and dark field of each channel; given images are in ``reference`` {name: (Y, X)}.

        Raises
        ------
        ConfigError
            If a channel has no given image, or there is no image of that name.
        InputError
            If a given image has another shape than the film, a channel is nowhere above dark, or the
            dark field cannot be told from the flat field.
        """
        first, blocks = peek(blocks)
        channels = self.chosen(first)
        dark = {
            channel: self._given(self.dark_images, channel, first)
            if self.dark_images
            else np.full(1, self.dark, np.float32)
            for channel in channels
        }
        flat: dict[str, np.ndarray] = {}
        if self.flat == "given":
            for channel in channels:
                image = self._given(self.flat_images, channel, first) - dark[channel]
                flat[channel] = _normalised(image, channel)
        elif self.flat == "mean":
            for channel, mean in _means(blocks, channels).items():
                light = mean - dark[channel]
                _normalised(light, channel)
                # what a wide Gaussian leaves is as well seen on few pixels
                field = self._smooth(_resized(light, _small_shape(light.shape)))
                flat[channel] = _normalised(_resized(field, light.shape), channel)
        elif self.flat == "robust":
            for channel, (frames, shape) in _small(blocks, channels).items():
                small_dark = _resized(np.broadcast_to(dark[channel], shape), frames.shape[1:])
                field, extra = self._fit(frames - small_dark, channel)
                flat[channel] = _normalised(_resized(field, shape), channel)
                if extra is not None:
                    dark[channel] = (dark[channel] + _resized(extra, shape)).astype(np.float32)
        return {"flat": flat, "dark": dark}

    def _given(self, names: dict[str, str], channel: str, data: Data) -> np.ndarray:
        images = data.get("reference") or {}
        if channel not in names:
            raise ConfigError(
                f"FlatField: channel {channel} has no given image (given: {', '.join(names)}); add "
                "it, or list the channels it applies to in `channels`"
            )
        if names[channel] not in images:
            raise ConfigError(f"FlatField: {unknown('reference image', names[channel], images)}")
        image = np.asarray(images[names[channel]], np.float32)
        shape = data["image"][channel].shape[1:]
        if image.shape != shape:
            raise InputError(
                f"FlatField: the reference image {names[channel]!r} has shape {image.shape}, channel "
                f"{channel} {shape}; it must be taken with the film's camera, binning and view"
            )
        return image

    def _smooth(self, image: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        """Weighted Gaussian mean, twice: what the first pass took away is smoothed and put back.

        So a parabola is kept as it is (Tukey's twicing). Beyond the edges the image goes on as it is
        inclined there.
        """
        weight = np.ones(image.shape) if weight is None else weight
        first = self._smooth_once(image, weight)
        return first + self._smooth_once(image - first, weight)

    def _smooth_once(self, image: np.ndarray, weight: np.ndarray) -> np.ndarray:
        sigma = self.smoothness * min(image.shape)
        width = [min(round(3 * sigma), size - 1) for size in image.shape]
        pad = [(each, each) for each in width]
        inner = tuple(
            slice(each, each + size) for each, size in zip(width, image.shape, strict=True)
        )
        # the edges, about which the image is turned, must not be single pixels of a cell
        near = ndi.gaussian_filter(weight, sigma / 4)
        calm = ndi.gaussian_filter(image * weight, sigma / 4) / np.maximum(near, 1e-12)
        weights = np.pad(near, pad, mode="reflect")
        values = np.pad(calm, pad, mode="reflect", reflect_type="odd") * weights
        total = ndi.gaussian_filter(weights, sigma)
        return np.asarray((ndi.gaussian_filter(values, sigma) / np.maximum(total, 1e-12))[inner])

    def _fit(self, frames: np.ndarray, channel: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Flat field, mean 1, and dark field, of `frames` (N, Y, X) float32."""
        field = np.ones(frames.shape[1:])
        dark = np.zeros(frames.shape[1:])
        _normalised(frames.mean(0, dtype=np.float64), channel)
        level = np.median(frames, axis=(1, 2)).astype(np.float64)
        if self.estimate_dark and np.ptp(level) < 0.05 * abs(level.mean()):
            raise InputError(
                f"FlatField: the light of channel {channel} changes by less than 5 % over the film, so "
                "its dark field cannot be told from its flat field; give dark or dark_images instead"
            )
        weight = np.ones(frames.shape, np.float32)
        for _ in range(40):
            of_level = level[:, None, None]
            total = weight.sum(0)
            if self.estimate_dark:
                # per pixel a line over the frames: its slope is the flat field, its foot the dark one
                mean_level = (weight * of_level).sum(0) / total
                mean = (weight * frames).sum(0) / total
                spread = (weight * (of_level - mean_level) ** 2).sum(0)
                slope = (weight * (of_level - mean_level) * (frames - mean)).sum(0)
                new = self._smooth(slope / np.maximum(spread, 1e-12), spread)
                dark = self._smooth(mean - new * mean_level, total)
            else:
                square = (weight * of_level**2).sum(0)
                new = (weight * of_level * frames).sum(0) / np.maximum(square, 1e-12)
                new = self._smooth(new, square)
            new /= new.mean()
            if self.estimate_dark:
                # flat x level + dark is the same for dark + a flat, level - a: of all a, the one for
                # which the dark field does not follow the flat field
                tilt = new - new.mean()
                a = (tilt * dark).sum() / max((tilt**2).sum(), 1e-12)
                dark = dark - a * new
            light = (weight * new**2).sum((1, 2))
            level = (weight * new * (frames - dark)).sum((1, 2)) / np.maximum(light, 1e-12)
            off = frames - level[:, None, None] * new - dark
            # 1 % of the light: what the smoothing cannot follow is no cell
            scale = max(1.4826 * float(np.median(np.abs(off))), 0.01 * float(np.abs(level).mean()))
            weight = (1 / (1 + (off / (2 * max(scale, 1e-30))) ** 2) ** 2).astype(np.float32)
            change = float(np.abs(new - field).max())
            field = new
            if change < 1e-4:
                break
        return field, dark if self.estimate_dark else None

    def apply(self, data: Data, state: State) -> Data:
        """Subtract dark, divide by flat."""
        flat, dark = state["flat"], state["dark"]
        return self._map(data, lambda x, name, _: (x.image - dark[name]) / flat.get(name, 1.0))


def _normalised(field: np.ndarray, channel: str) -> np.ndarray:
    mean = float(field.mean(dtype=np.float64))
    if not mean > 0:
        raise InputError(
            f"FlatField: channel {channel} is on average {-mean:.6g} grey levels below dark, so no flat "
            "field can be made; lower dark, or correct the images"
        )
    return np.maximum(field / mean, LEAST_FLAT).astype(np.float32)


def _means(blocks: Iterable[Data], channels: list[str]) -> dict[str, np.ndarray]:
    """Mean image of each channel."""
    total = {channel: np.zeros(1) for channel in channels}
    count = dict.fromkeys(channels, 0)
    for data in blocks:
        for channel in channels:
            for _, frame in iter_frames([data], channel):  # frame by frame: any block length
                total[channel] = total[channel] + frame.image.astype(np.float64)
                count[channel] += 1
    return {channel: each / count[channel] for channel, each in total.items()}


def _small(
    blocks: Iterable[Data], channels: list[str]
) -> dict[str, tuple[np.ndarray, tuple[int, ...]]]:
    """At most `MAX_FRAMES` evenly spaced frames of each channel, small; and the frames' shape.

    Every 2^k-th frame is kept: whenever there are too many, every other one is let go, so that which
    are kept does not depend on the blocks.
    """
    kept: dict[str, list[np.ndarray]] = {channel: [] for channel in channels}
    shape: tuple[int, ...] = ()
    every, count = 1, 0
    for data in blocks:
        streams = zip(*(iter_frames([data], channel) for channel in channels), strict=True)
        for frames in streams:
            if count % every == 0:
                for channel, (_, frame) in zip(channels, frames, strict=True):
                    shape = frame.image.shape
                    kept[channel].append(_resized(frame.image, _small_shape(shape)))
                if len(kept[channels[0]]) > MAX_FRAMES:
                    kept = {channel: each[::2] for channel, each in kept.items()}
                    every *= 2
            count += 1
    return {channel: (np.stack(each), shape) for channel, each in kept.items()}


def _small_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    factor = max(1.0, max(shape) / SIDE)
    return tuple(max(1, round(size / factor)) for size in shape)


def _resized(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    from skimage.transform import resize

    if image.shape == tuple(shape):
        return image
    shrink = image.shape > tuple(shape)
    found: np.ndarray = resize(
        image, shape, order=1, mode="reflect", anti_aliasing=shrink, preserve_range=True
    )
    return found
