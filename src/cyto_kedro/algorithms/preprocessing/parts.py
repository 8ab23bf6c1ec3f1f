"""Images of which a part was never filmed: what filters and statistics may see of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cyto_kedro.algorithms.preprocessing.filmed import filmed
from cyto_kedro.core import ndi
from cyto_kedro.errors import InputError


@dataclass(frozen=True)
class Part:
    """A frame or a window of it, and which of its pixels were filmed (None: all of them).

    Pixels of `image` (Y, X) float32 that were not filmed repeat the nearest one that was.
    """

    image: np.ndarray
    filmed: np.ndarray | None = None

    @property
    def pixels(self) -> np.ndarray:
        """The filmed pixels: (Y, X) where it is all of them, else (n,)."""
        return self.image if self.filmed is None else self.image[self.filmed]

    @classmethod
    def of(cls, frame: np.ndarray, shown: np.ndarray | None, where: str, what: str) -> Part:
        """Frame (Y, X) of any dtype of which `shown` was filmed (None: all of it).

        Raises InputError if a filmed pixel is NaN or infinite: begins with `where`, ends with
        `what` that prevents.
        """
        if frame.dtype.kind == "f":
            bad = ~np.isfinite(frame)
            bad = bad if shown is None else bad & shown
            if bad.any():
                raise InputError(
                    f"{where}: {int(bad.sum())} pixels of the image are NaN or infinite, so {what}; "
                    "repair or exclude the field"
                )
        return cls(repeated(frame.astype(np.float32, copy=False), shown), shown)


def shown_in(frame: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray | None:
    """Which pixels (Y, X) of a frame were filmed: `valid`, else looked for (`filmed`); None: all.

    NaN within the frame, and infinite pixels, are no margin: they count as filmed.
    """
    shown = filmed(frame) | _holes_of_nan(frame) if valid is None else valid
    return None if shown.all() else shown


def _holes_of_nan(frame: np.ndarray) -> np.ndarray:
    if frame.dtype.kind != "f" or np.isfinite(frame).all():
        return np.zeros(frame.shape, bool)
    nan = np.isnan(frame)
    if nan.all():
        return nan
    pieces, _ = ndi.label(nan)
    edge = np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))
    return np.isinf(frame) | (nan & ~np.isin(pieces, edge[edge > 0]))


def repeated(image: np.ndarray, shown: np.ndarray | None) -> np.ndarray:
    """`image` (Y, X), its pixels that were not filmed repeating the nearest one that was; else 0."""
    if shown is None:
        return image
    if not shown.any():
        return np.zeros_like(image)
    nearest = ndi.distance_transform_edt(~shown, return_distances=False, return_indices=True)
    return np.asarray(image[tuple(nearest)])


def blanked(image: np.ndarray, shown: np.ndarray | None) -> np.ndarray:
    """`image` (Y, X) with one value where nothing was filmed: 0, or the least if that is below.

    So a margin stays one that can be told from what was filmed, whatever a filter made of it.
    """
    if shown is None or not shown.any():
        return image
    return np.where(shown, image, min(0.0, float(image[shown].min()))).astype(image.dtype)
