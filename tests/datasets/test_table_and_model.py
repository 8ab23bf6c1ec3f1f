"""Tables keep their dtypes and can be read together; models are checked as they load."""

from __future__ import annotations

import json

import dask.dataframe as dd
import pandas as pd
import pytest
from kedro.io import DatasetError
from pydantic import BaseModel

from cyto_kedro import schemas
from cyto_kedro.datasets.model import ModelDataset
from cyto_kedro.datasets.partitioned import PartitionedDataset
from cyto_kedro.datasets.raw_scan import RawChannel
from cyto_kedro.datasets.table import TableDataset
from cyto_kedro.errors import InputError


def table():
    return pd.DataFrame(
        {
            "fov": ["a", "b"],
            "label": pd.array([3, None], dtype="Int64"),
            "x_um": [0.5, None],
            "dead": [True, False],
            "frame": [0, 1],
        }
    )


@pytest.mark.parametrize("url", ["{tmp}/f/a.parquet", "memory://{name}/a.parquet"])
def test_dtypes_come_back(tmp_path, url):
    dataset = TableDataset(filepath=url.format(tmp=tmp_path, name=tmp_path.name))
    dataset.save(table())
    pd.testing.assert_frame_equal(dataset.load(), table())
    empty = schemas.empty(schemas.Tracks)
    dataset.save(empty)
    pd.testing.assert_frame_equal(dataset.load(), empty)
    schemas.check(schemas.Tracks, dataset.load())


def test_csv(tmp_path):
    dataset = TableDataset(filepath=tmp_path / "a.csv", load_args={"dtype": {"label": "Int64"}})
    dataset.save(table())
    pd.testing.assert_frame_equal(dataset.load(), table())
    assert (tmp_path / "a.csv").read_text().startswith("fov,label,x_um,dead,frame\na,3,0.5,True,0")


def test_partitions_read_together_by_dask(tmp_path):
    """An empty first partition has the types of the full ones."""
    TableDataset(filepath=tmp_path / "0.parquet").save(table().iloc[:0])
    TableDataset(filepath=tmp_path / "1.parquet").save(table())
    TableDataset(filepath=tmp_path / "2.parquet").save(table().assign(fov=None))
    whole = dd.read_parquet(str(tmp_path / "*.parquet")).compute()
    assert list(whole["frame"]) == [0, 1, 0, 1]
    assert whole["fov"].isna().sum() == 2


def test_preview_is_json(tmp_path):
    for name in ("a.parquet", "a.csv"):
        dataset = TableDataset(filepath=tmp_path / name)
        dataset.save(table())
        shown = json.loads(json.dumps(dataset.preview(1), allow_nan=False))
        assert shown["columns"] == list(table()) and len(shown["data"]) == 1
    dataset.save(table().iloc[:0])
    assert dataset.preview()["data"] == []
    assert TableDataset.preview.__annotations__["return"] == "TablePreview"


def test_bad_tables(tmp_path):
    with pytest.raises(DatasetError, match=r"\.parquet or \.csv, not '\.xlsx'"):
        TableDataset(filepath=tmp_path / "a.xlsx").save(table())
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing")
    dataset = TableDataset(filepath=tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=r"a\.parquet is not a readable table"):
        dataset.load()
    with pytest.raises(DatasetError, match="expected a pandas table, got list"):
        dataset.save([1])
    with pytest.raises(DatasetError, match="a column cannot be stored"):
        dataset.save(pd.DataFrame({"a": [1, "b", object()]}))
    assert (tmp_path / "a.parquet").read_bytes() == b"PAR1 and then nothing"


class Plan(BaseModel):
    """A model of this test."""

    fovs: dict[str, int]


def test_model_round_trip_and_errors(tmp_path):
    name = f"{__name__}.Plan"
    path = tmp_path / "plan.json"
    dataset = ModelDataset(filepath=path, model="cyto_kedro.datasets.raw_scan.RawChannel")
    raw = RawChannel(
        fov="a",
        channel="b",
        files=("x.tif",),
        index=0,
        n_channels=1,
        n_frames=2,
        height=3,
        width=4,
        dtype="uint8",
        pixel_size_um=None,
        time_s=(0.0, 1.5),
    )
    dataset.save(raw)
    assert dataset.load() == raw
    assert json.loads(dataset.preview())["fov"] == "a"
    assert path.read_text().startswith('{\n  "fov": "a"')
    path.write_text('{"fov": "a"}')
    with pytest.raises(DatasetError, match=r"plan\.json does not fit .*RawChannel"):
        dataset.load()
    with pytest.raises(DatasetError, match=r"expected .*RawChannel, got Plan"):
        dataset.save(Plan(fovs={}))
    with pytest.raises(DatasetError, match="cannot be imported"):
        ModelDataset(filepath=path, model=name + "Typo").load()
    with pytest.raises(DatasetError, match="is not a pydantic model"):
        ModelDataset(filepath=path, model="pathlib.Path").load()


def test_some_columns_are_read_alone_and_checked_alone(tmp_path):
    for suffix in ("parquet", "csv"):
        dataset = TableDataset(filepath=str(tmp_path / f"a.{suffix}"))
        dataset.save(table())
        found = dataset.columns(["frame", "label", "seen"])
        assert list(found) == ["frame", "label"] and found["label"].isna().tolist() == [False, True]
    tables = PartitionedDataset(
        path=str(tmp_path / "frames"), dataset=TableDataset, grain="fov", filename_suffix=".parquet"
    )
    rows = schemas.filled(schemas.Frames, {"fov": "a", "frame": [0, 1]}).assign(more=1)
    tables.save({"a": rows, "b": rows.astype({"frame": float})})
    parts = schemas.EachPartition("frames").validate(tables.load())
    assert list(parts.columns("a", ["frame", "more"])) == ["frame", "more"]
    assert parts.as_read("a") == parts.content("a") and parts.read.keys() == {"a"}
    with pytest.raises(InputError, match="partition b: column 'frame' is float64"):
        parts.columns("b", ["frame"])
    with pytest.raises(InputError, match="time_s"):
        schemas.check_form(schemas.Frames, rows[["fov", "frame"]], "a", ["frame", "time_s"])
