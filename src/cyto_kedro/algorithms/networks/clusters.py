"""Clusters over time: groups of cells that hang together, followed from frame to frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.networks.field import FieldCells
from cyto_kedro.core.keys import MISSING, divide, starts_of
from cyto_kedro.errors import InputError
from cyto_kedro.schemas import TableOf

_NONE = -1


class Followed(TypedDict):
    """One row per cluster and frame, with ``n_<population>`` for every population."""

    clusters: TableOf[schemas.Clusters]


class Clusters(Algorithm):
    """Follow the components of a cell graph through time: birth, death, merge and split.

    Notes
    -----
    Clusters of two frames are matched by the tracks they share, the pairs that share most first,
    each cluster at most once (the dynamic communities of Greene, Doyle & Cunningham 2010, with the
    number of shared cells for their Jaccard index). A matched cluster goes on under its number. One
    that is not matched but has cells of an earlier cluster split from it; one that has none is born.
    One whose cells are found in another's from then on merged into it; one whose cells are in none
    has died. Frames without any cell (left out by the sample sheet) are passed over.

    Examples
    --------
    >>> points = pd.DataFrame({"x_px": [0.0, 1, 9], "y_px": 0.0}).assign(
    ...     fov="A1", population="TCell", track_id=[1, 2, 3], frame=0, time_min=0.0)
    >>> nodes = points.assign(network="contact", component=[1, 1, 2], component_size=[2, 2, 1])
    >>> Clusters()(track_points=points, nodes=nodes)["clusters"]["n_cells"].tolist()
    [2]
    """

    min_cells: int = Field(default=2, ge=1, description="cells that make a cluster")
    memory_frames: int = Field(
        default=2, ge=1, description="frames back that a cell remembers its cluster; 1: none missed"
    )

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        nodes: TableOf[schemas.NetworkNodes],
        fov: str | None = None,
        populations: Iterable[str] = (),
        pixel_size_um: float | None = None,
        n_frames: int | None = None,
    ) -> Followed:
        """Follow the clusters of one field and network.

        Raises
        ------
        InputError
            If tables of several fields or networks are given, or a node has no track point.
        """
        networks = nodes["network"].unique()
        if len(networks) > 1:
            raise InputError(
                f"nodes of several networks at once ({', '.join(sorted(networks))}): their groups "
                f"would be mixed up; give one at a time"
            )
        cells = FieldCells(track_points, fov, populations, pixel_size_um, n_frames)
        members = nodes[nodes["component_size"] >= self.min_cells]
        row = cells.rows_of(members)
        if (row == MISSING).any():
            bad = members.iloc[int(np.flatnonzero(row == MISSING)[0])]
            raise InputError(
                f"field {bad['fov']!r}, frame {bad['frame']}: the graph has {bad['population']} "
                f"track {bad['track_id']}, which has no point there; rerun networks on these tracks"
            )
        # members of a cluster in a frame ("group") side by side, groups in order of frame
        order = np.lexsort((members["component"], cells.frame[row]))
        row = row[order]
        component = members["component"].to_numpy()[order]
        first = starts_of(cells.frame[row], component)
        group = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(row))))
        track = cells.population * (cells.track.max(initial=0) + 1) + cells.track
        frames = np.unique(cells.frame)
        # a gap is counted in frames that hold cells
        time = np.searchsorted(frames, cells.frame[row])
        who = np.unique(track[row], return_inverse=True)[1]
        found = _follow(group, time, who, self.memory_frames)
        table = self._table(cells, row, group, first, found)
        table["component"] = component[first]
        table["network"] = np.full(len(first), networks[0] if len(networks) else "", object)
        _ends(table, time[first], len(frames) - 1, found)
        return {"clusters": schemas.from_columns(schemas.Clusters, table)}

    def _table(
        self,
        cells: FieldCells,
        row: np.ndarray,
        group: np.ndarray,
        first: np.ndarray,
        found: dict[str, np.ndarray],
    ) -> dict[str, Any]:
        """Size, place and kinds of cells of each group."""
        n, names = len(first), cells.names
        held = np.bincount(group, minlength=n)
        mean = np.stack(
            [divide(np.bincount(group, cells.xy[row, i], n), held) for i in (0, 1)], axis=1
        )
        apart = ((cells.xy[row] - mean[group]) ** 2).sum(axis=1)
        gyration = np.sqrt(divide(np.bincount(group, apart, n), held))
        of = np.bincount(
            group * len(names) + cells.population[row], minlength=n * len(names)
        ).reshape(n, len(names))
        frame = cells.frame[row[first]]
        return {
            "fov": np.full(n, cells.fov, object),
            "cluster_id": found["cluster"] + 1,
            "frame": frame,
            "time_min": cells.time_min[np.searchsorted(cells.frames, frame)],
            "n_cells": held,
            "x_px": mean[:, 0],
            "y_px": mean[:, 1],
            "gyration_px": gyration,
            "gyration_um": gyration * cells.pixel_size_um,
            "n_stayed": _or_null(found["stayed"]),
            **{f"n_{name}": of[:, i] for i, name in enumerate(names)},
        }


def _follow(
    group: np.ndarray, time: np.ndarray, who: np.ndarray, memory: int
) -> dict[str, np.ndarray]:
    """Number the clusters over time.

    `group`, `time`, `who`: (M,) of each member: its group (0, 1, … in order of time), when, and
    which cell (0, 1, …). `memory`: steps of time after which a cell has forgotten its cluster.
    Returns per group: cluster (from 0), stayed (cells shared with it when last seen), parent
    (cluster it split from); per cluster: heir (cluster it merged into) and merged_at (time). -1:
    none.
    """
    n = int(group.max(initial=-1)) + 1
    cluster, stayed, parent, heir, merged_at = np.full((5, n), _NONE)
    last, seen = np.full((2, int(who.max(initial=-1)) + 1), _NONE)
    n_clusters = 0
    for start, stop in zip(*_spans(time), strict=True):
        now = int(time[start])
        members, cell = group[start:stop], who[start:stop]
        known = (last[cell] != _NONE) & (now - seen[cell] <= memory)
        pairs, shared = np.unique(
            np.stack([last[cell[known]], members[known]]), axis=1, return_counts=True
        )
        order = np.lexsort((pairs[1], pairs[0], -shared))
        old, new, shared = pairs[0][order], pairs[1][order], shared[order]
        matched = _match(old, new)
        cluster[new[matched]], stayed[new[matched]] = old[matched], shared[matched]
        heir[old[matched]] = _NONE  # one that is back has not merged
        fresh = np.arange(members[0], members[-1] + 1)
        fresh = fresh[cluster[fresh] == _NONE]
        cluster[fresh] = n_clusters + np.arange(len(fresh))
        n_clusters += len(fresh)
        # in order of shared cells, so the first pair of each is its closest kin
        child, at = np.unique(new, return_index=True)
        parent[child] = np.where(np.isin(child, fresh), old[at], _NONE)
        ended, at = np.unique(old, return_index=True)
        gone = ~np.isin(ended, old[matched])
        heir[ended[gone]], merged_at[ended[gone]] = cluster[new[at[gone]]], now
        last[cell], seen[cell] = cluster[members], now
    return {
        "cluster": cluster,
        "stayed": stayed,
        "parent": parent,
        "heir": heir,
        "merged_at": merged_at,
    }


def _spans(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    starts = starts_of(time)
    return starts, np.append(starts, len(time))[1:]


def _match(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Which pairs to take, greedily in their order, so that none stands in two."""
    taken = np.zeros(len(old), bool)
    left = np.arange(len(old))
    while len(left):
        # a pair that is the first of both its sides is taken by the greedy rule
        best = np.zeros(len(left), bool)
        best[np.unique(old[left], return_index=True)[1]] = True
        other = np.zeros(len(left), bool)
        other[np.unique(new[left], return_index=True)[1]] = True
        won = left[best & other]
        taken[won] = True
        left = left[~np.isin(old[left], old[won]) & ~np.isin(new[left], new[won])]
    return taken


