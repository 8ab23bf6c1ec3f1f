"""Viability from other signals than the death marker alone: a ratio of dyes, or the cell's shape."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.contacts.viability import Dyes, MarkerThreshold
from cyto_kedro.core.keys import divide
from cyto_kedro.errors import ConfigError, InputError, missing


class DeathIndex(MarkerThreshold):
    """Call cells dead by the share of the death marker in both dyes, dead / (live + dead).

    Dying cells gain the death marker and lose their own dye, so the index moves more than either,
    and what changes both alike (focus, uneven light, thickness, the lamp) does not move it. Both
    dyes are taken less their `background`. Thresholds are estimated as by `MarkerThreshold`;
    `marker_signal` is the index (0 to 1). The input `sources` names the live dye where
    `live_channel` does not.

    Examples
    --------
    >>> from cyto_kedro import schemas
    >>> grey = {"PI_median": [10.0] * 30 + [300], "CFSE_median": [200.0] * 30 + [40]}
    >>> cells = schemas.filled(schemas.Cells, {"label": np.arange(1, 32), **grey})
    >>> made = DeathIndex(live_channel="CFSE")(cells=cells, marker="PI")["viability"]
    >>> made["marker_signal"].round(2).unique().tolist()
    [0.05, 0.88]
    """

    live_channel: str | None = Field(
        default=None, description="dye of living cells; null: the first the population is cut from"
    )
    background: float = Field(default=0.0, description="grey level of both channels without cells")

    def _signal(self, cells: pd.DataFrame, dyes: Dyes) -> np.ndarray:
        dead = np.maximum(super()._signal(cells, dyes) - self.background, 0)
        marker = dyes.marker
        live = self.live_channel or next((c for c in dyes.sources if c != marker), None)
        if live is None:
            raise ConfigError(
                f"DeathIndex: the population is segmented from {marker!r} alone, so there is no dye "
                "of living cells to compare with: give live_channel, or take MarkerThreshold"
            )
        own = np.maximum(self._grey(cells, live) - self.background, 0)
        return np.nan_to_num(divide(dead, dead + own))


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
