"""Measures of an image that thresholds need: typical cell diameter, background and its noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from cyto_kedro.algorithms.preprocessing.denoise import noise_sd
from cyto_kedro.algorithms.preprocessing.parts import Part
from cyto_kedro.core import ndi
from cyto_kedro.core.ranks import Ranks

SMALLEST_DIAMETER_PX = 6.0
_PAIRWISE = 8  # fewer numbers are added one after the other by NumPy, in 20 times the time
_NOISE_PX = 2.0  # sd of the Gaussian that noise is measured after: that of neighbours may be alike
_SLOPE = 0.5  # of the image's range, and of the noise of a pixel
# sd of noise; noise of neighbouring pixels that are alike is taken for half of it
_STANDS_OUT = 12.0


def block_mean(image: np.ndarray, factor: int) -> np.ndarray:
    """Mean over blocks of `factor` x `factor` pixels; the edge is repeated to fill the last."""
    if factor == 1:
        return image
    height, width = image.shape
    padded = np.pad(image, ((0, -height % factor), (0, -width % factor)), mode="edge")
    if factor < _PAIRWISE and padded.dtype in (np.float32, np.float64):
        across = reduce(np.add, [padded[:, at::factor] for at in range(factor)])
        return np.asarray(reduce(np.add, [across[at::factor] for at in range(factor)]) / factor**2)
    rows, columns = padded.shape[0] // factor, padded.shape[1] // factor
    return padded.reshape(rows, factor, columns, factor).mean((1, 3))


def _upsample(coarse: np.ndarray, factor: int, shape: tuple[int, int]) -> np.ndarray:
    """Inverse of `block_mean`, linear between block centres, cut to `shape`."""
    for axis, size in enumerate(shape):
        last = coarse.shape[axis] - 1
        at = np.clip((np.arange(size) + 0.5) / factor - 0.5, 0, last)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, last)
        weight = (at - low).astype(np.float32)
        weight = weight[:, None] if axis == 0 else weight[None, :]
        coarse = coarse.take(low, axis) * (1 - weight) + coarse.take(high, axis) * weight
    return coarse


def wide_factor(sigma: float) -> int:
    """Side in pixels of the blocks of `wide_gaussian`: a power of 2, at most a quarter of `sigma`."""
    return 2 ** int(np.log2(max(sigma / 4, 1)))


def wide_gaussian(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian mean with a large `sigma` (pixels), on block means (`wide_factor`) and back."""
    factor = wide_factor(sigma)
    if factor == 1:
        return ndi.gaussian_filter(image, sigma)
    small = ndi.gaussian_filter(block_mean(image, factor), sigma / factor)
    return _upsample(small, factor, image.shape).astype(np.float32)


def pool(images: Sequence[np.ndarray]) -> np.ndarray:
    """The pixels of all `images` for statistics; a single one stays as it is."""
    return images[0] if len(images) == 1 else np.concatenate([each.ravel() for each in images])


def blob_diameter(windows: Sequence[Part]) -> float | None:
    """Typical diameter in pixels of the bright blobs of `windows`; None if there are none.

    Blobs are maxima over space and scale of the scale-normalised Laplacian of Gaussian (Lindeberg
    1998): a disc of diameter d answers most at sigma = d / (2 sqrt 2). The result is the median of
    the blobs' diameters, each weighted by area and squared contrast, so that neither fine texture
    nor a few bright specks decide it. Steps are a factor sqrt 2; scales up to a third of the image.
    """
    found = [_blobs(window) for window in windows]
    if not found:
        return None
    size, strength, _ = (np.concatenate(each) for each in zip(*found, strict=True))
    if not size.size:
        return None
    strong = strength >= 0.25 * np.percentile(strength, 99)
    size, strength = size[strong], strength[strong]
    order = np.argsort(size, kind="stable")
    cumulated = np.cumsum((strength[order].astype(float) * size[order]) ** 2)
    return float(size[order][np.searchsorted(cumulated, cumulated[-1] / 2)])


def stand_out(windows: Sequence[Part]) -> bool:
    """Whether a blob of `windows` stands out of the noise: a frame without cells has none.

    The scale-normalised Laplacian of white noise has sd ``sqrt(2) s``, where s is what the Gaussian of
    its own scale leaves of the noise; s is taken at 2 pixels (`smoothed_noise`) and falls with the
    scale. A surface of second order is taken off, since slopes have maxima at the image's edge; maxima
    near the edge, where there is nothing to compare with, do not count either.
    """
    noise = float(np.median([smoothed_noise(each, _NOISE_PX, np.inf) for each in windows]))
    for part in windows:
        size, strength, edge = _blobs(Part(without_slope(part.image), part.filmed))
        sigma = size / 2 / np.sqrt(2)
        least = _STANDS_OUT * np.sqrt(2) * noise * _NOISE_PX / np.maximum(sigma, _NOISE_PX)
        if ((strength > least) & (strength > 0) & (edge > sigma)).any():
            return True
    return False


