"""Graphs and objects as datasets: exports for other programs, previews, errors."""

from __future__ import annotations

import base64
import json
import os
import pickle
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError

from cyto_kedro.datasets.graph import GraphDataset
from cyto_kedro.datasets.object_ import ObjectDataset
from cyto_kedro.errors import ConfigError, UnsafePickleError
from cyto_kedro.graphs import FrameGraphs


def graph(n=3):
    made = nx.Graph(frame=0)
    for i in range(n):
        population = "TCell" if i % 2 else "CancerCell"
        made.add_node((population, i), x_px=float(i), y_px=np.float64(2 * i), dead=np.bool_(i == 1))
    made.add_node(("TCell", 99), x_px=1.0, y_px=5.0, note=None, mixed="a")
    made.add_edge(("CancerCell", 0), ("TCell", 1), length_px=np.float32(2.5), mixed=1)
    return made


@pytest.mark.parametrize("url", ["{tmp}/f/a.pkl", "memory://{name}/a.pkl"])
def test_graphs_and_their_exports(tmp_path, url):
    url = url.format(tmp=tmp_path, name=tmp_path.name)
    dataset = GraphDataset(filepath=url, export=["graphml", "tables"])
    dataset.save({"t0": graph(), "t1": nx.Graph()})
    back = dataset.load()
    assert list(back) == ["t0", "t1"]
    assert nx.utils.graphs_equal(back["t0"], graph())
    stem = url.removesuffix(".pkl")
    nodes, edges = (pd.read_parquet(f"{stem}.{part}.parquet") for part in ("nodes", "edges"))
    assert list(nodes["node"]) == ["CancerCell:0", "TCell:1", "CancerCell:2", "TCell:99"]
    assert list(nodes["dead"])[:3] == [False, True, False]
    assert edges.to_dict("records") == [
        {"graph": "t0", "source": "CancerCell:0", "target": "TCell:1", "length_px": 2.5, "mixed": 1}
    ]
    assert base64.b64decode(dataset.preview()).startswith(b"\x89PNG")


def test_graphml_is_read_by_networkx(tmp_path):
    GraphDataset(filepath=tmp_path / "a.pkl", export=["graphml"]).save(graph())
    back = nx.read_graphml(tmp_path / "a.graphml")
    assert set(back.nodes) == {"CancerCell:0", "TCell:1", "CancerCell:2", "TCell:99"}
    assert back.nodes["TCell:1"] == {"x_px": 1.0, "y_px": 2.0, "dead": True}
    assert back.edges["CancerCell:0", "TCell:1"]["length_px"] == 2.5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.graphml", "a.pkl"]


def frames_of_graphs():
    """Three frames: two cells in contact, none, one."""
    return FrameGraphs(
        head={"fov": "A", "network": "contact"},
        frames=np.array([0, 1, 2]),
        node_starts=np.array([0, 2, 2, 3]),
        edge_starts=np.array([0, 1, 1, 1]),
        nodes={
            "population": np.array(["N", "T", "T"], object),
            "track_id": np.array([4, 1, 1]),
            "x_px": np.array([1.0, 2.0, 3.5]),
            "dead": np.array([False, None, True], object),
        },
        edges=np.array([[0, 1]]),
        edge_values={"distance_px": np.array([0.5])},
    )


