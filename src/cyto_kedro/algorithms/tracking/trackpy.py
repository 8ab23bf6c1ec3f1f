"""Linking by Crocker and Grier's method, with trackpy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.base import length_px
from cyto_kedro.algorithms.tracking.common import Linker
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

    def link(
        self, frame: np.ndarray, position: np.ndarray, pixel_size_um: float | None, name: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Linker.link`."""
        import trackpy

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
        try:
            for number, ids in trackpy.link_iter(
                _positions(frame, position),
                reach,
                memory=self.memory,
                adaptive_stop=stop,
                adaptive_step=self.adaptive_step,
            ):
                particles.extend(ids)
                done = int(number)
        except trackpy.SubnetOversizeException as error:
            remedy = (
                "reduce search_range, or let it shrink where cells are dense with adaptive_stop"
                if stop is None
                else "reduce search_range or adaptive_stop"
            )
            raise ConfigError(
                f"{name}: search_range of {reach:g} px is too large for frame {done + 1}: so many "
                f"cells are within reach of each other that they cannot be assigned ({error}); "
                f"{remedy}"
            ) from error
        particle = np.asarray(particles)
        order = np.lexsort((frame, particle))
        same = particle[order[1:]] == particle[order[:-1]]
        return order[:-1][same], order[1:][same]


def _positions(frame: np.ndarray, position: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Positions of every frame from the first to the last with cells, empty ones too."""
    numbers = np.arange(frame[0], frame[-1] + 1)
    cuts = np.searchsorted(frame, numbers[1:])
    for number, block in zip(numbers, np.split(position, cuts), strict=True):
        yield int(number), block
