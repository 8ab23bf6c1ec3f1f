"""Contact and death without immortal time: hand-worked cells, closed forms, simulated truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from killing_tables import ROLES, bouts_of, fates_of, killing
from lifelines import CoxPHFitter

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.contact import ContactHazards, ContactSurvival
from cyto_kedro.algorithms.comparison.episodes import episodes, first_contact, spells
from cyto_kedro.core.groups import design
from cyto_kedro.core.watched import watched


def data_of(fates: pd.DataFrame, bouts: pd.DataFrame) -> dict:
    sheet = pd.DataFrame({"fov": sorted(set(fates["fov"]) | {"A"})})
    return {
        "fates": fates,
        "bouts": bouts,
        "design": design(sheet),
        "reference": None,
        "populations": ROLES,
    }


def test_episodes_worked_example() -> None:
    fates = fates_of([0, 2, 0, 5], [10, 9, 4, 8], [True, False, True, False])
    rows, _ = watched(fates)
    bouts = pd.concat(
        [
            # cell 1: effector 1 at 2-3, effector 2 at 3-5, effector 1 again at 8
            bouts_of([1, 1, 1], [2, 3, 8], [3, 5, 8], effector=[1, 2, 1]),
            bouts_of(
                [2, 3, 4], [2, 4, 9], [3, 4, 9]
            ),  # at entry; as it dies; after it was last seen
        ]
    )
    table = episodes(rows, spells(rows, bouts, ROLES, "min"))
    columns = ["start", "stop", "event", "ever_touched", "in_contact", "n_effectors", "n_met"]
    found = {i: t[columns].values.tolist() for i, t in table.groupby("track_id")}
    assert found[1] == [
        [0, 4, False, 0, 0, 0, 0],
        [4, 6, False, 1, 1, 1, 1],
        [6, 8, False, 1, 1, 2, 2],  # a bout lasts until the next frame
        [8, 12, False, 1, 1, 1, 2],
        [12, 16, False, 1, 0, 0, 2],
        [16, 18, False, 1, 1, 1, 2],
        [18, 20, True, 1, 0, 0, 2],
    ]
    assert found[2] == [[4, 8, False, 1, 1, 1, 1], [8, 18, False, 1, 0, 0, 1]]
    # seen in contact and dead in the same frame: nobody knows which came first
    assert found[3] == [[0, 8, True, 0, 0, 0, 0]]
    assert found[4] == [[10, 16, False, 0, 0, 0, 0]]
    longer = episodes(rows, spells(rows, bouts, ROLES, "min", lasting=5))
    assert longer[longer["track_id"] == 1]["in_contact"].tolist()[1:] == [1] * (
        (longer["track_id"] == 1).sum() - 1
    )
    # one effector that comes back while it still counts is one effector
    assert longer[longer["track_id"] == 1]["n_effectors"].max() == 2


def test_a_curve_is_thin_below_the_asked_for_number_and_not_at_it() -> None:
    fates = fates_of([0] * 4, [2, 4, 6, 8], [True] * 4)  # one dies after the other
    made = ContactSurvival(min_at_risk=2, landmarks_min=(1,))(
        data_of(fates, bouts_of([4], [1], [1]))
    )
    found = made["contact_survival"].query("method == 'landmark' and replicate == '(all)'")
    thin = found.groupby("at_risk")["few_at_risk"].agg(["min", "max"])
    assert thin["min"].to_dict() == thin["max"].to_dict() == {1: True, 2: False, 3: False, 4: False}


def test_sides_and_other_pairs() -> None:
    rows, _ = watched(fates_of([0], [9], [False]))
    bouts = bouts_of([1], [3], [4])
    sides = [("population_a", "population_b"), ("track_id_a", "track_id_b")]
    swapped = bouts.rename(columns={**dict(sides), **{b: a for a, b in sides}})
    same = bouts.assign(population_a="CancerCell")
    for table, when in ((bouts, 6), (swapped, 6), (same, np.inf)):
        assert first_contact(rows, spells(rows, table, ROLES, "min")).tolist() == [when]
    assert first_contact(rows, spells(rows, bouts, ROLES, "frames")).tolist() == [3]


def test_simon_makuch_and_landmark_worked_example() -> None:
    # min 0: four cells; contacts of 1 and 2 at 4, of 3 at 12; deaths of 1 at 10, 3 at 16, 4 at 8
    fates = fates_of([0, 0, 0, 0], [5, 10, 8, 4], [True, False, True, True])
    bouts = bouts_of([1, 2, 3], [2, 2, 6], [3, 3, 6])
    args = {"min_at_risk": 2, "landmarks_min": (6.0,)}
    table = ContactSurvival(**args)(data_of(fates, bouts))["contact_survival"]
    schemas.check(schemas.ContactSurvival, table)
    table = table[table["replicate"] == "(all)"]

    def curve(method: str, group: str) -> list[list[float]]:
        mine = table[(table["method"] == method) & (table["group"] == group)]
        return mine[["time_min", "at_risk", "events", "estimate"]].values.tolist()

    # both groups have two cells from minute 4 on
    assert curve("simon_makuch", "not_touched") == [
        [4, 2, 0, 1.0],
        [8, 2, 1, 0.5],
        [12, 1, 0, 0.5],  # cell 3 changes groups
    ]
    assert curve("simon_makuch", "touched") == [
        [4, 2, 0, 1.0],
        [10, 2, 1, 0.5],
        [12, 1, 0, 0.5],  # cell 3 enters, at risk from then on
        [16, 2, 1, 0.25],
        [20, 1, 0, 0.25],
    ]
    # at minute 6: touched 1 and 2; 3 stays in its group whatever happens later
    assert curve("landmark", "not_touched") == [[6, 2, 0, 1.0], [8, 2, 1, 0.5], [16, 1, 1, 0.0]]
    assert curve("landmark", "touched") == [[6, 2, 0, 1.0], [10, 2, 1, 0.5], [20, 1, 0, 0.5]]
    assert set(table["landmark_min"]) == {4.0, 6.0} and table["landmark_frames"].isna().all()


def test_immortal_time_fools_the_naive_comparison_and_not_ours() -> None:
    """Contact does nothing here. Ever-touched cells live longer: they had to, to be touched."""
    assay = killing(1, hazard_ratio=1.0, n_replicates=6, n_cells=200, frailty_sd=0.0)
    rows, _ = watched(assay["fates"])
    contact = first_contact(rows, spells(rows, assay["bouts"], ROLES, "min"))
    naive = pd.DataFrame(
        {
            "time": rows["leave"] - rows["entry"],
            "event": rows["event"],
            "touched": (contact < rows["leave"]).astype(float),
        }
    )
    wrong = CoxPHFitter().fit(naive, "time", "event").summary.loc["touched"]
    assert wrong["exp(coef)"] < 0.6 and wrong["p"] < 1e-6

    found = ContactHazards()(assay)["hazards"].iloc[0]
    assert found["model"] == "contact" and found["low"] < 1 < found["high"]
    assert 0.8 < found["hazard_ratio"] < 1.25

    curves = ContactSurvival()(assay)["contact_survival"]
    curves = curves[(curves["replicate"] == "(all)") & (curves["time_min"] <= 200)]
    for _, one in curves.groupby(["method", "landmark_min"]):
        last = one.groupby("group").last()
        assert abs(last.loc["touched", "estimate"] - last.loc["not_touched", "estimate"]) < 0.09


def test_curves_of_a_known_hazard_are_exponential() -> None:
    """Once touched, a cell's hazard is constant, whenever that was: S = exp(-rate (t - begin))."""
    assay = killing(2, hazard_ratio=3.0, n_replicates=8, n_cells=250, frailty_sd=0.0)
    table = ContactSurvival(min_at_risk=100)(assay)["contact_survival"]
    mine = table[(table["method"] == "simon_makuch") & (table["replicate"] == "(all)")]
    for group, rate in (("touched", 0.012), ("not_touched", 0.004)):
        one = mine[(mine["group"] == group) & (mine["time_min"] <= 150)]
        want = np.exp(-rate * (one["time_min"] - one["landmark_min"]))
        assert np.abs(one["estimate"] - want).max() < 0.04
    # of those at the landmark only the touched keep one hazard
    one = table[
        (table["method"] == "landmark")
        & (table["replicate"] == "(all)")
        & (table["group"] == "touched")
        & (table["landmark_min"] == 60)
    ]
    want = np.exp(-0.012 * (one["time_min"] - 60))
    assert len(one) > 20 and np.abs(one["estimate"] - want).max() < 0.06


