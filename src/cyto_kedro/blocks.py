"""Blocks of frames and tiles of area: how a film too large for one job is cut."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cyto_kedro.errors import ConfigError, PartitionError

OVERLAP_PX = 128
_BLOCK = re.compile(r"t(\d+)-(\d+)")
_TILE = re.compile(r"(t\d+-\d+)(?:\.y(\d+)-x(\d+))?")


@dataclass(frozen=True, order=True)
class Block:
    """A range of frames, `start` included and `stop` not; written ``t0000-0049`` (inclusive)."""

    start: int
    stop: int

    def __str__(self) -> str:
        return f"t{self.start:04d}-{self.stop - 1:04d}"

    def __len__(self) -> int:
        return self.stop - self.start

    @classmethod
    def parse(cls, text: str) -> Block:
        """The block that `text` (``t0000-0049``) names.

        Raises PartitionError if `text` is no block.
        """
        match = _BLOCK.fullmatch(text)
        if match is None:
            raise PartitionError(f"{text!r} is not a block of frames such as t0000-0049")
        return cls(int(match[1]), int(match[2]) + 1)

    @classmethod
    def cut(cls, n_frames: int, length: int) -> list[Block]:
        """Cut a film into blocks of `length` frames (the last may be shorter)."""
        return [cls(at, min(at + length, n_frames)) for at in range(0, n_frames, length)]


@dataclass(frozen=True, order=True)
class Tile:
    """A block of a field, or a part of its area with the corner (`y`, `x`) in pixels."""

    block: Block
    y: int = 0
    x: int = 0
    whole: bool = True

    def __str__(self) -> str:
        return str(self.block) if self.whole else f"{self.block}.y{self.y:04d}-x{self.x:04d}"

    @classmethod
    def parse(cls, text: str) -> Tile:
        """The tile that `text` (``t0000-0049.y0000-x2048``, or a block) names.

        Raises PartitionError if `text` is neither.
        """
        match = _TILE.fullmatch(text)
        if match is None:
            raise PartitionError(f"{text!r} is not a tile such as t0000-0049.y0000-x2048")
        whole = match[2] is None
        return cls(Block.parse(match[1]), int(match[2] or 0), int(match[3] or 0), whole)


class Tiling(BaseModel):
    """``assay.tiles:`` how the area of a field too large for one job is cut for segmentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    side_px: int = Field(ge=16, description="longest side of a tile; smaller fields stay whole")
    overlap_um: float | None = Field(
        default=None, gt=0, description="overlap of neighbours, um: more than the largest cell"
    )
    overlap_px: int | None = Field(
        default=None, gt=0, description=f"the same in pixels; neither given: {OVERLAP_PX}"
    )

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if self.overlap_um is not None and self.overlap_px is not None:
            raise ConfigError("tiles: give overlap_um or overlap_px, not both")
        return self

    def overlap(self, pixel_size_um: float | None) -> int:
        """The overlap in pixels.

        Raises ConfigError if it is in um and the pixel size is unknown, or half a tile or more.
        """
        found: float = self.overlap_px or OVERLAP_PX
        if self.overlap_um is not None:
            if pixel_size_um is None:
                raise ConfigError(
                    f"assay.tiles.overlap_um={self.overlap_um} needs the pixel size, which is "
                    "unknown for this field: give assay.pixel_size_um, or use overlap_px"
                )
            found = self.overlap_um / pixel_size_um
        if 2 * found > self.side_px:
            raise ConfigError(
                f"assay.tiles: an overlap of {found:.0f} px is more than half of side_px="
                f"{self.side_px}, so that most pixels would be segmented several times: give a "
                "larger side_px or a smaller overlap"
            )
        return ceil(found)

    def cut(self, size: int, pixel_size_um: float | None) -> list[tuple[int, int]]:
        """Start and stop of the tiles along an axis of `size` pixels, all of one length."""
        if size <= self.side_px:
            return [(0, size)]
        overlap = self.overlap(pixel_size_um)
        count = ceil((size - overlap) / (self.side_px - overlap))
        length = ceil((size + (count - 1) * overlap) / count)
        starts = [min(i * (length - overlap), size - length) for i in range(count)]
        return [(start, start + length) for start in starts]
