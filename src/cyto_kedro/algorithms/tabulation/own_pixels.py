"""Pixels of a cell that are its own alone: neither over a neighbour of another kind nor in its light.

Of each pair of cells of different populations that meet, the pixels of one that lie farther than a
margin from the convex hull of the other. The hull stands for the mask, since one mask may have been
taken out of the other: what was cut out of it lies over it all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cyto_kedro.algorithms.tabulation.hull import hull_vertices
from cyto_kedro.algorithms.tabulation.masks import Masks, ranges, read_masks, spans
from cyto_kedro.algorithms.tabulation.regions import cell_runs

# Pixels times edges of hulls compared at once
_CHUNK = 4_000_000
# A distance of exactly the margin is within it, however it is rounded
_SLACK = 1e-9


def own_light(
    frames: Sequence[np.ndarray],
    images: Mapping[str, np.ndarray],
    pairs: Mapping[str, np.ndarray],
    margin_px: float,
) -> dict[str, np.ndarray]:
    """Number and light of the own pixels of both cells of each pair, in one frame.

    Parameters
    ----------
    frames
        Labels (Y, X) of each population.
    images
        Channel -> (Y, X).
    pairs
        ``a``, ``b`` (populations, as positions in `frames`), ``label_a``, ``label_b``: (n,) each.
    margin_px
        Own pixels lie farther than this from the other's hull.

    Returns
    -------
    dict
        ``own_px_a``, ``own_px_b`` and for each channel ``<channel>_own_a``, ``<channel>_own_b`` (lower
        quartile of own pixels, since a death of its own lights all of a cell, and a neighbour's light
        falls off across it): (n,) float64, null for pairs of one population, and of light where no pixel
        is left.
    """
    n = len(pairs["a"])
    names = ["own_px", *(f"{channel}_own" for channel in images)]
    found = {f"{name}_{side}": np.full(n, np.nan) for side in "ab" for name in names}
    across = np.flatnonzero(pairs["a"] != pairs["b"])
    if not len(across):
        return found
    masks = [read_masks(frame) for frame in frames]
    for side, other in ("ab", "ba"):
        for p, q in {*zip(pairs[side][across], pairs[other][across], strict=True)}:
            rows = across[(pairs[side][across] == p) & (pairs[other][across] == q)]
            own, pixel = _own(
                masks[p], pairs[f"label_{side}"][rows], masks[q], pairs[f"label_{other}"][rows],
                margin_px,
            )  # fmt: skip
            found[f"own_px_{side}"][rows] = np.bincount(own, minlength=len(rows))
            for channel, image in images.items():
                light = _quartiles(np.asarray(image).ravel()[pixel], own, len(rows))
                found[f"{channel}_own_{side}"][rows] = light
    return found


def _own(
    mine: Masks, labels: np.ndarray, others: Masks, of: np.ndarray, margin_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Own pixels of cell ``labels[i]`` against ``of[i]``: pair, and place in the raveled frame."""
    cell = np.searchsorted(mine.labels, labels)
    other = np.searchsorted(others.labels, of)
    place, owner = cell_runs(mine).pixels(mine.shape[1])
    n_pixels = np.bincount(owner, minlength=len(mine.labels))
    start = np.cumsum(n_pixels) - n_pixels
    ring, y, x, after = hull_vertices(others)
    first, last = spans(ring)
    n_edges = last - first + 1
    dy, dx = y[after] - y, x[after] - x
    length = np.hypot(dy, dx)
    across_y, across_x = dx / length, -dy / length  # outward, as the ring runs
    at = across_y * y + across_x * x
    work = n_pixels[cell] * n_edges[other]
    cuts = np.searchsorted(np.cumsum(work), np.arange(_CHUNK, work.sum(), _CHUNK))
    parts = []
    for a, b in zip([0, *cuts], [*cuts, len(cell)], strict=True):
        index, pair = ranges(start[cell[a:b]], n_pixels[cell[a:b]])
        edge, pixel = ranges(first[other[a:b]][pair], n_edges[other[a:b]][pair])
        row, column = np.divmod(place[index], mine.shape[1])
        far = across_y[edge] * row[pixel] + across_x[edge] * column[pixel] - at[edge]
        if len(far):
            far = np.maximum.reduceat(far, spans(pixel)[0])
        own = far > margin_px + _SLACK
        parts.append((pair[own] + a, place[index][own]))
    pair, pixel = (np.concatenate(each) for each in zip(*parts, strict=True))
    return pair, pixel


def _quartiles(values: np.ndarray, group: np.ndarray, n: int) -> np.ndarray:
    """Lower quartile of `values` by ascending `group`, null for a group without any."""
    count = np.bincount(group, minlength=n)
    ordered = values[np.lexsort([values, group])].astype(float)
    some = count > 0
    start = (np.cumsum(count) - count)[some]
    place = 0.25 * (count[some] - 1)
    below = np.floor(place).astype(np.int64)
    low, high = ordered[start + below], ordered[start + np.minimum(below + 1, count[some] - 1)]
    quartile = np.full(n, np.nan)
    quartile[some] = low + (high - low) * (place - below)
    return quartile
