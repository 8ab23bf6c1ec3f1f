"""What a file is that is none of what is read, told by its first bytes."""

from __future__ import annotations

from fsspec import AbstractFileSystem

from cyto_kedro.datasets.urls import open_parts

_BIOFORMATS = (
    "save it as OME-TIFF, one file per field, with Fiji (Bio-Formats), the microscope's own program or "
    "`bfconvert`"
)
_OWN = (
    "give it its own ending again (.czi, .nd2, .lif) and install what reads it, pip install "
    '"cyto_kedro[microscopes]"; or ' + _BIOFORMATS
)
_EXPORT = "export the frames as TIFF (Fiji, or the program that made it)"
_COPY = "it is no image at all: get the image again from where it was filmed"

# first bytes, at which place, what it is, what to do
MAGIC: tuple[tuple[bytes, int, str, str], ...] = (
    (b"ZISRAWFILE", 0, "a Zeiss CZI file", _OWN),
    (b"\xda\xce\xbe\x0a", 0, "a Nikon ND2 file", _OWN),
    (b"\x00\x00\x00\x0cjP  ", 0, "a JPEG 2000 file, as old Nikon ND2 are", _BIOFORMATS),
    (b"\x70\x00\x00\x00", 0, "a Leica LIF file", _OWN),
    (b"OLYMPUSRAWFORMAT", 0, "an Olympus OIR file", _BIOFORMATS),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        0,
        "a file of Microsoft's compound format, as Olympus OIB, Zeiss ZVI and old Excel files are",
        _BIOFORMATS,
    ),
    (b"\xa0\xc0", 96, "a DeltaVision file", _BIOFORMATS),
    (
        b"\x89HDF\r\n\x1a\n",
        0,
        "an HDF5 file, as Imaris (.ims) and BigDataViewer write",
        _BIOFORMATS,
    ),
    (b"DICM", 128, "a DICOM file", _BIOFORMATS),
    (b"NRRD", 0, "an NRRD file", _EXPORT),
    (b"SIMPLE  =", 0, "a FITS file", _EXPORT),
    (b"\x89PNG\r\n\x1a\n", 0, "a PNG picture", _EXPORT),
    (
        b"\xff\xd8\xff",
        0,
        "a JPEG picture, whose grey levels are changed by its compression",
        _EXPORT,
    ),
    (b"GIF8", 0, "a GIF picture", _EXPORT),
    (b"BM", 0, "a BMP picture", _EXPORT),
    (
        b"ftyp",
        4,
        "an MP4 or QuickTime video, whose grey levels are changed by its compression",
        _EXPORT,
    ),
    (b"AVI ", 8, "an AVI video", _EXPORT),
    (b"\x93NUMPY", 0, "a NumPy array", "write it with tifffile.imwrite(…, ome=True)"),
    (b"PK\x03\x04", 0, "a ZIP archive or an Office document", "unpack it first"),
    (b"\x1f\x8b", 0, "a gzip archive", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7z archive", "unpack it first"),
    (b"Rar!", 0, "a RAR archive", "unpack it first"),
    (b"%PDF", 0, "a PDF", _COPY),
    (
        b"version https://git-lfs",
        0,
        "a pointer of Git LFS, not the image",
        "fetch it: git lfs pull",
    ),
    (b"<!DOCTYPE", 0, "a web page, as a download without the right to it leaves", _COPY),
    (b"<html", 0, "a web page, as a download without the right to it leaves", _COPY),
)
_LOOKED_AT = 256


def kind_of(start: bytes) -> tuple[str, str] | None:
    """What a file is by its first 256 bytes, and what to do; None where it may be a TIFF.

    Examples
    --------
    >>> kind_of(b"ZISRAWFILE" + bytes(100))[0]
    'a Zeiss CZI file'
    """
    if not start:
        return "empty", "copy it again: the transfer did not begin"
    if not any(start):
        return "filled with zeros", "copy it again: a transfer that was cut short leaves such files"
    if start[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return None
    for magic, place, what, advice in MAGIC:
        if start[place : place + len(magic)] == magic:
            if magic == b"\x70\x00\x00\x00" and start[8:9] != b"\x2a":
                continue
            return what, advice
    return None


def foreign(fs: AbstractFileSystem, path: str) -> str | None:
    """Which format the file at `path` is of and what to do, if it is one that is not read."""
    with open_parts(fs, path) as file:
        found = kind_of(file.read(_LOOKED_AT))
    return None if found is None else f"is {found[0]}: {found[1]}"
