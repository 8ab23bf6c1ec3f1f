"""How wide the cells of a film are where nobody says it: measured in three ways, over its frames.

Blobs (`scale.blob_diameter`) hold for even cells; in a textured nucleus they are its clumps. Regions
are the most cell-like ones of all thresholds (`Nuclei`), found anew with the diameter that they have
themselves until it stays: they hold for textured nuclei, and in strong noise fall apart. Widths are
the discs that still fit into the foreground of one threshold (granulometry: Matheron 1975; Soille
2003, Morphological Image Analysis, 4.4): they hold for texture and noise, and take crowds for cells.
Each errs where another holds, so two that agree are believed. Where none do, the larger of regions
and widths is assumed: cells that are not parted can be seen and mended, nuclei cut into their clumps
look like cells. A film has one size, a field that is not sure of its own that of its assay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cyto_kedro.algorithms.preprocessing.parts import Part
from cyto_kedro.algorithms.segmentation.cleanup import fill_holes
from cyto_kedro.algorithms.segmentation.frames import FieldFrame
from cyto_kedro.algorithms.segmentation.packing import depth as depth_of
from cyto_kedro.algorithms.segmentation.packing import within
from cyto_kedro.algorithms.segmentation.scale import (
    SMALLEST_DIAMETER_PX,
    background_level,
    blob_diameter,
    block_mean,
    flatten,
    pool,
    stand_out,
)
from cyto_kedro.core import ndi
from cyto_kedro.core.ranks import Ranks
from cyto_kedro.core.units import Length

_BLOB = 0.87  # diameter of a blob in a cell's: engines' defaults are made for that of blobs
_AGREE = 1.35  # ways this much apart, as a factor, agree
_APART = 1.5  # ways further apart are said to disagree, whichever is believed
_FINE_PX = 10  # of a blob, in the image that regions and widths are found in
_ROUNDS, _SETTLED = 3, 0.1
_SMOOTHING = 0.07  # of a diameter, of regions: with less, strong noise cuts them
_FRAMES = 8  # of a film that hold cells are looked at
_RADII = 16
_LEAST_CONTRAST = 5.0  # of what no region looks like a cell in, in sd of the background's spread
_LARGEST = 10.0  # areas of a typical cell: what is larger is none


@dataclass(frozen=True)
class CellSize:
    """Typical diameter of the cells of a frame or a film, pixels, in each way (None: none found)."""

    #: blobs, regions, widths: see above
    blobs: float
    regions: float | None = None
    widths: float | None = None
    #: frames with cells that they are medians of
    n_frames: int = 1
    #: of regions (else widths, else blobs), 90th over 10th percentile of the frames
    frames_ratio: float = 1.0

    @property
    def ways(self) -> dict[str, float]:
        """Diameter that each way gives, on one scale: that of blobs."""
        cells = {"regions": self.regions, "widths": self.widths}
        return {"blobs": self.blobs, **{k: _BLOB * v for k, v in cells.items() if v}}

    @property
    def believed(self) -> tuple[str, ...]:
        """The two ways that agree; none where no two do."""
        ways = self.ways
        for pair in (("regions", "widths"), ("blobs", "regions"), ("blobs", "widths")):
            if set(pair) <= set(ways) and _ratio([ways[each] for each in pair]) <= _AGREE:
                return pair
            if pair[0] == "blobs" and "regions" in ways:
                break  # blobs and widths err the same way where regions are in between
        return ()

    @property
    def diameter(self) -> float:
        """What is assumed."""
        ways, believed = self.ways, self.believed
        if believed:
            middle = math.sqrt(ways[believed[0]] * ways[believed[1]])
            # blobs far below both are clumps: an engine would cut cells into them
            return middle / _BLOB if middle > _AGREE * self.blobs else middle
        return max([value for name, value in ways.items() if name != "blobs"] or [self.blobs])

    @property
    def sure(self) -> bool:
        """Whether two ways agree."""
        return bool(self.believed)

    @property
    def ways_ratio(self) -> float:
        """The largest of the ways over the smallest."""
        return _ratio(list(self.ways.values()))

    @property
    def clear(self) -> bool:
        """Whether all ways agree, roughly, on more than the least width that is looked for."""
        return self.ways_ratio <= _APART and not self.fine

    @property
    def fine(self) -> bool:
        """Whether blobs are the smallest there are: noise, texture, or no image of fluorescence."""
        return self.blobs < 1.01 * SMALLEST_DIAMETER_PX

    def doubt(self) -> str:
        """Which diameters there are, and which one is assumed, in words; empty where it is clear."""
        if self.clear:
            return ""
        found = {"whole regions": self.regions, "the foreground": self.widths}
        others = ", ".join(f"{name} {value:.0f} px" for name, value in found.items() if value)
        why = f"as {' and '.join(self.believed)} agree on" if self.sure else "the safe one"
        if self.fine:
            why += (
                "; blobs of that width may be noise, texture, or contrast that is no fluorescence"
            )
        return f"blobs are {self.blobs:.0f} px wide, {others}: {self.diameter:.0f} px is assumed, {why}"


def _ratio(values: Sequence[float]) -> float:
    return max(values) / min(values)


def largest_area(diameter: float) -> float:
    """Pixels that no cell has more of where cells are typically `diameter` wide."""
    return _LARGEST * math.pi / 4 * diameter**2


def cell_size(parts: Sequence[Part]) -> CellSize | None:
    """Size of the cells in `parts` of a frame; None where nothing stands out of the noise."""
    if not stand_out(parts):
        return None
    blobs = blob_diameter(parts)
    if blobs is None:
        return None
    regions = _regions(parts, blobs)
    if regions is None and not _above_spread(parts, blobs):
        return None
    return CellSize(blobs, regions, _widths(parts, blobs))


def _above_spread(parts: Sequence[Part], diameter: float) -> bool:
    """Whether anything is above the spread of the background: noise of neighbours alike is not."""
    sigma = max(0.05 * diameter, 0.5)
    smooth = [
        Part(ndi.gaussian_filter(flatten(each.image, diameter), sigma), each.filmed)
        for each in parts
    ]
    light = Ranks(pool([each.pixels for each in smooth]))
    level, noise = background_level(light, light.otsu())
    return bool(light.ends[1] > level + _LEAST_CONTRAST * noise)


def film_size(frames: Iterable[FieldFrame]) -> CellSize | None:
    """Size of the cells of a film: medians over up to eight of its `frames` that hold any.

    `frames`: in the order in which they are looked at (`spread`); none after the eighth with cells.
    """
    found: list[CellSize] = []
    for frame in frames:
        image = frame.part.image
        if min(image.shape) < 3 or image.min() == image.max():
            continue
        size = cell_size(frame.windows())
        if size is not None:
            found.append(size)
        if len(found) == _FRAMES:
            break
    if not found:
        return None
    blobs = [each.blobs for each in found]
    regions = [each.regions for each in found if each.regions]
    widths = [each.widths for each in found if each.widths]
    low, high = np.percentile(regions or widths or blobs, (10, 90))
    return CellSize(
        float(np.median(blobs)),
        float(np.median(regions)) if 2 * len(regions) >= len(found) else None,
        float(np.median(widths)) if 2 * len(widths) >= len(found) else None,
        len(found),
        float(high / low),
    )


def spread(count: int) -> Iterator[int]:
    """0 to `count` - 1, the first ones spread evenly, later ones between (van der Corput 1935)."""
    bits = max(count - 1, 1).bit_length()
    for number in range(1 << bits):
        at = int(f"{number:0{bits}b}"[::-1], 2)
        if at < count:
            yield at


@dataclass(frozen=True)
class AssumedSize:
    """The diameter that a field is segmented with, in pixels (None: nothing to segment), and why."""

    diameter: float | None
    source: str
    doubt: str = ""


def assumed(size: CellSize | None) -> AssumedSize:
    """What a film is segmented with, of what was measured in it; None: it shows no cells."""
    if size is None:
        return AssumedSize(None, "none")
    return AssumedSize(size.diameter, "film", size.doubt())


def _shown(parts: Sequence[Part], factor: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each part in block means, and which blocks were filmed whole."""
    for part in parts:
        image = block_mean(part.image, factor)
        shown = np.ones(image.shape, bool)
        if part.filmed is not None:
            shown = block_mean(part.filmed.astype(np.float32), factor) == 1
        yield image, shown


