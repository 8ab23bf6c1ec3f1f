"""Curves and their errors against hand-worked and published tables, lifelines and R."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.datasets import load_waltons
from lifelines.utils import restricted_mean_survival_time

from cyto_kedro.algorithms.comparison.estimators import (
    at,
    at_risk,
    clustered_se,
    hazard_limits,
    kaplan_meier,
    median,
    nelson_aalen,
    restricted_mean,
    survival_limits,
)

# Freireich et al. 1963, 6-MP arm, as in Klein and Moeschberger (2003)
MP_TIME = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35])
MP_EVENT = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], dtype=bool)


def waltons() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """entry (made up), leave, event, cluster (made up) of lifelines' data set."""
    table = load_waltons()
    leave = table["T"].to_numpy(float)
    entry = np.where(np.arange(len(leave)) % 3, 0.0, leave / 4)
    return entry, leave, table["E"].to_numpy(bool), np.arange(len(leave)) % 5


def by_hand(entry: np.ndarray, leave: np.ndarray, event: np.ndarray) -> dict[float, float]:
    """Product over death times of (1 - deaths / those with entry < t <= leave)."""
    share, out = 1.0, {}
    for t in np.unique(leave[event]):
        risk = ((entry < t) & (t <= leave)).sum()
        share *= 1 - ((leave == t) & event).sum() / risk
        out[float(t)] = share
    return out


def test_freireich_6mp_published() -> None:
    # estimates as in Klein and Moeschberger (2003), table 4.1
    curve = kaplan_meier(np.zeros(21), MP_TIME, MP_EVENT).set_index("time")
    want = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {k: round(curve.loc[k, "survival"], 3) for k in want} == want
    assert curve.loc[10, "at_risk"] == 15
    assert median(curve.reset_index()) == 23


