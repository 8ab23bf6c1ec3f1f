"""Kernel density of cells: maps on a coarse grid, and the density around each cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.contacts.kernels import (
    density_at,
    density_map,
    inside,
    likelihood_bandwidth,
    scott_bandwidth,
)
from cyto_kedro.core.contract import Images, TableOf
from cyto_kedro.core.units import Length, PositiveLength
from cyto_kedro.errors import InputError

_MAX_PAIRS = 500_000  # that a likelihood is computed from, about: seconds a film
_LEAST_PX = 1.0  # positions are known to about a pixel: no kernel is narrower


class Densities(TypedDict):
    """Maps and values.

    ``image``         ``{population: (T, rows, columns) float32}``, cells per px² of the film;
    ``cell_density``  the density of every population at every cell;
    ``bandwidth_px``  ``{population: (T,)}``, null where it cannot be told;
    ``at_limit``      populations whose likelihood was still rising at the narrowest or widest
    kernel tried: the points lie on each other, or are spread evenly.
    """

    image: Images
    cell_density: TableOf[schemas.CellDensity]
    bandwidth_px: dict[str, np.ndarray]
    at_limit: list[str]


class DensityMaps(Algorithm):
    """How many cells of a population there are per area, smoothed by a Gaussian kernel.

    Examples
    --------
    >>> rows = {"population": "T", "label": [1, 2, 3], "x_px": [8.0, 40.0, 44.0], "y_px": 32.0}
    >>> cells = schemas.filled(schemas.Cells, rows)
    >>> maps = DensityMaps(box_px=8, bandwidth_px=6)
    >>> made = maps(cells=cells, populations=["T"], shape=(64, 64), n_frames=1)
    >>> round(float(made["image"]["T"].sum() * 8 * 8), 3)  # a map adds up to the cells
    3.0

    Notes
    -----
    ``f(p) = sum_j exp(-|p - p_j|² / 2h²) / (2 pi h² m_j)``. Dividing by `m_j`, the share of the
    kernel's mass that lies in the image, corrects the edge, so that a map adds up to the number of
    cells (Diggle 1985, Applied Statistics 34, 138: the correction that keeps mass). A value of a map
    is the mean of `f` over its box, from differences of the normal distribution function, not `f` at
    the box's centre: no cell falls between the points of a coarse grid, and the sum times a box's
    area is the number of cells to rounding. The kernel is a product of a function of x and one of y,
    so a map is a product of two matrices: exact, without the binning that an FFT needs, in time
    proportional to cells times boxes.

    *Bandwidth* `h`: given, or by `rule`. Scott's (1992) is ``s n^(-1/6)`` in two dimensions, `s` the
    root mean variance of x and y; Silverman's (1986) has the factor ``(4 / (d + 2))^(1 / (d + 4))``,
    which is 1 for d = 2, so the two are the same. Both take the cells for one hump and blur clusters.
    *likelihood* maximises the leave-one-out likelihood ``sum_i log f_(-i)(p_i)`` (Habbema, Hermans &
    van den Broek 1974; Duin 1976), without edge correction, from squared distances of pairs that are
    computed once: a few candidates, then Brent's bounded search in log h. Above 500,000 pairs, every
    k-th cell is left out in turn, not every one, and 500 at least.

    At a cell of the same population, the cell itself is not counted. The gradient at a cell points to
    where the population is denser: ``sum_j (p_j - p) exp(-|p - p_j|² / 2h²) / (2 pi h⁴ m_j)``.
    """

    version = 2

    box: PositiveLength = Field(default=Length(px=16), description="side of a box of the map")
    bandwidth: PositiveLength | None = Field(
        default=None, description="standard deviation of the kernel; default: by rule"
    )
    rule: Literal["likelihood", "scott", "silverman"] = Field(
        default="likelihood", description="how the bandwidth is chosen where none is given"
    )
    bandwidth_over: Literal["film", "frame"] = Field(
        default="film",
        description="one bandwidth for the film (rule: median of its frames), so that maps of a film "
        "can be compared, or one for each frame",
    )

    def run(
        self,
        cells: TableOf[schemas.Cells],
        populations: Iterable[str],
        shape: tuple[int, int],
        n_frames: int,
        pixel_size_um: float | None = None,
        fov: str = "",
    ) -> Densities:
        """Map the cells of one field.

        Parameters
        ----------
        cells
            Of all populations; only `population`, `frame`, `label`, `x_px` and `y_px` are read.
        populations
            Their names.
        shape
            Rows and columns of the field.

        Raises
        ------
        InputError
            If a cell lies outside the image, or in no frame of the film.
        ConfigError
            If a length is in µm and the field is not calibrated.
        """
        size = pixel_size_um
        frames = {name: _by_frame(cells, name, n_frames, shape) for name in populations}
        boxes = self.boxes(shape, size)
        bandwidths, at_limit = {}, []
        for name, points in frames.items():
            bandwidths[name], limit = self._bandwidths(points, shape, size)
            if limit:
                at_limit.append(name)
        images = {
            name: np.stack(
                [
                    density_map(each.xy, h, shape, boxes)
                    for each, h in zip(points, bandwidths[name], strict=True)
                ]
            )
            for name, points in frames.items()
        }
        table = _at_cells(frames, bandwidths, shape, size, fov)
        return {
            "image": images,
            "cell_density": table,
            "bandwidth_px": bandwidths,
            "at_limit": at_limit,
        }

    def boxes(self, shape: tuple[int, int], pixel_size_um: float | None) -> tuple[int, int]:
        """Rows and columns of a map: boxes as near the side asked for as divide the image."""
        side = self.box.in_px("box", pixel_size_um)
        return max(1, round(shape[0] / side)), max(1, round(shape[1] / side))

    def _bandwidths(
        self, points: Sequence[_Points], shape: tuple[int, int], size: float | None
    ) -> tuple[np.ndarray, bool]:
        """(T,) standard deviation of the kernel in every frame, px; whether it met a limit."""
        n = len(points)
        if self.bandwidth is not None:
            return np.full(n, self.bandwidth.in_px("bandwidth", size)), False
        alone = [[each.xy] for each in points]
        film = [[each.xy for each in points]]
        groups = alone if self.bandwidth_over == "frame" else film
        if self.rule == "likelihood":
            limits = (_LEAST_PX, float(np.hypot(*shape)) / 2)
            found = [likelihood_bandwidth(each, limits, _MAX_PAIRS) for each in groups]
        else:
            found = [(_median([scott_bandwidth(xy) for xy in each]), False) for each in groups]
        chosen = np.maximum([h for h, _ in found], _LEAST_PX)
        return np.broadcast_to(chosen, n).copy(), any(limit for _, limit in found)


def _median(values: Sequence[float]) -> float:
    known = [each for each in values if not np.isnan(each)]
    return float(np.median(known)) if known else np.nan


@dataclass(frozen=True)
class _Points:
    """The cells of one population in one frame."""

    label: np.ndarray  #: (n,) int64
    xy: np.ndarray  #: (n, 2) float64, px


def _by_frame(
    cells: pd.DataFrame, population: str, n_frames: int, shape: tuple[int, int]
) -> list[_Points]:
    """The population's cells in every frame of the film."""
    rows = cells[cells["population"] == population].sort_values(["frame", "label"])
    frame, label = (rows[name].to_numpy(np.int64) for name in ("frame", "label"))
    xy = rows[["x_px", "y_px"]].to_numpy(float)
    out = ~((xy >= -0.5) & (xy <= np.array(shape[::-1]) - 0.5)).all(axis=1)
    out |= (frame < 0) | (frame >= n_frames)
    if out.any():
        first = int(np.argmax(out))
        raise InputError(
            f"density, population {population!r}: label {label[first]} of frame {frame[first]} at "
            f"x={xy[first, 0]}, y={xy[first, 1]} lies outside the film ({n_frames} frames of "
            f"{shape[0]} x {shape[1]} px), so part of the density would be lost; are these cells of "
            "another field?"
        )
    cut = np.searchsorted(frame, np.arange(n_frames + 1))
    return [_Points(label[a:b], xy[a:b]) for a, b in pairwise(cut)]


