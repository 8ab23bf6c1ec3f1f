"""What was filmed: fields, frames, and what was done to the images."""

from __future__ import annotations

import pandas as pd
from pandera.typing import Series

from cyto_kedro.schemas.base import PerFov, PerPopulation, known, nullable


class Fields(PerFov, key="fov"):
    """One row per field of view."""

    n_frames: Series[int] = known(ge=1)
    height_px: Series[int] = known(ge=1)
    width_px: Series[int] = known(ge=1)
    pixel_size_um: Series[float] = nullable(gt=0)
    remarks: Series[str] | None = known("what ingestion found to beware of, a sentence a line")


class Frames(PerFov, key="fov frame"):
    """One row per frame of a field; `time_s` is a real timestamp from the film's first frame."""

    frame: Series[int] = known(ge=0)
    time_s: Series[float] = nullable()
    excluded: Series[bool]


class Quality(PerFov, key="fov channel frame"):
    """One row per (fov, channel, frame) of the raw film."""

    channel: Series[str]
    frame: Series[int] = known(ge=0)
    mean: Series[float]
    sd: Series[float]
    min: Series[float]
    max: Series[float]
    saturated_fraction: Series[float] = known(ge=0, le=1)
    focus: Series[float] = known("variance of the Laplacian over the mean squared")
    share_at_max: Series[float] | None = known(
        "share of pixels that have the frame's greatest value", ge=0, le=1
    )
    repeats_previous: Series[bool] | None = known("every pixel is as in the frame before")
    filmed_fraction: Series[float] | None = known(
        "share of pixels that were filmed, on which the others are taken", ge=0, le=1
    )


class Effects(PerFov, key="fov step channel frame"):
    """What a step of preprocessing did to a channel, in the first, middle and last frame.

    Grey levels of the image before and after; empty before where the step made the channel.
    """

    step: Series[int] = known("number of the step in the chain", ge=1)
    step_name: Series[str] = known("the step's class")
    channel: Series[str]
    frame: Series[int] = known(ge=0)
    mean_before: Series[float] = nullable("mean of the pixels")
    mean_after: Series[float] = known("mean of the pixels")
    sd_before: Series[float] = nullable("their standard deviation")
    sd_after: Series[float] = known("their standard deviation")
    noise_before: Series[float] = nullable("sd of the white noise")
    noise_after: Series[float] = known("sd of the white noise")
    background_before: Series[float] = nullable("median of the pixels")
    background_after: Series[float] = known("median of the pixels")
    unevenness_before: Series[float] = nullable("sd of the medians of 4 x 4 parts of the image")
    unevenness_after: Series[float] = known("sd of the medians of 4 x 4 parts of the image")


class Registration(PerFov, key="fov step channel frame"):
    """Shifts that registration found, and the region of the image that stays inside."""

    step: Series[int] = known("number of the step in the chain", ge=1)
    step_name: Series[str] = known("the step's class")
    channel: Series[str] = known(
        "channel that drift was estimated on, or that was shifted onto the others"
    )
    frame: Series[pd.Int64Dtype] = nullable("frame that was shifted; empty: every frame", ge=0)
    shift_y_px: Series[float] = known("added to positions of that frame")
    shift_x_px: Series[float] = known("added to positions of that frame")
    shift_y_um: Series[float] = nullable("the same")
    shift_x_um: Series[float] = nullable("the same")
    jump: Series[bool] = known("a step too large to be believed, taken as no motion")
    valid_y0_px: Series[int] = known("first row that is inside in all frames")
    valid_x0_px: Series[int] = known("first column that is inside in all frames")
    valid_y1_px: Series[int] = known("first row after the inside")
    valid_x1_px: Series[int] = known("first column after the inside")


class CellSizes(PerPopulation, key="fov population"):
    """How wide the cells of a population are in a field: what is assumed, and what was measured."""

    diameter_px: Series[float] = nullable(
        "assumed; empty: none is, or nothing stands out of the noise", gt=0
    )
    diameter_um: Series[float] = nullable("the same", gt=0)
    source: Series[str] = known(
        "given in the parameters; of the film's frames; "
        "engine: it needs none; none: no cells were seen",
        isin=["given", "film", "engine", "none"],
    )
    doubt: Series[str] = known("where the ways to measure it disagree: how; else empty")
    blobs_px: Series[float] = nullable("of bright blobs")
    regions_px: Series[float] = nullable("of regions that look like cells")
    widths_px: Series[float] = nullable("of discs within the foreground")
    ways_ratio: Series[float] = nullable("the largest over the smallest")
    frames_ratio: Series[float] = nullable("90th over 10th percentile of the frames looked at")
    n_frames: Series[int] = known("frames with cells that were looked at", ge=0)
