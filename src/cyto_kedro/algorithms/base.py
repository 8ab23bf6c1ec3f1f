"""The contract of an algorithm: parameters at construction, declared inputs, declared outputs.

An algorithm class is a frozen pydantic model (its fields are its parameters) with a method ``run``,
whose arguments are its inputs and whose ``TypedDict`` is its outputs (`core.contract` says which types
there are)::

    class Labelled(TypedDict):
        label: Label

    class Bright(Algorithm):
        level: float = Field(gt=0, description="grey level")

        def run(self, image: Image) -> Labelled:
            ...

It is called with a data dict (or a `Film`), with inputs by name, or with both:
``Bright(level=4)(film.only("TCell"))``, ``Bright(level=4)({"image": stack})``,
``Bright(level=4)(image=stack)``. It sees what it declares, checked, and nothing else.

Common inputs
-------------
``image``, ``label``     arrays (T, Y, X), or by channel, by population.
``cells``, ``track_points``, ``touches``, …   tables (`cyto_kedro.schemas`), each by its own name;
    ``dataframe`` stands for the first that is declared and not given by its name.
``fov``, ``population``  names.
``frame_start``          number of the film's frame that index 0 of the T axis is (default 0).
``n_frames``, ``shape``  of the whole film.
``pixel_size_um``        micrometres per pixel, or None when unknown.
``time_min``             minutes of the frames, or None when unknown.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from cyto_kedro.core.contract import Contract, admit, contract_of
from cyto_kedro.core.film import Film
from cyto_kedro.core.units import fold, spelled
from cyto_kedro.errors import ConfigError, unknown

Data = dict[str, Any]


class Made(dict[str, Any]):
    """What an algorithm made, by name; ``dataframe`` stands for the first table it declares."""

    def __init__(self, made: Mapping[str, Any], first_table: str | None) -> None:
        super().__init__(made)
        self._first_table = first_table

    def __missing__(self, name: str) -> Any:
        if name == "dataframe" and self._first_table is not None:
            return self[self._first_table]
        raise KeyError(unknown("result", name, self))


class Algorithm(BaseModel):
    """A pure function with frozen, checked parameters.

    Subclasses declare their parameters as pydantic fields (documented, with units) and implement
    ``run``. An unknown argument is refused. Raise `version` when results change for equal
    parameters: partitions made by the old version are then stale.
    """

    # a command imports all algorithms and makes a few: validators are built when one is first made
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    version: ClassVar[int] = 1

    if not TYPE_CHECKING:  # type checkers know each class's own arguments

        def __init__(self, **args: Any) -> None:
            """Make it.

            Raises
            ------
            ConfigError
                If an argument's name or its value is not valid: names it, the nearest match and the
                valid choices. (Inside a parameter model pydantic adds the key where it stands.)
            """
            try:
                super().__init__(**args)
            except ValidationError as error:
                raise ConfigError(_refusal(type(self), error)) from error

    @model_validator(mode="before")
    @classmethod
    def _in_either_unit(cls, given: Any) -> Any:
        return fold(cls, given) if isinstance(given, dict) else given

    @abstractmethod
    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Return the results for the declared inputs; never change them."""

    @classmethod
    def contract(cls) -> Contract:
        """What it reads and makes."""
        return contract_of(cls.run)

    def needs(self) -> tuple[str, ...]:
        """Names of the inputs that this one uses with its parameters; others are not opened."""
        return tuple(self.contract().inputs)

    def __call__(self, data: Mapping[str, Any] | Film | None = None, /, **inputs: Any) -> Data:
        """The results for `data`, a data dict or a film, and further `inputs` by name.

        Raises
        ------
        InputError
            If an input is missing, unknown or of the wrong type: names it and what was expected.
        """
        contract = self.contract()
        made = self.run(**admit(type(self).__name__, contract, data, inputs))
        tables = contract.tables("outputs")
        return Made(made, tables[0].name if tables else None)


A = TypeVar("A", bound=Algorithm)


def construct(cls: type[A], args: dict[str, Any] | None = None) -> A:
    """Make an algorithm of `cls` with `args`; refuses them as the class itself does."""
    return cls(**(args or {}))


def _refusal(cls: type[Algorithm], error: ValidationError) -> str:
    """What is wrong with the arguments of `cls`, each named, an unknown one with the nearest match."""
    lines = []
    valid = [written for written, _, _ in spelled(cls)]
    units = {f"{name}.{unit}": written for written, name, unit in spelled(cls) if unit}
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"])
        field = units.get(field, field)
        if item["type"] == "extra_forbidden":
            lines.append(unknown(f"argument of {cls.__name__}", field, valid))
        elif item["type"] == "missing":
            written = [spelling for spelling, name, _ in spelled(cls) if name == field]
            lines.append(f"{cls.__name__} needs {' or '.join(written) or field}")
        else:
            name = f"{cls.__name__}.{field}" if field else cls.__name__
            lines.append(f"{name}: {item['msg']} (got {item.get('input')!r})")
    return " ".join(lines)
