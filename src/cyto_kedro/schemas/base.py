"""What all tables share: their base, and how one is made empty, put in form, checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from inspect import getattr_static
from typing import Any, ClassVar, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.engines import pandas_engine
from pandera.typing import DataFrame as TableOf
from pandera.typing import Series

from cyto_kedro.errors import InputError, missing

STATS = ("sum", "mean", "median", "sd", "min", "max")
END_REASONS = ("film_end", "border", "lost", "division", "merge")
ROLES = ("effector", "target", "other")


def known(description: str | None = None, **checks: Any) -> Any:
    """A column that always has a value."""
    return pa.Field(description=description, **checks)


def nullable(description: str | None = None, **checks: Any) -> Any:
    """A column that is empty where the value is unknown, such as µm without a pixel size."""
    return pa.Field(nullable=True, description=description, **checks)


class Table(pa.DataFrameModel):
    """Base: columns in any order, more columns than named are allowed.

    ``class Steps(Table, key="fov frame")`` says which columns name a row: a class that says so is a
    table of the data, called `steps` unless it says ``called=``; one that does not is a base.
    """

    _key: ClassVar[tuple[str, ...]] = ()
    _called: ClassVar[str] = ""

    class Config:
        strict = False
        coerce = False

    def __init_subclass__(cls, key: str = "", called: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._key = tuple(key.split()) or cls._key
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        cls._called = (called or snake) if key else ""

    @classmethod
    def key(cls, given: Collection[str] | None = None) -> list[str]:
        """Columns that together name a row; no two rows share them.

        Of columns that a table may lack, only those among `given`, where that is said.
        """
        if given is None:
            return list(cls._key)
        return [name for name in cls._key if name in given or _columns(cls)[name].required]

    @classmethod
    def called(cls) -> str:
        """The table's name; empty for a base."""
        return cls._called


T = TypeVar("T", bound=Table)


class PerFov(Table):
    fov: Series[str]


class PerPopulation(PerFov):
    population: Series[str]


class PerTrack(PerPopulation):
    track_id: Series[int] = known(ge=1)


class Column(NamedTuple):
    """A column of a table: its pandas dtype, and what pandera asks of it."""

    dtype: Any
    required: bool
    nullable: bool
    checks: tuple[Any, ...]


_FIELD = type(pa.Field())


@cache
def _dtype(annotation: Any) -> Any:
    """pandas' dtype of an annotation; pandera, asked for each column, looks for ibis each time."""
    return pandas_engine.Engine.dtype(annotation).type


@cache
def _columns(table: type[Table]) -> dict[str, Column]:
    """The columns of `table` by name.

    Read off the annotations, as pandera does, which imports dask.dataframe to make a schema.
    """
    found = {}
    for attribute, hint in get_type_hints(table).items():
        required = get_origin(hint) is Series
        for column in (
            (hint,) if required else get_args(hint)
        ):  # Series[float] | None: may be lacking
            if get_origin(column) is Series:
                field = getattr_static(table, attribute)
                found[field.name] = Column(
                    _dtype(get_args(column)[0]), required, field.nullable, tuple(field.checks)
                )
    return found


@cache
def _is_of_columns(table: type[Table]) -> bool:
    """Whether `_columns` says all that `table` asks: no method, index or Config of its own."""
    own = [each for each in table.__mro__ if issubclass(each, Table) and each is not Table]
    given = [item for each in own for item in vars(each).items() if item[0][0] != "_"]
    fields = [value for name, value in given if name != "Config"]
    config = {name for each in own for name in vars(each.Config) if name[0] != "_"}
    return (
        all(isinstance(each, _FIELD) and not (each.unique or each.regex) for each in fields)
        and {each.name for each in fields} == {*_columns(table)}
        and config <= {"name"}
    )


def dtypes(table: type[Table]) -> dict[str, Any]:
    """Column name -> pandas dtype of `table`, in its order."""
    return {name: column.dtype for name, column in _columns(table).items()}


def empty(table: type[T]) -> TableOf[T]:
    """A table without rows: every column of the schema, with its dtype."""
    columns = {name: pd.Series(dtype=dtype) for name, dtype in dtypes(table).items()}
    return cast("TableOf[T]", pd.DataFrame(columns))


def or_empty(given: TableOf[T] | None, table: type[T]) -> TableOf[T]:
    """`given`, or where there is none a table of that kind without rows."""
    return empty(table) if given is None else given


def _present(
    table: type[Table], given: Collection[str], of: Collection[str] | None = None
) -> dict[str, Any]:
    """Column name -> dtype of those columns of `table` that are among `given`.

    Raises InputError if one that must be there is missing (`of`: one of these).
    """
    for name, column in _columns(table).items():
        if column.required and name not in given and (of is None or name in of):
            raise InputError(f"table {table.__name__}: {missing('column', name, given)}")
    return {name: dtype for name, dtype in dtypes(table).items() if name in given}


def conform(table: type[T], frame: pd.DataFrame) -> TableOf[T]:
    """Put `frame` in the schema's dtypes, its columns first, others after; index reset.

    Raises InputError if a column of the schema is missing.
    """
    wanted = _present(table, frame.columns)
    others = [name for name in frame.columns if name not in wanted]
    formed = frame[[*wanted, *others]].reset_index(drop=True)
    other = {name: dtype for name, dtype in wanted.items() if not _is_of(formed[name], dtype)}
    return cast("TableOf[T]", formed.astype(other) if other else formed)


