"""Groups of intensity features that cost more than those every table has."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from cyto_kedro.algorithms.tabulation.frame import FrameCells, ratio_of, sorted_by_cell
from cyto_kedro.algorithms.tabulation.groups import ChannelGroup
from cyto_kedro.algorithms.tabulation.regions import Runs, interior, ring
from cyto_kedro.core.units import Length, PositiveLength
from cyto_kedro.errors import ConfigError


class Quantiles(ChannelGroup):
    """Quantiles of the pixels of a cell.

    Columns ``<channel>_q<percent>``: 0.05 makes ``q5``, 0.999 makes ``q99_9``. Linear between order
    statistics, as `numpy.quantile`'s default.

    Examples
    --------
    >>> label = np.zeros((1, 24, 24), np.uint32)
    >>> label[0, 8:16, 8:16] = 1
    >>> image = {"A": 10.0 + 5 * (label > 0)}
    >>> groups = [{"name": "Quantiles", "args": {"quantiles": [0.5]}}]
    >>> from cyto_kedro.algorithms.tabulation import Features
    >>> Features(groups=groups)(label=label, image=image)["cells"]["A_q50"].tolist()
    [15.0]
    """

    quantiles: tuple[float, ...] = Field(
        default=(0.05, 0.25, 0.75, 0.95), min_length=1, description="from 0 to 1"
    )

    @field_validator("quantiles")
    @classmethod
    def _between(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for q in value:
            if not 0 <= q <= 1:
                raise ConfigError(f"quantile {q} is not between 0 and 1: 0.05 means 5 %")
        return value

    def stats(self, cells: FrameCells, channel: str) -> dict[str, np.ndarray]:
        """Stats of one channel in one frame."""
        return {
            f"q{100 * q:.6g}".replace(".", "_"): cells.quantile(channel, q) for q in self.quantiles
        }


class LocalBackground(ChannelGroup):
    """Intensity less the background around the cell.

    The background is the median (or mean) of a ring: pixels farther than `gap` and at most `gap` +
    `width` from the mask, centre to centre, that lie in no mask of the population, were filmed
    and are finite.
    Rings of neighbours may share pixels. Columns ``<channel>_background``,
    ``<channel>_corrected_mean`` (mean less background) and ``<channel>_corrected_sum`` (that times
    the area); null for a cell around which no such pixel is left.

    Notes
    -----
    Cells of other populations are not left out of the ring; the median bears it where they fill less
    than half of it.

    Examples
    --------
    >>> label = np.zeros((1, 24, 24), np.uint32)
    >>> label[0, 8:16, 8:16] = 1
    >>> image = {"A": 10.0 + 5 * (label > 0)}
    >>> groups = [{"name": "LocalBackground", "args": {"gap_px": 1, "width_px": 3}}]
    >>> from cyto_kedro.algorithms.tabulation import Features
    >>> Features(groups=groups)(label=label, image=image)["cells"]["A_corrected_mean"].tolist()
    [5.0]
    """

    gap: Length = Field(description="left out around the mask")
    width: PositiveLength = Field(description="width of the ring")
    statistic: Literal["median", "mean"] = Field("median", description="of the ring's pixels")

    def stats(self, cells: FrameCells, channel: str) -> dict[str, np.ndarray]:
        """Stats of one channel in one frame.

        Raises ConfigError if a length is in µm and the film uncalibrated.
        """
        gap = self.gap.in_px("gap", cells.pixel_size_um)
        width = self.width.in_px("width", cells.pixel_size_um)
        around = cells.shared(("ring", gap, width), lambda: self._ring(cells, gap, width))
        at, owner = around
        values = cells.images[channel].ravel()[at]
        fine = np.isfinite(values)
        shown = cells.filmed.get(channel)
        if shown is not None:
            fine &= shown.ravel()[at]
        values, owner = values[fine], owner[fine]
        count = np.bincount(owner, minlength=len(cells))
        start = np.cumsum(count) - count
        some = count > 0
        background = np.full(len(cells), np.nan)
        if self.statistic == "mean":
            total = np.bincount(owner, values, len(cells))
            background[some] = total[some] / count[some]
        elif some.any():
            ordered = sorted_by_cell(values, count)
            low, high = (
                ordered[(start + each)[some]].astype(np.float64)
                for each in ((count - 1) // 2, count // 2)
            )
            background[some] = low + (high - low) / 2
        corrected = cells.total(channel) / cells.count - background
        return {
            "background": background,
            "corrected_mean": corrected,
            "corrected_sum": corrected * cells.count,
        }

    def _ring(self, cells: FrameCells, gap: float, width: float) -> tuple[np.ndarray, np.ndarray]:
        """Ring pixels outside all masks, grouped by cell: place in the raveled frame, and cell."""
        masks = cells.masks
        at, owner = ring(masks, gap, width).pixels(masks.shape[1])
        y, x = np.divmod(at, masks.shape[1])
        free = masks.flat[(y + 1) * masks.stride + x + 1] == 0
        return at[free], owner[free]


class Rim(ChannelGroup):
    """Signal at the rim of the cell (the membrane) and within.

    The rim is the part of the mask at most `depth` from a pixel outside it, centre to centre; with 1
    pixel it is the outline. Columns ``<channel>_rim_mean``, ``<channel>_interior_mean`` and
    ``<channel>_rim_ratio`` (the first over the second); the last two are null where all of the cell
    is rim, the ratio also where the interior is not positive.

    Examples
    --------
    >>> label = np.zeros((1, 24, 24), np.uint32)
    >>> label[0, 8:16, 8:16] = 1
    >>> image = {"A": 10.0 + 5 * (label > 0)}
    >>> groups = [{"name": "Rim", "args": {"depth_px": 1}}]
    >>> from cyto_kedro.algorithms.tabulation import Features
    >>> Features(groups=groups)(label=label, image=image)["cells"]["A_rim_ratio"].tolist()
    [1.0]
    """

    depth: PositiveLength = Field(description="depth of the rim; at least 1 pixel")

    def stats(self, cells: FrameCells, channel: str) -> dict[str, np.ndarray]:
        """Stats of one channel in one frame.

        Raises ConfigError if the depth is in µm and the film uncalibrated.
        """
        # Every mask has an outline, however shallow the rim.
        depth = max(self.depth.in_px("depth", cells.pixel_size_um), 1.0)
        inner: Runs = cells.shared(("interior", depth), lambda: interior(cells.masks, depth))
        at, owner = inner.pixels(cells.masks.shape[1])
        count = np.bincount(owner, minlength=len(cells))
        total = np.bincount(owner, cells.images[channel].ravel()[at], len(cells))
        within = ratio_of(total, count)
        rim = (cells.total(channel) - total) / (cells.count - count)
        return {"rim_mean": rim, "interior_mean": within, "rim_ratio": ratio_of(rim, within)}


class MassOffset(ChannelGroup):
    """How far the centre of mass of the signal is from the centre of the mask.

    Columns ``<channel>_offset_x_px``, ``<channel>_offset_y_px`` (intensity-weighted centroid, as
    `centroid_weighted` of scikit-image, less the centroid), ``<channel>_offset_px`` (their length)
    and ``<channel>_offset_um``. Null where the signal of the cell does not add up to more than 0.

    Examples
    --------
    >>> label = np.zeros((1, 24, 24), np.uint32)
    >>> label[0, 8:16, 8:16] = 1
    >>> image = {"A": 10.0 + 5 * (label > 0)}
    >>> groups = [{"name": "MassOffset"}]
    >>> from cyto_kedro.algorithms.tabulation import Features
    >>> Features(groups=groups)(label=label, image=image)["cells"]["A_offset_px"].tolist()
    [0.0]
    """

    def stats(self, cells: FrameCells, channel: str) -> dict[str, np.ndarray]:
        """Stats of one channel in one frame."""
        values, total = cells.values(channel), cells.total(channel)
        offset = {}
        for axis, place in zip("yx", cells.places, strict=True):
            centre = np.add.reduceat(place, cells.start) / cells.count
            moment = np.add.reduceat(place * values, cells.start, dtype=np.float64)
            offset[axis] = ratio_of(moment, total) - centre
        length = np.hypot(offset["x"], offset["y"])
        scale = np.nan if cells.pixel_size_um is None else float(cells.pixel_size_um)
        return {
            "offset_x_px": offset["x"],
            "offset_y_px": offset["y"],
            "offset_px": length,
            "offset_um": length * scale,
        }
