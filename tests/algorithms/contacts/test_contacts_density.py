"""Density maps against scikit-learn, the normal distribution and the number of cells."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import construct
from cyto_kedro.algorithms.contacts.density import DensityMaps
from cyto_kedro.algorithms.contacts.kernels import (
    density_at,
    density_map,
    inside,
    likelihood_bandwidth,
    scott_bandwidth,
)
from cyto_kedro.errors import ConfigError, InputError

SHAPE = (200, 320)


def clusters(n: int, seed: int = 0, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """(n, 2) x and y in a few humps within the image."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0.2, 0.8, (4, 2)) * shape[::-1]
    xy = centres[rng.integers(4, size=n)] + rng.normal(0, 14, (n, 2))
    return np.clip(xy, 0, np.array(shape[::-1]) - 1)


def cells(*populations: tuple[str, list[np.ndarray]]) -> pd.DataFrame:
    """Rows of (name, positions in each frame)."""
    rows = [
        pd.DataFrame(
            {
                "fov": "A",
                "population": name,
                "frame": frame,
                "label": np.arange(len(xy)) + 1,
                "x_px": xy[:, 0],
                "y_px": xy[:, 1],
            }
        )
        for name, frames in populations
        for frame, xy in enumerate(frames)
    ]
    return pd.concat(rows, ignore_index=True)


def run(table: pd.DataFrame, n_frames: int = 1, size: float | None = 0.5, **args: Any) -> Any:
    data = {
        "dataframe": table,
        "populations": ("T", "C"),
        "fov": "A",
        "shape": SHAPE,
        "n_frames": n_frames,
        "pixel_size_um": size,
    }
    return DensityMaps(**args)(data)


