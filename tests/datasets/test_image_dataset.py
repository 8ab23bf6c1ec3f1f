"""Image stacks: pixels, calibration, laziness, bad input."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from kedro.io import DatasetError

from cyto_kedro.datasets import tiff
from cyto_kedro.datasets.image import ImageDataset
from cyto_kedro.datasets.ome_tiff import write_ome
from cyto_kedro.images import Image, ImageInfo


def film(dtype="uint16", shape=(5, 20, 30)):
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


@pytest.fixture(params=["local", "memory"])
def place(request, tmp_path):
    return str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_pixels_and_calibration_come_back(place, dtype):
    dataset = ImageDataset(filepath=f"{place}/folder/a.ome.tif")
    times = (10.0, 40.5, 70.0, 130.0, 160.0)
    dataset.save(Image(film(dtype), 0.65, times, ("TCell",)))
    loaded = dataset.load()
    assert isinstance(loaded, da.Array)
    assert loaded.chunks == ((1,) * 5, (20,), (30,))
    assert loaded.dtype == dtype
    np.testing.assert_array_equal(loaded.compute(), film(dtype))
    np.testing.assert_array_equal(loaded[3, 2:5].compute(), film(dtype)[3, 2:5])
    assert dataset.load_metadata() == ImageInfo(0.65, times, ("TCell",))


def test_other_readers_agree(tmp_path):
    """What we write is an OME-TIFF to tifffile, with its axes, names and size."""
    path = tmp_path / "a.ome.tif"
    pixels = film(shape=(5, 2, 20, 30))
    ImageDataset(filepath=path).save(Image(pixels, 0.5, range(0, 50, 10), ("A", "B")))
    with tifffile.TiffFile(path) as tif:
        assert tif.series[0].axes == "TCYX"
        np.testing.assert_array_equal(tif.asarray(), pixels)
        described = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert [c["Name"] for c in described["Channel"]] == ["A", "B"]
    assert (described["PhysicalSizeX"], described["PhysicalSizeXUnit"]) == (0.5, "µm")
    assert [p["DeltaT"] for p in described["Plane"] if p["TheC"] == 1] == [0, 10, 20, 30, 40]
    np.testing.assert_array_equal(ImageDataset(filepath=path).load().compute(), pixels)


def noise(kind: str) -> np.ndarray:
    """Frames (4, 200, 150): camera noise on a slope, the same normalised, smooth floats."""
    random = np.random.default_rng(3)
    rows = np.arange(200, dtype=float)[:, None]
    camera = np.stack([random.poisson(100 + 20 * rows, (200, 150)) for _ in range(4)])
    if kind == "camera":
        return camera.astype(np.uint16)
    if kind == "normalised":  # as many levels as a camera of 8 bits
        return ((camera // 20).astype(np.float32) - 7) / np.float32(311)
    return np.cumsum(random.normal(size=camera.shape), axis=2).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "differences"), [("camera", True), ("normalised", False), ("smooth", True)]
)
def test_the_smaller_of_both_ways_of_writing_is_taken(tmp_path, kind, differences):
    """Values or differences of neighbours: as the same pixels written whole by tifffile decide."""
    pixels, sizes = noise(kind), {}
    for predictor in (False, True):
        path = tmp_path / f"{predictor}.tif"
        options = {"compression": "zlib", "compressionargs": {"level": 1}, "predictor": predictor}
        tifffile.imwrite(path, pixels, photometric="minisblack", **options)
        sizes[predictor] = path.stat().st_size
    assert (sizes[True] < sizes[False]) == differences
    path = tmp_path / "ours.tif"
    with path.open("w+b") as file:
        write_ome(file, Image(pixels))
    with tifffile.TiffFile(path) as tif:
        assert (tif.pages.first.predictor != 1) == differences
        np.testing.assert_array_equal(tif.asarray(), pixels)
    assert path.stat().st_size < 1.05 * min(sizes.values())


def test_dask_is_written_one_chunk_at_a_time(tmp_path):
    alive, most = 0, 0

    def make(block_info=None):
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        (a, b), *_ = block_info[None]["array-location"]
        alive -= 1
        return film()[a:b]

    array = da.map_blocks(make, chunks=((2, 2, 1), (20,), (30,)), dtype="uint16", meta=np.empty(0))
    dataset = ImageDataset(filepath=tmp_path / "a.ome.tif")
    dataset.save(array)
    assert most == 1
    np.testing.assert_array_equal(dataset.load().compute(), film())
    dataset.save(da.from_array(film(), chunks=(2, 7, 30)))
    np.testing.assert_array_equal(dataset.load().compute(), film())


def test_unknown_calibration_stays_unknown(tmp_path):
    dataset = ImageDataset(filepath=tmp_path / "a.ome.tif")
    dataset.save(film()[0])
    assert dataset.load().shape == (1, 20, 30)
    assert dataset.load_metadata() == ImageInfo()


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [(325, "nm", 0.325), (0.000325, "mm", 0.325), (0.325, "µm", 0.325), (1, "pixel", None)],
)
def test_ome_length_units(tmp_path, size, unit, expected):
    path = tmp_path / "a.ome.tif"
    metadata = {f"PhysicalSize{a}": size for a in "XY"} | {
        f"PhysicalSize{a}Unit": unit for a in "XY"
    }
    tifffile.imwrite(path, film(), metadata={"axes": "TYX", **metadata})
    found = ImageDataset(filepath=path).load_metadata().pixel_size_um
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("unit", "seconds", "step"), [("ms", 1e-3, 20), ("s", 1, 1), ("min", 60, 1), ("h", 3600, 1)]
)
def test_ome_time_units(tmp_path, unit, seconds, step):
    path = tmp_path / "a.ome.tif"
    plane = {"DeltaT": [step * t for t in (0, 1, 2, 4, 8)], "DeltaTUnit": [unit] * 5}
    tifffile.imwrite(path, film(), metadata={"axes": "TYX", "Plane": plane})
    expected = tuple(t * step * seconds for t in (0, 1, 2, 4, 8))
    assert ImageDataset(filepath=path).load_metadata().time_s == pytest.approx(expected)
    tifffile.imwrite(
        path, film(), metadata={"axes": "TYX", "TimeIncrement": 2 * step, "TimeIncrementUnit": unit}
    )
    expected = tuple(2 * step * t * seconds for t in range(5))
    assert ImageDataset(filepath=path).load_metadata().time_s == pytest.approx(expected)


@pytest.mark.parametrize(
    ("unit", "dots", "expected"),
    [("um", 2, 0.5), ("nm", 0.002, 0.5), ("pixel", 2, None), ("nm", 2, None), ("inch", 96, None)],
)
def test_imagej_calibration(tmp_path, unit, dots, expected):
    """Half a nanometre and a 96th of an inch are no pixels of a microscope."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        film(),
        imagej=True,
        resolution=(dots, dots),
        metadata={"unit": unit, "finterval": 30.0, "axes": "TYX"},
    )
    info = ImageDataset(filepath=path).load_metadata()
    assert info.pixel_size_um == (None if expected is None else pytest.approx(expected))
    assert info.time_s == (0, 30, 60, 90, 120)


