"""Contacts by position against all pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import construct
from cyto_kedro.algorithms.contacts.contacts import ContactJoin
from cyto_kedro.algorithms.contacts.positions import CentroidDistance, NearestNeighbours
from cyto_kedro.errors import ConfigError

PAIR = ["frame", "population_a", "track_id_a", "population_b", "track_id_b"]


def crowd(make_points, seed, n=12, **fields):
    """Two populations of `n` and `n // 2` tracks over three frames, on a coarse grid (ties)."""
    rng = np.random.default_rng(seed)
    tracks = {
        (population, track + 1): {f: tuple(rng.integers(0, 60, 2) / 2.0) for f in range(3)}
        for population, size in (("T", n), ("C", n // 2))
        for track in range(size)
    }
    return make_points(tracks, **fields)


def run(algorithm, points, **more):
    data = {"dataframe": points, "pixel_size_um": 0.5, **more}
    return schemas.check(schemas.Contacts, algorithm(data)["contacts"])


def pairs(table):
    return list(table[PAIR].itertuples(index=False, name=None))


def all_pairs(points):
    """Every pair of a frame, T before C, with its distance."""
    order = {"T": 0, "C": 1}
    for frame, rows in points.groupby("frame"):
        rows = sorted(
            rows[["population", "track_id", "x_px", "y_px"]].itertuples(index=False),
            key=lambda r: (order[r.population], r.track_id),
        )
        distance = cdist(*[[(r.x_px, r.y_px) for r in rows]] * 2)
        yield frame, rows, distance


@pytest.mark.parametrize("seed", [0, 1])
def test_centroid_distance_against_all_pairs(make_points, seed):
    points = crowd(make_points, seed)
    truth = {}
    for frame, rows, distance in all_pairs(points):
        for i, a in enumerate(rows):
            for j, b in enumerate(rows[i + 1 :], i + 1):
                if distance[i, j] <= 5:
                    key = (frame, a.population, a.track_id, b.population, b.track_id)
                    truth[key] = distance[i, j]
    table = run(CentroidDistance(max_distance_px=5), points)
    assert dict(zip(pairs(table), table["centre_distance_px"], strict=True)) == pytest.approx(truth)
    assert table["distance_px"].isna().all()  # no masks were compared
    assert set(table["definition"]) == {"centroid distance <= 5 px"}
    by_um = run(CentroidDistance(max_distance_um=2.5), points)
    assert pairs(by_um) == pairs(table)
    np.testing.assert_allclose(by_um["centre_distance_um"], table["centre_distance_px"] / 2)


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("k", [1, 3, 30])
def test_k_nearest_against_all_pairs(make_points, k, mutual):
    points = crowd(make_points, 5)
    points["x_px"] += np.random.default_rng(5).random(len(points)) * 1e-3  # no ties
    truth = set()
    for frame, rows, distance in all_pairs(points):
        directed = set()
        for i in range(len(rows)):
            for population in "TC":
                others = [j for j, b in enumerate(rows) if b.population == population and j != i]
                directed |= {(i, j) for j in sorted(others, key=distance[i].__getitem__)[:k]}
        for i, j in directed:
            if (i < j and (not mutual or (j, i) in directed)) or (i > j and not mutual):
                a, b = rows[min(i, j)], rows[max(i, j)]
                truth.add((frame, a.population, a.track_id, b.population, b.track_id))
    table = run(NearestNeighbours(k=k, mutual=mutual), points)
    assert set(pairs(table)) == truth and len(table) == len(truth)
    near = run(NearestNeighbours(k=k, mutual=mutual, max_distance_px=4), points)
    assert pairs(near) == pairs(table[table["centre_distance_px"] <= 4])


def test_cells_in_one_place_are_not_their_own_neighbours(make_points):
    points = make_points({("T", n): {0: (3.0, 3.0)} for n in range(1, 6)})
    table = run(NearestNeighbours(k=2), points)
    assert (table["track_id_a"] != table["track_id_b"]).all()
    assert (table["centre_distance_px"] == 0).all()
    degree = pd.concat([table["track_id_a"], table["track_id_b"]]).value_counts()
    assert len(degree) == 5 and degree.min() >= 2


def test_masks_measures_are_kept_where_a_pair_touches(make_points):
    points = make_points(
        {("T", 1): {0: (5.0, 5.0)}, ("C", 1): {0: (8.0, 5.0)}, ("C", 2): {0: (14.0, 5.0)}}
    )
    row = {"frame": 0, "population_a": "T", "label_a": 101, "population_b": "C", "label_b": 101}
    touches = pd.DataFrame([row]).assign(
        fov="A", distance_px=0.5, distance_um=0.25, contact_length_px=4.0,
        contact_length_um=2.0, overlap_px=0.0, perimeter_share_a=0.3, perimeter_share_b=0.1,
        definition="mask distance <= 1 px",
    )  # fmt: skip
    table = run(CentroidDistance(max_distance_px=12), points, touches=touches)
    assert table["distance_px"].fillna(-1).tolist() == [-1, 0.5, -1]
    assert table["perimeter_share_a"].fillna(-1).tolist() == [-1, 0.3, -1]
    joined = ContactJoin()({"touches": touches, "dataframe": points})["contacts"]
    assert joined["centre_distance_px"].tolist() == [3.0]
    assert joined["centre_distance_um"].tolist() == [1.5]
    assert joined["definition"].tolist() == ["mask distance <= 1 px"]
    narrow = ContactJoin(max_distance_px=1)({"touches": touches, "dataframe": points})["contacts"]
    assert narrow["definition"].tolist() == ["mask distance <= 1 px, at most 1 px apart"]


def test_ordinary_cases(make_points):
    for algorithm in (CentroidDistance(max_distance_px=5), NearestNeighbours()):
        assert len(run(algorithm, make_points({}))) == 0
        alone = make_points({("T", 1): {0: (5.0, 5.0)}})
        assert len(run(algorithm, alone)) == 0
        # an interpolated position is no evidence
        hidden = make_points(
            {("T", 1): {0: (5.0, 5.0)}, ("C", 1): {0: (5.0, 6.0)}}, interpolated={("C", 1, 0)}
        )
        assert len(run(algorithm, hidden)) == 0
    uncalibrated = crowd(make_points, 0, pixel_size_um=None, interval_min=None)
    table = run(CentroidDistance(max_distance_px=5), uncalibrated, pixel_size_um=None)
    assert len(table) and table[["centre_distance_um", "time_min"]].isna().all(axis=None)
    with pytest.raises(ConfigError, match="needs the pixel size"):
        CentroidDistance(max_distance_um=5)({"dataframe": uncalibrated})
    with pytest.raises(ConfigError, match="needs max_distance_um or max_distance_px"):
        construct(CentroidDistance)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize(
    "algorithm", [CentroidDistance(max_distance_px=6), NearestNeighbours(k=2, mutual=True)]
)
def test_moved_turned_or_renumbered_is_the_same(seed, algorithm):
    rng = np.random.default_rng(seed)
    n = 14
    points = pd.DataFrame(
        {
            "fov": "A",
            "population": ["T"] * 9 + ["C"] * 5,
            "track_id": rng.permutation(n) + 1,
            "frame": 0,
            "time_min": 0.0,
            "label": 1,
            "interpolated": False,
            "x_px": rng.random(n) * 20,
            "y_px": rng.random(n) * 20,
        }
    ).assign(x_um=np.nan, y_um=np.nan)
    points = schemas.conform(schemas.TrackPoints, points)
    truth = pairs(run(algorithm, points))
    x, y = points["x_px"], points["y_px"]
    assert pairs(run(algorithm, points.assign(x_px=x + 3, y_px=y - 40))) == truth
    assert pairs(run(algorithm, points.assign(x_px=-y, y_px=x))) == truth
    new = np.append(0, rng.permutation(n) + 1)
    again = run(algorithm, points.assign(track_id=new[points["track_id"]]))

    def unordered(table, name=lambda track: track):
        sides = (
            frozenset([(r[1], int(name(r[2]))), (r[3], int(name(r[4])))]) for r in pairs(table)
        )
        return set(sides)

    assert unordered(again) == unordered(run(algorithm, points), new.__getitem__)