def _is_of(column: pd.Series, dtype: Any) -> bool:
    """Whether ``column.astype(dtype)`` would change nothing."""
    if dtype.kind != "U":
        return bool(column.dtype == dtype)
    texts = ("string", "empty")
    return column.dtype == object and pd.api.types.infer_dtype(column, skipna=False) in texts


def filled(table: type[T], rows: Mapping[str, Any] | pd.DataFrame) -> TableOf[T]:
    """Rows of which only some columns are known, in form: a table made elsewhere, or by hand.

    Columns that must be there and are not are null; whole numbers 0, texts empty, truths false.

    Examples
    --------
    >>> from cyto_kedro.schemas import TrackPoints
    >>> rows = {"track_id": 1, "frame": [0, 1], "label": 1, "x_px": [2.0, 3.0], "y_px": 5.0}
    >>> filled(TrackPoints, rows)[["track_id", "frame", "time_min", "interpolated"]].values.tolist()
    [[1, 0, nan, False], [1, 1, nan, False]]
    """
    frame = pd.DataFrame(rows)
    for name, column in _columns(table).items():
        if column.required and name not in frame:
            dtype = pd.Series(dtype=column.dtype).dtype
            none: Any = {"i": 0, "u": 0, "b": False, "f": np.nan}.get(dtype.kind, "")
            frame[name] = pd.NA if str(dtype) == "Int64" else none
    return conform(table, frame)


def from_columns(table: type[T], columns: Mapping[str, np.ndarray]) -> TableOf[T]:
    """The same from arrays of one length (texts as object arrays), at a tenth of the cost.

    Raises InputError if a column of the schema is missing.
    """
    wanted = _present(table, columns)
    ordered = {
        name: columns[name]
        if columns[name].dtype == object
        else columns[name].astype(dtype, copy=False)
        for name, dtype in wanted.items()
    }
    others = {name: column for name, column in columns.items() if name not in wanted}
    return cast("TableOf[T]", pd.DataFrame(ordered | others, copy=False))


def check_form(
    table: type[Table], frame: pd.DataFrame, where: str, columns: Collection[str] | None = None
) -> pd.DataFrame:
    """Return `frame` if it has the columns of `table` with their dtypes; values are not looked at.

    `columns`: only these were read. What was saved was checked whole then (`check`): reading it
    again needs a twentieth of the time.

    Raises
    ------
    InputError
        Naming the table, the partition (`where`) and the column.
    """
    found = {str(name): dtype for name, dtype in frame.dtypes.items()}
    try:
        wanted = _present(table, found, columns)
    except InputError as error:
        raise InputError(f"{error} (partition {where})") from error
    for name, dtype in wanted.items():
        texts = dtype.kind == "U" and found[name].kind == "O"
        if not texts and found[name] != dtype:
            raise InputError(
                f"table {table.__name__}, partition {where}: column {name!r} is {found[name]}, not "
                f"{pd.Series(dtype=dtype).dtype}: the file was changed, or made by another version. "
                "Delete it, and run again"
            )
    return frame


# pandera's names of the checks that `_plainly_right` knows, and when one is broken; nulls break none
_BROKEN: dict[str, Callable[[Any, Any], Any]] = {
    "greater_than_or_equal_to": lambda values, least: (values < least).any(),
    "greater_than": lambda values, least: (values <= least).any(),
    "less_than_or_equal_to": lambda values, most: (values > most).any(),
    "isin": lambda values, allowed: not set(pd.Series(values).dropna().unique()) <= set(allowed),
}


def _plainly_right(table: type[Table], frame: pd.DataFrame) -> bool:
    """Whether `frame` surely satisfies `table`: pandera's checks, on arrays and without its reports.

    False where pandera is to be asked.
    """
    if not (_is_of_columns(table) and frame.columns.is_unique):
        return False
    given = dict(frame.items())
    for name, column in _columns(table).items():
        if name not in given:
            if column.required:
                return False
            continue
        dtype, series = column.dtype, given[name]
        values = series.array if isinstance(series.dtype, pd.Int64Dtype) else series.to_numpy()
        if dtype.kind == "U":
            kind = pd.api.types.infer_dtype(values, skipna=column.nullable)
            right = kind in ("string", "empty")
        else:
            right = series.dtype == dtype and (column.nullable or not pd.isna(values).any())
        if not right:
            return False
        for rule in column.checks:
            broken, limits = _BROKEN.get(rule.name), tuple((rule.statistics or {}).values())
            if broken is None or len(limits) != 1 or broken(values, limits[0]):
                return False
    return True


def check(table: type[Table], frame: pd.DataFrame, where: str = "") -> pd.DataFrame:
    """Return `frame` if it satisfies `table`.

    Raises InputError, naming the table, the partition (`where`), the column, the rule and the first
    bad value.
    """
    place = f"table {table.__name__}" + (f", partition {where}" if where else "")
    if not _plainly_right(table, frame):
        try:
            table.validate(frame, lazy=False)
        except (pa.errors.SchemaError, pa.errors.SchemaErrors) as error:
            raise InputError(f"{place}: {error}") from error
    key = table.key(frame.columns)
    twice = frame.duplicated(key) if key else pd.Series(False, index=frame.index)
    if twice.any():
        first = frame.loc[twice, key].iloc[0].to_dict()
        raise InputError(f"{place}: {int(twice.sum())} rows repeat the key {key}; first: {first}")
    return frame
