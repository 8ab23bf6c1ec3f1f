"""Label images: what is admitted, and that errors name file and frame."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import tifffile
from kedro.io import DatasetError

from cyto_kedro.datasets.label import LabelDataset
from cyto_kedro.images import Image


def labels():
    out = np.zeros((5, 16, 20), np.uint32)
    out[:, 2:6, 3:9] = 7
    out[1:, 8:12, 3:9] = 4_000_000_000
    return out


@pytest.mark.parametrize("url", ["{tmp}/f/a.tif", "memory://{name}/a.tif"])
@pytest.mark.parametrize("lazy", [False, True])
def test_round_trip(tmp_path, url, lazy):
    dataset = LabelDataset(filepath=url.format(tmp=tmp_path, name=tmp_path.name))
    array = da.from_array(labels(), chunks=(3, 8, 20)) if lazy else labels()
    dataset.save(Image(array, 0.5, (0, 1, 2, 3, 4)))
    loaded = dataset.load()
    assert loaded.dtype == np.uint32
    np.testing.assert_array_equal(loaded, labels())
    assert dataset.load_metadata().pixel_size_um == 0.5
    assert dataset.preview()


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "int16", "int32", "int64", "float32", "float64"]
)
def test_whole_numbers_of_any_type_are_labels(tmp_path, dtype):
    small = np.where(labels() > 7, 9, labels()).astype(dtype)
    dataset = LabelDataset(filepath=tmp_path / "a.tif")
    dataset.save(small)
    np.testing.assert_array_equal(dataset.load(), small)
    tifffile.imwrite(tmp_path / "foreign.tif", small)
    found = LabelDataset(filepath=tmp_path / "foreign.tif").load()
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(found, small)


def test_foreign_axes(tmp_path):
    """Fiji writes stacks as Z, scikit-image writes one frame as (Y, X)."""
    small = labels().clip(max=9).astype(np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, small, imagej=True, metadata={"axes": "ZYX"})
    np.testing.assert_array_equal(LabelDataset(filepath=path).load(), small)
    tifffile.imwrite(path, small[0].astype(np.int32), compression="zlib")
    np.testing.assert_array_equal(LabelDataset(filepath=path).load(), small[:1])


@pytest.mark.parametrize(
    ("value", "dtype", "what"),
    [
        (-1, "int32", "a negative value"),
        (-1, "float32", "a negative value"),
        (0.5, "float32", "fractional"),
        (np.nan, "float32", "NaN"),
        (np.inf, "float64", "infinite"),
        (2**32, "int64", "above 4294967295"),
        (2.0**33, "float64", "above 4294967295"),
    ],
)
def test_bad_values_name_file_and_frame(tmp_path, value, dtype, what):
    bad = labels().clip(max=9).astype(dtype)
    bad[2, 5, 5] = value
    dataset = LabelDataset(filepath=tmp_path / "a.tif")
    dataset.save(labels())
    for array in (bad, da.from_array(bad, chunks=(2, 16, 20))):
        with pytest.raises(DatasetError, match=rf"a\.tif, frame 2: .*{what}"):
            dataset.save(array)
    np.testing.assert_array_equal(dataset.load(), labels())
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
    if dtype != "int64":  # TIFF readers differ about 64-bit integers
        tifffile.imwrite(tmp_path / "b.tif", bad)
        with pytest.raises(DatasetError, match=rf"b\.tif, frame 2: .*{what}"):
            LabelDataset(filepath=tmp_path / "b.tif").load()


def test_masks_and_odd_shapes_are_refused(tmp_path):
    dataset = LabelDataset(filepath=tmp_path / "a.tif")
    with pytest.raises(DatasetError, match="label the connected parts"):
        dataset.save(labels() > 0)
    with pytest.raises(DatasetError, match=r"label images are \(T, Y, X\)"):
        dataset.save(np.zeros((2, 2, 4, 4), np.uint32))
    tifffile.imwrite(
        tmp_path / "b.ome.tif", np.zeros((3, 2, 8, 8), np.uint16), metadata={"axes": "TCYX"}
    )
    with pytest.raises(DatasetError, match="2 channels"):
        LabelDataset(filepath=tmp_path / "b.ome.tif").load()


@pytest.mark.shared
def test_expert_masks_load(shared_data):
    path = shared_data / "celldetective_adcc_dev" / "110_snap_0_3_32_labelled.tif"
    found = LabelDataset(filepath=path).load()
    np.testing.assert_array_equal(found[0], tifffile.imread(path))
