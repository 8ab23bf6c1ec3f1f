"""Replicates' values by hand, tests against published ones and by simulation."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from killing_tables import ROLES, bouts_of, fates_of, killing

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.design import reference_of
from cyto_kedro.algorithms.comparison.replicates import ReplicateValues
from cyto_kedro.algorithms.comparison.testing import (
    ReplicateTests,
    holm,
    noncentrality,
    two_samples,
)
from cyto_kedro.core.groups import design
from cyto_kedro.core.watched import bouts_until
from cyto_kedro.errors import ConfigError, InputError

# Student (1908), extra hours of sleep under two drugs; as R's data set `sleep`
DRUG_1 = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
DRUG_2 = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def summaries(values: dict[str, dict[str, float]], measure: str = "speed") -> pd.DataFrame:
    """`schemas.ReplicateSummaries` from {condition: {replicate: value}}."""
    rows = [
        {"condition": condition, "replicate": replicate, "cluster": replicate, "value": value}
        for condition, each in values.items()
        for replicate, value in each.items()
    ]
    fixed = {"population": "TCell", "measure": measure, "unit": "µm/min", "statistic": "mean"}
    counts = {"n_fovs": 1, "n_cells": 9}
    table = pd.DataFrame(rows).assign(**fixed, **counts)
    nulls = dict.fromkeys(("mean", "median", "sd", "q25", "q75"), np.nan)
    return schemas.conform(schemas.ReplicateSummaries, table.assign(**nulls))


def compared(table: pd.DataFrame, reference: str | None = None, paired: bool | None = None, **args):
    sheet = table[["condition", "replicate"]].assign(fov=np.arange(len(table)).astype(str))
    data = {
        "replicate_summaries": table,
        "design": design(sheet),
        "reference": reference,
        "paired": paired,
    }
    found = ReplicateTests(**args)(data)["comparisons"]
    return schemas.check(schemas.Comparisons, found)


def test_student_1908_published() -> None:
    paired = two_samples(DRUG_1, DRUG_2, paired=True)
    assert paired["test"] == "paired t"
    assert paired["p"] == pytest.approx(0.002833, abs=1e-6)
    limits = (0.7001142, 2.4598858)
    assert (paired["low"], paired["high"]) == pytest.approx(limits, abs=1e-6)
    welch = two_samples(DRUG_1, DRUG_2, paired=False)
    assert welch["test"] == "Welch t" and welch["difference"] == pytest.approx(1.58)
    assert welch["p"] == pytest.approx(0.07939, abs=1e-5)
    assert (welch["low"], welch["high"]) == pytest.approx((-0.2054832, 3.3654832), abs=1e-6)
    student = two_samples(DRUG_1, DRUG_2, paired=False, test="student")
    assert student["p"] == pytest.approx(0.07919, abs=1e-5)
    # Cohen's d of these data is 0.832, Hedges' factor with 18 degrees 0.9576
    assert welch["effect_size"] == pytest.approx(0.832181 * 0.957646, abs=1e-4)


def test_permutation_is_every_relabelling() -> None:
    x, y = np.array([1.0, 2.0, 4.0]), np.array([3.0, 5.5, 7.0])
    both, seen = np.concatenate([x, y]), y.mean() - x.mean()
    all_ = [both[[*c]].mean() - np.delete(both, [*c]).mean() for c in combinations(range(6), 3)]
    found = two_samples(x, y, paired=False, test="permutation")
    assert (
        found["p"] == found["p_permutation"] == pytest.approx((np.abs(all_) >= seen - 1e-9).mean())
    )
    assert found["smallest_p"] == pytest.approx(2 / 20) and found["test"] == "permutation"
    signs = [np.mean((y - x) * s) for s in product((1, -1), repeat=3)]
    found = two_samples(x, y, paired=True)
    want = (np.abs(signs) >= np.mean(y - x) - 1e-9).mean()
    assert found["p_permutation"] == pytest.approx(want) == found["smallest_p"] == 0.25


@pytest.mark.parametrize(
    ("paired", "name"), [(True, "Wilcoxon signed-rank"), (False, "Mann-Whitney")]
)
def test_ranks(paired: bool, name: str) -> None:
    found = two_samples(np.arange(4.0), np.arange(4.0) ** 2 + 10, paired, test="wilcoxon")
    assert found["test"] == name
    # all four larger: 2 / 2^4, and 2 / C(8, 4)
    assert found["p"] == pytest.approx(2 / 16 if paired else 2 / 70)


def test_limits_of_the_effect_size_by_simulation() -> None:
    """From the lower limit's noncentrality a t as large as the observed comes in 2.5 % of draws."""
    rng = np.random.default_rng(0)
    low, high = noncentrality(2.5, 6)
    root = np.sqrt(rng.chisquare(6, 400_000) / 6)
    normal = rng.standard_normal(400_000)
    assert ((normal + low) / root > 2.5).mean() == pytest.approx(0.025, abs=0.001)
    assert ((normal + high) / root < 2.5).mean() == pytest.approx(0.025, abs=0.001)


