"""What is `TrackPy`'s own: range, memory, dense frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.tracking.trackpy import TrackPy
from cyto_kedro.errors import ConfigError


def film(position, n_frames):
    """Cells at `position` (n_frames, n, 2) of a field."""
    frame, label = np.indices(position.shape[:2]).reshape(2, -1)
    table = {name: np.ones(len(frame), int) for name in schemas.dtypes(schemas.Cells)}
    table |= {"frame": frame, "label": label + 1, "fov": "f1", "population": "T"}
    table |= {"y_px": position[..., 0].ravel(), "x_px": position[..., 1].ravel()}
    cells = schemas.conform(schemas.Cells, pd.DataFrame(table))
    return {"dataframe": cells, "n_frames": n_frames, "shape": (200, 200)}


def n_tracks(data, **parameters):
    return len(TrackPy(**parameters)(data)["tracks"])


def test_search_range_and_memory():
    data = film(np.array([[[5.0, 5]], [[5, 9]], [[5, 13]], [[5, 17]]]), 4)
    assert n_tracks(data, search_range_px=4.5) == 1
    assert n_tracks(data, search_range_px=3.5) == 4
    data["dataframe"] = data["dataframe"].query("frame != 1")
    assert n_tracks(data, search_range_px=8.5) == 2
    assert n_tracks(data, search_range_px=8.5, memory=1) == 1


def test_too_large_a_range_says_which_frame_and_what_to_do():
    grid = np.stack(np.meshgrid(np.arange(12.0), np.arange(12.0)), -1).reshape(-1, 2)
    data = film(np.stack([grid * 15, grid * 15, grid, grid + 0.3]), 4)
    with pytest.raises(ConfigError, match=r"'f1'.*too large for frame [23].*adaptive_stop"):
        TrackPy(search_range_px=5)(data)
    adaptive = TrackPy(search_range_px=5, adaptive_stop_px=0.4, adaptive_step=0.8)
    assert len(adaptive(data)["tracks"]) < 4 * 144


def test_parameters_are_checked():
    data = film(np.zeros((1, 1, 2)), 1)
    with pytest.raises(ConfigError, match=r"adaptive_stop \(5 px\) must be below search_range"):
        TrackPy(search_range_px=5, adaptive_stop_px=5)(data)
    for wrong in ({"search_range_px": 0}, {"memory": -1}, {"adaptive_step": 1}, {"rnage": 1}):
        with pytest.raises(ConfigError):
            TrackPy(**wrong)


def test_prediction_follows_a_stream_that_position_alone_confuses():
    """A row of cells 10 px apart that moves 6 px a frame: the nearest is the wrong one."""
    start = np.stack([np.full(12, 50.0), np.arange(12) * 10.0], axis=1)
    speed = np.array([1.0, 3, 5, 6, 6, 6, 6]).cumsum()  # it sets in slowly
    data = film(start[None] + np.stack([0 * speed, speed], axis=1)[:, None], 7)

    def right(**more):
        points = TrackPy(search_range_px=7, **more)(data)["dataframe"]
        return len(points[["track_id", "label"]].drop_duplicates()) == 12

    assert not right()
    assert right(predict="nearest_velocity")
    assert right(predict="drift")


@pytest.mark.parametrize("predict", ["nearest_velocity", "drift"])
def test_prediction_with_empty_frames_and_strangers(predict):
    data = film(np.array([[[5.0, 5]], [[5, 6]], [[90, 90]], [[5, 7]], [[5, 8]]]), 5)
    linker = TrackPy(search_range_px=3, predict=predict, memory=1, predict_span_frames=2)
    assert len(linker(data)["tracks"]) >= 2
    data["dataframe"] = data["dataframe"].query("frame != 2")
    assert len(linker(data)["tracks"]) == 1
    assert len(linker({**data, "dataframe": data["dataframe"].query("frame == 0")})["tracks"]) == 1
