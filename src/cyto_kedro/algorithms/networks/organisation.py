"""How evenly cells are spread over a field, and how well populations are mixed, frame by frame."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import pandas as pd
import scipy
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import divide, fov_of
from cyto_kedro.core.units import Length, PositiveLength


class Organised(TypedDict):
    """A row for each frame and population."""

    organisation: TableOf[schemas.Organisation]


class OrganisationEntropy(Algorithm):
    """Entropy of where cells are, and of whom they are among, each beside what chance gives.

    Notes
    -----
    The image is cut into N equal boxes. **Spread**: Shannon's entropy of the shares p of a population's
    cells in them over its largest value, ``-sum p log p / log N``: 1 where each box has as many, 0 where
    one has all. **Mixing**: the mean entropy of the composition (this population, all others) of the
    boxes, weighted by their cells, over that of the whole frame: 1 where each box has the frame's
    composition, 0 where no box has both; one less Theil's index of segregation (Theil and Finizza 1971,
    *J Math Sociol* 1:187; Reardon and O'Sullivan 2004, *Sociol Methodol* 34:121).

    Few cells cannot fill many boxes, so neither reaches 1 by chance. `spread_by_chance` is the expected
    value of as many cells put anywhere (binomial), `mixing_by_chance` that of these places with the
    names of the cells dealt anew (hypergeometric), both exact. Below it cells cluster, or keep to
    themselves; compare `spread - spread_by_chance` between frames and fields, not `spread`.

    Examples
    --------
    >>> rows = {"frame": 0, "population": ["T"] * 4, "label": [1, 2, 3, 4]}
    >>> rows = rows | {"x_px": [10.0, 30, 10, 30], "y_px": [10.0, 10, 30, 30]}
    >>> made = OrganisationEntropy(box_px=20)(cells=schemas.filled(schemas.Cells, rows), shape=(40, 40))
    >>> made["organisation"][["n_cells", "spread", "spread_by_chance"]].round(2).values.tolist()
    [[4.0, 1.0, 0.66]]
    """

    box: PositiveLength = Field(default=Length(um=50, px=64), description="side of a box, about")

    def run(
        self,
        cells: TableOf[schemas.Cells],
        shape: tuple[int, int],
        pixel_size_um: float | None = None,
    ) -> Organised:
        """Measure every frame of one field; `shape`: rows and columns of its images.

        Raises InputError if cells of several fields are given.
        """
        if not len(cells):
            return {"organisation": schemas.empty(schemas.Organisation)}
        side = self.box.in_px("box", pixel_size_um)
        rows, columns = (max(1, round(length / side)) for length in shape)
        n_boxes = rows * columns
        y, x = (
            np.clip((cells[f"{axis}_px"] + 0.5) * n / length, 0, n - 1).astype(np.int64)
            for axis, n, length in zip("yx", (rows, columns), shape, strict=True)
        )
        box = cells[["frame", "time_min", "population"]].assign(box=y * columns + x)
        counted = box.groupby(["frame", "box", "population"]).size()
        counts = counted.unstack("population", fill_value=0)  # noqa: PD010
        parts = []
        for frame, one in counts.groupby(level="frame"):
            total = one.sum(axis=1).to_numpy()
            for population, mine in one.items():
                n = mine.to_numpy()
                if not n.sum():
                    continue
                whole = float(_entropies(n.sum() / total.sum()))
                here = float(_entropies(n / total) @ (total / total.sum()))
                parts.append(
                    {
                        **{"frame": frame, "population": population, "n_cells": n.sum()},
                        "spread": divide(_entropy(n / n.sum()), np.log(n_boxes)),
                        "spread_by_chance": divide(_scattered(n.sum(), n_boxes), np.log(n_boxes)),
                        "mixing": divide(here, whole),
                        "mixing_by_chance": divide(_dealt(n.sum(), total), whole),
                    }
                )
        table = pd.DataFrame(parts).assign(fov=fov_of(cells), n_boxes=n_boxes)
        table["time_min"] = table["frame"].map(box.groupby("frame")["time_min"].first())
        return {"organisation": schemas.conform(schemas.Organisation, table)}


def _entropy(shares: np.ndarray) -> float:
    """Shannon's entropy, nats."""
    return float(scipy.special.entr(shares).sum())


def _entropies(share: Any) -> Any:
    """The same of two parts each: a share, and the rest."""
    return scipy.special.entr(share) + scipy.special.entr(1 - share)


def _choices(n: Any, k: np.ndarray) -> np.ndarray:
    """Logarithm of the number of ways to choose `k` of `n`; -inf where there is none."""
    some = (k >= 0) & (k <= n)
    log = scipy.special.gammaln
    return np.where(
        some,
        log(n + 1) - log(np.where(some, k, 0) + 1) - log(np.where(some, n - k, 0) + 1),
        -np.inf,
    )


def _scattered(n: int, n_boxes: int) -> float:
    """Expected entropy of `n` cells that fall into any of `n_boxes` boxes alike."""
    if n_boxes == 1:
        return 0.0
    k = np.arange(n + 1)
    chance = np.exp(_choices(n, k) - k * np.log(n_boxes) + (n - k) * np.log1p(-1 / n_boxes))
    return float(n_boxes * np.sum(chance * scipy.special.entr(k / n)))


def _dealt(n: int, total: np.ndarray) -> float:
    """Expected mean entropy of boxes with `total` cells, `n` of them in all of a population."""
    expected, whole = 0.0, total.sum()
    for size, times in zip(*np.unique(total, return_counts=True), strict=True):
        k = np.arange(size + 1)
        ways = _choices(n, k) + _choices(whole - n, size - k) - _choices(whole, np.array(size))
        expected += times * size / whole * float(np.exp(ways) @ _entropies(k / size))
    return expected
