"""How cells lie to each other in every frame: Ripley's K, nearest neighbours, random labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypedDict, TypeVar

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.networks.field import FieldCells
from cyto_kedro.algorithms.networks.ripley import Pairs, clark_evans, hanisch_g
from cyto_kedro.core.keys import divide
from cyto_kedro.core.units import Lengths
from cyto_kedro.errors import InputError
from cyto_kedro.schemas import Table, TableOf

T = TypeVar("T", bound=Table)

# neighbours listed for each cell; where none of them has the label asked for, all are searched
_NEAR = 24


class Space(TypedDict):
    """One row per frame, pair of populations (each way, and within one) and, of the first, radius."""

    spatial_statistics: TableOf[schemas.SpatialStatistics]
    nearest_neighbours: TableOf[schemas.NearestNeighbours]


class SpatialStatistics(Algorithm):
    """Clustering, attraction and avoidance between populations, in every frame, against chance.

    Notes
    -----
    ``K_ab(r)`` is the mean number of cells b within r of a cell a, over the density of b, and
    ``L = sqrt(K / pi)``; positions at random give ``K = pi r²`` and ``L = r`` (Ripley 1976, 1977).
    Cells outside of the field are made up for by the correction. A radius above half the shorter
    side of the field has no values; above a quarter they vary much.

    Chance is a random labelling: positions stay, the populations of all cells of the frame are
    shuffled. So neither cells' size nor where there is room for them makes populations look as if
    they sought or avoided each other. `p_value` is of one radius. `p_all_radii` is one test for all:
    the largest deviation of L from the mean of all labellings, in standard deviations (Myllymäki et
    al. 2017). Both are null with one population. Frames of a film resemble each other: their
    p-values are not independent, and a field is one observation.

    Examples
    --------
    >>> points = pd.DataFrame({"x_px": [10.0, 11, 40], "y_px": [10.0, 10, 40]}).assign(
    ...     fov="A1", population="TCell", track_id=[1, 2, 3], frame=0, time_min=0.0)
    >>> found = SpatialStatistics(radii_px=(5,))(track_points=points, shape=(50, 50))
    >>> row = found["spatial_statistics"].iloc[0]
    >>> bool(row["k_px2"] > 3.14 * 5**2)  # more pairs within 5 px than at random
    True
    """

    radii: Lengths = Field(description="radii of K and G, ascending")
    correction: Literal["translation", "isotropic", "border", "none"] = Field(
        default="translation", description="of K for the edge of the field"
    )
    n_permutations: int = Field(default=199, ge=0, description="shuffled labellings; 0: no test")
    seed: int = Field(default=0, ge=0, description="of the shuffling")
    every_frames: int = Field(default=1, ge=1, description="one frame in so many is measured")
    alive_only: bool = Field(default=False, description="leave out cells called dead")

    @field_validator("radii")
    @classmethod
    def _ascending(cls, value: Lengths) -> Lengths:
        for radii in (value.um, value.px):
            if radii is not None and (not radii or (np.diff(radii) <= 0).any()):
                raise ValueError(f"radii must be ascending, got {list(radii)}")
        return value

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        shape: tuple[int, int],
        fov: str | None = None,
        populations: Iterable[str] = (),
        pixel_size_um: float | None = None,
        n_frames: int | None = None,
    ) -> Space:
        """Measure the cells of one field; `shape` is its height and width in pixels.

        Raises
        ------
        InputError
            If tables of several fields are given, or a position is not finite.
        ConfigError
            If `radii_um` are given for an uncalibrated field.
        """
        points: pd.DataFrame = track_points
        if self.alive_only:
            if "dead" not in points:
                raise InputError(
                    "alive_only needs the column dead (from viability), which the points lack; "
                    "without it dead cells would be counted: give it, or set alive_only: false"
                )
            points = points[~points["dead"].isin([True])]
        cells = FieldCells(points, fov, populations, pixel_size_um, n_frames)
        radii = np.array(self.radii.in_px("radii", pixel_size_um))
        size = np.array([shape[1], shape[0]], float)
        radius_rows, pair_rows = [], []
        for i in range(0, len(cells.frames), self.every_frames):
            rows = slice(*cells.starts[i : i + 2])
            # pixel centres are at whole numbers, so that the field begins half a pixel before 0
            frame = _Frame(cells.xy[rows] + 0.5, cells.population[rows], len(cells.names), size)
            where = {"frame": cells.frames[i], "time_min": cells.time_min[i]}
            rng = np.random.default_rng([self.seed, int(cells.frames[i])])
            labels = frame.shuffled(self.n_permutations, rng)
            radius_rows.append(where | frame.by_radius(radii, self.correction, labels))
            pair_rows.append(where | frame.nearest(labels))
        shared = {"fov": cells.fov, "names": np.array(cells.names, object)}
        um = cells.pixel_size_um
        by_radius = _stack(radius_rows, shared, len(radii))
        if by_radius:
            by_radius["correction"] = np.full(len(by_radius["frame"]), self.correction, object)
            for name in ("radius", "l"):
                by_radius[f"{name}_um"] = by_radius[f"{name}_px"] * um
            by_radius["k_um2"] = by_radius["k_px2"] * um**2
        nearest = _stack(pair_rows, shared, 1)
        if nearest:
            nearest["mean_nearest_um"] = nearest["mean_nearest_px"] * um
        return {
            "spatial_statistics": _made(schemas.SpatialStatistics, by_radius),
            "nearest_neighbours": _made(schemas.NearestNeighbours, nearest),
        }


class _Frame:
    """Cells of one frame: positions (n, 2) in a window of `size` (width, height), and labels."""

    def __init__(self, xy: np.ndarray, label: np.ndarray, n_labels: int, size: np.ndarray) -> None:
        self.xy, self.label, self.n_labels, self.size = xy, label, n_labels, size
        self.n = np.bincount(label, minlength=n_labels)

    def shuffled(self, times: int, rng: np.random.Generator) -> np.ndarray:
        """Labels (S + 1, n): the real ones, then shuffled; these only if they can differ."""
        if (self.n > 0).sum() < 2:
            return self.label[None]
        every = np.tile(self.label, (times + 1, 1))
        every[1:] = rng.permuted(every[1:], axis=1)
        return every

    def by_radius(
        self, radii: np.ndarray, correction: str, labels: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Columns of `schemas.SpatialStatistics`, (L, L, R) each."""
        pairs = Pairs.of(self.xy, radii, self.size, correction)
        k = np.stack([pairs.k(label, self.n_labels) for label in labels])
        k[..., radii > self.size.min() / 2] = np.nan
        with np.errstate(invalid="ignore"):
            level = np.sqrt(k / np.pi)
        g, chance = np.full((2, *k.shape[1:]), np.nan)
        for b in range(self.n_labels):
            distance = self._to(b)
            for a in np.flatnonzero(self.n):
                mine = self.label == a
                g[a, b] = hanisch_g(self.xy[mine], distance[mine], radii, self.size)
                density = (self.n[b] - (a == b)) / self.size.prod()
                chance[a, b] = 1 - np.exp(-max(density, 0) * np.pi * radii**2)
        g[..., radii > self.size.min() / 2] = np.nan
        low, high = np.full((2, *k.shape[1:]), np.nan)
        if len(labels) > 1:
            low, high = np.quantile(level[1:], [0.025, 0.975], axis=0)
        return {
            "radius_px": np.broadcast_to(radii, g.shape),
            "k_px2": k[0],
            "l_px": level[0],
            "l_low_px": low,
            "l_high_px": high,
            "p_value": _two_sided(level),
            "p_all_radii": np.broadcast_to(_largest_deviation(level)[..., None], g.shape),
            "g": g,
            "g_random": chance,
            **self._counts(g.shape),
        }

    def nearest(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of `schemas.NearestNeighbours`, (L, L, 1) each."""
        mean = self._mean_nearest(labels)
        ratio, z = np.full((2, *mean.shape[1:]), np.nan)
        for a, n in enumerate(self.n):
            ratio[a, a], z[a, a] = clark_evans(mean[0, a, a], n, self.size)
        shuffled = mean[1:].mean(axis=0) if len(labels) > 1 else np.full_like(ratio, np.nan)
        columns = {
            "mean_nearest_px": mean[0],
            "clark_evans": ratio,
            "clark_evans_z": z,
            "clark_evans_p": _normal_p(z),
            "shuffled_nearest_px": shuffled,
            "shuffled_ratio": divide(mean[0], shuffled),
            "shuffled_p": _two_sided(mean),
        }
        shape = (self.n_labels, self.n_labels, 1)
        return {name: each[..., None] for name, each in columns.items()} | self._counts(shape)

    def _counts(self, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        every = np.arange(self.n_labels)
        return {
            "population_a": np.broadcast_to(every[:, None, None], shape),
            "population_b": np.broadcast_to(every[:, None], shape),
            "n_a": np.broadcast_to(self.n[:, None, None], shape),
            "n_b": np.broadcast_to(self.n[:, None], shape),
        }

    def _to(self, b: int) -> np.ndarray:
        """Distance (n,) of each cell to the nearest other cell of label b; infinite without."""
        from scipy.spatial import cKDTree

        mine = self.label == b
        if not mine.any():
            return np.full(len(self.xy), np.inf)
        distance = cKDTree(self.xy[mine]).query(self.xy, 2)[0]
        return np.where(mine, distance[:, 1], distance[:, 0])

    def _mean_nearest(self, labels: np.ndarray) -> np.ndarray:
        """Mean distance (S, L, L) of cells of each label to their nearest of each, per labelling."""
        from scipy.spatial import cKDTree

        n = len(self.xy)
        mean = np.full((len(labels), self.n_labels, self.n_labels), np.nan)
        if n < 2:
            return mean
        near = min(n, _NEAR + 1)
        distance, index = cKDTree(self.xy).query(self.xy, near)
        own = index == np.arange(n)[:, None]
        distance = np.where(own, np.inf, distance)
        for s, label in enumerate(labels):
            of = label[index]
            for b in range(self.n_labels):
                least = np.where(of == b, distance, np.inf).min(axis=1)
                short = np.isinf(least)
                if short.any() and near < n and self.n[b] > 0:
                    least = np.where(short, _Frame(self.xy, label, 0, self.size)._to(b), least)
                total = np.bincount(label, least, self.n_labels)
                mean[s, :, b] = np.where(np.isfinite(total), divide(total, self.n), np.nan)
        return mean


def _two_sided(values: np.ndarray) -> np.ndarray:
    """Rank test of ``values[0]`` among all (S, ...): twice the smaller tail; null without S."""
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)
    near = 1e-9 * np.abs(values[0])  # sums in another order
    tails = [(values >= values[0] - near).mean(axis=0), (values <= values[0] + near).mean(axis=0)]
    return np.where(np.isnan(values[0]), np.nan, np.minimum(1, 2 * np.minimum(*tails)))


def _largest_deviation(values: np.ndarray) -> np.ndarray:
    """One test over the last axis of (S, ..., R); see `SpatialStatistics`."""
    if len(values) < 2:
        return np.full(values.shape[1:-1], np.nan)
    spread = values.std(axis=0)
    apart = np.nan_to_num(divide(np.abs(values - values.mean(axis=0)), spread)).max(axis=-1)
    p = (apart >= apart[0] * (1 - 1e-9)).mean(axis=0)
    return np.where((spread > 0).any(axis=-1), p, np.nan)


def _normal_p(z: np.ndarray) -> np.ndarray:
    from scipy.special import erfc

    return erfc(np.abs(z) / np.sqrt(2))


def _stack(rows: list[dict[str, Any]], shared: dict[str, Any], n_radii: int) -> dict[str, Any]:
    """The columns of all frames, flat."""
    if not rows:
        return {}
    n = len(shared["names"]) ** 2 * n_radii
    columns = {
        name: np.concatenate(
            [
                np.broadcast_to(row[name], n) if np.ndim(row[name]) == 0 else row[name].ravel()
                for row in rows
            ]
        )
        for name in rows[0]
    }
    for side in "ab":
        columns[f"population_{side}"] = shared["names"][columns[f"population_{side}"]]
    return columns | {"fov": np.full(n * len(rows), shared["fov"], object)}


def _made(table: type[T], columns: dict[str, np.ndarray]) -> TableOf[T]:
    return schemas.from_columns(table, columns) if columns else schemas.empty(table)
