"""Outlines of cells: closed curves in polar form, and the gaps between them.

``r(a) = R (1 + Re sum_k c_k exp(-i k a)) / sqrt(1 + sum_k |c_k|^2 / 2)``, k = 2, 3, 4 about the
cell's centre: the enclosed area is exactly ``pi R^2`` whatever the coefficients (Parseval).
Curves are compared as polygons of `N_VERTICES` corners. All functions work over cells or pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HARMONICS = (2, 3, 4)
N_VERTICES = 64
ANGLES = np.arange(N_VERTICES) * (2 * np.pi / N_VERTICES)
_CHUNK = 256  # pairs compared at once: 256 * 64 * 64 doubles are 8 MB

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Shape = tuple[Floats, Complexes]  # radii (n,) and coefficients (n, 3)


def limited(coefs: Complexes) -> Complexes:
    """Scale `coefs` (n, 3) down where their moduli sum to more than 0.5: r stays positive."""
    total = np.abs(coefs).sum(axis=1, keepdims=True)
    return coefs * (0.5 / np.maximum(total, 0.5))


def radii(radius: Floats, coefs: Complexes, direction: NDArray) -> Floats:
    """Outline radius towards `direction`, unit complex numbers (n,) or (n, m); in units of R."""
    tail = (slice(None),) + (None,) * (direction.ndim - 1)
    wave = np.ones(direction.shape)
    back = np.conj(direction)
    power = back
    for index in range(len(HARMONICS)):
        power = power * back
        wave += (coefs[:, index][tail] * power).real
    norm = radius / np.sqrt(1 + 0.5 * (np.abs(coefs) ** 2).sum(axis=1))
    return norm[tail] * wave


def reach(radius: Floats, coefs: Complexes) -> Floats:
    """Upper bound of the outline's radius, (n,)."""
    moduli = np.abs(coefs)
    return radius * (1 + moduli.sum(axis=1)) / np.sqrt(1 + 0.5 * (moduli**2).sum(axis=1))


def polygons(centre: Floats, radius: Floats, coefs: Complexes) -> Floats:
    """Corners (n, N_VERTICES, 2) as (y, x), from the centres (n, 2) as (y, x)."""
    direction = np.broadcast_to(np.exp(1j * ANGLES), (len(radius), N_VERTICES))
    length = radii(radius, coefs, direction)
    around = np.stack([length * direction.imag, length * direction.real], axis=-1)
    return centre[:, None, :] + around


def line_gaps(delta: Floats, first: Shape, second: Shape) -> tuple[Floats, Floats]:
    """Gap along the line of centres, negative if the curves overlap there; and its unit vector.

    `delta` (p, 2) points from the first to the second centre; `first` and `second` are
    ``(radius, coefs)`` of the pairs' two sides.
    """
    distance = np.maximum(np.hypot(delta[:, 0], delta[:, 1]), 1e-9)
    unit = delta / distance[:, None]
    direction = unit[:, 1] + 1j * unit[:, 0]
    gap = distance - radii(*first, direction) - radii(*second, -direction)
    return gap, unit


def _to_polygon(points: Floats, corners: Floats) -> Floats:
    """Distance of `points` (p, m, 2) from the closed edges of `corners` (p, k, 2): (p, m)."""
    edge = np.roll(corners, -1, axis=1) - corners
    squared = np.maximum((edge**2).sum(axis=2), 1e-18)[:, None, :]
    dy = points[:, :, None, 0] - corners[:, None, :, 0]
    dx = points[:, :, None, 1] - corners[:, None, :, 1]
    ey, ex = edge[:, None, :, 0], edge[:, None, :, 1]
    along = np.clip((dy * ey + dx * ex) / squared, 0, 1)
    away = (dy - along * ey) ** 2 + (dx - along * ex) ** 2
    return np.sqrt(away.min(axis=2))


def _inside(points: Floats, centre: Floats, radius: Floats, coefs: Complexes) -> NDArray[np.bool_]:
    """Whether `points` (p, m, 2) lie within the curves about `centre` (p, 2)."""
    z = (points[..., 1] - centre[:, None, 1]) + 1j * (points[..., 0] - centre[:, None, 0])
    rho = np.abs(z)
    direction = z / np.maximum(rho, 1e-12)
    return rho < radii(radius, coefs, direction)


def _overlap(delta: Floats, first: Shape, second: Shape) -> Floats:
    """Area within both curves: midpoint rule on the first one's polar grid."""
    direction = np.broadcast_to(np.exp(1j * ANGLES), (len(delta), N_VERTICES))
    outer = radii(*first, direction)
    rings = 48
    share = (np.arange(rings) + 0.5) / rings
    rho = (outer[:, :, None] * share).reshape(len(delta), -1)
    angle = np.repeat(direction, rings, axis=1)
    points = np.stack([rho * angle.imag, rho * angle.real], axis=-1)
    weight = (outer[:, :, None] ** 2 * share / rings * (2 * np.pi / N_VERTICES)).reshape(rho.shape)
    return (weight * _inside(points, delta, *second)).sum(axis=1)


def contacts(
    delta: Floats, first: Shape, second: Shape, within: float
) -> tuple[Floats, Floats, Floats]:
    """Gap, contact length and overlap of pairs of curves.

    Parameters
    ----------
    delta
        (p, 2), from the first to the second centre.
    first, second
        ``(radius (p,), coefs (p, 3))`` of the two sides.
    within
        Reach of a contact, in the unit of `delta`.

    Returns
    -------
    gap
        (p,) smallest distance between the outlines, 0 where they meet.
    length
        (p,) length of outline within reach of the other cell, mean of the two sides.
    overlap
        (p,) common area.
    """
    parts = [
        _contacts(delta[at], take(first, at), take(second, at), within)
        for at in (slice(start, start + _CHUNK) for start in range(0, len(delta), _CHUNK))
    ]
    if not parts:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    gap, length, overlap = (np.concatenate(column) for column in zip(*parts, strict=True))
    return gap, length, overlap


def take(shape: Shape, at: slice | NDArray[np.int64]) -> Shape:
    """The shapes of the cells `at`."""
    return shape[0][at], shape[1][at]


def _contacts(
    delta: Floats, first: Shape, second: Shape, within: float
) -> tuple[Floats, Floats, Floats]:
    zero = np.zeros_like(delta)
    here, there = polygons(zero, *first), polygons(delta, *second)
    lengths = []
    gap = np.full(len(delta), np.inf)
    for own, other, centre, side in ((here, there, delta, second), (there, here, zero, first)):
        away = _to_polygon(own, other)
        away[_inside(own, centre, *side)] = 0.0
        gap = np.minimum(gap, away.min(axis=1))
        edge = np.roll(own, -1, axis=1) - own
        size = np.hypot(edge[..., 0], edge[..., 1])
        per_corner = 0.5 * (size + np.roll(size, 1, axis=1))
        lengths.append((per_corner * (away <= within)).sum(axis=1))
    overlap = np.zeros(len(delta))
    meet = np.flatnonzero(gap == 0).astype(np.int64)
    if len(meet):
        overlap[meet] = _overlap(delta[meet], take(first, meet), take(second, meet))
    return gap, 0.5 * (lengths[0] + lengths[1]), overlap