def sklearn_density(xy: np.ndarray, h: float, at: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The same sum by scikit-learn: cells per px²."""
    from sklearn.neighbors import KernelDensity

    fitted = KernelDensity(bandwidth=h, rtol=1e-6).fit(xy, sample_weight=weight)
    return np.exp(fitted.score_samples(at)) * weight.sum()


@pytest.mark.parametrize(("h", "fine"), [(4.0, 16), (9.0, 8), (40.0, 4)])
def test_a_map_is_scikit_learns_density_averaged_over_each_box(h: float, fine: int) -> None:
    xy, boxes = clusters(60), (20, 32)
    weight = 1 / inside(xy, h, SHAPE)
    centre_y, centre_x = (
        np.linspace(-0.5, side - 0.5, n * fine, endpoint=False) + side / n / fine / 2
        for side, n in zip(SHAPE, boxes, strict=True)
    )
    points = np.stack(np.meshgrid(centre_x, centre_y), axis=-1).reshape(-1, 2)
    want = sklearn_density(xy, h, points, weight)
    want = want.reshape(boxes[0], fine, boxes[1], fine).mean(axis=(1, 3))
    got = density_map(xy, h, SHAPE, boxes)
    np.testing.assert_allclose(got, want, atol=1e-3 * want.max())


def test_values_at_the_cells_are_scikit_learns_without_the_cell_itself() -> None:
    h, xy, others = 11.0, clusters(80), clusters(30, seed=1)
    weight = 1 / inside(xy, h, SHAPE)
    own = sklearn_density(xy, h, xy, weight) - weight / (2 * np.pi * h**2)
    found, _ = density_at(xy, xy, h, weight, same=True)
    np.testing.assert_allclose(found, own, rtol=1e-3, atol=1e-9)
    cross = sklearn_density(xy, h, others, weight)
    found, _ = density_at(others, xy, h, weight, same=False)
    np.testing.assert_allclose(found, cross, rtol=1e-3, atol=1e-9)


def test_the_gradient_is_the_slope_of_scikit_learns_density() -> None:
    h, xy, others = 11.0, clusters(80), clusters(30, seed=1)
    weight, step = 1 / inside(xy, h, SHAPE), 0.05
    _, found = density_at(others, xy, h, weight, same=False)
    for axis in (0, 1):
        ahead, behind = (others + side * step * np.eye(2)[axis] for side in (1, -1))
        rise = sklearn_density(xy, h, ahead, weight) - sklearn_density(xy, h, behind, weight)
        scale = np.abs(found).max()
        np.testing.assert_allclose(found[:, axis], rise / (2 * step), atol=1e-3 * scale)
    _, own = density_at(xy, xy, h, weight, same=True)  # a cell is at the top of its own kernel
    _, all_of_them = density_at(xy, xy, h, weight, same=False)
    np.testing.assert_array_equal(own, all_of_them)


def test_two_cells_in_the_middle_pull_on_each_other_as_a_normal_density_does() -> None:
    middle = np.array(SHAPE[::-1]) / 2
    pair = np.array([middle, middle + np.array([6, 8])])
    table = run(cells(("T", [pair])), bandwidth_px=5)["cell_density"]
    table = table[table["of_population"] == "T"]
    slope = np.exp(-(10**2) / (2 * 5**2)) / (2 * np.pi * 5**4)
    found = table[["gradient_x_per_px3", "gradient_y_per_px3"]].to_numpy()
    np.testing.assert_allclose(found, [[6 * slope, 8 * slope], [-6 * slope, -8 * slope]], rtol=1e-5)
    alone = run(cells(("T", [pair]), ("C", [np.zeros((0, 2))])), bandwidth_px=5)["cell_density"]
    of_none = alone[alone["of_population"] == "C"]
    assert (of_none[["gradient_x_per_px3", "gradient_y_per_px3"]] == 0).all(axis=None)


def test_the_chemotactic_index_of_the_page_is_that_of_its_definition() -> None:
    """Walkers straight towards a hump, away from it, around it, and to and fro."""
    page = (Path(__file__).parents[3] / "docs/columns.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(at = density.*?)```", page, re.DOTALL)
    n, hump = 9, np.array([160.0, 100.0])
    turn = np.linspace(0, 1.5, n)[:, None]
    ways = [
        hump + np.array([80, 0]) - np.arange(n)[:, None] * (3, 0),
        hump + np.array([0, 30]) + np.arange(n)[:, None] * (0, 3),
        hump + 40 * np.concatenate([np.cos(turn), np.sin(turn)], axis=1),
        hump + np.array([50, 50]) + (np.arange(n) % 2)[:, None] * (2, 2),
    ]
    frames = [np.array([way[t] for way in ways]) for t in range(n)]
    table = cells(("TCell", frames), ("CancerCell", [hump[None]] * n))
    maps = DensityMaps(bandwidth_px=30)
    names = ("TCell", "CancerCell")
    made = maps(cells=table, populations=names, shape=SHAPE, n_frames=n, fov="A")
    density = made["cell_density"]
    points = schemas.filled(schemas.TrackPoints, table.assign(track_id=table["label"]))
    known: dict[str, Any] = {"density": density, "track_points": points, "np": np}
    exec(block, known)
    index = known["index"].droplevel("fov")
    assert index.tolist() == pytest.approx([1, -1, 0, 0], abs=0.1)  # chords of a circle bend in
    assert index[[1, 2]].tolist() == pytest.approx([1, -1], abs=1e-6)


def test_the_kymograph_of_the_page_shows_a_cell_that_goes_across() -> None:
    """docs/columns.md: ``maps.mean(axis=1)`` is time against x."""
    x = [20.0, 100.0, 300.0]
    rows = cells(("T", [np.array([[each, 150.0]]) for each in x]))
    maps = DensityMaps(box_px=20, bandwidth_px=10)(
        cells=rows, populations=["T"], shape=SHAPE, n_frames=3
    )["image"]["T"]
    kymograph = maps.mean(axis=1)
    assert kymograph.shape == (3, 16)
    assert kymograph.argmax(axis=1).tolist() == [1, 5, 15]
    assert kymograph.mean(axis=1) * SHAPE[0] * SHAPE[1] == pytest.approx(np.ones(3), rel=1e-5)


def test_bandwidth_is_the_one_that_leave_one_out_by_scikit_learn_prefers() -> None:
    from sklearn.model_selection import GridSearchCV, LeaveOneOut
    from sklearn.neighbors import KernelDensity

    xy = clusters(70)
    tried = np.geomspace(4, 25, 60)
    search = GridSearchCV(KernelDensity(), {"bandwidth": tried}, cv=LeaveOneOut()).fit(xy)
    got, at_limit = likelihood_bandwidth([xy], (1, 180), 10**6)
    assert not at_limit
    assert got == pytest.approx(search.best_params_["bandwidth"], rel=0.025)  # the grid's step
    # a film: the criterion is summed over frames, which all frames alike do not change
    assert likelihood_bandwidth([xy, xy], (1, 180), 10**6)[0] == pytest.approx(got, rel=2e-3)
    some = likelihood_bandwidth([clusters(2000)], (1, 180), 400_000)[0]
    every = likelihood_bandwidth([clusters(2000)], (1, 180), 10**7)[0]
    assert some == pytest.approx(every, rel=0.15)


def test_cells_on_each_other_have_no_best_bandwidth() -> None:
    twins = np.repeat(clusters(20), 2, axis=0)
    found = run(cells(("T", [twins]), ("C", [clusters(40)])))
    assert found["at_limit"] == ["T"] and found["bandwidth_px"]["T"][0] < 1.01


def test_scotts_rule_is_scipys() -> None:
    from scipy.stats import gaussian_kde

    rng = np.random.default_rng(0)
    xy = rng.normal(100, 20, (500, 2))
    kde = gaussian_kde(xy.T)
    want = np.sqrt(np.diag(kde.covariance).mean())  # scipy keeps both axes' spreads
    assert scott_bandwidth(xy) == pytest.approx(want)
    assert kde.silverman_factor() == pytest.approx(kde.scotts_factor())
    assert np.isnan(scott_bandwidth(xy[:1])) and np.isnan(scott_bandwidth(xy[[0, 0]]))


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 700),
    h=st.floats(1, 500),
    box=st.sampled_from([4, 16, 50]),
    seed=st.integers(0, 99),
)
def test_a_map_adds_up_to_the_number_of_cells(n: int, h: float, box: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-0.5, np.array(SHAPE[::-1]) - 0.5, (n, 2))
    boxes = DensityMaps(box_px=box).boxes(SHAPE, None)
    total = density_map(xy, h, SHAPE, boxes).sum(dtype=float) * np.prod(SHAPE) / np.prod(boxes)
    assert total == pytest.approx(n, rel=1e-5)


@settings(max_examples=15, deadline=None)
@given(n=st.integers(2, 60), seed=st.integers(0, 99), turns=st.integers(1, 3))
def test_turning_the_image_turns_the_map(n: int, seed: int, turns: int) -> None:
    side = 128
    xy = np.random.default_rng(seed).uniform(0, side - 1, (n, 2))
    turned, map_ = xy, density_map(xy, 7.0, (side, side), (16, 16))
    for _ in range(turns):  # a quarter turn, as np.rot90 turns pixels
        turned = np.stack([turned[:, 1], side - 1 - turned[:, 0]], axis=1)
    got = density_map(turned, 7.0, (side, side), (16, 16))
    np.testing.assert_allclose(got, np.rot90(map_, turns), rtol=1e-4, atol=1e-9)
    scott = scott_bandwidth(xy)
    assert scott_bandwidth(turned + 300) == pytest.approx(scott)
    one, other = (likelihood_bandwidth([p], (1, 90), 10**6)[0] for p in (xy, turned + 300))
    assert other == pytest.approx(one, rel=0.01)


def test_frames_populations_and_units() -> None:
    film = [clusters(30, seed=s) for s in range(3)]
    film.insert(1, np.zeros((0, 2)))
    table = cells(("T", film), ("C", [np.zeros((0, 2))] * 4))
    found = run(table, 4, bandwidth_um=6.0, box_um=10.0)
    maps, rows = found["image"], found["dataframe"]
    assert maps["T"].shape == maps["C"].shape == (4, 10, 16)
    assert maps["T"].dtype == np.float32 and not maps["T"][1].any() and not maps["C"].any()
    np.testing.assert_allclose(maps["T"].sum(axis=(1, 2)) * 400, [30, 0, 30, 30], rtol=1e-5)
    schemas.check(schemas.CellDensity, rows)
    assert len(rows) == 180 and (rows["bandwidth_px"] == 12).all()
    assert (rows.query("of_population == 'C'")["density_per_px2"] == 0).all()
    np.testing.assert_allclose(rows["density_per_mm2"], rows["density_per_px2"] * 4e6)
    # each frame is on its own where the bandwidth is given
    alone = run(table[table["frame"] == 2], 4, bandwidth_um=6.0, box_um=10.0)
    np.testing.assert_array_equal(alone["image"]["T"][2], maps["T"][2])


def test_order_and_names_of_cells_do_not_matter() -> None:
    table = cells(("T", [clusters(50), clusters(40, 1)]), ("C", [clusters(20, 2)] * 2))
    shuffled = table.sample(frac=1, random_state=0)
    one, other = run(table, 2), run(shuffled, 2)
    for name in ("T", "C"):
        np.testing.assert_array_equal(one["image"][name], other["image"][name])
    pd.testing.assert_frame_equal(one["dataframe"], other["dataframe"])


def test_bandwidth_of_a_film_or_of_each_frame() -> None:
    table = cells(("T", [clusters(50), clusters(60, 5) * 0.5]), ("C", [np.zeros((0, 2))] * 2))
    for rule in ("likelihood", "scott", "silverman"):
        film = run(table, 2, rule=rule)["bandwidth_px"]["T"]
        frame = run(table, 2, rule=rule, bandwidth_over="frame")["bandwidth_px"]["T"]
        assert film[0] == film[1] and frame[0] > frame[1]
        assert frame.min() <= film[0] <= frame.max()


def test_too_few_cells_give_no_bandwidth_and_no_invented_density() -> None:
    found = run(cells(("T", [np.array([[5.0, 5.0]])]), ("C", [np.zeros((0, 2))])), size=None)
    assert np.isnan(found["image"]["T"]).all() and not found["image"]["C"].any()
    rows = found["dataframe"].set_index("of_population")
    assert np.isnan(rows.loc["T", "density_per_px2"]) and rows.loc["C", "density_per_px2"] == 0
    assert rows["density_per_mm2"].isna().all()
    schemas.check(schemas.CellDensity, found["dataframe"])
    nothing = run(cells(("T", [np.zeros((0, 2))])))["dataframe"]
    schemas.check(schemas.CellDensity, nothing)
    assert len(nothing) == 0


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match=r"'T': label 1 of frame 0 .* outside the film"):
        run(cells(("T", [np.array([[400.0, 5.0]])])))
    with pytest.raises(InputError, match="label 2 of frame 1"):
        run(cells(("T", [clusters(1), clusters(2)])).query("frame == 0 or label == 2"), 1)
    with pytest.raises(ConfigError, match="bandwidth"):
        construct(DensityMaps, {"bandwidth_um": 0.0})
    with pytest.raises(ConfigError, match="pixel size"):
        run(cells(("T", [clusters(3)])), size=None, bandwidth_um=3.0)
