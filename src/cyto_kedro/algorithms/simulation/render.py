"""From outlines to masks and camera images, one frame at a time.

Each cell is drawn on its own small patch in a Python loop: the one place in the project where
cells are looped over, because patches differ in size and a film is simulated once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cyto_kedro.algorithms.simulation import outlines
from cyto_kedro.algorithms.simulation.params import Camera

MIN_VISIBLE_PX = 12  # fewest mask pixels of a cell in view
_N_WAVES = 8
_MARKER_CV = 0.2  # sd of the log of how much death dye a cell takes up


@dataclass(frozen=True)
class Look:
    """What stays with a cell: brightness (n,) in grey levels, and waves that make its texture.

    `waves` (n, K, 2) are wave vectors in units of 1 / radius, `phases` (n, K); `texture` (n,) is
    the relative sd; `uptake` (n,) scales the death dye, mean about 1; `clumps` (n,) is the sd of the
    log of bright clumps.
    """

    brightness: NDArray[np.float64]
    waves: NDArray[np.float64]
    phases: NDArray[np.float64]
    texture: NDArray[np.float64]
    uptake: NDArray[np.float64]
    clumps: NDArray[np.float64]


def draw_look(
    rng: np.random.Generator,
    brightness: NDArray[np.float64],
    cv: NDArray[np.float64],
    texture: NDArray[np.float64],
    clumps: NDArray[np.float64],
) -> Look:
    """Draw every cell's brightness and texture."""
    n = len(brightness)
    # Directions spread evenly: no stripes.
    angle = (np.arange(_N_WAVES) + rng.random((n, _N_WAVES))) * (np.pi / _N_WAVES)
    number = rng.uniform(2.0, 8.0, (n, _N_WAVES))
    return Look(
        brightness * np.exp(cv * rng.standard_normal(n)),
        number[..., None] * np.stack([np.sin(angle), np.cos(angle)], axis=-1),
        rng.random((n, _N_WAVES)) * 2 * np.pi,
        texture,
        np.exp(_MARKER_CV * rng.standard_normal(n)),
        clumps,
    )


@dataclass(frozen=True)
class Shapes:
    """The cells of a frame in pixels: centres (n, 2) as (y, x), radii (n,), coefs (n, 3)."""

    centre: NDArray[np.float64]
    radius: NDArray[np.float64]
    coefs: NDArray[np.complex128]


def draw(
    shapes: Shapes,
    look: Look,
    own_dye: NDArray[np.float64],
    marker: NDArray[np.float64],
    is_target: NDArray[np.bool_],
    size: int,
    filmed: NDArray[np.bool_] | None = None,
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.int64]]]:
    """Draw the cells of a frame, sharp and without noise.

    Parameters
    ----------
    own_dye, marker
        (n,) what is left of the cell's own dye, and the death dye taken up, 0 to 1.
    filmed
        (Y, X), False where no cell can be seen; None: nowhere.

    Returns
    -------
    light
        Effectors, targets, death dye: three (Y, X), the dye in units of a mean cell's brightness.
    index
        Effectors, targets: two (Y, X) holding 1 + the cell's index, 0 for background. A pixel
        belongs to a cell if its centre lies within the outline; where two outlines of one
        population overlap, to the one that is relatively nearer. Cells with fewer than
        `MIN_VISIBLE_PX` left in the view are not marked.
    """
    light = [np.zeros((size, size), np.float32) for _ in range(3)]
    index = [np.zeros((size, size), np.int64) for _ in range(2)]
    depth = [np.full((size, size), np.inf, np.float32) for _ in range(2)]
    far = outlines.reach(shapes.radius, shapes.coefs) + 1
    low = np.clip(np.floor(shapes.centre - far[:, None]), 0, size).astype(int)
    high = np.clip(np.ceil(shapes.centre + far[:, None]) + 1, 0, size).astype(int)
    for cell in np.flatnonzero((high > low).all(axis=1)).tolist():
        box = tuple(slice(low[cell, k], high[cell, k]) for k in (0, 1))
        dy = np.arange(low[cell, 0], high[cell, 0])[:, None] - shapes.centre[cell, 0]
        dx = np.arange(low[cell, 1], high[cell, 1])[None, :] - shapes.centre[cell, 1]
        z = dx + 1j * dy
        rho = np.abs(z)
        direction = (z / np.maximum(rho, 1e-9))[None]
        one = slice(cell, cell + 1)
        edge = outlines.radii(shapes.radius[one], shapes.coefs[one], direction)[0]
        relative = rho / edge
        cover = np.clip(edge - rho + 0.5, 0, 1)  # anti-aliasing: signed distance to the outline
        dome = cover * (0.4 + 0.6 * np.sqrt(np.clip(1 - relative**2, 0, 1)))
        kind = int(is_target[cell])
        inner = _texture(look, cell, dy, dx, shapes)
        light[kind][box] += look.brightness[cell] * own_dye[cell] * dome * inner
        if marker[cell] > 0:
            light[2][box] += look.uptake[cell] * marker[cell] * dome
        mine = (relative <= 1) & (relative < depth[kind][box])
        depth[kind][box][mine] = relative[mine]
        index[kind][box][mine] = cell + 1
    for marks in index:
        if filmed is not None:
            marks[~filmed] = 0
        count = np.bincount(marks.ravel(), minlength=len(far) + 1)
        small = count < MIN_VISIBLE_PX
        marks[small[marks]] = 0
    return light, index


