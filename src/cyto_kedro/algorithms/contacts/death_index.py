"""The share of dead cells, frame by frame."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy.special import ndtri

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.core.keys import need


class CellDeathIndex(Algorithm):
    """Cell death index of one population of one field: ``dead / (live + dead)`` in every frame.

    Reads ``"viability"`` (`schemas.Viability`), ``"fov"``, ``"population"``, ``"n_frames"`` and
    ``"time_min"`` ((T,) or None). Returns ``"dataframe"`` (`schemas.DeathIndexes`): a row for every
    frame, with an empty index where no cell was seen.

    Needs no tracks. It counts the cells in view: dead cells that float off, or fall apart and are
    segmented no more, lower it, and a dead cell is counted anew in every frame. For risks of death
    over time, use `fates`.

    The interval is Wilson's (1927, J. Am. Stat. Assoc. 22, 209) for the cells of one frame, as if they
    were independent; the cells of a well are not, so it is no test between conditions.
    """

    confidence: float = Field(default=0.95, gt=0, lt=1, description="of the interval")

    def __call__(self, data: Data) -> Data:
        """Return ``{"dataframe"}``."""
        viability, fov, population, n_frames = need(
            data, "viability", "fov", "population", "n_frames"
        )
        frame = viability["frame"].to_numpy(np.int64)
        dead = viability["dead"].to_numpy(bool)
        n_dead = np.bincount(frame[dead], minlength=n_frames)
        n_live = np.bincount(frame[~dead], minlength=n_frames)
        time = data.get("time_min")
        n = n_dead + n_live
        with np.errstate(invalid="ignore", divide="ignore"):
            share = n_dead / n
            low, high = wilson(share, n, self.confidence)
        columns = {
            "fov": np.full(n_frames, fov, object),
            "population": np.full(n_frames, population, object),
            "frame": np.arange(n_frames),
            "time_min": np.full(n_frames, np.nan) if time is None else np.asarray(time, float),
            "n_live": n_live,
            "n_dead": n_dead,
            "death_index": share,
            "death_index_low": low,
            "death_index_high": high,
        }
        return {"dataframe": schemas.from_columns(schemas.DeathIndexes, columns)}


def wilson(share: np.ndarray, n: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a proportion: lower and upper ends, null where `n` is 0."""
    z = ndtri(0.5 + confidence / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # at the ends exactly 0 and 1, which rounding misses
    low = np.where(share == 0, 0.0, np.maximum(middle - half, 0))
    return low, np.where(share == 1, 1.0, np.minimum(middle + half, 1))
