"""Every number of the report's first screen, recomputed from fates and track points by other code."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time
from plate_tables import TARGETS, compared, page, sheet, tables
from scipy import optimize, special, stats

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.answer_figures import draw_live
from cyto_kedro.algorithms.reporting.effect_figures import effect_rows


@pytest.fixture(scope="module")
def plate() -> dict:
    data = tables()
    made = compared(data)
    for name in ("killing_curves", "field_killing", "dose_values", "dose_fits", "comparisons"):
        schemas.check(schemas.TABLES[name], made[name])
    html = page(data, made)
    text = re.sub(
        r"\s+",
        " ",
        unescape(re.sub("<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", html, flags=re.S))),
    )
    return {"data": data, "made": made, "html": html, "text": text}


def alive(data: dict) -> pd.DataFrame:
    """Living targets of each well in its first and last frame, off fates alone."""
    fates = data["fates"]
    last = fates["last_frame"].max()
    left = fates[~fates["died"] | (fates["death_frame"] > last)].groupby("fov").size()
    rows = sheet().set_index("fov")
    return rows.assign(start=fates.groupby("fov").size(), end=left.reindex(rows.index).fillna(0))


def specific(data: dict) -> pd.DataFrame:
    wells = alive(data)
    wells["live"] = wells["end"] / wells["start"]
    control = wells[wells["et_ratio"] == 0].groupby("donor")["live"].mean()
    wells["killing"] = 100 * (1 - wells["live"] / wells["donor"].map(control))
    return wells[wells["et_ratio"] > 0]


def shown(value: float) -> str:
    text = f"{value:.0f}" if value == round(value) else f"{value:.3g}"
    return text.replace("-", "−")


def test_specific_killing_of_the_first_sentence(plate: dict) -> None:
    wells = specific(plate["data"])
    donors = wells.groupby(["condition", "donor"])["killing"].mean().unstack()  # noqa: PD010
    best = donors.mean(axis=1).sort_values(ascending=False).index[:3]
    for condition in best:
        low, high = stats.t.interval(
            0.95, 2, donors.loc[condition].mean(), stats.sem(donors.loc[condition])
        )
        n = int(wells.loc[wells["condition"] == condition, "start"].sum())
        said = (
            f"{condition} {shown(donors.loc[condition].mean())} % (95 % interval {shown(low)} to "
        )
        assert f"{said}{shown(high)}; {n} targets, 3 replicates)" in plate["text"]
    assert "7 more" not in plate["text"] or len(donors) == 10
    fields = plate["made"]["field_killing"].set_index("fov")["specific_killing"].dropna()
    assert fields.to_dict() == pytest.approx(wells["killing"].to_dict())


def holm(p: list[float]) -> list[float]:
    """Each p times the number of those not smaller, never below a smaller one's."""
    steps = [min(1.0, each * sum(other >= each for other in p)) for each in p]
    return [max(s for s, other in zip(steps, p, strict=True) if other <= each) for each in p]


def survival(data: dict) -> pd.Series:
    """Kaplan-Meier's share at the last time all wells reach, by condition and donor (lifelines)."""
    fates, rows = data["fates"], sheet().set_index("fov")
    found = {}
    for fov, one in fates.groupby("fov"):
        fit = KaplanMeierFitter().fit(one["exit_min"], one["died"])
        found[fov] = float(fit.predict(240.0))
    return rows.assign(value=pd.Series(found)).groupby(["condition", "donor"])["value"].mean()


def test_differences_of_the_primary_outcome_are_the_paired_t_tests_of_donors(plate: dict) -> None:
    values = survival(plate["data"])
    tests = plate["made"]["comparisons"]
    mine = tests[(tests["measure"] == "survival") & (tests["outcome"] == "primary")]
    assert len(mine) == 10  # 5 doses at E:T 1, 4 at E:T 5, and the two untreated with each other
    p = []
    for row in mine.to_dict("records"):
        x, y = values[row["reference"]], values[row["condition"]]
        found = stats.ttest_rel(y, x)
        limits = found.confidence_interval(0.95)
        assert row["difference"] == pytest.approx((y - x).mean())
        assert (row["low"], row["high"]) == pytest.approx((limits.low, limits.high))
        assert row["test"] == "paired t" and row["n_condition"] == 3
        p.append(found.pvalue)
    assert mine["p_holm"].to_numpy() == pytest.approx(holm(p))
    first = mine.iloc[int(np.argmax(mine["difference"].abs()))]
    low, high = shown(first["low"]), shown(first["high"])
    said = f"{first['condition']} against {first['reference']} : survival of CancerCell "
    said += f"{shown(first['mean_condition'])} against {shown(first['mean_reference'])}, "
    said += f"a difference of {shown(first['difference'])} (95 % interval {low} to {high})"
    assert said in plate["text"]
    assert (
        f"p = {shown(first['p_holm'])} after Holm's correction; n = 160 and 160 cells"
        in plate["text"]
    )


