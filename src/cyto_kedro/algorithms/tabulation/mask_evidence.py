"""What an image says of its masks: measures of every cell and frame, without any truth.

All lengths are in cell diameters, all brightnesses in heights of cells or in noise, so that one set of
limits serves every magnification and camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from cyto_kedro.algorithms.preprocessing.parts import Part
from cyto_kedro.algorithms.segmentation.nuclei import ellipse_fill
from cyto_kedro.algorithms.segmentation.scale import (
    background_level,
    blob_diameter,
    block_mean,
    smoothed_noise,
)

_FINE_PX = 20  # diameter of a cell in the image that is measured in
_SMOOTH = 0.05  # sigma of the Gaussian, in diameters
_BINS = np.arange(-0.5, 0.55, 0.05)  # distance from the outline, in diameters of the cell


@dataclass(frozen=True)
class Scene:
    """A frame as it is measured: block means, so that a cell is 20 to 40 pixels wide."""

    smooth: np.ndarray
    number: np.ndarray  # 0: background; cells from 1
    count: int
    shown: np.ndarray
    noise: float
    level: float
    threshold: float
    diameter: float
    area: np.ndarray


def scene_of(image: np.ndarray, label: np.ndarray, shown: np.ndarray | None) -> Scene:
    from skimage.filters import threshold_otsu

    sizes = np.bincount(label.ravel())[1:]
    sizes = np.sort(sizes[sizes > 0])
    if sizes.size:
        middle = sizes[np.searchsorted(np.cumsum(sizes), sizes.sum() / 2)]
        diameter = 2 * np.sqrt(middle / np.pi)
    else:
        diameter = blob_diameter([Part(image, shown)]) or 20.0
    factor = max(1, int(diameter / _FINE_PX))
    height, width = (n // factor * factor for n in image.shape)
    fine = block_mean(image[:height, :width], factor)
    half = factor // 2
    _, number = np.unique(label[half:height:factor, half:width:factor], return_inverse=True)
    number = number.reshape(fine.shape)
    if number.size and (label[half:height:factor, half:width:factor] > 0).all():
        number = number + 1
    number = number.astype(np.int32)
    seen = (
        np.ones(fine.shape, bool)
        if shown is None
        else block_mean(shown[:height, :width].astype(np.float32), factor) == 1
    )
    number[~seen] = 0
    diameter /= factor
    sigma = max(_SMOOTH * diameter, 0.7)
    smooth = ndi.gaussian_filter(fine, sigma)
    values = smooth[seen]
    spread = float(np.ptp(np.percentile(values, (1, 99.8)))) if values.size else 0.0
    threshold = float(threshold_otsu(values)) if spread > 0 else float(values.max(initial=0))
    level, _ = background_level(values, threshold) if values.size else (0.0, 0.0)
    noise = smoothed_noise(Part(fine, seen), sigma, threshold)
    noise = max(noise, 0.003 * spread, 1e-9)
    count = int(number.max(initial=0))
    area = np.bincount(number.ravel(), minlength=count + 1).astype(float)
    return Scene(smooth, number, count, seen, noise, level, threshold, diameter, area)


def evidence(
    image: np.ndarray, label: np.ndarray, shown: np.ndarray | None = None
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    scene = scene_of(np.asarray(image, np.float32), label, shown)
    cells = cell_evidence(scene) if scene.count else {}
    return cells, frame_evidence(scene, cells)


def _mean(number: np.ndarray, value: np.ndarray, count: int) -> np.ndarray:
    """Mean of `value` over the pixels of each number; NaN for those without any."""
    n = np.bincount(number, minlength=count)
    total = np.bincount(number, value, count)
    return np.divide(total, n, out=np.full(count, np.nan), where=n > 0)


def cell_evidence(scene: Scene) -> dict[str, np.ndarray]:
    number, smooth, n = scene.number, scene.smooth, scene.count + 1
    height, width = number.shape
    own = 2 * np.sqrt(np.maximum(scene.area, 1) / np.pi)
    # pixels beside another number
    padded = np.pad(number, 1, mode="edge")
    beside = [padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]]
    free = np.zeros(number.shape, bool)
    seam = np.zeros(number.shape, bool)
    for other in beside:
        free |= (number > 0) & (other == 0)
        seam |= (number > 0) & (other > 0) & (other != number)
    line = free | seam
    depth = ndi.distance_transform_edt((number > 0) & ~line) + 0.5
    outside, (row, column) = ndi.distance_transform_edt(number == 0, return_indices=True)
    nearest = number[row, column]
    away = np.where(number > 0, -depth, outside - 0.5) / own[nearest]
    near = scene.shown & (np.abs(away) < 0.5)
    at, s, v = nearest[near], away[near], smooth[near]
    out: dict[str, np.ndarray] = {}

    def zone(low: float, high: float) -> np.ndarray:
        inside = (s > low) & (s <= high)
        return _mean(at[inside], v[inside], n)

    inner, outer, far = zone(-0.12, 0), zone(0, 0.12), zone(0.15, 0.4)
    within = number > 0
    mean = _mean(number[within], smooth[within], n)
    deep = within & (away < -0.15)
    core = _mean(number[deep], smooth[deep], n)
    core = np.where(np.isnan(core), mean, core)
    outer = np.where(np.isnan(outer), mean, outer)
    far = np.where(np.isnan(far), scene.level, far)
    top = np.fmax(core, mean)
    rise = np.maximum(top - far, scene.noise)
    out["cnr"] = np.log1p(np.maximum(mean - far, 0) / scene.noise)
    out["edge"] = np.clip((inner - outer) / rise, -1, 1)
    out["raised"] = np.clip((far - scene.level) / np.maximum(top - scene.level, scene.noise), 0, 1)
    # profile
    b = np.digitize(s, _BINS) - 1
    nb = len(_BINS) - 1
    profile = _mean(at * nb + b, v, n * nb).reshape(n, nb)
    drop = np.maximum(profile[:, :-1] - profile[:, 1:], 0)
    drop = np.nan_to_num(drop)
    total = drop.sum(1)
    middle = _BINS[1:-1]
    offset = np.divide(drop @ middle, total, out=np.zeros(n), where=total > 0)
    out["offset"] = offset
    out["spread"] = np.sqrt(np.divide(drop @ middle**2, total, out=np.zeros(n), where=total > 0))
    # own half level set within reach
    half = (far + 0.5 * (top - far))[at]
    above = v > half
    mine = s <= 0
    both = np.bincount(at[mine & above], minlength=n)
    either = np.bincount(at[mine | above], minlength=n)
    deepest = np.bincount(number[within & ~near], minlength=n)
    out["half_iou"] = (both + deepest) / np.maximum(either + deepest, 1)
    # gradient
    gy, gx = np.gradient(smooth)
    strength = np.hypot(gy, gx)
    sheet = ndi.gaussian_filter(within.astype(np.float32), 1.5)
    ny, nx = np.gradient(sheet)
    norm = np.maximum(np.hypot(ny, nx), 1e-6)
    along = (gy * ny + gx * nx) / norm
    edge = free & scene.shown
    aligned = np.bincount(number[edge], along[edge], n)
    whole = np.bincount(number[edge], strength[edge], n)
    out["aligned"] = np.divide(aligned, whole, out=np.zeros(n), where=whole > 0)
    inner_slope = _mean(number[deep], strength[deep], n)
    edge_slope = _mean(number[edge], strength[edge], n)
    out["inner_slope"] = np.nan_to_num(
        np.clip(inner_slope / np.maximum(edge_slope, scene.noise / 2), 0, 3), nan=0.5
    )
    # seams
    outline = np.maximum(np.bincount(number[line], minlength=n), 1)
    out["contact"] = np.bincount(number[seam], minlength=n) / outline
    seam_level = _mean(number[seam], smooth[seam], n)
    dip = np.nan_to_num((mean - seam_level) / rise, nan=0.5)
    out["seam_flat"] = out["contact"] * np.clip(1 - dip / 0.3, 0, 1)
    sums = _moments(number, n)
    fill = ellipse_fill(sums[0], *sums[1:])
    out["fill"] = np.clip(fill, 0, 1)
    out["union_gain"] = _union_gain(number, beside, sums, fill, n)
    typical = np.median(scene.area[1:])
    out["log_size"] = np.log2(np.maximum(scene.area, 1) / typical)
    wide = ndi.gaussian_filter(smooth, 0.15 * scene.diameter)
    reach = max(3, int(0.35 * scene.diameter) | 1)
    peak = (wide == ndi.maximum_filter(wide, reach)) & deep
    out["peaks"] = np.bincount(number[peak], minlength=n).astype(float)
    tops = top - far
    out["height"] = np.clip(tops / max(np.percentile(tops[1:], 75), scene.noise), 0, 2)
    border = np.zeros(n)
    for rim in (number[0], number[-1], number[:, 0], number[:, -1]):
        border[rim] = 1
    out["border"] = border
    inside_ref = within & (smooth > scene.threshold)
    out["in_ref"] = np.bincount(number[inside_ref], minlength=n) / np.maximum(scene.area, 1)
    out["area"] = scene.area
    return {k: np.nan_to_num(np.asarray(x, float)[1:]) for k, x in out.items()} | {
        "top": top[1:], "far": far[1:]
    }


def _moments(number: np.ndarray, n: int) -> list[np.ndarray]:
    y, x = np.nonzero(number)
    k = number[y, x]
    y, x = y - number.shape[0] / 2, x - number.shape[1] / 2
    return [
        np.bincount(k, w, n) for w in (np.ones(len(k)), y, x, y * y, x * x, y * x)
    ]


def _union_gain(number, beside, sums, fill, n) -> np.ndarray:
    """How much more an ellipse the union with a neighbour is than the two parts, over long seams."""
    pairs = []
    for other in beside[1::2]:
        seam = (number > 0) & (other > 0) & (other != number)
        pairs.append(np.sort(np.stack([number[seam], other[seam]], 1), 1))
    pair = np.concatenate(pairs)
    gain = np.zeros(n)
    if not len(pair):
        return gain
    code, length = np.unique(pair[:, 0].astype(np.int64) * n + pair[:, 1], return_counts=True)
    a, b = np.divmod(code, n)
    union = ellipse_fill(*(each[a] + each[b] for each in sums))
    smaller = np.minimum(sums[0][a], sums[0][b])
    long = length / np.sqrt(smaller * 4 / np.pi)
    # two discs with a neck: union below parts; a cut disc: union above
    better = np.clip(union - 0.9, -0.1, 0.1) * 10 * np.clip(long / 0.7, 0, 1)
    np.maximum.at(gain, a, better)
    np.maximum.at(gain, b, better)
    return gain


def frame_evidence(scene: Scene, cells: dict[str, np.ndarray]) -> dict[str, float]:
    number, smooth = scene.number, scene.smooth
    masked = number > 0
    out: dict[str, float] = {"n": scene.count}
    out["cover"] = float(masked[scene.shown].mean()) if scene.shown.any() else 0.0
    area = float(masked.sum())
    typical = float(np.median(scene.area[1:])) if scene.count else np.pi / 4 * scene.diameter**2
    clear = scene.shown & (
        ndi.distance_transform_edt(~masked) > max(1.5, 0.1 * scene.diameter)
        if area else True
    )
    height = (
        float(np.median(cells["top"] - cells["far"])) if scene.count else scene.threshold - scene.level
    )
    for name, level in (
        ("half", scene.level + max(0.5 * height, 5 * scene.noise)),
        ("quarter", scene.level + max(0.25 * height, 5 * scene.noise)),
        ("noise", scene.level + 5 * scene.noise),
        ("otsu", max(scene.threshold, scene.level + 5 * scene.noise)),
    ):
        pieces, k = ndi.label((smooth > level) & clear)
        sizes = np.bincount(pieces.ravel(), minlength=k + 1)[1:]
        sizes = sizes[sizes >= 0.15 * typical]
        left = float(sizes.sum())
        out[f"missed_{name}"] = left / max(left + area, 1)
        out[f"missed_n_{name}"] = len(sizes) / max(len(sizes) + scene.count, 1)
    ref = scene.shown & (smooth > max(scene.threshold, scene.level + 5 * scene.noise))
    out["ref_dice"] = 2 * float((ref & masked).sum()) / max(float(ref.sum()) + area, 1)
    v = smooth[scene.shown]
    m = masked[scene.shown]
    total = float(v.var())

    def between(mask: np.ndarray) -> float:
        p = float(mask.mean())
        if p in (0.0, 1.0) or total == 0:
            return 0.0
        return p * (1 - p) * float(v[mask].mean() - v[~mask].mean()) ** 2 / total

    best = between(v > scene.threshold)
    out["eta"] = between(m)
    out["eta_ratio"] = min(between(m) / max(best, 1e-9), 1.2) if best else 0.0
    out["signal"] = float(np.log1p(max(np.percentile(v, 99) - scene.level, 0) / scene.noise))
    if scene.count:
        size = np.log2(scene.area[1:] / typical)
        out["size_mad"] = float(np.median(np.abs(size)))
        out["small"] = float((size < -2).mean())
        out["large"] = float((size > 1).mean())
        blob = blob_diameter([Part(smooth, scene.shown)])
        out["blob"] = float(np.log2(scene.diameter / blob)) if blob else 0.0
    return out
