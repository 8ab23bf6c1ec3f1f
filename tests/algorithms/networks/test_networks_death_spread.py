"""Spread of death: against Fisher's test, simulated contagion, and films where nothing spreads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from cyto_kedro import schemas
from cyto_kedro.algorithms.networks.death_spread import DeathSpread
from cyto_kedro.errors import ConfigError


def film(
    xy: np.ndarray, death: np.ndarray, n_frames: int, interval: float = np.nan
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and fates of targets that stay where they are; death -1: none."""
    n = len(xy)
    died = death >= 0
    fates = pd.DataFrame({"track_id": np.arange(1, n + 1), "died": died})
    fates = fates.assign(
        fov="A",
        population="T",
        first_frame=0,
        last_frame=np.where(died, death, n_frames - 1),
        dead_at_first_sight=False,
        death_frame=pd.arrays.IntegerArray(death.astype(np.int64), ~died),
        entry_min=np.nan,
        exit_min=np.nan,
        end_reason="film_end",
    )
    frame = np.repeat(np.arange(n_frames), n)
    points = pd.DataFrame({"frame": frame, "track_id": np.tile(np.arange(1, n + 1), n_frames)})
    points = points.assign(
        fov="A",
        population="T",
        time_min=frame * interval,
        x_px=np.tile(xy[:, 0], n_frames),
        y_px=np.tile(xy[:, 1], n_frames),
        x_um=np.nan,
        y_um=np.nan,
        label=1,
        interpolated=False,
    )
    return schemas.conform(schemas.TrackPoints, points), schemas.conform(schemas.Fates, fates)


def run(points: pd.DataFrame, fates: pd.DataFrame, data=None, **args) -> pd.DataFrame:
    algorithm = DeathSpread(**({"max_distances_px": (10,), "window_frames": 3} | args))
    found = algorithm({"dataframe": points, "fates": fates, **(data or {})})["death_spread"]
    return schemas.check(schemas.DeathSpread, found)


def contagion(seed: int, rate: float, factor: float, n=80, n_frames=20) -> tuple[np.ndarray, ...]:
    """Cells at random; in each frame one dies at `rate`, times `factor` within 3 frames of a death
    within 10 px."""
    rng = np.random.default_rng(seed)
    xy = rng.random((n, 2)) * 100
    near = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1)) <= 10
    death = np.full(n, -1)
    for frame in range(1, n_frames):
        recent = (death >= 0) & (frame - death <= 3)
        hazard = np.where((near & recent).any(axis=1), rate * factor, rate)
        death[(death < 0) & (rng.random(n) < hazard)] = frame
    return xy, death


def test_one_frame_is_fisher_s_test():
    """At frame 1 two of five cells near a death of frame 0 die... and one of six far from it."""
    near = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [5, 0]])
    xy = np.concatenate([near, near + 100]).astype(float)
    death = np.array([1, 2, 2, -1, -1, -1, 2, -1, -1, -1, -1, -1])
    row = run(*film(xy, death, 4)).iloc[0]
    table = [[2, 3], [1, 5]]
    assert row["p_value"] == pytest.approx(fisher_exact(table, alternative="greater")[1])
    assert row["hazard_ratio"] == pytest.approx(2 * 5 / (3 * 1))
    woolf = np.sqrt(1 / 2 + 1 / 3 + 1 / 1 + 1 / 5)  # RBG is Woolf's for one table
    assert np.log(row["hazard_ratio_high"] / row["hazard_ratio"]) == pytest.approx(1.959964 * woolf)
    assert (row["n_sources"], row["n_deaths"], row["n_exposed"]) == (4, 4, 2)
    assert row["expected_exposed"] == pytest.approx(3 * 5 / 11)
    assert (row["knox_pairs"], row["knox_expected"]) == (2, pytest.approx(15 / 11))
    assert row["knox_p"] == pytest.approx(row["p_value"], abs=0.05)
    assert row["note"] == "fewer than 10 deaths"


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_deaths_known_by_a_body_spread_as_those_that_are_seen(share: float) -> None:
    """A dying cell's track may end a frame or two before its death: it stays where it was."""
    xy, death = contagion(3, 0.02, 12)
    points, fates = film(xy, death, 20)
    seen = run(points, fates).iloc[0]
    assert seen["hazard_ratio"] > 3
    rng = np.random.default_rng(1)
    by_body = fates["died"] & (rng.random(len(fates)) < share)
    last = fates["last_frame"].mask(by_body, (fates["death_frame"] - 2).clip(lower=0))
    fates = fates.assign(last_frame=last.astype(np.int64))
    ends = points["track_id"].map(fates.set_index("track_id")["last_frame"])
    known = run(points[points["frame"] <= ends].reset_index(drop=True), fates).iloc[0]
    for name in ("n_sources", "n_exposed", "expected_exposed", "hazard_ratio", "p_value"):
        assert known[name] == pytest.approx(seen[name]), name


