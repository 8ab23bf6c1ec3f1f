"""Outlines that were drawn, not traced on masks: their corners, and which masks they still describe.

A mask may be changed after its outline was drawn: by hand, by another engine. Each outline carries a
digest of the mask that was made of it, and is used only where the mask is still that one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.masks import by_cell, compact
from cyto_kedro.algorithms.tabulation.proximity import Outlines
from cyto_kedro.core.keys import find
from cyto_kedro.schemas import TableOf

log = logging.getLogger(__name__)

Rings = Sequence[np.ndarray]


def outline_table(
    label: np.ndarray,
    drawn: Mapping[tuple[int, int], Rings],
    fov: str = "fov1",
    population: str = "cells",
) -> TableOf[schemas.Outlines]:
    """The outlines of the cells of a film, as the table that `OutlineDistance` reads.

    Parameters
    ----------
    label
        Masks (T, Y, X) that were made of the outlines.
    drawn
        (frame, label) -> rings (n, 2), y and x in pixels from the centre of the top-left one; the last
        corner joins the first. What is inside of two rings is a hole. Cells without a mask are left out.

    Examples
    --------
    >>> label = np.zeros((1, 9, 9), np.uint32)
    >>> label[0, 2:5, 2:5] = 1
    >>> square = np.array([[1.6, 1.6], [1.6, 4.4], [4.4, 4.4], [4.4, 1.6]])
    >>> outline_table(label, {(0, 1): [square]})[["frame", "label", "ring", "corner", "y_px"]].values[2]
    array([0. , 1. , 1. , 3. , 4.4])
    """
    parts = []
    for t, cells in groupby(sorted(drawn), key=lambda cell: cell[0]):
        its = [name for _, name in cells]
        labels, digests = mask_digests(label[t])
        at = find(labels, np.array(its))
        for name, row in zip(its, at, strict=True):
            parts += [
                (t, name, number, digests[row], ring)
                for number, ring in enumerate(drawn[t, name], 1)
                if row >= 0
            ]
    if not parts:
        return schemas.empty(schemas.Outlines)
    length = [len(each[-1]) for each in parts]
    corners = np.concatenate([each[-1] for each in parts]).astype(float)
    names = ("frame", "label", "ring", "mask_digest")
    columns = {
        name: np.repeat(np.array([each[at] for each in parts]), length)
        for at, name in enumerate(names)
    }
    columns["corner"] = np.concatenate([np.arange(1, n + 1) for n in length])
    columns |= {"y_px": corners[:, 0], "x_px": corners[:, 1]}
    where = {"fov": fov, "population": population}
    return schemas.conform(schemas.Outlines, pd.DataFrame(columns).assign(**where))


def mask_digests(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labels of a frame (Y, X), ascending, and a digest of each mask's pixels, int64.

    The sum, modulo 2^64, of a hash of each pixel's place (the finaliser of splitmix64, Steele et al.
    2014): two masks that differ in any pixel have the same one by a chance of 2^-64.
    """
    flat = np.ascontiguousarray(frame).ravel()
    pixel = np.flatnonzero(flat)
    labels, cell = compact(flat[pixel])
    order = by_cell(cell, len(labels))
    start = np.searchsorted(cell[order], np.arange(len(labels)))
    z = pixel[order].astype(np.uint64) + np.uint64(1)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    total = np.add.reduceat(z, start) if len(start) else z
    return labels, total.view(np.int64)


@dataclass(frozen=True)
class Drawn:
    """The corners of a frame's outlines whose masks are as they were, grouped by cell and ring."""

    cell: np.ndarray  #: of each corner, as a place in `proximity.Outlines`
    after: np.ndarray  #: place of the next corner of its ring
    y: np.ndarray
    x: np.ndarray


class DrawnFilm:
    """The outlines of a film, opened frame by frame; counts those that fit their mask no more.

    Parameters
    ----------
    table
        `schemas.Outlines` of all populations; None: there are none.
    populations
        In the order of the labels.
    """

    def __init__(
        self, table: TableOf[schemas.Outlines] | None, populations: Iterable[str], fov: str
    ) -> None:
        rows = schemas.or_empty(table, schemas.Outlines)
        order = {name: number for number, name in enumerate(populations)}
        rows = rows.assign(population=rows["population"].map(order))
        rows = rows[rows["population"].notna()].sort_values(
            ["frame", "population", "label", "ring", "corner"]
        )
        self._fov, self._n_cells, self._n_changed = fov, 0, 0
        self._columns = {
            name: rows[name].to_numpy()
            for name in ("frame", "population", "label", "ring", "y_px", "x_px", "mask_digest")
        }

    def frame(self, number: int, lines: Outlines) -> Drawn | None:
        """Those of a frame, whose masks are `lines`; None where there are none."""
        first, last = np.searchsorted(self._columns["frame"], [number, number + 1])
        if first == last:
            return None
        _, whose, label, ring, y, x, digest = (each[first:last] for each in self._columns.values())
        cell = np.full(len(label), -1)
        for population, offset in enumerate(lines.offsets):
            its = np.flatnonzero(whose == population)
            if not len(its):
                continue
            labels, digests = mask_digests(lines.frames[population])
            at = find(labels, label[its])
            same = (at >= 0) & (digests[at] == digest[its]) if len(labels) else at >= 0
            cell[its[same]] = at[same] + offset
        new = np.ones(len(label) + 1, bool)
        new[1:-1] = (np.diff(whose) != 0) | (np.diff(label) != 0)
        self._n_cells += int(new[:-1].sum())
        self._n_changed += int((new[:-1] & (cell < 0)).sum())
        new[1:-1] |= np.diff(ring) != 0
        start = np.flatnonzero(new)
        after = np.arange(1, len(label) + 1)
        after[start[1:] - 1] = start[:-1]
        kept = cell >= 0
        if not kept.any():
            return None
        place = np.cumsum(kept) - 1
        return Drawn(cell[kept], place[after[kept]], y[kept], x[kept])

    def tell(self) -> None:
        """Say how many outlines were not used."""
        if self._n_changed:
            log.info(
                "field %r: %d of %d outlines are of masks that were changed since: the masks count",
                *(self._fov, self._n_changed, self._n_cells),
            )
