"""Motion of the cells: persistent random walks on a torus, with soft bodies that do not overlap.

The plane is periodic and larger than the view by a margin on every side, so density stays even
and cells enter and leave the view as through an open border.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cyto_kedro.algorithms.simulation.outlines import Floats, Shape, line_gaps, take


def persistent_step(
    rng: np.random.Generator, velocity: Floats, speed: Floats, persistence: Floats, dt: float
) -> tuple[Floats, Floats]:
    """Displacement and new velocity, (n, 2) each, of free cells after `dt`.

    The velocity is an Ornstein-Uhlenbeck process, integrated exactly for any `dt` (Gillespie
    1996, Phys. Rev. E 54, 2084), so that a free cell's mean squared displacement is Fürth's
    ``2 S^2 P (t - P (1 - exp(-t / P)))``.

    `speed`, `persistence`: (n,) root mean square speed S and correlation time P.
    """
    tau = persistence[:, None]
    sd = (speed / np.sqrt(2))[:, None]
    kept = np.exp(-dt / tau)
    first, second = rng.standard_normal((2, *velocity.shape))
    var_v = 1 - kept**2
    var_x = tau**2 * (2 * dt / tau - 3 + 4 * kept - kept**2)
    cov = tau * (1 - kept) ** 2
    root = np.sqrt(var_v)
    rest = np.sqrt(np.maximum(var_x - cov**2 / var_v, 0))
    moved = tau * (1 - kept) * velocity + sd * (cov / root * first + rest * second)
    return moved, kept * velocity + sd * root * first


def deform(
    rng: np.random.Generator, coefs: NDArray[np.complex128], sd: Floats, memory: Floats, dt: float
) -> NDArray[np.complex128]:
    """Outline coefficients (n, 3) after `dt`: Ornstein-Uhlenbeck, `sd` (n, 3), `memory` (n,)."""
    kept = np.exp(-dt / memory)[:, None]
    real, imaginary = rng.standard_normal((2, *coefs.shape))
    return kept * coefs + sd * np.sqrt((1 - kept**2) / 2) * (real + 1j * imaginary)


def nearest_image(delta: Floats, side: float) -> Floats:
    """`delta` between points of a torus of length `side`, the short way round."""
    return delta - side * np.round(delta / side)


def close_pairs(position: Floats, side: float, within: float) -> NDArray[np.int64]:
    """Pairs (p, 2), i < j in order, of centres at most `within` apart on the torus."""
    from scipy.spatial import cKDTree

    # boxsize wants coordinates in [0, side): the remainder of a tiny negative can be `side`.
    tree = cKDTree(np.mod(position, side) % side, boxsize=side)
    pairs = tree.query_pairs(min(within, side / 2), output_type="ndarray")
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].astype(np.int64)


def push_apart(
    position: Floats,
    shape: Shape,
    mobility: Floats,
    pairs: NDArray[np.int64],
    bound: NDArray[np.int64],
    side: float,
    rounds: int = 4,
    clinging: NDArray[np.bool_] | None = None,
    depth: Floats | None = None,
) -> Floats:
    """Positions (n, 2) after relaxing overlaps, and closing the gap of bound pairs.

    Each round every overlapping pair moves apart along the line of centres by half of the overlap,
    shared by mobility (position-based dynamics, Müller et al. 2007).

    Parameters
    ----------
    shape
        Radii (n,) and outline coefficients (n, 3).
    pairs
        (p, 2) candidates, i < j.
    bound
        (n,) the cell that an effector sticks to, -1 for none.
    clinging
        (p,) pairs that stick to each other, besides.
    depth
        (p,) how far the outlines of a pair may overlap; those that stick do. None: not at all.
    """
    i, j = pairs[:, 0], pairs[:, 1]
    stuck = (bound[i] == j) | (bound[j] == i)
    if clinging is not None:
        stuck |= clinging
    first, second = take(shape, i), take(shape, j)
    share = (mobility[i] / (mobility[i] + mobility[j]))[:, None]
    n = len(position)
    for _ in range(rounds):
        delta = nearest_image(position[j] - position[i], side)
        gap, unit = line_gaps(delta, first, second)
        if depth is not None:
            gap = gap + depth
        pull = 0.5 * np.where(stuck, gap, np.minimum(gap, 0))[:, None] * unit
        moves = np.concatenate([share * pull, (share - 1) * pull])
        where = np.concatenate([i, j])
        position = position + np.stack(
            [np.bincount(where, moves[:, axis], minlength=n) for axis in (0, 1)], axis=1
        )
    return position