@pytest.mark.slow
def test_known_hazard_ratios_are_within_the_limits() -> None:
    """At least 90 % of 40 assays of 4 + 4 wells that differ; cells taken as independent do not."""
    inside, naive = [], []
    for seed in range(40):
        assay = killing(
            seed, 3.0, {"control": 1.0, "treated": 2.0}, n_replicates=4, n_cells=40, n_frames=180
        )
        table = ContactHazards()(assay)["hazards"].set_index(["model", "condition", "term"])
        for key, ratio in (
            (("contact", "(all)", "ever_touched"), 3.0),
            (("contact", "control", "ever_touched"), 3.0),
            (("condition + contact", "(all)", "treated"), 2.0),
        ):
            row = table.loc[key]
            inside.append((key[-1], row["low"] <= ratio <= row["high"]))
            off = abs(row["coefficient"] - np.log(ratio))
            naive.append((key[-1], off <= 1.96 * row["se_model"]))
    covered = pd.DataFrame(inside).groupby(0)[1].mean()
    assert (covered >= 0.9).all(), covered
    assert pd.DataFrame(naive).groupby(0)[1].mean()["treated"] < 0.8


def test_models_references_and_clusters() -> None:
    assay = killing(3, 2.0, {"none": 1.0, "low": 1.5, "high": 3.0}, n_replicates=3, n_cells=30)
    assay["reference"] = "low"
    args = {"terms": ("in_contact", "n_met"), "lasting_min": 20.0}
    table = ContactHazards(**args)(assay)["hazards"]
    schemas.check(schemas.Hazards, table)
    contact = table[table["model"] == "contact"]
    assert contact["condition"].unique().tolist() == ["none", "low", "high", "(all)"]
    assert contact["n_clusters"].tolist() == [3] * 6 + [9] * 2
    assert contact["df"].tolist() == [2] * 6 + [8] * 2
    between = table[table["model"] == "condition"]
    assert between["term"].tolist() == ["none", "high"]
    assert (between["reference"] == "low").all() and (between["df"] == 6).all()
    assert between["hazard_ratio"].iloc[0] < 1 < between["hazard_ratio"].iloc[1]
    both = table[table["model"] == "condition + contact"]
    assert both["term"].tolist() == ["none", "high", "in_contact", "n_met"]
    assert (table["n_cells"] <= 270).all() and (table["note"] == "").all()


