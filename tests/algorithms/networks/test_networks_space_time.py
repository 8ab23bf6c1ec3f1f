"""The space-time graph: a film worked by hand, and what could be passed on, by brute force."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.bouts import Bouts
from cyto_kedro.algorithms.networks.over_time import SpaceTimeGraph
from cyto_kedro.errors import InputError


def points_of(rows: list[tuple[str, int, int]], **others: object) -> pd.DataFrame:
    """A point for each (population, track_id, frame), at (10 track, frame)."""
    table = pd.DataFrame(rows, columns=["population", "track_id", "frame"])
    table = table.assign(
        fov="A",
        time_min=2.0 * table["frame"],
        x_px=10.0 * table["track_id"],
        y_px=1.0 * table["frame"],
        x_um=np.nan,
        y_um=np.nan,
        label=1,
        interpolated=False,
        **others,
    )
    return schemas.conform(schemas.TrackPoints, table)


def tracks_of(points: pd.DataFrame, parents: dict[int, int] | None = None) -> pd.DataFrame:
    frame = points.groupby(["population", "track_id"], as_index=False).agg(
        first_frame=("frame", "min"), last_frame=("frame", "max"), n_points=("frame", "size")
    )
    parent = frame["track_id"].map(parents or {}).astype("Int64")
    frame = frame.assign(fov="A", parent_track_id=parent, end_reason="lost")
    return schemas.conform(schemas.Tracks, frame)


def contacts_of(rows: list[tuple[int, int, int]]) -> pd.DataFrame:
    """N track a touches T track b in a frame."""
    table = pd.DataFrame(rows, columns=["frame", "track_id_a", "track_id_b"]).assign(
        fov="A",
        population_a="N",
        population_b="T",
        time_min=lambda t: 2.0 * t["frame"],
        distance_px=0.0,
        distance_um=np.nan,
        contact_length_px=3.0,
        contact_length_um=np.nan,
        overlap_px=0.0,
    )
    return schemas.conform(schemas.Contacts, table)


def graph_of(
    points, contacts, deaths=None, kills=None, parents=None, nodes="events"
) -> nx.MultiDiGraph:
    tracks = tracks_of(points, parents)
    bouts = Bouts()({"contacts": contacts, "dataframe": points, "tracks": tracks})["bouts"]
    data = {"dataframe": points, "tracks": tracks, "contacts": contacts, "bouts": bouts}
    data["deaths"] = schemas.empty(schemas.Deaths) if deaths is None else deaths
    data["kills"] = schemas.empty(schemas.Kills) if kills is None else kills
    return SpaceTimeGraph(nodes=nodes)({**data, "fov": "A"})["network"]


@pytest.fixture
def film() -> dict:
    """Effector N 1 touches target T 1 in frames 2 to 4 and kills it at 5; T 2 divides at 3."""
    rows = [("N", 1, f) for f in range(8)] + [("T", 1, f) for f in range(8)]
    rows += [("T", 2, f) for f in range(4)] + [("T", t, f) for t in (3, 4) for f in range(4, 8)]
    points = points_of(rows)
    points["dead"] = [p == "T" and t == 1 and f >= 5 for p, t, f in rows]
    deaths = pd.DataFrame(
        {
            "fov": "A",
            "population": "T",
            "track_id": [1],
            "frame": 5,
            "time_min": 10.0,
            "n_killers": 1,
        }
    )
    kills = pd.DataFrame(
        {
            **{"fov": "A", "target_population": "T", "target_track_id": [1], "death_frame": 5},
            **{"effector_population": "N", "effector_track_id": 1, "death_min": 10.0, "share": 1.0},
            **{"contact_frames": 3, "first_contact_frame": 2, "last_contact_frame": 4},
        }
    )
    return {
        "points": points,
        "contacts": contacts_of([(2, 1, 1), (3, 1, 1), (4, 1, 1)]),
        "deaths": deaths,
        "kills": kills,
        "parents": {3: 2, 4: 2},
    }


def test_a_film_by_hand(film):
    graph = graph_of(**film)
    assert isinstance(graph, nx.MultiDiGraph) and nx.is_directed_acyclic_graph(
        nx.MultiDiGraph([edge for edge in graph.edges if edge[2] != "contact"])
    )
    assert set(graph) == {
        *(("N", 1, f) for f in (0, 2, 4, 7)),
        *(("T", 1, f) for f in (0, 2, 4, 5, 7)),
        *(("T", 2, f) for f in (0, 3)),
        *(("T", t, f) for t in (3, 4) for f in (4, 7)),
    }
    assert graph.nodes["T", 1, 5] == {
        **{
            "population": "T",
            "track_id": 1,
            "frame": 5,
            "time_min": 10.0,
            "x_px": 10.0,
            "y_px": 5.0,
        },
        **{"events": "death", "dead": True, "end_reason": None},
    }
    assert graph.nodes["N", 1, 4]["events"] == "contact;kill"
    assert graph.nodes["T", 2, 3]["end_reason"] == "lost"
    assert graph.graph == {"fov": "A", "network": "space_time", "nodes": "events"}
    kinds = {}
    for a, b, kind in graph.edges:
        kinds.setdefault(kind, set()).add((a, b))
    assert kinds["division"] == {(("T", 2, 3), ("T", t, 4)) for t in (3, 4)}
    assert kinds["kill"] == {(("N", 1, 4), ("T", 1, 5))}
    both = {(("N", 1, f), ("T", 1, f)) for f in (2, 4)}
    assert kinds["contact"] == both | {(b, a) for a, b in both}
    assert len(kinds["track"]) == 3 + 4 + 1 + 2
    step = graph.edges[("N", 1, 4), ("N", 1, 7), "track"]
    assert step == {"n_frames": 3, "minutes": 6.0, "displacement_px": 3.0, "kind": "track"}
    end = graph.edges[("T", 1, 4), ("N", 1, 4), "contact"]
    assert (end["phase"], end["n_contact_frames"], end["bout"]) == ("end", 3, 1)
    assert graph.edges[("N", 1, 4), ("T", 1, 5), "kill"]["share"] == 1.0


def test_of_points_every_frame_is_there(film):
    graph = graph_of(**film, nodes="points")
    assert graph.number_of_nodes() == len(film["points"])
    contacts = [edge for edge in graph.edges if edge[2] == "contact"]
    assert len(contacts) == 6
    assert graph.edges[contacts[0]]["contact_length_px"] == 3
    assert graph.nodes["N", 1, 1]["events"] == ""


def test_a_cell_lost_while_it_died_dies_at_its_last_point(film):
    """A body found beside a lost track has a track of its own (`evidence` body)."""
    film["deaths"]["frame"] = film["kills"]["death_frame"] = 9
    graph = graph_of(**film)
    assert graph.nodes["T", 1, 7]["events"] == "death;end"
    assert (("N", 1, 4), ("T", 1, 7), "kill") in graph.edges


def test_a_missing_point_is_named_and_no_cells_make_an_empty_graph(film):
    film["deaths"]["track_id"] = 99
    with pytest.raises(InputError, match="a death names T track 99 in frame 5"):
        graph_of(**film)
    empty = graph_of(film["points"][:0], film["contacts"][:0])
    assert empty.number_of_nodes() == 0 and empty.graph["fov"] == "A"
    alone = graph_of(points_of([("N", 1, 3)]), film["contacts"][:0])
    assert alone.nodes["N", 1, 3]["events"] == "begin;end"


def reached(points: pd.DataFrame, contacts: pd.DataFrame, start: tuple[str, int, int]) -> set:
    """Cells that something could get to from `start`, frame by frame."""
    held, last = {start[:2]}, int(points["frame"].max())
    for frame in range(start[2], last + 1):
        for _ in range(len(points)):  # along chains of contact within the frame
            for row in contacts[contacts["frame"] == frame].itertuples():
                pair = {("N", row.track_id_a), ("T", row.track_id_b)}
                held |= pair if pair & held else set()
    return held


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 10))
def test_paths_are_what_could_be_passed_on(seed, n_contacts):
    """Of points exactly; of events never more."""
    rng = np.random.default_rng(seed)
    points = points_of([(p, t, f) for p in "NT" for t in (1, 2, 3) for f in range(5)])
    rows = {tuple(row) for row in rng.integers([0, 1, 1], [5, 4, 4], (n_contacts, 3)).tolist()}
    contacts = contacts_of(sorted(rows))
    every = graph_of(points, contacts, nodes="points")
    few = graph_of(points, contacts)
    for population in "NT":
        start = (population, 1, 0)
        expected = reached(points, contacts, start)
        assert {node[:2] for node in nx.descendants(every, start) | {start}} == expected
        found = {node[:2] for node in nx.descendants(few, start) | {start}}
        assert found <= expected
