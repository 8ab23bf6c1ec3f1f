"""Films of masks in one file whose labels are identities: TIFF, and Cell-ACDC's folders.

btrack, Trackastra, Ultrack and TrackMate (label image by track) write such TIFFs; who came of whom
is read off a table of the same name beside it, if there is one.
"""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from cyto_kedro.datasets.label import LabelDataset
from cyto_kedro.errors import InputError
from cyto_kedro.importing.ctc import read_tracks
from cyto_kedro.importing.identities import IdentityFilm

log = logging.getLogger(__name__)

# columns of a track and of the one it came of, in small letters: Ultrack, btrack, the challenge, others
_COLUMNS = (
    ("track_id", "parent_track_id"),
    ("id", "parent"),
    ("l", "p"),
    ("label", "parent"),
    ("track_id", "parent"),
    ("label", "parent_label"),
    ("id", "parent_id"),
)


def label_film(path: Path) -> IdentityFilm:
    """A TIFF or label image of an OME-Zarr, (T, Y, X), with the lineage beside it."""
    film = LabelDataset(filepath=str(path))
    parents = lineage_beside(path)
    said = film.load_metadata().said

    def read(t: int) -> np.ndarray:
        return film.load_frames(t, t + 1)[0]

    return IdentityFilm("film of labels", str(path), film.shape, read, parents, said=said)


def lineage_beside(path: Path) -> dict[int, int]:
    """Track -> the one it came of, of the CSV, or table of the challenge (TXT), of the same name.

    Raises InputError if a track or parent is no number, or a track came of two.
    """
    if (table := path.with_suffix(".txt")).is_file():
        return {name: parent for name, (_, _, parent) in read_tracks(table).items() if parent}
    if not (table := path.with_suffix(".csv")).is_file():
        return {}
    rows = read_csv(table)
    rows.columns = rows.columns.astype(str).str.strip().str.lower()
    columns = next((pair for pair in _COLUMNS if {*pair} <= {*rows.columns}), None)
    if columns is None:
        log.warning(
            "%s is not used: it names no parents (columns track_id and parent_track_id, or ID and "
            "parent)",
            table,
        )
        return {}
    log.info("%s says who came of whom", table)
    return parents_of(rows[columns[0]], rows[columns[1]], table)


def parents_of(child: pd.Series, parent: pd.Series, where: Path) -> dict[int, int]:
    """Child -> parent; 0, -1, nothing, or a track itself, are none."""
    try:
        pairs = pd.DataFrame(
            {"child": pd.to_numeric(child), "parent": pd.to_numeric(parent)}, dtype=float
        )
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: tracks and parents must be whole numbers ({error})") from error
    pairs = pairs.dropna().query("parent > 0 and parent != child").drop_duplicates()
    if not (np.isfinite(pairs) & (pairs == pairs.round()) & (pairs.abs() < 2**53)).all(axis=None):
        raise InputError(f"{where}: tracks and parents must be whole numbers")
    if (twice := pairs["child"].duplicated()).any():
        raise InputError(f"{where}: track {pairs.loc[twice, 'child'].iloc[0]:g} came of two")
    return dict(pairs.astype(np.int64).itertuples(index=False, name=None))


def acdc_film(path: Path) -> IdentityFilm:
    """Masks of Cell-ACDC, ``*_segm*.npz``, and the lineage of ``*_acdc_output*.csv`` beside it.

    A bud came of the cell that its table calls its relative (asymmetric division), any other of its
    parent in the lineage tree, where that is numbered as the masks are.

    Raises InputError if the file is damaged, or holds another thing than (T, Y, X) labels.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            label = arrays[arrays.files[0]]
    except (OSError, ValueError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a whole NumPy file of masks ({error})") from error
    label = label[None] if label.ndim == 2 else label
    if label.ndim != 3 or label.dtype.kind not in "ui" or (label.size and label.min() < 0):
        raise InputError(
            f"{path} holds {label.dtype} of shape {label.shape}; masks are flat films (T, Y, X) of "
            "whole numbers, 0 for background"
        )
    if label.size and label.max() > np.iinfo(np.uint32).max:
        raise InputError(f"{path}: a label ({label.max()}) is above 32 bits")
    table = path.with_name(f"{path.stem.replace('segm', 'acdc_output')}.csv")
    parents = _acdc_parents(table) if table.is_file() and table.stem != path.stem else {}

    def read(t: int) -> np.ndarray:
        return label[t].astype(np.uint32)

    kind = "Cell-ACDC result" if table.is_file() else "film of labels"
    return IdentityFilm(kind, str(path), label.shape, read, parents)


def _acdc_parents(table: Path) -> dict[int, int]:
    rows = read_csv(table)
    if "Cell_ID" not in rows:
        raise InputError(f"{table} has no column Cell_ID; is it Cell-ACDC's table?")
    nothing = pd.Series(np.nan, rows.index)
    is_bud = rows.get("relationship", nothing) == "bud"
    same = rows.get("Cell_ID_tree", rows["Cell_ID"]) == rows["Cell_ID"]
    of_tree = rows.get("parent_ID_tree", nothing).where(same)
    parent = rows.get("relative_ID", nothing).where(is_bud, of_tree)
    return parents_of(rows["Cell_ID"], parent, table)


def read_csv(path: Path) -> pd.DataFrame:
    """A table with commas, semicolons or tabs. Raises InputError if it is none."""
    try:
        return pd.read_csv(path, sep=None, engine="python", encoding="utf-8-sig")
    except (ValueError, UnicodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path} is not a readable table ({error})") from error