def test_oblong_pixels_are_refused(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, film(), metadata={"axes": "TYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.6}
    )
    with pytest.raises(
        DatasetError, match=r"a\.ome\.tif: pixels are not square \(0\.5 x 0\.6 µm\)"
    ):
        ImageDataset(filepath=path).load()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((0, 4, 4)), "not empty"),
        (np.zeros(4), "an image is"),
        (np.zeros((2, 4, 4), complex), "real numbers"),
        (Image(np.zeros((2, 4, 4)), time_s=(0.0,)), "1 frame times for 2 frames"),
        (Image(np.zeros((2, 4, 4)), channels=("a", "b")), "2 names for 1 channels"),
    ],
)
def test_bad_images_are_refused_and_nothing_is_lost(tmp_path, data, message):
    dataset = ImageDataset(filepath=tmp_path / "a.ome.tif")
    dataset.save(film())
    with pytest.raises(DatasetError, match=message):
        dataset.save(data)
    np.testing.assert_array_equal(dataset.load().compute(), film())
    assert len(list(tmp_path.iterdir())) == 1


def test_missing_and_foreign_files(tmp_path):
    assert not ImageDataset(filepath=tmp_path / "no.tif").exists()
    with pytest.raises(DatasetError, match=r"no\.tif does not exist"):
        ImageDataset(filepath=tmp_path / "no.tif").load()
    (tmp_path / "text.tif").write_text("hello")
    with pytest.raises(DatasetError, match=r"text\.tif is not a readable TIFF"):
        ImageDataset(filepath=tmp_path / "text.tif").load()


