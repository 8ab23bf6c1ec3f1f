"""Graphs of a whole film: who ever touched whom, and who when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.networks.field import FieldCells
from cyto_kedro.core.contract import Graph
from cyto_kedro.core.keys import MISSING, fov_of
from cyto_kedro.errors import InputError
from cyto_kedro.schemas import TableOf


class FilmGraph(TypedDict):
    """One graph of a whole film."""

    network: Graph


class AggregateContacts(Algorithm):
    """The contact graph of a whole film: who ever touched whom, how often and for how long.

    Nodes are all tracks, at their mean measured position, with first_frame and last_frame; `dead`
    is true if the track ever is. Edges carry contact_frames, n_bouts, first_frame, last_frame and
    duration_min (summed; None where time is unknown).

    Examples
    --------
    >>> points = pd.DataFrame({"x_px": [0.0, 1], "y_px": 0.0, "track_id": [1, 2]}).assign(
    ...     fov="A1", population="TCell", frame=0, interpolated=False)
    >>> bouts = pd.DataFrame({"track_id_a": [1, 1], "track_id_b": [2, 2], "bout": [1, 2]}).assign(
    ...     fov="A1", population_a="TCell", population_b="TCell", n_contact_frames=3, start_frame=0,
    ...     end_frame=2, duration_min=6.0)
    >>> graph = AggregateContacts()(track_points=points, bouts=bouts)["network"]
    >>> graph.edges[("TCell", 1), ("TCell", 2)]["n_bouts"]
    2
    """

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        bouts: TableOf[schemas.Bouts],
        fov: str | None = None,
    ) -> FilmGraph:
        """The graph of one field.

        Raises
        ------
        InputError
            If tables of several fields are given.
        """
        import networkx as nx

        points = track_points
        graph = nx.Graph(fov=fov_of(points, bouts, fov=fov), network="contact")
        how: dict[str, tuple[str, str]] = {
            "x_px": ("x_px", "mean"),
            "y_px": ("y_px", "mean"),
            "first_frame": ("frame", "min"),
            "last_frame": ("frame", "max"),
        }
        if "dead" in points:
            how["dead"] = ("dead", "any")
        seen = points[~points["interpolated"].to_numpy(bool)]
        tracks = seen.groupby(["population", "track_id"], as_index=False).agg(**how)
        keys = list(zip(tracks["population"], tracks["track_id"].tolist(), strict=True))
        graph.add_nodes_from(zip(keys, _records(tracks), strict=True))
        pair = ["population_a", "track_id_a", "population_b", "track_id_b"]
        edges = bouts.groupby(pair, as_index=False).agg(
            contact_frames=("n_contact_frames", "sum"),
            n_bouts=("bout", "size"),
            first_frame=("start_frame", "min"),
            last_frame=("end_frame", "max"),
            duration_min=("duration_min", lambda minutes: minutes.sum(skipna=False)),
        )
        a, b = (
            zip(edges[f"population_{side}"], edges[f"track_id_{side}"].tolist(), strict=True)
            for side in "ab"
        )
        graph.add_edges_from(zip(a, b, _records(edges.drop(columns=pair)), strict=True))
        return {"network": graph}


class SpaceTimeGraph(Algorithm):
    """Tracks, contacts, divisions, deaths and kills of a film in one directed graph.

    A `networkx.MultiDiGraph` of one field, all populations, with the attributes fov, network
    ("space_time") and nodes (which kind). A column `dead` of the track points is passed on.

    Notes
    -----
    A node is ``(population, track_id, frame)``: a cell at a time, with population, track_id, frame,
    time_min, x_px, y_px, dead, `events` (of begin, contact, kill, death, end, joined by ";"; empty if
    none) and, where its track ends, end_reason. Edges, whose key and `kind` are:

    - track: to the same cell's next node, with n_frames, minutes, displacement_px;
    - contact: both ways between two cells of one frame. Of points, in each frame of contact, with
      distance_px and contact_length_px; of events, in the first and the last frame of a bout, with
      bout, n_contact_frames, duration_min and phase (start, end, or whole for one frame);
    - division: from a cell's last node to the first of each daughter;
    - kill: from the effector where it last touched the target to the target's death, with share.

    So whatever goes along edges goes forward in time, and a path says how something could have been
    passed on (time-respecting paths: Holme & Saramäki 2012, Phys. Rep. 519, 97). With events, what a
    cell takes up within a bout it passes on at the bout's end, though it may have done so before.

    Examples
    --------
    >>> from cyto_kedro.schemas import TABLES, empty
    >>> nothing = {name: empty(TABLES[name]) for name in ("contacts", "bouts", "deaths", "kills")}
    >>> points = pd.DataFrame({"frame": [0, 1, 2], "x_px": [0.0, 1, 2], "y_px": 0.0}).assign(
    ...     fov="A1", population="TCell", track_id=1, time_min=[0.0, 2, 4], label=1)
    >>> tracks = pd.DataFrame({"track_id": [1]}).assign(fov="A1", population="TCell",
    ...     first_frame=0, last_frame=2, end_reason="film_end", parent_track_id=pd.NA)
    >>> made = SpaceTimeGraph()(nothing, track_points=points, tracks=tracks)["network"]
    >>> [events for _, events in made.nodes(data="events")]
    ['begin', 'end']
    """

    nodes: Literal["events", "points"] = Field(
        default="events", description="a node where something happens, or at each point of a track"
    )

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        tracks: TableOf[schemas.Tracks],
        contacts: TableOf[schemas.Contacts],
        bouts: TableOf[schemas.Bouts],
        deaths: TableOf[schemas.Deaths],
        kills: TableOf[schemas.Kills],
        fov: str | None = None,
        populations: Iterable[str] = (),
    ) -> FilmGraph:
        """The graph of one field.

        Raises
        ------
        InputError
            If tables of several fields are given, or one names a cell without a track point.
        """
        import networkx as nx

        fov = fov_of(track_points, tracks, contacts, bouts, deaths, kills, fov=fov)
        cells = FieldCells(track_points, fov, populations)
        # rows of one track side by side; frames ascend within it
        order = np.lexsort((cells.frame, cells.track, cells.population))
        new = np.ones(len(order), bool)
        new[1:] = (np.diff(cells.track[order]) != 0) | (np.diff(cells.population[order]) != 0)
        first, last = order[new], order[np.append(new, True)[1:]]
        died = _rows(cells, deaths, ("population", "track_id", "frame"), "death")
        effector = ("effector_population", "effector_track_id", "last_contact_frame")
        target = ("target_population", "target_track_id", "death_frame")
        kill = [_rows(cells, kills, each, "kill") for each in (effector, target)]
        meets = self._contacts(cells, contacts, bouts)
        events = {
            "begin": first,
            "contact": meets[["one", "other"]].to_numpy(np.int64).ravel(),
            "kill": kill[0],
            "death": died,
            "end": last,
        }
        kept = np.full(len(order), self.nodes == "points")
        kept[np.concatenate(list(events.values()))] = True
        row = order[kept[order]]
        graph = nx.MultiDiGraph(fov=fov, network="space_time", nodes=self.nodes)
        nodes = _node_columns(cells, row, events, last, tracks)
        keys = dict(
            zip(row.tolist(), nodes[["population", "track_id", "frame"]].itertuples(False, None),
                strict=True)
        )  # fmt: skip
        graph.add_nodes_from(zip(keys.values(), _records(nodes), strict=True))
        kin = _divisions(cells, tracks, first, last)
        shares = kills[["share", "contact_frames"]].assign(one=kill[0], other=kill[1])
        back = meets.rename(columns={"one": "other", "other": "one"})
        ways = {"track": _steps(cells, row), "contact": meets, "division": kin, "kill": shares}
        for kind, edges in [*ways.items(), ("contact", back)]:
            values = _records(edges.drop(columns=["one", "other"]).assign(kind=kind))
            ends = zip(edges["one"].tolist(), edges["other"].tolist(), values, strict=True)
            graph.add_edges_from((keys[a], keys[b], kind, value) for a, b, value in ends)
        return {"network": graph}

    def _contacts(
        self, cells: FieldCells, contacts: pd.DataFrame, bouts: pd.DataFrame
    ) -> pd.DataFrame:
        """Rows one and other of each contact, and its attributes."""
        if self.nodes == "points":
            ends = cells.ends_of(contacts)
            values = contacts[["distance_px", "contact_length_px"]].reset_index(drop=True)
            return values.assign(one=ends[:, 0], other=ends[:, 1])
        whole, parts = bouts["start_frame"] == bouts["end_frame"], []
        for phase in ("start", "end"):  # of one frame: the same edge twice, which is one
            ends = cells.ends_of(bouts.assign(frame=bouts[f"{phase}_frame"]))
            values = bouts[["bout", "n_contact_frames", "duration_min"]]
            values = values.assign(phase=np.where(whole, "whole", phase))
            parts.append(values.assign(one=ends[:, 0], other=ends[:, 1]))
        return pd.concat(parts, ignore_index=True)


def _rows(
    cells: FieldCells, table: pd.DataFrame, columns: tuple[str, str, str], what: str
) -> np.ndarray:
    """Row of the cell that `columns` (population, track, frame) of each row of `table` name.

    A cell that was lost while it died (`evidence` body) has no point at its death: its last counts.
    """
    wanted = table[list(columns)].set_axis(["population", "track_id", "frame"], axis=1)
    rows = cells.rows_of(wanted, or_before=True)
    if (rows == MISSING).any():
        bad = wanted.iloc[int(np.flatnonzero(rows == MISSING)[0])]
        raise InputError(
            f"field {cells.fov!r}: a {what} names {bad['population']} track {bad['track_id']} in frame "
            f"{bad['frame']}, but it has no point till then; rerun contacts on these tracks"
        )
    return rows


def _node_columns(
    cells: FieldCells,
    row: np.ndarray,
    events: dict[str, np.ndarray],
    last: np.ndarray,
    tracks: pd.DataFrame,
) -> pd.DataFrame:
    """Attributes of the nodes `row`."""
    text = np.full(len(cells.frame), "", object)
    for name, at in events.items():
        at = np.unique(at)
        text[at] += np.where(text[at] == "", name, ";" + name)
    nodes = pd.DataFrame(
        {
            "population": np.array(cells.names, object)[cells.population[row]],
            "track_id": cells.track[row],
            "frame": cells.frame[row],
            "time_min": cells.time_min[np.searchsorted(cells.frames, cells.frame[row])],
            "x_px": cells.xy[row, 0],
            "y_px": cells.xy[row, 1],
            "events": text[row],
        }
    )
    if cells.dead is not None:
        nodes["dead"] = cells.dead[row]
    ends = nodes[["population", "track_id"]].merge(
        tracks[["population", "track_id", "end_reason"]], how="left"
    )
    reason = ends["end_reason"].to_numpy(object)
    reason[~np.isin(row, last)] = None
    return nodes.assign(end_reason=reason)


def _steps(cells: FieldCells, row: np.ndarray) -> pd.DataFrame:
    """From each node to the next of its track."""
    one, other = row[:-1], row[1:]
    same = (cells.track[one] == cells.track[other]) & (
        cells.population[one] == cells.population[other]
    )
    one, other = one[same], other[same]
    time = cells.time_min[np.searchsorted(cells.frames, cells.frame)]
    return pd.DataFrame(
        {
            "one": one,
            "other": other,
            "n_frames": cells.frame[other] - cells.frame[one],
            "minutes": time[other] - time[one],
            "displacement_px": np.hypot(*(cells.xy[other] - cells.xy[one]).T),
        }
    )


def _divisions(
    cells: FieldCells, tracks: pd.DataFrame, first: np.ndarray, last: np.ndarray
) -> pd.DataFrame:
    """From the last node of each parent to the first of its daughters."""
    place = pd.MultiIndex.from_arrays(
        [np.array(cells.names, object)[cells.population[first]], cells.track[first]]
    )
    born = tracks[tracks["parent_track_id"].notna()]
    parent = pd.MultiIndex.from_arrays(
        [born["population"], born["parent_track_id"].astype(np.int64)]
    )
    daughter = pd.MultiIndex.from_arrays([born["population"], born["track_id"]])
    a, b = place.get_indexer(parent), place.get_indexer(daughter)
    known = (a != MISSING) & (b != MISSING)
    return pd.DataFrame({"one": last[a[known]], "other": first[b[known]]})


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dicts of plain Python values, null as None."""
    columns = [
        [None if value != value else value for value in table[name].tolist()] for name in table
    ]
    names = list(table.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
