"""What a file or folder from elsewhere is, told by its content; who reads it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from cyto_kedro.datasets.foreign import kind_of
from cyto_kedro.datasets.ome_zarr import is_zarr
from cyto_kedro.errors import InputError
from cyto_kedro.importing.ctc import ctc_film, is_ctc
from cyto_kedro.importing.geff import geff, is_geff
from cyto_kedro.importing.identities import identified
from cyto_kedro.importing.label_films import acdc_film, label_film
from cyto_kedro.importing.outlined import session
from cyto_kedro.importing.place import Found, Place
from cyto_kedro.importing.polygons import geojson, rois
from cyto_kedro.importing.spots import imaris, is_imaris

READ = (
    "a TrackMate session (XML)",
    "a result or reference folder of the Cell Tracking Challenge",
    "a TIFF, or a label image of an OME-Zarr, whose labels are identities",
    "a GEFF folder",
    "masks of Cell-ACDC (segm.npz)",
    "ROIs of ImageJ (ZIP or .roi)",
    "polygons as GeoJSON",
    "a table of positions by Imaris (CSV)",
)
_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def read_any(path: Path, place: Place, masks_only: bool = False) -> Found:
    """Read what `path` is.

    Where `masks_only`, labels of a film need not be identities.

    Raises InputError if it is none of what is read.
    """
    if path.is_dir():
        if is_ctc(path):
            return identified(ctc_film(path), place, masks_only)
        if is_geff(path):
            return geff(path, place)
        if is_zarr(str(path)):
            return identified(label_film(path), place, masks_only)
        raise _refused(path, "is a folder that holds neither masks of the challenge nor a GEFF")
    with path.open("rb") as file:
        start = file.read(2048)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:4] in _TIFF:
        return identified(label_film(path), place, masks_only)
    if text.startswith((b"<?xml", b"<TrackMate")):
        return session(path, place)
    if start.startswith(b"Iout"):
        return rois(path, place)
    if text.startswith((b"{", b"[")):
        return geojson(path, place)
    if is_imaris(start):
        return imaris(path, place)
    if start.startswith(b"PK"):
        names = _names(path)
        if any(name.lower().endswith(".roi") for name in names):
            return rois(path, place)
        if any(name.endswith(".npy") for name in names):
            return identified(acdc_film(path), place, masks_only)
    known = kind_of(start)
    raise _refused(
        path, f"is {known[0]}" if known else "is none of the kinds of file that are known"
    )


def _refused(path: Path, what: str) -> InputError:
    return InputError(f"{path} {what}; what can be imported: {'; '.join(READ)}")


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path} is not a whole ZIP ({error}); copy it again") from error
