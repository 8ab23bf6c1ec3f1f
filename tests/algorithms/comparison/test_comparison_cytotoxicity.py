"""Live targets and specific killing, counted by hand; dose-response against drc and scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.cytotoxicity import Cytotoxicity
from cyto_kedro.algorithms.comparison.dose_response import DoseResponse, fit_logistic
from cyto_kedro.core.groups import design

ROLES = {"TCell": "effector", "CancerCell": "target"}
# ryegrass: root length (cm) over ferulic acid (mM), Inderjit et al. 2002; the example of R's drc
RYEGRASS = {
    0.0: [7.58, 8.0, 8.3285714, 7.25, 7.375, 7.9625],
    0.94: [8.3555556, 6.9142857, 7.75],
    1.88: [6.8714286, 6.45, 5.9222222],
    3.75: [1.925, 2.8857143, 4.2333333],
    7.5: [1.1875, 0.8571429, 1.0571429],
    15.0: [0.6875, 0.525, 0.825],
    30.0: [0.25, 0.22, 0.44],
}
X = np.concatenate([[dose] * len(each) for dose, each in RYEGRASS.items()])
Y = np.concatenate(list(RYEGRASS.values()))


def films(counts: dict[str, list[int]], deaths: dict[str, list[int]] | None = None) -> dict:
    """Tables of fields with `counts` targets in each frame, 30 min apart, and dead ones beside them."""
    points, fates = [], []
    for fov, each in counts.items():
        for frame, n in enumerate(each):
            points += [(fov, "CancerCell", i + 1, frame) for i in range(n)]
        n = max(each)
        fates += [(fov, "CancerCell", i + 1, False, False, None) for i in range(n)]
        for i, frame in enumerate((deaths or {}).get(fov, [])):  # dead bodies stay in view
            points += [(fov, "CancerCell", 100 + i, at) for at in range(len(each))]
            fates.append((fov, "CancerCell", 100 + i, True, False, frame))
        points += [(fov, "TCell", 1, frame) for frame in range(len(each))]
    columns = ["fov", "population", "track_id", "frame"]
    frames = [(fov, i, 1800.0 * i, False) for fov, each in counts.items() for i in range(len(each))]
    names = ["fov", "population", "track_id", "died", "dead_at_first_sight", "death_frame"]
    return {
        "track_points": schemas.filled(schemas.TrackPoints, pd.DataFrame(points, columns=columns)),
        "fates": schemas.filled(schemas.Fates, pd.DataFrame(fates, columns=names)),
        "frames": pd.DataFrame(frames, columns=["fov", "frame", "time_s", "excluded"]),
        "populations": ROLES,
    }


def sheet(*rows: tuple) -> pd.DataFrame:
    names = ["fov", "condition", "replicate", "donor", "et_ratio", "dose", "plate"]
    return pd.DataFrame(rows, columns=names)


def run(counts: dict, rows: pd.DataFrame, deaths: dict | None = None) -> dict:
    made = Cytotoxicity()(design=design(rows), **films(counts, deaths))
    for name, table in (
        ("killing_curves", schemas.KillingCurves),
        ("field_killing", schemas.FieldKilling),
    ):
        schemas.check(table, made[name])
    return made


def test_live_targets_and_specific_killing_by_hand() -> None:
    counts = {"c1": [10, 12, 15], "k1": [10, 9, 3]}
    rows = sheet(("c1", "alone", "1", "D1", 0, 0, ""), ("k1", "cells", "1", "D1", 5, 0, ""))
    made = run(counts, rows, deaths={"k1": [1, 2]})  # two more that die in frames 1 and 2
    curve = made["killing_curves"].query("condition == 'cells'")
    assert curve["n_live"].tolist() == [12, 10, 3]
    assert curve["live_percent"].tolist() == pytest.approx([100, 100 * 10 / 12, 25])
    assert curve["control_percent"].tolist() == pytest.approx([100, 120, 150])
    killed = [0, 100 * (1 - 10 / 12 / 1.2), 100 * (1 - 0.25 / 1.5)]
    assert curve["specific_killing"].tolist() == pytest.approx(killed)
    values = made["replicate_summaries"].query("condition == 'cells'").set_index("measure")["value"]
    area = (killed[0] + killed[1]) / 2 * 0.5 + (killed[1] + killed[2]) / 2 * 0.5
    assert values["specific_killing_area"] == pytest.approx(area)
    assert values["specific_killing"] == pytest.approx(killed[-1])
    assert values["live_targets"] == pytest.approx(25)
    # the control has no control: no killing, and no measure of it
    alone = made["replicate_summaries"].query("condition == 'alone'")
    assert alone["measure"].tolist() == ["live_targets"]


def test_the_control_is_of_the_same_dose_then_donor_then_plate() -> None:
    counts = {
        "c1": [10, 10],
        "c2": [10, 5],
        "c3": [10, 4],
        "k1": [10, 2],
        "k2": [10, 2],
        "k3": [10, 2],
    }
    rows = sheet(
        ("c1", "alone", "1", "D1", 0, 0, "P1"),
        ("c2", "alone", "2", "D2", 0, 0, "P2"),
        ("c3", "drug alone", "1", "D1", 0, 7, "P1"),
        ("k1", "cells", "1", "D1", 5, 0, "P2"),
        ("k2", "cells", "2", "D9", 5, 0, "P2"),
        ("k3", "drug", "1", "D1", 5, 7, "P1"),
    )
    ends = run(counts, rows)["field_killing"].set_index("fov")["specific_killing"]
    assert ends["k1"] == pytest.approx(80)  # D1's: 100 %
    assert ends["k2"] == pytest.approx(100 * (1 - 2 / 5))  # no control of D9: plate P2's
    assert ends["k3"] == pytest.approx(
        50
    )  # of the same dose: what the drug alone kills is no killing
    bare = rows.drop(columns=["plate", "donor", "dose"])
    ends = run(counts, bare)["field_killing"].set_index("fov")["specific_killing"]
    assert ends["k1"] == pytest.approx(
        100 * (1 - 0.2 / np.mean([1, 0.5, 0.4]))
    )  # all controls' mean


def test_a_control_ends_with_the_first_of_its_films_that_ends() -> None:
    """The mean of those that go on would jump where a film ends."""
    counts = {"c1": [10, 10, 10], "c2": [10, 5], "k1": [10, 6, 3]}
    rows = sheet(
        ("c1", "alone", "1", "D1", 0, 0, ""),
        ("c2", "alone", "2", "D1", 0, 0, ""),
        ("k1", "cells", "1", "D1", 5, 0, ""),
    )
    curve = run(counts, rows)["killing_curves"].query("condition == 'cells'")
    assert curve["control_percent"].fillna(-1).tolist() == [100, 75, -1]
    assert curve["specific_killing"].fillna(-1).tolist() == pytest.approx([0, 20, -1])


def test_fields_of_a_replicate_are_summed_and_a_short_film_ends_it() -> None:
    counts = {"a": [10, 8, 6], "b": [20, 10]}
    rows = sheet(("a", "cells", "1", "D1", 5, 0, ""), ("b", "cells", "1", "D1", 5, 0, ""))
    curve = run(counts, rows)["killing_curves"]
    assert curve["n_live"].tolist() == [30, 18] and curve["specific_killing"].isna().all()


def test_ryegrass_as_drc_publishes_it() -> None:
    """Estimates of LL.4 in drc's documentation; its errors are of the observed information."""
    fit = fit_logistic(X, Y)
    assert fit.estimate == pytest.approx([7.79296, 0.48141, 3.05795, 2.98222], abs=2e-5)
    assert fit.se == pytest.approx([0.18857, 0.21219, 0.18573, 0.46506], rel=0.02)
    assert fit.df == 20