def test_contact_in_the_frame_of_a_death_counts_as_before_it():
    """Both deaths of frame 3 were touched: one in that very frame, one in the window before."""
    xy = np.array([[0, 0], [1, 0], [2, 0], [50, 50], [51, 50], [60, 60]], float)
    death = np.array([1, 3, -1, 3, -1, -1])
    points, fates = film(xy, death, 5)
    contacts = pd.DataFrame({"frame": [3, 1], "track_id_b": [2, 4]})
    contacts = contacts.assign(fov="A", population_a="N", track_id_a=1, population_b="T")
    roles = {"N": "effector", "T": "target"}
    table = run(points, fates, {"contacts": contacts, "populations": roles})
    within = table.set_index("compared_within")
    # among the touched both die, so there is nobody to hold them against
    assert within.loc["frame and contact", "n_deaths"] == within.loc["frame", "n_deaths"] - 2


def test_a_window_passes_and_the_first_frames_do_not_count():
    xy = np.array([[0, 0], [1, 0], [50, 0], [60, 0]], float)
    for delay, exposed in ((1, 1), (3, 1), (4, 0)):
        death = np.array([1, 1 + delay, -1, -1])
        assert run(*film(xy, death, 9))["n_exposed"].tolist() == [exposed]
        points, fates = film(xy, death, 9, interval=2.0)
        minutes = run(points, fates, window_frames=None, window_min=6)
        assert minutes["n_exposed"].tolist() == [exposed] and minutes["window_min"].tolist() == [6]
    # in the same frame the order is unknown
    same = run(*film(xy, np.array([2, 2, -1, -1]), 9)).iloc[0]
    assert same["n_exposed"] == 0 and np.isnan(same["p_value"]) and "at no death" in same["note"]
    # a cell first seen in the frame of a death, or dead when first seen, is not at risk of it
    points, fates = film(xy, np.array([1, 2, -1, -1]), 9)
    late = fates.assign(first_frame=[0, 0, 2, 0], dead_at_first_sight=[False, False, False, True])
    assert run(points, late)["n_deaths"].tolist() == [1]  # only that of frame 1, beside track 2


def test_contagion_is_found_with_its_strength():
    ratios = []
    for seed in range(30):
        row = run(*film(*contagion(seed, 0.02, 4.0), 20), n_permutations=99).iloc[0]
        ratios.append(row["hazard_ratio"])
    assert np.exp(np.mean(np.log(ratios))) == pytest.approx(4, rel=0.2)


def test_p_values_are_right_where_nothing_spreads():
    found = [
        run(*film(*contagion(seed, 0.04, 1.0), 20), n_permutations=99)[
            ["p_value", "knox_p", "ratio"]
        ].iloc[0]
        for seed in range(100)
    ]
    table = pd.DataFrame(found)
    # of 100, 5 and 10 are expected; 12 and 19 would be beyond chance (p < 0.005)
    assert ((table[["p_value", "knox_p"]] <= 0.05).sum() <= 12).all()
    assert ((table[["p_value", "knox_p"]] <= 0.1).sum() <= 19).all()
    assert table["ratio"].mean() == pytest.approx(1, abs=0.15)


def test_killers_in_one_place_are_told_from_spread():
    """All deaths are in one corner, where all effectors are: within touched cells nothing spreads."""
    rng = np.random.default_rng(0)
    p = []
    for _ in range(20):
        xy = np.concatenate([rng.random((20, 2)) * 30, rng.random((60, 2)) * 100 + 50])
        death = np.full(80, -1)
        for frame in range(1, 20):
            death[:20][(death[:20] < 0) & (rng.random(20) < 0.1)] = frame
        points, fates = film(xy, death, 20)
        contacts = pd.DataFrame(
            [(frame, track) for frame in range(20) for track in range(1, 21)],
            columns=["frame", "track_id_b"],
        ).assign(fov="A", population_a="N", track_id_a=1, population_b="T")
        data = {"contacts": contacts, "populations": {"N": "effector", "T": "target"}}
        table = run(points, fates, data, max_distances_px=(15,)).set_index("compared_within")
        p.append(table["p_value"])
    assert (pd.DataFrame(p)["frame"] < 0.05).mean() > 0.9
    assert (pd.DataFrame(p)["frame and contact"] < 0.05).mean() <= 0.2


