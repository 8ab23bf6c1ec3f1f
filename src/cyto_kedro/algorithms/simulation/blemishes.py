"""What a film shows besides its cells, and what it does not show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cyto_kedro.algorithms.simulation.params import Camera, Cells, Mishaps

_GHOST_STEP_UM = 0.3  # sd of a ghost's step per frame


@dataclass(frozen=True)
class Blemishes:
    """Ghosts and debris of the three channels, in µm on the periodic plane.

    `ghost` and `speck`: per channel the positions (n, 2) as (y, x) and the peaks (n,), as shares of
    a mean cell's brightness. `wander` (T, 2): how the ghosts have moved.
    """

    ghost: list[tuple[NDArray[np.float64], NDArray[np.float64]]]
    speck: list[tuple[NDArray[np.float64], NDArray[np.float64]]]
    wander: NDArray[np.float64]

    def light(
        self, frame: int, camera: Camera, moved_um: NDArray[np.float64], plane: Plane
    ) -> list[NDArray[np.float32]] | None:
        """Their light in `frame` in three (Y, X), shares of a mean cell's; None if there are none."""
        if not (camera.ghosts or camera.debris):
            return None
        return [
            _spots(position + self.wander[frame], peak, camera.ghost_um, moved_um, plane)
            + _spots(at, bright, camera.debris_um, moved_um, plane)
            for (position, peak), (at, bright) in zip(self.ghost, self.speck, strict=True)
        ]


@dataclass(frozen=True)
class Plane:
    """The periodic plane `side_um` wide, of which the view starts at `margin_um`."""

    side_um: float
    margin_um: float
    size_px: int
    pixel_size_um: float


def draw_blemishes(
    rng: np.random.Generator, camera: Camera, plane: Plane, n_frames: int
) -> Blemishes:
    """Draw where they are and how bright."""
    share = (plane.side_um / (plane.size_px * plane.pixel_size_um)) ** 2

    def spots(n: int, peak: float) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        counts = rng.poisson(n * share, 3)
        return [
            (rng.random((k, 2)) * plane.side_um, peak * np.exp(0.4 * rng.standard_normal(k)))
            for k in counts.tolist()
        ]

    return Blemishes(
        spots(camera.ghosts, camera.ghost_brightness),
        spots(camera.debris, camera.debris_brightness),
        _GHOST_STEP_UM * rng.standard_normal((n_frames, 2)).cumsum(axis=0),
    )


def _spots(
    position_um: NDArray[np.float64],
    peak: NDArray[np.float64],
    sigma_um: float,
    moved_um: NDArray[np.float64],
    plane: Plane,
) -> NDArray[np.float32]:
    """(Y, X) Gaussian spots of height `peak`."""
    from scipy.ndimage import gaussian_filter

    sigma = sigma_um / plane.pixel_size_um
    rim = int(np.ceil(3 * sigma))  # spots just outside of the view shine into it
    at = np.mod(position_um + moved_um, plane.side_um) - plane.margin_um
    y, x = np.rint(at / plane.pixel_size_um - 0.5).astype(int).T + rim
    size = plane.size_px + 2 * rim
    image = np.zeros((size, size), np.float32)
    inside = (y >= 0) & (x >= 0) & (y < size) & (x < size)
    np.add.at(image, (y[inside], x[inside]), 2 * np.pi * sigma**2 * peak[inside])
    if inside.any():
        image = gaussian_filter(image, sigma, mode="constant", truncate=3.0)
    return image[rim : size - rim, rim : size - rim]


def filmed(size: int, unfilmed_px: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """(Y, X), False in the margins that were not filmed."""
    top, bottom, left, right = unfilmed_px
    seen = np.zeros((size, size), bool)
    seen[top : size - bottom, left : size - right] = True
    return seen


def point_spread_um(camera: Camera, minute: float) -> float:
    """The point spread's sd when the focus is off: it swings to its worst and back."""
    off = camera.defocus_um * np.sin(np.pi * minute / camera.defocus_min)
    return float(np.hypot(camera.psf_sigma_um, off))


def draw_hidden(
    rng: np.random.Generator,
    kinds: tuple[Cells, ...],
    counts: tuple[int, ...],
    time_min: NDArray[np.float64],
    mishaps: Mishaps,
) -> NDArray[np.bool_]:
    """(T, n): cells out of focus, and all cells in a dropped frame."""
    rate, mean = (
        np.repeat([float(getattr(kind, name)) for kind in kinds], counts)
        for name in ("hidden_per_h", "hidden_min")
    )
    hidden = np.zeros((len(time_min), len(rate)), bool)
    if rate.any():
        now = np.zeros(len(rate), bool)
        for frame, dt in enumerate(np.diff(time_min)):
            chance = rng.random(len(rate))
            leaves = chance < -np.expm1(-rate * dt / 60)
            now = np.where(now, chance < np.exp(-dt / mean), leaves)
            hidden[frame + 1] = now
    lost = [frame for frame in mishaps.dropped_frames if 0 <= frame < len(hidden)]
    hidden[lost] = True
    return hidden
