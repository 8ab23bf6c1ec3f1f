"""Shape of cells as polygons along pixel edges, as TrackMate and ImageJ measure it."""

from __future__ import annotations

import numpy as np

from cyto_kedro.algorithms.tabulation.frame import FrameCells, ratio_of
from cyto_kedro.algorithms.tabulation.groups import FeatureGroup
from cyto_kedro.algorithms.tabulation.hull import corner_hull_area
from cyto_kedro.algorithms.tabulation.outline import around_corners

# How often a corner of an outline pixel is a corner of the polygon, by `around_corners`: where three
# of four pixels are of the cell, two of them have the corner on their outline and share it.
_TURNS = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.5, 0.0])
# Corner k lies between neighbours k and k + 1: below right, below left, above left, above right.
_CORNER_Y, _CORNER_X = np.array([0.5, 0.5, -0.5, -0.5]), np.array([0.5, -0.5, -0.5, 0.5])


class Polygon(FeatureGroup):
    """Shape of the cell as a polygon along its pixels' edges: TrackMate's perimeter, circularity,
    solidity and ellipse (of contours that are not simplified).

    ``polygon_perimeter_px`` is the number of pixel edges between the cell and what is not of it,
    ``polygon_circularity`` 4 pi area / perimeter², ``polygon_solidity`` the area over that of the convex
    hull of the pixels' corners. ``polygon_major_axis_px`` and ``polygon_minor_axis_px`` are the axes
    (TrackMate gives half of them) of the ellipse fitted to the polygon's corners by least squares
    (Halir & Flusser 1998); null where there are fewer than six corners or no ellipse fits.

    Holes and detached pieces of a mask count, which TrackMate leaves out.

    Examples
    --------
    >>> label = np.zeros((1, 24, 24), np.uint32)
    >>> label[0, 8:16, 8:16] = 1
    >>> image = {"A": 10.0 + 5 * (label > 0)}
    >>> groups = [{"name": "Polygon"}]
    >>> from cyto_kedro.algorithms.tabulation import Features
    >>> Features(groups=groups)(label=label, image=image)["cells"]["polygon_perimeter_px"].tolist()
    [32.0]
    """

    def measure(self, cells: FrameCells) -> dict[str, np.ndarray]:
        """Columns of one frame."""
        owner, n = cells.masks.outline_cell, len(cells)
        around = around_corners(cells.outlines.own)
        # Bit 0 of corner k is neighbour k.
        perimeter = np.bincount(owner, 4.0 - (around & 1).sum(axis=1), n)
        pixel, corner = np.nonzero(_TURNS[around])
        y, x = np.divmod(cells.masks.outline[pixel], cells.masks.stride)
        major, minor = fit_ellipses(
            owner[pixel],
            y + _CORNER_Y[corner],
            x + _CORNER_X[corner],
            _TURNS[around[pixel, corner]],
            n,
        )
        return {
            "polygon_perimeter_px": perimeter,
            "polygon_circularity": ratio_of(4 * np.pi * cells.count, perimeter**2),
            "polygon_solidity": ratio_of(cells.count, corner_hull_area(cells.masks)),
            "polygon_major_axis_px": major,
            "polygon_minor_axis_px": minor,
        }


def fit_ellipses(
    cell: np.ndarray, y: np.ndarray, x: np.ndarray, weight: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Axes of the ellipses that fit the points of every cell best (Halir & Flusser 1998).

    `cell`: (n_points,) index of the cell of every point, in order. `y`, `x`, `weight`: (n_points,)
    place and weight of every point. `n`: number of cells, each with a point. Returns full lengths;
    NaN where the weights sum to less than 6 or no ellipse fits.
    """
    total = np.bincount(cell, weight, n)
    y = y - (np.bincount(cell, weight * y, n) / total)[cell]
    x = x - (np.bincount(cell, weight * x, n) / total)[cell]
    size = np.sqrt(np.bincount(cell, weight * (y * y + x * x), n) / total)
    y, x = y / size[cell], x / size[cell]
    terms = (x * x, x * y, y * y, x, y, np.ones(len(x)))
    scatter = np.empty((n, 6, 6))
    for i, one in enumerate(terms):
        for j, other in enumerate(terms[: i + 1]):
            scatter[:, i, j] = scatter[:, j, i] = np.bincount(cell, weight * one * other, n)
    square, mixed, linear = scatter[:, :3, :3], scatter[:, :3, 3:], scatter[:, 3:, 3:]
    linear_of = -np.linalg.solve(linear, mixed.swapaxes(1, 2))
    reduced = square + mixed @ linear_of
    # Times the inverse of the constraint 4ac - b² = 1.
    reduced = np.stack([reduced[:, 2] / 2, -reduced[:, 1], reduced[:, 0] / 2], axis=1)
    vectors = np.linalg.eig(reduced)[1].real
    held = 4 * vectors[:, 0] * vectors[:, 2] - vectors[:, 1] ** 2
    best = np.argmax(held, axis=1)
    quadratic = vectors[np.arange(n), :, best]
    a, b, c = quadratic.T / np.array([[1], [2], [1]])
    d, f, g = (linear_of @ quadratic[:, :, None])[:, :, 0].T / np.array([[2], [2], [1]])
    determinant = a * c - b * b
    fits = (held[np.arange(n), best] > 0) & (total > 5.5)
    level = 2 * (a * f * f + c * d * d + g * b * b - 2 * b * d * f - a * c * g)
    root = np.hypot(a - c, 2 * b)
    with np.errstate(divide="ignore", invalid="ignore"):
        axes = [2 * size * np.sqrt(level / determinant / (a + c + s * root)) for s in (-1, 1)]
    axes = [np.where(fits, each, np.nan) for each in axes]
    return np.fmax(*axes), np.fmin(*axes)
