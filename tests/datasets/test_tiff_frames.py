"""Frames of TIFF stacks, read without each frame's directory, beside tifffile's own reading."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from fsspec.implementations.local import LocalFileSystem

from cyto_kedro.datasets.tiff import TiffFrames
from cyto_kedro.datasets.tiff_header import read_header
from cyto_kedro.errors import InputError

WAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "strips": {"rowsperstrip": 8},
    "big endian": {"byteorder": ">"},
    "big TIFF": {"bigtiff": True},
    "zlib": {"compression": "zlib"},
    "zlib, differences, strips": {"compression": "zlib", "predictor": True, "rowsperstrip": 8},
    "zlib, big endian": {"compression": "zlib", "byteorder": ">", "predictor": True},
    "zstd, tiles": {"compression": "zstd", "tile": (16, 32)},
    "tiles": {"tile": (16, 16)},
}


def film(dtype: str = "uint16") -> np.ndarray:
    """(T, Y, X) of which no side is a whole number of strips or tiles."""
    return np.random.default_rng(0).integers(0, 200, (5, 37, 45)).astype(dtype)


def opened(path: Path, channel: int = 0, n_channels: int = 1) -> TiffFrames:
    fs = LocalFileSystem()
    header = read_header(fs, str(path), path.name, n_channels)
    return TiffFrames(fs, str(path), header, channel)


@pytest.fixture
def directories(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the directories that tifffile parses."""
    parsed: list[int] = []
    init = tifffile.TiffPage.__init__

    def counted(self: Any, parent: Any, /, index: Any, **more: Any) -> None:
        parsed.append(index)
        init(self, parent, index, **more)

    monkeypatch.setattr(tifffile.TiffPage, "__init__", counted)
    return parsed


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("way", WAYS)
def test_frames_are_tifffiles(tmp_path: Path, way: str, dtype: str, directories: list[int]) -> None:
    path = tmp_path / "film.tif"
    tifffile.imwrite(
        path, film(dtype), photometric="minisblack", metadata={"axes": "TYX"}, **WAYS[way]
    )
    frames = pickle.loads(pickle.dumps(opened(path)))
    frames.read(0, 1)
    directories.clear()
    assert np.array_equal(frames.read(1, 5), film(dtype)[1:])
    assert directories == []
    assert frames.read(0, 5).dtype == dtype
    for top, bottom in ((0, 37), (0, 16), (8, 32), (32, 37)):
        assert np.array_equal(frames.read_rows(3, top, bottom), film(dtype)[3, top:bottom])


def test_channels_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "film.ome.tif"
    both = np.stack([film(), film()[::-1]], axis=1)
    tifffile.imwrite(path, both, metadata={"axes": "TCYX"}, compression="zlib")
    for channel in (0, 1):
        assert np.array_equal(opened(path, channel, 2).read(0, 5), both[:, channel])


def test_pages_that_differ_are_each_read_by_their_own_directory(
    tmp_path: Path, directories: list[int]
) -> None:
    path = tmp_path / "film.ome.tif"
    told = tifffile.OmeXml()
    told.addimage("uint16", film().shape, (5, 1, 1, 37, 45, 1), axes="TYX")
    with tifffile.TiffWriter(path) as tif:
        for number, frame in enumerate(film()):
            how: dict[str, Any] = {"compression": "zlib"} if number == 2 else {}
            how |= {"description": told.tostring()} if number == 0 else {}
            tif.write(frame, photometric="minisblack", contiguous=False, metadata=None, **how)
    frames = opened(path)
    frames.read(0, 1)
    directories.clear()
    assert np.array_equal(frames.read(0, 5), film())
    assert set(directories) >= {1, 2, 3, 4}
    for frame in (1, 2):  # as it is, and deflated
        assert np.array_equal(frames.read_rows(frame, 8, 30), film()[frame, 8:30])


def test_a_file_written_anew_is_read_by_its_own_directory(tmp_path: Path) -> None:
    path = tmp_path / "film.tif"
    for how in (
        {"compression": "zlib"},
        {"compression": "zstd"},
        {"compression": "zlib", "tile": (16, 16)},
    ):
        tifffile.imwrite(path, film(), photometric="minisblack", metadata={"axes": "TYX"}, **how)
        assert np.array_equal(opened(path).read(0, 5), film())


def test_damaged_pixels_are_told_by_frame(tmp_path: Path) -> None:
    path = tmp_path / "film.tif"
    tifffile.imwrite(
        path, film(), photometric="minisblack", metadata={"axes": "TYX"}, compression="zlib"
    )
    with tifffile.TiffFile(path) as tif:
        offset, size = tif.pages[3].dataoffsets[0], tif.pages[3].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = bytes(size)
    path.write_bytes(content)
    frames = opened(path)
    assert np.array_equal(frames.read(0, 3), film()[:3])
    with pytest.raises(InputError, match=r"film\.tif, frame 3: the pixels cannot be decoded"):
        frames.read(0, 5)