@pytest.mark.filterwarnings("ignore:.*stored as RGB:DeprecationWarning")
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("n_frames", [3, 4])
def test_short_stacks_stored_as_separate_colours(tmp_path, n_frames, compression):
    """tifffile (so napari and scikit-image) writes stacks of 3 or 4 frames as planes of one page."""
    path = tmp_path / "a.tif"
    stack = film(shape=(n_frames, 20, 30))
    tifffile.imwrite(
        path, stack, compression=compression, photometric="rgb", planarconfig="separate"
    )
    np.testing.assert_array_equal(ImageDataset(filepath=path).load().compute(), stack)


def test_colour_pictures_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    with pytest.raises(DatasetError, match=r"a\.tif has axes YXS .* not grey"):
        ImageDataset(filepath=tmp_path / "a.tif").load()


def test_a_rewritten_file_is_read_anew(tmp_path):
    """Headers are remembered by version of the file, not by its name."""
    dataset = ImageDataset(filepath=tmp_path / "a.ome.tif")
    for n in (5, 2, 5):
        dataset.save(film(shape=(n, 20, 30)))
        assert dataset.load().compute().shape == (n, 20, 30)


def test_preview_is_a_png(place):
    dataset = ImageDataset(filepath=f"{place}/a.ome.tif")
    dataset.save(film())
    assert base64.b64decode(dataset.preview()).startswith(b"\x89PNG")
    assert ImageDataset.preview.__annotations__["return"] == "ImagePreview"


@pytest.mark.parametrize("tiled", [False, True])
def test_a_part_of_a_large_frame_is_read_without_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiled: bool
) -> None:
    monkeypatch.setattr(tiff, "BAND_BYTES", 2**18)
    film = np.random.default_rng(0).integers(0, 4000, (2, 1203, 997), np.uint16)
    dataset = ImageDataset(filepath=str(tmp_path / "a.ome.tif"))
    if tiled:
        options = {"tile": (128, 96), "compression": "zlib", "photometric": "minisblack"}
        tifffile.imwrite(tmp_path / "a.ome.tif", film, metadata={"axes": "TYX"}, **options)
    else:
        dataset.save(film)
    stack = dataset.load()
    np.testing.assert_array_equal(np.asarray(stack), film)
    decoded: list[int] = []
    segments = tifffile.FileHandle.read_segments

    def counted(handle: Any, offsets: Any, sizes: Any, *args: Any, **more: Any) -> Any:
        decoded.append(sum(sizes))
        return segments(handle, offsets, sizes, *args, **more)

    monkeypatch.setattr(tifffile.FileHandle, "read_segments", counted)
    part = np.asarray(stack[1, 700:801, 300:977])
    np.testing.assert_array_equal(part, film[1, 700:801, 300:977])
    assert sum(decoded) < (tmp_path / "a.ome.tif").stat().st_size / 2 / 2
