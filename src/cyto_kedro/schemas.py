"""Column names, dtypes, units and checks of every table, once.

A unit is the last word of a column's name (``_px``, ``_um``, ``_um2``, ``_min``, ``_s``, ``_rad``,
``_um_per_min``). Pixel and frame columns are always filled; micrometre and minute columns are null
where calibration is unknown. Keys: ``(fov, population, frame, label)`` names a cell in a frame,
``(fov, population, track_id)`` a cell through time. Positions are pixel centres: the centre of the
top-left pixel is (0, 0).

Schemas are pandera models used by the catalog's ``validator:`` through `EachPartition`, and by
code that makes empty tables (`empty`) or puts a table in its final form (`conform`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from cyto_kedro.errors import ConfigError, InputError, unknown

STATS = ("sum", "mean", "median", "sd", "min", "max")
END_REASONS = ("film_end", "border", "lost", "division", "merge")
ROLES = ("effector", "target", "other")


class Table(pa.DataFrameModel):
    """Base: columns in any order, more columns than named are allowed."""

    class Config:
        strict = False
        coerce = False

    @classmethod
    def key(cls) -> list[str]:
        """Columns that together name a row; no two rows share them."""
        return []


class PerFov(Table):
    fov: Series[str]


class Fields(PerFov):
    """One row per field of view."""

    n_frames: Series[int] = pa.Field(ge=1)
    height_px: Series[int] = pa.Field(ge=1)
    width_px: Series[int] = pa.Field(ge=1)
    pixel_size_um: Series[float] = pa.Field(nullable=True, gt=0)

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


class Located(PerFov):
    population: Series[str]
    frame: Series[int] = pa.Field(ge=0)
    time_min: Series[float] = pa.Field(nullable=True)
    x_px: Series[float]
    y_px: Series[float]
    x_um: Series[float] = pa.Field(nullable=True)
    y_um: Series[float] = pa.Field(nullable=True)


class Cells(Located):
    """One row per cell per frame; adds ``<channel>_<stat>`` for every channel and `STATS`."""

    label: Series[int] = pa.Field(ge=1)
    bbox_y0_px: Series[int]
    bbox_x0_px: Series[int]
    bbox_y1_px: Series[int] = pa.Field(description="first row after the cell")
    bbox_x1_px: Series[int] = pa.Field(description="first column after the cell")
    on_border: Series[bool] = pa.Field(description="the mask touches the edge of the image")
    area_px: Series[float] = pa.Field(gt=0)
    area_um2: Series[float] = pa.Field(nullable=True)
    perimeter_px: Series[float] = pa.Field(ge=0)
    perimeter_um: Series[float] = pa.Field(nullable=True)
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
    circularity: Series[float] | None = pa.Field(
        nullable=True, gt=0, description="4 pi area / perimeter²; empty where the perimeter is 0"
    )
    roundness: Series[float] | None = pa.Field(
        nullable=True,
        gt=0,
        description="4 area / (pi long axis²); empty for a mask of one pixel",
    )
    convexity: Series[float] | None = pa.Field(
        gt=0,
        description="length of the convex hull over that of the contour; above 1 only in pieces",
    )

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "frame", "label"]


class Touches(PerFov):
    """One row per unordered pair of masks within reach in a frame.

    Side ``a`` is the population declared first in the assay; within one population the smaller
    label. `distance_px` is the gap between the masks: the smallest distance between pixel centres
    minus one, at least 0, so that edge-sharing neighbours are at 0.
    """

    frame: Series[int] = pa.Field(ge=0)
    population_a: Series[str]
    label_a: Series[int] = pa.Field(ge=1)
    population_b: Series[str]
    label_b: Series[int] = pa.Field(ge=1)
    distance_px: Series[float] = pa.Field(ge=0)
    distance_um: Series[float] = pa.Field(nullable=True)
    contact_length_px: Series[float] = pa.Field(ge=0)
    contact_length_um: Series[float] = pa.Field(nullable=True)
    overlap_px: Series[float] = pa.Field(ge=0)

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "frame", "population_a", "label_a", "population_b", "label_b"]


class TrackPoints(Located):
    """One row per track per frame; `label` is null where the position was interpolated."""

    track_id: Series[int] = pa.Field(ge=1)
    label: Series[pd.Int64Dtype] = pa.Field(nullable=True)
    interpolated: Series[bool]

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "track_id", "frame"]


class Tracks(PerFov):
    """One row per track."""

    population: Series[str]
    track_id: Series[int] = pa.Field(ge=1)
    parent_track_id: Series[pd.Int64Dtype] = pa.Field(nullable=True)
    first_frame: Series[int] = pa.Field(ge=0)
    last_frame: Series[int] = pa.Field(ge=0)
    n_points: Series[int] = pa.Field(ge=1, description="frames in which the cell was seen")
    end_reason: Series[str] = pa.Field(isin=END_REASONS)

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "track_id"]


class Steps(PerFov):
    """Kinematics of one track point. `from_previous` looks back, `to_next` ahead."""

    population: Series[str]
    track_id: Series[int] = pa.Field(ge=1)
    frame: Series[int] = pa.Field(ge=0)
    time_min: Series[float] = pa.Field(nullable=True)
    dt_frames_from_previous: Series[float] = pa.Field(nullable=True)
    dt_from_previous_min: Series[float] = pa.Field(nullable=True)
    displacement_from_previous_px: Series[float] = pa.Field(nullable=True)
    displacement_from_previous_um: Series[float] = pa.Field(nullable=True)
    displacement_to_next_px: Series[float] = pa.Field(nullable=True)
    velocity_x_px_per_frame: Series[float] = pa.Field(nullable=True)
    velocity_y_px_per_frame: Series[float] = pa.Field(nullable=True)
    velocity_x_um_per_min: Series[float] = pa.Field(nullable=True)
    velocity_y_um_per_min: Series[float] = pa.Field(nullable=True)
    speed_px_per_frame: Series[float] = pa.Field(nullable=True)
    speed_um_per_min: Series[float] = pa.Field(nullable=True)
    turning_angle_rad: Series[float] = pa.Field(nullable=True)
    net_displacement_px: Series[float] = pa.Field(description="from the track's first point")
    net_displacement_um: Series[float] = pa.Field(nullable=True)

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "track_id", "frame"]


class Motility(PerFov):
    """Kinematics of a whole track."""

    population: Series[str]
    track_id: Series[int] = pa.Field(ge=1)
    n_points: Series[int] = pa.Field(ge=1)
    duration_frames: Series[int] = pa.Field(ge=0)
    duration_min: Series[float] = pa.Field(nullable=True)
    path_length_px: Series[float]
    path_length_um: Series[float] = pa.Field(nullable=True)
    net_displacement_px: Series[float]
    net_displacement_um: Series[float] = pa.Field(nullable=True)
    straightness: Series[float] = pa.Field(nullable=True, description="net / path, 0 to 1")
    mean_speed_px_per_frame: Series[float] = pa.Field(nullable=True)
    mean_speed_um_per_min: Series[float] = pa.Field(nullable=True)
    arrest_coefficient: Series[float] = pa.Field(
        nullable=True, description="share of time arrested"
    )

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "track_id"]


class Contacts(PerFov):
    """A touch between two tracked cells, one row per frame and pair (sides as in `Touches`)."""

    frame: Series[int] = pa.Field(ge=0)
    time_min: Series[float] = pa.Field(nullable=True)
    population_a: Series[str]
    track_id_a: Series[int] = pa.Field(ge=1)
    population_b: Series[str]
    track_id_b: Series[int] = pa.Field(ge=1)
    distance_px: Series[float] = pa.Field(ge=0)
    distance_um: Series[float] = pa.Field(nullable=True)
    contact_length_px: Series[float] = pa.Field(ge=0)
    contact_length_um: Series[float] = pa.Field(nullable=True)
    overlap_px: Series[float] = pa.Field(ge=0)

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "frame", "population_a", "track_id_a", "population_b", "track_id_b"]


class Bouts(PerFov):
    """A run of contact of one pair. Frames are inclusive; bridged gaps count to `n_frames`."""

    population_a: Series[str]
    track_id_a: Series[int] = pa.Field(ge=1)
    population_b: Series[str]
    track_id_b: Series[int] = pa.Field(ge=1)
    bout: Series[int] = pa.Field(ge=1, description="1 for the pair's first bout")
    start_frame: Series[int] = pa.Field(ge=0)
    end_frame: Series[int] = pa.Field(ge=0)
    n_frames: Series[int] = pa.Field(ge=1)
    n_contact_frames: Series[int] = pa.Field(ge=1)
    start_min: Series[float] = pa.Field(nullable=True)
    duration_min: Series[float] = pa.Field(nullable=True)
    censored_start: Series[bool]
    censored_end: Series[bool]

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population_a", "track_id_a", "population_b", "track_id_b", "bout"]


class Viability(PerFov):
    """Death-marker reading of a cell in a frame; needs no time, works on stills."""

    population: Series[str]
    frame: Series[int] = pa.Field(ge=0)
    label: Series[int] = pa.Field(ge=1)
    marker_signal: Series[float]
    alive_probability: Series[float] = pa.Field(ge=0, le=1)
    dead: Series[bool]

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "frame", "label"]


class Fates(PerFov):
    """One row per track: did it die in view (`died`), or is it censored at `last_frame`?"""

    population: Series[str]
    track_id: Series[int] = pa.Field(ge=1)
    first_frame: Series[int] = pa.Field(ge=0)
    last_frame: Series[int] = pa.Field(ge=0)
    dead_at_first_sight: Series[bool]
    died: Series[bool]
    death_frame: Series[pd.Int64Dtype] = pa.Field(nullable=True)
    entry_min: Series[float] = pa.Field(nullable=True)
    exit_min: Series[float] = pa.Field(nullable=True, description="death, or last frame seen")
    end_reason: Series[str] = pa.Field(isin=END_REASONS)

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "track_id"]


class Deaths(PerFov):
    """Observed transitions from alive to dead; at most one per track."""

    population: Series[str]
    track_id: Series[int] = pa.Field(ge=1)
    frame: Series[int] = pa.Field(ge=0, description="first frame called dead")
    time_min: Series[float] = pa.Field(nullable=True)
    n_killers: Series[int] = pa.Field(ge=0, description="effectors the death is attributed to")

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "track_id"]


class Kills(PerFov):
    """A death attributed to an effector; the shares of one death sum to 1."""

    target_population: Series[str]
    target_track_id: Series[int] = pa.Field(ge=1)
    effector_population: Series[str]
    effector_track_id: Series[int] = pa.Field(ge=1)
    death_frame: Series[int] = pa.Field(ge=0)
    death_min: Series[float] = pa.Field(nullable=True)
    share: Series[float] = pa.Field(gt=0, le=1)
    contact_frames: Series[int] = pa.Field(ge=1, description="in the window before death")
    first_contact_frame: Series[int] = pa.Field(ge=0)
    last_contact_frame: Series[int] = pa.Field(ge=0)

    @classmethod
    def key(cls) -> list[str]:
        return [
            "fov",
            "target_population",
            "target_track_id",
            "effector_population",
            "effector_track_id",
        ]


class NetworkMeasures(PerFov):
    """Measures of one cell graph; `network` says which (delaunay or contact)."""

    frame: Series[int] = pa.Field(ge=0)
    network: Series[str]
    n_nodes: Series[int] = pa.Field(ge=0)
    n_edges: Series[int] = pa.Field(ge=0)
    n_components: Series[int] = pa.Field(ge=0)
    largest_component: Series[int] = pa.Field(ge=0)
    mean_degree: Series[float] = pa.Field(nullable=True)
    mean_clustering: Series[float] = pa.Field(nullable=True)
    mean_edge_px: Series[float] = pa.Field(nullable=True)
    connecting_radius_px: Series[float] = pa.Field(
        nullable=True, description="smallest radius that connects all cells"
    )

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "frame", "network"]


class Results(PerFov):
    """One row per cell per frame in pyCyto's format, with fov and population before it."""

    population: Series[str]
    id: Series[int]
    track_id: Series[pd.Int64Dtype] = pa.Field(nullable=True)
    x: Series[float]
    y: Series[float]
    z: Series[float]
    t: Series[int]
    alive_probability: Series[float] = pa.Field(nullable=True)
    velocity_x: Series[float] = pa.Field(nullable=True)
    velocity_y: Series[float] = pa.Field(nullable=True)
    velocity_z: Series[float] = pa.Field(nullable=True)
    contact: Series[bool]
    contact_count: Series[int] = pa.Field(ge=0)

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "t", "id"]


