"""What is around each cell in each frame: partners, nearest cell, local density."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.contacts.positions import frames_of, nearest
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import MISSING, divide, fov_of, rows_in_frame, starts_of
from cyto_kedro.errors import InputError, unknown


class Surroundings(TypedDict):
    """A row for each track point and each population."""

    neighbours: TableOf[schemas.Neighbours]


class Neighbours(Algorithm):
    """Count the contacts of each cell, find its nearest neighbours and the density around it.

    Examples
    --------
    >>> rows = {"population": ["N", "T"], "track_id": 1, "label": 1, "x_px": [10.0, 13.0], "y_px": 9.0}
    >>> points = schemas.filled(schemas.TrackPoints, rows)
    >>> contacts = schemas.empty(schemas.Contacts)
    >>> roles = {"N": "effector", "T": "target"}
    >>> made = Neighbours()(track_points=points, contacts=contacts, populations=roles, shape=(40, 40))
    >>> made["neighbours"][["population", "neighbour_population", "nearest_distance_px"]].values.tolist()
    [['N', 'N', nan], ['N', 'T', 3.0], ['T', 'N', 3.0], ['T', 'T', nan]]

    Notes
    -----
    *Contacts and partners* are those of the contacts table, whatever its definition; a cell whose
    position is interpolated has no mask, so they are empty there, not 0. *Nearest* is the nearest
    other cell of the population, centre to centre. *Density* is the number of other cells of the
    population whose centre is at most `radius_um` away, over the area of that disk inside the
    image: ``1000 n / (pi r² inside_share)``, so that cells at the border are not thought lonely
    (the share is exact, in closed form). Nearest and density take interpolated positions along,
    since a cell that was missed is still there, and dead cells.
    """

    radius_um: float = Field(default=30.0, gt=0, description="radius of the surroundings")

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        contacts: TableOf[schemas.Contacts],
        populations: Mapping[str, str],
        shape: tuple[int, int],
        pixel_size_um: float | None = None,
    ) -> Surroundings:
        """Look around the cells of one field.

        Parameters
        ----------
        track_points
            Of all populations.
        populations
            Name -> role.
        shape
            Rows and columns of the image.

        Raises
        ------
        InputError
            If tables of several fields are given, or a population has no role.
        """
        points: pd.DataFrame = track_points
        roles, pixel = populations, pixel_size_um
        fov_of(contacts, points)
        for name in points["population"].unique():
            if name not in roles:
                raise InputError(f"track points: {unknown('population', name, roles)}")
        if not len(points):
            return {"neighbours": schemas.empty(schemas.Neighbours)}
        names = list(roles)
        points = points.assign(code=points["population"].map({p: i for i, p in enumerate(names)}))
        points = points.sort_values(["frame", "code", "track_id"], ignore_index=True)
        radius = np.nan if pixel is None else self.radius_um / float(pixel)
        at, distance, n_near = _around(points, len(names), radius)
        n_contacts, partners = _partners(contacts, points, names)
        partners[points["interpolated"].to_numpy(bool)] = None
        hidden = np.repeat(points["interpolated"].to_numpy(bool), len(names))
        inside = inside_share(points[["x_px", "y_px"]].to_numpy(float), radius, shape)
        inside = np.repeat(inside, len(names))
        n_near, scale = n_near.ravel(), np.nan if pixel is None else float(pixel)
        r_um = self.radius_um if pixel is not None else np.nan
        point = ["fov", "frame", "time_min", "population", "track_id", "interpolated"]
        columns: dict[str, Any] = {n: np.repeat(points[n].to_numpy(), len(names)) for n in point}
        columns |= {
            "neighbour_population": np.tile(np.array(names, object), len(points)),
            "neighbour_role": np.tile(np.array([*roles.values()], object), len(points)),
            "n_contacts": _masked(n_contacts.ravel(), hidden),
            "partner_track_ids": partners.ravel(),
            "nearest_track_id": _masked(points["track_id"].to_numpy()[at.ravel()], at.ravel() < 0),
            "nearest_distance_px": distance.ravel(),
            "nearest_distance_um": distance.ravel() * scale,
            "radius_um": np.full(n_near.shape, r_um),
            "n_within_radius": _masked(n_near, np.full(n_near.shape, pixel is None)),
            "inside_share": inside,
            "density_per_1000um2": divide(1000 * n_near, np.pi * r_um**2 * inside),
        }
        return {"neighbours": schemas.from_columns(schemas.Neighbours, columns)}


def inside_share(xy: np.ndarray, radius: float, shape: tuple[int, int]) -> np.ndarray:
    """Share of the disks around `xy` that is inside the image, (n,) float64.

    Parameters
    ----------
    xy : (n, 2) float64
        Centres; that of the top left pixel is (0, 0), so the image begins at −0.5.
    radius
        In pixels; NaN gives NaN.
    shape
        Rows and columns of the image.

    Notes
    -----
    With F(a, b) the area of the part of a disk around the origin where x <= a and y <= b, the part
    inside is F(a1, b1) - F(a0, b1) - F(a1, b0) + F(a0, b0). F is elementary: a segment
    ``H(a) = r² (pi - arccos(a / r)) + a sqrt(r² - a²)`` where the corner (a, b) is outside the disk,
    else a quarter disk, a rectangle and two half segments.
    """
    height, width = shape
    a0, a1 = -0.5 - xy[:, 0], width - 0.5 - xy[:, 0]
    b0, b1 = -0.5 - xy[:, 1], height - 0.5 - xy[:, 1]
    part = _quadrant(a1, b1, radius) - _quadrant(a0, b1, radius)
    part += _quadrant(a0, b0, radius) - _quadrant(a1, b0, radius)
    return np.clip(part / (np.pi * radius**2), 0, 1)


def _quadrant(a: np.ndarray, b: np.ndarray, r: float) -> np.ndarray:
    """Area of the part of a disk of radius `r` around the origin where x <= a and y <= b."""
    a, b = np.clip(a, -r, r), np.clip(b, -r, r)
    half_a, half_b = ((v * np.sqrt(r * r - v * v) + r * r * np.arcsin(v / r)) / 2 for v in (a, b))
    below_a, below_b = (np.pi * r * r / 2 + 2 * half for half in (half_a, half_b))
    corner_inside = np.pi * r * r / 4 + a * b + half_a + half_b
    outside = np.select(
        [(a >= 0) & (b >= 0), a >= 0, b >= 0],
        [below_a + below_b - np.pi * r * r, below_b, below_a],
        0.0,
    )
    return np.where(a * a + b * b <= r * r, corner_inside, outside)


def _around(points: pd.DataFrame, n: int, radius: float) -> tuple[np.ndarray, ...]:
    """Row and distance of the nearest other cell of each of `n` populations, and how many are near.

    Returns
    -------
    nearest : (n_points, n) int64
        `MISSING` where there is none.
    distance : (n_points, n) float64
    n_near : (n_points, n) int64
        Other cells at most `radius` away; 0 for a radius of NaN.
    """
    from scipy.spatial import KDTree

    xy, code = points[["x_px", "y_px"]].to_numpy(float), points["code"].to_numpy(np.int64)
    found = np.full((len(points), n), MISSING)
    distance, n_near = np.full((len(points), n), np.nan), np.zeros((len(points), n), np.int64)
    for rows in frames_of(points):
        place, kind = xy[rows], code[rows]
        for own, far, at in nearest(place, kind, 1):
            some = np.isfinite(far[:, 0])
            row, other = own[some] + rows.start, at[some, 0]
            found[row, kind[other]] = other + rows.start
            distance[row, kind[other]] = far[some, 0]
        if not np.isnan(radius):
            for each in np.unique(kind):
                tree = KDTree(place[kind == each])
                reach = radius * (1 + 1e-12)
                n_near[rows, each] = tree.query_ball_point(place, reach, return_length=True)
                n_near[rows, each] -= kind == each  # itself
    return found, distance, n_near


def _partners(
    contacts: pd.DataFrame, points: pd.DataFrame, names: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Number of contacts of each of `points` with each population, and whom with, as text."""
    at = np.concatenate([rows_in_frame(points, contacts, "track_id", s) for s in ("_a", "_b")])
    whose, which = (
        np.concatenate([contacts[f"{name}_{side}"].to_numpy(kind) for side in "ba"])
        for name, kind in (("population", object), ("track_id", np.int64))
    )
    number = np.zeros((len(points), len(names)), np.int64)
    text = np.full(number.shape, "", object)
    for column, name in enumerate(names):
        mine = (whose == name) & (at != MISSING)
        cell, track = at[mine], which[mine]
        by = np.lexsort((track, cell))
        number[:, column] = np.bincount(cell, minlength=len(points))
        text[:, column] = _listed(cell[by], track[by], len(points))
    return number, text


def _listed(cell: np.ndarray, track: np.ndarray, n: int) -> np.ndarray:
    """The tracks of each of `n` cells joined by semicolons; rows are sorted by cell."""
    text = np.full(n, "", object)
    start, name = starts_of(cell), track.astype(str).astype(object)
    many = np.diff(np.append(start, len(cell)))
    for place in range(int(many.max(initial=0))):
        here = start[many > place]
        text[cell[here]] += (";" if place else "") + name[here + place]
    return text


def _masked(values: np.ndarray, missing: np.ndarray) -> pd.api.extensions.ExtensionArray:
    return pd.arrays.IntegerArray(values.astype(np.int64), missing)