def test_each_treated_condition_is_compared_with_the_untreated_of_its_ratio(plate: dict) -> None:
    tests = plate["made"]["comparisons"].query("outcome != 'control'")
    for a, b in tests[["reference", "condition"]].drop_duplicates().to_numpy():
        assert a.split(",")[0] == b.split(",")[0] or {a[-4:], b[-4:]} == {"0 nM"} or "0 nM" in a
        assert a.endswith(" 0 nM")


def test_ec50_of_donors_is_scipy_s_fit_of_their_wells(plate: dict) -> None:
    wells = specific(plate["data"])
    fits = plate["made"]["dose_fits"].query("against == 'dose' and at == 1")

    def model(x, a, b, e, h):
        return a + (b - a) * x**h / (x**h + e**h)

    for replicate, one in (
        plate["made"]["dose_values"].query("against == 'dose' and at == 1").groupby("replicate")
    ):
        row = fits[fits["replicate"] == replicate].iloc[0]
        if np.isnan(row["ec50"]):
            continue
        start = (row["at_zero"] + 1, row["at_infinity"] - 1, row["ec50"] * 1.2, row["hill"])
        found, _ = optimize.curve_fit(model, one["x"], one["value"], start, maxfev=20000)
        assert row["ec50"] == pytest.approx(found[2], rel=0.01)
        own = wells[(wells["replicate"] == replicate) | (wells["donor"] == replicate)]
        assert set(one["value"].round(6)) <= set(
            own.groupby(["et_ratio", "dose"])["killing"].mean().round(6)
        )


def test_figures_are_vectors_that_tell_their_numbers(plate: dict) -> None:
    html = plate["html"]
    assert html.count("<svg") == 5 and "http://" not in html.replace("http://www.w3.org", "")
    titles = re.findall(r"<title>([^<]+)</title>", html)
    assert sum("P1 " in each for each in titles) == 96  # every well of the map
    some = next(each for each in titles if each.startswith("P1 B03, "))
    wells = specific(plate["data"])
    row = wells[wells["well"] == "B03"].iloc[0]
    assert some == f"P1 B03, {row['condition']}: {shown(row['killing'])} %"
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_wells_of_a_donor_are_one_replicate_wherever_n_is_said(plate: dict) -> None:
    rows = re.findall(r"<td>([^<]+)</td><td>8 / (\d+)</td>", plate["html"])  # counts by condition
    assert rows == [(name, "3") for name in sheet()["condition"].unique()]
    assert "(8 fields, 3 replicates)" in plate["text"] and "8 replicates" not in plate["html"]
    values = survival(plate["data"])["E:T 1, 10 nM"]
    cells = sheet().query("condition == 'E:T 1, 10 nM'").groupby("donor").size() * TARGETS
    for donor, value in values.items():
        said = f"E:T 1, 10 nM, {donor}: {shown(value)} share ({cells[donor]} cells, "
        assert f"<title>{said}{cells[donor] // TARGETS} fields)</title>" in plate["html"]


def test_thick_curves_are_means_of_donors(plate: dict) -> None:
    """Donors have two or three wells each: a mean of wells would be another."""
    curves, wells = plate["made"]["killing_curves"], alive(plate["data"])
    live = 100 * wells["end"] / wells["start"]
    donors = live.groupby([wells["condition"], wells["donor"]]).mean()
    drawn = draw_live(curves, sheet()).axes[0].get_lines()
    for condition, mean in donors.groupby("condition").mean().items():
        thick = [one for one in drawn if one.get_label().startswith(f"{condition}  (")]
        assert thick[0].get_ydata()[-1] == pytest.approx(mean)
        assert "(n = 160 targets, 3 replicates)" in thick[0].get_label()


