"""Films and tracks in the Cell Tracking Challenge's format, and its measures by py-ctcmetrics."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

Lineage = np.ndarray  # (n, 4): label, first frame, last frame, parent (0 for none)


def unbroken(points: pd.DataFrame, tracks: pd.DataFrame) -> tuple[pd.DataFrame, Lineage]:
    """Cut tracks where the cell was not seen, as the format has no gaps.

    Parameters
    ----------
    points
        `schemas.TrackPoints` of one field and population; rows without label are dropped.
    tracks
        `schemas.Tracks` of the same: parent_track_id says divisions.

    Returns
    -------
    named, lineage
        Columns frame, label, piece (from 1); and a row for each piece. A piece after a gap has the
        piece before it as parent, which is how the format says that a cell goes on.
    """
    seen = points.dropna(subset=["label"]).sort_values(["track_id", "frame"], ignore_index=True)
    track, frame = seen["track_id"].to_numpy(np.int64), seen["frame"].to_numpy(np.int64)
    goes_on = (np.diff(track) == 0) & (np.diff(frame) == 1)
    new = np.concatenate([np.ones(min(len(seen), 1), bool), ~goes_on])
    piece = np.cumsum(new)
    start = np.flatnonzero(new)
    end = np.append(start[1:], len(seen)) - 1 if len(start) else start
    continued = np.concatenate([np.zeros(min(len(start), 1), bool), np.diff(track[start]) == 0])
    last_piece = dict(zip(track[start], piece[start], strict=True))  # later pieces overwrite
    mothers = tracks.dropna(subset=["parent_track_id"])
    mother = dict(zip(mothers["track_id"], mothers["parent_track_id"], strict=True))
    born = [last_piece.get(mother.get(each, 0), 0) for each in track[start]]
    parent = np.where(continued, piece[start] - 1, born)
    lineage = np.stack([piece[start], frame[start], frame[end], parent], axis=1).astype(np.int64)
    named = pd.DataFrame({"frame": frame, "label": seen["label"].astype(np.int64), "piece": piece})
    return named, lineage


def renamed(label: np.ndarray, named: pd.DataFrame) -> np.ndarray:
    """(T, Y, X) uint16 film in which each cell carries its piece; cells without one vanish."""
    result = np.zeros(label.shape, np.uint16)
    for t, rows in named.groupby("frame"):
        table = np.zeros(int(label[t].max()) + 1, np.uint16)
        table[rows["label"].to_numpy()] = rows["piece"].to_numpy()
        result[t] = table[label[t]]
    return result


def write_results(folder: Path, label: np.ndarray, lineage: Lineage) -> Path:
    """Write a result: maskTTT.tif and res_track.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, frame in enumerate(label):
        tifffile.imwrite(folder / f"mask{t:03}.tif", frame.astype(np.uint16))
    np.savetxt(folder / "res_track.txt", lineage.reshape(-1, 4), fmt="%d")
    return folder


def write_truth(folder: Path, label: np.ndarray, lineage: Lineage) -> Path:
    """Write a truth whose masks are complete: TRA and SEG."""
    for kind in ("TRA", "SEG"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for t, frame in enumerate(label):
            name = f"man_{'track' if kind == 'TRA' else 'seg'}{t:03}.tif"
            tifffile.imwrite(folder / kind / name, frame.astype(np.uint16))
    np.savetxt(folder / "TRA" / "man_track.txt", lineage.reshape(-1, 4), fmt="%d")
    return folder


def evaluate(result: Path, truth: Path) -> dict[str, float]:
    """SEG, DET, TRA, LNK and BC of a result folder against a truth folder (one process).

    BC(i) is the F1 of divisions at most i frames off, NaN where there are none.
    """
    from ctc_metrics.scripts.evaluate import evaluate_sequence

    with contextlib.redirect_stdout(io.StringIO()):
        found = evaluate_sequence(
            str(result), str(truth), ["Valid", "SEG", "DET", "TRA", "LNK", "BC"], threads=1
        )
    if not found["Valid"]:
        raise ValueError(f"{result} is not a valid result by the challenge's rules")
    return {k: float("nan") if v is None else float(v) for k, v in found.items()}
