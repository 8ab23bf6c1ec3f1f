"""Partitions stacked as they are read, beside pandas' own stacking of the same partitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cyto_kedro import schemas
from cyto_kedro.datasets import PartitionedDataset, TableDataset, stacking
from cyto_kedro.errors import InputError, PartitionError
from cyto_kedro.partitions import Partitions
from cyto_kedro.pipelines.common import join


def parts(folder: Path, suffix: str = ".parquet", **more: Any) -> PartitionedDataset:
    return PartitionedDataset(
        path=str(folder / "kills"),
        **{"dataset": TableDataset, "grain": "fov", "filename_suffix": suffix, **more},
    )


def table(fov: str, n: int) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    return pd.DataFrame(
        {
            "fov": np.array([fov] * n, object),
            "frame": np.arange(n),
            "x_um": rng.random(n),
            "past_track_id": pd.array([None, *range(1, n)][:n], "Int64"),
            "dead": rng.random(n) < 0.5,
        }
    )


def written(folder: Path, tables: dict[str, pd.DataFrame], suffix: str = ".parquet") -> Partitions:
    dataset = parts(folder, suffix)
    dataset.save(dict(tables))
    return dataset.load()


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("names", [None, ("frame", "past_track_id", "absent")])
@pytest.mark.parametrize("most", [1, 7, 250_000])
def test_what_is_stacked_is_what_pandas_makes_of_the_partitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, names: Any, suffix: str
) -> None:
    monkeypatch.setattr(stacking, "STACK_ROWS", most)
    tables = {fov: table(fov, n) for fov, n in (("A1", 5), ("A2", 0), ("A3", 2), ("A4", 4))}
    if suffix == ".csv":  # an empty text tells no type
        del tables["A2"]
    wanted = ["A4", *sorted(tables)]
    saved = written(tmp_path, tables, suffix)
    one_by_one = [saved[each]() if names is None else saved.columns(each, names) for each in wanted]
    stacks = list(saved.stacked(wanted, names))
    assert [len(each) for each in stacks] == {
        (7, ".parquet"): [4, 7, 4],
        (250_000, ".parquet"): [15],
    }.get((most, suffix), [4, 5, 2, 4])
    expected = join(one_by_one, schemas.Fates)
    pd.testing.assert_frame_equal(join(stacks, schemas.Fates), expected)


def test_one_without_rows_takes_the_form_of_those_around_it(tmp_path: Path) -> None:
    tables = {fov: table(fov, n) for fov, n in (("A1", 0), ("A2", 3), ("A3", 0))}
    saved = written(tmp_path, tables)
    (stack,) = saved.stacked(["A1", "A3", "A2", "A3", "A2", "A1"])
    pd.testing.assert_frame_equal(stack, pd.concat([tables["A2"]] * 2, ignore_index=True))


def test_a_partition_of_another_form_stands_alone_and_changes_no_other(tmp_path: Path) -> None:
    further = table("A2", 3).assign(area_px=[1, 2, 3], frame=[0.5, 1.5, 2.5])
    saved = written(tmp_path, {"A1": table("A1", 2), "A2": further, "A3": table("A3", 4)})
    stacks = list(saved.stacked(["A1", "A2", "A3", "A1"]))
    assert [list(each["fov"].unique()) for each in stacks] == [["A1"], ["A2"], ["A3", "A1"]]
    assert [each["frame"].dtype.kind for each in stacks] == ["i", "f", "i"]
    pd.testing.assert_frame_equal(stacks[1], further)


def test_tables_that_were_indexed_are_numbered_anew(tmp_path: Path) -> None:
    odd = {fov: table(fov, 3).set_axis([7, 9, 2]) for fov in ("A1", "A2")}
    (stack,) = written(tmp_path, odd).stacked(["A1", "A2"])
    expected = pd.concat(odd.values(), ignore_index=True)
    pd.testing.assert_frame_equal(stack, expected)


def test_one_that_is_not_there_is_named_and_one_that_is_optional_has_no_rows(
    tmp_path: Path,
) -> None:
    saved = written(tmp_path, {"A1": table("A1", 2)})
    with pytest.raises(PartitionError, match="'A2' is planned but not at"):
        list(saved.stacked(["A1", "A2"]))
    lenient = parts(tmp_path, optional=True).load()
    assert [len(each) for each in lenient.stacked(["A2", "A1", "A3"])] == [2]


def test_what_was_read_is_remembered_until_it_is_forgotten(tmp_path: Path) -> None:
    saved = written(tmp_path, {"A1": table("A1", 2), "A2": table("A2", 3)})
    list(saved.stacked(["A1", "A2"]))
    was = saved.as_read("A2")
    parts(tmp_path).save({"A2": table("A2", 9)})
    assert saved.as_read("A2") == was
    assert saved.changed() == ["A2"]


def test_the_partition_whose_form_is_wrong_is_named(tmp_path: Path) -> None:
    right = schemas.filled(
        schemas.Kills,
        pd.DataFrame({"fov": ["A1", "A1"], "target_track_id": [1, 2], "death_frame": [3, 4]}),
    )
    wrong = right.assign(death_frame=[3.5, 4.5])
    saved = written(tmp_path, {"A1": right, "A2": right, "A3": wrong, "A4": wrong})
    checked = schemas.EachPartition("kills").validate(saved)
    first = next(checked.stacked(["A1", "A2"]))
    pd.testing.assert_frame_equal(first, pd.concat([right, right], ignore_index=True))
    with pytest.raises(InputError, match="partition A3: column 'death_frame' is float64"):
        list(checked.stacked(["A1", "A2", "A3", "A4"]))
    # and where nulls alone make the form wrong, of a partition in the middle of a stack
    torn = tmp_path / "kills" / "A2.parquet"
    nulls = right.assign(death_frame=pd.array([3, None], "Int64"))
    meant = pa.Table.from_pandas(right).schema
    pq.write_table(pa.Table.from_pandas(nulls).replace_schema_metadata(meant.metadata), torn)
    with pytest.raises(InputError, match="partition A2: column 'death_frame'"):
        list(checked.stacked(["A1", "A2"]))


def test_a_source_that_cannot_stack_gives_its_partitions_one_by_one() -> None:
    class Plain:
        name, grain = "plain", ("fov",)

        def load_one(self, identity: str) -> pd.DataFrame:
            return table(identity, 2)

        def list_ids(self) -> list[str]:
            return ["A1", "A2"]

        def content(self, identity: str) -> str:
            return identity

    stacks = list(Partitions(Plain()).stacked(["A2", "A1"], ("fov",)))
    assert [list(each["fov"]) for each in stacks] == [["A2", "A2"], ["A1", "A1"]]
