"""Viability from the cell's shape, without a death marker."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.contacts.viability import Dyes, MarkerThreshold
from cyto_kedro.errors import InputError, missing


class ShapeChange(MarkerThreshold):
    """Call cells dead by their shape, for films without a death marker.

    `feature`: **shrinkage**, 1000 / area in pixels, as dying cells shrink (apoptotic volume
    decrease: Maeno et al. 2000, doi:10.1073/pnas.140216197); **roughness**, perimeter /
    (2 sqrt(pi area)), 1 for a disc, as blebs make the contour rough. Data, thresholds and results
    are those of `MarkerThreshold`; `marker_signal` is the feature.

    Cells differ in size by nature, so a threshold common to all finds few deaths: with
    `ChangePointDeaths`, which judges each cell against its own past, use a `k_noise` of about 1.
    Neither signal is specific: a cell that detaches, divides or is cut in two by the segmentation
    shrinks too.

    Examples
    --------
    >>> from cyto_kedro import schemas
    >>> shape = {"area_px": [200.0] * 30 + [40], "perimeter_px": 50.0}
    >>> cells = schemas.filled(schemas.Cells, {"label": np.arange(1, 32), **shape})
    >>> ShapeChange()(cells=cells)["viability"]["marker_signal"].unique().tolist()
    [5.0, 25.0]
    """

    feature: Literal["shrinkage", "roughness"] = Field(
        default="shrinkage", description="what is measured"
    )

    @property
    def markers(self) -> tuple[str, ...]:
        """None is read."""
        return ()

    def _signal(self, cells: pd.DataFrame, dyes: Dyes) -> np.ndarray:
        for name in ("area_px", "perimeter_px"):
            if name not in cells:
                raise InputError(f"ShapeChange: {missing('column', name, map(str, cells))}")
        area, perimeter = (cells[name].to_numpy(float) for name in ("area_px", "perimeter_px"))
        if self.feature == "shrinkage":
            return 1000 / area
        return perimeter / (2 * np.sqrt(np.pi * area))
