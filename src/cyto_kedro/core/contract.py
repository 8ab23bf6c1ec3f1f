"""What an algorithm reads and makes, read off the signature of its ``run``.

An input is an argument of ``run``, with its type; one with a default is optional. Outputs are the
keys of the ``TypedDict`` that ``run`` returns. Types of ports:

``TableOf[schemas.Cells]``
    A table: pandas (a Dask one is computed at the door).
``Annotated[Iterable[pd.DataFrame], Streamed(schemas.Cells, "fov frame label")]``
    Some columns of a table too large to be held, in tables that are read one after the other: given as
    `Parts`, or as one table.
``Image``, ``Label``
    One array (T, Y, X), NumPy or Dask.
``Images``, ``Labels``
    ``{channel: (T, Y, X)}``, ``{population: (T, Y, X)}``.
``Graph``
    A NetworkX graph.
anything else
    A plain value: a name, a number, a mapping, times.

`admit` is the door: it hands ``run`` what it declares, checked, and nothing else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, Literal, Protocol, Union, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd

from cyto_kedro.core.film import Film
from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.schemas import Table, TableOf, empty

__all__ = [
    *("Contract", "Graph", "Image", "Images", "Label", "Labels", "Port", "Stack", "TableOf"),
    *("Parts", "Streamed", "admit", "contract_of"),
]


@dataclass(frozen=True)
class Parts:
    """A table in parts, which are opened one after the other each time it is gone through.

    Parameters
    ----------
    opened
        Opens them: some columns, those that are there; all where it is given None.
    columns
        Which.

    Examples
    --------
    >>> table = pd.DataFrame({"frame": [0, 1], "label": 1, "x_px": 2.0})
    >>> [list(part) for part in Parts.of(table).only(("frame", "label", "dead"))]
    [['frame', 'label']]
    """

    opened: Callable[[tuple[str, ...] | None], Iterator[pd.DataFrame]]
    columns: tuple[str, ...] | None = None

    @classmethod
    def of(cls, table: pd.DataFrame) -> Parts:
        """A table that is there, as its only part."""

        def opened(columns: tuple[str, ...] | None) -> Iterator[pd.DataFrame]:
            yield table if columns is None else table[[c for c in columns if c in table]]

        return cls(opened)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return self.opened(self.columns)

    def only(self, columns: tuple[str, ...]) -> Parts:
        """The same parts, some of their columns."""
        return replace(self, columns=columns)


class Streamed:
    """Mark of a table port that is read in parts: its schema, and the columns that are read.

    Columns that a table may lack are named too: the parts have those that are there.
    """

    def __init__(self, table: type[Table], columns: str) -> None:
        self.table, self.columns = table, tuple(columns.split())


class Stack(Protocol):
    """An array (T, Y, X), in memory or opened lazily."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> Any:
        """Type of a pixel."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    def __len__(self) -> int:
        """Frames."""

    def __getitem__(self, key: Any, /) -> Any:
        """Part of it."""


@dataclass(frozen=True)
class Pixels:
    """Mark of an array port: `kind` of its pixels; by ``channel`` or ``population``, or one alone."""

    kind: Literal["image", "label"]
    by: Literal["channel", "population"] | None = None


Image = Annotated[Stack, Pixels("image")]
Label = Annotated[Stack, Pixels("label")]
Images = Annotated[Mapping[str, Stack], Pixels("image", "channel")]
Labels = Annotated[Mapping[str, Stack], Pixels("label", "population")]
Graph = Annotated[Any, "graph"]


@dataclass(frozen=True)
class Port:
    """One input or output."""

    name: str
    kind: Literal["table", "image", "label", "graph", "value"]
    required: bool = True
    table: type[Table] | None = None
    #: of a table that is read in parts: the columns
    columns: tuple[str, ...] | None = None
    #: what pixels may come as: one array, a mapping by channel or population, or either
    shapes: tuple[str | None, ...] = ()
    annotation: Any = None
    default: Any = None

    def describe(self) -> str:
        """What it is, in words."""
        if self.kind == "table":
            return f"a table {self.table.__name__ if self.table else ''}".rstrip()
        if self.shapes:
            one, many = "an array (T, Y, X)", f"{{{self.shapes[-1]}: (T, Y, X)}}"
            return " or ".join(one if shape is None else many for shape in self.shapes)
        return "a graph" if self.kind == "graph" else _written(self.annotation)


@dataclass(frozen=True)
class Contract:
    """Inputs and outputs of an algorithm class, by name."""

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]

    def tables(self, side: Literal["inputs", "outputs"]) -> list[Port]:
        """Its tables, in the order they are declared."""
        return [port for port in getattr(self, side).values() if port.kind == "table"]


@cache
def contract_of(run: Callable[..., Any]) -> Contract:
    """The contract of a ``run`` function (of a class: ``contract_of(Otsu.run)``).

    Raises ConfigError if an argument has no type, or the result is no ``TypedDict``.
    """
    hints = get_type_hints(run, include_extras=True)
    made = hints.pop("return", None)
    inputs: dict[str, Port] = {}
    for name, parameter in list(inspect.signature(run).parameters.items())[1:]:
        if name not in hints:
            raise ConfigError(f"{run.__qualname__}: input {name!r} has no type")
        required = parameter.default is inspect.Parameter.empty
        inputs[name] = _port(name, hints[name], required, None if required else parameter.default)
    if not hasattr(made, "__required_keys__"):
        raise ConfigError(f"{run.__qualname__} must return a TypedDict that names its outputs")
    returned = get_type_hints(made, include_extras=True)
    optional: frozenset[str] = getattr(made, "__optional_keys__", frozenset())
    outputs = {name: _port(name, hint, name not in optional) for name, hint in returned.items()}
    return Contract(inputs, outputs)


def _port(name: str, hint: Any, required: bool, default: Any = None) -> Port:
    marks, table, columns, shapes = list(_marks(hint)), None, None, []
    for mark in marks:
        if isinstance(mark, Pixels):
            shapes.append(mark.by)
        elif isinstance(mark, Streamed):
            table, columns = mark.table, mark.columns
        elif isinstance(mark, type) and issubclass(mark, Table):
            table = mark
    kind: Any = "value"
    if table is not None:
        kind = "table"
    elif shapes:
        kind = next(mark.kind for mark in marks if isinstance(mark, Pixels))
    elif "graph" in marks:
        kind = "graph"
    order = tuple(sorted(shapes, key=lambda by: by is not None))
    return Port(name, kind, required, table, columns, order, hint, default)


def _marks(hint: Any) -> Iterable[Any]:
    """What an annotation is marked with, through ``Optional``, ``Required`` and ``Annotated``."""
    if get_origin(hint) is Annotated:
        yield from get_args(hint)[1:]
    elif get_origin(hint) is TableOf:
        yield get_args(hint)[0]
    elif get_origin(hint) in (Union, UnionType) or "Required" in str(get_origin(hint)):
        for each in get_args(hint):
            yield from _marks(each)


def admit(
    owner: str, contract: Contract, data: Mapping[str, Any] | Film | None, named: dict[str, Any]
) -> dict[str, Any]:
    """What ``run`` of `owner` is called with: what it declares of `data` and `named`, checked.

    `data` may hold more: it is shared among algorithms. What is `named` must be declared. The key
    ``dataframe`` stands for the first table that is declared and not given by its own name.

    Raises InputError, naming the input that is missing, unknown or of the wrong type, with what was
    expected.
    """
    if not isinstance(data, Mapping | Film | None):
        first = next(iter(contract.inputs), "name")
        raise InputError(
            f"{owner}: inputs are given by name ({owner}(...)({first}=...)), as a film or as a data "
            f"dict; got {type(data).__name__} without a name"
        )
    for name in named:
        if name not in contract.inputs:
            raise InputError(f"{owner}: {unknown('input', name, contract.inputs)}")
    given = {**(data.data() if isinstance(data, Film) else data or {}), **named}
    if given.get("dataframe") is not None:
        columns = set(getattr(given["dataframe"], "columns", ()))
        free = [
            port.name
            for port in contract.tables("inputs")
            if given.get(port.name) is None
            and (port.required or (port.table and columns.issuperset(port.table.key())))
        ]
        if free:
            given[free[0]] = given["dataframe"]
    admitted = {}
    for name, port in contract.inputs.items():
        value = given.get(name)
        if value is not None:
            admitted[name] = _checked(owner, port, value, given)
        elif port.required and name not in given:
            have = sorted(key for key, each in given.items() if each is not None)
            raise InputError(
                f"{owner} needs {name!r}, {port.describe()}, which was not given "
                f"(given: {', '.join(map(str, have)) or 'nothing'})"
            )
        elif port.required:
            if type(None) not in get_args(port.annotation):
                raise InputError(f"{owner} needs {name!r}, {port.describe()}, and got None")
            admitted[name] = None
    return admitted


def _checked(owner: str, port: Port, value: Any, given: Mapping[str, Any]) -> Any:
    if port.kind == "table":
        return _table(owner, port, value)
    if port.shapes:
        return _pixels(owner, port, value, given)
    if port.kind == "value" and not _fits(port.annotation, value):
        raise _mistyped(owner, port, value)
    return value


def _table(owner: str, port: Port, value: Any) -> pd.DataFrame | Parts:
    if isinstance(value, Parts):
        if port.columns is not None:
            return value.only(port.columns)
        assert port.table is not None
        parts = list(value) or [empty(port.table)]  # `run` takes it whole
        value = pd.concat([each for each in parts if len(each)] or parts[:1], ignore_index=True)
    if not isinstance(value, pd.DataFrame):
        if not (hasattr(value, "compute") and hasattr(value, "npartitions")):
            raise _mistyped(owner, port, value)
        value = value.compute()
    assert port.table is not None
    lacking = [name for name in port.table.key(value.columns) if name not in value.columns]
    if lacking:
        have = ", ".join(map(str, value.columns[:12]))
        raise InputError(
            f"{owner}: {port.name!r} must be {port.describe()}, whose rows are named by "
            f"{', '.join(port.table.key())}; this table lacks {', '.join(lacking)} (it has {have})"
        )
    return value if port.columns is None else Parts.of(value).only(port.columns)


def _pixels(owner: str, port: Port, value: Any, given: Mapping[str, Any]) -> Any:
    one, many = None in port.shapes, any(port.shapes)
    if isinstance(value, Mapping):
        if many:
            return {name: _stack(owner, port, stack, name) for name, stack in value.items()}
        if len(value) == 1:
            return _stack(owner, port, next(iter(value.values())))
        raise InputError(
            f"{owner}: {port.name!r} must be one array (T, Y, X), got {len(value)} "
            f"({', '.join(map(str, value))}): give one of them, of a film `film.only(channel)`"
        )
    stack = _stack(owner, port, value)
    if one:
        return stack
    name = given.get("population") if port.kind == "label" else None
    return {str(name or port.name): stack}


def _stack(owner: str, port: Port, value: Any, name: str = "") -> Any:
    if getattr(value, "ndim", None) is None or not hasattr(value, "shape"):
        raise _mistyped(owner, port, value)
    if value.ndim != 3:
        raise InputError(
            f"{owner}: {port.name!r}{f' of {name!r}' if name else ''} must be {port.describe()}, got "
            f"shape {tuple(value.shape)}; put a length-1 time axis before a still image: image[None]"
        )
    if port.kind == "label" and np.dtype(value.dtype).kind not in "iub":
        raise InputError(
            f"{owner}: {port.name!r} must be whole numbers (0: background), got {value.dtype}"
        )
    return value


_KINDS: dict[Any, Any] = {int: Integral, float: Real, str: str, bool: (bool, np.bool_)}


def _fits(annotation: Any, value: Any) -> bool:
    """Whether a plain value is of a plain type; types that are not plain are not looked at."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return any(_fits(each, value) for each in inner)
    if origin is Annotated:
        return _fits(inner[0], value)
    kind = origin or annotation
    if kind is type(None):
        return value is None
    if kind in _KINDS:
        return isinstance(value, _KINDS[kind]) and not (
            kind is not bool and isinstance(value, bool)
        )
    if kind is Mapping or kind is dict:
        return isinstance(value, Mapping)
    return True


def _mistyped(owner: str, port: Port, value: Any) -> InputError:
    shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
    shown = f" {value!r}" if isinstance(value, str | int | float | bool) else ""
    return InputError(
        f"{owner}: {port.name!r} must be {port.describe()}, got {type(value).__name__}{shape}{shown}"
    )


def _written(annotation: Any) -> str:
    name = getattr(annotation, "__name__", None) if not get_args(annotation) else None
    return str(name or annotation).replace("typing.", "").replace("collections.abc.", "")
