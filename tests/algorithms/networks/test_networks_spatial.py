"""Ripley's K, G and nearest neighbours against other code, closed forms, brute force and chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from cyto_kedro import schemas
from cyto_kedro.algorithms.networks.ripley import (
    Pairs,
    clark_evans,
    hanisch_g,
    isotropic_weight,
)
from cyto_kedro.algorithms.networks.spatial import SpatialStatistics
from cyto_kedro.errors import ConfigError, InputError

SIZE = np.array([200.0, 100.0])
RADII = np.array([5.0, 10, 20, 30])
CORRECTIONS = ("translation", "isotropic", "border", "none")


def points_of(xy: np.ndarray, population: np.ndarray, frame: int = 0) -> pd.DataFrame:
    table = pd.DataFrame({"x_px": xy[:, 0], "y_px": xy[:, 1], "population": population})
    table = table.assign(
        fov="A", frame=frame, time_min=np.nan, x_um=np.nan, y_um=np.nan, label=1, interpolated=False
    )
    table["track_id"] = np.arange(1, len(xy) + 1)
    return schemas.conform(schemas.TrackPoints, table)


def run(algorithm: SpatialStatistics, points: pd.DataFrame, **data) -> tuple[pd.DataFrame, ...]:
    found = algorithm({"dataframe": points, "shape": (100, 200), **data})
    return (
        schemas.check(schemas.SpatialStatistics, found["spatial_statistics"]),
        schemas.check(schemas.NearestNeighbours, found["nearest_neighbours"]),
    )


def k_of(xy, correction, radii=RADII, size=SIZE):
    return Pairs.of(xy, radii, size, correction).k(np.zeros(len(xy), int), 1)[0, 0]


def test_k_is_astropy_s():
    """astropy 8.0.2, RipleysKEstimator(20000, 200, 100); its border method divides by n, not n - 1."""
    i = np.arange(1, 41)
    xy = np.stack([i * 0.6180339887 % 1 * 200, i**2 * 0.4142135624 % 1 * 100], axis=1)
    expected = {
        "translation": [
            52.775613421467995,
            246.1815383040735,
            1209.5024190836705,
            2708.728933455149,
        ],
        "none": [51.282051282051285, 230.76923076923077, 1051.2820512820513, 2205.128205128205],
        "border": np.array(
            [45.45454545454545, 172.41379310344828, 1194.4444444444443, 2772.7272727]
        )
        * (40 / 39),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(k_of(xy, name), values, rtol=1e-9)


def test_isotropic_weight_is_the_circle_s_share():
    """By walking around the circle; at corners, and with sides on both hands, too."""
    rng = np.random.default_rng(0)
    xy, radius = rng.random((300, 2)) * SIZE, rng.random(300) * 60
    angle = (np.arange(20000) + 0.5) / 20000 * 2 * np.pi
    around = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    walked = xy[:, None] + radius[:, None, None] * around
    share = ((walked >= 0) & (walked <= SIZE)).all(axis=2).mean(axis=1)
    np.testing.assert_allclose(1 / isotropic_weight(xy, radius, SIZE), share, atol=2e-4)


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_k_by_all_pairs(correction):
    rng = np.random.default_rng(1)
    xy, label = rng.random((60, 2)) * SIZE, rng.integers(0, 3, 60)
    found = Pairs.of(xy, RADII, SIZE, correction).k(label, 3)
    distance = cdist(xy, xy)
    edge = np.minimum(xy, SIZE - xy).min(axis=1)
    for a, b in np.ndindex(3, 3):
        for number, r in enumerate(RADII):
            total = 0.0
            centres = [
                i for i in np.flatnonzero(label == a) if correction != "border" or edge[i] >= r
            ]
            for i in centres:
                for j in np.flatnonzero(label == b):
                    if i == j or distance[i, j] > r:
                        continue
                    weight = 1.0
                    if correction == "translation":
                        weight = SIZE.prod() / (SIZE - np.abs(xy[i] - xy[j])).prod()
                    elif correction == "isotropic":
                        weight = isotropic_weight(xy[i : i + 1], distance[i : i + 1, j], SIZE)[0]
                    total += weight
            others = (label == b).sum() - (a == b)
            assert found[a, b, number] == pytest.approx(total * SIZE.prod() / len(centres) / others)


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_random_points_have_k_of_pi_r_squared(correction):
    """The mean over 300 samples lies within 4 standard errors; without correction it does not."""
    rng = np.random.default_rng(2)
    every = np.array([k_of(rng.random((40, 2)) * SIZE, correction) for _ in range(300)])
    theory = np.pi * RADII**2
    if correction == "border":  # a ratio of two counts: off by the order of 1 / n
        np.testing.assert_allclose(every.mean(axis=0), theory, rtol=0.08)
        return
    off = (every.mean(axis=0) - theory) / (every.std(axis=0) / np.sqrt(len(every)))
    assert (abs(off) < 4).all() if correction != "none" else off[-1] < -20


def test_random_points_have_the_g_and_clark_evans_of_theory():
    rng = np.random.default_rng(3)
    g, z, ratio = [], [], []
    for _ in range(400):
        xy = rng.random((50, 2)) * SIZE
        near = np.sort(cdist(xy, xy), axis=1)[:, 1]
        g.append(hanisch_g(xy, near, RADII, SIZE))
        found = clark_evans(near.mean(), 50, SIZE)
        ratio.append(found[0])
        z.append(found[1])
    # the others' positions are binomial, as all fifty lie within the window
    theory = 1 - (1 - np.pi * RADII**2 / SIZE.prod()) ** 49
    np.testing.assert_allclose(np.mean(g, axis=0), theory, atol=0.02)
    assert np.mean(ratio) == pytest.approx(1, abs=0.01)
    assert np.mean(z) == pytest.approx(0, abs=0.15) and np.std(z) == pytest.approx(1, abs=0.1)
    grid = np.stack(np.meshgrid(np.arange(5, 200, 10), np.arange(5, 100, 10)), -1).reshape(-1, 2)
    assert clark_evans(10.0, len(grid), SIZE)[0] == pytest.approx(2, rel=0.1)  # twice, endless
    assert np.isnan(clark_evans(10.0, 7, SIZE)).all()


def attracted(rng: np.random.Generator, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Effectors N, each beside a target T, and as many more T elsewhere."""
    targets = rng.random((2 * n, 2)) * (SIZE - 20) + 10
    effectors = targets[:n] + rng.normal(0, 2, (n, 2))
    return np.concatenate([effectors, targets]), np.repeat(["N", "T"], [n, 2 * n])


