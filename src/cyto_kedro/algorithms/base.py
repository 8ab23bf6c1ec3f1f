"""The contract of an algorithm: parameters at construction, a data dict in, a data dict out.

Standard keys of the data dict
------------------------------
``"image"``      array (T, Y, X), or ``{channel: (T, Y, X)}`` where a step sees several channels.
``"label"``      uint32 (T, Y, X), background 0; or ``{population: (T, Y, X)}``.
``"dataframe"``  pandas table, one row per cell per frame (columns: `cyto_kedro.schemas`).
``"network"``    NetworkX graph.
``"frame_start"``    number of the film's frame that index 0 of the T axis is (default 0).
``"pixel_size_um"``  micrometres per pixel, or None when unknown.
Any other key holds any picklable object; each class documents what it reads and returns.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cyto_kedro.errors import ConfigError, unknown

Data = dict[str, Any]


class Algorithm(BaseModel):
    """A pure function with frozen, checked parameters.

    Subclasses declare their parameters as pydantic fields (documented, with units) and implement
    ``__call__``. An unknown argument is refused. Raise `version` when results change for equal
    parameters: partitions made by the old version are then stale.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)

    version: ClassVar[int] = 1

    @abstractmethod
    def __call__(self, data: Data) -> Data:
        """Return the results for `data`; never change `data`."""


def length_px(name: str, um: float | None, px: float | None, pixel_size_um: float | None) -> float:
    """Resolve a length given as ``<name>_um`` or ``<name>_px`` to pixels.

    Raises
    ------
    ConfigError
        If neither or both are given, or micrometres are given for an uncalibrated film.
    """
    if (um is None) == (px is None):
        raise ConfigError(f"give exactly one of {name}_um and {name}_px (got {um=}, {px=})")
    if px is not None:
        return float(px)
    if pixel_size_um is None:
        raise ConfigError(
            f"{name}_um={um} needs the pixel size, which is unknown for this field: give "
            f"pixel_size_um in the assay's parameters or the file's metadata, or use {name}_px"
        )
    return float(um) / float(pixel_size_um)  # type: ignore[arg-type]


A = TypeVar("A", bound=Algorithm)


def construct(cls: type[A], args: dict[str, Any] | None = None) -> A:
    """Make an algorithm of `cls` with `args`.

    Raises
    ------
    ConfigError
        If an argument's name or its value is not valid: names it, the nearest match and the valid
        choices. (Inside a parameter model pydantic adds the key where it stands.)
    """
    try:
        return cls(**(args or {}))
    except ValidationError as error:
        lines = []
        for item in error.errors():
            field = ".".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                lines.append(unknown(f"argument of {cls.__name__}", field, cls.model_fields))
            else:
                name = f"{cls.__name__}.{field}" if field else cls.__name__
                lines.append(f"{name}: {item['msg']} (got {item.get('input')!r})")
        raise ConfigError(" ".join(lines)) from error
