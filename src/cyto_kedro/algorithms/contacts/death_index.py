"""The share of dead cells, frame by frame."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import scipy
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.core.contract import TableOf


class Indexed(TypedDict):
    """A row for every frame, with an empty index where no cell was seen."""

    death_index: TableOf[schemas.DeathIndexes]


class CellDeathIndex(Algorithm):
    """Cell death index of one population of one field: ``dead / (live + dead)`` in every frame.

    Needs no tracks. It counts the cells in view: dead cells that float off, or fall apart and are
    segmented no more, lower it, and a dead cell is counted anew in every frame. For risks of death
    over time, use `fates`.

    The interval is Wilson's (1927, J. Am. Stat. Assoc. 22, 209) for the cells of one frame, as if they
    were independent; the cells of a well are not, so it is no test between conditions.

    Examples
    --------
    >>> rows = {"frame": [0, 0, 0, 1], "label": [1, 2, 3, 1], "dead": [True, False, False, True]}
    >>> viability = schemas.filled(schemas.Viability, rows)
    >>> made = CellDeathIndex()(viability=viability, population="T", n_frames=2)["death_index"]
    >>> made["death_index"].round(2).tolist()
    [0.33, 1.0]
    """

    confidence: float = Field(default=0.95, gt=0, lt=1, description="of the interval")

    def run(
        self,
        viability: TableOf[schemas.Viability],
        population: str,
        n_frames: int,
        time_min: Any = None,
        fov: str = "fov1",
    ) -> Indexed:
        """The share of dead cells in each of `n_frames`, at `time_min` (T,), or None."""
        frame = viability["frame"].to_numpy(np.int64)
        dead = viability["dead"].to_numpy(bool)
        n_dead = np.bincount(frame[dead], minlength=n_frames)
        n_live = np.bincount(frame[~dead], minlength=n_frames)
        n = n_dead + n_live
        with np.errstate(invalid="ignore", divide="ignore"):
            share = n_dead / n
            low, high = wilson(share, n, self.confidence)
        columns = {
            "fov": np.full(n_frames, fov, object),
            "population": np.full(n_frames, population, object),
            "frame": np.arange(n_frames),
            "time_min": np.full(n_frames, np.nan)
            if time_min is None
            else np.asarray(time_min, float),
            "n_live": n_live,
            "n_dead": n_dead,
            "death_index": share,
            "death_index_low": low,
            "death_index_high": high,
        }
        return {"death_index": schemas.from_columns(schemas.DeathIndexes, columns)}


def wilson(share: np.ndarray, n: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a proportion: lower and upper ends, null where `n` is 0."""
    z = scipy.special.ndtri(0.5 + confidence / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # at the ends exactly 0 and 1, which rounding misses
    low = np.where(share == 0, 0.0, np.maximum(middle - half, 0))
    return low, np.where(share == 1, 1.0, np.minimum(middle + half, 1))
