"""Headline numbers and warnings against counts made another way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.findings import (
    answers,
    compared,
    doubts,
    headline,
    numbered,
)
from cyto_kedro.algorithms.reporting.summary import Summary, count_touches, count_touches_of
from cyto_kedro.core.groups import condition_order, of_role, with_condition
from cyto_kedro.core.watched import effector_hours
from cyto_kedro.errors import ConfigError, InputError


def test_wells_of_a_donor_are_one_replicate(assay: dict) -> None:
    sheet = assay["sample_sheet"].assign(donor=["d1", "d1", "d1", "d2"])
    total = Summary()({**assay, "sample_sheet": sheet})["by_condition"].set_index("condition")
    assert total["replicates"].to_dict() == {"control": 1, "CAR-T <high>": 2}


def test_headline_numbers(assay: dict) -> None:
    out = Summary()(assay)
    total = out["by_condition"].set_index("condition")
    assert list(total.index) == ["control", "CAR-T <high>"]
    deaths, kills = assay["deaths"], assay["kills"]
    for condition, fovs in (("control", ["A1", "A2"]), ("CAR-T <high>", ["B1", "B2"])):
        row = total.loc[condition]
        assert (row["fovs"], row["replicates"], row["effectors"], row["targets"]) == (2, 2, 24, 30)
        assert row["deaths"] == deaths["fov"].isin(fovs).sum()
        assert row["kills"] == kills.loc[kills["fov"].isin(fovs), "share"].sum()
        assert row["dead_at_first_sight"] == 2
        assert row["unattributed_deaths"] == row["deaths"] - row["kills"]
        # the made-up film has even frames: hours = (sum of counts - half the ends) * interval
        points = assay["track_points"]
        mine = points[(points["population"] == "TCell") & points["fov"].isin(fovs)]
        counts = mine.groupby(["fov", "frame"]).size()
        ends = counts[counts.index.get_level_values("frame").isin([0, 39])].sum()
        hours = (counts.sum() - ends / 2) * 2 / 60
        assert row["effector_hours"] == pytest.approx(hours)
        assert row["kills_per_effector_per_hour"] == pytest.approx(row["kills"] / hours)
    speed = assay["motility"].query("population == 'TCell' and fov == 'A1'")
    by_fov = out["by_fov"].set_index("fov")
    assert by_fov.loc["A1", "speed_TCell"] == pytest.approx(speed["mean_speed_um_per_min"].mean())
    assert by_fov["film_min"].tolist() == [78.0] * 4


def test_effector_hours_uneven_times_an_empty_and_an_excluded_frame() -> None:
    frames = pd.DataFrame(
        {"fov": "A", "frame": [0, 1, 2, 3], "time_s": [0, 3600, 3600 * 3, 3600 * 4.0]}
    ).assign(excluded=[False, False, False, True])
    points = pd.DataFrame({"fov": "A", "population": "T", "frame": [0, 0, 2, 3, 3]})
    # counts 2, 0, 1 at 0, 1, 3 h: (2 + 0) / 2 * 1 + (0 + 1) / 2 * 2
    assert effector_hours(points, frames, ["T"])["A"] == pytest.approx(2.0)
    assert np.isnan(effector_hours(points, frames.assign(time_s=np.nan), ["T"])["A"])


def test_dead_effectors_have_no_hours() -> None:
    """Ten effectors for an hour, eight of them dead from minute 6 on: 2 h and 8 times 5.5 min."""
    frames = pd.DataFrame({"fov": "a", "frame": range(61), "time_s": np.arange(61) * 60.0})
    frames = frames.assign(excluded=False)
    track, frame = np.repeat(np.arange(1, 11), 61), np.tile(np.arange(61), 10)
    points = pd.DataFrame({"fov": "a", "population": "T", "track_id": track, "frame": frame})
    fates = pd.DataFrame({"track_id": range(1, 11)}).assign(fov="a", population="T")
    fates = fates.assign(died=fates["track_id"] <= 8, dead_at_first_sight=False)
    fates["death_frame"] = pd.array(np.where(fates["died"], 6, 0), "Int64")
    fates.loc[~fates["died"], "death_frame"] = pd.NA
    expected = pytest.approx(2 + 8 * 5.5 / 60)
    assert effector_hours(points, frames, ["T"], fates)["a"] == expected
    dead = points.assign(dead=(track <= 8) & (frame >= 6))
    assert effector_hours(dead, frames, ["T"])["a"] == expected
    first_sight = fates.assign(dead_at_first_sight=fates["died"], died=False, death_frame=pd.NA)
    assert effector_hours(points, frames, ["T"], first_sight)["a"] == pytest.approx(2)


def test_a_pause_of_the_film_is_nobody_s_time() -> None:
    time_s = [0, 60, 120, 3720, 3780]
    frames = pd.DataFrame({"fov": "a", "frame": range(5), "time_s": time_s, "excluded": False})
    points = pd.DataFrame({"fov": "a", "population": "T", "track_id": 1, "frame": range(5)})
    assert effector_hours(points, frames, ["T"])["a"] == pytest.approx(4 / 60)


def test_a_field_without_times_does_not_put_the_others_in_frames(assay: dict) -> None:
    frames = assay["frames"].assign(
        time_s=assay["frames"]["time_s"].where(assay["frames"]["fov"] != "A1")
    )
    out = Summary()({**assay, "frames": frames})
    assert set(out["by_condition"]["time_unit"]) == {"min"}
    assert set(out["by_condition"]["speed_unit"]) == {"µm/min"}
    said = out["warnings"].query("fov == 'A1'")["what"]
    assert said.str.contains("left out where others have them").any()


def test_uncalibrated_is_frames_and_pixels_never_one(uncalibrated: dict) -> None:
    out = Summary()(uncalibrated)
    total = out["by_condition"]
    assert set(total["speed_unit"]) == {"px/frame"} and set(total["time_unit"]) == {"frames"}
    assert total["kills_per_effector_per_hour"].isna().all() and total["speed_TCell"].notna().all()
    what = out["warnings"]["what"]
    assert what.str.contains("pixel size unknown").sum() == 4
    assert what.str.contains("frame times unknown").sum() == 4


def test_warnings_name_field_channel_and_frame(assay: dict) -> None:
    found = Summary()(assay)["warnings"].set_index(["fov", "channel"])
    assert len(found) == 2
    assert found.loc[("A1", "Dead"), "n_frames"] == 40
    assert "saturated" in found.loc[("A1", "Dead"), "what"]
    assert found.loc[("B2", "TCell"), "first_frame"] == 20
    assert "focus" in found.loc[("B2", "TCell"), "what"]


def test_nothing_but_fields(assay: dict) -> None:
    out = Summary()({"fields": assay["fields"], "roles": assay["roles"]})
    assert out["by_fov"]["deaths"].tolist() == [0] * 4
    assert out["by_condition"]["condition"].tolist() == ["(no condition)"]
    none = Summary()({"fields": schemas.empty(schemas.Fields), "roles": assay["roles"]})
    assert none["by_fov"].empty and none["by_condition"].empty
    with pytest.raises(InputError, match="Summary needs 'fields'"):
        Summary()({"roles": assay["roles"]})


def test_sample_sheet_joins_or_says_what_is_wrong() -> None:
    table = pd.DataFrame({"fov": ["A", "B", "A"]})
    sheet = pd.DataFrame({"fov": ["B", "A"], "condition": ["x", None], "replicate": [2, None]})
    out = with_condition(table, sheet)
    assert out["condition"].tolist() == ["(no condition)", "x", "(no condition)"]
    assert out["replicate"].tolist()[0] == "A"
    assert condition_order(sheet, out["condition"]) == ["x", "(no condition)"]
    assert with_condition(table, None)["replicate"].tolist() == ["A", "B", "A"]
    with pytest.raises(InputError, match="'A'"):
        with_condition(table, sheet[:1])
    with pytest.raises(InputError, match="several rows"):
        with_condition(table, pd.concat([sheet, sheet]))
    with pytest.raises(ConfigError, match="Did you mean 'target'"):
        of_role({"C": "targets"}, "target")


def test_kills_of_a_field_without_times_are_no_part_of_the_rate(assay: dict) -> None:
    frames = assay["frames"].assign(
        time_s=assay["frames"]["time_s"].where(assay["frames"]["fov"] != "B1")
    )
    out = Summary()({**assay, "frames": frames})["by_condition"].set_index("condition")
    row = out.loc["CAR-T <high>"]
    kills = assay["kills"].groupby("fov")["share"].sum()
    assert row["kills"] == kills["B1"] + kills["B2"]
    rate = kills["B2"] / row["effector_hours"]
    assert row["kills_per_effector_per_hour"] == pytest.approx(rate)


def test_without_a_death_marker_deaths_are_unknown_and_not_none(assay: dict) -> None:
    tables = {
        name: assay[name] for name in ("fields", "frames", "motility", "sample_sheet", "roles")
    }
    total = Summary()(tables)["by_condition"]
    assert total["targets"].tolist() == [30, 30] and total["effectors"].tolist() == [24, 24]
    assert total[["deaths", "kills", "dead_at_first_sight"]].isna().all(axis=None)
    assert all("unknown" in text and "0 of" not in text for _, text in answers(total))


def test_a_row_says_what_weakens_it(assay: dict) -> None:
    row = Summary()(assay)["by_condition"].iloc[0].to_dict()
    sound = {**row, "lost": 0, "contacts": 9, "contacts_unknown": 0, "contacts_cut": 0}
    assert doubts(sound) == []
    for change, said in (
        ({"dead_at_first_sight": 16}, "16 of 30 targets were dead at first sight"),
        ({"lost": 14}, "14 of 54 tracks were lost"),
        ({"contacts_unknown": 4}, "4 contacts began before"),
        ({"contacts_cut": 5}, "5 of 9 contacts still lasted"),
        ({"touches": 100, "touches_untracked": 6}, "6 of 100 touches"),
    ):
        assert len(found := doubts({**sound, **change})) == 1 and said in found[0]


def test_touches_of_cells_without_a_track_are_counted() -> None:
    points = {"population": "T", "frame": [0, 0, 1], "label": [1, 2, 1], "track_id": [1, 2, 1]}
    touches = {"population_a": "T", "population_b": "T", "label_a": 1, "label_b": 2}
    touches = schemas.filled(schemas.Touches, touches | {"frame": [0, 1, 2]})
    points = schemas.filled(schemas.TrackPoints, points)
    assert count_touches(touches, points) == (3, 1)


def test_touches_of_several_fields_are_counted_as_those_of_each() -> None:
    rng, fields = np.random.default_rng(4), {}
    for fov, n_cells, n_touches in (("B", 30, 40), ("A", 9, 25), ("none", 5, 0), ("bare", 0, 3)):
        cells = {"fov": fov, "population": rng.choice(["T", "C"], n_cells)}
        cells |= {"frame": rng.integers(0, 3, n_cells), "label": rng.integers(1, 9, n_cells)}
        points = pd.DataFrame(cells | {"track_id": 1}, index=range(n_cells))
        points = points.drop_duplicates(["population", "frame", "label"])
        pairs = {f"population{side}": rng.choice(["T", "C"], n_touches) for side in ("_a", "_b")}
        pairs |= {f"label{side}": rng.integers(1, 9, n_touches) for side in ("_a", "_b")}
        pairs |= {"fov": fov, "frame": rng.integers(0, 4, n_touches)}
        touches = pd.DataFrame(pairs, index=range(n_touches))
        fields[fov] = (
            schemas.filled(schemas.Touches, touches),
            schemas.filled(schemas.TrackPoints, points),
        )
    together = (pd.concat(each, ignore_index=True) for each in zip(*fields.values(), strict=True))
    each = {fov: count_touches(*tables) for fov, tables in fields.items() if len(tables[0])}
    assert count_touches_of(*together) == each
    assert each["bare"] == (3, 0) and 0 < each["B"][1] < 40


def test_units_are_those_that_a_track_has(assay: dict) -> None:
    """One field lacks the size, the others the times: no speed in um/min is known."""
    motility = assay["motility"].assign(mean_speed_um_per_min=np.nan)
    out = Summary()({**assay, "motility": motility})["by_condition"]
    assert set(out["speed_unit"]) == {"px/frame"} and out["speed_TCell"].notna().all()


def test_numbers_of_one_report_are_those_of_its_tables(assay: dict) -> None:
    """Each number of the cards, figures, curves and compared values, once more from the tables."""
    from cyto_kedro.algorithms.comparison.replicates import ReplicateValues
    from cyto_kedro.algorithms.comparison.survival import SurvivalCurves
    from cyto_kedro.algorithms.reporting.fates import fate_rows
    from cyto_kedro.algorithms.reporting.killing_figures import kill_curves
    from cyto_kedro.core.groups import design

    tables = {name: assay[name] for name in ("fates", "deaths", "kills", "bouts", "frames")}
    fates, kills, sheet, roles = (
        tables["fates"],
        tables["kills"],
        assay["sample_sheet"],
        assay["roles"],
    )
    total = Summary()(assay)["by_condition"].set_index("condition")
    given = {**assay, **tables, "design": design(sheet), "populations": roles}
    values = ReplicateValues()(given)["replicate_summaries"]
    curves = SurvivalCurves()(fates=fates, design=design(sheet))["survival_curves"]
    rows, _, _ = fate_rows(fates, tables["bouts"], tables["frames"], sheet, roles)
    drawn, _ = kill_curves(kills, tables["deaths"], fates, tables["frames"], sheet, roles)
    for condition, row in total.iterrows():
        fovs = sheet.loc[sheet["condition"] == condition, "fov"]
        mine = fates[fates["fov"].isin(fovs) & (fates["population"] == "CancerCell")]
        old = mine["dead_at_first_sight"].astype(bool)
        living = mine[~old]
        assert row["targets"] == len(mine) and row["dead_at_first_sight"] == old.sum()
        died = int(living["died"].sum())
        assert row["deaths"] == died == tables["deaths"]["fov"].isin(fovs).sum()
        killed = kills.loc[kills["fov"].isin(fovs), "share"].sum()
        assert row["kills"] == pytest.approx(killed)
        assert row["unattributed_deaths"] == pytest.approx(died - killed)
        # survival: n at risk and events
        whole = curves[(curves["condition"] == condition) & (curves["replicate"] == "(all)")]
        whole = whole[(whole["population"] == "CancerCell") & (whole["kind"] == "survival")]
        assert whole["events"].sum() == died
        seen_twice = living[living["exit_min"] > living["entry_min"]]
        assert row["targets_watched"] == len(seen_twice)
        # fates drawn: a line a target, a death mark a death or one dead at first sight
        lines = rows[rows["condition"] == condition]
        assert len(lines) == len(mine)
        assert lines["death"].notna().sum() - lines["dead_at_first_sight"].sum() == died
        # kills over time, per 100 targets at the start, at the film's end
        start = {
            fov: ((one["first_frame"] == 0) & ~one["dead_at_first_sight"]).sum()
            for fov, one in mine.groupby("fov")
        }
        replicate = sheet.set_index("fov")["replicate"].astype(str)
        for name, one in drawn[drawn["condition"] == condition].groupby("replicate"):
            if name == "(mean)":
                continue
            own = [fov for fov in fovs if replicate[fov] == name]
            last = one.sort_values("time").iloc[-1]
            n = sum(start[fov] for fov in own)
            assert last["targets"] == n
            own_deaths = mine[mine["fov"].isin(own)]["died"].sum()
            assert last["deaths"] * n / 100 == pytest.approx(own_deaths)
            own_kills = kills.loc[kills["fov"].isin(own), "share"].sum()
            assert last["kills"] * n / 100 == pytest.approx(own_kills)
        # compared rates: the same kills and hours as the card's
        rates = values[(values["condition"] == condition)]
        rates = rates[rates["measure"] == "kills_per_effector_per_hour"]
        assert rates["n_cells"].sum() == row["effectors"]
        hours = Summary()(assay)["by_fov"].set_index("fov")["effector_hours"][fovs]
        assert row["effector_hours"] == pytest.approx(hours.sum())
        per = dict(zip(rates["replicate"], rates["value"], strict=True))
        time = hours.groupby(replicate[fovs].to_numpy()).sum()
        assert sum(per[name] * time[name] for name in per) == pytest.approx(row["kills"])


def test_each_number_of_a_card_is_marked_with_what_weakens_it(assay: dict) -> None:
    from cyto_kedro.algorithms.reporting.report import HtmlReport, cards

    total = Summary()(assay)["by_condition"]
    sound = {"lost": 0, "contacts": 9, "contacts_unknown": 0, "contacts_cut": 0}
    weak = {"contacts_cut": 5, "touches": 100, "touches_untracked": 6}

    def marks(**changes: int) -> dict[str, str]:
        first = total.iloc[[0]].assign(**sound).assign(**changes)
        return {name: mark for name, _, mark in cards(first, assay["roles"])[0]["lines"]}

    assert set(marks().values()) == {""}
    found = marks(**weak)
    assert found["median contact"] == "1, 2"
    assert found["kills (sum of attributed shares)"] == found["kills per effector per hour"] == "2"
    assert (
        found["deaths of targets"]
        == found["mean speed TCell"]
        == found["fields / replicates"]
        == ""
    )
    lost = marks(lost=14)
    assert {name for name, mark in lost.items() if not mark} == {"fields / replicates"}
    rows = total.assign(**sound, **{k: v for k, v in weak.items() if k not in sound})
    page = HtmlReport().run(
        assay["fields"], assay["roles"], Summary()(assay)["by_fov"], rows,
        Summary()(assay)["warnings"], sample_sheet=assay["sample_sheet"],
    )["html"]  # fmt: skip
    assert '<p class="doubt">1: 6 of 100 touches' in page and 'below">1</sup>' in page


def test_comparisons_and_headline_carry_what_weakens_them(assay: dict) -> None:
    """Half of one condition's touches are of untracked cells: beside its rates, not its survival."""
    lost = dict.fromkeys(("B1", "B2"), (100, 50))
    total = Summary()({**assay, "touch_counts": lost})["by_condition"]
    rows = {"measure": ["kills_per_effector_per_hour", "survival"], "population": "TCell"}
    rows |= {"condition": "CAR-T <high>", "reference": "control", "outcome": "primary"}
    rows |= {"difference": [0.5, 0.25], "note": ["unlike", ""]}
    tests = schemas.filled(schemas.Comparisons, rows)
    made, notes = numbered(compared(tests, total))
    assert notes[0] == "unlike" and "100 of 200 touches" in notes[1]
    assert notes[1].startswith("CAR-T <high>: ") and len(notes) == 2
    assert made["beware"].tolist() == ["1, 2", ""]
    said = [text for _, text in headline(tests, schemas.empty(schemas.ReplicateSummaries), total)]
    assert ["Beware: CAR-T <high>: 100 of 200" in text for text in said] == [True, False]
    plain = [text for _, text in headline(tests, schemas.empty(schemas.ReplicateSummaries))]
    assert not any("Beware" in text for text in plain)
    assert numbered(compared(tests))[1] == ["unlike"]
