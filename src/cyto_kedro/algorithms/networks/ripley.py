"""Second-order statistics of points in a rectangle, with corrections for its edge, on plain arrays.

The window is ``[0, width] x [0, height]``. Pairs are ordered: (i, j) looks from i to j.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cyto_kedro.core.keys import divide


def translation_weight(shift: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Area of the window over that of its overlap with itself shifted by (P, 2) `shift`.

    Ohser & Stoyan (1981), Biometrical Journal 23, 523. Of a pair, how much rarer it is seen than it
    would be in an endless field.
    """
    return divide(size.prod(), np.clip(size - np.abs(shift), 0, None).prod(axis=1))


def isotropic_weight(xy: np.ndarray, radius: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Circle around each of `xy` (P, 2) over its part in the window: Ripley's (1976) correction.

    Outside lie an arc of ``2 acos(e / r)`` at each side nearer than r, e its distance, less what two
    neighbouring sides both count, ``acos(e / r) + acos(f / r) - pi / 2`` where that is positive.
    """
    gap = np.concatenate([xy, size - xy], axis=1)  # left, top, right, bottom
    half = np.arccos(np.clip(divide(gap, radius[:, None]), 0, 1))
    corner = half + np.roll(half, -1, axis=1) - np.pi / 2
    outside = 2 * half.sum(axis=1) - np.clip(corner, 0, None).sum(axis=1)
    return np.where(radius > 0, divide(1, 1 - outside / (2 * np.pi)), 1)


@dataclass(frozen=True)
class Pairs:
    """All that K of any labelling of some points needs: what each ordered pair adds, and where."""

    #: one, other, bin, weight: (P,) pair (i, j) adds `weight` to K at the radii of number `bin` and
    #: above
    one: np.ndarray
    other: np.ndarray
    bin: np.ndarray
    weight: np.ndarray
    #: (N,) number of radii at which each point counts as a centre; all, but with border correction
    seen: np.ndarray
    #: n_radii, area: how many radii there are; of the window, px²
    n_radii: int
    area: float

    @classmethod
    def of(cls, xy: np.ndarray, radii: np.ndarray, size: np.ndarray, correction: str) -> Pairs:
        """Those of points `xy` (N, 2) up to the largest of `radii` (R,), ascending.

        Found by a k-d tree, so that work grows with the pairs near each other only.
        """
        from scipy.spatial import cKDTree

        near = cKDTree(xy).query_pairs(radii[-1], output_type="ndarray").astype(np.int64)
        one, other = np.concatenate([near, near[:, ::-1]]).T
        shift = xy[other] - xy[one]
        distance = np.hypot(*shift.T)
        at = np.searchsorted(radii, distance)
        inside = at < len(radii)  # the tree rounds otherwise
        one, other, at, shift = one[inside], other[inside], at[inside], shift[inside]
        seen = np.full(len(xy), len(radii))
        weight = np.ones(len(one))
        if correction == "translation":
            weight = translation_weight(shift, size)
        elif correction == "isotropic":
            weight = isotropic_weight(xy[one], distance[inside], size)
        elif correction == "border":
            # a centre counts at radii up to its distance from the edge, no further
            edge = np.concatenate([xy, size - xy], axis=1).min(axis=1)
            seen = np.searchsorted(radii, edge, side="right")
            kept = at < seen[one]
            one, other, at = one[kept], other[kept], at[kept]
            stop = seen[one]
            one, other = np.tile(one, 2), np.tile(other, 2)
            weight = np.repeat([1.0, -1.0], len(at))
            at = np.concatenate([at, stop])
            within = at < len(radii)
            one, other, at, weight = one[within], other[within], at[within], weight[within]
        return cls(one, other, at, weight, seen, len(radii), float(size.prod()))

    def k(self, label: np.ndarray, n_labels: int) -> np.ndarray:
        """K (L, L, R) from points of each label to those of each, px².

        ``K_ab(r) = A / (n_a n_b) sum_i sum_j w_ij 1{d_ij <= r}``, within a label over
        ``n_a (n_a - 1)``; with border correction ``n_a`` is the number of centres at least r from
        the edge (a ratio of counts, so off by the order of 1 / n). Null where there are none.
        """
        n = np.bincount(label, minlength=n_labels)
        code = (label[self.one] * n_labels + label[self.other]) * self.n_radii + self.bin
        added = np.bincount(code, self.weight, n_labels**2 * self.n_radii)
        total = added.reshape(n_labels, n_labels, self.n_radii).cumsum(axis=2)
        last = np.bincount(
            label * (self.n_radii + 1) + self.seen, minlength=n_labels * (self.n_radii + 1)
        ).reshape(n_labels, -1)
        centres = last[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
        others = n[None, :] - np.eye(n_labels, dtype=int)
        return divide(total * self.area, centres[:, None, :] * others[:, :, None])


def hanisch_g(
    xy: np.ndarray, nearest: np.ndarray, radii: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Distribution (R,) of the distance to the nearest other, from points `xy` (N, 2).

    ``G(r) = sum 1{d <= r} 1{d <= e} / a(d) over sum 1{d <= e} / a(d)``, d the `nearest` distances
    (N,), e those from the edge, a(d) the area of the window further than d from its edge (Hanisch
    1984): only points whose nearest is surely in view count, weighted by how rarely that is so.
    Null where there is none.
    """
    edge = np.concatenate([xy, size - xy], axis=1).min(axis=1)
    known = nearest <= edge
    distance = nearest[known]
    weight = divide(1, (size[None, :] - 2 * distance[:, None]).prod(axis=1))
    weight = np.nan_to_num(weight)
    added = np.bincount(np.searchsorted(radii, distance), weight, len(radii) + 1)
    return np.minimum(divide(added[:-1].cumsum(), added.sum()), 1)  # sums round


def clark_evans(mean_nearest: float, n: int, size: np.ndarray) -> tuple[float, float]:
    """Clark & Evans' (1954) ratio and its z, with Donnelly's (1978) correction for the edge.

    Expected in a rectangle of area A and perimeter P: ``0.5 sqrt(A / n) + (0.0514 + 0.041 / sqrt(n))
    P / n``, with variance ``0.0703 A / n² + 0.037 P sqrt(A / n⁵)``. Null below 8 points, for which
    they do not hold.
    """
    if n < 8:
        return float("nan"), float("nan")
    area, perimeter = float(size.prod()), float(2 * size.sum())
    expected = 0.5 * np.sqrt(area / n) + (0.0514 + 0.041 / np.sqrt(n)) * perimeter / n
    variance = 0.0703 * area / n**2 + 0.037 * perimeter * np.sqrt(area / n**5)
    return float(mean_nearest / expected), float((mean_nearest - expected) / np.sqrt(variance))
