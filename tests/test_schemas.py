from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from pandera.errors import SchemaError
from pandera.typing import Index, Series

from cyto_kedro import schemas
from cyto_kedro.errors import ConfigError, InputError
from cyto_kedro.partitions import Partitions
from cyto_kedro.schemas import TABLES, EachPartition, check, check_form, conform, empty
from cyto_kedro.schemas.base import Table, _columns, _is_of_columns, _plainly_right
from test_partitions import Store


def frames(**columns: list[Any]) -> pd.DataFrame:
    """Two good rows of `schemas.Frames`, with columns replaced."""
    good = {"fov": ["a", "a"], "frame": [0, 1], "time_s": [0.0, None], "excluded": [False, True]}
    return pd.DataFrame({**good, **columns})


def test_a_table_is_a_class_of_a_room_that_says_its_key() -> None:
    assert TABLES["track_points"] is schemas.TrackPoints
    assert TABLES["effectors"] is schemas.EffectorTallies
    assert not {"grouped", "curve", "response", "located", "pair"} & set(TABLES)

    class Steps(Table, key="fov frame"):
        """Of a package of its own."""

    assert Steps.called() == "steps" and TABLES["steps"] is schemas.Steps
    assert [name for name, table in TABLES.items() if table.called() != name] == []


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_table_is_valid_and_keeps_its_dtypes(name: str) -> None:
    table = TABLES[name]
    made = empty(table)
    check(table, made)
    assert len(made) == 0 and set(table.key()) <= set(made.columns)
    again = conform(table, made)
    assert again.dtypes.to_dict() == made.dtypes.to_dict()


@pytest.mark.parametrize("name", TABLES)
def test_a_micrometre_or_minute_column_may_be_null_but_a_pixel_column_must_not(name: str) -> None:
    columns = TABLES[name].to_schema().columns
    pairs = [(each, f"{each.removesuffix('_px')}_um") for each in columns if each.endswith("_px")]
    for _, um in pairs:
        assert um not in columns or columns[um].nullable
    for each, column in columns.items():
        if each.endswith(("_um", "_um2", "_min", "_um_per_min")):
            assert column.nullable, f"{name}.{each}: null where the film is uncalibrated"


@pytest.mark.parametrize("name", sorted(TABLES))
def test_columns_read_off_annotations_are_panderas(name: str) -> None:
    def said(checks: Any) -> list[Any]:
        return [(each.name, each.statistics) for each in checks]

    panderas = [
        (column, each.dtype.type, each.required, each.nullable, said(each.checks))
        for column, each in TABLES[name].to_schema().columns.items()
    ]
    read = _columns(TABLES[name])
    assert panderas == [(column, *each[:-1], said(each.checks)) for column, each in read.items()]
    assert _is_of_columns(TABLES[name])


def test_what_a_table_asks_beyond_its_columns_is_asked_of_pandera() -> None:
    class Numbers(Table):
        number: Series[int]

    class Small(Numbers):
        @pa.check("number")
        @classmethod
        def small(cls, number: Series[int]) -> Series[bool]:
            return number < 3

    class Strict(Numbers):
        class Config:
            strict = True

    class Unique(Table):
        number: Series[int] = pa.Field(unique=True)

    class Indexed(Numbers):
        place: Index[int] = pa.Field(ge=7)

    good = pd.DataFrame({"number": [1, 2]})
    assert _is_of_columns(Numbers) and check(Numbers, good) is good
    for table, bad in (
        (Small, pd.DataFrame({"number": [1, 3]})),
        (Strict, good.assign(more=1)),
        (Unique, pd.DataFrame({"number": [1, 1]})),
        (Indexed, good),
    ):
        assert not _is_of_columns(table)
        with pytest.raises(InputError, match=f"table {table.__name__}"):
            check(table, bad)
    assert check(Small, good) is good


def test_conform_orders_and_types_columns_and_keeps_others() -> None:
    messy = pd.DataFrame(
        {"note": ["x"], "excluded": [0], "frame": [1.0], "fov": ["a"], "time_s": [3]}, index=[9]
    )
    made = conform(schemas.Frames, messy)
    assert list(made.columns) == ["fov", "frame", "time_s", "excluded", "note"]
    assert made.index.tolist() == [0]
    assert made["frame"].dtype == "int64" and made["time_s"].dtype == "float64"
    check(schemas.Frames, made)


def test_a_missing_column_is_named_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match=r"table Frames: column 'time_s' is missing.*'time'"):
        conform(schemas.Frames, frames().rename(columns={"time_s": "time"}))


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"frame": [0, -1]}, r"frame.*-1"),
        ({"frame": [0.0, 1.0]}, r"frame.*float64"),
        ({"excluded": ["no", "no"]}, r"excluded"),
        ({"fov": ["a", None]}, r"fov.*null"),
        ({"frame": [0, 0]}, r"1 rows repeat the key \['fov', 'frame'\]; first: .*'frame': 0"),
    ],
)
def test_a_bad_table_is_refused_naming_partition_column_and_value(
    columns: dict[str, list[Any]], named: str
) -> None:
    with pytest.raises(InputError, match=rf"(?s)table Frames, partition a/T:.*{named}"):
        check(schemas.Frames, frames(**columns), "a/T")