def _ends(table: dict[str, Any], time: np.ndarray, end: int, found: dict[str, np.ndarray]) -> None:
    """Add to `table` how clusters begin and end; groups stand in order of `time`."""
    n, cluster = len(time), found["cluster"]
    first, last = np.zeros((2, n), bool)
    first[np.unique(cluster, return_index=True)[1]] = True
    last[n - 1 - np.unique(cluster[::-1], return_index=True)[1]] = True
    parent = np.where(first, found["parent"], _NONE)
    heir = np.where(last, found["heir"][cluster], _NONE)
    merged = np.flatnonzero(heir != _NONE)
    # where each merged cluster's heir stood when it took it in
    place = pd.MultiIndex.from_arrays([cluster, time])
    into = place.get_indexer(
        pd.MultiIndex.from_arrays([heir[merged], found["merged_at"][cluster[merged]]])
    )
    table["n_merged"] = np.bincount(into, minlength=n)
    table["begin"] = np.select(
        [~first, parent != _NONE, time == 0],
        [np.full(n, None), np.full(n, "split", object), np.full(n, "film_start", object)],
        np.full(n, "birth", object),
    )
    table["end"] = np.select(
        [~last, heir != _NONE, time == end],
        [np.full(n, None), np.full(n, "merge", object), np.full(n, "film_end", object)],
        np.full(n, "death", object),
    )
    table["split_from"], table["merged_into"] = _or_null(parent, 1), _or_null(heir, 1)


def _or_null(values: np.ndarray, plus: int = 0) -> Any:
    return pd.arrays.IntegerArray(values.astype(np.int64) + plus, values == _NONE)
