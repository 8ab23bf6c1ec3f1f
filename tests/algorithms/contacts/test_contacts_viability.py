"""Viability on distributions of known make, on rendered spill, and on a real assay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.viability import Dyes, MarkerThreshold
from cyto_kedro.errors import InputError


def cells_of(median, **others) -> pd.DataFrame:
    n = len(median)
    return pd.DataFrame(
        {
            "fov": "A",
            "population": "T",
            "frame": 0,
            "label": np.arange(1, n + 1),
            "Dead_median": np.asarray(median, float),
            **others,
        }
    )


def run(median, **fields) -> tuple[pd.DataFrame, dict]:
    data = {"dataframe": cells_of(median), "marker": "Dead"}
    result = MarkerThreshold(**fields)(data)
    return schemas.check(schemas.Viability, result["dataframe"]), result["state"]


@pytest.mark.parametrize("n", [20, 500, 40_000])
@pytest.mark.parametrize("shape", ["normal", "lognormal", "discrete"])
def test_a_film_without_deaths_calls_none(n, shape):
    rng = np.random.default_rng(n)
    signal = {
        "normal": rng.normal(0, 3, n),
        "lognormal": 20 * rng.lognormal(0, 0.3, n),
        "discrete": rng.poisson(0.2, n).astype(float),
    }[shape]
    viability, state = run(signal)
    assert not viability["dead"].any() and state["n_dead"] == 0


@pytest.mark.parametrize("share", [0.002, 0.02, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("contrast", [30, 300])
def test_dead_cells_are_found_at_any_share(share, contrast):
    rng = np.random.default_rng(1)
    n = 2000
    dead = np.arange(n) < n * share
    signal = np.where(dead, contrast * rng.lognormal(0, 0.3, n), 0) + rng.normal(0, 1, n)
    viability, state = run(signal)
    assert (viability["dead"].to_numpy() != dead).mean() < 0.002
    assert state["n_dead"] == viability["dead"].sum()
    # a probability falls as the signal rises, and agrees with the call
    order = np.argsort(signal)
    assert (np.diff(viability["alive_probability"].to_numpy()[order]) <= 0).all()
    assert ((viability["alive_probability"] < 0.5) == viability["dead"]).all()
    middle = viability["alive_probability"][~dead].median()
    assert middle == pytest.approx(0.999, abs=5e-4)


def test_calls_do_not_depend_on_offset_or_gain():
    rng = np.random.default_rng(2)
    signal = np.concatenate([rng.normal(0, 1, 300), 40 * rng.lognormal(0, 0.4, 60)])
    plain, _ = run(signal)
    scaled, _ = run(7 * signal - 1000)
    np.testing.assert_allclose(plain["alive_probability"], scaled["alive_probability"], atol=1e-9)


def test_the_median_holds_against_spill_and_the_mean_does_not():
    """Live discs of which a dead neighbour's blurred light covers a side, on rendered pixels."""
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:60, :60]
    medians, means, truth = [], [], []
    for i in range(60):
        live = (yy - 30) ** 2 + (xx - 20) ** 2 <= 81
        dead = (yy - 30) ** 2 + (xx - 39) ** 2 <= 81
        has_neighbour = i % 3 == 0
        light = ndimage.gaussian_filter(400.0 * dead * has_neighbour, 3) + rng.normal(
            0, 2, yy.shape
        )
        for mask, is_dead in ((live, False), (dead, has_neighbour)):
            medians.append(np.median(light[mask]))
            means.append(light[mask].mean())
            truth.append(is_dead)
    truth = np.array(truth)
    cells = cells_of(medians, Dead_mean=means)
    data = {"dataframe": cells, "marker": "Dead"}
    by_median = MarkerThreshold()(data)["dataframe"]["dead"].to_numpy()
    assert (by_median == truth).all()
    # what spills in is a larger part of a dead cell's signal in the mean than in the median
    lit = ~truth & (np.arange(120) % 6 == 0)
    share = [np.array(v)[lit].mean() / np.array(v)[truth].mean() for v in (medians, means)]
    assert share[0] < 0.5 * share[1]