def _texture(
    look: Look, cell: int, dy: NDArray, dx: NDArray, shapes: Shapes
) -> NDArray[np.float64]:
    """Relative brightness within a cell, mean about 1: a sum of plane waves fixed to it."""
    wave = look.waves[cell] / shapes.radius[cell]
    phase = (
        wave[:, 0, None, None] * dy + wave[:, 1, None, None] * dx + look.phases[cell, :, None, None]
    )
    total = np.cos(phase).sum(axis=0) * np.sqrt(2 / _N_WAVES)
    inner = np.clip(1 + look.texture[cell] * total, 0.1, None)
    clumps = look.clumps[cell]
    return inner * np.exp(clumps * (total - clumps / 2)) if clumps else inner


def illumination(size: int, unevenness: float) -> NDArray[np.float32]:
    """Relative light over the field (Y, X), 1 at its brightest point, off the centre."""
    y, x = np.mgrid[:size, :size] / max(size - 1, 1)
    away = (y - 0.45) ** 2 + (x - 0.55) ** 2
    return (1 - unevenness * away / away.max()).astype(np.float32)


def expose(
    light: list[NDArray[np.float32]],
    frame: int,
    camera: Camera,
    pixel_size_um: float,
    field: NDArray[np.float32],
    psf_sigma_um: float | None = None,
    besides: list[NDArray[np.float32]] | None = None,
) -> list[NDArray[np.float32]]:
    """Expected grey levels above the offset: effectors, targets, death (Y, X each).

    `psf_sigma_um` is the frame's, where the focus drifts; `besides` the light of what is no cell, in
    the three channels. Bleaching scales the dyes, not the medium's background:
    ``field * (background + exp(-rate * frame) * optics(light))``.
    """
    death = light[2] * np.float32(camera.death_brightness)
    halo = _blur(death, camera.spill_um / pixel_size_um) * np.float32(camera.spill)
    psf_sigma_um = camera.psf_sigma_um if psf_sigma_um is None else psf_sigma_um
    images = []
    for kind, (signal, rate) in enumerate(
        (
            (light[0], camera.bleach_effector),
            (light[1], camera.bleach_target),
            (death + halo, camera.bleach_death),
        )
    ):
        sharp = _blur(signal, psf_sigma_um / pixel_size_um)
        haze = _blur(signal, camera.haze_um / pixel_size_um) if camera.haze else sharp
        seen = (1 - camera.haze) * sharp + camera.haze * haze
        if besides is not None:
            seen = seen + besides[kind]
        images.append(seen * np.float32(np.exp(-rate * frame)))
    images[2] = images[2] + np.float32(camera.bleed_target_to_death) * images[1]
    return [field * (np.float32(camera.background) + image) for image in images]


def _blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(image, sigma, mode="nearest", truncate=3.0) if image.any() else image


def detect(
    rng: np.random.Generator, levels: NDArray[np.float32], camera: Camera
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Photon (Poisson) and read (normal) noise, offset, rounding and clipping."""
    # Rounded to thousandths of a photon: see `world`, on the last bits of floating point.
    photons = np.round(levels.astype(np.float64) * camera.photons_per_level, 3)
    noisy = rng.poisson(photons) / camera.photons_per_level + camera.offset
    noisy += camera.read_noise * rng.standard_normal(noisy.shape, dtype=np.float32)
    if camera.bit_depth == 8:
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return np.clip(np.rint(noisy * 257), 0, 65535).astype(np.uint16)
