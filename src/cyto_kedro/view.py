"""What of a raw film is analysed: a range of frames, a part of the image, coarser pixels, flat depth.

Applied as the film is read, so that every stage, table and picture agrees on frame numbers, times,
pixel positions and pixel size. Frames are numbered from 0 in the film as it is viewed; the table
`frames` keeps each one's number in the file as ``source_frame``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cyto_kedro.errors import ConfigError, InputError

Projection = Literal["max", "mean"]


class View(BaseModel):
    """Part of a film and its resolution; the default is the whole film as it is.

    Works on arrays too, in a notebook: ``View(bin_px=2).stack(film)``, with the pixel size
    ``View(bin_px=2).pixel_size_um(0.65)``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    first_frame: int = Field(
        default=0, ge=0, description="first frame used, numbered as in the file"
    )
    last_frame: int | None = Field(
        default=None, ge=0, description="last frame used (included); null: the film's last"
    )
    every_frame: int = Field(default=1, ge=1, description="1: every frame, 2: every other one, ...")
    crop_px: tuple[int, int, int, int] | None = Field(
        default=None, description="[y0, y1, x0, x1] in the file's pixels, y1 and x1 not included"
    )
    bin_px: int = Field(
        default=1, ge=1, description="side of the square of pixels that becomes one; after the crop"
    )
    bin_by: Literal["mean", "sum"] = Field(
        default="mean", description="what a binned pixel is of its pixels"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.last_frame is not None and self.last_frame < self.first_frame:
            raise ConfigError(
                f"view: last_frame ({self.last_frame}) is before first_frame ({self.first_frame})"
            )
        if self.crop_px is not None:
            y0, y1, x0, x1 = self.crop_px
            if not (0 <= y0 < y1 and 0 <= x0 < x1):
                raise ConfigError(
                    f"view: crop_px {list(self.crop_px)} must be [y0, y1, x0, x1] with 0 <= y0 < y1 "
                    "and 0 <= x0 < x1"
                )
        return self

    def frames(self, n_frames: int) -> range:
        """Numbers in the file of the frames used, of `n_frames`.

        Raises InputError if the film has not that many frames.
        """
        last = n_frames - 1 if self.last_frame is None else self.last_frame
        if last >= n_frames or self.first_frame > last:
            raise InputError(
                f"view: frames {self.first_frame} to {last} are asked for, but the film has {n_frames} "
                f"(0 to {n_frames - 1}); correct assay.raw.view"
            )
        return range(self.first_frame, last + 1, self.every_frame)

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of a viewed frame; pixels that fill no whole square are left out.

        Raises InputError if the crop reaches beyond the image, or nothing is left.
        """
        y0, y1, x0, x1 = self.crop_px or (0, height, 0, width)
        if y1 > height or x1 > width:
            raise InputError(
                f"view: crop_px {[y0, y1, x0, x1]} reaches beyond the image, {height} x {width} "
                "pixels; correct assay.raw.view"
            )
        rows, columns = (y1 - y0) // self.bin_px, (x1 - x0) // self.bin_px
        if not (rows and columns):
            raise InputError(
                f"view: bin_px={self.bin_px} leaves nothing of {y1 - y0} x {x1 - x0} pixels"
            )
        return rows, columns

    def pixel_size_um(self, pixel_size_um: float | None) -> float | None:
        """Side of a viewed pixel."""
        return None if pixel_size_um is None else pixel_size_um * self.bin_px

    def plane(self, stack: np.ndarray) -> np.ndarray:
        """Crop and bin the last two axes; binned pixels are float32, others keep their type."""
        rows, columns = self.shape(*stack.shape[-2:])
        y0, _, x0, _ = self.crop_px or (0, 0, 0, 0)
        k = self.bin_px
        part = stack[..., y0 : y0 + rows * k, x0 : x0 + columns * k]
        if self.crop_px is not None and k == 1:
            part = stack[..., y0 : self.crop_px[1], x0 : self.crop_px[3]]
        if k == 1:
            return part
        squares = part.reshape(*stack.shape[:-2], rows, k, columns, k).astype(np.float64)
        binned = squares.mean((-3, -1)) if self.bin_by == "mean" else squares.sum((-3, -1))
        return np.asarray(binned, np.float32)

    def labels(self, stack: np.ndarray) -> np.ndarray:
        """`plane` of labels (..., Y, X): a binned pixel gets the label at the middle of its square."""
        rows, columns = self.shape(*stack.shape[-2:])
        y0, _, x0, _ = self.crop_px or (0, 0, 0, 0)
        k = self.bin_px
        part = stack[..., y0 : y0 + rows * k, x0 : x0 + columns * k]
        return np.ascontiguousarray(part[..., k // 2 :: k, k // 2 :: k])

    def stack(self, stack: Any) -> Any:
        """The view of a film (T, Y, X), NumPy or Dask (lazily, with one chunk per frame)."""
        chosen = self.frames(stack.shape[0])
        part = stack[chosen.start : chosen.stop : chosen.step]
        if isinstance(part, np.ndarray):
            return self.plane(part)
        if self.crop_px is None and self.bin_px == 1:
            return part
        rows, columns = self.shape(*stack.shape[1:])
        dtype = np.dtype(np.float32) if self.bin_px > 1 else stack.dtype
        return part.map_blocks(
            self.plane,
            dtype=dtype,
            chunks=(part.chunks[0], (rows,), (columns,)),
            meta=np.empty((0, 0, 0), dtype),
        )

    def read(
        self, read: Callable[[int, int], np.ndarray], n_frames: int, start: int, stop: int
    ) -> np.ndarray:
        """Frames `start` to `stop` (not included) of the view of a film that `read` reads frames of."""
        frames = self.frames(n_frames)[start:stop]
        if frames.step == 1 and self.crop_px is None and self.bin_px == 1:
            return read(frames.start, frames.stop)
        return np.concatenate([self.plane(read(each, each + 1)) for each in frames])


def project(planes: Iterable[np.ndarray], how: Projection | None) -> np.ndarray:
    """Flatten the z planes (Y, X) of a frame, one in memory at a time.

    ``max`` keeps the type, ``mean`` gives float32; with None the (only) plane itself.
    """
    rest = iter(planes)
    first = next(rest)
    if how is None:
        return first
    total = first.astype(np.float64) if how == "mean" else first
    count = 1
    for plane in rest:
        total = total + plane if how == "mean" else np.maximum(total, plane)
        count += 1
    return (total / count).astype(np.float32) if how == "mean" else total
