"""Linking by Crocker and Grier's method, with trackpy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.tracking.common import Detections, Linker
from cyto_kedro.core.units import PositiveLength
from cyto_kedro.errors import ConfigError

_APART = 1e-6  # pixels


class TrackPy(Linker):
    """Link by the assignment of smallest total squared displacement (Crocker & Grier, 1996).

    Of assignments that are equally good trackpy takes one by chance. So positions are moved apart
    by less than a millionth of a pixel, in an order that depends on place alone.

    Inputs, outputs and errors are those of `Linker`; besides, ConfigError if `adaptive_stop` is not
    below the search range, or the range is so large for the density of a frame that the assignment
    cannot be solved.

    Examples
    --------
    >>> label = np.zeros((3, 8, 20), int)
    >>> label[0, 2:5, 2:5] = label[1, 2:5, 4:7] = label[2, 2:5, 6:9] = 1
    >>> len(TrackPy(search_range_px=2)(label=label)["tracks"])
    1
    """

    search_range: PositiveLength = Field(description="largest step")
    memory: int = Field(0, ge=0, description="frames a cell may be missing and keep its track")
    adaptive_stop: PositiveLength | None = Field(
        None,
        description="where too many cells are in range of each other, the range is reduced for "
        "them, down to this",
    )
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
        import trackpy

        frame, pixel_size_um = detections.frame, detections.pixel_size_um
        reach = self.search_range.in_px("search_range", pixel_size_um)
        stop = None
        if self.adaptive_stop is not None:
            stop = self.adaptive_stop.in_px("adaptive_stop", pixel_size_um)
            if stop >= reach:
                raise ConfigError(
                    f"adaptive_stop ({stop:g} px) must be below search_range ({reach:g} px): the "
                    "range is reduced from the one to the other"
                )
        trackpy.quiet()
        done = int(frame[0]) - 1
        particles: list[int] = []
        predictor = self._predictor()
        position = _apart(detections.position)
        try:
            for number, ids in trackpy.link_iter(
                _positions(frame, position),
                reach + 10 * _APART,  # a step of exactly the range is in it
                memory=self.memory,
                adaptive_stop=stop,
                adaptive_step=self.adaptive_step,
                predictor=None if predictor is None else predictor.predict,
            ):
                if predictor is not None and ids:
                    seen = slice(len(particles), len(particles) + len(ids))
                    _observe(predictor, int(number), ids, position[seen])
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


def _apart(position: np.ndarray) -> np.ndarray:
    """`position` (n, 2) moved by up to `_APART`, so that no two distances are equal."""
    # an additive recurrence in two dimensions: Roberts 2018, "The unreasonable effectiveness of
    # quasirandom sequences"
    shift = np.outer(np.arange(len(position)), [0.7548776662466927, 0.5698402909980532]) % 1.0
    return position + _APART * shift


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
