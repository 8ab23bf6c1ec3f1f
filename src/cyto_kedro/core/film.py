"""A film in memory: channels, pixel size, times, and what of it was filmed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from cyto_kedro.errors import InputError, unknown


@dataclass(frozen=True)
class Film:
    """One field of view over time, as algorithms take it: ``Otsu()(film.only("TCell"))``.

    Parameters
    ----------
    image
        Channel -> (T, Y, X), NumPy or Dask; all of one shape.
    pixel_size_um
        Micrometres per pixel; None: unknown.
    time_min
        (T,) minutes of the frames, ascending; None: unknown.
    fov
        Name of the field of view.
    roles
        Population -> effector, target or other; what contact and killing ask for.
    markers
        What a marker tells -> its channel, such as ``{"death": "PI"}``.
    valid
        (Y, X) bool, False where nothing was filmed; None: all was.

    Raises
    ------
    InputError
        If channels have no names, differ in shape, are not (T, Y, X), or times do not fit the frames.

    Examples
    --------
    >>> film = Film({"TCell": np.zeros((3, 8, 8))}, pixel_size_um=0.65, time_min=[0, 2, 4])
    >>> film.n_frames, film.shape, film.only("TCell").image["TCell"].dtype
    (3, (8, 8), dtype('float64'))
    """

    image: Mapping[str, Any]
    pixel_size_um: float | None = None
    time_min: Any = None
    fov: str = "fov1"
    roles: Mapping[str, str] = field(default_factory=dict)
    markers: Mapping[str, str] = field(default_factory=dict)
    valid: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.image, Mapping):
            raise InputError(
                f"field {self.fov!r}: channels are given by name, such as {{'TCell': array}}; got "
                f"{type(self.image).__name__} alone"
            )
        shapes = {name: tuple(np.shape(stack)) for name, stack in self.image.items()}
        if not shapes:
            raise InputError(f"field {self.fov!r}: a film needs a channel at least")
        if any(len(shape) != 3 for shape in shapes.values()) or len(set(shapes.values())) > 1:
            raise InputError(
                f"field {self.fov!r}: channels must be arrays (T, Y, X) of one shape, got {shapes}"
            )
        if self.time_min is not None:
            object.__setattr__(self, "time_min", np.asarray(self.time_min, float))
            if np.shape(self.time_min) != (self.n_frames,) or (np.diff(self.time_min) <= 0).any():
                raise InputError(
                    f"field {self.fov!r}: time_min must be {self.n_frames} ascending minutes, one a "
                    f"frame, got {np.shape(self.time_min)}"
                )

    @property
    def n_frames(self) -> int:
        """Frames of the film."""
        return int(next(iter(self.image.values())).shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) in pixels."""
        _, height, width = next(iter(self.image.values())).shape
        return int(height), int(width)

    def only(self, *channels: str) -> Self:
        """The same film with `channels` alone. Raises InputError if there is no such channel."""
        for name in channels:
            if name not in self.image:
                raise InputError(f"field {self.fov!r}: {unknown('channel', name, self.image)}")
        return replace(self, image={name: self.image[name] for name in channels})

    def frames(self, numbers: Iterable[int] | slice) -> Self:
        """A part of the film."""
        chosen = numbers if isinstance(numbers, slice) else list(numbers)
        time = None if self.time_min is None else self.time_min[chosen]
        return replace(
            self, image={name: stack[chosen] for name, stack in self.image.items()}, time_min=time
        )

    def data(self) -> dict[str, Any]:
        """What algorithms read of it, by the names that they declare."""
        death = {"marker": self.markers["death"]} if "death" in self.markers else {}
        filmed = {} if self.valid is None else {"valid": self.valid}
        return {
            **{"fov": self.fov, "frame_start": 0, "n_frames": self.n_frames, "shape": self.shape},
            **{"pixel_size_um": self.pixel_size_um, "time_min": self.time_min},
            **{"image": dict(self.image), "populations": dict(self.roles)},
            **{"markers": dict(self.markers), **death, **filmed},
        }