def test_attraction_is_found_and_chance_is_not():
    rng = np.random.default_rng(4)
    algorithm = SpatialStatistics(radii_px=(5, 10, 20))
    by_radius, nearest = run(algorithm, points_of(*attracted(rng)))
    row = by_radius.query("population_a == 'N' and population_b == 'T'")
    assert (row["p_all_radii"] == 0.005).all() and row["p_value"].iloc[0] == 0.01
    assert (row["l_px"] > row["l_high_px"]).iloc[0]
    assert row["g"].iloc[0] > 3 * row["g_random"].iloc[0]
    pair = nearest.set_index(["population_a", "population_b"]).loc[("N", "T")]
    assert pair["shuffled_ratio"] < 0.7 and pair["shuffled_p"] == 0.01
    assert np.isnan(pair["clark_evans"])
    p = []
    algorithm = SpatialStatistics(radii_px=(5, 10, 20), n_permutations=39)
    for seed in range(60):
        xy = np.random.default_rng(seed).random((40, 2)) * SIZE
        by_radius, nearest = run(algorithm, points_of(xy, np.repeat(["N", "T"], 20)))
        found = by_radius.query("population_a == 'N' and population_b == 'T' and radius_px == 5")
        p.append([found["p_all_radii"].iloc[0], nearest["shuffled_p"].iloc[1]])
    # of a valid test at most 10 % lie at or below 0.1; 60 samples: 6, and 13 is beyond chance
    assert (np.array(p) <= 0.1).sum(axis=0).max() <= 13
    assert (np.array(p) <= 0.5).sum(axis=0).min() >= 15


def test_nearest_are_those_of_all_distances():
    """Also where the population asked for is rare, and not among the near ones."""
    rng = np.random.default_rng(5)
    xy, population = rng.random((80, 2)) * SIZE, np.repeat(["N", "T"], [78, 2])
    _, nearest = run(SpatialStatistics(radii_px=(5,)), points_of(xy, population))
    mean = nearest.set_index(["population_a", "population_b"])["mean_nearest_px"]
    distance = cdist(xy, xy)
    np.fill_diagonal(distance, np.inf)
    for a in "NT":
        for b in "NT":
            least = distance[population == a][:, population == b].min(axis=1).mean()
            assert mean[a, b] == pytest.approx(least)