def test_delayed_entry_worked_example() -> None:
    # at 2: three at risk (the one entering at 2 is not yet); at 4: three; at 5: two
    entry = np.array([0, 0, 2, 3, 0.0])
    leave = np.array([2, 5, 4, 5, 3.0])
    event = np.array([1, 1, 1, 0, 0], dtype=bool)
    curve = kaplan_meier(entry, leave, event).set_index("time")
    assert curve.loc[[0, 2, 4, 5], "survival"].tolist() == pytest.approx([1, 2 / 3, 4 / 9, 2 / 9])
    assert curve.loc[[2, 3, 4, 5], "at_risk"].tolist() == [3, 3, 3, 2]
    assert curve.loc[[2, 3, 4, 5], "events"].tolist() == [1, 0, 1, 1]
    # Greenwood on the log(-log) scale at 2: var log S = 1 / (3 * 2)
    half = 1.959964 * np.sqrt(1 / 6) / abs(np.log(2 / 3))
    limits = (2 / 3) ** np.exp([half, -half])
    assert curve.loc[2, ["lower", "upper"]].tolist() == pytest.approx(limits.tolist(), abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_random_delayed_entry_equals_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    entry = rng.integers(5, 25, 60).astype(float)
    entry[:20] = 5
    leave = entry + rng.integers(1, 30, 60)
    event = rng.random(60) < 0.4
    curve = kaplan_meier(entry, leave, event).set_index("time")["survival"]
    assert curve.index[0] == 5 and curve.iloc[0] == 1
    want = by_hand(entry, leave, event)
    assert curve[list(want)].tolist() == pytest.approx(list(want.values()))


def test_nothing_observed_and_median_not_reached() -> None:
    none = np.array([])
    assert kaplan_meier(none, none, none).empty
    assert np.isnan(median(kaplan_meier(none, none, none)))
    assert np.isnan(median(kaplan_meier(np.zeros(2), np.array([3, 4]), np.array([False, False]))))
    assert at_risk(
        np.array([0, 0, 2.0]), np.array([1, 5, 5.0]), np.array([0, 1, 2, 3])
    ).tolist() == [*(2, 2, 1, 2)]


@pytest.mark.parametrize("n", [2, 6, 14, 98, 198])
def test_the_median_of_an_even_number_is_reached_at_exactly_one_half(n: int) -> None:
    """n cells dying at 1, 2, ... n: half are dead at n / 2, however the share is rounded."""
    leave = np.arange(1, n + 1.0)
    assert median(kaplan_meier(np.zeros(n), leave, np.ones(n, bool))) == n / 2
    # one half is no less than that: an odd number's is at the cell in the middle
    odd = np.arange(1, n + 2.0)
    assert median(kaplan_meier(np.zeros(n + 1), odd, np.ones(n + 1, bool))) == n / 2 + 1


def test_curve_ends_where_nobody_is_left() -> None:
    """A second cohort that enters after the first has gone has nothing to go on from."""
    entry, leave = np.array([0.0, 0.0, 20.0]), np.array([14.0, 14.0, 22.0])
    censored = kaplan_meier(entry, leave, np.array([False, False, False]))
    assert (censored["survival"] == 1).all()
    assert censored["time"].max() == 14
    died = kaplan_meier(entry, leave, np.array([True, False, False]))
    assert died["survival"].iloc[-1] == pytest.approx(0.5)


def test_freireich_6mp_cumulative_hazard_published() -> None:
    # Klein and Moeschberger (2003), table 4.2: hazard and its standard error
    zero = np.zeros(21)
    times = np.array([6, 7, 10, 13, 16, 22, 23.0])
    table = nelson_aalen(zero, MP_TIME, MP_EVENT, times)
    want = [0.1428, 0.2017, 0.2683, 0.3517, 0.4426, 0.5854, 0.7521]
    assert table["hazard"].tolist() == pytest.approx(want, abs=1.1e-4)
    # Aalen's variance sum d (n - d) / n^3 at 6: 3 * 18 / 21^3, on the log scale
    half = 1.959964 * np.sqrt(3 * 18 / 21**3) / (3 / 21)
    limits = 3 / 21 * np.exp([-half, half])
    assert table.loc[0, ["lower", "upper"]].tolist() == pytest.approx(limits.tolist(), rel=1e-4)
    before = nelson_aalen(zero, MP_TIME, MP_EVENT, np.array([0.0, 5.0, 8.0]))
    assert before["hazard"].tolist() == pytest.approx([0, 0, want[1]], abs=1.1e-4)
    assert before["lower"].isna().tolist() == [True, True, False]


def test_clustered_errors_are_the_jackknife_of_lifelines_weights() -> None:
    """Each cell's influence, by changing its weight a little in lifelines; both estimates."""
    entry, leave, event, cluster = (each[::3] for each in waltons())
    times, step = np.array([20.0, 45.0, 60.0]), 1e-4
    influence = np.zeros((2, 3, len(leave)))
    for i in range(len(leave)):
        sides = []
        for sign in (1, -1):
            weight = np.ones(len(leave))
            weight[i] += sign * step
            fit = KaplanMeierFitter()
            with pytest.warns(Warning, match="weights"):
                fit.fit(leave, event, entry=entry, weights=weight)
            table = fit.event_table
            risk = table["at_risk"] - table["entrance"].where(table.index > 0, 0)
            hazard = (table["observed"] / risk).cumsum()
            sides.append((np.log(fit.predict(times)), hazard.asof(times)))
        influence[:, :, i] = np.subtract(*sides) / (2 * step)
    sums = np.array([influence[:, :, cluster == name].sum(axis=2) for name in range(5)])
    want = np.sqrt((sums**2).sum(axis=0) * 5 / 4)
    found = clustered_se(entry, leave, event, cluster, times)
    assert pytest.approx(want, rel=1e-4) == found.to_numpy().T


def test_hazard_with_late_entry_equals_the_definition() -> None:
    entry, leave, event, _ = waltons()
    times = np.unique(leave[event])
    steps = [((leave == t) & event).sum() / ((entry < t) & (t <= leave)).sum() for t in times]
    found = nelson_aalen(entry, leave, event, times)["hazard"]
    assert found.tolist() == pytest.approx(np.cumsum(steps).tolist())


def test_clusters_of_one_cell_give_greenwood_where_nothing_is_censored() -> None:
    rng = np.random.default_rng(0)
    leave = rng.integers(1, 12, 80).astype(float)
    every, zero = np.ones(80, bool), np.zeros(80)
    times = np.arange(1, 11.0)
    se = clustered_se(zero, leave, every, np.arange(80), times)["survival"].to_numpy()
    share = np.array([(leave > t).mean() for t in times])
    assert se * np.sqrt(79 / 80) == pytest.approx(np.sqrt((1 - share) / (80 * share)))


def test_clusters_that_are_copies_are_no_more_than_one_each() -> None:
    """Every cell filmed five times over: the naive band shrinks, the one by cluster does not."""
    rng = np.random.default_rng(1)
    leave, event = rng.exponential(10, 40), rng.random(40) < 0.7
    cluster, zero = np.arange(40) // 5, np.zeros(40)
    times = np.array([5.0])
    once = clustered_se(zero, leave, event, cluster, times)
    often = clustered_se(*(np.tile(each, 5) for each in (zero, leave, event, cluster)), times)
    assert often.to_numpy() == pytest.approx(once.to_numpy(), rel=0.05)
    wide = kaplan_meier(zero, leave, event).set_index("time").loc[:5].iloc[-1]
    thin = kaplan_meier(*(np.tile(each, 5) for each in (zero, leave, event)))
    thin = thin.set_index("time").loc[:5].iloc[-1]
    assert thin["upper"] - thin["lower"] < 0.6 * (wide["upper"] - wide["lower"])


@pytest.mark.parametrize("n_wells", [3, 8])
def test_band_by_replicate_covers_the_truth(n_wells: int) -> None:
    """Survival at 100, averaged over wells that differ; cells taken as independent miss it."""
    draws = np.random.default_rng(0).normal(0, 0.5, 100_000)
    truth = np.exp(-0.4 * np.exp(draws)).mean()
    inside = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        well = np.repeat(np.arange(n_wells), 40)
        rate = 0.004 * np.exp(rng.normal(0, 0.5, n_wells))[well]
        death = rng.exponential(1, len(well)) / rate
        leave, event = np.minimum(death, 110), death <= 110
        zero, time, share = np.zeros(len(well)), np.array([100.0]), (death > 100).mean()
        for cluster, n in ((well, n_wells), (np.arange(len(well)), 10**6)):
            se = clustered_se(zero, leave, event, cluster, time)["survival"].to_numpy()
            low, high = survival_limits(np.array([share]), se, n)
            inside.append(low[0] <= truth <= high[0])
    clustered, independent = np.reshape(inside, (-1, 2)).mean(axis=0)
    assert clustered >= 0.92 and independent < 0.8


def test_limits_by_replicate_and_when_there_are_none() -> None:
    # t(2) = 4.302653; log(-log) scale: S ** exp(+- t se / |log S|)
    low, high = survival_limits(np.array([0.5, 1.0, 0.0]), np.array([0.1, 0.0, np.nan]), 3)
    half = 4.302653 * 0.1 / np.log(2)
    assert [low[0], high[0]] == pytest.approx([0.5 ** np.exp(half), 0.5 ** np.exp(-half)])
    assert np.isnan([low[1:], high[1:]]).all()
    low, high = hazard_limits(np.array([0.0, 2.0]), np.array([0.0, 0.3]), 3)
    assert [low[1], high[1]] == pytest.approx((2 * np.exp([-0.6453979, 0.6453979])).tolist())
    assert np.isnan([low[0], high[0]]).all()
    one = clustered_se(np.zeros(3), np.ones(3), np.ones(3, bool), np.zeros(3), np.ones(1))
    assert one.isna().all().all()


def test_restricted_mean_is_lifelines_and_of_those_alive_at_its_start() -> None:
    _, leave, event, _ = waltons()
    curve = kaplan_meier(np.zeros(len(leave)), leave, event)
    fit = KaplanMeierFitter().fit(leave, event)
    want = restricted_mean_survival_time(fit, 50)
    assert restricted_mean(curve, 0, 50) == pytest.approx(want)
    later = (want - restricted_mean_survival_time(fit, 20)) / fit.predict(20)
    assert restricted_mean(curve, 20, 50) == pytest.approx(later)
    assert at(curve, 50) == pytest.approx(fit.predict(50)) and np.isnan(at(curve, -1))
