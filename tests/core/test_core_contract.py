"""The door of an algorithm: what it declares is checked, what it does not declare it cannot see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, TypedDict

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.core.contract import Image, Images, Label, Labels, Parts, Streamed, TableOf
from cyto_kedro.core.film import Film
from cyto_kedro.errors import ConfigError, InputError


class Counted(TypedDict):
    cells: TableOf[schemas.Cells]
    n: int


class Count(Algorithm):
    def run(
        self,
        cells: TableOf[schemas.Cells],
        track_points: TableOf[schemas.TrackPoints] | None = None,
        pixel_size_um: float | None = None,
        fov: str = "fov1",
    ) -> Counted:
        n = len(cells) + (0 if track_points is None else len(track_points))
        return {"cells": cells, "n": n}


class Seen(TypedDict):
    seen: Any


class Look(Algorithm):
    def run(self, image: Image, label: Label | None = None) -> Seen:
        return {"seen": image}


class LookAtAll(Algorithm):
    def run(self, image: Images, label: Labels | None = None, population: str = "") -> Seen:
        return {"seen": {"image": image, "label": label}}


@pytest.fixture
def cells() -> pd.DataFrame:
    return pd.DataFrame({"fov": "a", "population": "T", "frame": [0, 1], "label": [1, 1]})


def test_inputs_come_in_a_dict_by_name_or_both(cells: pd.DataFrame) -> None:
    assert Count()({"cells": cells, "image": "not declared, so not seen"})["n"] == 2
    assert Count()(cells=cells)["n"] == 2
    assert Count()({"cells": cells.iloc[:1]}, cells=cells)["n"] == 2


def test_dataframe_stands_for_the_first_table_not_given_by_name(cells: pd.DataFrame) -> None:
    points = cells.assign(track_id=1)
    made = Count()({"dataframe": cells})
    assert made["n"] == 2 and made["dataframe"] is made["cells"]
    assert Count()({"cells": cells, "dataframe": points})["n"] == 4


def test_a_dask_table_is_computed_at_the_door(cells: pd.DataFrame) -> None:
    made = Count()(cells=dd.from_pandas(cells, npartitions=2))
    assert isinstance(made["cells"], pd.DataFrame) and made["n"] == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"Count needs 'cells', a table Cells, which was not given \(given: nothing\)"),
        ({"cells": None}, "needs 'cells', a table Cells, and got None"),
        ({"cells": [1]}, "'cells' must be a table Cells, got list"),
        ({"cells": pd.DataFrame({"fov": ["a"]})}, "this table lacks population, frame, label"),
        ({"cells": "ok", "pixel_size_um": "0.65"}, "must be a table"),
    ],
)
def test_what_is_missing_or_mistyped_is_refused_by_name(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Count()(given)


def test_a_plain_value_of_the_wrong_type_is_refused(cells: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"'pixel_size_um' must be float \| None, got str '0.65'"):
        Count()(cells=cells, pixel_size_um="0.65")
    assert Count()(cells=cells, pixel_size_um=np.float32(1))["n"] == 2


def test_a_misspelt_name_is_refused_with_the_nearest(cells: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"unknown input 'cels'\. Did you mean 'cells'"):
        Count()(cels=cells)


def test_an_array_without_a_name_is_told_how_inputs_are_given() -> None:
    with pytest.raises(
        InputError, match=r"Look\(\.\.\.\)\(image=\.\.\.\).*got ndarray without a name"
    ):
        Look()(np.zeros((2, 4, 4)))
    with pytest.raises(InputError, match="channels are given by name"):
        Film(np.zeros((2, 4, 4)))


def test_one_array_or_a_mapping_numpy_or_dask() -> None:
    stack = np.zeros((2, 4, 4))
    assert Look()(image=stack)["seen"] is stack
    assert Look()(image={"A": stack})["seen"] is stack
    assert isinstance(Look()(image=da.from_array(stack))["seen"], da.Array)
    labels = np.zeros((2, 4, 4), np.uint32)
    seen = LookAtAll()(image=stack, label=labels, population="T")["seen"]
    assert list(seen["image"]) == ["image"] and list(seen["label"]) == ["T"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image": np.zeros((4, 4))}, r"shape \(4, 4\); put a length-1 time axis"),
        ({"image": {"A": np.zeros((1, 2, 2)), "B": np.zeros((1, 2, 2))}}, r"got 2 \(A, B\)"),
        ({"image": [[1]]}, "must be an array"),
        ({"image": np.zeros((1, 2, 2)), "label": np.zeros((1, 2, 2))}, "must be whole numbers"),
    ],
)
def test_arrays_of_another_kind_are_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Look()(given)


def test_a_film_is_taken_as_it_is() -> None:
    film = Film({"A": np.zeros((3, 4, 5)), "B": np.ones((3, 4, 5))}, pixel_size_um=0.5)
    assert Look()(film.only("B"))["seen"].max() == 1
    assert film.frames(slice(1, None)).n_frames == 2 and film.shape == (4, 5)
    with pytest.raises(InputError, match="unknown channel 'C'"):
        film.only("C")
    with pytest.raises(InputError, match="one shape"):
        Film({"A": np.zeros((3, 4, 5)), "B": np.zeros((2, 4, 5))})
    with pytest.raises(InputError, match="3 ascending minutes"):
        Film({"A": np.zeros((3, 4, 5))}, time_min=[0, 0, 1])


def test_a_class_that_declares_nothing_is_told_so() -> None:
    class Untyped(Algorithm):
        def run(self, cells):  # type: ignore[no-untyped-def]
            return {}

    class NoOutputs(Algorithm):
        def run(self, fov: str) -> dict[str, int]:
            return {}

    with pytest.raises(ConfigError, match="input 'cells' has no type"):
        Untyped()(cells=1)
    with pytest.raises(ConfigError, match="TypedDict"):
        NoOutputs()(fov="a")


def test_the_contract_names_every_port() -> None:
    contract = Count.contract()
    assert [port.required for port in contract.inputs.values()] == [True, False, False, False]
    assert contract.outputs["cells"].table is schemas.Cells
    assert LookAtAll.contract().inputs["label"].describe() == "{population: (T, Y, X)}"


class NumberOfFrames(TypedDict):
    """How many frames."""

    n: int


class CountsFrames(Algorithm):
    """Reads two columns of a table in parts."""

    def run(
        self,
        track_points: Annotated[
            Iterable[pd.DataFrame], Streamed(schemas.TrackPoints, "frame dead")
        ],
    ) -> NumberOfFrames:
        parts = list(track_points)
        assert all(set(part) <= {"frame", "dead"} for part in parts)
        assert [len(part) for part in track_points] == [len(part) for part in parts]  # again
        return {"n": sum(len(part) for part in parts)}


def test_a_table_in_parts_is_handed_its_columns_part_by_part() -> None:
    table = schemas.filled(
        schemas.TrackPoints, {"track_id": 1, "frame": [0, 1, 2], "x_px": 1.0, "y_px": 1.0}
    )
    asked: list[object] = []

    def opened(columns: tuple[str, ...] | None) -> Iterator[pd.DataFrame]:
        asked.append(columns)
        yield from (table[["frame"]][:1], table[["frame"]][1:])

    assert CountsFrames()(track_points=table)["n"] == 3
    assert CountsFrames()(track_points=Parts(opened))["n"] == 3
    assert set(asked) == {("frame", "dead")}
    cells = Parts.of(schemas.filled(schemas.Cells, {"frame": [0, 1], "label": 1}))
    assert Count()(cells=cells)["n"] == 2  # it takes the table whole
    nothing = Parts(lambda columns: iter(()))
    assert list(Count()(cells=nothing)["cells"]) == list(schemas.dtypes(schemas.Cells))
    with pytest.raises(InputError, match="lacks"):
        CountsFrames()(track_points=table[["frame"]])
