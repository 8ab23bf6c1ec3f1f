"""What an image says of the masks that were made from it: measures of cells and frames, without truth.

Lengths are in diameters of the cell, brightness in heights of the cell over its surroundings or in
noise: so one table of curves (`mask_curves`) serves all magnifications and cameras.

Of each cell: how far it stands out of the noise (``contrast``); how steep its outline is (``edge``),
whether the image falls along the outline's normal (``aligned``), whether what is above half of its
height is the mask (``half_height``), how far around the outline the fall lies (``spread``, ``offset``),
and how sharp it is (``steepest``);
how bright its surroundings are (``raised``); slopes inside against the outline (``inner_slope``);
seams to neighbours without a valley (``seam``), and whether both together are more of an ellipse
(``joint``); its area over that of the ellipse with its second moments (``fill``), its size among the
others (``small``, ``large``), and peaks of light and lobes of its shape (``peaks``, ``lobes``).

Of each frame: the mean chance of its cells; light outside of all masks (``missed…``); the agreement of
masks with the plainest threshold (``agreement``), and how much of the image's variance they explain
(``separation``); how sizes spread. `dark_ratio` tells whether it is an image of fluorescence at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cyto_kedro.algorithms.preprocessing.parts import Part, repeated
from cyto_kedro.algorithms.segmentation.nuclei import ellipse_fill, moments
from cyto_kedro.algorithms.segmentation.scale import (
    background_level,
    block_mean,
    smoothed_noise,
    without_slope,
)
from cyto_kedro.algorithms.tabulation.masks import compact
from cyto_kedro.core import ndi

_FINE_PX = 20  # diameter of cells in the image that is measured in, up to twice that
_GUESS_PX = 20.0  # where there is no mask
_SMOOTH = 0.05  # sigma of the Gaussian, in diameters
_BINS = np.arange(-0.5, 0.55, 0.05)  # distance from the outline, in diameters
_LEAST_NOISE = 0.003  # of the range of the image: 8 bits, or a background cut to one value
_SEEN = 5.0  # sd of the noise
_DARK_SD = 2.05  # of the 2nd percentile of noise
_PIECE = 0.15  # of a typical cell's area: less is no missed cell

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Scene:
    """A frame and its masks as they are measured, in block means; lengths in blocks."""

    smooth: np.ndarray  # (Y, X)
    number: np.ndarray  # (Y, X) int32: 0 for background, cells from 1
    shown: np.ndarray  # (Y, X) bool: was filmed
    noise: float  # its sd in `smooth`
    level: float  # of the background
    threshold: float  # Otsu's
    diameter: float  # of the cells, half of their area in larger ones
    area: np.ndarray  # (n + 1,) of the numbers
    sigma: float  # of the Gaussian that `smooth` is by

    @property
    def count(self) -> int:
        """Cells."""
        return len(self.area) - 1

    @cached_property
    def outside(self) -> tuple[np.ndarray, np.ndarray]:
        """Distance of each pixel from the masks, (Y, X), and the nearest place in one, (2, Y, X)."""
        distance, place = ndi.distance_transform_edt(self.number == 0, return_indices=True)
        return distance, place

    @property
    def floor(self) -> float:
        """Least light that stands out of the noise."""
        return self.level + _SEEN * self.noise

    @property
    def least_piece(self) -> float:
        """Area of the least light that is a cell."""
        typical = np.median(self.area[1:]) if self.count else np.pi / 4 * self.diameter**2
        return _PIECE * float(typical)

    @classmethod
    def of(cls, image: np.ndarray, label: np.ndarray, shown: np.ndarray | None = None) -> Scene:
        """Of an image and its labels (Y, X); `shown` says which pixels were filmed (None: all)."""
        from skimage.filters import threshold_otsu

        diameter = _typical(label)
        factor = max(1, int(diameter / _FINE_PX))
        if min(label.shape) < 4 * factor:
            factor = 1
        diameter /= factor
        height, width = (n // factor * factor for n in image.shape)
        fine = block_mean(repeated(image, shown)[:height, :width], factor)
        if not label.any():
            fine = without_slope(fine)
        inner = label[factor // 2 : height : factor, factor // 2 : width : factor]
        if shown is None:
            seen = np.ones(fine.shape, bool)
        else:
            seen = block_mean(shown[:height, :width].astype(np.float32), factor) == 1
        labels, index = compact(np.where(seen, inner, 0).ravel())
        number = np.asarray(index.reshape(fine.shape) + int(labels[0] > 0), np.int32)
        sigma = max(_SMOOTH * diameter, 0.7)
        smooth = ndi.gaussian_filter(fine, sigma)
        pixels = smooth[seen] if seen.any() else np.zeros(1, np.float32)
        low, high = np.percentile(pixels, (1, 99.8))
        flat = pixels.min() == pixels.max()
        threshold = float(pixels[0]) if flat else float(threshold_otsu(pixels))
        level, _ = background_level(pixels, threshold)
        noise = smoothed_noise(Part(fine, seen), sigma, threshold)
        noise = max(noise, _LEAST_NOISE * float(high - low), 1e-9)
        area = np.bincount(number.ravel(), minlength=1).astype(float)
        return cls(smooth, number, seen, noise, level, threshold, diameter, area, sigma)


def _typical(label: np.ndarray) -> float:
    """Diameter such that half of the masks' area is in larger ones."""
    sizes = np.bincount(compact(label[label > 0])[1])
    if not sizes.size:
        return _GUESS_PX
    sizes.sort()
    middle = sizes[np.searchsorted(np.cumsum(sizes), sizes.sum() / 2)]
    return float(2 * np.sqrt(middle / np.pi))