@pytest.mark.parametrize(
    "name",
    [
        *("stop", "start", "event", "cluster", "condition", "stratum", "ever_touched", "(a) [b]"),
        *("condition[0]", "x0", "entry", "fov", "\\1"),
    ],
)
def test_a_condition_may_have_any_name(name: str) -> None:
    """User text is never the name of a work table's column: the numbers are those of any other."""

    def hazards(drug: str) -> pd.DataFrame:
        assay = killing(1, 2.0, {"vehicle": 1.0, drug: 2.0}, n_replicates=2, n_cells=15)
        found = ContactHazards()(assay)["hazards"]
        schemas.check(schemas.Hazards, found)
        return found

    plain, named = hazards("drug"), hazards(name)
    for column in ("condition", "term", "reference"):
        plain[column] = plain[column].replace("drug", name)
    pd.testing.assert_frame_equal(
        named.drop(columns="note"), plain.drop(columns="note"), check_exact=False
    )
    assert (named["note"] == plain["note"].str.replace("drug", name, regex=False)).all()


def test_a_condition_in_which_nobody_dies_does_not_void_the_others() -> None:
    assay = killing(2, 2.0, {"vehicle": 1.0, "drug": 2.0, "inert": 1.0}, 3, 30)
    spared = assay["fates"]["fov"].str.startswith("inert")
    fates = assay["fates"].assign(died=assay["fates"]["died"] & ~spared)
    fates["death_frame"] = fates["death_frame"].mask(spared)
    with_it = ContactHazards()(assay | {"fates": fates})["hazards"]
    schemas.check(schemas.Hazards, with_it)
    kept = ~assay["design"]["condition"].eq("inert")
    without = ContactHazards()(
        assay | {"fates": fates[~spared], "design": assay["design"][kept].reset_index(drop=True)}
    )["hazards"]
    for model in ("condition", "condition + contact"):
        rows = with_it[with_it["model"] == model]
        alone = rows[rows["term"] == "inert"]
        assert alone["hazard_ratio"].isna().all() and len(alone) == 1
        assert alone["note"].str.contains("no death where inert is 1").all()
        others = rows[rows["term"] != "inert"].reset_index(drop=True)
        expected = without[without["model"] == model].reset_index(drop=True)
        pd.testing.assert_frame_equal(others, expected)
        assert others["hazard_ratio"].notna().all()


