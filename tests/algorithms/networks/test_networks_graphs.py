"""Cell graphs against SciPy, NetworkX and brute force, and on degenerate positions."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay as SciPyDelaunay
from scipy.spatial.distance import cdist

from cyto_kedro import schemas
from cyto_kedro.algorithms.networks.graphs import (
    ContactNetwork,
    Delaunay,
    NearestGraph,
    RadiusGraph,
)
from cyto_kedro.algorithms.networks.measures import (
    assortativity,
    centralities,
    connecting_radii,
    frame_measures,
    lengths,
    node_measures,
    triangulate,
)
from cyto_kedro.algorithms.networks.over_time import AggregateContacts
from cyto_kedro.errors import ConfigError, InputError


def points_of(xy: np.ndarray, frame=0, population="T", **others) -> pd.DataFrame:
    """One track point per row of xy (N, 2); track ids from 1."""
    xy = np.asarray(xy, float).reshape(-1, 2)
    if not len(xy):
        return schemas.empty(schemas.TrackPoints)
    table = pd.DataFrame({"x_px": xy[:, 0], "y_px": xy[:, 1]})
    table = table.assign(
        fov="A",
        population=population,
        frame=frame,
        time_min=np.nan,
        x_um=np.nan,
        y_um=np.nan,
        track_id=np.arange(1, len(xy) + 1),
        label=1,
        interpolated=False,
        **others,
    )
    return schemas.conform(schemas.TrackPoints, table)


def contacts_of(rows: list[tuple[int, str, int, str, int, float]]) -> pd.DataFrame:
    names = ["frame", "population_a", "track_id_a", "population_b", "track_id_b", "distance_px"]
    table = pd.DataFrame(rows, columns=names).assign(
        fov="A",
        time_min=np.nan,
        distance_um=np.nan,
        contact_length_px=2.0,
        contact_length_um=np.nan,
        overlap_px=0.0,
    )
    return schemas.conform(schemas.Contacts, table)


def run(algorithm, **data) -> tuple[dict, pd.DataFrame]:
    result = algorithm(data)
    return result["network"], schemas.check(schemas.NetworkMeasures, result["measures"])


def as_networkx(row: pd.Series, graph: nx.Graph) -> None:
    """Every measure of `row` equals NetworkX's of `graph`."""
    parts = [len(part) for part in nx.connected_components(graph)]
    assert row["n_nodes"] == graph.number_of_nodes()
    assert row["n_edges"] == graph.number_of_edges()
    assert row["n_components"] == len(parts)
    assert row["largest_component"] == max(parts)
    assert row["mean_degree"] == pytest.approx(np.mean([d for _, d in graph.degree]))
    assert row["mean_clustering"] == pytest.approx(nx.average_clustering(graph))


def test_delaunay_is_scipys_and_its_measures_are_networkx_s():
    rng = np.random.default_rng(0)
    xy = rng.random((80, 2)) * 500
    graphs, table = run(Delaunay(), dataframe=points_of(xy))
    expected = {
        frozenset((int(a), int(b)))
        for triangle in SciPyDelaunay(xy).simplices
        for a, b in zip(triangle, np.roll(triangle, 1), strict=True)
    }
    graph = graphs[0]
    assert {frozenset((a[1] - 1, b[1] - 1)) for a, b in graph.edges} == expected
    as_networkx(table.iloc[0], graph)
    edge = next(iter(graph.edges(data=True)))
    a, b = edge[0][1] - 1, edge[1][1] - 1
    assert edge[2]["distance_px"] == pytest.approx(np.linalg.norm(xy[a] - xy[b]))
    node = graph.nodes["T", 3]
    assert node == {"population": "T", "track_id": 3, "x_px": xy[2, 0], "y_px": xy[2, 1]}
    assert graph.graph == {"fov": "A", "frame": 0, "network": "delaunay"}
    assert all(type(value) in (str, int, float) for value in node.values())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 2**32 - 1), st.sampled_from([1, 4, 1000]))