def cell_evidence(scene: Scene) -> Columns:
    """Measures of each cell, (n,) float64; see the module."""
    number, smooth, n = scene.number, scene.smooth, scene.count + 1
    own = 2 * np.sqrt(np.maximum(scene.area, 1) / np.pi)
    within = number > 0
    outline = _Outline.of(number)
    line = outline.free | outline.seam
    depth = ndi.distance_transform_edt(within & ~line) + 0.5
    outside, place = scene.outside
    nearest = number[tuple(place)]
    away = np.where(within, -depth, outside - 0.5) / own[nearest]
    near = scene.shown & (np.abs(away) < 0.5)
    cell, at, light = nearest[near], away[near], smooth[near]

    def zone(low: float, high: float) -> np.ndarray:
        chosen = (at > low) & (at <= high)
        return _mean(cell[chosen], light[chosen], n)

    mean = _mean(number[within], smooth[within], n)
    deep = within & (away < -0.15)
    core = _mean(number[deep], smooth[deep], n)
    far = zone(0.15, 0.4)
    far = np.where(np.isnan(far), scene.level, far)
    top = np.fmax(core, mean)
    rise = np.maximum(top - far, scene.noise)
    inner, outer = zone(-0.12, 0), zone(0, 0.12)
    outer = np.where(np.isnan(outer), mean, outer)
    offset, spread, steepest = _fall(cell, at, light, n)
    gy, gx = np.gradient(smooth)
    slope = np.hypot(gy, gx)
    edge = outline.free & scene.shown
    steep = _mean(number[edge], slope[edge], n)
    inner_slope = _mean(number[deep], slope[deep], n) / np.maximum(steep, scene.noise / 2)
    found = {
        "contrast": np.log1p(np.maximum(mean - far, 0) / scene.noise),
        "edge": np.clip((inner - outer) / rise, -1, 1),
        "aligned": _aligned(within, number, edge, gy, gx, n),
        "half_height": _half_height(cell, at, light, far, top, within & ~near, number, n),
        "offset": np.abs(offset),
        "spread": spread,
        "steepest": np.clip(steepest / rise, 0, 1),
        "raised": np.clip((far - scene.level) / np.maximum(top - scene.level, scene.noise), 0, 1),
        "inner_slope": np.where(np.isnan(inner_slope), 0.5, np.clip(inner_slope, 0, 3)),
        **_seams(scene, outline, mean, rise),
        **_shapes(scene, deep, depth),
        "height": top - far,
    }
    return {name: np.nan_to_num(each[1:]) for name, each in found.items()}