TABLES: dict[str, type[Table]] = {
    "fields": Fields,
    "frames": Frames,
    "quality": Quality,
    "effects": Effects,
    "registration": Registration,
    "cells": Cells,
    "touches": Touches,
    "track_points": TrackPoints,
    "tracks": Tracks,
    "steps": Steps,
    "motility": Motility,
    "contacts": Contacts,
    "bouts": Bouts,
    "viability": Viability,
    "fates": Fates,
    "deaths": Deaths,
    "kills": Kills,
    "network_measures": NetworkMeasures,
    "results": Results,
}


@cache
def _columns(table: type[Table]) -> dict[str, tuple[Any, bool]]:
    """Column name -> pandas dtype of `table`, and whether it must be there."""
    schema = table.to_schema()
    return {name: (held.dtype.type, held.required) for name, held in schema.columns.items()}


def dtypes(table: type[Table]) -> dict[str, Any]:
    """Column name -> pandas dtype of `table`, in its order."""
    return {name: dtype for name, (dtype, _) in _columns(table).items()}


def empty(table: type[Table]) -> pd.DataFrame:
    """A table without rows: every column of the schema, with its dtype."""
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes(table).items()})


def _present(table: type[Table], given: Collection[str]) -> dict[str, Any]:
    """Column name -> dtype of those columns of `table` that are among `given`.

    Raises
    ------
    InputError
        If one that must be there is missing.
    """
    for name, (_, required) in _columns(table).items():
        if required and name not in given:
            raise InputError(f"table {table.__name__}: {unknown('column', name, given)}")
    return {name: dtype for name, dtype in dtypes(table).items() if name in given}


