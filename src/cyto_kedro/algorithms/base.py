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
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from cyto_kedro.errors import ConfigError

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
