"""What an image says of the masks that were made from it: measures of cells, without truth.

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
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from cyto_kedro.algorithms.preprocessing.parts import Part, repeated
from cyto_kedro.algorithms.segmentation.nuclei import ellipse_fill, moments, numbered
from cyto_kedro.algorithms.segmentation.packing import depth as depth_of
from cyto_kedro.algorithms.segmentation.scale import (
    background_level,
    block_mean,
    smoothed_noise,
    without_slope,
)
from cyto_kedro.algorithms.tabulation.masks import compact
from cyto_kedro.core import ndi
from cyto_kedro.core.ranks import Ranks

_FINE_PX = 20  # diameter of cells in the image that is measured in, up to twice that
_GUESS_PX = 20.0  # where there is no mask
_SMOOTH = 0.05  # sigma of the Gaussian, in diameters
_BINS = np.arange(-0.5, 0.55, 0.05)  # distance from the outline, in diameters
_LEAST_NOISE = 0.003  # of the range of the image: 8 bits, or a background cut to one value
SEEN = 5.0  # sd of the noise
_TABLE_SIZE = 1 << 20  # labels up to here are numbered by a table of all
_PIECE = 0.15  # of a typical cell's area: less is no missed cell

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Scene:
    """A frame and its masks as they are measured, in block means; lengths in blocks."""

    smooth: np.ndarray  # (Y, X)
    number: np.ndarray  # (Y, X) int32: 0 for background, cells from 1
    shown: np.ndarray  # (Y, X) bool: was filmed
    light: Ranks  # of what was filmed of `smooth`; 0 where nothing was
    noise: float  # its sd in `smooth`
    level: float  # of the background
    threshold: float  # Otsu's
    diameter: float  # of the cells, half of their area in larger ones
    area: np.ndarray  # (n + 1,) of the numbers
    sigma: float  # of the Gaussian that `smooth` is by
    n_labels: int  # of the whole image: of them small ones are missing in block means

    @property
    def count(self) -> int:
        """Cells."""
        return len(self.area) - 1

    @property
    def floor(self) -> float:
        """Least light that stands out of the noise."""
        return self.level + SEEN * self.noise

    @property
    def least_piece(self) -> float:
        """Area of the least light that is a cell."""
        typical = np.median(self.area[1:]) if self.count else np.pi / 4 * self.diameter**2
        return _PIECE * float(typical)

    @classmethod
    def of(cls, image: np.ndarray, label: np.ndarray, shown: np.ndarray | None = None) -> Scene:
        """Of an image and its labels (Y, X); `shown` says which pixels were filmed (None: all)."""
        number = _numbered(label)
        diameter = _typical(np.bincount(number.ravel())[1:])
        n_labels = int(number.max(initial=0))
        factor = max(1, int(diameter / _FINE_PX))
        if min(label.shape) < 4 * factor:
            factor = 1
        diameter /= factor
        height, width = (n // factor * factor for n in image.shape)
        fine = block_mean(repeated(image, shown)[:height, :width], factor)
        if not n_labels:
            fine = without_slope(fine)
        number = number[factor // 2 : height : factor, factor // 2 : width : factor]
        if shown is None:
            seen = np.ones(fine.shape, bool)
        else:
            seen = block_mean(shown[:height, :width].astype(np.float32), factor) == 1
            number = np.where(seen, number, 0)
        if shown is not None or factor > 1:
            number = numbered(number)
        sigma = max(_SMOOTH * diameter, 0.7)
        smooth = ndi.gaussian_filter(fine, sigma)
        light = Ranks(smooth[seen] if seen.any() else np.zeros(1, np.float32))
        low, high = light.percentile((1, 99.8))
        threshold = light.otsu()
        level, _ = background_level(light, threshold)
        noise = smoothed_noise(Part(fine, seen), sigma, threshold)
        noise = max(noise, _LEAST_NOISE * float(high - low), 1e-9)
        area = np.bincount(number.ravel(), minlength=1).astype(float)
        return cls(
            *(smooth, number, seen, light, noise, level, threshold, diameter, area, sigma, n_labels)
        )


def _numbered(label: np.ndarray) -> np.ndarray:
    """Cells (Y, X) int32 numbered from 1 in the order of their labels, which may be of any size."""
    if label.max(initial=0) >= _TABLE_SIZE:
        label = compact(np.concatenate([[0], label.ravel()]))[1][1:].reshape(label.shape)
    return numbered(label)


def _typical(sizes: np.ndarray) -> float:
    """Diameter such that half of the masks' area is in larger ones."""
    if not sizes.size:
        return _GUESS_PX
    sizes = np.sort(sizes)
    middle = sizes[np.searchsorted(np.cumsum(sizes), sizes.sum() / 2)]
    return float(2 * np.sqrt(middle / np.pi))


