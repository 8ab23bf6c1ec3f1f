"""What people read."""

from __future__ import annotations

import pandas as pd
from pandera.typing import Series

from cyto_kedro.schemas.base import PerPopulation, known, nullable


class Results(PerPopulation, key="fov population t id"):
    """One row per cell per frame in pyCyto's format, with fov and population before it."""

    id: Series[int]
    track_id: Series[pd.Int64Dtype] = nullable()
    x: Series[float]
    y: Series[float]
    z: Series[float]
    t: Series[int]
    alive_probability: Series[float] = nullable()
    velocity_x: Series[float] = nullable()
    velocity_y: Series[float] = nullable()
    velocity_z: Series[float] = nullable()
    contact: Series[bool]
    contact_count: Series[int] = known(ge=0)
