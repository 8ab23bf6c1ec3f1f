"""Linking by Crocker and Grier's method, with trackpy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.base import length_px
from cyto_kedro.algorithms.tracking.common import Detections, Linker
from cyto_kedro.errors import ConfigError


class TrackPy(Linker):
    """Link by the assignment of smallest total squared displacement (Crocker & Grier, 1996).

    Data, results and errors are those of `Linker`; besides:

    Raises
    ------
    ConfigError
        If a length is missing or given twice, `adaptive_stop` is not below the search range, or
        the range is so large for the density of a frame that the assignment cannot be solved.
    """

    search_range_um: float | None = Field(None, gt=0, description="largest step, micrometres")
    search_range_px: float | None = Field(None, gt=0, description="largest step, pixels")
    memory: int = Field(0, ge=0, description="frames a cell may be missing and keep its track")
    adaptive_stop_um: float | None = Field(
        None,
        gt=0,
        description="where too many cells are in range of each other, the range is "
        "reduced for them, down to this, micrometres",
    )
    adaptive_stop_px: float | None = Field(None, gt=0, description="the same in pixels")
    adaptive_step: float = Field(0.95, gt=0, lt=1, description="factor of each reduction")
    predict: Literal["none", "nearest_velocity", "drift"] = Field(
        "none",
        description="where a cell is looked for: where it was, moved on as the nearest cell moved "
        "(streams, migration), or as all cells did on average (drift)",
    )
    predict_span_frames: int = Field(
        1, ge=1, description="frames over which that motion is measured"
    )

    def link(self, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
        """See `Linker.link`."""
        import trackpy

        frame, pixel_size_um = detections.frame, detections.pixel_size_um
        reach = length_px("search_range", self.search_range_um, self.search_range_px, pixel_size_um)
        stop = None
        if self.adaptive_stop_um is not None or self.adaptive_stop_px is not None:
            stop = length_px(
                "adaptive_stop", self.adaptive_stop_um, self.adaptive_stop_px, pixel_size_um
            )
            if stop >= reach:
                raise ConfigError(
                    f"adaptive_stop ({stop:g} px) must be below search_range ({reach:g} px): the "
                    "range is reduced from the one to the other"
                )
        trackpy.quiet()
        done = int(frame[0]) - 1
        particles: list[int] = []
        predictor = self._predictor()
        try:
            for number, ids in trackpy.link_iter(
                _positions(frame, detections.position),
                reach,
                memory=self.memory,
                adaptive_stop=stop,
                adaptive_step=self.adaptive_step,
                predictor=None if predictor is None else predictor.predict,
            ):
                if predictor is not None and ids:
                    seen = slice(len(particles), len(particles) + len(ids))
                    _observe(predictor, int(number), ids, detections.position[seen])
                particles.extend(ids)
                done = int(number)
        except trackpy.SubnetOversizeException as error:
            remedy = (
                "reduce search_range, or let it shrink where cells are dense with adaptive_stop"
                if stop is None
                else "reduce search_range or adaptive_stop"
            )
            raise ConfigError(
                f"{detections.name}: search_range of {reach:g} px is too large for frame "
                f"{done + 1}: so many cells are within reach of each other that they cannot be "
                f"assigned ({error}); "
                f"{remedy}"
            ) from error
        particle = np.asarray(particles)
        order = np.lexsort((frame, particle))
        same = particle[order[1:]] == particle[order[:-1]]
        return order[:-1][same], order[1:][same]

    def _predictor(self) -> Any:
        import trackpy.predict

        if self.predict == "none":
            return None
        names = {"nearest_velocity": "NearestVelocityPredict", "drift": "DriftPredict"}
        made = getattr(trackpy.predict, names[self.predict])(
            pos_columns=["y", "x"], span=self.predict_span_frames
        )
        made.t_column = "frame"
        return made


def _observe(predictor: Any, number: int, ids: list[int], position: np.ndarray) -> None:
    """Show a linked frame to one of trackpy's predictors."""
    table = pd.DataFrame(position, columns=["y", "x"]).assign(frame=number, particle=ids)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no cell in common: it predicts no motion
        predictor.observe(table)
    if hasattr(predictor, "vel"):
        predictor.vel = np.nan_to_num(predictor.vel)  # NaN where no cell is in common


def _positions(frame: np.ndarray, position: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Positions of every frame from the first to the last with cells, empty ones too."""
    numbers = np.arange(frame[0], frame[-1] + 1)
    cuts = np.searchsorted(frame, numbers[1:])
    for number, block in zip(numbers, np.split(position, cuts), strict=True):
        yield int(number), block
