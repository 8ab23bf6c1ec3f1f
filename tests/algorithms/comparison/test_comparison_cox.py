"""Cox regression by replicate against published results, lifelines, and simulated truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, CoxTimeVaryingFitter
from lifelines.datasets import load_rossi, load_stanford_heart_transplants

from cyto_kedro.algorithms.comparison.cox import fit_cox, score_residuals

TERMS = ["age", "prio", "fin"]


def rossi(n: int = 150) -> pd.DataFrame:
    """Recidivists as episodes from 0; weeks are full of ties. Clusters are made up."""
    table = load_rossi().iloc[:n].reset_index(drop=True)
    return table[TERMS].assign(
        start=0.0,
        stop=table["week"].astype(float),
        event=table["arrest"].astype(bool),
        cluster=np.arange(n) % 7,
        stratum="",
    )


def test_stanford_heart_published() -> None:
    """R's survival, ``coxph(Surv(start, stop, event) ~ age + year + surgery + transplant, heart)``."""
    heart = load_stanford_heart_transplants()
    heart = heart.assign(event=heart["event"].astype(bool), cluster=heart["id"], stratum="")
    table = fit_cox(heart, ["age", "year", "surgery", "transplant"]).table
    assert table["coefficient"].round(4).tolist() == [0.0272, -0.1463, -0.6372, -0.0103]
    assert table["se_model"].round(4).tolist() == [0.0137, 0.0705, 0.3672, 0.3138]


def test_cluster_errors_are_lifelines_where_nothing_is_tied() -> None:
    table = rossi()
    table["stop"] += np.random.default_rng(0).random(len(table)) * 0.01
    frame = table[[*TERMS, "stop", "event", "cluster"]]
    want = CoxPHFitter().fit(frame, "stop", "event", cluster_col="cluster")
    found = fit_cox(table, TERMS, small_sample=False).table
    assert found["se"].tolist() == pytest.approx(want.standard_errors_[TERMS].tolist(), rel=1e-5)
    assert found["p"].tolist() == pytest.approx(want.summary["p"][TERMS].tolist(), rel=1e-4)
    limits = want.confidence_intervals_.loc[TERMS].to_numpy()
    assert found[["low", "high"]].to_numpy() == pytest.approx(limits, rel=1e-4)


def test_residuals_are_the_jackknife_with_ties_late_entry_and_strata() -> None:
    """The weight of an episode is changed a little in lifelines, which knows Efron's weights."""
    table = rossi()
    table["start"] = np.where(np.arange(len(table)) % 4 == 0, table["stop"] // 3, 0.0)
    table["stratum"] = np.where(np.arange(len(table)) % 3 == 0, "x", "y")

    def fit(weight: np.ndarray) -> CoxTimeVaryingFitter:
        data = table.drop(columns="cluster").assign(w=weight)
        return CoxTimeVaryingFitter().fit(
            data,
            event_col="event",
            weights_col="w",
            strata=["stratum"],
            fit_options={"precision": 1e-12},
        )

    plain = fit(np.ones(len(table)))
    residuals = score_residuals(table, TERMS, plain.params_[TERMS].to_numpy())
    assert residuals.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-6)
    change = residuals @ plain.variance_matrix_.to_numpy()
    for i in (0, 4, 21, 75, 148):
        sides = []
        for sign in (1, -1):
            weight = np.ones(len(table))
            weight[i] += sign * 1e-3
            sides.append(fit(weight).params_[TERMS].to_numpy())
        slope = (sides[0] - sides[1]) / 2e-3
        assert change[i] == pytest.approx(slope, rel=1e-3, abs=1e-3 * np.abs(change).max())


def test_small_sample_correction_is_the_t_tests() -> None:
    """n / (n - 1 - c): two arms of three replicates leave 4 degrees of freedom, within them 5."""
    table = rossi(144)
    table["cluster"] = np.arange(144) % 6
    table["treated"] = (table["cluster"] < 3).astype(float)
    for terms, df in ((["treated"], 4), (["age"], 5), (["treated", "age"], 4)):
        plain, found = fit_cox(table, terms, small_sample=False), fit_cox(table, terms)
        assert found.df == df
        ratio = found.table["se"] / plain.table["se"]
        assert ratio.tolist() == pytest.approx([np.sqrt(6 / df)] * len(terms))


def test_what_cannot_be_fitted_says_why() -> None:
    table = rossi().assign(flag=0.0)
    alone = fit_cox(table.assign(cluster="one"), ["age"])
    assert alone.table["coefficient"].notna().all() and alone.table["p"].isna().all()
    assert alone.note.startswith("1 replicate where 2 are needed")
    arms = table.assign(flag=(table["cluster"] > 2) * 1.0, cluster=(table["cluster"] > 2) * 1)
    assert fit_cox(arms, ["flag"]).note.startswith("2 replicates where 3 are needed")
    assert fit_cox(table.assign(event=False), ["age"]).note == "no death observed"
    assert "the same for all cells" in fit_cox(table, ["flag"]).note
    apart = table.assign(flag=(~table["event"]) * 1.0)
    assert fit_cox(apart, ["flag"]).note.startswith("no death where flag is 1")
    assert fit_cox(apart, ["flag"]).table.isna().all().all()
    # three groups, of which the one that the others are compared with has no death
    groups = pd.DataFrame({"low": [0.0, 1, 0] * 50, "high": [0.0, 0, 1] * 50})
    three = table.assign(event=table["event"] & (groups.sum(axis=1) > 0)).join(groups)
    assert "did not converge" in fit_cox(three, ["low", "high"]).note
    twice = fit_cox(table.assign(again=table["age"]), ["age", "again"])
    assert "cannot be told apart" in twice.note and twice.table.isna().all().all()
