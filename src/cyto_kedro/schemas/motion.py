"""Motion, per step and per track."""

from __future__ import annotations

import pandera.pandas as pa
from pandera.typing import Series

from cyto_kedro.schemas.base import PerFov, Table


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


TABLES: dict[str, type[Table]] = {
    "steps": Steps,
    "motility": Motility,
}
