"""Contacts by position, centre to centre: no mask is needed, only track points.

Named at ``contacts.contacts`` instead of `ContactJoin`. Only cells that were detected in the frame
take part (an interpolated position is not evidence of contact). Where touches are given, the
columns measured on masks (gap, contact length, overlap) are filled for the pairs found among them
and empty for the others. Pairs within and between all populations are found, by a k-d tree per
frame: no matrix of all pairs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from typing import TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.contacts import (
    MEASURES,
    ContactJoin,
    centre_distance,
    in_order,
    in_words,
    repaired_of,
)
from cyto_kedro.algorithms.contacts.corrected_contacts import correct_contacts
from cyto_kedro.algorithms.contacts.corrected_events import Correctable, said_of
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import PAIR, fov_of, starts_of
from cyto_kedro.core.units import PositiveLength

Pairs = tuple[np.ndarray, np.ndarray]


class Found(TypedDict):
    """Pairs of cells in contact."""

    contacts: TableOf[schemas.Contacts]


class PositionContacts(Correctable):
    """Find pairs of cells by their positions; see the module."""

    @abstractmethod
    def definition(self, calibrated: bool) -> str:
        """The definition in words, for the table."""

    @abstractmethod
    def pairs(self, xy: np.ndarray, population: np.ndarray, reach_px: float) -> Pairs:
        """Rows of the cells of one frame that are in contact.

        `xy`: (n, 2) float64; positions in pixels. `population`: (n,) int64; sorted. `reach_px`:
        largest distance, inf for none.
        """

    @abstractmethod
    def reach_px(self, pixel_size_um: float | None) -> float:
        """Largest distance, centre to centre, in pixels."""

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        touches: TableOf[schemas.Touches] | None = None,
        pixel_size_um: float | None = None,
        event_corrections: TableOf[schemas.EventCorrections] | None = None,
    ) -> Found:
        """Find the contacts of a field.

        Parameters
        ----------
        track_points
            Of all populations.
        touches
            Where given, they fill the columns that are measured on masks.
        event_corrections
            What a person said of contacts: set and cleared ones hold (`correct_contacts`).

        Raises
        ------
        InputError
            If tables of several fields are given, or a label of a touch belongs to two tracks.
        ConfigError
            If a length is in µm alone and the film is not calibrated.
        """
        points = track_points
        fov = fov_of(points)
        reach = self.reach_px(pixel_size_um)
        # populations in the order in which they come: that of the assay, as in touches
        seen = points.assign(code=pd.factorize(points["population"])[0])
        seen = seen[~seen["interpolated"].to_numpy(bool)]
        seen = seen.sort_values(["frame", "code", "track_id"], ignore_index=True)
        xy, code = seen[["x_px", "y_px"]].to_numpy(float), seen["code"].to_numpy()
        found = [np.zeros((2, 0), np.int64)]
        for rows in frames_of(seen):
            found.append(np.stack(self.pairs(xy[rows], code[rows], reach)) + rows.start)
        a, b = np.sort(np.concatenate(found, axis=1), axis=0)
        population = seen["population"].to_numpy(object)
        track = seen["track_id"].to_numpy(np.int64)
        contacts = {
            "fov": np.full(len(a), fov, object),
            "frame": seen["frame"].to_numpy(np.int64)[a],
            "time_min": seen["time_min"].to_numpy(float)[a],
            "population_a": population[a],
            "track_id_a": track[a],
            "population_b": population[b],
            "track_id_b": track[b],
            **centre_distance(seen, a, b),
            **{name: np.full(len(a), np.nan) for name in MEASURES},
            "repaired": repaired_of(seen, a, b),
            "definition": np.full(len(a), self.definition(pixel_size_um is not None), object),
        }
        made = _measured(in_order(contacts), points, touches)
        said = said_of("contact", event_corrections)
        reach = self.reach_of_corrections(pixel_size_um)
        return {"contacts": correct_contacts(made, said, points, reach)}


class CentroidDistance(PositionContacts):
    """Centroid distance: the positions of the pair are at most a distance apart.

    Centre to centre: large cells can touch without being in contact, and small ones be in contact
    without touching. Use it where masks are poor, or to compare with tools that know no masks.

    Examples
    --------
    >>> rows = {"track_id": [1, 2, 3], "label": [1, 2, 3], "x_px": [5.0, 9.0, 30.0], "y_px": 5.0}
    >>> points = schemas.filled(schemas.TrackPoints, rows)
    >>> found = CentroidDistance(max_distance_px=6)(track_points=points)["contacts"]
    >>> found[["track_id_a", "track_id_b", "centre_distance_px"]].values.tolist()
    [[1.0, 2.0, 4.0]]
    """

    max_distance: PositiveLength = Field(description="largest distance of centres")

    def definition(self, calibrated: bool) -> str:
        return f"centroid distance <= {in_words(self.max_distance, calibrated)}"

    def reach_px(self, pixel_size_um: float | None) -> float:
        return self.max_distance.in_px("max_distance", pixel_size_um)

    def pairs(self, xy: np.ndarray, population: np.ndarray, reach_px: float) -> Pairs:
        from scipy.spatial import KDTree

        # a distance written with few digits includes its own rounding
        found = KDTree(xy).query_pairs(reach_px * (1 + 1e-12), output_type="ndarray")
        return found[:, 0], found[:, 1]


class NearestNeighbours(PositionContacts):
    """k nearest: one cell of the pair is among the k nearest of the other, centre to centre.

    The nearest are taken from each population apart, its own among them: with k = 1 a T cell is
    in contact with its nearest T cell and its nearest cancer cell. Where asked, each must be among
    the nearest of the other, or the distance at most a limit.

    Examples
    --------
    >>> rows = {"track_id": [1, 2, 3], "label": [1, 2, 3], "x_px": [5.0, 9.0, 30.0], "y_px": 5.0}
    >>> points = schemas.filled(schemas.TrackPoints, rows)
    >>> found = NearestNeighbours(mutual=True)(track_points=points)["contacts"]
    >>> found[["track_id_a", "track_id_b"]].values.tolist()
    [[1, 2]]
    """

    k: int = Field(default=1, ge=1, description="nearest cells of each population")
    mutual: bool = Field(default=False, description="each must be among the nearest of the other")
    max_distance: PositiveLength | None = Field(None, description="none further than this")

    def definition(self, calibrated: bool) -> str:
        text = f"{'mutually ' if self.mutual else ''}among the {self.k} nearest"
        if self.max_distance is None:
            return text
        return f"{text}, centroid distance <= {in_words(self.max_distance, calibrated)}"

    def reach_px(self, pixel_size_um: float | None) -> float:
        if self.max_distance is None:
            return np.inf
        return self.max_distance.in_px("max_distance", pixel_size_um)

    def pairs(self, xy: np.ndarray, population: np.ndarray, reach_px: float) -> Pairs:
        codes = [np.zeros(0, np.int64)]
        for rows, distance, index in nearest(xy, population, self.k):
            near = np.isfinite(distance) & (distance <= reach_px * (1 + 1e-12))
            own = np.broadcast_to(rows[:, None], near.shape)[near]
            codes.append(own * len(xy) + index[near])
        forth = np.concatenate(codes)
        one, other = np.divmod(forth, max(len(xy), 1))
        if self.mutual:
            both = np.isin(other * len(xy) + one, forth)
            one, other = one[both], other[both]
        code = np.unique(np.minimum(one, other) * len(xy) + np.maximum(one, other))
        return np.divmod(code, max(len(xy), 1))


def frames_of(points: pd.DataFrame) -> list[slice]:
    """The rows of each frame of a table sorted by frame."""
    ends = [*starts_of(points["frame"].to_numpy()).tolist(), len(points)]
    return [slice(low, high) for low, high in pairwise(ends)]


def nearest(
    xy: np.ndarray, population: np.ndarray, k: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The k nearest cells of each population around every cell, never the cell itself.

    Parameters
    ----------
    xy : (n, 2) float64
        Positions.
    population : (n,) int64
        Population of each cell.

    Yields
    ------
    rows : (m,) int64
        Cells looked around.
    distance, index : (m, k)
        Distance and row of the nearest, ascending; inf and n where there are fewer.
    """
    from scipy.spatial import KDTree

    members = [np.flatnonzero(population == p) for p in np.unique(population)]
    for others in members:
        tree = KDTree(xy[others])
        for rows in members:
            more = k + 1 if rows is others else k
            distance, at = (
                each.reshape(len(rows), -1) for each in tree.query(xy[rows], range(1, more + 1))
            )
            index = np.append(others, len(xy))[at]
            if rows is others:
                # of cells in one place the query may name any before the cell itself
                distance = np.where(index == rows[:, None], np.inf, distance)
                order = np.argsort(distance, axis=1, kind="stable")[:, :k]
                distance = np.take_along_axis(distance, order, 1)
                index = np.take_along_axis(index, order, 1)
            yield rows, distance, index


def _measured(
    contacts: TableOf[schemas.Contacts],
    points: TableOf[schemas.TrackPoints],
    touches: TableOf[schemas.Touches] | None,
) -> TableOf[schemas.Contacts]:
    """Fill what is measured on masks, for the pairs that are among `touches`."""
    if touches is None or not len(touches) or not len(contacts):
        return contacts
    joined = ContactJoin().run(points, touches)["contacts"]
    names = [name for name in MEASURES if name in joined]
    key = ["frame", *PAIR]
    found = contacts[key].merge(joined[[*key, *names]], on=key, how="left")
    return schemas.conform(schemas.Contacts, contacts.assign(**{n: found[n] for n in names}))
