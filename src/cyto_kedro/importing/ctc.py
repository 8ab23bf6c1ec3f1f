"""Results and references of the Cell Tracking Challenge, https://celltrackingchallenge.net.

A folder of ``maskTTT.tif`` with ``res_track.txt``, or ``man_trackTTT.tif`` with ``man_track.txt``:
a label is a track, and a line L B E P says its first and last frame and the track it came of.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from cyto_kedro.datasets.label import LabelDataset
from cyto_kedro.errors import InputError
from cyto_kedro.importing.identities import IdentityFilm

_MASK = re.compile(r"(mask|man_track)(\d+)\.tiff?", re.IGNORECASE)
_TABLES = {"mask": "res_track.txt", "man_track": "man_track.txt"}


def is_ctc(path: Path) -> bool:
    """Whether a folder holds masks of the challenge."""
    return path.is_dir() and any(_MASK.fullmatch(each.name) for each in path.iterdir())


def ctc_film(folder: Path) -> IdentityFilm:
    """A result or reference folder.

    Raises InputError if a frame or the table is missing, the table is damaged, masks differ in size
    or have depth, or one has a label that the table lacks.
    """
    named = [(m[1].lower(), int(m[2]), m.string) for m in map(_MASK.fullmatch, _names(folder)) if m]
    stems = sorted({stem for stem, _, _ in named})
    if len(stems) > 1:
        raise InputError(f"{folder} holds masks of a result and of a reference; give one of them")
    files = {number: folder / name for _, number, name in named}
    if len(files) < len(named) or sorted(files) != list(range(len(files))):
        lost = next((t for t in range(len(files)) if t not in files), len(files) - 1)
        raise InputError(
            f"{folder}: {len(named)} masks, but frame {lost} is missing or there twice; masks are "
            "numbered from 0, one a frame"
        )
    table = folder / _TABLES[stems[0]]
    spans = read_tracks(table)
    masks = [LabelDataset(filepath=str(files[t])) for t in range(len(files))]
    shape = (len(masks), *masks[0].shape[1:])

    def read(t: int) -> np.ndarray:
        label = masks[t].load_frames(0, None)
        if label.shape != (1, *shape[1:]):
            raise InputError(
                f"{files[t]} has shape {label.shape}, the first mask (1, {shape[1]}, {shape[2]}): masks "
                "are flat and of one size"
            )
        present = np.unique(label)
        strange = present[~np.isin(present, [0, *spans])]
        if len(strange):
            raise InputError(
                f"{files[t]}: label {strange[0]} has no line in {table.name}; is it the table of "
                "another result?"
            )
        return np.asarray(label[0])

    parents = {name: parent for name, (_, _, parent) in spans.items() if parent}
    ends = {name: span[:2] for name, span in spans.items()}
    kind = f"Cell Tracking Challenge {'result' if stems[0] == 'mask' else 'reference'}"
    said = masks[0].load_metadata().said
    return IdentityFilm(kind, str(folder), shape, read, parents, ends, said)


def read_tracks(path: Path) -> dict[int, tuple[int, int, int]]:
    """Track -> first frame, last frame, parent (0: none).

    Raises InputError, naming the line, if it is not four whole numbers, a track is there twice or
    ends before it begins, or its parent is not there or begins no earlier.
    """
    if not path.is_file():
        raise InputError(
            f"{path} is missing: without it nobody knows who came of whom; export again"
        )
    found: dict[int, tuple[int, int, int]] = {}
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            name, begin, end, parent = (int(each) for each in line.split())
        except ValueError as error:
            raise InputError(
                f"{path}, line {number}: {line.strip()[:40]!r} is not four whole numbers (label, first "
                "frame, last frame, parent)"
            ) from error
        if name < 1 or not 0 <= begin <= end or parent < 0 or name in found:
            why = "is there twice" if name in found else "cannot be"
            raise InputError(f"{path}, line {number}: track {line.strip()!r} {why}")
        found[name] = (begin, end, parent)
    for name, (begin, _, parent) in found.items():
        if parent and (parent not in found or found[parent][0] >= begin):
            why = "is not there" if parent not in found else "begins no earlier"
            raise InputError(f"{path}: track {name} came of {parent}, which {why}")
    return found


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())