def test_errors_are_scipy_s_own_for_the_plain_parameters() -> None:
    def model(x, bottom, top, ec50, hill):
        return top + (bottom - top) / (1 + (x / ec50) ** hill)

    found, cov = optimize.curve_fit(model, X, Y, [8, 0.5, 3, 3])
    fit = fit_logistic(X, Y)
    assert fit.estimate == pytest.approx(found, rel=1e-4)
    assert fit.se == pytest.approx(np.sqrt(np.diag(cov)), rel=1e-3)


def test_limits_of_the_ec50_hold_what_they_promise() -> None:
    rng = np.random.default_rng(0)
    doses = np.repeat([0.0, 0.3, 1, 3, 10, 30, 100], 3)
    held = []
    for _ in range(200):
        y = 10 + 70 / (1 + (5 / np.maximum(doses, 1e-9)) ** 1.3) + rng.normal(0, 4, len(doses))
        fit = fit_logistic(doses, y)
        held.append(fit.low[2] <= 5 <= fit.high[2])
    assert 0.91 <= np.mean(held) <= 0.99


def responses(ec50s: list[float], treatment: str = "drug") -> pd.DataFrame:
    rows = [
        (f"{d}_{i}", f"D{i}", dose, 80 * dose / (dose + ec50))
        for i, ec50 in enumerate(ec50s)
        for d, dose in enumerate([0.0, 1, 3, 10, 30, 100])
    ]
    table = pd.DataFrame(rows, columns=["fov", "replicate", "dose", "specific_killing"])
    about = {"population": "CancerCell", "condition": "c", "et_ratio": 5.0, "live_percent": 1.0}
    table = table.assign(**about, cluster=table["replicate"], treatment=treatment)
    return schemas.filled(schemas.FieldKilling, table)


