"""Who is alive, who died when, who killed them."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from cyto_kedro.schemas.base import END_REASONS, PerFov, Table


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


class DeathIndexes(PerFov):
    """Share of dead cells among all cells of a population, per frame; every frame has a row."""

    population: Series[str]
    frame: Series[int] = pa.Field(ge=0)
    time_min: Series[float] = pa.Field(nullable=True)
    n_live: Series[int] = pa.Field(ge=0, description="cells called alive in the frame")
    n_dead: Series[int] = pa.Field(ge=0, description="cells called dead in the frame")
    death_index: Series[float] = pa.Field(
        nullable=True, ge=0, le=1, description="dead / (live + dead); empty without cells"
    )
    death_index_low: Series[float] = pa.Field(
        nullable=True, ge=0, le=1, description="lower end of Wilson's interval"
    )
    death_index_high: Series[float] = pa.Field(
        nullable=True, ge=0, le=1, description="upper end of Wilson's interval"
    )

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "frame"]


TABLES: dict[str, type[Table]] = {
    "viability": Viability,
    "fates": Fates,
    "deaths": Deaths,
    "kills": Kills,
    "death_index": DeathIndexes,
}