@pytest.mark.parametrize("df", [1, 2, 4, 30])
def test_limits_of_the_effect_size_exist_and_are_mirrored(df: int) -> None:
    for t in (0.0, 0.3, 1.0, 5.0, 9.0, 12.0, 40.0):
        low, high = noncentrality(t, df)
        assert low < t < high
        assert noncentrality(-t, df) == pytest.approx((-high, -low), abs=1e-6)


def test_limits_of_the_difference_hold_what_they_promise() -> None:
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(300):
        day = rng.normal(0, 3, 4)
        x, y = day + rng.normal(0, 1, 4), day + 2 + rng.normal(0, 1, 4)
        rows = [two_samples(x, y, paired=True, permutations=99)]
        rows.append(two_samples(rng.normal(0, 1, 4), rng.normal(2, 3, 4), False, permutations=99))
        inside.append([row["low"] <= 2 <= row["high"] for row in rows])
    assert (np.mean(inside, axis=0) >= 0.92).all()


def test_holm_published_example() -> None:
    # Holm's steps for 0.01, 0.04, 0.03, 0.005; nulls do not count
    found = holm(np.array([0.01, 0.04, np.nan, 0.03, 0.005]))
    assert found.tolist() == pytest.approx([0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True)


def test_no_p_without_replicates_and_why() -> None:
    table = compared(summaries({"a": {"1": 1.0}, "b": {"2": 2.0, "3": 2.5}}))
    row = table.iloc[0]
    assert row["difference"] == 1.25 and row[["p", "p_holm", "low"]].isna().all()
    assert row["note"].startswith("1 and 2 replicates where each condition needs two: no p-value")
    values = {"a": {"1": 1.0, "2": 1.0}, "b": {"1": 1.0, "2": 1.0}, "c": {"1": 1.0, "2": 2.0}}
    same = compared(summaries(values)).iloc[0]
    assert np.isnan(same["p"]) and "no spread" in same["note"] and same["paired"]


def test_a_measure_that_is_one_value_everywhere_is_no_row() -> None:
    constant = summaries({"a": {"1": 1.0, "2": 1.0}, "b": {"1": 1.0, "2": 1.0}})
    assert compared(constant).empty
    unknown = summaries({"a": {"1": np.nan, "2": 1.0}, "b": {"1": 1.0, "2": 1.0}})
    assert len(compared(unknown)) == 1  # what is not known may differ


def test_the_primary_outcome_is_of_targets_and_controls_stand_apart() -> None:
    values = {
        "alone": {"1": 9.0, "2": 9.5, "3": 9.9},
        "untreated": {"1": 1.0, "2": 2.0, "3": 3.2},
        "low": {"1": 1.5, "2": 2.4, "3": 3.6},
        "high": {"1": 4.0, "2": 4.9, "3": 7.0},
    }
    parts = [summaries(values, "survival").assign(population=name) for name in ("TCell", "Raji")]
    table = pd.concat([*parts, summaries(values, "straightness").assign(population="TCell")])
    sheet = pd.DataFrame({"fov": list("abcd"), "condition": list(values)})
    sheet = sheet.assign(et_ratio=[0.0, 1, 1, 1], dose=[0.0, 0, 1, 2], control=False)
    groups = design(sheet)
    assert reference_of(groups, None) == "untreated"
    roles = {"TCell": "effector", "Raji": "target"}
    given = {"design": groups, "populations": roles, "primary": ("survival",)}
    found = ReplicateTests()(given, replicate_summaries=table)["comparisons"]
    schemas.check(schemas.Comparisons, found)
    apart = found["reference"].eq("alone") | found["condition"].eq("alone")
    asked = found["measure"].eq("survival") & found["population"].eq("Raji") & ~apart
    assert found["outcome"].eq("control").tolist() == apart.tolist()
    assert found["outcome"].eq("primary").tolist() == asked.tolist()
    # three pairs of a measure are one family, those with the control are another
    mine = found[asked]
    assert len(mine) == 3 and mine["p_holm"].tolist() == holm(mine["p"].to_numpy()).tolist()
    with pytest.raises(
        ConfigError, match=r"comparison.primary: unknown measure 'survivl'.*survival"
    ):
        ReplicateTests()({**given, "primary": ("survivl",)}, replicate_summaries=table)
    # without deaths there is no survival, and nothing to refuse
    ReplicateTests()(given, replicate_summaries=schemas.empty(schemas.ReplicateSummaries))


def test_an_effector_free_control_is_no_reference_for_a_drug() -> None:
    sheet = pd.DataFrame({"fov": list("abc"), "condition": ["alone", "low", "high"]})
    sheet = sheet.assign(et_ratio=[0.0, 1, 1], control=[True, False, False])
    assert reference_of(design(sheet), None) is None
    assert reference_of(design(sheet[:2]), None) == "alone"  # all there is to compare with
    assert reference_of(design(sheet), "alone") == "alone"


def test_pairs_families_and_the_reference() -> None:
    values = {
        "control": {"1": 1.0, "2": 2.0, "3": 3.0},
        "low": {"1": 1.5, "2": 2.4, "3": 3.6},
        "high": {"4": 9.0, "5": 11.0, "6": np.nan},
    }
    table = compared(summaries(values), reference="control")
    assert table[["reference", "condition"]].values.tolist() == [
        ["control", "low"],
        ["control", "high"],
    ]
    assert table["paired"].tolist() == [True, False]
    assert table["n_condition"].tolist() == [3, 2]
    assert "1 replicate without a value" in table.loc[1, "note"]
    assert table["p_holm"].tolist() == holm(table["p"].to_numpy()).tolist()
    assert compared(summaries(values), "control", paired=False)["paired"].tolist() == [False] * 2
    every = compared(
        pd.concat([summaries(values), summaries(values, "straightness")]), correct_over="all"
    )
    assert len(every) == 6 and every["reference"].iloc[0] == "control"
    all_, each = (
        every["p_holm"],
        compared(
            pd.concat([summaries(values), summaries(values, "straightness")]),
            correct_over="measure",
        )["p_holm"],
    )
    assert all_.min() == pytest.approx(6 * every["p"].min())
    assert each.min() == pytest.approx(3 * every["p"].min())
    none = compared(summaries({"a": {"1": 1, "2": 2}, "b": {"3": 1, "4": 3}}), paired=True).iloc[0]
    assert none["n_reference"] == 0 and "partner" in none["note"] and np.isnan(none["p"])


def test_design_reads_the_sheet() -> None:
    fields = pd.DataFrame(
        {
            "fov": ["A", "B", "C"],
            "condition": ["x", "", "x"],
            "replicate": ["1", None, "1"],
            "control": [True, False, True],
            "dose": [1.0, 2.0, np.nan],
        }
    )
    table = design(fields)
    assert table["condition"].tolist() == ["x", "(no condition)", "x"]
    assert table["replicate"].tolist() == ["1", "B", "1"]
    assert reference_of(table, None) == "x"
    assert reference_of(table.assign(control=True), None) is None
    assert design(fields, paired=False)["cluster"].tolist() == ["x/1", "(no condition)/B", "x/1"]
    assert design(fields, condition="dose")["condition"].tolist() == [
        "1",
        "2",
        "(no condition)",
    ]
    with pytest.raises(ConfigError, match=r"comparison.replicate: unknown column .* 'doner'"):
        design(fields, replicate="doner")
    with pytest.raises(ConfigError, match=r"comparison.reference: unknown condition 'y'"):
        reference_of(table, "y")


def assay() -> dict:
    """Two wells, a frame is 2 min; well A: effector 1 in view for 10 frames, one kill."""
    fates = pd.concat(
        [
            fates_of([0, 0, 2], [5, 9, 9], [True, False, False], "A"),
            fates_of([0, 1], [9, 9], [False, False], "B"),
        ]
    )
    motility = pd.DataFrame(
        {
            "fov": ["A", "A", "A", "B"],
            "population": "TCell",
            "track_id": [1, 2, 3, 1],
            "n_points": 10,
            "duration_frames": 9,
            "duration_min": 18.0,
            "path_length_px": 1.0,
            "path_length_um": 1.0,
            "net_displacement_px": 1.0,
            "net_displacement_um": 1.0,
            "straightness": [0.2, 0.4, 0.9, 0.5],
            "mean_speed_px_per_frame": [4.0, 6.0, np.nan, 8.0],
            "mean_speed_um_per_min": [1.0, 1.5, np.nan, 2.0],
            "arrest_coefficient": 0.0,
        }
    )
    kills = schemas.empty(schemas.Kills)
    kills.loc[0, ["fov", "effector_population", "share"]] = ["A", "TCell", 1.0]
    frames = pd.DataFrame(
        {"fov": np.repeat(["A", "B"], 10), "frame": [*range(10)] * 2, "excluded": False}
    )
    frames["time_s"] = frames["frame"] * 120.0
    points = frames[["fov", "frame"]].assign(population="TCell", track_id=1)
    sheet = pd.DataFrame(
        {"fov": ["A", "B"], "condition": ["x", "y"], "replicate": ["1", "2"], "pixel_size_um": 0.5}
    )
    return {
        "fields": sheet,
        "frames": frames,
        "fates": fates,
        "motility": motility,
        "bouts": bouts_of([1, 2, 3], [2, 4, 4], [3, 4, 5], "A"),
        "kills": kills,
        "track_points": points,
        "design": design(sheet),
        "populations": ROLES,
    }


def test_values_by_hand() -> None:
    table = ReplicateValues()(assay())["replicate_summaries"]
    schemas.check(schemas.ReplicateSummaries, table)
    found = table.set_index(["measure", "condition"])
    speed = found.loc[("mean_speed", "x")]
    assert (speed["unit"], speed["n_cells"], speed["value"]) == ("µm/min", 2, 1.25)
    assert speed[["median", "q25"]].tolist() == [1.25, 1.125]
    assert speed["sd"] == pytest.approx(np.sqrt(0.125))
    # A: one of three dies at minute 10, watched 10 + 18 + 14; from minute 2, when B's last begins...
    assert found.loc[("survival", "x"), "value"] == pytest.approx(2 / 3)
    assert found.loc[("survival", "y"), "value"] == 1
    assert found.loc[("survival", "x"), "statistic"] == "Kaplan-Meier, from 0 to 18 min"
    assert found.loc[("restricted_mean_survival", "x"), "value"] == pytest.approx(10 + 8 * 2 / 3)
    assert found.loc[("death_rate", "x"), "value"] == pytest.approx(60 / 42)
    # touched at 4, 8 and 8 (entered at 4); B is never touched
    assert found.loc[("first_contact_rate", "x"), "value"] == pytest.approx(3 / (16 / 60))
    assert found.loc[("first_contact_rate", "y"), "value"] == 0
    # bouts of 4, 2 and 4 minutes
    assert found.loc[("contact_duration", "x"), "value"] == 4
    assert ("contact_duration", "y") not in found.index
    # 18 minutes of one effector
    assert found.loc[("kills_per_effector_per_hour", "x"), "value"] == pytest.approx(60 / 18)
    assert found.loc[("kills_per_effector_per_hour", "x"), "n_cells"] == 3
    median = ReplicateValues(cell_statistic="median", motility=("straightness",))(assay())
    median = median["replicate_summaries"].set_index(["measure", "condition"])["value"]
    assert median[("straightness", "x")] == 0.4


@pytest.mark.parametrize("timed", [True, False])
def test_films_of_different_length_are_compared_over_the_time_that_both_have(timed: bool) -> None:
    """B ends with frame 4, A with frame 9: bouts in A's later frames take no part, by hand."""
    data = assay()
    data["frames"] = data["frames"][(data["frames"]["fov"] == "A") | (data["frames"]["frame"] <= 4)]
    # of 3 frames; of 2 of its 6; one that ends with frame 4, seen to end in 5; after the end
    data["bouts"] = bouts_of([1, 2, 3, 3], [0, 3, 4, 7], [2, 8, 4, 8], "A")
    if not timed:
        data["frames"] = data["frames"].assign(time_s=np.nan)
        data["fates"] = data["fates"].assign(entry_min=np.nan, exit_min=np.nan)
        data["bouts"] = data["bouts"].assign(start_min=np.nan, duration_min=np.nan)
    end, unit = (8.0, "min") if timed else (4.0, "frames")
    cut = bouts_until(data["bouts"], end, unit, data["frames"])
    assert cut["n_frames"].tolist() == [3, 2, 1]
    assert cut["censored_end"].tolist() == [False, True, True]
    if timed:
        assert cut["duration_min"].tolist() == [6.0, 4.0, 2.0]
    table = ReplicateValues()(data)["replicate_summaries"].set_index(["measure", "condition"])
    contact = table.loc[("contact_duration", "x")]
    assert (contact["value"], contact["n_cells"]) == (6.0 if timed else 3.0, 3)
    assert f"to {end:g} {unit}, which all replicates reach" in contact["statistic"]
    speed = table.loc["mean_speed", "statistic"]
    assert speed.str.contains("whole films, which differ in length").all()
    tests = ReplicateTests()(replicate_summaries=table.reset_index(), design=data["design"])
    notes = tests["comparisons"].set_index("measure")["note"]
    said = f"over whole films, which differ in length (the shortest to {end:g} {unit})"
    assert notes["mean_speed"].startswith(said) and "whole" not in notes["first_contact_rate"]
    even = ReplicateValues()(assay())["replicate_summaries"]
    assert not even["statistic"].str.contains("whole films|all replicates reach").any()


def test_who_is_touched_as_it_comes_into_view_has_no_first_contact() -> None:
    """The third comes into view at minute 4, in contact: no time untouched, and no contact to count."""
    data = assay() | {"bouts": bouts_of([1, 2, 3], [2, 4, 2], [3, 4, 5], "A")}
    table = ReplicateValues()(data)["replicate_summaries"].set_index(["measure", "condition"])
    assert table.loc[("first_contact_rate", "x"), "value"] == pytest.approx(2 / ((4 + 8) / 60))


def test_horizon_and_uncalibrated_films() -> None:
    late = ReplicateValues(horizon_min=30)(assay())["replicate_summaries"]
    late = late.set_index(["measure", "condition"])["value"]
    assert late[["survival", "restricted_mean_survival"]].isna().all()
    data = assay()
    um = [name for name in data["motility"] if "_um" in name or "_min" in name]
    data["motility"] = data["motility"].assign(**dict.fromkeys(um, np.nan))
    data["frames"] = data["frames"].assign(time_s=np.nan)
    data["fates"] = data["fates"].assign(entry_min=np.nan, exit_min=np.nan)
    data["bouts"] = data["bouts"].assign(start_min=np.nan, duration_min=np.nan)
    table = ReplicateValues()(data)["replicate_summaries"].set_index(["measure", "condition"])
    assert table.loc[("mean_speed", "x"), ["unit", "value"]].tolist() == ["px/frame", 5.0]
    assert table.loc[("death_rate", "x"), ["unit", "value"]].tolist() == ["per frame", 1 / 21]
    assert "kills_per_effector_per_hour" not in table.index.get_level_values(0)
    with pytest.raises(ConfigError, match=r"motility: unknown column 'sped_um'"):
        ReplicateValues(motility=("sped_um",))(assay())


def test_a_replicate_that_dies_out_shortens_nobody_s_span() -> None:
    """All of B's targets are dead by 8 min, half of A's by 120: both are read at the films' end."""
    fates = pd.DataFrame({"track_id": [1, 2, 1, 2], "fov": ["A1", "A1", "B1", "B1"]}).assign(
        population="CancerCell", dead_at_first_sight=False, died=[True, False, True, True],
        entry_min=0.0, exit_min=[60.0, 120.0, 4.0, 8.0], death_frame=4, end_reason="film_end",
    )  # fmt: skip
    frames = pd.DataFrame({"fov": ["A1", "B1"], "frame": 60, "time_s": 7200.0, "excluded": False})
    groups = pd.DataFrame({"fov": ["A1", "B1"], "condition": ["slow", "fast"]})
    groups = groups.assign(replicate=["a", "b"], cluster=["a", "b"], control=False)
    names = ("motility", "bouts", "track_points", "kills")
    data = {name: schemas.empty(schemas.TABLES[name]) for name in names}
    data |= {"fates": fates, "frames": frames, "design": groups, "populations": ROLES}
    found = ReplicateValues()(data)["replicate_summaries"]
    survival = found[found["measure"] == "survival"].set_index("condition")
    assert survival["value"].to_dict() == {"slow": 0.5, "fast": 0.0}
    assert survival["statistic"].str.contains("to 120 min").all()


def test_a_field_without_times_has_no_part_in_the_rate_of_kills() -> None:
    frames = pd.DataFrame({"fov": ["A1", "A1", "A2"], "frame": [0, 1, 0]})
    frames = frames.assign(time_s=[0.0, 3600.0, np.nan], excluded=False)
    points = pd.DataFrame({"fov": ["A1", "A1", "A2"], "frame": [0, 1, 0]})
    points = points.assign(population="TCell", track_id=1)
    kills = pd.DataFrame({"fov": ["A1", "A2"], "share": 1.0, "effector_population": "TCell"})
    kills = kills.assign(effector_track_id=1, target_population="CancerCell", target_track_id=1)
    groups = pd.DataFrame({"fov": ["A1", "A2"], "condition": "x", "replicate": "a", "cluster": "a"})
    data = {n: schemas.empty(schemas.TABLES[n]) for n in ("motility", "bouts", "fates")}
    data |= {"track_points": points, "frames": frames, "design": groups, "kills": kills}
    found = ReplicateValues()(data | {"populations": ROLES})["replicate_summaries"]
    rate = found[found["measure"] == "kills_per_effector_per_hour"]
    assert rate["value"].tolist() == [1.0] and rate["n_fovs"].tolist() == [1]


def test_no_cells_and_a_field_without_row() -> None:
    data = assay()
    for name in ("fates", "motility", "bouts", "kills"):
        data[name] = schemas.empty(schemas.TABLES[name])
    data["track_points"] = schemas.empty(schemas.TrackPoints)
    table = ReplicateValues()(data)["replicate_summaries"]
    assert set(table["measure"]) == {"kills_per_effector_per_hour"} and table["value"].isna().all()
    nothing = ReplicateTests()(
        data | {"replicate_summaries": table, "reference": None, "paired": None}
    )
    assert nothing["comparisons"]["note"].str.contains("no p-value").all()
    with pytest.raises(InputError, match="field 'A' has no row"):
        ReplicateValues()(assay() | {"design": data["design"].iloc[1:]})


def test_pooled_cells_would_find_what_is_not_there() -> None:
    """Wells differ, conditions do not: of 25 assays few are called different, by replicate."""
    called = []
    for seed in range(25):
        made = killing(seed, 1.0, {"a": 1.0, "b": 1.0}, n_replicates=3, n_cells=40, frailty_sd=0.6)
        rows = made["fates"].groupby("fov").agg(died=("died", "sum"), time=("exit_min", "sum"))
        values = {name: {} for name in "ab"}
        for fov, row in rows.iterrows():
            values[fov[0]][fov] = row["died"] / row["time"]
        called.append(compared(summaries(values))["p"].iloc[0] < 0.05)
    assert np.mean(called) <= 0.12


WELLS = pd.DataFrame(
    {
        "fov": [f"{c}{d}{w}" for c in "ab" for d in "123" for w in "xy"],
        "condition": [c for c in "ab" for _ in range(6)],
        "replicate": [w for _ in "ab" for _ in "123" for w in "xy"],
        "donor": [f"D{d}" for _ in "ab" for d in "123" for _ in "xy"],
    }
)


def values_of(sheet: pd.DataFrame, paired: bool | str | None = None) -> pd.DataFrame:
    """One value per field of `sheet`: donors differ by 10, conditions by 1 to 1.4, wells a little."""
    fields = design(sheet, paired=paired)
    donor = sheet["fov"].str[1].astype(float)
    b, y = sheet["fov"].str[0] == "b", sheet["fov"].str[2] == "y"
    value = 10 * donor + np.where(b, 1 + 0.2 * (donor - 1), 0) + np.where(y, 0.01, 0)
    rows = fields[["condition", "replicate", "cluster"]].assign(value=value)
    about = {"population": "TCell", "measure": "speed", "unit": "", "statistic": "mean"}
    return rows.assign(**about, n_fovs=1, n_cells=5)


def test_donors_of_the_sheet_are_pairs_and_their_wells_are_averaged() -> None:
    table = values_of(WELLS)
    # wells x and y of three donors are six replicates, told apart by the donor
    assert table.groupby("condition")["replicate"].nunique().tolist() == [6, 6]
    row = compared(schemas.filled(schemas.ReplicateSummaries, table)).iloc[0]
    assert row["paired"] and row["test"] == "paired t" and "averaged" in row["note"]
    assert (row["n_reference"], row["n_condition"]) == (3, 3)
    from scipy import stats

    means = table.groupby(["condition", "cluster"])["value"].mean()
    assert row["p"] == pytest.approx(stats.ttest_rel(means["b"], means["a"]).pvalue)
    # equal to the mixed model with a random donor (and its effect of the condition), as it is balanced
    assert row["difference"] == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("paired", "columns", "pairs"),
    [
        (None, ["fov", "condition", "replicate"], 0),  # wells x and y of both conditions: names
        (None, ["fov", "condition", "replicate", "donor"], 3),
        (False, ["fov", "condition", "replicate", "donor"], 0),
        (True, ["fov", "condition", "replicate"], 2),
        ("donor", ["fov", "condition", "replicate", "donor"], 3),
    ],
)
def test_pairs_are_stated_or_asked_for(
    paired: bool | str | None, columns: list[str], pairs: int
) -> None:
    made = design(WELLS[columns], paired=paired)
    clusters = made.groupby("condition")["cluster"].unique()
    assert len(set(clusters["a"]) & set(clusters["b"])) == pairs


def test_pairs_by_an_unknown_column_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"comparison.paired: unknown column .*mouse"):
        design(WELLS, paired="mouse")


def test_conditions_that_share_one_donor_of_several_are_not_pairs() -> None:
    sheet = WELLS.assign(
        donor=np.where(WELLS["condition"] == "a", WELLS["donor"], "E" + WELLS["donor"])
    )
    sheet.loc[sheet["fov"].str[1] == "1", "donor"] = "D1"
    row = compared(schemas.filled(schemas.ReplicateSummaries, values_of(sheet))).iloc[0]
    assert not row["paired"] and row["test"] == "Welch t"
    assert (row["n_reference"], row["n_condition"]) == (3, 3)
