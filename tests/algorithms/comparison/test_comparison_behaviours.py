"""Classes of behaviour against walkers of known kinds, and what they must not hang on."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.behaviours import Behaviours
from cyto_kedro.algorithms.comparison.testing import ReplicateTests
from cyto_kedro.algorithms.contacts.windows import TrackWindows
from cyto_kedro.errors import ConfigError, MissingExtraError

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))
from behaviours import celltrackr, classed, cut, simulated, walkers


def run(windows: pd.DataFrame, design: pd.DataFrame | None = None, **args: object) -> dict:
    fovs = sorted(windows["fov"].unique())
    if design is None:
        design = pd.DataFrame({"fov": fovs, "condition": "c", "replicate": fovs, "cluster": fovs})
    frames = pd.DataFrame({"fov": fovs, "frame": 0, "time_s": 0.0})
    made = Behaviours(**args)(track_windows=windows, design=design, frames=frames)
    for name in ("behaviours", "behaviour_profiles", "replicate_summaries"):
        schemas.check(schemas.TABLES[name], made[name])
    return made


@pytest.fixture(scope="module")
def windows() -> pd.DataFrame:
    """Two fields of walkers, of seeds that no setting was chosen on."""
    return pd.concat([cut(walkers(seed)[0], duration_min=20.0) for seed in (2000, 2001)])


def speeds(*groups: float, n: int = 40, **more: object) -> pd.DataFrame:
    """A track of one window for each of `n` speeds around each of `groups`."""
    speed = np.concatenate([g + np.linspace(-0.1, 0.1, n) * g for g in groups])
    rows = {"fov": "A", "population": "T", "track_id": np.arange(len(speed)) + 1, "window": 1}
    rows |= {"speed_px_per_frame": speed, "reach_px": 5.0, **more}
    return schemas.filled(schemas.TrackWindows, rows)


def test_classes_are_the_kinds_of_walkers() -> None:
    """Figures of docs/motion.md are of five such assays, of other seeds."""
    for seed in (2000, 2010):
        of_windows, of_tracks, n = simulated(seed, 30.0)
        assert of_windows > 0.9 and of_tracks > 0.85 and n in (4, 5)
        of_windows, of_tracks, _ = simulated(seed, 20.0)
        assert of_windows > 0.7 and of_tracks > 0.75


def test_nothing_hangs_on_order_parts_or_the_run(windows: pd.DataFrame) -> None:
    first = run(windows)
    again = run(windows.sample(frac=1, random_state=0))
    for name, table in first.items():
        assert_frame_equal(table, again[name])
    speed = first["behaviour_profiles"].query("measure == 'speed_um_per_min'")["median"]
    assert len(speed) > 2 and speed.is_monotonic_increasing


def test_classes_are_numbered_by_speed_and_may_be_given() -> None:
    table = speeds(9.0, 0.5, 3.0)
    made = run(table)["behaviours"]["behaviour"]
    assert made.tolist() == [3] * 40 + [1] * 40 + [2] * 40
    assert set(run(table, classes=2)["behaviours"]["behaviour"]) == {1, 2}
    assert set(run(table, max_classes=1)["behaviours"]["behaviour"]) == {1}


def test_one_kind_is_one_class() -> None:
    rng = np.random.default_rng(0)
    table = speeds(1.0, n=400).assign(speed_px_per_frame=rng.lognormal(0, 0.4, 400))
    table = table.assign(straightness=rng.beta(2, 2, 400), persistence=rng.uniform(-1, 1, 400))
    assert set(run(table)["behaviours"]["behaviour"]) == {1}


def test_windows_of_one_track_count_as_fewer() -> None:
    """Twenty copies of each window of forty cells are forty observations."""
    rng = np.random.default_rng(1)
    alone = speeds(1.0, n=40).assign(speed_px_per_frame=rng.lognormal(0, 0.4, 40))
    alone = alone.assign(straightness=rng.uniform(0, 1, 40), persistence=rng.uniform(-1, 1, 40))
    several = [
        alone.assign(window=i + 1, start_frame=10 * i, end_frame=10 * i + 10) for i in range(20)
    ]
    made = run(pd.concat(several))["behaviours"]
    assert made["behaviour"].nunique() == run(alone)["behaviours"]["behaviour"].nunique() == 1


def test_short_tracks_have_no_class_and_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    table = pd.concat([speeds(1.0, 9.0), speeds(1.0, n=7).assign(window=0, fov="B")])
    table.loc[table["window"] == 0, "speed_px_per_frame"] = np.nan
    with caplog.at_level(logging.INFO):
        made = run(table)
    assert "7 of 87 tracks are too short" in caplog.text
    assert made["behaviours"].query("window == 0")["behaviour"].isna().all()
    assert set(made["behaviour_profiles"]["n_without"]) == {7}
    assert made["behaviour_profiles"]["n_tracks"].tolist() == [40, 40]
    assert set(made["replicate_summaries"]["replicate"]) == {"A"}
    none = run(table[table["window"] == 0])
    assert none["behaviour_profiles"].empty and none["replicate_summaries"].empty


def test_few_windows_and_windows_that_are_all_alike() -> None:
    assert run(speeds(1.0, 9.0, n=1))["behaviours"]["behaviour"].tolist() == [1, 1]
    assert run(speeds(1.0, 9.0, n=1), classes=5)["behaviours"]["behaviour"].tolist() == [1, 2]
    same = run(speeds(1.0).assign(speed_px_per_frame=1.0))
    assert set(same["behaviours"]["behaviour"]) == {1}


def test_shares_are_of_tracks_and_replicates_are_compared() -> None:
    """In four donors: a cell of the drug spends a fifth of its windows slow, of vehicle four fifths."""
    parts = []
    for fov, slow in (("v1", 4), ("v2", 4), ("v3", 3), ("d1", 1), ("d2", 1), ("d3", 2)):
        for track in range(1, 11):
            one = speeds(1.0, n=slow).assign(fov=fov, track_id=track)
            other = speeds(9.0, n=5 - slow).assign(fov=fov, track_id=track)
            both = pd.concat([one, other]).assign(window=range(1, 6))
            parts.append(
                both.assign(start_frame=np.arange(5) * 10, end_frame=np.arange(5) * 10 + 9)
            )
    fovs = ["v1", "v2", "v3", "d1", "d2", "d3"]
    design = pd.DataFrame({"fov": fovs, "replicate": fovs, "cluster": fovs})
    design = design.assign(condition=["vehicle"] * 3 + ["drug"] * 3)
    made = run(pd.concat(parts), design)
    shares = made["replicate_summaries"].set_index(["measure", "replicate"])["value"]
    assert shares["behaviour_1"][fovs].to_numpy() == pytest.approx([0.8, 0.8, 0.6, 0.2, 0.2, 0.4])
    assert shares["behaviour_2"][fovs].to_numpy() == pytest.approx([0.2, 0.2, 0.4, 0.8, 0.8, 0.6])
    assert set(made["replicate_summaries"]["n_cells"]) == {10}
    tests = ReplicateTests()(
        replicate_summaries=made["replicate_summaries"], design=design, reference="vehicle"
    )["comparisons"].set_index("measure")
    assert tests.loc["behaviour_1", "difference"] == pytest.approx(-7 / 15)
    assert tests.loc["behaviour_1", "n_condition"] == 3


def test_unknown_measures_and_lacking_umap_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"'speeed'.*speed"):
        run(speeds(1.0), measures=("speeed",))
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r"cyto_kedro\[umap\]"):
        run(speeds(1.0), embedding="umap")


@pytest.mark.companion("umap")
def test_umap_gives_the_same_places_again() -> None:
    found = [run(speeds(1.0, 9.0), embedding="umap")["behaviours"] for _ in range(2)]
    assert_frame_equal(*found)
    plain = run(speeds(1.0, 9.0))["behaviours"]
    assert found[0]["behaviour"].equals(plain["behaviour"])  # classes are not made of it


@pytest.mark.shared
def test_neutrophils_are_in_another_class_than_b_cells(shared_data: Path) -> None:
    cutter = TrackWindows(duration_min=6.0)
    parts = celltrackr(shared_data / "celltrackR_2photon_tracks")
    found = classed(pd.concat([cutter(track_points=p)["track_windows"] for _, p in parts]))
    slow = (found["behaviour"] == 1).groupby(found["fov"]).mean()
    assert slow["BCells"] > 0.9 and 0.5 < slow["TCells"] < 0.8 and slow["Neutrophils"] < 0.25
