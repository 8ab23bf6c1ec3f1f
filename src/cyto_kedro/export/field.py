"""A field as a graph: a node per cell and frame, edges of tracks, divisions, contacts and kills."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.blocks import Block
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.partitioned import PartitionedDataset
from cyto_kedro.errors import InputError, PartitionError
from cyto_kedro.partitions import partition_id

KINDS = ("track", "division", "contact", "kill")
_CELL = ["population", "frame", "label"]
_TRACK = ["population", "track_id", "frame"]


@dataclass(frozen=True)
class FieldGraph:
    """A field."""

    #: fov, shape, n_frames: its name, (Y, X) in pixels, frames
    fov: str
    shape: tuple[int, int]
    n_frames: int
    #: pixel_size_um, frame_interval_s: none where not known
    pixel_size_um: float | None
    frame_interval_s: float | None
    #: index 0, 1, …: ``population``, ``track_id``, ``frame``, ``x_px``, ``y_px``, ``label`` (null
    #: of an interpolated point), time, µm, and the features of `cells`
    nodes: pd.DataFrame
    #: ``source`` and ``target`` (index of `nodes`), ``kind`` (of `KINDS`), ``share`` of a kill. Of
    #: a track and a division the source is earlier; of a kill it is the killer at its last contact
    #: and the target the cell as it dies
    edges: pd.DataFrame


def field_graph(catalog: Any, manifest: Manifest, fov: str) -> FieldGraph:
    """The graph of a field, out of the catalog's tables.

    What was not made (contacts, kills, viability) is left out; cells and tracks are needed.

    Raises InputError if the field has no tracks yet.
    """
    points = [load_rows(catalog, manifest, "track_points", fov)]
    if points[0] is None:
        raise InputError(f"field {fov!r} has no tracks yet: kedro run --pipelines tracking first")
    nodes = pd.concat(points, ignore_index=True)
    for name in ("cells", "viability"):
        table = load_rows(catalog, manifest, name, fov)
        if table is not None:
            new = [c for c in table.columns if c not in nodes.columns]
            labelled = table.assign(label=table["label"].astype("Int64"))
            nodes = nodes.merge(labelled[[*_CELL, *new]], on=_CELL, how="left")
    nodes = nodes.drop(columns="fov").sort_values(_TRACK, ignore_index=True)
    nodes["population"] = nodes["population"].astype(str)
    planned = manifest.fovs[fov]
    return FieldGraph(
        fov=fov,
        shape=(planned.height_px, planned.width_px),
        n_frames=planned.n_frames,
        pixel_size_um=planned.pixel_size_um,
        frame_interval_s=planned.frame_interval_s,
        nodes=nodes,
        edges=_edges(
            nodes,
            load_rows(catalog, manifest, "tracks", fov),
            load_rows(catalog, manifest, "contacts", fov),
            load_rows(catalog, manifest, "kills", fov),
        ),
    )


def label_films(
    catalog: Any, manifest: Manifest, fov: str, population: str
) -> Iterable[np.ndarray]:
    """The masks of a population, one frame (Y, X) after the other, for one block in memory."""
    parts, grain = catalog.load("labels"), catalog.get("labels").grain
    for group in manifest.groups(grain, {"fov": fov, "population": population}):
        block = Block.parse(group["block"])
        labels = np.asarray(parts[partition_id(grain, group)]())
        for frame in labels[: len(block)]:
            yield np.asarray(frame)


def load_rows(catalog: Any, manifest: Manifest, name: str, fov: str) -> pd.DataFrame | None:
    """All rows of a field; None where a part of them was not made."""
    dataset = catalog.get(name)
    if not isinstance(dataset, PartitionedDataset):
        return None
    groups = manifest.groups(dataset.grain, {"fov": fov})
    try:
        tables = [dataset.load_one(partition_id(dataset.grain, group)) for group in groups]
    except PartitionError:
        return None
    return pd.concat(tables, ignore_index=True) if tables else None


def _edges(
    nodes: pd.DataFrame,
    tracks: pd.DataFrame | None,
    contacts: pd.DataFrame | None,
    kills: pd.DataFrame | None,
) -> pd.DataFrame:
    keys = nodes["population"], nodes["track_id"]
    follows = (keys[0] == keys[0].shift()) & (keys[1] == keys[1].shift())
    later = np.flatnonzero(follows)
    found = [_frame(later - 1, later, "track")]
    at = pd.Series(nodes.index, index=pd.MultiIndex.from_frame(nodes[_TRACK]))
    if tracks is not None:
        born = tracks.dropna(subset=["parent_track_id"])
        of = nodes.reset_index().groupby(["population", "track_id"])["index"]
        first, last = of.first(), of.last()
        pairs = [
            (last.get((p, parent)), first.get((p, child)))
            for p, parent, child in born[["population", "parent_track_id", "track_id"]].itertuples(
                index=False
            )
        ]
        found.append(_paired(pairs, "division"))
    if contacts is not None:
        ends = [
            at.reindex(
                pd.MultiIndex.from_frame(contacts[[f"population_{s}", f"track_id_{s}", "frame"]])
            )
            for s in "ab"
        ]
        found.append(_paired(zip(*(end.to_numpy() for end in ends), strict=True), "contact"))
    if kills is not None and len(kills):
        credited = kills[kills["share"] > 0]
        killer = ["effector_population", "effector_track_id", "last_contact_frame"]
        victim = ["target_population", "target_track_id", "death_frame"]
        sources, targets = (
            at.reindex(pd.MultiIndex.from_frame(credited[cols])).to_numpy()
            for cols in (killer, victim)
        )
        table = _paired(zip(sources, targets, strict=True), "kill", credited["share"].to_numpy())
        found.append(table)
    return pd.concat(found, ignore_index=True)


def _paired(pairs: Iterable[tuple[Any, Any]], kind: str, share: Any = np.nan) -> pd.DataFrame:
    """Edges of pairs of which both ends are nodes."""
    table = pd.DataFrame(list(pairs), columns=["source", "target"], dtype=float).assign(share=share)
    table = table.dropna(subset=["source", "target"])
    return _frame(
        table["source"].to_numpy(), table["target"].to_numpy(), kind, table["share"].to_numpy()
    )


def _frame(source: Any, target: Any, kind: str, share: Any = np.nan) -> pd.DataFrame:
    ends = np.asarray(source, np.int64), np.asarray(target, np.int64)
    return pd.DataFrame({"source": ends[0], "target": ends[1], "kind": kind, "share": share})