def _regions(parts: Sequence[Part], diameter: float) -> float | None:
    """Median diameter of the regions that look like cells, weighted by area.

    Sought anew in coarser images where there are none: noise may hide cells from a finer look.
    """
    for start in (diameter, 2 * diameter, 4 * diameter):
        found = _settled(parts, start, _region)
        if found is not None:
            return found
    return None


def _widths(parts: Sequence[Part], diameter: float) -> float | None:
    """Diameter of the disc that half of the foreground can be covered with, from within."""
    return _settled(parts, diameter, _width)


def _settled(
    parts: Sequence[Part],
    diameter: float,
    measure: Callable[[Sequence[Part], float], float | None],
) -> float | None:
    """What `measure` finds with the diameter that it finds."""
    found = None
    for _ in range(_ROUNDS):
        next_found = measure(parts, diameter)
        if next_found is None:
            break
        found = next_found
        if abs(math.log(found / diameter)) < _SETTLED:
            break
        diameter = found
    return found


def _region(parts: Sequence[Part], diameter: float) -> float | None:
    from cyto_kedro.algorithms.segmentation.nuclei import Nuclei

    factor = max(1, int(diameter / _FINE_PX))
    engine = Nuclei(diameter=Length(px=diameter / factor), looks=1, smoothing=_SMOOTHING)
    areas = np.concatenate(
        [
            np.bincount(engine.run(image[None], valid=shown)["label"][0].ravel())[1:]
            for image, shown in _shown(parts, factor)
        ]
    )
    if not areas.any():
        return None
    ordered = np.sort(areas)
    middle = np.searchsorted(np.cumsum(ordered), ordered.sum() / 2)
    return 2 * factor * math.sqrt(ordered[middle] / math.pi)