def cell_evidence(scene: Scene) -> Columns:
    """Measures of each cell, (n,) float64; see the module."""
    smooth, n = scene.smooth.ravel(), scene.count + 1
    own = 2 * np.sqrt(np.maximum(scene.area, 1) / np.pi)
    outline = _Outline.of(scene.number)
    within = scene.number > 0
    depth = depth_of(within & ~(outline.free | outline.seam)) + 0.5
    number, inside = scene.number.ravel(), np.flatnonzero(within)
    cells, sunk = number[inside], -depth.ravel()[inside] / own[number[inside]]
    deep = sunk < -0.15
    # signed distance from the outline, in diameters, of what is near it
    near, at, place = ndi.nearest(within, 0.5 * float(own[1:].max()) + 0.5)
    cell = number[place]
    at = np.where(number[near] > 0, -depth.ravel()[near], at - 0.5) / own[cell]
    chosen = scene.shown.ravel()[near] & (np.abs(at) < 0.5)
    cell, at, light = cell[chosen], at[chosen], smooth[near[chosen]]

    def zone(low: float, high: float) -> np.ndarray:
        chosen = (at > low) & (at <= high)
        return _mean(cell[chosen], light[chosen], n)

    mean = _mean(cells, smooth[inside], n)
    core = _mean(cells[deep], smooth[inside[deep]], n)
    far = zone(0.15, 0.4)
    far = np.where(np.isnan(far), scene.level, far)
    top = np.fmax(core, mean)
    rise = np.maximum(top - far, scene.noise)
    inner, outer = zone(-0.12, 0), zone(0, 0.12)
    outer = np.where(np.isnan(outer), mean, outer)
    offset, spread, steepest = _fall(cell, at, light, n)
    edge = np.flatnonzero(outline.free & scene.shown)
    steep = _mean(number[edge], np.hypot(*_gradient(scene.smooth, edge)), n)
    slope = np.hypot(*_gradient(scene.smooth, inside[deep]))
    inner_slope = _mean(cells[deep], slope, n) / np.maximum(steep, scene.noise / 2)
    sums = _sums(scene.number, n)
    found = {
        "contrast": np.log1p(np.maximum(mean - far, 0) / scene.noise),
        "edge": np.clip((inner - outer) / rise, -1, 1),
        "aligned": _aligned(scene, edge),
        "half_height": _half_height(cell, at, light, far, top, cells[sunk <= -0.5], n),
        "offset": np.abs(offset),
        "spread": spread,
        "steepest": np.clip(steepest / rise, 0, 1),
        "raised": np.clip((far - scene.level) / np.maximum(top - scene.level, scene.noise), 0, 1),
        "inner_slope": np.where(np.isnan(inner_slope), 0.5, np.clip(inner_slope, 0, 3)),
        **_seams(scene, outline, sums, mean, rise),
        **_shapes(scene, sums, inside[deep], depth),
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
    n: int,
) -> np.ndarray:
    """IoU of each mask and what is above half of its height within half a diameter of it.

    `deepest`: number of each pixel that is further inside.
    """
    above = light > ((far + top) / 2)[cell]
    mine = at <= 0
    sure = np.bincount(deepest, minlength=n)
    both = np.bincount(cell[mine & above], minlength=n) + sure
    either = np.bincount(cell[mine | above], minlength=n) + sure
    return both / np.maximum(either, 1)


