"""Masks and tracks as the Cell Tracking Challenge asks for them.

``maskTTT.tif`` (uint16, a label is a track) and ``res_track.txt`` (L B E P) by the challenge's naming
and content conventions, https://celltrackingchallenge.net.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from cyto_kedro.errors import InputError
from cyto_kedro.export.field import FieldGraph


def unbroken(graph: FieldGraph, population: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The challenge's tracks, which have a mask in every frame: ours are cut where one is missing.

    Returns
    -------
    of_label
        ``frame``, ``label``, ``ctc``: which track, from 1, a mask is of.
    tracks
        ``L``, ``B``, ``E``, ``P``: track, first and last frame, parent (the piece before a cut, or the
        mother; 0: none).
    """
    points = graph.nodes[graph.nodes["population"] == population].dropna(subset=["label"])
    points = points[["track_id", "frame", "label"]].astype(np.int64)
    points = points.sort_values(["track_id", "frame"], ignore_index=True)
    same = points["track_id"] == points["track_id"].shift()
    goes_on = same & (points["frame"] == points["frame"].shift() + 1)
    points["ctc"] = (~goes_on).cumsum()
    before = points["ctc"].shift().where(same & ~goes_on)
    starts = points[~goes_on].assign(P=before[~goes_on].fillna(0).astype(np.int64))
    of_node = graph.nodes.loc[graph.nodes["population"] == population, "track_id"]
    last = points.groupby("track_id")["ctc"].last()
    first = points.groupby("track_id")["ctc"].first()
    tracks = points.groupby("ctc")["frame"].agg(["first", "last"]).reset_index()
    tracks.columns = pd.Index(["L", "B", "E"])
    tracks["P"] = starts.set_index("ctc")["P"].reindex(tracks["L"]).to_numpy()
    born = graph.edges.loc[graph.edges["kind"] == "division", ["source", "target"]]
    for source, target in born.to_numpy().tolist():
        if target in of_node.index and source in of_node.index:
            mother, child = of_node[source], of_node[target]
            if mother in last.index and child in first.index:
                tracks.loc[tracks["L"] == first[child], "P"] = last[mother]
    return points[["frame", "label", "ctc"]], tracks


def write_ctc(
    folder: Path, graph: FieldGraph, population: str, masks: Iterable[np.ndarray]
) -> list[Path]:
    """Write a RES folder; a mask without a track is a track of one frame.

    Raises InputError if there are more tracks than 16 bits count.
    """
    import tifffile

    of_label, tracks = unbroken(graph, population)
    folder.mkdir(parents=True)
    digits = max(3, len(str(graph.n_frames - 1)))
    last, alone, written = int(tracks["L"].max()) if len(tracks) else 0, [], []
    by_frame = dict(iter(of_label.groupby("frame")))
    for frame, mask in enumerate(masks):
        labels = np.unique(mask[mask > 0])
        rows = by_frame.get(frame, of_label.iloc[:0])
        table = dict(zip(rows["label"], rows["ctc"], strict=True))
        for label in labels:
            if label not in table:
                last += 1
                table[label] = last
                alone.append((last, frame, frame, 0))
        if last > np.iinfo(np.uint16).max:
            raise InputError(
                f"field {graph.fov!r}, {population}: {last} tracks, more than the challenge's 16 bits "
                "count; export fewer frames"
            )
        lookup = np.array([0, *(table[label] for label in labels)], np.uint16)
        renamed = lookup[np.searchsorted(np.concatenate([[0], labels]), mask)]
        path = folder / f"mask{frame:0{digits}}.tif"
        tifffile.imwrite(path, renamed, compression="zlib")
        written.append(path)
    lines = [*tracks[["L", "B", "E", "P"]].itertuples(index=False), *alone]
    text = "".join(f"{a} {b} {c} {d}\n" for a, b, c, d in lines)
    (folder / "res_track.txt").write_text(text, encoding="ascii")
    return [*written, folder / "res_track.txt"]
