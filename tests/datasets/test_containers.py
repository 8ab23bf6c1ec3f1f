"""Plates and series of images in one OME-Zarr: each image is a field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr

from cyto_kedro.datasets.label import LabelDataset
from cyto_kedro.datasets.raw import open_raw, scan
from cyto_kedro.errors import InputError

SHAPE = (3, 2, 20, 24)
WELLS = {"A/1": ("0",), "B/12": ("0", "1")}


def described(axes: str, version: int, **more: Any) -> dict[str, Any]:
    kinds = {"t": "time", "c": "channel", "y": "space", "x": "space"}
    units = {"t": "second", "y": "micrometer", "x": "micrometer"}
    said = [
        {"name": a, "type": kinds[a]} | ({"unit": units[a]} if a in units else {}) for a in axes
    ]
    scale = [{"t": 120.0, "c": 1.0}.get(a, 0.5) for a in axes]
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    one = {"name": "film", "axes": said, "datasets": [level]}
    attributes: dict[str, Any] = {"multiscales": [one], **more}
    if version == 2:
        one["version"] = "0.4"
        return attributes
    return {"ome": {"version": "0.5", **attributes}}


def film(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 4000, SHAPE).astype(np.uint16)


def masks(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 5, SHAPE[::2] + SHAPE[3:]).astype(np.int32)


def write_image(group: zarr.Group, number: int, version: int) -> None:
    group.create_array("0", data=film(number), chunks=(1, 1, 20, 24))
    shown = {"color": "FFFFFF", "window": {"start": 0, "end": 1, "min": 0, "max": 1}}
    omero = {"channels": [{"label": name, **shown} for name in ("TCell", "Dead")]}
    group.attrs.update(described("tcyx", version, omero=omero))
    labels = group.create_group("labels")
    labels.attrs.update({"labels": ["cells"]} if version == 2 else {"ome": {"labels": ["cells"]}})
    cells = labels.create_group("cells")
    cells.create_array("0", data=masks(number), chunks=(1, 20, 24))
    cells.attrs.update(described("tyx", version, **{"image-label": {}}))


def write_plate(root: str, version: int) -> zarr.Group:
    """A plate with one image in well A/1 and two in B/12, numbered 0, 1, 2 through it."""
    plate = zarr.open_group(f"{root}/run7.ome.zarr", mode="w", zarr_format=version)
    rows, columns = ({"name": name} for name in "AB"), ({"name": str(n + 1)} for n in range(12))
    wells = [
        {"path": path, "rowIndex": "AB".index(path[0]), "columnIndex": int(path[2:]) - 1}
        for path in WELLS
    ]
    said = {"name": "P9", "rows": list(rows), "columns": list(columns), "wells": wells}
    plate.attrs.update({"plate": said} if version == 2 else {"ome": {"plate": said}})
    number = 0
    for path, images in WELLS.items():
        well = plate.create_group(path)
        said = {"images": [{"path": name} for name in images]}
        well.attrs.update({"well": said} if version == 2 else {"ome": {"well": said}})
        for name in images:
            write_image(well.create_group(name), number, version)
            number += 1
    return plate


@pytest.mark.parametrize("where", ["local", "memory"])
@pytest.mark.parametrize("version", [2, 3])
def test_images_of_a_plate_are_fields(tmp_path, where, version):
    root = str(tmp_path) if where == "local" else f"memory://{tmp_path.name}"
    write_plate(root, version)
    found = scan(root, "*.zarr", ["Dead"])
    assert [(raw.fov, raw.well, raw.plate) for raw in found] == [
        ("A1", "A1", "P9"),
        ("B12_0", "B12", "P9"),
        ("B12_1", "B12", "P9"),
    ]
    for number, raw in enumerate(found):
        assert raw.pixel_size_um == 0.5 and raw.time_s == (0, 120, 240)
        np.testing.assert_array_equal(open_raw(raw).compute(), film(number)[:, 1])
        label = LabelDataset(filepath=f"{raw.files[0]}/labels/cells")
        assert label.exists() and label.shape == (3, 20, 24)
        np.testing.assert_array_equal(label.load(), masks(number))
        np.testing.assert_array_equal(label.load_frames(1, 9), masks(number)[1:])
        assert label.load_metadata().pixel_size_um == 0.5


def test_what_the_path_says_goes_first_and_what_is_excluded_is_left_out(tmp_path):
    write_plate(str(tmp_path), 2)
    fields = [(raw.fov, raw.plate) for raw in scan(str(tmp_path), "{plate}.ome.zarr", ["Dead"])]
    assert fields == [("run7_A1", "run7"), ("run7_B12_0", "run7"), ("run7_B12_1", "run7")]
    kept = scan(str(tmp_path), "*.zarr", ["Dead"], exclude=["*/B/12/0", "*.csv"])
    assert [raw.fov for raw in kept] == ["A1", "B12_1"]
    with pytest.raises(InputError, match="no file in"):
        scan(str(tmp_path), "*.zarr", ["Dead"], exclude=["run7*"])


@pytest.mark.companion("ome_zarr_models")
def test_the_format_s_own_library_takes_this_for_a_plate(tmp_path):
    from ome_zarr_models.v04 import hcs

    found = hcs.HCS.from_zarr(write_plate(str(tmp_path), 2))
    assert [well.path for well in found.attributes.plate.wells] == list(WELLS)


def test_a_plate_that_lacks_a_well(tmp_path):
    plate = write_plate(str(tmp_path), 2)
    del plate["B/12"]
    with pytest.raises(InputError, match=r"run7.*names the well B/12, which is not there"):
        scan(str(tmp_path), "*.zarr", ["Dead"])
    plate.attrs["plate"] = {"wells": []}
    with pytest.raises(InputError, match="a plate without a well"):
        scan(str(tmp_path), "*.zarr", ["Dead"])


def test_images_of_a_series_are_fields(tmp_path):
    """As bioformats2raw writes a file of several series."""
    series = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    series.attrs["bioformats2raw.layout"] = 3
    write_image(series.create_group("0"), 0, 2)
    (only,) = scan(str(tmp_path), "{fov}.zarr", ["TCell"])
    assert only.fov == "a"
    np.testing.assert_array_equal(open_raw(only).compute(), film(0)[:, 0])
    for number in range(1, 11):
        write_image(series.create_group(str(number)), number, 2)
    found = scan(str(tmp_path), "{fov}.zarr", ["TCell"])
    assert {raw.fov for raw in found} == {f"a_image{number}" for number in range(11)}
    ten = next(raw for raw in found if raw.fov == "a_image10")
    np.testing.assert_array_equal(open_raw(ten).compute(), film(10)[:, 0])
    series.create_group("OME").attrs["series"] = ["3", "5"]
    assert [raw.fov for raw in scan(str(tmp_path), "{fov}.zarr", ["TCell"])] == [
        "a_image3",
        "a_image5",
    ]