def test_triangulation_connects_and_holds_the_connecting_radius(n, seed, grid):
    """Also on coarse grids, where points coincide and lie on lines; radius by brute force."""
    rng = np.random.default_rng(seed)
    xy = np.round(rng.random((n, 2)) * grid) * (100 / grid)
    edges = triangulate([xy], np.array([0, n]))
    assert (edges[:, 0] < edges[:, 1]).all()
    assert len(np.unique(edges, axis=0)) == len(edges)
    length = lengths(xy, edges)
    radius = connecting_radii(np.array([0, n]), edges, length)[0]
    if n < 2:
        assert np.isnan(radius) and len(edges) == 0
        return
    distance = cdist(xy, xy)
    connects = [
        r for r in np.unique(distance) if connected_components(distance <= r + 1e-9)[0] == 1
    ]
    assert radius == pytest.approx(connects[0])


graphs_of_frames = st.lists(
    st.tuples(st.integers(0, 18), st.integers(0, 2**32 - 1), st.floats(0, 1)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(graphs_of_frames, st.integers(0, 2**32 - 1))
def test_measures_of_any_graphs_are_networkx_s(frames, seed):
    """Several frames at once, empty ones among them."""
    made = [nx.gnp_random_graph(n, p, seed=s) for n, s, p in frames]
    starts = np.cumsum([0, *(len(graph) for graph in made)])
    parts = [np.array(graph.edges, np.int64).reshape(-1, 2) for graph in made]
    edges = np.concatenate([part + at for part, at in zip(parts, starts, strict=False)])
    kind = np.random.default_rng(seed).integers(-1, 3, starts[-1])
    nodes = node_measures(starts, edges)
    whole = frame_measures(starts, edges, np.ones(len(edges)), nodes)
    mixed = assortativity(starts, edges, kind)
    central = centralities(starts, edges)
    for i, graph in enumerate(made):
        at = slice(starts[i], starts[i + 1])
        if not len(graph):
            assert whole["n_components"][i] == whole["largest_component"][i] == 0
            assert np.isnan(whole["mean_degree"][i]) and np.isnan(mixed[i])
            continue
        as_networkx(pd.Series({name: values[i] for name, values in whole.items()}), graph)
        assert dict(enumerate(nodes["clustering"][at])) == pytest.approx(nx.clustering(graph))
        for part in nx.connected_components(graph):
            rows = starts[i] + np.array(sorted(part))
            assert len(set(nodes["component"][rows])) == 1
            assert (nodes["component_size"][rows] == len(part)).all()
        assert set(nodes["component"][at]) == set(range(1, whole["n_components"][i] + 1))
        for name in ("closeness", "betweenness"):
            expected = getattr(nx, f"{name}_centrality")(graph)
            assert dict(enumerate(central[name][at])) == pytest.approx(expected)
        known = graph.subgraph(np.flatnonzero(kind[at] >= 0).tolist())
        nx.set_node_attributes(graph, dict(enumerate(kind[at].tolist())), "kind")
        kinds = {kind[at][node] for edge in known.edges for node in edge}
        if len(kinds) < 2:
            assert np.isnan(mixed[i])
        else:
            assert mixed[i] == pytest.approx(nx.attribute_assortativity_coefficient(known, "kind"))


@pytest.mark.parametrize(
    "xy",
    [
        [(3, 4)],
        [(0, 0), (3, 4)],
        [(5, 5)] * 6,
        [(i, 2 * i) for i in range(7)],
        [(0, 0), (1, 0), (0, 1), (0, 0), (1, 0)],
        [(0, 0), (1e-9, 0), (2, 1e-12), (3, 0)],
    ],
)
def test_degenerate_positions_give_a_connected_graph(xy):
    graphs, table = run(Delaunay(), dataframe=points_of(xy))
    assert graphs[0].number_of_nodes() == len(xy)
    assert nx.is_connected(graphs[0]) and table["n_components"].tolist() == [1]
    assert not list(nx.selfloop_edges(graphs[0]))


def test_points_on_a_line_are_joined_along_it():
    graphs, _ = run(Delaunay(), dataframe=points_of([(4, 4), (0, 0), (9, 9), (1, 1)]))
    pairs = {frozenset((a[1], b[1])) for a, b in graphs[0].edges}
    assert pairs == {frozenset(p) for p in ((2, 4), (4, 1), (1, 3))}


def test_cut_off_drops_long_edges_and_keeps_the_radius():
    points = points_of([(0, 0), (10, 0), (0, 10), (100, 0)])
    _, whole = run(Delaunay(), dataframe=points)
    graphs, cut = run(Delaunay(max_edge_px=20), dataframe=points)
    assert cut[["n_edges", "n_components", "largest_component"]].to_numpy().tolist() == [[3, 2, 3]]
    assert cut["connecting_radius_px"].tolist() == whole["connecting_radius_px"].tolist() == [90]
    assert graphs[0].degree["T", 4] == 0
    _, um = run(Delaunay(max_edge_um=10), dataframe=points, pixel_size_um=0.5)
    in_um = ["mean_edge_um", "connecting_radius_um"]
    pd.testing.assert_frame_equal(um.drop(columns=in_um), cut.drop(columns=in_um))
    assert um["connecting_radius_um"].tolist() == [45] and cut[in_um].isna().all(axis=None)
    assert um["mean_edge_um"].iloc[0] == pytest.approx(cut["mean_edge_px"].iloc[0] / 2)
    with pytest.raises(ConfigError, match="pixel size"):
        run(Delaunay(max_edge_um=10), dataframe=points)
    # both: µm where the film is calibrated, pixels elsewhere
    both = Delaunay(max_edge_um=10, max_edge_px=30)
    assert run(both, dataframe=points, pixel_size_um=0.5)[1]["n_edges"].tolist() == [3]
    assert run(both, dataframe=points)[1]["n_edges"].tolist() == [
        *run(Delaunay(max_edge_px=30), dataframe=points)[1]["n_edges"]
    ]


def test_frames_and_fields_without_cells():
    points = points_of([(0, 0), (3, 4)], frame=1)
    graphs, table = run(Delaunay(), dataframe=points, n_frames=3)
    assert list(graphs) == [0, 1, 2] and table["n_nodes"].tolist() == [0, 2, 0]
    assert table["n_components"].tolist() == [0, 1, 0] and set(table["fov"]) == {"A"}
    graphs, table = run(Delaunay(), dataframe=points_of([]), n_frames=2, fov="B")
    assert table["fov"].tolist() == ["B", "B"] and len(graphs) == 2
    assert run(Delaunay(), dataframe=points_of([]))[0] == {}
    graphs, table = run(Delaunay(graphs=False), dataframe=points)
    assert graphs == {} and len(table) == 1
    with pytest.raises(KeyError):
        run(Delaunay(), dataframe=points)[0][0]
    bad = points.assign(x_px=np.nan)
    with pytest.raises(InputError, match="'A', T track 1, frame 1: its position"):
        run(Delaunay(), dataframe=bad)


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("n", [0, 1, 2, 30])
def test_radius_and_nearest_graphs_are_those_of_all_distances(n, mutual):
    """Also where many cells share a position."""
    rng = np.random.default_rng(n)
    frames = [np.round(rng.random((n, 2)) * 9), rng.random((n, 2)) * 9]
    points = pd.concat([points_of(xy, frame=i) for i, xy in enumerate(frames)])
    near, table = run(RadiusGraph(max_distance_px=2), dataframe=points, n_frames=2)
    spec = NearestGraph(k=3, mutual=mutual)
    chosen, _ = run(spec, dataframe=points, n_frames=2)
    cut, _ = run(NearestGraph(k=3, max_distance_um=1), dataframe=points, pixel_size_um=0.5)
    assert table["network"].tolist() == ["radius"] * 2
    assert table["connecting_radius_px"].isna().all()
    for frame, xy in enumerate(frames):
        distance = cdist(xy, xy) if n else np.zeros((0, 0))
        expected = {frozenset((a, b)) for a, b in np.argwhere(distance <= 2) + 1 if a != b}
        assert {frozenset((a[1], b[1])) for a, b in near[frame].edges} == expected
        if n < 2:
            assert chosen[frame].number_of_edges() == 0
            continue
        np.fill_diagonal(distance, -1)
        order = np.argsort(distance, axis=1)[:, 1 : spec.k + 1]
        rank = np.zeros((n, n), bool)
        np.put_along_axis(rank, order, True, axis=1)
        wanted = rank & rank.T if mutual else rank | rank.T
        found = chosen[frame]
        assert all(attributes["distance_px"] <= 2 for *_, attributes in cut[frame].edges(data=True))
        if frame == 1:  # no ties
            pairs = {frozenset((a, b)) for a, b in np.argwhere(wanted) + 1}
            assert {frozenset((a[1], b[1])) for a, b in found.edges} == pairs
        elif not mutual and n > spec.k:
            assert min(degree for _, degree in found.degree) >= spec.k


def test_nodes_count_their_neighbours_by_population():
    rng = np.random.default_rng(1)
    first = pd.concat([points_of(rng.random((9, 2)) * 99, population=p) for p in "TN"])
    points = pd.concat([first, points_of(rng.random((4, 2)) * 99, frame=2)])
    data = {"dataframe": points.assign(dead=points["track_id"] < 4), "populations": ["N", "Q", "T"]}
    found = Delaunay(centrality=["betweenness"])(data)
    nodes = schemas.check(schemas.NetworkNodes, found["nodes"]).set_index(
        ["frame", "population", "track_id"]
    )
    assert len(nodes) == 22 and (nodes["degree_Q"] == 0).all()
    assert nodes["closeness"].isna().all()
    for frame, graph in found["network"].items():
        central = nx.betweenness_centrality(graph)
        for node in graph:
            row = nodes.loc[(frame, *node)]
            assert row["degree"] == graph.degree[node]
            for name in "NT":
                assert row[f"degree_{name}"] == sum(each[0] == name for each in graph[node])
            assert row["betweenness"] == pytest.approx(central[node])
        row = found["measures"].set_index("frame").loc[frame]
        if frame == 0:
            for column, name in (("population", "population"), ("dead", "dead")):
                r = nx.attribute_assortativity_coefficient(graph, name)
                assert row[f"{column}_assortativity"] == pytest.approx(r)
    assert np.isnan(found["measures"]["population_assortativity"].iloc[1])
    empty = Delaunay()({"dataframe": points_of([]), "fov": "A", "populations": ["T"]})
    assert len(schemas.check(schemas.NetworkNodes, empty["nodes"])) == 0
    assert "degree_T" in empty["nodes"]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 25),
    st.integers(0, 2**32 - 1),
    st.sampled_from(
        [
            Delaunay(max_edge_px=30),
            RadiusGraph(max_distance_px=20),
            NearestGraph(k=2),
            NearestGraph(k=3, mutual=True),
        ]
    ),
)
def test_moved_turned_renumbered_or_thinned_films_have_the_same_graphs(n, seed, algorithm):
    """Translation, a quarter turn, new track numbers, and every second frame of the film."""
    rng = np.random.default_rng(seed)
    points = pd.concat([points_of(rng.random((n, 2)) * 100, frame=i) for i in range(3)])
    points["population"] = np.where(points["track_id"] % 3, "T", "N")
    whole = algorithm({"dataframe": points})
    new = rng.permutation(n) + 1
    x, y = points["x_px"].to_numpy(), points["y_px"].to_numpy()
    moved = points.assign(x_px=50 - y, y_px=x + 7, track_id=new[points["track_id"] - 1])
    again = algorithm({"dataframe": moved[moved["frame"] % 2 == 0]})
    left = whole["measures"].query("frame % 2 == 0").reset_index(drop=True)
    pd.testing.assert_frame_equal(again["measures"], left)
    back = np.argsort(new) + 1
    for frame, graph in again["network"].items():
        renamed = {frozenset((p, int(back[i - 1])) for p, i in edge) for edge in graph.edges}
        assert renamed == set(map(frozenset, whole["network"][frame].edges))


