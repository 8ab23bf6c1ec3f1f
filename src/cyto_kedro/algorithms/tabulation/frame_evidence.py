"""What an image says of a frame's masks together: measures beside those of its cells.

The mean chance of its cells; light outside of all masks (``missed…``); the agreement of
masks with the plainest threshold (``agreement``), and how much of the image's variance they explain
(``separation``); how sizes spread. `dark_ratio` tells whether it is an image of fluorescence at all.
"""

from __future__ import annotations

import numpy as np

from cyto_kedro.algorithms.segmentation.packing import within
from cyto_kedro.algorithms.segmentation.scale import without_slope
from cyto_kedro.algorithms.tabulation.mask_evidence import SEEN, Columns, Scene
from cyto_kedro.core import ndi
from cyto_kedro.core.ranks import Ranks

_DARK_SD = 2.05  # of the 2nd percentile of noise


def frame_evidence(scene: Scene, cells: Columns) -> dict[str, float]:
    """Measures of the frame beside those of its `cells`; see the module."""
    smooth, masked = scene.smooth, scene.number > 0
    covered = float(masked.sum())
    clear = scene.shown
    if scene.count:
        clear = clear & ~within(masked, max(1.5, 0.1 * scene.diameter))
    height = float(np.median(cells["height"])) if scene.count else scene.threshold - scene.level

    def missed(level: float) -> tuple[float, float]:
        """Share of area and of pieces above `level` that no mask holds."""
        pieces, k = ndi.label(clear & (smooth > max(level, scene.floor)))
        sizes = np.bincount(pieces.ravel(), minlength=k + 1)[1:]
        sizes = sizes[sizes >= scene.least_piece]
        area = float(sizes.sum())
        return area / max(area + covered, 1), len(sizes) / max(len(sizes) + scene.count, 1)

    bright = scene.shown & (smooth > max(scene.threshold, scene.floor))
    area, pieces = missed(scene.level + 0.5 * height)
    found = {
        "missed_area": area,
        "missed": pieces,
        "missed_faint": missed(scene.floor)[1],
        "missed_bright": missed(scene.threshold)[1],
        "agreement": 2 * float((bright & masked).sum()) / max(float(bright.sum()) + covered, 1),
        "separation": _separation(scene),
        "signal": _signal(scene),
        "dark_ratio": dark_ratio(scene),
        "size_spread": 0.0,
    }
    if scene.count:
        size = np.log2(np.maximum(scene.area[1:], 1) / np.median(scene.area[1:]))
        found["size_spread"] = float(np.median(np.abs(size)))
        found["small_share"] = float((size < -2).mean())
        found["large_share"] = float((size > 1).mean())
    return {"small_share": 0.0, "large_share": 0.0} | found


def _signal(scene: Scene) -> float:
    """Log of how far the brightest hundredth of the frame is above its background, in noise."""
    bright = float(scene.light.percentile(99))
    return float(np.log1p(max(bright - scene.level, 0) / scene.noise))


def dark_ratio(scene: Scene) -> float:
    """How far the image goes below its background, over how far above it: fluorescence adds light alone.

    From the most frequent level to the 2nd and the 99.5th percentile; noise is taken off below. 0 where
    little more than noise is below. The lesser of the image as it is and without slopes: a slope is
    darker on one side, and one that is fitted to few bright cells is too high where there are none.
    """
    if not scene.shown.any():
        return 0.0
    even = Ranks(without_slope(scene.smooth)[scene.shown])
    return min(_below(light, scene.noise) for light in (scene.light, even))


def _below(light: Ranks, noise: float) -> float:
    low, dark, bright, high = light.percentile((0.1, 2, 99.5, 99.9))
    if low == high:
        return 0.0
    counts, edges = light.histogram(128, (low, high))
    at = int(ndi.gaussian_filter1d(counts.astype(float), 2).argmax())
    usual = float(edges[at] + edges[at + 1]) / 2
    below = usual - dark - _DARK_SD * noise
    return float(below / max(bright - usual, 1e-9)) if below > SEEN * noise else 0.0


def _separation(scene: Scene) -> float:
    """Variance between masks and the rest over the most that a threshold reaches (Otsu), 0 to 1.2."""
    light, masked = scene.smooth[scene.shown], scene.number[scene.shown] > 0

    def between(mask: np.ndarray) -> float:
        share = float(mask.mean()) if mask.size else 0.0
        if share in (0.0, 1.0):
            return 0.0
        return share * (1 - share) * float(light[mask].mean() - light[~mask].mean()) ** 2

    best = between(light > scene.threshold)
    return min(between(masked) / best, 1.2) if best else 0.0