def test_ec50_of_replicates_is_their_geometric_mean_with_t_limits() -> None:
    ec50s = [4.0, 8.0, 20.0]
    sheet_ = pd.DataFrame({"fov": ["x"], "dose_unit": ["nM"]})
    fits = DoseResponse()(field_killing=responses(ec50s), design=sheet_)["dose_fits"]
    schemas.check(schemas.DoseFits, fits)
    assert fits["ec50"].iloc[:3].tolist() == pytest.approx(ec50s, rel=1e-4)
    whole = fits.set_index("replicate").loc["(all)"]
    log = np.log(ec50s)
    low, high = stats.t.interval(0.95, 2, log.mean(), stats.sem(log))
    limits = [np.exp(each) for each in (log.mean(), low, high)]
    assert whole[["ec50", "ec50_low", "ec50_high"]].astype(float).tolist() == pytest.approx(
        limits, rel=1e-3
    )
    assert whole["limits_from"] == "replicates" and whole["unit"] == "nM" and whole["df"] == 2


def test_treatments_are_curves_of_their_own_and_share_dose_0() -> None:
    both = pd.concat(
        [responses([5.0], "a"), responses([50.0], "b").assign(fov=lambda t: "b" + t["fov"])]
    )
    both.loc[both["dose"] == 0, "treatment"] = ""
    fits = DoseResponse()(field_killing=both)["dose_fits"].query("replicate == '(all)'")
    assert fits.set_index("treatment")["ec50"].to_dict() == pytest.approx(
        {"a": 5, "b": 50}, rel=1e-3
    )


def test_too_few_doses_say_so_and_give_points() -> None:
    few = responses([5.0])[lambda t: t["dose"] <= 3]
    made = DoseResponse()(field_killing=few)
    assert len(made["dose_values"]) == 3
    assert made["dose_fits"]["ec50"].isna().all()
    assert made["dose_fits"]["note"].str.startswith("3 doses where 5 are needed").all()


@pytest.mark.parametrize("own_replicate", [True, False])
def test_a_still_among_films_moves_no_end(own_replicate: bool) -> None:
    """One frame of a field reaches time 0 only: the others are read at their end all the same."""
    counts = {"c1": [10, 12, 15], "k1": [10, 9, 3]}
    rows = [("c1", "alone", "1", "D1", 0, 0, ""), ("k1", "cells", "1", "D1", 5, 0, "")]
    still = ("k2", "cells", "2" if own_replicate else "1", "D1", 5, 0, "")
    before, after = (
        run(each, sheet(*names))["replicate_summaries"].set_index(["measure", "condition"])["value"]
        for each, names in ((counts, rows), (counts | {"k2": [7]}, [*rows, still]))
    )
    assert before[("live_targets", "cells")] == 30
    assert after.to_dict() == pytest.approx(before.to_dict(), nan_ok=True)
    only = run({"c1": [10], "k1": [8]}, sheet(*rows))["killing_curves"]
    assert set(only["live_percent"]) == {100}  # stills alone are told as they are