def test_fixed_threshold_control_and_state():
    rng = np.random.default_rng(5)
    viability, state = run([0.0, 5.0, 9.0, 11.0], threshold=10.0)
    assert viability["dead"].tolist() == [False, False, False, True] and state["threshold"] == 10
    assert (np.diff(viability["alive_probability"]) < 0).all()
    # every cell dead: the table alone cannot tell, the control can, and so can a pooled state
    dead = cells_of(500 * rng.lognormal(0, 0.2, 50))
    control = cells_of(rng.normal(0, 2, 50))
    data = {"dataframe": dead, "marker": "Dead"}
    assert MarkerThreshold()({**data, "controls": {"live": control}})["dataframe"]["dead"].all()
    pooled = MarkerThreshold().estimate(pd.concat([dead, control]), marker="Dead")
    assert MarkerThreshold()({**data, "state": pooled})["dataframe"]["dead"].all()


def test_ordinary_cases_and_bad_input():
    for signal in ([], [3.0], [3.0, 3.0, 3.0]):
        viability, _ = run(signal)
        assert len(viability) == len(signal) and not viability["dead"].any()
    with pytest.raises(InputError, match=r"frame 0, label 2: Dead_median is nan"):
        run([1.0, np.nan])
    with pytest.raises(InputError, match=r"'PI_median'.*There: Dead_median"):
        MarkerThreshold()({"dataframe": cells_of([1.0]), "marker": "PI"})
    with pytest.raises(InputError, match="marker"):
        MarkerThreshold()({"dataframe": cells_of([1.0])})


@pytest.mark.shared
def test_real_stills_split_where_their_signals_do(shared_data: Path):
    """Propidium iodide in nuclei of a real assay against a reading of their sorted medians.

    Nuclei up to the first number are not stained, from the second on they are; what lies between
    (six nuclei of 344) could be either.
    """
    import tifffile

    unclear = {
        "110_snap_0_3_32": (4100, 12400),
        "401_snap_1_2_29": (1520, 5600),
        "Aligned_x20_3_MMStack_Pos13_0_0_0": (350, 570),
        "december_400_snap_3_2_20": (170, 370),
        "feb_502_snap_2_2_35": (270, 1800),
        "jan_404_snap_0_1_41": (330, 1300),
        "june25_805_snap_1_1_27": (180, 1700),
    }
    folder = shared_data / "celldetective_adcc_dev"
    for stem, (low, high) in unclear.items():
        channels = json.loads((folder / f"{stem}.json").read_text())["channels"]
        image = tifffile.imread(folder / f"{stem}.tif")[channels.index("dead_nuclei_channel")]
        label = tifffile.imread(folder / f"{stem}_labelled.tif").astype(int)
        numbers = np.unique(label[label > 0])
        medians = ndimage.median(image.astype(float), label, numbers)
        clear = (medians <= low) | (medians >= high)
        assert clear.sum() >= len(medians) - 3
        viability, _ = run(medians)
        assert viability["dead"][clear].tolist() == (medians >= high)[clear].tolist(), stem


def field_of(rng, n_living, n_dead=0, background=100.0, noise=5.0):
    living = rng.normal(background, noise, n_living)
    return cells_of(np.append(living, background + 400 * rng.lognormal(0, 0.4, n_dead)))


@pytest.mark.parametrize(
    ("others", "apart"),
    [
        ({"background": 400.0}, True),  # another exposure: all of 53 living cells would be dead
        ({"background": 180.0}, True),
        ({"background": 104.0}, False),  # within the noise
        ({"background": 20.0, "noise": 2.0}, True),
        ({"n_living": 2, "n_dead": 51}, False),  # all dead, as a control is: they are not alike
        ({"n_living": 8, "n_dead": 45}, False),
        ({"n_living": 30, "n_dead": 23}, False),
    ],
)
def test_fields_of_another_background_are_judged_apart_and_dead_ones_are_not(others, apart):
    rng = np.random.default_rng(4)
    given = {"n_living": 53, **others}
    fields = {"a": field_of(rng, 60, 6), "b": field_of(rng, **given), "c": field_of(rng, 70)}
    groups = MarkerThreshold().apart(fields, Dyes(marker="Dead"))
    expected = [["a", "c"], ["b"]] if apart else [["a", "b", "c"]]
    assert sorted(sorted(group) for group in groups) == expected
    for group in groups:
        pooled = pd.concat([fields[name] for name in group])
        state = MarkerThreshold().estimate(pooled, marker="Dead")
        for name in group:
            dead = MarkerThreshold()(cells=fields[name], marker="Dead", state=state)["viability"]
            true = given.get("n_dead", 0) if name == "b" else {"a": 6, "c": 0}[name]
            assert dead["dead"].sum() == true