def test_a_reference_in_which_nobody_dies_is_named_and_leaves_contact_as_it_is() -> None:
    assay = killing(2, 2.0, {"vehicle": 1.0, "drug": 2.0, "inert": 1.0}, 3, 30)
    spared = assay["fates"]["fov"].str.startswith("inert")
    fates = assay["fates"].assign(died=assay["fates"]["died"] & ~spared)
    fates["death_frame"] = fates["death_frame"].mask(spared)
    table = ContactHazards()(assay | {"fates": fates, "reference": "inert"})["hazards"]
    rows = table[(table["model"] == "condition") & (table["population"] == "CancerCell")]
    assert rows["hazard_ratio"].isna().all() and rows["term"].tolist() == ["vehicle", "drug"]
    assert rows["note"].str.startswith("no death in the reference inert").all()
    both = table[table["model"] == "condition + contact"].set_index("term")
    # who never dies says nothing of how contact and death go together where they do
    kept = assay["design"][~assay["design"]["condition"].eq("inert")]
    without = ContactHazards()(
        assay | {"fates": fates[~spared], "reference": "vehicle", "design": kept}
    )["hazards"]
    usual = without[without["model"] == "condition + contact"].set_index("term")
    same = pytest.approx(usual.loc["ever_touched", "hazard_ratio"])
    assert both.loc["ever_touched", "hazard_ratio"] == same


def test_a_field_without_times_does_not_put_the_others_in_frames() -> None:
    timed, untimed = fates_of([0, 0], [5, 9], [True, False]), fates_of([0], [3], [True], "B")
    untimed = untimed.assign(entry_min=np.nan, exit_min=np.nan)
    rows, unit = watched(pd.concat([timed, untimed], ignore_index=True))
    assert unit == "min" and rows["fov"].tolist() == ["A", "A"]
    assert rows["leave"].tolist() == [10.0, 18.0]


def test_a_death_at_the_moment_of_first_contact_is_in_one_curve_only() -> None:
    """Nobody knows which came first: it belongs to the time before contact, and to that alone."""
    fates = fates_of([0, 0, 0, 0], [4, 4, 9, 9], [True, False, True, False])
    bouts = bouts_of([1, 2, 3], [4, 4, 2], [6, 6, 3], effector=[1, 2, 3])
    table = ContactSurvival(min_at_risk=1)(data_of(fates, bouts))["contact_survival"]
    whole = table[(table["method"] == "simon_makuch") & (table["replicate"] == "(all)")]
    whole = whole[whole["kind"] == "survival"] if "kind" in whole else whole
    events = whole.groupby(["group", "time_min"])["events"].sum()
    assert events["not_touched", 8.0] == 1
    assert events.get(("touched", 8.0), 0) == 0 and events["touched", 18.0] == 1
    assert events.sum() == 2


def test_nothing_to_compare() -> None:
    nobody = data_of(schemas.empty(schemas.Fates), schemas.empty(schemas.Bouts))
    curves, hazards = ContactSurvival()(nobody), ContactHazards()(nobody)
    assert [*schemas.dtypes(schemas.Hazards)] == [*hazards["hazards"].columns]
    assert hazards["hazards"].empty and curves["contact_survival"].empty
    schemas.check(schemas.ContactSurvival, curves["contact_survival"])
    one = data_of(fates_of([0], [9], [False]), schemas.empty(schemas.Bouts))
    table = ContactHazards()(one)["hazards"]
    assert table["note"].tolist() == ["no death observed"] and table["hazard_ratio"].isna().all()
    table = ContactSurvival()(one)["contact_survival"]
    assert set(table["group"]) == {"not_touched"} and set(table["method"]) == {"landmark"}


def test_without_times_everything_is_in_frames() -> None:
    untimed = killing(4, 2.0, n_replicates=2, n_cells=30)
    timed = ContactSurvival()(untimed)["contact_survival"]
    untimed["fates"] = untimed["fates"].assign(entry_min=np.nan, exit_min=np.nan)
    untimed["bouts"] = untimed["bouts"].assign(start_min=np.nan, duration_min=np.nan)
    table = ContactSurvival()(untimed)["contact_survival"]
    assert table["time_min"].isna().all() and table["landmark_min"].isna().all()
    # a frame is a minute in these tables
    assert table["time_frames"].tolist() == timed["time_min"].tolist()
    assert table["estimate"].tolist() == timed["estimate"].tolist()


def test_bouts_of_one_effector_that_meet_are_one_spell() -> None:
    """One ends when the other begins: nothing changes in between."""
    bouts = {"population_a": "T", "track_id_a": 1, "population_b": "C", "track_id_b": 1}
    bouts |= {"fov": "A", "start_min": [0.0, 2, 5], "duration_min": 2.0}
    rows = pd.DataFrame({"fov": ["A"], "population": "C", "track_id": 1})
    roles = {"T": "effector", "C": "target"}
    found = spells(rows, schemas.filled(schemas.Bouts, bouts), roles, "min")
    assert found[["start", "stop", "first"]].values.tolist() == [[0, 4, True], [5, 7, False]]
