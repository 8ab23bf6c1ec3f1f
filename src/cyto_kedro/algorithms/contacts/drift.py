"""Common motion of all cells of a field: measured, and subtracted where asked."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.contacts.trajectories import UNITS, trajectories
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import fov_of, starts_of
from cyto_kedro.errors import ConfigError, unknown


class Drifts(TypedDict):
    """A row for every frame; `subtracted_drift` is the same, without rows unless `subtract`.

    So what is not subtracted makes no motion measure stale.
    """

    drift: TableOf[schemas.Drift]
    subtracted_drift: TableOf[schemas.Drift]


class CommonDrift(Algorithm):
    """The common displacement of cells from frame to frame, as drift of the stage or of a flow.

    Examples
    --------
    >>> rows = {"track_id": [1, 1, 2, 2], "frame": [0, 1, 0, 1], "x_px": [2, 3, 9, 10], "y_px": 5.0}
    >>> points = schemas.filled(schemas.TrackPoints, {**rows, "label": rows["track_id"]})
    >>> CommonDrift()(track_points=points)["drift"]["drift_x_px"].tolist()
    [0.0, 1.0]

    Notes
    -----
    The drift into a frame is the mean (or median) displacement of all cells that were measured in it
    and in the frame before; added up it is trackpy's `compute_drift`. Where no cell was, it is 0,
    with `n_cells` 0. With `subtract` the motion measures of all populations are of positions less
    the drift up to their frame. That also removes what cells do together, such as chemotaxis,
    so it is off unless asked for; a population that cannot move by itself (`population`) is the
    better reference. Errors are of one frame; that of a sum is larger than if frames were
    independent, since cells keep their direction. Drift of the images themselves is for
    preprocessing (`DriftRegistration`).
    """

    population: str | None = Field(
        default=None, description="whose cells are the reference; null: all cells"
    )
    statistic: Literal["mean", "median"] = Field(
        default="mean", description="median: a few fast cells do not count"
    )
    subtract: bool = Field(default=False, description="take it out of the motion measures")

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        n_frames: int | None = None,
        fov: str | None = None,
        populations: Collection[str] = (),
    ) -> Drifts:
        """Measure the drift of one field.

        Parameters
        ----------
        track_points
            Of all populations.
        n_frames, fov
            Of the film, where the table may be empty.
        populations
            Names that `population` may have beside those in the table.

        Raises
        ------
        InputError
            If tables of several fields are given, or time does not rise along a track.
        ConfigError
            If `population` has no track in any frame but others have.
        """
        points: pd.DataFrame = track_points
        fov = fov_of(points, fov=fov)
        if self.population is not None and len(points):
            names = set(points["population"].unique()) | set(populations)
            if self.population not in names:
                raise ConfigError(
                    f"CommonDrift.population: {unknown('population', self.population, names)}"
                )
            points = points[points["population"] == self.population]
        tracks = trajectories(points)
        n = int(n_frames or (tracks.frame.max(initial=-1) + 1))
        step = np.flatnonzero(tracks.previous(tracks.frame) == 1)
        step = step[np.argsort(tracks.frame[step], kind="stable")]
        first = starts_of(tracks.frame[step])
        at = tracks.frame[step][first].astype(np.int64)
        count = np.diff(np.append(first, len(step)))
        found: dict[str, object] = {
            "fov": fov,
            "frame": np.arange(n),
            "n_cells": _placed(n, at, count),
        }
        for unit in UNITS:
            moved = tracks.previous(tracks.xy[unit])[step, :2]
            for a, axis in enumerate("xy"):
                into, error = self._centre(moved[:, a], first, count)
                placed = _placed(n, at, into)
                if unit == "um" and not tracks.calibrated:
                    placed[:] = np.nan
                found[f"drift_{axis}_{unit}"] = placed
                found[f"drift_error_{axis}_{unit}"] = _placed(n, at, error, np.nan)
                found[f"total_drift_{axis}_{unit}"] = np.cumsum(placed)
        found["reference"] = self.population or "all"
        found["subtracted"] = self.subtract
        drift = schemas.conform(schemas.Drift, pd.DataFrame(found))
        return {"drift": drift, "subtracted_drift": drift if self.subtract else drift.iloc[:0]}

    def _centre(
        self, moved: np.ndarray, first: np.ndarray, count: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Centre of the displacements of each frame, and the standard error of their mean."""
        if not len(moved):
            return np.zeros(0), np.zeros(0)
        mean = np.add.reduceat(moved, first) / count
        square = np.add.reduceat((moved - np.repeat(mean, count)) ** 2, first)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.sqrt(square / (count - 1) / count)
        error[count < 2] = np.nan
        if self.statistic == "mean":
            return mean, error
        ordered = moved[np.lexsort((moved, np.repeat(np.arange(len(first)), count)))]
        return (ordered[first + (count - 1) // 2] + ordered[first + count // 2]) / 2, error


def _placed(n: int, at: np.ndarray, values: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    """(n,) float64: `values` at the frames `at`, `otherwise` at all others."""
    out = np.full(n, otherwise)
    out[at] = values
    return out


def without_drift(points: pd.DataFrame, subtracted_drift: pd.DataFrame) -> pd.DataFrame:
    """`points` less the drift up to their frame; as they are where that table has no rows."""
    if not len(points) or not len(subtracted_drift):
        return points
    total = subtracted_drift.set_index("frame").reindex(points["frame"])
    columns = [f"{axis}_{unit}" for unit in UNITS for axis in "xy"]
    moved = {name: points[name] - total[f"total_drift_{name}"].to_numpy() for name in columns}
    return points.assign(**moved)
