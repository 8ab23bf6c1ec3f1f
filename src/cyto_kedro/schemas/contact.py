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


TABLES: dict[str, type[Table]] = {
    "contacts": Contacts,
    "bouts": Bouts,
}
