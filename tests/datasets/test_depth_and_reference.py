"""z planes are flattened as they are read; reference images are averaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from kedro.io import DatasetError

from cyto_kedro.datasets import ReferenceImagesDataset
from cyto_kedro.datasets.raw import open_raw, scan
from cyto_kedro.errors import InputError

# time, depth, channel, rows, columns
FILM = np.random.default_rng(0).integers(0, 4000, (3, 4, 2, 12, 15)).astype(np.uint16)
AXES = "TZCYX"


def write_tiff(path: Path, axes: str, imagej: bool = False) -> None:
    order = [AXES.index(axis) for axis in axes]
    metadata = {"axes": axes, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    pixels = FILM.transpose(order)
    if imagej:
        tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": axes})
    else:
        tifffile.imwrite(path, pixels, metadata=metadata)


@pytest.mark.parametrize("how", ["max", "mean"])
@pytest.mark.parametrize(
    ("name", "axes"),
    [("a.ome.tif", "TZCYX"), ("a.ome.tif", "CTZYX"), ("a.ome.tif", "TCZYX"), ("a.tif", "TZCYX")],
)
def test_tiff_with_depth(tmp_path: Path, name: str, axes: str, how: str) -> None:
    write_tiff(tmp_path / name, axes, imagej=name == "a.tif")
    pattern = name.replace("a", "{fov}", 1)
    with pytest.raises(InputError, match=r"4 z planes.*assay\.raw\.project_z"):
        scan(str(tmp_path), pattern, ["x", "y"])
    found = scan(str(tmp_path), pattern, ["x", "y"], project_z=how)  # type: ignore[arg-type]
    assert [each.project_z for each in found] == [how, how]
    for c, raw in enumerate(found):
        film = open_raw(raw)
        truth = getattr(FILM[:, :, c], how)(1)
        assert film.shape == (3, 12, 15)
        assert film.dtype == np.dtype(raw.dtype) == (np.uint16 if how == "max" else np.float32)
        np.testing.assert_allclose(np.asarray(film), truth, rtol=1e-6)


def test_one_still_stack_per_file_and_a_flat_film(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    for t in range(3):
        tifffile.imwrite(tmp_path / "f" / f"t{t}.ome.tif", FILM[t, :, 0], metadata={"axes": "ZYX"})
    (raw,) = scan(str(tmp_path / "f"), "t{frame}.ome.tif", ["x"], project_z="max")
    np.testing.assert_array_equal(np.asarray(open_raw(raw)), FILM[:, :, 0].max(1))
    tifffile.imwrite(tmp_path / "a.ome.tif", FILM[:, 0, 0], metadata={"axes": "TYX"})
    (flat,) = scan(str(tmp_path), "a.ome.tif", ["x"], project_z="max")
    np.testing.assert_array_equal(np.asarray(open_raw(flat)), FILM[:, 0, 0])


@pytest.mark.parametrize("how", ["max", "mean"])
def test_ome_zarr_with_depth(tmp_path: Path, how: str) -> None:
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=3)
    array = group.create_array("0", shape=(3, 2, 4, 12, 15), chunks=(1, 1, 1, 12, 15), dtype="u2")
    array[:] = FILM.transpose(0, 2, 1, 3, 4)
    axes = [{"name": each} for each in "tczyx"]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    with pytest.raises(InputError, match="4 z planes"):
        scan(str(tmp_path), "{fov}.zarr", ["x", "y"])
    found = scan(str(tmp_path), "{fov}.zarr", ["x", "y"], project_z=how)  # type: ignore[arg-type]
    for c, raw in enumerate(found):
        truth = getattr(FILM[:, :, c], how)(1)
        np.testing.assert_allclose(np.asarray(open_raw(raw)), truth, rtol=1e-6)


def test_reference_images(tmp_path: Path) -> None:
    assert ReferenceImagesDataset(path=str(tmp_path / "none")).load() == {}
    tifffile.imwrite(tmp_path / "flat.ome.tif", FILM[0, 0, 0])
    tifffile.imwrite(tmp_path / "dark.tif", FILM[:, 0, 0], photometric="minisblack")
    (tmp_path / "notes.txt").write_text("taken on Monday")
    dataset = ReferenceImagesDataset(path=str(tmp_path))
    found = dataset.load()
    assert sorted(found) == ["dark", "flat"]
    np.testing.assert_array_equal(found["flat"], FILM[0, 0, 0])
    np.testing.assert_allclose(found["dark"], FILM[:, 0, 0].mean(0), rtol=1e-6)
    with pytest.raises(DatasetError, match="read only"):
        dataset.save("x")
    tifffile.imwrite(tmp_path / "flat.tif", FILM[0, 0, 0])
    with pytest.raises(DatasetError, match="two images named flat"):
        dataset.load()
    (tmp_path / "flat.tif").unlink()
    tifffile.imwrite(tmp_path / "both.ome.tif", FILM[0, 0], metadata={"axes": "CYX"})
    with pytest.raises(DatasetError, match="one reference image per channel"):
        dataset.load()
