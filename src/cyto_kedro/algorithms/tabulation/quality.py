"""Intensity, saturation and focus of every frame of a raw film."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.preprocessing.filmed import filmed
from cyto_kedro.core import ndi
from cyto_kedro.errors import InputError

COLUMNS = (
    *("frame", "mean", "sd", "min", "max", "saturated_fraction", "focus"),
    *("share_at_max", "repeats_previous", "filmed_fraction"),
)


def frame_quality(
    image: Any,
    frame_start: int = 0,
    before: np.ndarray | None = None,
) -> pd.DataFrame:
    """Measure every frame of one channel.

    Parameters
    ----------
    image
        (T, Y, X), NumPy or Dask, computed frame by frame.
    frame_start
        Number of the film's frame at index 0.
    before
        The frame before it (Y, X); None: there is none.

    Returns
    -------
    One row per frame: ``frame``, ``mean``, ``sd`` (over n), ``min``, ``max``,
    ``saturated_fraction``: share of pixels at the largest value of an integer dtype (0 of a
    floating one); ``focus``: the variance of the Laplacian (Pech-Pacheco et al.,
    ICPR 2000) over the mean squared, so that it does not follow brightness, 0 for a black frame;
    ``share_at_max``: share of pixels that have the frame's greatest value; ``repeats_previous``:
    every pixel is as in the frame before; ``filmed_fraction``: share of pixels that were filmed
    (`preprocessing.filmed`), on which all the others but ``repeats_previous`` are taken.

    Raises
    ------
    InputError
        If the image is not (T, Y, X) with at least one pixel a frame.
    """
    if image.ndim != 3 or 0 in image.shape[1:]:
        raise InputError(f"frame quality: expected (T, Y, X) with pixels, got {image.shape}")
    saturation_level = np.iinfo(image.dtype).max if image.dtype.kind in "ui" else np.inf
    rows = []
    for index in range(image.shape[0]):
        frame = np.asarray(image[index])
        shown = filmed(frame)
        whole = bool(shown.all())
        values = frame.astype(np.float64)
        laplacian = ndi.laplace(values)
        if not whole and shown.any():
            inner = shown & ndi.binary_erosion(shown, np.ones((3, 3)), border_value=1)
            laplacian = laplacian[inner if inner.any() else shown]
            values = values[shown]
        mean, top = float(values.mean()), float(values.max())
        rows.append(
            {
                "frame": frame_start + index,
                "mean": mean,
                "sd": float(values.std()),
                "min": float(values.min()),
                "max": top,
                "saturated_fraction": float((values >= saturation_level).mean()),
                "focus": float(laplacian.var()) / mean**2 if mean else 0.0,
                "share_at_max": float((values == top).mean()),
                "repeats_previous": before is not None and np.array_equal(frame, before),
                "filmed_fraction": float(shown.mean()),
            }
        )
        before = frame
    kinds = {"frame": np.int64, "repeats_previous": np.bool_}
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({name: kinds.get(name, np.float64) for name in COLUMNS})