def test_contact_network():
    points = pd.concat(
        [
            points_of([(0, 0), (9, 0), (50, 50)], dead=[False, True, False]),
            points_of([(4, 4)], population="N", dead=False),
            points_of([(0, 0)], frame=1, dead=False),
        ]
    )
    contacts = contacts_of(
        [(0, "N", 1, "T", 1, 1.0), (0, "T", 1, "T", 2, 0.0), (0, "N", 1, "T", 2, 2.0)]
    )
    graphs, table = run(ContactNetwork(), dataframe=points, contacts=contacts, n_frames=2)
    assert sorted(graphs) == [0, 1]
    as_networkx(table.iloc[0], graphs[0])
    assert table["mean_edge_px"].iloc[0] == 1 and np.isnan(table["mean_edge_px"].iloc[1])
    assert table["mean_clustering"].iloc[0] == pytest.approx(3 / 4)
    assert graphs[0].edges[("N", 1), ("T", 2)] == {"distance_px": 2.0, "contact_length_px": 2.0}
    assert graphs[0].nodes["T", 2]["dead"] is True
    assert set(table["network"]) == {"contact"}
    lost = contacts_of([(1, "T", 2, "N", 1, 0.0)])
    with pytest.raises(InputError, match="frame 1: a contact names T track 2"):
        run(ContactNetwork(), dataframe=points, contacts=lost)
    _, none = run(ContactNetwork(), dataframe=points, contacts=contacts[:0])
    assert none["n_edges"].tolist() == [0, 0]


