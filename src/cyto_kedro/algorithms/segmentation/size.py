"""How wide the cells are where nobody says it: estimated in two ways, and whether they agree.

Blobs (`scale.blob_diameter`) are quick and hold for even cells; in a textured nucleus they are its
clumps. Regions are the most cell-like ones of all thresholds (`Nuclei`), found anew with the diameter
that they have themselves until it stays: they hold for textured nuclei, and take a clump of small
touching cells for one. On even cells both agree. Where they do not, the larger one is assumed:
cells that are not parted can be seen and mended, nuclei cut into their clumps look like cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cyto_kedro.algorithms.preprocessing.parts import Part
from cyto_kedro.algorithms.segmentation.scale import blob_diameter, block_mean
from cyto_kedro.core.units import Length

_BLOB = 0.87  # diameter of a blob in a cell's: engines' defaults are made for that of blobs
_APART = 1.5  # regions this much wider than blobs are said to disagree
_FINE_PX = 10  # of a blob, in the image that regions are found in
_ROUNDS, _SETTLED = 3, 0.1


@dataclass(frozen=True)
class CellSize:
    """Typical diameter of the cells of a frame, pixels: as blobs, and as regions (None: none found)."""

    blobs: float
    regions: float | None = None

    @property
    def diameter(self) -> float:
        """What is assumed: the larger one, that of regions as blobs would have it."""
        return max(self.blobs, _BLOB * (self.regions or 0))

    @property
    def clear(self) -> bool:
        """Whether both ways agree."""
        return self.regions is None or self.regions <= _APART * self.blobs

    def doubt(self) -> str:
        """Which diameters there are, and which one is assumed, in words."""
        return (
            f"blobs are {self.blobs:.0f} px wide, whole regions {self.regions or 0:.0f} px: "
            f"{self.diameter:.0f} px is assumed"
        )


def cell_size(parts: Sequence[Part]) -> CellSize | None:
    """Size of the cells in `parts` of a frame; None without a blob."""
    blobs = blob_diameter(parts)
    return None if blobs is None else CellSize(blobs, _regions(parts, blobs))


def _regions(parts: Sequence[Part], diameter: float) -> float | None:
    """Median diameter of the regions that look like cells, weighted by area."""
    from cyto_kedro.algorithms.segmentation.nuclei import Nuclei

    factor = max(1, int(diameter / _FINE_PX))
    images = [block_mean(part.image, factor) for part in parts]
    masks = [
        np.ones(image.shape, bool)
        if part.filmed is None
        else block_mean(part.filmed.astype(np.float32), factor) == 1
        for part, image in zip(parts, images, strict=True)
    ]
    assumed, found = diameter / factor, None
    for _ in range(_ROUNDS):
        engine = Nuclei(diameter=Length(px=assumed), looks=1)
        areas = np.concatenate(
            [
                np.bincount(engine.run(image[None], valid=mask)["label"][0].ravel())[1:]
                for image, mask in zip(images, masks, strict=True)
            ]
        )
        if not areas.any():
            break
        ordered = np.sort(areas)
        middle = np.searchsorted(np.cumsum(ordered), ordered.sum() / 2)
        found = 2 * math.sqrt(ordered[middle] / math.pi)
        if abs(math.log(found / assumed)) < _SETTLED:
            break
        assumed = found
    return None if found is None else found * factor
