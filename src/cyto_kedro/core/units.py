"""Lengths, areas and times that are said in one of two units.

A parameter of type `Length` is written ``<name>_um`` or ``<name>_px``, in YAML and in Python; a
`Duration` ``<name>_min`` or ``<name>_frames``; an `Area` ``<name>_um2`` or ``<name>_px``; `Lengths` and
`Durations` hold several. Say one, or both: then micrometres (minutes) count where the pixel size
(the time of every frame) is known, pixels (frames) elsewhere. One alone replaces the whole default:
``max_gap_frames=3`` means three frames, whatever the default in minutes was.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, ClassVar, Self, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cyto_kedro.errors import ConfigError


class Quantity(BaseModel):
    """A measure in a physical unit, in a unit of the film, or in both: see the module."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    #: the physical unit and that of the film: suffixes of the parameter's two names
    units: ClassVar[tuple[str, str]]

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.physical is None and self.of_film is None:
            raise ValueError("give it in one of the units " + " and ".join(self.units))
        return self

    @property
    def physical(self) -> Any:
        """The value in the physical unit, or None."""
        return getattr(self, self.units[0])

    @property
    def of_film(self) -> Any:
        """The value in pixels or frames, or None."""
        return getattr(self, self.units[1])

    def says(self, known: bool, name: str, remedy: str) -> tuple[Any, bool]:
        """The value that counts, and whether it is the physical one.

        Raises ConfigError if the physical one is all there is, and `known` is false.
        """
        physical, of_film = self.units
        if self.physical is not None and known:
            return self.physical, True
        if self.of_film is None:
            raise ConfigError(
                f"{name}_{physical}={self.physical} needs {remedy}, or use {name}_{of_film}"
            )
        return self.of_film, False


_Sizes = Annotated[
    tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...], Field(min_length=1)
]
_Times = Annotated[
    tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...], Field(min_length=1)
]
_PIXEL_SIZE = (
    "the pixel size, which is unknown for this field: give pixel_size_um in the assay's parameters "
    "or the file's metadata"
)
_TIMES = (
    "frame times, which are unknown for this field: give frame_interval_s in the assay's parameters "
    "or the file's metadata"
)


class Length(Quantity):
    """A length in micrometres or pixels."""

    units: ClassVar[tuple[str, str]] = ("um", "px")

    um: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    px: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    def in_px(self, name: str, pixel_size_um: float | None) -> float:
        """In pixels; `name` is the parameter's, for messages.

        Raises ConfigError if it is in micrometres and the pixel size is unknown.
        """
        value, physical = self.says(pixel_size_um is not None, name, _PIXEL_SIZE)
        return float(value) / float(pixel_size_um or 1.0) if physical else float(value)


class Lengths(Quantity):
    """Several lengths in micrometres or pixels."""

    units: ClassVar[tuple[str, str]] = ("um", "px")

    um: _Sizes | None = None
    px: _Sizes | None = None

    def in_px(self, name: str, pixel_size_um: float | None) -> tuple[float, ...]:
        """Each in pixels, as `Length.in_px`."""
        value, physical = self.says(pixel_size_um is not None, name, _PIXEL_SIZE)
        return tuple(
            float(v) / float(pixel_size_um or 1.0) if physical else float(v) for v in value
        )


class Area(Quantity):
    """An area in square micrometres, or in pixels."""

    units: ClassVar[tuple[str, str]] = ("um2", "px")

    um2: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    px: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    def in_px(self, name: str, pixel_size_um: float | None) -> float:
        """In pixels, as `Length.in_px`."""
        value, physical = self.says(pixel_size_um is not None, name, _PIXEL_SIZE)
        return float(value) / float(pixel_size_um or 1.0) ** 2 if physical else float(value)


def in_px(owner: BaseModel, name: str, pixel_size_um: float | None) -> float | None:
    """The length or area `name` of `owner` in pixels; None where it has none.

    Raises ConfigError: as `Length.in_px`.
    """
    given: Length | Area | None = getattr(owner, name)
    return None if given is None else given.in_px(name, pixel_size_um)