def test_graphs_of_frames_are_stored_as_arrays(tmp_path):
    made = frames_of_graphs()
    folders = [tmp_path / name for name in ("arrays", "graphs")]
    for folder, data in zip(folders, (made, dict(made)), strict=True):
        dataset = GraphDataset(filepath=folder / "a.pkl", export=["graphml", "tables"])
        dataset.save(data)
        back = dataset.load()
        assert list(back) == [0, 1, 2]
        for frame in range(3):
            assert nx.utils.graphs_equal(back[frame], made[frame])
        assert base64.b64decode(dataset.preview()).startswith(b"\x89PNG")
    assert made[0].nodes["T", 1] == {"population": "T", "track_id": 1, "x_px": 2.0, "dead": None}
    assert made[0].edges[("N", 4), ("T", 1)] == {"distance_px": 0.5}
    names = sorted(path.name for path in folders[0].iterdir())
    assert names == sorted(path.name for path in folders[1].iterdir())
    for name in names:
        one, other = (folder / name for folder in folders)
        if name.endswith("parquet"):
            pd.testing.assert_frame_equal(pd.read_parquet(one), pd.read_parquet(other))
        elif name.endswith("graphml"):
            assert one.read_bytes() == other.read_bytes()
    state = made.state() | {"edges": np.array([[0, 9]])}
    ObjectDataset(filepath=tmp_path / "b.pkl").save(state)
    with pytest.raises(DatasetError, match=r"b\.pkl: the graphs in it are not whole"):
        GraphDataset(filepath=tmp_path / "b.pkl").load()


def test_edges_of_a_multigraph_have_ids_of_their_own(tmp_path):
    many = nx.MultiDiGraph()
    many.add_edge("a", "b", "kill", kind="kill")
    many.add_edge("a", "b", "contact", kind="contact")
    many.add_edge("b", "a", "contact", kind="contact")
    dataset = GraphDataset(filepath=tmp_path / "a.pkl", export=["graphml"])
    dataset.save(many)
    assert nx.utils.graphs_equal(dataset.load(), many)
    root = ElementTree.parse(tmp_path / "a.graphml").getroot()
    space = "{http://graphml.graphdrawing.org/xmlns}"
    ids = [edge.get("id") for edge in root.iter(f"{space}edge")]
    assert len(ids) == len(set(ids)) == 3
    back = nx.read_graphml(tmp_path / "a.graphml", force_multigraph=True)
    kinds = sorted((a, b, kept["kind"]) for a, b, kept in back.edges(data=True))
    assert kinds == [("a", "b", "contact"), ("a", "b", "kill"), ("b", "a", "contact")]


def test_empty_graphs(tmp_path):
    dataset = GraphDataset(filepath=tmp_path / "a.pkl", export=["graphml", "tables"])
    for data in (nx.Graph(), {}, []):
        dataset.save(data)
        assert type(dataset.load()) is type(data)
        assert dataset.preview()
        assert pd.read_parquet(tmp_path / "a.edges.parquet").empty


def test_bad_graphs_and_options(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown format 'graphlm'\. Did you mean 'graphml'"):
        GraphDataset(filepath=tmp_path / "a.pkl", export=["graphlm"])
    dataset = GraphDataset(filepath=tmp_path / "a.pkl", export=["graphml"])
    with pytest.raises(DatasetError, match=r"a\.pkl: 'x' is int, not a NetworkX graph"):
        dataset.save({"x": 1})
    with pytest.raises(DatasetError, match="function cannot be stored"):
        dataset.save(nx.Graph(rule=lambda: 0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [GraphDataset, ObjectDataset])
def test_a_hostile_file_is_refused_through_kedro(tmp_path, kind):
    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'made'}",)

    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"g": Hostile()}))
    with pytest.raises(DatasetError, match=r"a\.pkl asks for posix\.system") as caught:
        kind(filepath=path).load()
    assert isinstance(caught.value.__cause__, UnsafePickleError)
    assert not (tmp_path / "made").exists()


def test_objects(tmp_path):
    dataset = ObjectDataset(filepath=f"memory://{tmp_path.name}/state.pkl")
    state = {"flat": np.ones((4, 5), np.float32), "gain": np.float64(2.5), "steps": [1, None]}
    dataset.save(state)
    back = dataset.load()
    np.testing.assert_array_equal(back.pop("flat"), state["flat"])
    assert back == {"gain": 2.5, "steps": [1, None]}
    shown = json.loads(dataset.preview())
    assert shown["flat"] == "array (4, 5) float32"
    assert shown["steps"] == [1, None]
    with pytest.raises(DatasetError, match="DataFrame cannot be stored"):
        dataset.save(pd.DataFrame())