@dataclass(frozen=True)
class _Outline:
    """Pixels of masks beside background (`free`) and beside another mask (`seam`), and the pairs."""

    free: np.ndarray
    seam: np.ndarray
    pairs: np.ndarray  # (k, 2) numbers, a row for each pair of pixels side by side

    @classmethod
    def of(cls, number: np.ndarray) -> _Outline:
        padded = np.pad(number, 1, mode="edge")
        free = np.zeros(number.shape, bool)
        seam = np.zeros(number.shape, bool)
        pairs = []
        for rows, columns in ((slice(1, -1), slice(2, None)), (slice(2, None), slice(1, -1))):
            pairs.append((number, padded[rows, columns]))
        for rows, columns in ((slice(1, -1), slice(None, -2)), (slice(None, -2), slice(1, -1))):
            pairs.append((number, padded[rows, columns]))
        touching = []
        for at, (mine, other) in enumerate(pairs):
            free |= (mine > 0) & (other == 0)
            meets = (mine > 0) & (other > 0) & (other != mine)
            seam |= meets
            if at < 2:
                touching.append(np.stack([mine[meets], other[meets]], 1))
        return cls(free, seam, np.sort(np.concatenate(touching), 1))


def _mean(number: np.ndarray, value: np.ndarray, n: int) -> np.ndarray:
    """Mean of `value` by number, (n,); NaN for those without any."""
    count = np.bincount(number, minlength=n)
    total = np.bincount(number, value, n)
    return np.divide(total, count, out=np.full(n, np.nan), where=count > 0)


