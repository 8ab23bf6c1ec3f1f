"""What people read."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from cyto_kedro.schemas.base import PerFov, Table


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
    "results": Results,
}
