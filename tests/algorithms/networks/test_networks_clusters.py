"""Clusters over time: worked examples, and what must hold of any."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyto_kedro import schemas
from cyto_kedro.algorithms.networks.clusters import Clusters
from cyto_kedro.errors import InputError


def film(frames: dict[int, list[list[int]]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and nodes of a film, given the groups of tracks in each frame."""
    rows = [
        (frame, number, len(group), track)
        for frame, groups in frames.items()
        for number, group in enumerate(groups, 1)
        for track in group
    ]
    table = pd.DataFrame(rows, columns=["frame", "component", "component_size", "track_id"])
    table = table.assign(
        fov="A",
        network="contact",
        population=np.where(table["track_id"] < 3, "N", "T"),
        time_min=2.0 * table["frame"],
        degree=0,
        clustering=0.0,
        closeness=np.nan,
        betweenness=np.nan,
        x_px=10.0 * table["track_id"],
        y_px=0.0,
        x_um=np.nan,
        y_um=np.nan,
        label=1,
        interpolated=False,
    )
    nodes = schemas.conform(schemas.NetworkNodes, table)
    return schemas.conform(schemas.TrackPoints, table), nodes


def follow(frames: dict[int, list[list[int]]], **args: int) -> pd.DataFrame:
    points, nodes = film(frames)
    found = Clusters(**args)({"dataframe": points, "nodes": nodes, "fov": "A"})["clusters"]
    return schemas.check(schemas.Clusters, found)


def test_merge_split_birth_and_death():
    table = follow(
        {
            0: [[1, 2, 3], [4, 5], [6], [7], [8], [9]],
            1: [[1, 2, 3, 4, 5], [6, 7], [8], [9]],  # 2 merges into 1, 3 is born
            2: [[1, 2, 3], [4, 5], [6], [7], [8, 9]],  # 4 splits from 1, 3 dies, 5 is born
        },
        memory_frames=1,
    )
    table = table.set_index(["cluster_id", "frame"])
    assert list(table.index) == [(1, 0), (2, 0), (1, 1), (3, 1), (1, 2), (4, 2), (5, 2)]
    begin = table["begin"].dropna().to_dict()
    assert begin == {
        (1, 0): "film_start",
        (2, 0): "film_start",
        (3, 1): "birth",
        (4, 2): "split",
        (5, 2): "birth",
    }
    assert table["split_from"].dropna().to_dict() == {(4, 2): 1}
    assert table["end"].dropna().to_dict() == {
        (2, 0): "merge",
        (3, 1): "death",
        (1, 2): "film_end",
        (4, 2): "film_end",
        (5, 2): "film_end",
    }
    assert table["merged_into"].dropna().to_dict() == {(2, 0): 1}
    assert table["n_merged"].tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert table["n_stayed"].dropna().to_dict() == {(1, 1): 3, (1, 2): 3}
    row = table.loc[(1, 1)]
    assert (row["n_cells"], row["n_N"], row["n_T"], row["x_px"]) == (5, 2, 3, 30)
    assert row["gyration_px"] == pytest.approx(np.sqrt(200)) and np.isnan(row["gyration_um"])
    assert row["time_min"] == 2


def test_a_contact_lost_for_a_frame_is_the_same_cluster():
    frames = {0: [[1, 2]], 1: [[1], [2]], 2: [[1, 2]]}
    kept = follow(frames)
    assert kept["cluster_id"].tolist() == [1, 1]
    assert kept["begin"].tolist() == ["film_start", None]
    assert follow(frames, memory_frames=1)["end"].tolist() == ["death", "film_end"]
    # frames without any cell are passed over
    assert follow({0: [[1, 2]], 5: [[1, 2]]}, memory_frames=1)["cluster_id"].tolist() == [1, 1]


def test_one_that_comes_back_has_not_merged():
    table = follow({0: [[1, 2, 3], [4, 5]], 1: [[1, 2, 3, 4], [5]], 2: [[1, 2, 3], [4, 5]]})
    # at frame 2 cell 5 remembers cluster 2, cell 4 is of cluster 1: cluster 2 goes on
    assert table.query("cluster_id == 2")["frame"].tolist() == [0, 2]
    assert table["merged_into"].isna().all() and (table["n_merged"] == 0).all()


def test_the_larger_share_keeps_the_number_and_lone_cells_count_where_asked():
    table = follow({0: [[1, 2, 3, 4, 5]], 1: [[1, 2], [3, 4, 5], [6]]}, min_cells=1)
    now = table.query("frame == 1").set_index("n_cells")
    assert now["cluster_id"].to_dict() == {2: 2, 3: 1, 1: 3}
    assert now.loc[2, "split_from"] == 1 and now.loc[1, "begin"] == "birth"


def test_no_clusters_and_wrong_tables():
    points, nodes = film({0: [[1], [2]]})
    for part in (nodes, nodes[:0]):
        found = Clusters()({"dataframe": points, "nodes": part})["clusters"]
        assert len(schemas.check(schemas.Clusters, found)) == 0 and "n_N" in found
    points, nodes = film({0: [[1, 2]]})
    with pytest.raises(InputError, match="N track 2, which has no point"):
        Clusters()({"dataframe": points[:1], "nodes": nodes})
    two = pd.concat([nodes, nodes.assign(network="delaunay")])
    with pytest.raises(InputError, match="several networks"):
        Clusters()({"dataframe": points, "nodes": two})


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(3, 12), st.integers(1, 3))
def test_any_film_is_accounted_for(seed, n_frames, n, memory):
    """Every cell of a group is counted once; births, deaths and merges add up."""
    rng = np.random.default_rng(seed)
    frames = {}
    for frame in range(n_frames):
        graph = nx.gnp_random_graph(n, 1 / n, seed=int(rng.integers(2**31)))
        frames[frame] = [[1 + node for node in part] for part in nx.connected_components(graph)]
    table = follow(frames, memory_frames=memory)
    groups = [(f, len(g)) for f, parts in frames.items() for g in parts if len(g) > 1]
    assert sorted(zip(table["frame"], table["n_cells"], strict=True)) == sorted(groups)
    assert (table["n_N"] + table["n_T"] == table["n_cells"]).all()
    begun = table.groupby("cluster_id")["begin"].agg(["first", "count"])
    ended = table.groupby("cluster_id")["end"].agg(["last", "count"])
    assert (begun["count"] == 1).all() and (ended["count"] == 1).all()
    assert table["n_merged"].sum() == (table["end"] == "merge").sum()
    assert (table["split_from"].notna() == (table["begin"] == "split")).all()
    known = set(table["cluster_id"])
    assert known == set(range(1, len(known) + 1))
    assert set(table["merged_into"].dropna()) | set(table["split_from"].dropna()) <= known
    if memory == 1:
        # backwards in time births are deaths
        back = {n_frames - 1 - frame: parts for frame, parts in frames.items()}
        turned = follow(back, memory_frames=1)
        assert (turned["begin"] == "birth").sum() == (table["end"] == "death").sum()
    # new track numbers change nothing but the numbers of clusters
    order = dict(zip(range(1, n + 1), (rng.permutation(n) + 1).tolist(), strict=True))
    other = follow(
        {f: [sorted(order[i] for i in g) for g in parts] for f, parts in frames.items()},
        memory_frames=memory,
    )
    assert len(other) == len(table)
    assert (other["begin"] == "birth").sum() == (table["begin"] == "birth").sum()