def bouts_of(rows: list[tuple[int, int, int, int, int, float]]) -> pd.DataFrame:
    names = ["track_id_a", "track_id_b", "bout", "start_frame", "end_frame", "duration_min"]
    table = pd.DataFrame(rows, columns=names)
    table = table.assign(fov="A", population_a="N", population_b="T", start_min=0.0)
    n_frames = table["end_frame"] - table["start_frame"] + 1
    table = table.assign(n_frames=n_frames, n_contact_frames=n_frames)
    table = table.assign(censored_start=False, censored_end=False)
    return schemas.conform(schemas.Bouts, table)


def test_contacts_over_time():
    points = pd.concat(
        [
            points_of([(0, 0), (10, 0)], frame=0),
            points_of([(2, 4)], frame=3),
            points_of([(5, 5)], frame=1, population="N"),
        ]
    ).assign(dead=[False, True, False, False])
    bouts = bouts_of([(1, 1, 1, 2, 4, 6.0), (1, 1, 2, 9, 9, 2.0), (1, 2, 1, 5, 5, np.nan)])
    graph = AggregateContacts()({"dataframe": points, "bouts": bouts})["network"]
    assert graph.edges[("N", 1), ("T", 1)] == {
        "contact_frames": 4,
        "n_bouts": 2,
        "first_frame": 2,
        "last_frame": 9,
        "duration_min": 8.0,
    }
    assert graph.edges[("N", 1), ("T", 2)]["duration_min"] is None
    assert graph.nodes["T", 1] == {
        "population": "T",
        "track_id": 1,
        "x_px": 1.0,
        "y_px": 2.0,
        "first_frame": 0,
        "last_frame": 3,
        "dead": False,
    }
    assert graph.nodes["T", 2]["dead"] is True
    assert len(graph) == 3 and [kept["n_bouts"] for *_, kept in graph.edges(data=True)] == [2, 1]
    empty = AggregateContacts()({"dataframe": points_of([]), "bouts": bouts[:0]})["network"]
    assert empty.number_of_nodes() == 0