def _gradient(image: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`np.gradient` of `image` (Y, X) along y and x, at the flat index of some `pixels`."""
    values, found = image.ravel(), []
    for at, size, step in zip(
        np.divmod(pixels, image.shape[1]), image.shape, (image.shape[1], 1), strict=True
    ):
        before, after = (at > 0).astype(np.int64), (at < size - 1).astype(np.int64)
        rise = values[pixels + after * step] - values[pixels - before * step]
        found.append(rise / (before + after).astype(image.dtype))
    return found[0], found[1]


def _aligned(scene: Scene, edge: np.ndarray) -> np.ndarray:
    """Share of the slope on the free outline, pixels `edge`, that points inwards, -1 to 1."""
    mask, n = (scene.number > 0).astype(np.float32), scene.count + 1
    gy, gx = _gradient(scene.smooth, edge)
    ny, nx = _gradient(ndi.gaussian_filter(mask, 1.5), edge)
    along = (gy * ny + gx * nx) / np.maximum(np.hypot(ny, nx), 1e-6)
    cell = scene.number.ravel()[edge]
    inwards = np.bincount(cell, along, n)
    slope = np.bincount(cell, np.hypot(gy, gx), n)
    return np.divide(inwards, slope, out=np.zeros(n), where=slope > 0)


def _seams(
    scene: Scene,
    outline: _Outline,
    sums: Sequence[np.ndarray],
    mean: np.ndarray,
    rise: np.ndarray,
) -> Columns:
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


def _shapes(
    scene: Scene, sums: Sequence[np.ndarray], deep: np.ndarray, depth: np.ndarray
) -> Columns:
    """Fill of the ellipse, size among the others (in doublings), peaks of light, lobes of shape.

    `deep`: flat index of pixels well inside. `depth`: (Y, X) distance from the outline.
    """
    number, n = scene.number.ravel(), scene.count + 1
    size = np.log2(np.maximum(scene.area, 1) / np.median(scene.area[1:]))
    wide = ndi.gaussian_filter(scene.smooth, 0.15 * scene.diameter)
    reach = max(3, int(0.35 * scene.diameter) | 1) // 2
    peak = _tops(wide, deep, reach)
    round_ = ndi.gaussian_filter(depth, 0.07 * scene.diameter)
    inside = np.flatnonzero(number)
    deepest = np.zeros(n)
    np.maximum.at(deepest, number[inside], round_.ravel()[inside])
    lobe = _tops(round_, inside[round_.ravel()[inside] > 0.6 * deepest[number[inside]]], reach)
    return {
        "fill": np.clip(ellipse_fill(*sums), 0, 1),
        "small": np.clip(-size, 0, 4),
        "large": np.clip(size, 0, 4),
        "peaks": np.maximum(np.bincount(number[peak], minlength=n) - 1.0, 0),
        "lobes": np.maximum(np.bincount(number[lobe], minlength=n) - 1.0, 0),
    }


def _tops(image: np.ndarray, pixels: np.ndarray, reach: int) -> np.ndarray:
    """Those of `pixels`, flat, of which none within `reach` pixels along y and x is brighter."""
    height, width = image.shape
    values = image.ravel()
    steps = range(-reach, reach + 1)
    for dy, dx in sorted(product(steps, steps), key=lambda step: max(map(abs, step))):
        y, x = np.divmod(pixels, width)
        y, x = np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)
        pixels = pixels[values[y * width + x] <= values[pixels]]
    return pixels


def _sums(number: np.ndarray, n: int) -> list[np.ndarray]:
    """Area and moments of each number, (n,) each, as `ellipse_fill` takes them."""
    mask = number > 0
    which = number[mask]
    area = np.bincount(which, minlength=n).astype(float)
    return [area, *(np.bincount(which, each, n) for each in moments(mask))]