def by_well(data: dict) -> dict[str, pd.Series]:
    """Every measure of each well of the plate, off the targets' fates by other code."""
    wells, fates = sheet().set_index("fov"), data["fates"]
    hours = np.arange(25) / 6
    died = fates["exit_min"].where(fates["died"], np.inf)
    live = pd.DataFrame(
        {fov: [(at < one).mean() for at in 60 * hours] for fov, one in died.groupby(fates["fov"])}
    ).T.reindex(wells.index)
    control = live[wells["et_ratio"] == 0].groupby(wells["donor"]).mean()
    killing = 100 * (1 - live / control.loc[wells["donor"]].set_axis(live.index))
    watched = fates.groupby("fov")["exit_min"].sum() / 60
    kept = {fov: restricted_mean(one) for fov, one in fates.groupby("fov")}
    return {
        "survival": live.iloc[:, -1],
        "restricted_mean_survival": pd.Series(kept),
        "death_rate": fates.groupby("fov")["died"].sum() / watched,
        "live_targets": 100 * live.iloc[:, -1],
        "specific_killing": killing.iloc[:, -1],
        "specific_killing_area": pd.Series(np.trapezoid(killing, hours), killing.index),
    }


def restricted_mean(fates: pd.DataFrame) -> float:
    fit = KaplanMeierFitter().fit(fates["exit_min"], fates["died"])
    return float(restricted_mean_survival_time(fit, t=240.0))


def hedges(change: np.ndarray) -> tuple[float, float, float]:
    """g of paired differences, limits from the noncentral t, integrated over the chi of its root."""
    n = len(change)
    t = stats.ttest_1samp(change, 0).statistic
    factor = special.gamma((n - 1) / 2) / (np.sqrt((n - 1) / 2) * special.gamma((n - 2) / 2))
    chi = np.linspace(0, 12, 6001)
    weight = stats.chi(n - 1).pdf(chi)

    def beyond(nc: float, share: float) -> float:
        below = stats.norm.cdf(t * chi / np.sqrt(n - 1) - nc)
        return float(np.trapezoid(below * weight, chi)) - share

    reach = 10 + 10 * abs(t)
    limits = [optimize.brentq(beyond, -reach, reach, (share,)) for share in (0.975, 0.025)]
    low, high = (factor * each / np.sqrt(n) for each in limits)
    return factor * t / np.sqrt(n), low, high


def test_every_row_of_the_effects_and_their_table(plate: dict) -> None:
    wells, tests = sheet().set_index("fov"), plate["made"]["comparisons"]
    means = {
        name: values.groupby([wells["condition"], wells["donor"]]).mean()
        for name, values in by_well(plate["data"]).items()
    }
    assert set(means) < set(tests["measure"])
    assert (
        tests.loc[~tests["measure"].isin(means), "difference"].isna().all()
    )  # no T cell is tracked
    tests = tests[tests["measure"].isin(means)]
    assert len(tests) > 60
    rows = effect_rows(tests, plate["made"]["replicate_summaries"])
    assert len(rows) == tests["effect_size"].notna().sum()
    forest = rows.set_index("name")
    for (measure, control), mine in tests.groupby(["measure", tests["outcome"] == "control"]):
        p = []
        for row in mine.to_dict("records"):
            x, y = (means[measure][row[side]] for side in ("reference", "condition"))
            change = (y - x).to_numpy()
            found = stats.ttest_1samp(change, 0)
            limits = found.confidence_interval(0.95)
            assert (row["mean_reference"], row["mean_condition"]) == pytest.approx(
                (x.mean(), y.mean())
            )
            assert (row["difference"], row["low"], row["high"]) == pytest.approx(
                (change.mean(), limits.low, limits.high)
            )
            p.append(found.pvalue)
            pair = f"{row['condition']} vs {row['reference']}"
            drawn = forest.loc[f"{measure.replace('_', ' ')}, CancerCell: {pair}"]
            assert (drawn["effect"], drawn["low"], drawn["high"]) == pytest.approx(
                hedges(change), rel=1e-4, abs=1e-4
            )
            said = f"{shown(change.mean())} {row['unit']} ({shown(limits.low)} to "
            assert drawn["text"].startswith(
                f"{said}{shown(limits.high)}); n = 160 and 160 cells of 3"
            )
            if not control:  # the folded table of the page
                cells = f"{shown(x.mean())}", f"{shown(y.mean())}"
                assert f"<td>{cells[1]} / {cells[0]}</td>" in plate["html"]
        assert mine["p_holm"].to_numpy() == pytest.approx(holm(p))


def test_values_of_each_replicate_are_those_of_its_wells(plate: dict) -> None:
    values = plate["made"]["replicate_summaries"]
    mine = by_well(plate["data"])
    wells = sheet().set_index(["condition", "replicate"])["fov"]
    for row in values[values["measure"].isin(mine)].to_dict("records"):
        name = str(row["replicate"]).split()[-1]  # a well's name, its donor's before it
        value = mine[row["measure"]][wells[row["condition"], name]]
        assert row["value"] == pytest.approx(value), (row["measure"], row["replicate"])
