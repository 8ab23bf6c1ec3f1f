"""Intensity, saturation and focus of every frame of a raw film."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from cyto_kedro.errors import InputError


def frame_quality(
    image: Any, saturation_level: float | None = None, frame_start: int = 0
) -> pd.DataFrame:
    """Measure every frame of one channel.

    Parameters
    ----------
    image
        (T, Y, X), NumPy or Dask, computed frame by frame.
    saturation_level
        Pixels at or above it are saturated; None: the largest value of an integer dtype, and no
        saturation for a floating one.
    frame_start
        Number of the film's frame at index 0.

    Returns
    -------
    One row per frame: ``frame``, ``mean``, ``sd`` (over n), ``min``, ``max``,
    ``saturated_fraction`` and ``focus``: the variance of the Laplacian (Pech-Pacheco et al.,
    ICPR 2000) over the mean squared, so that it does not follow brightness; 0 for a black frame.

    Raises
    ------
    InputError
        If the image is not (T, Y, X) with at least one pixel a frame.
    """
    if image.ndim != 3 or 0 in image.shape[1:]:
        raise InputError(f"frame quality: expected (T, Y, X) with pixels, got {image.shape}")
    if saturation_level is None:
        integer = image.dtype.kind in "ui"
        saturation_level = float(np.iinfo(image.dtype).max) if integer else np.inf
    rows = []
    for index in range(image.shape[0]):
        frame = np.asarray(image[index])
        values = frame.astype(np.float64)
        mean = float(values.mean())
        sharpness = float(ndimage.laplace(values).var())
        rows.append(
            {
                "frame": frame_start + index,
                "mean": mean,
                "sd": float(values.std()),
                "min": float(values.min()),
                "max": float(values.max()),
                "saturated_fraction": float((frame >= saturation_level).mean()),
                "focus": sharpness / mean**2 if mean else 0.0,
            }
        )
    columns = ["frame", "mean", "sd", "min", "max", "saturated_fraction", "focus"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({c: np.int64 if c == "frame" else np.float64 for c in columns})