def without_slope(image: np.ndarray) -> np.ndarray:
    """`image` less a surface of second order: uneven light is no cell. What rounding leaves is 0."""
    level = image - _surface(block_mean(image, 8), image.shape, 8, 0)
    level[np.abs(level) < 1e-6 * float(np.abs(image).max())] = 0
    return np.asarray(level)


def _blobs(part: Part) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Diameter, response, distance from the image's edge (pixels) of all filmed maxima over space and
    scale."""
    image = part.image
    largest = min(image.shape) / 3
    if largest < SMALLEST_DIAMETER_PX:
        return np.empty(0), np.empty(0, np.float32), np.empty(0)
    count = int(np.ceil(2 * np.log2(largest / SMALLEST_DIAMETER_PX))) + 1
    diameters = np.geomspace(SMALLEST_DIAMETER_PX, largest, count)
    responses = []
    for diameter in diameters:
        sigma = diameter / 2 / np.sqrt(2)
        factor = max(1, int(sigma // 1.5))  # a blob this wide is as well seen in a smaller image
        small = block_mean(image, factor)
        log = -ndi.gaussian_laplace(small, sigma / factor, mode="nearest") * (sigma / factor) ** 2
        responses.append((factor, log, ndi.maximum_filter(log, 3)))
    sizes, strengths, edges = [], [], []
    for i, (factor, log, local) in enumerate(responses[:-1]):
        y, x = np.nonzero((log == local) & (log > 0))
        value = log[y, x]
        best = np.ones(value.size, bool)
        for j in (i - 1, i + 1):
            if j < 0:
                continue
            other_factor, _, other = responses[j]
            row = np.minimum(((y + 0.5) * factor / other_factor).astype(int), other.shape[0] - 1)
            col = np.minimum(((x + 0.5) * factor / other_factor).astype(int), other.shape[1] - 1)
            best &= value >= other[row, col]
        if part.filmed is not None:
            row, col = (
                np.minimum(((at + 0.5) * factor).astype(int), n - 1)
                for at, n in zip((y, x), image.shape, strict=True)
            )
            best &= part.filmed[row, col]
        sizes.append(np.full(int(best.sum()), diameters[i]))
        strengths.append(value[best])
        rows, columns = log.shape
        inside = np.minimum(np.minimum(y, rows - 1 - y), np.minimum(x, columns - 1 - x))
        edges.append((inside[best] + 0.5) * factor)
    return np.concatenate(sizes), np.concatenate(strengths), np.concatenate(edges)


def flatten_factor(diameter: float) -> int:
    """Side in pixels of the blocks that `flatten` averages."""
    return max(1, int(diameter / 5))


def flatten(image: np.ndarray, diameter: float) -> np.ndarray:
    """Subtract the slowly varying background: a grey opening over four cell diameters.

    Computed on block means of a fifth of a diameter, so that noise does not pull the opening down
    and the cost does not grow with the cells. At the bright edge of a slope an opening finds nothing
    to lean on, and would leave a band that looks like cells: where a surface of second order, fitted to
    the opening away from the edges, is half of the image's range, it is taken off first.
    """
    factor = flatten_factor(diameter)
    size = max(3, int(4 * diameter / factor) | 1)
    coarse = block_mean(image, factor)
    rounding = 1e-6 * float(np.abs(image).max())
    low, high = np.percentile(coarse, (0.5, 99.5))
    least = max(_SLOPE * (high - low), rounding)
    opened = _opening(coarse, size)
    if _at_most(opened, image.shape, factor, size // 2) > least:  # few frames have a slope
        surface = _surface(opened, image.shape, factor, size // 2)
        steep = float(np.ptp(surface))
        if steep > least and steep > _SLOPE * noise_sd(image):
            image = image - surface
            image[np.abs(image) < rounding] = 0
            coarse = block_mean(image, factor)
    low = _opening(ndi.gaussian_filter(coarse, 1), size)
    low = ndi.gaussian_filter(low, size / 4, mode="nearest")
    return (image - _upsample(low, factor, image.shape)).astype(np.float32)


def _opening(coarse: np.ndarray, size: int) -> np.ndarray:
    low = ndi.minimum_filter(coarse, size, mode="nearest")
    return np.asarray(ndi.maximum_filter(low, size, mode="nearest"))


def _inner(shape: tuple[int, ...], margin: int) -> tuple[tuple[slice, ...], bool]:
    """Blocks that a surface is fitted to, `margin` from the edges; whether it is curved: it is a plane
    where less than half of a side is left."""
    inner = tuple(slice(min(margin, n // 3), n - min(margin, n // 3)) for n in shape)
    return inner, all(n > 4 * margin for n in shape)


def _at_most(low: np.ndarray, shape: tuple[int, ...], factor: int, margin: int) -> float:
    """More than `_surface` rises and falls: of normal equations, 20 times as fast as least squares."""
    inner, curved = _inner(low.shape, margin)
    powers = (0, 1, 0, 2, 0, 1), (0, 0, 1, 0, 2, 1)  # of y and x, by term
    terms = np.array(powers)[:, : 6 if curved else 3]
    by_y, by_x = (
        side[part] ** np.arange(5)[:, None]
        for side, part in zip(_sides(low.shape, shape, factor), inner, strict=True)
    )
    sums = by_y.sum(1)[terms[0][:, None] + terms[0]] * by_x.sum(1)[terms[1][:, None] + terms[1]]
    known = (by_y[:3] @ low[inner].astype(float) @ by_x[:3].T)[tuple(terms)]
    bent = np.abs(np.linalg.lstsq(sums, known)[0])[1:]
    return 1.001 * float(bent @ np.array([2, 2, 1, 1, 2])[: len(bent)])


def _surface(low: np.ndarray, shape: tuple[int, ...], factor: int, margin: int) -> np.ndarray:
    """Least-squares surface of second order through `low`, blocks of an image of `shape`."""
    inner, curved = _inner(low.shape, margin)
    known = _terms(low.shape, shape, factor, curved)[(slice(None), *inner)].reshape(
        6 if curved else 3, -1
    )
    found, *_ = np.linalg.lstsq(known.T, low[inner].ravel().astype(float), rcond=None)
    y, x = _sides(shape, shape, 1)
    level, along_y, along_x, *bent = found
    by_y, by_x = level + along_y * y, along_x * x
    if not bent:
        return (by_y[:, None] + by_x).astype(np.float32)
    by_y, by_x = by_y + bent[0] * y * y, by_x + bent[1] * x * x
    return (by_y[:, None] + (by_x + (bent[2] * y)[:, None] * x)).astype(np.float32)


def _terms(
    shape: tuple[int, ...], of_image: tuple[int, ...], factor: int, curved: bool
) -> np.ndarray:
    """1, y, x and, of a curved surface, their products: (3 or 6, Y, X) for blocks of `factor` pixels.

    y and x go from -1 to 1 over the image.
    """
    y, x = _sides(shape, of_image, factor)
    y, x = np.broadcast_arrays(y[:, None], x[None, :])
    terms = [np.ones(shape), y, x]
    return np.stack(terms + ([y * y, x * x, x * y] if curved else []))


def _sides(
    shape: tuple[int, ...], of_image: tuple[int, ...], factor: int
) -> tuple[np.ndarray, np.ndarray]:
    """y of the rows and x of the columns of `_terms`."""
    rows, columns = (
        (np.arange(n) + 0.5) * factor * 2 / m - 1 for n, m in zip(shape, of_image, strict=True)
    )
    return rows, columns


def background_level(light: Ranks, threshold: float) -> tuple[float, float]:
    """Background level and the sd of its noise, from the pixels of `light` at or below `threshold`.

    The level is the mode of those pixels. The sd is 1.4826 times the median distance of the pixels
    below the mode: cells and blur only add light, so the lower side is noise alone. In a frame of
    pure noise the mode lies at the threshold and the sd comes out right all the same.
    """
    start, stop = light.percentile((0.5, 100), light.at_most(threshold))
    if stop <= start:
        return float(start), 0.0
    counts, edges = light.histogram(64, (start, stop))
    smooth = ndi.gaussian_filter1d(counts.astype(float), 2, mode="nearest")
    i = int(smooth.argmax())
    level = float(edges[i] + edges[i + 1]) / 2
    below = light.at_most(level)
    return level, 1.4826 * light.median(below, lambda low: level - low) if below else 0.0


def smoothed_noise(part: Part, sigma: float, threshold: float, spread: int = 1) -> float:
    """Sd of the noise that a Gaussian of `sigma` pixels leaves of that in `part`.

    Of filmed pixels at or below `threshold`, the median absolute second difference along both axes
    (Immerkaer 1996, doi:10.1006/cviu.1996.0060): slow background, haze and most edges do not count.
    Taken on block means near `sigma`, since noise of neighbouring pixels may be correlated; of
    `spread` times that width, where it is so further. White noise of sd s keeps
    s / (2 sqrt(pi) sigma).
    """
    factor = max(1, int(sigma)) * spread
    fine = block_mean(part.image, factor)
    rough = ndi.second_differences(fine)[1:-1, 1:-1] / 6
    chosen = fine[1:-1, 1:-1] <= threshold
    if part.filmed is not None:
        shown = block_mean(part.filmed.astype(np.float32), factor) == 1
        chosen &= ndi.minimum_filter(shown, 3)[1:-1, 1:-1]
    dark = rough[chosen]
    if not dark.size:
        return 0.0
    return 1.4826 * float(np.median(np.abs(dark))) * factor / (2 * np.pi**0.5 * sigma)
