"""Small tables that conform to the schemas, for the tests of contacts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas


def points_of(
    tracks: dict[tuple[str, int], dict[int, tuple[float, float]]],
    *,
    pixel_size_um: float | None = 0.5,
    interval_min: float | None = 2.0,
    interpolated: set[tuple[str, int, int]] = frozenset(),
    times: dict[int, float] | None = None,
) -> pd.DataFrame:
    """Track points of ``{(population, track_id): {frame: (x, y)}}``; label = track_id + 100."""
    scale = np.nan if pixel_size_um is None else pixel_size_um
    rows = []
    for (population, track_id), places in tracks.items():
        for frame, (x, y) in places.items():
            time = np.nan if interval_min is None else frame * interval_min
            made_up = (population, track_id, frame) in interpolated
            rows.append(
                {
                    "fov": "A",
                    "population": population,
                    "frame": frame,
                    "time_min": times[frame] if times else time,
                    "x_px": x,
                    "y_px": y,
                    "x_um": x * scale,
                    "y_um": y * scale,
                    "track_id": track_id,
                    "label": pd.NA if made_up else track_id + 100,
                    "interpolated": made_up,
                }
            )
    if not rows:
        return schemas.empty(schemas.TrackPoints)
    return schemas.conform(schemas.TrackPoints, pd.DataFrame(rows))


def contacts_of(
    rows: list[tuple[int, str, int, str, int]], interval_min: float | None = 2.0
) -> pd.DataFrame:
    """Contacts of (frame, population_a, track_id_a, population_b, track_id_b)."""
    if not rows:
        return schemas.empty(schemas.Contacts)
    names = ["frame", "population_a", "track_id_a", "population_b", "track_id_b"]
    table = pd.DataFrame(rows, columns=names).assign(
        fov="A",
        distance_px=1.0,
        distance_um=0.5,
        contact_length_px=3.0,
        contact_length_um=1.5,
        overlap_px=0.0,
    )
    interval = np.nan if interval_min is None else interval_min
    return schemas.conform(schemas.Contacts, table.assign(time_min=table["frame"] * interval))


@pytest.fixture
def make_points() -> Callable[..., pd.DataFrame]:
    """See `points_of`."""
    return points_of


@pytest.fixture
def make_contacts() -> Callable[..., pd.DataFrame]:
    """See `contacts_of`."""
    return contacts_of


@pytest.fixture
def make_tracks() -> Callable[..., pd.DataFrame]:
    """Tracks of a table of points, all ending with the film."""

    def make(points: pd.DataFrame) -> pd.DataFrame:
        if not len(points):
            return schemas.empty(schemas.Tracks)
        seen = points[~points["interpolated"]]
        table = seen.groupby(["fov", "population", "track_id"], as_index=False).agg(
            first_frame=("frame", "min"), last_frame=("frame", "max"), n_points=("frame", "size")
        )
        table = table.assign(parent_track_id=pd.NA, end_reason="film_end")
        return schemas.conform(schemas.Tracks, table)

    return make
