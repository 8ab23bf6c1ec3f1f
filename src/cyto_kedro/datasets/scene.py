"""One film of a file that may hold several, whatever microscope or program wrote it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scene:
    """One film of a microscope's file."""

    #: as the microscope calls it; empty where it has no name
    name: str
    #: length of each axis, of TCZYX and others
    sizes: Mapping[str, int]
    dtype: Any
    #: names of its channels; empty if unnamed
    channels: tuple[str, ...]
    #: of a pixel, Y and X, in micrometres; None if the file does not say
    sides_um: tuple[float | None, float | None]
    #: seconds between frames as they were asked for; 0 if unknown
    interval_s: float
    #: time of each frame in seconds; empty if unknown
    times_s: Callable[[], Sequence[float]]
    #: pixels (Y, X) of plane (t, c, z)
    plane: Callable[[int, int, int], np.ndarray]
    #: what is not as it should be
    doubts: tuple[str, ...] = ()
