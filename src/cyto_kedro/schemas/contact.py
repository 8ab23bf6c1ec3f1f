"""Contacts between tracked cells, and bouts."""

from __future__ import annotations

import pandera.pandas as pa
from pandera.typing import Series

from cyto_kedro.schemas.base import PerFov, Table


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


class CellDensity(PerFov):
    """Kernel density of a population at a cell: one row per cell and population looked at."""

    population: Series[str]
    frame: Series[int] = pa.Field(ge=0)
    label: Series[int] = pa.Field(ge=1)
    of_population: Series[str] = pa.Field(description="whose density; a cell never counts itself")
    density_per_px2: Series[float] = pa.Field(
        nullable=True, ge=0, description="cells per area; empty where no bandwidth can be told"
    )
    density_per_mm2: Series[float] = pa.Field(nullable=True, ge=0, description="the same")
    bandwidth_px: Series[float] = pa.Field(
        nullable=True, gt=0, description="standard deviation of the kernel"
    )
    bandwidth_um: Series[float] = pa.Field(nullable=True, gt=0, description="the same")

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "frame", "label", "of_population"]


TABLES: dict[str, type[Table]] = {
    "contacts": Contacts,
    "bouts": Bouts,
    "cell_density": CellDensity,
}
