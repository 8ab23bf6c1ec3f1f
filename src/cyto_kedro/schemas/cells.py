"""What is read off the masks, and tracks."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from cyto_kedro.schemas.base import END_REASONS, PerFov, Table, nullable


class Located(PerFov):
    population: Series[str]
    frame: Series[int] = pa.Field(ge=0)
    time_min: Series[float] = nullable()
    x_px: Series[float]
    y_px: Series[float]
    x_um: Series[float] = nullable()
    y_um: Series[float] = nullable()


class Cells(Located, key=("fov", "population", "frame", "label")):
    """One row per cell per frame; adds ``<channel>_<stat>`` for every channel and `STATS`."""

    label: Series[int] = pa.Field(ge=1)
    bbox_y0_px: Series[int]
    bbox_x0_px: Series[int]
    bbox_y1_px: Series[int] = pa.Field(description="first row after the cell")
    bbox_x1_px: Series[int] = pa.Field(description="first column after the cell")
    on_border: Series[bool] = pa.Field(description="the mask touches the edge of what was filmed")
    area_px: Series[float] = pa.Field(gt=0)
    area_um2: Series[float] = nullable()
    perimeter_px: Series[float] = pa.Field(ge=0)
    perimeter_um: Series[float] = nullable()
    major_axis_px: Series[float] = pa.Field(ge=0)
    minor_axis_px: Series[float] = pa.Field(ge=0)
    eccentricity: Series[float] = pa.Field(ge=0, le=1)
    orientation_rad: Series[float]
    solidity: Series[float] = pa.Field(gt=0, le=1)
    feret_px: Series[float] = pa.Field(ge=0)
    # Tables made by hand, or by another tool, may lack these.
    feret_min_px: Series[float] | None = pa.Field(
        ge=0, description="least distance across the mask"
    )
    extent: Series[float] | None = pa.Field(
        gt=0, le=1, description="area over the area of the bounding box"
    )
    circularity: Series[float] | None = nullable(
        "4 pi area / perimeter²; empty where the perimeter is 0", gt=0
    )
    roundness: Series[float] | None = nullable(
        "4 area / (pi long axis²); empty for a mask of one pixel", gt=0
    )
    convexity: Series[float] | None = pa.Field(
        gt=0,
        description="length of the convex hull over that of the contour; above 1 only in pieces",
    )


class CellColumns(PerFov, key=("fov", "population", "frame", "label")):
    """Columns that `contacts.columns` makes of the tables of cells, keyed as `Cells`."""

    population: Series[str]
    frame: Series[int] = pa.Field(ge=0)
    label: Series[int] = pa.Field(ge=1)


class Touches(PerFov, key=("fov", "frame", "population_a", "label_a", "population_b", "label_b")):
    """One row per unordered pair of masks within reach in a frame.

    Side ``a`` is the population declared first in the assay; within one population the smaller
    label. `distance_px` is the gap between the masks: the smallest distance between pixel centres
    minus one, at least 0, so that edge-sharing neighbours are at 0. Adds ``<channel>_own_a`` and ``_b``,
    the lower quartile over these own pixels, for channels of markers.
    """

    frame: Series[int] = pa.Field(ge=0)
    population_a: Series[str]
    label_a: Series[int] = pa.Field(ge=1)
    population_b: Series[str]
    label_b: Series[int] = pa.Field(ge=1)
    distance_px: Series[float] = pa.Field(ge=0)
    distance_um: Series[float] = nullable()
    contact_length_px: Series[float] = pa.Field(ge=0)
    contact_length_um: Series[float] = nullable()
    overlap_px: Series[float] = pa.Field(ge=0)
    # Tables made by hand, or by another tool, may lack these.
    perimeter_share_a: Series[float] | None = nullable(
        "share of the outline of a within reach of b", ge=0, le=1
    )
    perimeter_share_b: Series[float] | None = nullable(
        "share of the outline of b within reach of a", ge=0, le=1
    )
    own_px_a: Series[float] | None = nullable(
        "pixels of a out of the light of b, of another population", ge=0
    )
    own_px_b: Series[float] | None = nullable("pixels of b out of the light of a", ge=0)
    definition: Series[str] | None = pa.Field(description="what counts as a touch")


class TrackPoints(Located, key=("fov", "population", "track_id", "frame")):
    """One row per track per frame; `label` is null where the position was interpolated."""

    track_id: Series[int] = pa.Field(ge=1)
    label: Series[pd.Int64Dtype] = nullable()
    interpolated: Series[bool]


class Tracks(PerFov, key=("fov", "population", "track_id")):
    """One row per track."""

    population: Series[str]
    track_id: Series[int] = pa.Field(ge=1)
    parent_track_id: Series[pd.Int64Dtype] = nullable()
    first_frame: Series[int] = pa.Field(ge=0)
    last_frame: Series[int] = pa.Field(ge=0)
    n_points: Series[int] = pa.Field(ge=1, description="frames in which the cell was seen")
    end_reason: Series[str] = pa.Field(isin=END_REASONS)


TABLES: dict[str, type[Table]] = {
    "cells": Cells,
    "cell_columns": CellColumns,
    "touches": Touches,
    "track_points": TrackPoints,
    "tracks": Tracks,
}