def conform(table: type[Table], frame: pd.DataFrame) -> pd.DataFrame:
    """Put `frame` in the schema's dtypes, its columns first, others after; index reset.

    Raises
    ------
    InputError
        If a column of the schema is missing.
    """
    wanted = _present(table, frame.columns)
    others = [name for name in frame.columns if name not in wanted]
    return frame[[*wanted, *others]].astype(wanted).reset_index(drop=True)


def from_columns(table: type[Table], columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The same from arrays of one length (texts as object arrays), at a tenth of the cost.

    Raises
    ------
    InputError
        If a column of the schema is missing.
    """
    wanted = _present(table, columns)
    ordered = {
        name: columns[name]
        if columns[name].dtype == object
        else columns[name].astype(dtype, copy=False)
        for name, dtype in wanted.items()
    }
    return pd.DataFrame(ordered | {k: v for k, v in columns.items() if k not in wanted}, copy=False)


def check(table: type[Table], frame: pd.DataFrame, where: str = "") -> pd.DataFrame:
    """Return `frame` if it satisfies `table`.

    Raises
    ------
    InputError
        Naming the table, the partition (`where`), the column, the rule and the first bad value.
    """
    place = f"table {table.__name__}" + (f", partition {where}" if where else "")
    try:
        table.validate(frame, lazy=False)
    except pa.errors.SchemaError as error:
        raise InputError(f"{place}: {error}") from error
    key = table.key()
    twice = frame.duplicated(key) if key else pd.Series(False, index=frame.index)
    if twice.any():
        first = frame.loc[twice, key].iloc[0].to_dict()
        raise InputError(f"{place}: {int(twice.sum())} rows repeat the key {key}; first: {first}")
    return frame


class EachPartition:
    """A catalog validator that checks each partition of a partitioned table as it passes.

    On save Kedro hands over ``{partition_id: table}``, on load ``{partition_id: load function}``
    (checked when called). A plain table is checked whole.
    """

    def __init__(self, table: str) -> None:
        if table not in TABLES:
            raise ConfigError(f"catalog validator: {unknown('table', table, TABLES)}")
        self._table = TABLES[table]

    def validate(self, data: Any) -> Any:
        """Check `data`; load functions are wrapped and checked when they are called."""
        if isinstance(data, pd.DataFrame):
            return check(self._table, data)
        if hasattr(data, "checked"):
            return data.checked(self._one)
        if isinstance(data, Mapping):
            return {key: self._one(key, value) for key, value in data.items()}
        raise InputError(
            f"table {self._table.__name__}: expected a table, got {type(data).__name__}"
        )

    def _one(self, partition_id: str, value: Any) -> Any:
        if callable(value):
            load: Callable[[], Any] = value
            return lambda: check(self._table, load(), partition_id)
        return check(self._table, value, partition_id)
