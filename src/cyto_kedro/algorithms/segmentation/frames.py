"""What every segmentation class does alike: walk over the frames of a block, one in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cyto_kedro.algorithms.preprocessing.denoise import noise_sd
from cyto_kedro.algorithms.preprocessing.parts import Part, shown_in
from cyto_kedro.core import ndi
from cyto_kedro.core.contract import Stack
from cyto_kedro.errors import InputError

_WHOLE_PX = 2048**2
_WINDOW_PX, _WINDOWS = 512, 8

Window = tuple[slice, slice]


@dataclass(frozen=True)
class FieldFrame:
    """One frame of a block (or of a tile of it), and the whole field that it is of."""

    #: own, whole: (Y, X) arrays, or lazy ones: of the block, and of the field; the same where it is
    #: no tile
    own: Any
    whole: Any
    #: (y, x) of the tile in the field
    corner: tuple[int, int] | None = None
    #: of the film's frame
    number: int = 0
    #: (Y, X) bool of the field: what was filmed; None: it is looked for (`filmed`)
    given: np.ndarray | None = None
    #: leave hot pixels in (networks look at more than single pixels)
    as_filmed: bool = False

    @property
    def tiled(self) -> bool:
        """Whether it is a part of the field."""
        return self.whole is not self.own

    @cached_property
    def filmed(self) -> np.ndarray | None:
        """(Y, X) bool of the field: which pixels were filmed; None: all."""
        if self.given is not None:
            return None if self.given.all() else self.given
        step = self._step
        found = shown_in(np.asarray(self.whole[::step, ::step]))
        if found is None:
            return None
        if step > 1:
            found = ndi.binary_erosion(found, np.ones((3, 3)), border_value=1)
            height, width = self.whole.shape
            found = found.repeat(step, 0).repeat(step, 1)[:height, :width]
        return found

    @property
    def own_filmed(self) -> np.ndarray | None:
        """The same of the block or tile; None: all."""
        if self.filmed is None or not self.tiled:
            return self.filmed
        y, x = self.corner or (0, 0)
        height, width = self.own.shape
        return self.filmed[y : y + height, x : x + width]

    @property
    def _step(self) -> int:
        height, width = self.whole.shape
        return max(math.ceil(math.sqrt(height * width / _WHOLE_PX)), 1)

    @cached_property
    def part(self) -> Part:
        """The frame of the block or tile.

        Raises InputError if a filmed pixel is NaN or infinite.
        """
        return self._read(self.own, self.own_filmed)

    def sample(self) -> np.ndarray:
        """Filmed pixels of the whole field, float32, every k-th where it has over 2048².

        Thresholds and percentiles taken from it are the same in all tiles of a field, and in the
        field segmented whole.
        """
        each = slice(None, None, self._step)
        return self._read(self.whole[each, each], self._cut((each, each))).pixels

    def windows(self) -> list[Part]:
        """The whole field, or (over 2048²) windows of it: 8 of 512², spread evenly.

        For statistics that need neighbouring pixels, as sizes and noise do. They are the same for all
        tiles of a field and for the field segmented whole.
        """
        height, width = self.whole.shape
        whole = slice(None), slice(None)
        if height * width <= _WHOLE_PX:
            return [self._read(self.whole, self._cut(whole)) if self.tiled else self.part]
        corners = [
            (y, x)
            for y in range(0, max(height - _WINDOW_PX, 0) + 1, _WINDOW_PX)
            for x in range(0, max(width - _WINDOW_PX, 0) + 1, _WINDOW_PX)
        ]
        chosen = np.unique(np.linspace(0, len(corners) - 1, _WINDOWS).astype(int))
        parts = []
        for y, x in (corners[i] for i in chosen):
            window = slice(y, y + _WINDOW_PX), slice(x, x + _WINDOW_PX)
            shown = self._cut(window)
            if shown is None or shown.any():
                parts.append(self._read(self.whole[window], shown))
        return parts

    def with_margin(self, margin: int, multiple: int) -> tuple[Part, Window]:
        """A tile with what lies around it in its field, and where the tile is therein.

        `margin`: pixels added on every side, fewer at the edge of the field; none where it is no
        tile. `multiple`: begin and end are multiples of it, so that block means fall alike in all
        tiles.
        """
        if not self.tiled or self.corner is None:
            return self.part, (slice(None), slice(None))
        spans, inner = [], []
        for start, length, size in zip(self.corner, self.own.shape, self.whole.shape, strict=True):
            first = max(start - margin, 0) // multiple * multiple
            last = min(-(-(start + length + margin) // multiple) * multiple, size)
            spans.append(slice(first, last))
            inner.append(slice(start - first, start - first + length))
        wide = spans[0], spans[1]
        return self._read(self.whole[wide], self._cut(wide)), (inner[0], inner[1])

    def _cut(self, window: Window) -> np.ndarray | None:
        if self.filmed is None:
            return None
        part = self.filmed[window]
        return None if part.all() else part

    def _read(self, image: Any, shown: np.ndarray | None) -> Part:
        frame = f"frame {self.number}"
        part = Part.of(np.asarray(image), shown, frame, "no threshold can be computed")
        return part if self.as_filmed else Part(without_hot_pixels(part.image), part.filmed)


@dataclass(frozen=True)
class Frames:
    """The frames of a block or tile, each with its field: what engines are given, in one piece."""

    #: (T, Y, X), NumPy or lazy
    image: Stack
    #: the images of the whole field, where `image` is a tile of them; None: it is no tile
    field: Stack | None = None
    #: (y, x) of the tile in the field
    corner: tuple[int, int] | None = None
    #: (Y, X) or (T, Y, X) bool of the field: which pixels were filmed; None: it is looked for
    valid: np.ndarray | None = None
    #: number of the film's frame at index 0
    frame_start: int = 0
    #: leave hot pixels in
    as_filmed: bool = False

    def __len__(self) -> int:
        return len(self.image)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        frames, rows, columns = self.image.shape
        return frames, rows, columns

    def __getitem__(self, index: int) -> FieldFrame:
        own, given = self.image[index], self.valid
        if given is not None:
            given = np.asarray(given if given.ndim == 2 else given[index], bool)
        whole = own if self.field is None else self.field[index]
        corner = None if self.field is None else self.corner
        return FieldFrame(own, whole, corner, self.frame_start + index, given, self.as_filmed)


def without_hot_pixels(image: np.ndarray) -> np.ndarray:
    """`image` (Y, X) in which single pixels far above all of their neighbours are their median.

    Far is over 10 sd of the noise, and over the height of the neighbours above the 3 x 3 median: light
    that came through a lens reaches the pixels beside.
    """
    if min(image.shape) < 3:
        return image
    around = brightest_neighbour(image)
    above = image - around
    hot = above > 10 * noise_sd(image, enough=float(above.max()) / 10)
    if not hot.any():
        return image
    y, x = np.nonzero(hot)
    rows = np.clip(y[:, None] + np.repeat([-1, 0, 1], 3), 0, image.shape[0] - 1)
    columns = np.clip(x[:, None] + np.tile([-1, 0, 1], 3), 0, image.shape[1] - 1)
    middle = np.median(image[rows, columns], axis=1)
    alone = above[y, x] > around[y, x] - middle
    cooled = image.copy()
    cooled[y[alone], x[alone]] = middle[alone]
    return cooled


def brightest_neighbour(image: np.ndarray) -> np.ndarray:
    """The brightest of the eight pixels around each of `image` (Y, X); the edge is repeated."""
    wide = np.pad(image, 1, mode="edge")
    beside = np.maximum(wide[:-2], wide[2:])
    columns = np.maximum(beside, wide[1:-1])
    return np.maximum(np.maximum(columns[:, :-2], columns[:, 2:]), beside[:, 1:-1])


def within_filmed(label: np.ndarray, shown: np.ndarray | None) -> np.ndarray:
    """`label` (Y, X) without what lies where nothing was filmed."""
    return label if shown is None else np.where(shown, label, 0).astype(label.dtype)


def one_channel(image: Stack | Mapping[str, Stack], channel: str) -> Stack:
    """One of a population's channels.

    Raises InputError if there are no channels apart, or not this one.
    """
    if not isinstance(image, Mapping) or channel not in image:
        held = sorted(image) if isinstance(image, Mapping) else "one image"
        raise InputError(
            f"channel {channel!r} is to be read alone, but the population's image holds {held}: name "
            "the channel in assay.populations.<name>.channels, with combine: separate"
        )
    return image[channel]
