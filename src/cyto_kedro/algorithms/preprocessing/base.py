"""The contract of a preprocessing step: estimate over the film, apply by block."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm, Data

State = dict[str, Any] | None


class Step(Algorithm):
    """A correction of images in two halves: `estimate` streams the film, `apply` works on a block.

    Attributes
    ----------
    measurement_safe
        Whether it may touch images that intensities are measured on.
    needs_estimate
        Whether `apply` needs a state.
    """

    measurement_safe: ClassVar[bool] = False
    needs_estimate: ClassVar[bool] = False

    channels: tuple[str, ...] | None = Field(
        default=None, description="channels it applies to; default: all"
    )

    @property
    def uses(self) -> tuple[str, ...]:
        """Channels that the step names and must find."""
        return self.channels or ()

    @property
    def makes(self) -> tuple[str, ...]:
        """Channels that the step adds."""
        return ()

    def estimate(self, blocks: Iterable[Data]) -> State:
        """Read the film's blocks once, in order; return what `apply` needs."""
        return None

    @abstractmethod
    def apply(self, data: Data, state: State) -> Data:
        """Return `data` with corrected ``"image"``, ``{channel: (T, Y, X)}``."""

    def __call__(self, data: Data) -> Data:
        """Estimate on `data` alone and apply."""
        return self.apply(data, self.estimate([data]) if self.needs_estimate else None)
