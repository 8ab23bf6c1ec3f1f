"""A file of another format is called by what it is."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image

from cyto_kedro.datasets.foreign import kind_of
from cyto_kedro.datasets.raw import scan
from cyto_kedro.errors import InputError

PIXELS = np.arange(200, dtype=np.uint8).reshape(10, 20)


def picture(form):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, format=form)
    return file.getvalue()


def archive():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as book:
        book.writestr("a", "b")
    return file.getvalue()


def array():
    file = io.BytesIO()
    np.save(file, PIXELS)
    return file.getvalue()


# the beginnings of files that no library here writes: as their formats describe them
LIF = struct.pack("<II", 0x70, 100) + b"\x2a" + struct.pack("<I", 40) + b"<" + bytes(80)
CASES = {
    "CZI": b"ZISRAWFILE" + bytes(200),
    "ND2": b"\xda\xce\xbe\x0a" + b"ND2 FILE SIGNATURE CHUNK NAME01!" + bytes(100),
    "LIF": LIF,
    "compound": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(200),
    "DeltaVision": bytes(range(96)) + b"\xa0\xc0" + bytes(100),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(200),
    "PNG": picture("PNG"),
    "JPEG": picture("JPEG"),
    "GIF": picture("GIF"),
    "BMP": picture("BMP"),
    "ZIP": archive(),
    "NumPy": array(),
    "MP4": b"\x00\x00\x00\x20ftypisom" + bytes(100),
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
    "web page": b"<!DOCTYPE html><html></html>",
    "empty": b"",
    "zeros": bytes(4096),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_called_by_what_it_is(tmp_path, name):
    (tmp_path / "f1.tif").write_bytes(CASES[name])
    with pytest.raises(InputError) as caught:
        scan(str(tmp_path), "{fov}.tif", ["a"])
    text = str(caught.value)
    assert f"f1.tif is {kind_of(CASES[name][:256])[0]}" in text and name in text
    assert "not a readable TIFF" not in text


def test_a_damaged_tiff_stays_one(tmp_path):
    tifffile.imwrite(tmp_path / "f1.tif", PIXELS)
    whole = (tmp_path / "f1.tif").read_bytes()
    assert kind_of(whole[:256]) is None
    (tmp_path / "f1.tif").write_bytes(whole[:40])
    with pytest.raises(InputError, match=r"TIFF|cut short"):
        scan(str(tmp_path), "{fov}.tif", ["a"])
