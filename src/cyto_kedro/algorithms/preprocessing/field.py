"""Background: the light that is there without cells."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Data
from cyto_kedro.algorithms.preprocessing.base import State, Step
from cyto_kedro.algorithms.preprocessing.parts import Part
from cyto_kedro.core import ndi
from cyto_kedro.core.units import PositiveLength

_ROUNDS = 20  # of rejection, at the most


class Background(Step):
    """Subtract each frame's background; negative values are kept, so means are not biased.

    - ``rolling_ball``: a ball of `radius` rolled under the intensity surface (Sternberg 1983); for
      radii over 10 px on block minima, interpolated back, as ImageJ does.
    - ``morphological``: grey opening with a square of side 2 `radius` + 1.
    - ``gaussian``: Gaussian mean with sigma = `radius`. Cells darken their surroundings.
    - ``percentile``: one value per frame, `percentile` of its pixels.
    - ``polynomial``: a surface of `degree` in y and x fitted to the pixels that are not cells: those
      brighter than the surface by 2 robust standard deviations are left out and the fit repeated.

    For the first three, `radius` must exceed the radius of the largest cell; the last two need more
    background than cells.

    Examples
    --------
    >>> film = {"A": np.array([[[10.0, 11.0], [12.0, 30.0]]])}
    >>> Background(method="percentile", percentile=0)(image=film)["image"]["A"].tolist()
    [[[0.0, 1.0], [2.0, 20.0]]]
    """

    measurement_safe: ClassVar[bool] = True

    method: Literal["rolling_ball", "morphological", "gaussian", "percentile", "polynomial"] = (
        Field(default="morphological", description="how the background is found")
    )
    radius: PositiveLength | None = Field(default=None, description="radius")
    percentile: float = Field(default=10.0, ge=0, le=100, description="percentile of each frame")
    degree: int = Field(default=2, ge=1, le=5, description="degree of the polynomial surface")

    @model_validator(mode="after")
    def _radius_where_needed(self) -> Background:
        needed = self.method not in ("percentile", "polynomial")
        if needed != (self.radius is not None):
            what = "radius_um or radius_px" if needed else "no radius"
            raise ValueError(f"method={self.method!r} needs {what}")
        return self

    @property
    def quick(self) -> bool:
        """Yes, where no window goes over the pixels."""
        return self.method in ("percentile", "polynomial")

    def apply(self, data: Data, state: State) -> Data:
        """Subtract the background of every frame."""
        if self.method == "percentile":
            return self._map(data, lambda x, *_: x.image - np.percentile(x.pixels, self.percentile))
        if self.method == "polynomial":
            return self._map(data, lambda x, *_: x.image - _polynomial(x, self.degree))
        assert self.radius is not None  # by _radius_where_needed
        radius = self.radius.in_px("radius", data.get("pixel_size_um"))
        return self._map(data, lambda x, *_: x.image - self._surface(x.image, radius))

    def _surface(self, frame: np.ndarray, radius: float) -> np.ndarray:
        if self.method == "gaussian":
            return ndi.gaussian_filter(frame, radius, mode="nearest")
        if self.method == "morphological":
            size = 2 * round(radius) + 1
            low = ndi.minimum_filter(frame, size, mode="nearest")
            return ndi.maximum_filter(low, size, mode="nearest")
        return _rolling_ball(frame, radius)


def _rolling_ball(frame: np.ndarray, radius: float) -> np.ndarray:
    """Surface under `frame` (Y, X) touched by a ball of `radius` pixels."""
    from skimage.restoration import rolling_ball
    from skimage.transform import resize

    factor = next((f for limit, f in ((10, 1), (30, 2), (100, 4)) if radius <= limit), 8)
    if factor == 1:
        return rolling_ball(frame, radius=radius)
    padded = np.pad(frame, [(0, -size % factor) for size in frame.shape], mode="edge")
    rows, columns = (size // factor for size in padded.shape)
    small = padded.reshape(rows, factor, columns, factor).min((1, 3))
    ball = rolling_ball(small, radius=radius / factor)
    full = resize(ball, padded.shape, order=1, mode="edge", preserve_range=True)
    return full[: frame.shape[0], : frame.shape[1]]


def _polynomial(part: Part, degree: int) -> np.ndarray:
    """Polynomial surface (Y, X) float32 under the cells of a frame, by least squares with rejection.

    Fitted to block means of about 64 x 64 blocks, in Legendre polynomials, which keeps the system
    well conditioned; a block with cells is brighter than the surface and is rejected, as is one of
    which a part was not filmed.
    """
    from numpy.polynomial.legendre import legval, legvander2d

    frame = part.image
    starts = [np.arange(0, size, max(1, size // 64)) for size in frame.shape]
    counts = [np.diff(at, append=size) for at, size in zip(starts, frame.shape, strict=True)]

    def means(image: np.ndarray) -> np.ndarray:
        rows = np.add.reduceat(image.astype(np.float64), starts[0], 0)
        return (np.add.reduceat(rows, starts[1], 1) / np.outer(*counts)).ravel()

    level = means(frame)
    shown = np.ones(level.size, bool) if part.filmed is None else means(part.filmed) == 1
    scaled = [np.linspace(-1, 1, size) if size > 1 else np.zeros(1) for size in frame.shape]
    centres = [
        np.add.reduceat(axis, at) / n for axis, at, n in zip(scaled, starts, counts, strict=True)
    ]
    y, x = (each.ravel() for each in np.meshgrid(*centres, indexing="ij"))
    of_degree = np.add.outer(np.arange(degree + 1), np.arange(degree + 1)).ravel() <= degree
    terms = legvander2d(y, x, [degree, degree])[:, of_degree]
    kept = shown.copy()
    weights = np.zeros(of_degree.size)
    for _ in range(_ROUNDS):
        fitted = np.linalg.lstsq(terms[kept], level[kept], rcond=None)[0]
        weights[of_degree] = fitted
        excess = level - terms @ fitted
        spread = 1.4826 * np.median(np.abs(excess[kept] - np.median(excess[kept])))
        # rounding alone must not reject blocks of a surface that is met exactly
        now = shown & (excess <= np.median(excess[kept]) + 2 * spread + 1e-9 * np.abs(level).max())
        if (now == kept).all() or now.sum() <= of_degree.sum():
            break
        kept = now
    grid = weights.reshape(degree + 1, degree + 1)
    # legval along each axis: sum_ij w_ij P_i(y) P_j(x), without a design matrix of all pixels
    vander = [legval(axis, np.eye(degree + 1)) for axis in scaled]
    return np.asarray(vander[0].T @ grid @ vander[1], np.float32)