class Duration(Quantity):
    """A length of time in minutes or frames."""

    units: ClassVar[tuple[str, str]] = ("min", "frames")

    min: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    frames: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    def timed(self, name: str, known: bool) -> tuple[float, bool]:
        """The value that counts, and whether it is in minutes: for ages that one has in both.

        Raises ConfigError if it is in minutes and times are unknown.
        """
        value, physical = self.says(known, name, _TIMES)
        return float(value), physical

    def in_unit(self, name: str, unit: str) -> float:
        """In `unit`, ``min`` or ``frames``: that of an analysis over many fields.

        Raises ConfigError if it is given in the other one alone.
        """
        return float(_in_unit(self, name, unit))


class Durations(Quantity):
    """Several lengths of time in minutes or frames."""

    units: ClassVar[tuple[str, str]] = ("min", "frames")

    min: _Times | None = None
    frames: _Times | None = None

    def timed(self, name: str, known: bool) -> tuple[tuple[float, ...], bool]:
        """The values that count, and whether they are in minutes."""
        value, physical = self.says(known, name, _TIMES)
        return tuple(float(each) for each in value), physical

    def in_unit(self, name: str, unit: str) -> tuple[float, ...]:
        """Each in `unit`, as `Duration.in_unit`."""
        return tuple(float(each) for each in _in_unit(self, name, unit))


def _in_unit(given: Duration | Durations, name: str, unit: str) -> Any:
    value, physical = given.says(unit == "min", name, _TIMES)
    if physical == (unit == "min"):
        return value
    raise ConfigError(
        f"{name}_frames={given.frames}: frame times are known, so the fields are held together in "
        f"minutes: give {name}_min"
    )


Q = TypeVar("Q", bound=Quantity)


def three_digits(value: float) -> str:
    """A number as it is said: three digits, from 1000 on whole.

    >>> three_digits(68.84), three_digits(1436.2), three_digits(40.0)
    ('68.8', '1436', '40')
    """
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def _above_zero(value: Q) -> Q:
    for unit in value.units:
        if getattr(value, unit) == 0:
            raise ValueError(f"must be greater than 0 (got {unit}=0)")
    return value


#: a length, an area or a time that cannot be 0
PositiveLength = Annotated[Length, AfterValidator(_above_zero)]
PositiveArea = Annotated[Area, AfterValidator(_above_zero)]
PositiveDuration = Annotated[Duration, AfterValidator(_above_zero)]


def quantity_of(annotation: Any) -> type[Quantity] | None:
    """The `Quantity` class that an annotation means, through ``Optional`` and ``Annotated``."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, Quantity) else None
    if get_origin(annotation) is Annotated:
        return quantity_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [quantity_of(each) for each in get_args(annotation) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else None
    return None


def spelled(model: type[BaseModel]) -> Iterator[tuple[str, str, str | None]]:
    """(name as it is written, field, unit or None) of every parameter of `model`."""
    for name, field in model.model_fields.items():
        kind = quantity_of(field.annotation)
        for unit in kind.units if kind else (None,):
            yield (f"{name}_{unit}" if unit else name), name, unit


def fold(model: type[BaseModel], given: dict[str, Any]) -> dict[str, Any]:
    """`given` with ``<name>_<unit>`` gathered into ``<name>``, for validation.

    All null means null: ``half_life_min: null`` is no half-life at all.
    """
    folded = dict(given)
    parts: dict[str, dict[str, Any]] = {}
    for written, name, unit in spelled(model):
        if unit is not None and written in folded and written not in model.model_fields:
            if name in given:
                raise ValueError(f"{written} and {name} are given; give one")
            parts.setdefault(name, {})[unit] = folded.pop(written)
    for name, units in parts.items():
        said = {unit: value for unit, value in units.items() if value is not None}
        folded[name] = said or None
    return folded