def test_no_deaths_no_cells_and_wrong_units():
    points, fates = film(np.zeros((2, 2)), np.array([-1, -1]), 3)
    row = run(points, fates).iloc[0]
    assert row["n_sources"] == 0 and row["note"] == "no deaths that could spread"
    assert np.isnan(row[["p_value", "hazard_ratio", "ratio"]].astype(float)).all()
    assert len(run(points[:0], fates[:0])) == 0
    alone = run(*film(np.zeros((1, 2)), np.array([1]), 3)).iloc[0]
    assert alone["note"] == "no deaths with others at risk"
    died = film(np.zeros((2, 2)), np.array([1, -1]), 3)
    with pytest.raises(ConfigError, match="pixel size"):
        run(*died, max_distances_px=None, max_distances_um=(5,))
    with pytest.raises(ConfigError, match="frame times"):
        run(*died, window_frames=None, window_min=5)
    um = run(*died, {"pixel_size_um": 0.5}, max_distances_px=None, max_distances_um=(5, 10))
    assert um["max_distance_px"].tolist() == [10, 20]
    wrong = ({"window_frames": 0}, {"max_distances_px": ()}, {"max_distances_px": (0,)})
    for args in wrong:
        with pytest.raises(ValueError, match=r"window|max_distances"):
            run(*died, **args)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_turned_renumbered_or_slower_films_say_the_same(seed, slower):
    """A quarter turn, new track numbers, and a film with frames in between and a window as long."""
    xy, death = contagion(seed, 0.05, 2.0, n=30, n_frames=12)
    whole = run(*film(xy, death, 12))
    order = np.random.default_rng(seed).permutation(len(xy))
    turned = np.stack([7 - xy[:, 1], xy[:, 0]], axis=1)
    numbers = whole.columns.drop("knox_p")  # drawn in another order
    again = run(*film(turned[order], death[order], 12))
    pd.testing.assert_frame_equal(again[numbers], whole[numbers])
    stretched = np.where(death < 0, -1, death * slower)
    fine = run(*film(xy, stretched, 12 * slower), window_frames=3 * slower)
    pd.testing.assert_frame_equal(
        fine[numbers.drop("window_frames")], whole[numbers.drop("window_frames")]
    )


def test_neighbours_are_those_of_scipys_triangulation_at_any_density():
    """Counts of exposed deaths by hand from SciPy's triangulation; scaling space changes nothing."""
    from scipy.spatial import Delaunay

    rng = np.random.default_rng(4)
    xy = rng.random((40, 2)) * 100
    death = np.where(rng.random(40) < 0.5, rng.integers(1, 9, 40), -1)
    pair = {tuple(sorted(edge)) for three in Delaunay(xy).simplices for edge in
            ((three[0], three[1]), (three[1], three[2]), (three[0], three[2]))}  # fmt: skip
    joined = np.zeros((40, 40), bool)
    for one, other in pair:
        joined[one, other] = joined[other, one] = True
    points, fates = film(xy, death, 10)
    # the dead stay in view: the triangulation is the same in all frames
    fates = fates.assign(last_frame=9)
    exposed = [
        any(joined[i, j] and 0 < death[i] - death[j] <= 3 for j in range(40) if death[j] >= 0)
        for i in range(40)
        if death[i] >= 0 and ((death < 0) | (death > death[i])).any()
    ]
    rows = [
        run(
            points.assign(x_px=points["x_px"] * scale, y_px=points["y_px"] * scale),
            fates,
            near="neighbours",
            max_distances_px=(1e6,),
        ).iloc[0]
        for scale in (1.0, 0.2, 7.0)
    ]
    assert [row["n_exposed"] for row in rows] == [sum(exposed)] * 3
    assert len({row["p_value"] for row in rows}) == 1
    assert run(points, fates, near="neighbours", max_distances_px=(1e-9,))["n_exposed"].sum() == 0


def test_a_lost_track_is_nobodys_neighbour():
    """Three on a line: the middle one parts the outer two while it is seen, to its last frame."""
    xy = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [1.0, 3.0], [1.0, -3.0]])
    points, fates = film(xy, np.array([4, -1, 5, -1, -1]), 8)
    for last, exposed in ((7, 0), (4, 0), (3, 1), (2, 1)):  # the first dies in frame 4
        mine = fates.assign(last_frame=fates["last_frame"].where(fates["track_id"] != 2, last))
        seen = points[(points["track_id"] != 2) | (points["frame"] <= last)]
        found = run(seen, mine, near="neighbours", max_distances_px=(5,), window_frames=2)
        assert found["n_exposed"].tolist() == [exposed]
