"""Keys of cells as integers, lookups and runs, on columns of tables.

Cells are joined over (population, frame, label) and (population, track_id, frame). Joins on one
sorted int64 key per row are several times quicker than joins on text columns, so `Keys` packs them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.errors import InputError

MISSING = -1
PAIR = ["population_a", "track_id_a", "population_b", "track_id_b"]


def size(*columns: pd.Series | np.ndarray) -> int:
    """One more than the largest integer in any of `columns`; 1 if all are empty."""
    return 1 + max((int(column.max()) for column in columns if len(column)), default=0)


def is_repaired(points: pd.DataFrame) -> np.ndarray:
    """(n,) bool: track points that a step after linking marked; none in tables of older tracks."""
    if "repaired" not in points.columns:
        return np.zeros(len(points), bool)
    return points["repaired"].eq(True).to_numpy(bool)


def fov_of(*tables: pd.DataFrame, fov: str | None = None) -> str:
    """The one fov that all `tables` are of (`fov`, or "", where they have no rows).

    Raises InputError if there are several: tracks and labels are numbered per fov, so they would be
    mixed up.
    """
    found = sorted({name for table in tables for name in table["fov"].unique()})
    if len(found) > 1:
        raise InputError(
            f"tables of several fields at once ({', '.join(found[:5])}): labels and tracks are "
            f"numbered within a field, so cells would be mixed up; give one field at a time"
        )
    return found[0] if found else (fov or "")


class Keys:
    """Packs (population, a, b) into one int64: a in [0, n_a), b in [0, n_b).

    Parameters
    ----------
    populations
        Columns of population names; codes follow the names' sorted order.
    """

    def __init__(self, populations: Iterable[pd.Series], n_a: int, n_b: int) -> None:
        names = {name for column in populations for name in column.unique()}
        self.populations = np.array(sorted(names), dtype=object)
        self._index = pd.Index(self.populations)
        self.n_a, self.n_b = int(n_a), int(n_b)

    def code(self, population: pd.Series) -> np.ndarray:
        """Integer code of each population name."""
        return self._index.get_indexer(pd.Index(population)).astype(np.int64)

    def pack(self, code: np.ndarray, a: np.ndarray, b: np.ndarray | int = 0) -> np.ndarray:
        """One key per row; rows of equal (code, a) are consecutive, in order of b."""
        return (code * self.n_a + np.asarray(a, np.int64)) * self.n_b + b


def find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Position of each of `wanted` in the sorted, unique `keys`, or `MISSING`."""
    if not len(keys):
        return np.full(len(wanted), MISSING, np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, MISSING)


def rows_of(table: pd.DataFrame, population: pd.Series, track_id: pd.Series) -> np.ndarray:
    """Row of `table` (its columns population, track_id; unique) of each cell, or `MISSING`."""
    keys = Keys((table["population"], population), size(table["track_id"], track_id), 1)
    own = keys.pack(keys.code(table["population"]), table["track_id"].to_numpy())
    order = np.argsort(own)
    at = find(own[order], keys.pack(keys.code(population), track_id.to_numpy()))
    return np.append(order, MISSING)[at]


def rows_in_frame(
    table: pd.DataFrame, wanted: pd.DataFrame, name: str, side: str = ""
) -> np.ndarray:
    """Row of `table` of each cell that a row of `wanted` names, or `MISSING`.

    `name` is label or track_id: (population, frame, name) is unique in `table`. In `wanted` the
    columns of population and `name` end with `side`.
    """
    whose, which = wanted[f"population{side}"], wanted[f"{name}{side}"]
    n_frame, n_name = size(table["frame"], wanted["frame"]), size(table[name], which)
    keys = Keys((table["population"], whose), n_frame, n_name)
    own, asked = (
        keys.pack(keys.code(each), frame.to_numpy(), number.to_numpy(np.int64))
        for each, frame, number in (
            (table["population"], table["frame"], table[name]),
            (whose, wanted["frame"], which),
        )
    )
    order = np.argsort(own)
    return np.append(order, MISSING)[find(own[order], asked)]


def starts_of(*columns: np.ndarray) -> np.ndarray:
    """First position of every run of equal rows, over columns of one length."""
    n = len(columns[0])
    if n == 0:
        return np.zeros(0, np.int64)
    new = np.ones(n, bool)
    new[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return np.flatnonzero(new)


def run_ids(starts: np.ndarray, n: int) -> np.ndarray:
    """Number of the run (0, 1, …) that each of `n` rows belongs to."""
    return np.repeat(np.arange(len(starts)), np.diff(np.append(starts, n)))


def divide(a: Any, b: Any) -> np.ndarray:
    """``a / b``, null where `b` is 0 or null."""
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=(b != 0) & ~np.isnan(b))


def ranges(start: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Concatenate ``start[i] .. start[i] + length[i] - 1`` for every i.

    Returns the numbers, and the i each belongs to.
    """
    owner = np.repeat(np.arange(len(length)), length)
    offset = np.cumsum(length) - length
    return np.arange(len(owner)) + np.repeat(start - offset, length), owner