def test_each_partition_is_checked_as_it_is_saved() -> None:
    validator = EachPartition("frames")
    saved = validator.validate({"a/T": frames(), "b/T": frames()})
    assert list(saved) == ["a/T", "b/T"]
    with pytest.raises(InputError, match=r"table Frames, partition b/T:.*excluded"):
        validator.validate({"a/T": frames(), "b/T": frames(excluded=["x", "y"])})


def test_each_partition_is_checked_as_it_is_loaded_and_not_before() -> None:
    source = Store("fov", {"a": frames(), "b": frames(frame=[0.0, 1.0])})
    loaded = EachPartition("frames").validate(Partitions(source))
    assert isinstance(loaded, Partitions) and source.opened == [] and source.listed == 0
    assert len(loaded["a"]()) == 2
    with pytest.raises(InputError, match=r"partition b:.*'frame' is float64, not int64"):
        loaded["b"]()


def test_plain_load_functions_and_plain_tables_are_checked_too() -> None:
    validator = EachPartition("frames")
    bad = frames(frame=[0, -1])
    with pytest.raises(InputError, match="table Frames: "):
        validator.validate(bad)
    lazy = validator.validate({"a": lambda: bad, "b": lambda: bad.drop(columns="frame")})
    assert lazy["a"]() is bad  # values are checked as they are saved
    with pytest.raises(InputError, match=r"column 'frame' is missing.*partition b"):
        lazy["b"]()


@pytest.mark.parametrize("name", TABLES)
def test_what_every_table_is_saved_as_has_its_form(name: str, tmp_path: Path) -> None:
    made = empty(TABLES[name])
    made.to_parquet(tmp_path / "t.parquet")
    again = pd.read_parquet(tmp_path / "t.parquet")
    assert check_form(TABLES[name], again, "a") is again
    for column, dtype in made.dtypes.items():
        other = again.astype({column: "float32" if dtype.kind != "O" else "int64"})
        with pytest.raises(InputError, match=rf"partition a: column '{column}'"):
            check_form(TABLES[name], other, "a")


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(InputError, match="expected a table, got list"):
        EachPartition("frames").validate([1])
    with pytest.raises(ConfigError, match=r"unknown table 'frame'\. Did you mean 'frames'"):
        EachPartition("frame")


def test_a_table_of_few_columns_is_filled_with_nothing_known():
    rows = {"track_id": [1, 1], "frame": [0, 1], "x_px": 2.0, "y_px": 3.0}
    table = schemas.filled(schemas.TrackPoints, rows)
    needed = schemas.empty(schemas.TrackPoints).drop(columns="repaired")  # may be missing
    assert table.dtypes.to_dict() == needed.dtypes.to_dict()
    assert table[["time_min", "x_um", "label"]].isna().all(axis=None)
    assert not table["interpolated"].any() and table["x_px"].tolist() == [2.0, 2.0]


def _valid(table: type[Table]) -> pd.DataFrame:
    """Two rows that `table` accepts."""
    columns = {}
    for name, column in table.to_schema().columns.items():
        limits = {rule.name: next(iter(rule.statistics.values())) for rule in column.checks}
        least = limits.get("greater_than_or_equal_to", limits.get("greater_than", -2) + 1)
        value = limits["isin"][0] if "isin" in limits else "a"
        if column.dtype.type.kind != "U":
            value = min(least, limits.get("less_than_or_equal_to", least))
        columns[name] = pd.Series([value, value]).astype(column.dtype.type)
    return pd.DataFrame(columns)


def _pandera_accepts(table: type[Table], frame: pd.DataFrame) -> bool:
    try:
        table.validate(frame)
    except SchemaError:
        return False
    return True


def _kinds_of_columns() -> dict[str, tuple[type[Table], str]]:
    """A table and column for every dtype and set of rules that columns have."""
    kinds = {}
    for table in TABLES.values():
        for name, column in table.to_schema().columns.items():
            rules = sorted(f"{rule.name} {rule.statistics}" for rule in column.checks)
            kinds[f"{column.dtype} {column.nullable} {column.required} {rules}"] = table, name
    return kinds


@pytest.mark.parametrize("kind", _kinds_of_columns())
def test_what_is_plainly_right_is_what_pandera_accepts(kind: str) -> None:
    table, column = _kinds_of_columns()[kind]
    frame = _valid(table)
    assert _plainly_right(table, frame) and _pandera_accepts(table, frame)
    others = [frame[column].astype(object)]
    for value in (-1, 0, 2, 1e9, np.inf, np.nan, None, pd.NA, "b", True, 1.5):
        changed = frame[column].astype(object)
        changed[1] = value
        others.append(changed)
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            others.append(changed.astype(frame[column].dtype))
    for dtype in ("float32", "int32", "str", "string", "Int64"):
        with contextlib.suppress(TypeError, ValueError):
            others.append(frame[column].astype(dtype))
    verdicts = set()
    for other in others:
        trial = frame.assign(**{column: other})
        plain = _plainly_right(table, trial)
        # pandera takes Int64 for int64, and is then asked itself
        assert not plain or _pandera_accepts(table, trial), (other.dtype, list(other))
        verdicts.add(plain)
    assert verdicts == {True, False}
    required = table.to_schema().columns[column].required
    assert _plainly_right(table, frame.drop(columns=column)) is not required
    assert not _plainly_right(table, pd.concat([frame, frame.iloc[:, :1]], axis=1))
