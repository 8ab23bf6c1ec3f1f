"""Headline numbers and warnings against counts made another way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.summary import Summary
from cyto_kedro.core.groups import condition_order, of_role, with_condition
from cyto_kedro.core.watched import effector_hours
from cyto_kedro.errors import ConfigError, InputError


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