def test_few_cells_and_empty_frames():
    xy = np.array([[10.0, 10], [20, 20]])
    points = pd.concat([points_of(xy, np.array(["N", "T"])), points_of(xy[:1], "N", frame=2)])
    data = {"n_frames": 4, "populations": ["N", "Q", "T"], "pixel_size_um": 0.5}
    by_radius, nearest = run(SpatialStatistics(radii_um=(4, 30), n_permutations=9), points, **data)
    assert len(by_radius) == 4 * 9 * 2 and len(nearest) == 4 * 9
    assert set(by_radius["radius_px"]) == {8, 60}
    assert (
        by_radius.query("radius_px == 60")[["k_px2", "l_um", "g", "p_value"]].isna().all(axis=None)
    )
    pair = nearest.query("frame == 0").set_index(["population_a", "population_b"]).loc[("N", "T")]
    assert pair["mean_nearest_um"] == pytest.approx(np.sqrt(50))
    assert nearest.query("frame != 0")["mean_nearest_px"].isna().all()
    _, thinned = run(SpatialStatistics(radii_px=(4,), every_frames=3), points, **data)
    assert sorted(set(thinned["frame"])) == [0, 3]
    none = run(SpatialStatistics(radii_px=(4,)), points[:0], fov="A")
    assert [len(each) for each in none] == [0, 0]
    dead = points.assign(dead=[True, None, False])
    _, living = run(SpatialStatistics(radii_px=(4,), alive_only=True), dead, **data)
    assert living.query("frame == 0")["n_a"].max() == 1
    with pytest.raises(InputError, match="dead"):
        run(SpatialStatistics(radii_px=(4,), alive_only=True), points)
    with pytest.raises(ConfigError, match="pixel size"):
        run(SpatialStatistics(radii_um=(4,)), points)
    for wrong in ({}, {"radii_px": (4, 2)}, {"radii_px": ()}, {"radii_um": (0,)}):
        with pytest.raises(ValueError, match="radii"):
            SpatialStatistics(**wrong)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.sampled_from(CORRECTIONS))
def test_turned_renumbered_scaled_or_thinned_films_have_the_same_statistics(seed, n, correction):
    rng = np.random.default_rng(seed)
    frames = [rng.random((n, 2)) * SIZE - 0.5 for _ in range(2)]
    population = rng.permutation(np.where(np.arange(n) % 3, "T", "N"))
    points = pd.concat([points_of(xy, population, frame=i) for i, xy in enumerate(frames)])
    algorithm = SpatialStatistics(radii_px=(5, 20), correction=correction, n_permutations=0)
    whole = run(algorithm, points)
    # a quarter turn about the field, whose shape turns too; cells in another order
    x, y = points["x_px"].to_numpy(), points["y_px"].to_numpy()
    order = rng.permutation(n) + 1
    turned = points.assign(x_px=99 - y, y_px=x, track_id=order[points["track_id"] - 1])
    found = algorithm({"dataframe": turned.query("frame == 1"), "shape": (200, 100)})
    for name, table in zip(found, whole, strict=True):
        same = table.query("frame == 1").reset_index(drop=True)
        pd.testing.assert_frame_equal(found[name], same, rtol=1e-9)
    # twice as large a field
    larger = points.assign(x_px=2 * x + 0.5, y_px=2 * y + 0.5)
    double = SpatialStatistics(radii_px=(10, 40), correction=correction, n_permutations=0)
    found = double({"dataframe": larger, "shape": (200, 400)})["spatial_statistics"]
    np.testing.assert_allclose(found["l_px"], 2 * whole[0]["l_px"])
    np.testing.assert_allclose(found["g"], whole[0]["g"])


def test_chance_counts_the_others_and_never_the_cell_itself():
    """Positions at random: no other of n within r has the chance exp(-n pi r² / area)."""
    xy = np.random.default_rng(5).random((4, 2)) * SIZE
    table, _ = run(SpatialStatistics(radii_px=(20,)), points_of(xy, np.array(["N", "N", "N", "T"])))
    chance = table.set_index(["population_a", "population_b"])["g_random"].to_dict()
    others = {("N", "N"): 2, ("N", "T"): 1, ("T", "N"): 3, ("T", "T"): 0}
    area = np.pi * 20**2 / SIZE.prod()
    assert chance == pytest.approx({pair: 1 - np.exp(-n * area) for pair, n in others.items()})


def test_limits_of_what_can_be_known_belong_to_it():
    """A nearest neighbour as far as the edge is surely the nearest; half the field is a radius."""
    size = np.array([100.0, 100.0])
    xy, nearest = np.array([[10.0, 50], [50, 50]]), np.array([10.0, 30])
    # weights 1 / 80² and 1 / 40², of which the first is reached at 10
    assert hanisch_g(xy, nearest, np.array([10.0, 30]), size).tolist() == pytest.approx([0.2, 1.0])
    points = points_of(np.random.default_rng(0).random((9, 2)) * SIZE, np.repeat("T", 9))
    table, _ = run(SpatialStatistics(radii_px=(50.0, 50.5), n_permutations=0), points)
    assert table.groupby("radius_px")["k_px2"].count().tolist() == [1, 0]
