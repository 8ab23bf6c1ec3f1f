"""What can change the answer most stands first."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.shots import clip_id
from cyto_kedro.datasets import PartitionedDataset
from cyto_kedro.images import Clip
from cyto_kedro.viewing.worklist import clip_addresses, command_of, worklist

FIELDS = pd.DataFrame({"fov": ["A", "B"], "condition": ["drug", "none"], "replicate": "1"})
ROLES = {"T": "effector", "C": "target"}


def fates(n_a: int = 10, n_b: int = 100) -> pd.DataFrame:
    """`n_a` targets in field A, `n_b` in B, and an effector."""
    rows = [("A", "C", i + 1) for i in range(n_a)] + [("B", "C", i + 1) for i in range(n_b)]
    table = pd.DataFrame([*rows, ("A", "T", 1)], columns=["fov", "population", "track_id"])
    more = {"end_reason": "lost", "start_reason": "film_start", "recovered": False}
    return schemas.filled(schemas.Fates, table.assign(**more, past_track_id=pd.NA))


def deaths(**columns: object) -> pd.DataFrame:
    given = {"population": "C", "track_id": 1, "frame": 7, "evidence": "marker", **columns}
    return schemas.filled(schemas.Deaths, given)


def quality(**columns: object) -> pd.DataFrame:
    given = {"fov": ["A"], "population": "C", "frame": 3, "expected_f1": 0.6, "field_f1": 0.8}
    given |= {"reason": "faint"}
    return schemas.filled(schemas.MaskQuality, {**given, **columns})


def none() -> pd.DataFrame:
    return schemas.empty(schemas.MaskQuality)


def test_doubt_over_the_targets_of_its_condition() -> None:
    found = worklist(
        deaths(fov=["A", "A", "B", "A"], track_id=[1, 2, 1, 3], p_background=[0.5, 0.9, 0.5, 1.0]),
        fates(),
        none(),
        FIELDS,
        ROLES,
    )
    assert found["fov"].tolist() == ["A", "A", "B"]  # what is sure is not there
    assert found["weight"].tolist() == pytest.approx([0.05, 0.01, 0.005])
    assert found["condition"].tolist() == ["drug", "drug", "none"]
    assert "0.50" in found["what"].iloc[0]


def test_every_kind_has_its_row_and_place() -> None:
    table = fates()
    table.loc[0, "recovered"] = True
    table.loc[1, ["dead_at_first_sight", "start_reason"]] = [True, "entered"]
    table.loc[2, ["dead_at_first_sight", "start_reason", "past_track_id"]] = [True, "entered", 5]
    wrong = {"fov": ["A"], "population": "C", "event": "death", "frame": 4, "y_px": 2.0}
    misfits = schemas.conform(
        schemas.EventCorrections, pd.DataFrame({**wrong, "x_px": 3.0, "happened": False})
    )
    rows = deaths(fov=["A", "A", "A"], track_id=[4, 5, 1], population=["C", "C", "T"])
    rows["evidence"], rows["p_background"] = ["body", "person", "body"], [float("nan"), 0.5, 0.5]
    found = worklist(
        rows,
        table,
        quality(),
        FIELDS,
        ROLES,
        misfits,
        lambda fov, population: schemas.filled(
            schemas.TrackPoints,
            {"track_id": [1, 2, 4, 1], "frame": [0, 0, 7, 7], "y_px": [1.0, 2, 3, 4], "x_px": 9.0},
        ),
    )
    stake = dict(zip(found["what"], found["at_stake"], strict=True))
    assert {each.split(",")[0]: value for each, value in stake.items()} == pytest.approx(
        {
            'C: the correction "does not die" fits no cell': 1.0,
            "C 1 is dead and alive again: two cells in one track?": 0.5,
            "C 2 begins dead in mid-film: whose body is it?": 0.5,
            "death of C 4": 0.25,
            "masks of C: F1 of 0.80 expected; faint": 0.2,
            "death of T 1": 0.05,
        }
    )
    assert found["at_stake"].is_monotonic_decreasing
    death = found[found["what"].str.startswith("death of C 4")].iloc[0]
    assert (death["y_px"], death["x_px"]) == (3.0, 9.0)
    assert command_of(found.iloc[0].to_dict()) == "kedro cyto view A --frame 4 --at 2,3"


def test_a_correction_that_does_not_hold_says_what_it_said() -> None:
    said = {
        "fov": ["A", "A"],
        "population": "C",
        "event": ["kill", "contact"],
        "frame": 4,
        "y_px": 2.0,
    }
    other = {"x_px": 3.0, "other_population": "T", "other_y_px": 2.0, "other_x_px": 9.0}
    misfits = pd.DataFrame({**said, **other, "happened": [True, False]})
    found = worklist(schemas.empty(schemas.Deaths), fates(), none(), FIELDS, ROLES, misfits)
    assert found["what"].tolist() == [
        'C: the correction "is killed by T" fits no cell',
        'C: the correction "does not touch T" fits no cell',
    ]


def test_nothing_to_look_at() -> None:
    found = worklist(schemas.empty(schemas.Deaths), fates(), none(), FIELDS, ROLES)
    assert found.empty and "weight" in found


def test_a_row_names_its_clip_where_one_was_made(tmp_path: Path) -> None:
    clips = PartitionedDataset(
        path=str(tmp_path),
        dataset="cyto_kedro.datasets.ClipsDataset",
        grain="fov",
        filename_suffix=".html",
        optional=True,
    )
    name = clip_id("A", "C", 1)
    clips.save({"A": [Clip(b"RIFF", name, "t", "c", "A", "death", 7, "C", 1)]})
    rows = pd.DataFrame({"fov": ["A", "A", "B", "A"], "population": "C"})
    rows["track_id"] = pd.array([1, 2, 1, pd.NA], dtype="Int64")
    found = clip_addresses({"clips": clips}, rows)
    assert found == [f"{tmp_path}/A.html#{name}", "", "", ""]