def _fall(
    cell: np.ndarray, at: np.ndarray, light: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the profile across the outline falls, (n,) each.

    Mean and root mean square of the distance, weighted by the fall, and the most that it falls within a
    tenth of a diameter.
    """
    bins = len(_BINS) - 1
    step = np.clip(np.digitize(at, _BINS) - 1, 0, bins - 1)
    profile = _mean(cell * bins + step, light, n * bins).reshape(n, bins)
    drop = np.nan_to_num(np.maximum(profile[:, :-1] - profile[:, 1:], 0))
    total = drop.sum(1)
    middle = _BINS[1:-1]
    first, second = (
        np.divide(drop @ each, total, out=np.zeros(n), where=total > 0)
        for each in (middle, middle**2)
    )
    return first, np.sqrt(second), (drop[:, 1:] + drop[:, :-1]).max(1)


def _half_height(
    cell: np.ndarray,
    at: np.ndarray,
    light: np.ndarray,
    far: np.ndarray,
    top: np.ndarray,
    deepest: np.ndarray,
    number: np.ndarray,
    n: int,
) -> np.ndarray:
    """IoU of each mask and what is above half of its height within half a diameter of it."""
    above = light > ((far + top) / 2)[cell]
    mine = at <= 0
    sure = np.bincount(number[deepest], minlength=n)
    both = np.bincount(cell[mine & above], minlength=n) + sure
    either = np.bincount(cell[mine | above], minlength=n) + sure
    return both / np.maximum(either, 1)


def _aligned(
    within: np.ndarray, number: np.ndarray, edge: np.ndarray, gy: np.ndarray, gx: np.ndarray, n: int
) -> np.ndarray:
    """Share of the slope on the free outline that points inwards, -1 to 1."""
    ny, nx = np.gradient(ndi.gaussian_filter(within.astype(np.float32), 1.5))
    along = (gy * ny + gx * nx) / np.maximum(np.hypot(ny, nx), 1e-6)
    inwards = np.bincount(number[edge], along[edge], n)
    slope = np.bincount(number[edge], np.hypot(gy, gx)[edge], n)
    return np.divide(inwards, slope, out=np.zeros(n), where=slope > 0)


def _seams(scene: Scene, outline: _Outline, mean: np.ndarray, rise: np.ndarray) -> Columns:
    """Outline shared with neighbours without a valley there; gain in shape if they were one."""
    number, n = scene.number, scene.count + 1
    line = outline.free | outline.seam
    shared = np.bincount(number[outline.seam], minlength=n) / np.maximum(
        np.bincount(number[line], minlength=n), 1
    )
    valley = (mean - _mean(number[outline.seam], scene.smooth[outline.seam], n)) / rise
    flat = np.clip(1 - np.where(np.isnan(valley), 0.5, valley) / 0.3, 0, 1)
    joint = np.zeros(n)
    if len(outline.pairs):
        sums = _sums(number, n)
        code, length = np.unique(
            outline.pairs[:, 0].astype(np.int64) * n + outline.pairs[:, 1], return_counts=True
        )
        a, b = np.divmod(code, n)
        union = ellipse_fill(*(each[a] + each[b] for each in sums))
        long = length / np.sqrt(np.minimum(sums[0][a], sums[0][b]) * 4 / np.pi)
        gain = np.clip(union - 0.9, 0, 0.1) * 10 * np.clip(long / 0.7, 0, 1)
        np.maximum.at(joint, a, gain)
        np.maximum.at(joint, b, gain)
    return {"seam": shared * flat, "joint": joint}


def _shapes(scene: Scene, deep: np.ndarray, depth: np.ndarray) -> Columns:
    """Fill of the ellipse, size among the others (in doublings), peaks of light, lobes of shape."""
    number, n = scene.number, scene.count + 1
    size = np.log2(np.maximum(scene.area, 1) / np.median(scene.area[1:]))
    wide = ndi.gaussian_filter(scene.smooth, 0.15 * scene.diameter)
    reach = max(3, int(0.35 * scene.diameter) | 1)
    peak = deep & (wide == ndi.maximum_filter(wide, reach))
    round_ = ndi.gaussian_filter(depth, 0.07 * scene.diameter)
    deepest = np.zeros(n)
    np.maximum.at(deepest, number.ravel(), round_.ravel())
    lobe = (round_ == ndi.maximum_filter(round_, reach)) & (round_ > 0.6 * deepest[number])
    return {
        "fill": np.clip(ellipse_fill(*_sums(number, n)), 0, 1),
        "small": np.clip(-size, 0, 4),
        "large": np.clip(size, 0, 4),
        "peaks": np.maximum(np.bincount(number[peak], minlength=n) - 1.0, 0),
        "lobes": np.maximum(np.bincount(number[lobe], minlength=n) - 1.0, 0),
    }


def _sums(number: np.ndarray, n: int) -> list[np.ndarray]:
    """Area and moments of each number, (n,) each, as `ellipse_fill` takes them."""
    mask = number > 0
    which = number[mask]
    area = np.bincount(which, minlength=n).astype(float)
    return [area, *(np.bincount(which, each, n) for each in moments(mask))]


def frame_evidence(scene: Scene, cells: Columns) -> dict[str, float]:
    """Measures of the frame beside those of its `cells`; see the module."""
    smooth, masked = scene.smooth, scene.number > 0
    covered = float(masked.sum())
    clear = scene.shown
    if scene.count:
        clear = clear & (scene.outside[0] > max(1.5, 0.1 * scene.diameter))
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
    bright = float(np.percentile(scene.smooth[scene.shown], 99)) if scene.shown.any() else 0.0
    return float(np.log1p(max(bright - scene.level, 0) / scene.noise))


def dark_ratio(scene: Scene) -> float:
    """How far the image goes below its background, over how far above it: fluorescence adds light alone.

    From the most frequent level to the 2nd and the 99.5th percentile; noise is taken off below. 0 where
    little more than noise is below. The lesser of the image as it is and without slopes: a slope is
    darker on one side, and one that is fitted to few bright cells is too high where there are none.
    """
    return min(_below(scene, each) for each in (scene.smooth, without_slope(scene.smooth)))


def _below(scene: Scene, image: np.ndarray) -> float:
    light = image[scene.shown]
    low, dark, bright, high = (
        np.percentile(light, (0.1, 2, 99.5, 99.9)) if light.size else [0.0] * 4
    )
    if low == high:
        return 0.0
    counts, edges = np.histogram(light, 128, (low, high))
    at = int(ndi.gaussian_filter1d(counts.astype(float), 2).argmax())
    usual = float(edges[at] + edges[at + 1]) / 2
    below = usual - dark - _DARK_SD * scene.noise
    return float(below / max(bright - usual, 1e-9)) if below > _SEEN * scene.noise else 0.0


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
