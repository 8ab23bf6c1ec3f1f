"""What was filmed: fields, frames, and what was done to the images."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from cyto_kedro.schemas.base import PerFov, Table


class Fields(PerFov):
    """One row per field of view."""

    n_frames: Series[int] = pa.Field(ge=1)
    height_px: Series[int] = pa.Field(ge=1)
    width_px: Series[int] = pa.Field(ge=1)
    pixel_size_um: Series[float] = pa.Field(nullable=True, gt=0)
    remarks: Series[str] | None = pa.Field(
        description="what ingestion found to beware of, a sentence a line"
    )

    @classmethod
    def key(cls) -> list[str]:
        return ["fov"]


class Frames(PerFov):
    """One row per frame of a field; `time_s` is a real timestamp from the film's first frame."""

    frame: Series[int] = pa.Field(ge=0)
    time_s: Series[float] = pa.Field(nullable=True)
    excluded: Series[bool]

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "frame"]


class Quality(PerFov):
    """One row per (fov, channel, frame) of the raw film."""

    channel: Series[str]
    frame: Series[int] = pa.Field(ge=0)
    mean: Series[float]
    sd: Series[float]
    min: Series[float]
    max: Series[float]
    saturated_fraction: Series[float] = pa.Field(ge=0, le=1)
    focus: Series[float] = pa.Field(description="variance of the Laplacian over the mean squared")
    share_at_max: Series[float] | None = pa.Field(
        ge=0, le=1, description="share of pixels that have the frame's greatest value"
    )
    repeats_previous: Series[bool] | None = pa.Field(
        description="every pixel is as in the frame before"
    )
    filmed_fraction: Series[float] | None = pa.Field(
        ge=0, le=1, description="share of pixels that were filmed, on which the others are taken"
    )

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "channel", "frame"]


class Effects(PerFov):
    """What a step of preprocessing did to a channel, in the first, middle and last frame.

    Grey levels of the image before and after; empty before where the step made the channel.
    """

    step: Series[int] = pa.Field(ge=1, description="number of the step in the chain")
    step_name: Series[str] = pa.Field(description="the step's class")
    channel: Series[str]
    frame: Series[int] = pa.Field(ge=0)
    mean_before: Series[float] = pa.Field(nullable=True, description="mean of the pixels")
    mean_after: Series[float] = pa.Field(description="mean of the pixels")
    sd_before: Series[float] = pa.Field(nullable=True, description="their standard deviation")
    sd_after: Series[float] = pa.Field(description="their standard deviation")
    noise_before: Series[float] = pa.Field(nullable=True, description="sd of the white noise")
    noise_after: Series[float] = pa.Field(description="sd of the white noise")
    background_before: Series[float] = pa.Field(nullable=True, description="median of the pixels")
    background_after: Series[float] = pa.Field(description="median of the pixels")
    unevenness_before: Series[float] = pa.Field(
        nullable=True, description="sd of the medians of 4 x 4 parts of the image"
    )
    unevenness_after: Series[float] = pa.Field(
        description="sd of the medians of 4 x 4 parts of the image"
    )

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "step", "channel", "frame"]


class Registration(PerFov):
    """Shifts that registration found, and the region of the image that stays inside."""

    step: Series[int] = pa.Field(ge=1, description="number of the step in the chain")
    step_name: Series[str] = pa.Field(description="the step's class")
    channel: Series[str] = pa.Field(
        description="channel that drift was estimated on, or that was shifted onto the others"
    )
    frame: Series[pd.Int64Dtype] = pa.Field(
        nullable=True, ge=0, description="frame that was shifted; empty: every frame"
    )
    shift_y_px: Series[float] = pa.Field(description="added to positions of that frame")
    shift_x_px: Series[float] = pa.Field(description="added to positions of that frame")
    shift_y_um: Series[float] = pa.Field(nullable=True, description="the same")
    shift_x_um: Series[float] = pa.Field(nullable=True, description="the same")
    jump: Series[bool] = pa.Field(description="a step too large to be believed, taken as no motion")
    valid_y0_px: Series[int] = pa.Field(description="first row that is inside in all frames")
    valid_x0_px: Series[int] = pa.Field(description="first column that is inside in all frames")
    valid_y1_px: Series[int] = pa.Field(description="first row after the inside")
    valid_x1_px: Series[int] = pa.Field(description="first column after the inside")

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "step", "channel", "frame"]


class CellSizes(PerFov):
    """How wide the cells of a population are in a field: what is assumed, and what was measured."""

    population: Series[str]
    diameter_px: Series[float] = pa.Field(
        nullable=True,
        gt=0,
        description="assumed; empty: none is, or nothing stands out of the noise",
    )
    diameter_um: Series[float] = pa.Field(nullable=True, gt=0, description="the same")
    source: Series[str] = pa.Field(
        isin=["given", "film", "engine", "none"],
        description="given in the parameters; of the film's frames; "
        "engine: it needs none; none: no cells were seen",
    )
    doubt: Series[str] = pa.Field(
        description="where the ways to measure it disagree: how; else empty"
    )
    blobs_px: Series[float] = pa.Field(nullable=True, description="of bright blobs")
    regions_px: Series[float] = pa.Field(
        nullable=True, description="of regions that look like cells"
    )
    widths_px: Series[float] = pa.Field(nullable=True, description="of discs within the foreground")
    ways_ratio: Series[float] = pa.Field(nullable=True, description="the largest over the smallest")
    frames_ratio: Series[float] = pa.Field(
        nullable=True, description="90th over 10th percentile of the frames looked at"
    )
    n_frames: Series[int] = pa.Field(ge=0, description="frames with cells that were looked at")

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population"]


TABLES: dict[str, type[Table]] = {
    "fields": Fields,
    "frames": Frames,
    "quality": Quality,
    "effects": Effects,
    "registration": Registration,
    "cell_sizes": CellSizes,
}
