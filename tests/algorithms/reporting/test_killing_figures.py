"""The numbers drawn of killing, against what can be counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.fates import draw_fates, fate_rows
from cyto_kedro.algorithms.reporting.killing_figures import (
    MEAN,
    KillingFigures,
    draw_kills,
    draw_victims,
    kill_curves,
    survival,
    victims,
)
from cyto_kedro.algorithms.reporting.shots import clip_id
from cyto_kedro.core.style import colours

ROLES = {"T": "effector", "C": "target"}
NAMES = ("kills", "kills_per_effector", "target_fates", "survival")


def frames_of(**n: int) -> pd.DataFrame:
    """Frames 2 min apart of each field."""
    rows = [(fov, i, 120.0 * i, False) for fov, many in n.items() for i in range(many)]
    return pd.DataFrame(rows, columns=["fov", "frame", "time_s", "excluded"])


def fates_of(*rows: tuple) -> pd.DataFrame:
    """(fov, population, track, first, last, dead at first sight, death frame or None)."""
    names = ["fov", "population", "track_id", "first_frame", "last_frame", "dead_at_first_sight"]
    table = pd.DataFrame(rows, columns=[*names, "death_frame"])
    table["died"] = table["death_frame"].notna()
    table = table.assign(end_reason="film_end", entry_min=table["first_frame"] * 2.0)
    leave = table["death_frame"].fillna(table["last_frame"]) * 2.0
    return schemas.conform(schemas.Fates, table.assign(exit_min=leave.astype(float)))


@pytest.fixture
def four_fields() -> dict:
    """Field a1 and a2 are one replicate, a3 another; b has no target at the start."""
    fates = fates_of(
        ("a1", "C", 1, 0, 9, False, 2),
        ("a1", "C", 2, 0, 9, False, None),
        ("a1", "C", 3, 0, 9, True, None),
        ("a2", "C", 1, 0, 9, False, 4),
        ("a2", "C", 2, 5, 9, False, 6),
        ("a2", "C", 3, 0, 9, False, None),
        ("a3", "C", 1, 0, 4, False, None),
        ("a3", "C", 2, 0, 4, False, 1),
        ("b", "C", 1, 3, 9, False, 5),
        ("a1", "T", 1, 0, 9, False, None),
    )
    deaths = fates[fates["died"]].rename(columns={"death_frame": "frame"})
    kills = pd.DataFrame(
        [("a1", 1, 1, 2, 0.5), ("a1", 1, 2, 2, 0.5), ("a2", 2, 1, 6, 1.0)],
        columns=["fov", "target_track_id", "effector_track_id", "death_frame", "share"],
    ).assign(target_population="C", effector_population="T")
    sheet = pd.DataFrame(
        {
            "fov": ["a1", "a2", "a3", "b"],
            "condition": ["a", "a", "a", "b"],
            "replicate": [1, 1, 2, 1],
        }
    )
    return {
        "fates": fates,
        "deaths": deaths[["fov", "population", "track_id", "frame"]],
        "kills": kills,
        "frames": frames_of(a1=10, a2=10, a3=5, b=10),
        "sample_sheet": sheet,
        "roles": ROLES,
    }


def test_kills_are_counted_per_100_targets_at_start(four_fields: dict) -> None:
    tables = [four_fields[name] for name in ("kills", "deaths", "fates", "frames", "sample_sheet")]
    curves, unit = kill_curves(*tables, ROLES)
    assert unit == "min" and set(curves["condition"]) == {"a"}  # b: no target at the start
    one = curves.query("replicate == '1'").set_index("time")
    assert one["targets"].unique().tolist() == [4] and one["fovs"].unique().tolist() == [2]
    assert one["kills"].to_dict() == {2.0 * i: 25.0 * ((i >= 2) + (i >= 6)) for i in range(10)}
    assert one.loc[[2.0, 4.0, 8.0, 12.0], "deaths"].tolist() == [0, 25, 50, 75]
    two = curves.query("replicate == '2'")
    assert two["time"].max() == 8.0 and two["deaths"].iloc[-1] == 50
    mean = curves[curves["replicate"] == MEAN].set_index("time")
    # until the shorter replicate ends
    assert mean["deaths"].to_dict() == {0.0: 0, 2.0: 25, 4.0: 37.5, 6.0: 37.5, 8.0: 50}
    assert mean["targets"].unique().tolist() == [6]
    lost = four_fields["frames"].assign(time_s=np.nan)
    assert kill_curves(*tables[:3], lost, tables[4], ROLES)[1] == "frames"
    axes = draw_kills(curves, unit, four_fields["sample_sheet"]).axes
    assert axes[0].get_xlabel().endswith("(min)") and len(axes[1].lines) == 3


def test_fields_of_other_frame_times_hold_their_count() -> None:
    fates = fates_of(("a", "C", 1, 0, 3, False, 1), ("b", "C", 1, 0, 9, False, 3))
    frames = frames_of(a=4, b=10)
    frames.loc[frames["fov"] == "a", "time_s"] *= 3  # 0, 6, 12, 18 min
    deaths = fates.assign(frame=fates["death_frame"])
    none = schemas.empty(schemas.Kills)
    sheet = pd.DataFrame({"fov": ["a", "b"], "condition": "x", "replicate": 1})
    curves, _ = kill_curves(none, deaths, fates, frames, sheet, ROLES)
    mean = curves[curves["replicate"] == MEAN].set_index("time")["deaths"]
    assert mean.loc[[4.0, 6.0, 18.0]].tolist() == [0, 100, 100]
    assert mean.index.tolist() == [2.0 * i for i in range(10)]


def tallies_of(victims: list[int], fov: str) -> pd.DataFrame:
    table = pd.DataFrame({"n_victims": victims, "track_id": range(1, len(victims) + 1)})
    return table.assign(fov=fov, population="T")


def test_victims_are_counted_by_condition_and_replicate() -> None:
    tables = [tallies_of([0, 0, 1, 2], "a"), tallies_of([0, 7], "b"), tallies_of([0], "c")]
    effectors = pd.concat([*tables, tallies_of([9], "a").assign(population="C")])
    sheet = pd.DataFrame({"fov": list("abc"), "condition": ["x", "x", "y"], "replicate": [1, 2, 1]})
    found = victims(effectors, sheet, ROLES)
    whole = found.query("replicate == '(all)' and condition == 'x'").set_index("victims")
    assert whole["n"].tolist() == [3, 1, 1, 0, 0, 1]
    assert whole["share"].sum() == pytest.approx(1) and whole["effectors"].unique() == [6]
    assert whole["serial"].unique().tolist() == [2]
    assert found.query("replicate == '2'").set_index("victims").loc[5, "share"] == 0.5
    fig = draw_victims(found, sheet)
    label = fig.legends[0].get_texts()[0].get_text()
    assert label == "x  (6 effectors, 2 serial killers = 33.3 %)"
    assert fig.axes[0].get_xticklabels()[-1].get_text() == "5 or more"


def test_raster_orders_targets_by_death(four_fields: dict) -> None:
    bouts = pd.DataFrame(
        {
            "fov": ["a1", "a1", "a2"],
            "population_a": ["T", "C", "T"],
            "track_id_a": [1, 2, 1],
            "population_b": ["C", "T", "C"],
            "track_id_b": [1, 1, 1],
            "start_frame": [1, 3, 6],
            "end_frame": [8, 3, 7],
        }
    )
    frames, sheet = four_fields["frames"], four_fields["sample_sheet"]
    rows, spells, unit = fate_rows(four_fields["fates"], bouts, frames, sheet, ROLES)
    a = rows[rows["condition"] == "a"].sort_values("row")
    assert unit == "min" and a["row"].tolist() == list(range(8))
    order = [tuple(x) for x in a[["fov", "cell_id"]].to_numpy()]
    # by death, then dead at first sight, then the living by when they were last seen
    assert order[:4] == [("a3", 2), ("a1", 1), ("a2", 1), ("a2", 2)]
    assert order[4] == ("a1", 3) and order[5] == ("a3", 1)
    assert (
        a["death"].tolist()[:5] == [2, 4, 8, 12, 0] and a["death"].isna().tolist()[5:] == [True] * 3
    )
    # contact ends at the death; contact with the dead is no contact
    assert spells[["start", "end"]].to_numpy().tolist() == [[2, 4], [6, 6]]
    fig = draw_fates(rows, spells, unit, sheet)
    assert fig.axes[0].get_title(loc="left") == "a\n4 of 7 died, 1 dead at first sight"
    # a click on a line: who died, or was touched; whatever else is in the picture shows as before
    shown = a.set_index(["fov", "cell_id"])["shown_track_id"].dropna()
    died = {("a3", 2): 2, ("a1", 1): 1, ("a2", 1): 1, ("a2", 2): 2}
    assert shown.to_dict() == {**died, ("a1", 2): 2}  # the last was touched, and lives
    lines = fig.axes[0].collections[-1]
    at = {cell: i for i, cell in enumerate(order)}
    assert lines.get_color()[0][-1] < 0.01
    assert dict(
        zip(lines.get_urls(), (each[0][1] for each in lines.get_segments()), strict=True)
    ) == {f"#{clip_id(fov, 'C', track)}": at[fov, track] for (fov, _), track in shown.items()}


def test_survival_is_the_product_limit_estimate(assay: dict) -> None:
    axes = survival(assay["fates"], assay["sample_sheet"], assay["roles"]).axes
    hue = colours(["control", "CAR-T <high>"])["CAR-T <high>"]
    lines = [line for line in axes[0].lines if line.get_color() == hue]
    thick = max(lines, key=lambda line: line.get_linewidth())
    fates = assay["fates"].query("population == 'CancerCell' and fov in ('B1', 'B2')")
    fates = fates[~fates["dead_at_first_sight"]]
    share = 100.0
    for t in sorted(fates.loc[fates["died"], "exit_min"].unique()):
        risk = ((fates["entry_min"] < t) & (t <= fates["exit_min"])).sum()
        share *= 1 - (fates["died"] & (fates["exit_min"] == t)).sum() / risk
    assert thick.get_ydata()[-1] == pytest.approx(share)
    assert len(lines) == 3 and axes[0].get_xlabel().endswith("(min)")  # pooled, two replicates
    odd = assay["sample_sheet"].assign(condition="a$b$ {x}")
    assert survival(assay["fates"], odd, assay["roles"]).axes


def test_nothing_one_target_and_no_times(assay: dict, uncalibrated: dict) -> None:
    none = KillingFigures(dpi=40)({"roles": ROLES})["figures"]
    assert tuple(none) == NAMES and all(p.png.startswith(b"\x89PNG") for p in none.values())
    said = survival(schemas.empty(schemas.Fates), None, ROLES).axes[0]
    assert "No living target" in said.texts[0].get_text() and not said.axison
    one = {**assay, "fates": assay["fates"].query("population == 'CancerCell'").iloc[:1]}
    assert len(KillingFigures(dpi=40)({**one, "sample_sheet": None})["figures"]) == 4
    sheet = uncalibrated["sample_sheet"]
    axes = survival(uncalibrated["fates"], sheet, uncalibrated["roles"]).axes[0]
    assert axes.get_xlabel().endswith("(frames)")
    assert len(KillingFigures(dpi=40)(uncalibrated)["figures"]) == 4
