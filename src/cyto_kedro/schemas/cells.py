"""What is read off the masks, and tracks."""

from __future__ import annotations

import pandas as pd
from pandera.typing import Series

from cyto_kedro.schemas.base import (
    END_REASONS,
    PerFov,
    PerPopulation,
    PerTrack,
    known,
    nullable,
)


class Located(PerPopulation):
    frame: Series[int] = known(ge=0)
    time_min: Series[float] = nullable()
    x_px: Series[float]
    y_px: Series[float]
    x_um: Series[float] = nullable()
    y_um: Series[float] = nullable()


class Cells(Located, key="fov population frame label"):
    """One row per cell per frame; adds ``<channel>_<stat>`` for every channel and `STATS`."""

    label: Series[int] = known(ge=1)
    bbox_y0_px: Series[int]
    bbox_x0_px: Series[int]
    bbox_y1_px: Series[int] = known("first row after the cell")
    bbox_x1_px: Series[int] = known("first column after the cell")
    on_border: Series[bool] = known("the mask touches the edge of what was filmed")
    area_px: Series[float] = known(gt=0)
    area_um2: Series[float] = nullable()
    perimeter_px: Series[float] = known(ge=0)
    perimeter_um: Series[float] = nullable()
    major_axis_px: Series[float] = known(ge=0)
    minor_axis_px: Series[float] = known(ge=0)
    eccentricity: Series[float] = known(ge=0, le=1)
    orientation_rad: Series[float]
    solidity: Series[float] = known(gt=0, le=1)
    feret_px: Series[float] = known(ge=0)
    # Tables made by hand, or by another tool, may lack these.
    feret_min_px: Series[float] | None = known("least distance across the mask", ge=0)
    extent: Series[float] | None = known("area over the area of the bounding box", gt=0, le=1)
    circularity: Series[float] | None = nullable(
        "4 pi area / perimeter²; empty where the perimeter is 0", gt=0
    )
    roundness: Series[float] | None = nullable(
        "4 area / (pi long axis²); empty for a mask of one pixel", gt=0
    )
    convexity: Series[float] | None = known(
        "length of the convex hull over that of the contour; above 1 only in pieces", gt=0
    )


class CellColumns(PerPopulation, key="fov population frame label"):
    """Columns that `contacts.columns` makes of the tables of cells, keyed as `Cells`."""

    frame: Series[int] = known(ge=0)
    label: Series[int] = known(ge=1)


class Touches(PerFov, key="fov frame population_a label_a population_b label_b"):
    """One row per unordered pair of masks within reach in a frame.

    Side ``a`` is the population declared first in the assay; within one population the smaller
    label. `distance_px` is the gap between the masks: the smallest distance between pixel centres
    minus one, at least 0, so that edge-sharing neighbours are at 0. Adds ``<channel>_own_a`` and ``_b``,
    the lower quartile over these own pixels, for channels of markers.
    """

    frame: Series[int] = known(ge=0)
    population_a: Series[str]
    label_a: Series[int] = known(ge=1)
    population_b: Series[str]
    label_b: Series[int] = known(ge=1)
    distance_px: Series[float] = known(ge=0)
    distance_um: Series[float] = nullable()
    contact_length_px: Series[float] = known(ge=0)
    contact_length_um: Series[float] = nullable()
    overlap_px: Series[float] = known(ge=0)
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
    definition: Series[str] | None = known("what counts as a touch")


class TrackPoints(Located, key="fov population track_id frame"):
    """One row per track per frame; `label` is null where the position was interpolated."""

    track_id: Series[int] = known(ge=1)
    label: Series[pd.Int64Dtype] = nullable()
    interpolated: Series[bool]
    # Tables made by hand, or by another tool, may lack this.
    repaired: Series[bool] | None = known(
        "a step after linking put the cell here, or says that its mask is of two cells, or lacks a piece"
    )


class Tracks(PerTrack, key="fov population track_id"):
    """One row per track."""

    parent_track_id: Series[pd.Int64Dtype] = nullable()
    first_frame: Series[int] = known(ge=0)
    last_frame: Series[int] = known(ge=0)
    n_points: Series[int] = known("frames in which the cell was seen", ge=1)
    end_reason: Series[str] = known(isin=END_REASONS)