def _at_cells(
    frames: Mapping[str, Sequence[_Points]],
    bandwidths: Mapping[str, np.ndarray],
    shape: tuple[int, int],
    size: float | None,
    fov: str,
) -> TableOf[schemas.CellDensity]:
    """`schemas.CellDensity` of a field."""
    parts: list[dict[str, np.ndarray]] = []
    for of, sources in frames.items():
        for frame, (source, h) in enumerate(zip(sources, bandwidths[of], strict=True)):
            weight = 1 / inside(source.xy, h, shape)
            for name, cells in frames.items():
                at = cells[frame]
                density = np.full(len(at.label), np.nan)
                gradient = np.full((len(at.label), 2), np.nan)
                if not len(source.label):
                    density[:], gradient[:] = 0, 0
                elif not np.isnan(h):
                    same = name == of
                    density, gradient = density_at(at.xy, source.xy, h, weight, same=same)
                parts.append(
                    {
                        "population": np.full(len(at.label), name, object),
                        "frame": np.full(len(at.label), frame),
                        "label": at.label,
                        "of_population": np.full(len(at.label), of, object),
                        "density_per_px2": density,
                        "gradient_x_per_px3": gradient[:, 0],
                        "gradient_y_per_px3": gradient[:, 1],
                        "bandwidth_px": np.full(len(at.label), h),
                    }
                )
    if not parts:
        return schemas.empty(schemas.CellDensity)
    columns = {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}
    scale = np.nan if size is None else float(size)
    columns["fov"] = np.full(len(columns["label"]), fov, object)
    columns["density_per_mm2"] = columns["density_per_px2"] / scale**2 * 1e6
    columns["bandwidth_um"] = columns["bandwidth_px"] * scale
    return schemas.from_columns(schemas.CellDensity, columns)
