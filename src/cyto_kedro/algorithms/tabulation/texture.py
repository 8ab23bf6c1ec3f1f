"""Texture of the cells of a frame."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.tabulation.frame import FrameCells
from cyto_kedro.algorithms.tabulation.groups import ChannelGroup
from cyto_kedro.errors import ConfigError

PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "entropy")
_ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
# Entries of co-occurrence matrices held at once: some 30 MB.
_CHUNK = 1_000_000


class Haralick(ChannelGroup):
    """Texture from grey-level co-occurrence (Haralick, Shanmugam & Dinstein 1973).

    Pairs of pixels of a cell, `distance_px` apart in four directions, in both orders; the properties are
    those of `skimage.feature.graycoprops` and mean over the directions. Columns
    ``<channel>_haralick_<property>``: contrast, dissimilarity, homogeneity, energy, correlation,
    entropy (nats). A direction without pairs does not count; null for a cell without any pair.

    Intensities are cut into `levels` equal steps from `low` to `high` (beyond: the first or last
    step); by default from the least to the largest value of the cell itself, so that the texture does
    not depend on brightness.

    Examples
    --------
    >>> label = np.zeros((1, 24, 24), np.uint32)
    >>> label[0, 8:16, 8:16] = 1
    >>> image = {"A": 10.0 + 5 * (label > 0)}
    >>> groups = [{"name": "Haralick"}]
    >>> from cyto_kedro.algorithms.tabulation import Features
    >>> Features(groups=groups)(label=label, image=image)["cells"]["A_haralick_contrast"].tolist()
    [0.0]
    """

    distance_px: int = Field(1, ge=1, description="between the two pixels of a pair")
    levels: int = Field(16, ge=2, le=256, description="steps of intensity")
    low: float | None = Field(None, description="intensity of the first step; null: of the cell")
    high: float | None = Field(None, description="end of the last step; null: of the cell")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ConfigError(f"low ({self.low}) must be below high ({self.high})")
        return self

    def stats(self, cells: FrameCells, channel: str) -> dict[str, np.ndarray]:
        """Stats of one channel in one frame."""
        from skimage.feature import graycoprops

        n, levels = len(cells), self.levels
        names = [f"haralick_{each}" for each in PROPERTIES]
        result = {name: np.full(n, np.nan) for name in names}
        grey = self._grey(cells, channel)
        steps = np.round(self.distance_px * np.array([np.sin(_ANGLES), np.cos(_ANGLES)])).T
        pairs = [self._pairs(cells, int(dy), int(dx)) for dy, dx in steps]
        chunk = max(1, _CHUNK // (levels * levels * len(pairs)))
        for low in range(0, n, chunk):
            high = min(n, low + chunk)
            matrices = np.zeros((levels, levels, high - low, len(pairs)))
            for direction, (one, other) in enumerate(pairs):
                a, b = np.searchsorted(one, [*cells.start, len(grey)])[[low, high]]
                i, j = grey[one[a:b]], grey[other[a:b]]
                code = ((i * levels) + j) * (high - low) + cells.owner[one[a:b]] - low
                size = levels * levels * (high - low)
                found = np.bincount(code, minlength=size).reshape(levels, levels, -1)
                matrices[..., direction] = found + found.swapaxes(0, 1)
            some = matrices.any(axis=(0, 1))
            count = some.sum(axis=1)
            for name, prop in zip(names, PROPERTIES, strict=True):
                values = np.where(some, graycoprops(matrices, prop), 0.0).sum(axis=1)
                result[name][low:high][count > 0] = values[count > 0] / count[count > 0]
        return result

    def _grey(self, cells: FrameCells, channel: str) -> np.ndarray:
        """Level of every cell pixel, (n_pixels,) int64."""
        cells.total(channel)  # refuses NaN
        ordered = cells.ordered(channel)
        ends = []
        for given, at in ((self.low, cells.start), (self.high, cells.start + cells.count - 1)):
            own = ordered[at].astype(np.float64)
            ends.append(np.full(len(cells), given) if given is not None else own)
        span = np.where(ends[1] > ends[0], ends[1] - ends[0], 1.0)
        low, span = np.repeat(ends[0], cells.count), np.repeat(span, cells.count)
        level = (cells.values(channel) - low) / span * self.levels
        return np.clip(level, 0, self.levels - 1).astype(np.int64)

    def _pairs(self, cells: FrameCells, dy: int, dx: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of which the one (dy, dx) away is of the same cell, as places in per-pixel arrays."""
        height, width = cells.masks.shape
        place = cells.shared("place", lambda: _places(cells))
        y, x = cells.places
        inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
        one = np.flatnonzero(inside)
        other = place[cells.pixels[one] + dy * width + dx]
        same = (other >= 0) & (cells.owner[other] == cells.owner[one])
        return one[same], other[same]


def _places(cells: FrameCells) -> np.ndarray:
    """Place of every pixel of the raveled frame in the per-pixel arrays, -1 outside the cells."""
    place = np.full(cells.masks.shape[0] * cells.masks.shape[1], -1, np.int64)
    place[cells.pixels] = np.arange(len(cells.pixels))
    return place