def _width(parts: Sequence[Part], diameter: float) -> float | None:
    factor = max(1, int(diameter / _FINE_PX))
    blocks = diameter / factor
    smooth, shown = [], []
    for image, mask in _shown(parts, factor):
        smooth.append(ndi.gaussian_filter(flatten(image, blocks), max(0.1 * blocks, 0.7)))
        shown.append(mask)
    pixels = pool([image[mask] for image, mask in zip(smooth, shown, strict=True)])
    if not pixels.size or pixels.min() == pixels.max():
        return None
    light = Ranks(pixels)
    level, noise = background_level(light, light.otsu())
    threshold = Ranks(np.sqrt(np.maximum(pixels - level, 0))).otsu() ** 2
    least = level + max(threshold, 3 * noise)
    depths = []
    for image, mask in zip(smooth, shown, strict=True):
        cells = fill_holes((image > least) & mask, 0.3 * math.pi / 4 * blocks**2)
        padded = np.pad(cells, 1, mode="edge")
        depths.append(depth_of(padded)[1:-1, 1:-1])
    deepest = max(float(each.max()) for each in depths)
    if not deepest:
        return None
    radii = np.geomspace(1, max(deepest, 1.5), _RADII)
    left = [sum(_opened(each, radius) for each in depths) for radius in (0, *radii)]
    shares = np.minimum.accumulate(np.array(left, float)) / left[0]
    return 2 * factor * float(np.interp(0.5, shares[::-1], np.r_[0, radii][::-1]))


def _opened(depth: np.ndarray, radius: float) -> int:
    """Pixels of a mask that discs of `radius` within it cover; `depth`: distances from outside."""
    core = depth > radius
    if radius == 0 or not core.any():
        return int(core.sum())
    return int(within(core, radius).sum())
