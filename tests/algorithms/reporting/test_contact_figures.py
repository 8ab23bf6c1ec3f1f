"""Speed around contact and death: which moments, which steps, which means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.contact_figures import (
    ContactFigures,
    contact_durations,
    draw_speed_around,
    moments,
    speed_around,
)

ROLES = {"T": "effector", "C": "target"}


def bouts_of(*rows: tuple) -> pd.DataFrame:
    """(effector, target, start, end, start unseen)."""
    names = ["track_id_a", "track_id_b", "start_frame", "end_frame", "censored_start"]
    return pd.DataFrame(rows, columns=names).assign(fov="f", population_a="T", population_b="C")


def test_a_moment_is_when_a_free_cell_comes_into_contact() -> None:
    bouts = bouts_of(
        (1, 1, 3, 20, False),  # long: what begins within it is no moment of effector 1
        (1, 2, 5, 6, False),
        (1, 3, 8, 9, False),
        (1, 4, 21, 22, False),  # straight after: never free
        (1, 5, 24, 25, False),
        (2, 1, 4, 5, False),  # target 1 is in contact already
        (3, 6, 0, 4, True),  # its start was not seen
        (3, 7, 4, 5, False),
    )
    deaths = pd.DataFrame({"fov": "f", "population": ["C", "T"], "track_id": [1, 9], "frame": 7})
    kills = pd.DataFrame(
        {
            "fov": "f",
            "target_population": "C",
            "target_track_id": [1, 2],
            "effector_population": "T",
            "effector_track_id": [1, 2],
            "death_frame": [7, 9],
            "share": [1.0, 0.4],
        }
    )
    found = moments(bouts, deaths, kills, ROLES)
    rows = {tuple(row) for row in found[["role", "event", "track_id", "frame"]].to_numpy()}
    assert rows == {
        ("effector", "contact", 1, 3),
        ("effector", "contact", 1, 24),
        ("effector", "contact", 2, 4),
        ("target", "contact", 1, 3),
        ("target", "contact", 2, 5),
        ("target", "contact", 3, 8),
        ("target", "contact", 4, 21),
        ("target", "contact", 5, 24),
        ("target", "contact", 7, 4),
        ("target", "death", 1, 7),
        ("effector", "death", 1, 7),
    }
    empty = [schemas.empty(s) for s in (schemas.Bouts, schemas.Deaths, schemas.Kills)]
    assert moments(*empty, ROLES).empty


def walk(speed: np.ndarray, tracks: int = 4, dt: float = 2.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Steps of effectors that all have `speed` (frame), and the frames."""
    n = len(speed)
    rows = [("f", "T", k + 1, i, speed[i]) for k in range(tracks) for i in range(n)]
    steps = pd.DataFrame(rows, columns=["fov", "population", "track_id", "frame", "speed"])
    steps["speed_um_per_min"] = steps["speed_px_per_frame"] = steps["speed"].where(
        steps["frame"] > 0
    )
    steps["dt_frames_from_previous"] = np.where(steps["frame"] > 0, 1.0, np.nan)
    frames = pd.DataFrame({"fov": "f", "frame": range(n), "time_s": 60 * dt * np.arange(n)})
    return steps, frames


def events_at(*at: tuple[int, int]) -> pd.DataFrame:
    """(track, frame) of contacts of effectors."""
    rows = pd.DataFrame(at, columns=["track_id", "frame"])
    return rows.assign(fov="f", population="T", role="effector", event="contact")


def test_mean_speed_is_of_the_steps_by_their_time_from_the_moment() -> None:
    steps, frames = walk(np.arange(12.0))
    found, units = speed_around([steps], events_at((1, 5), (2, 7)), frames, None, window_frames=3)
    assert units == ("µm/min", "min")
    whole = found[found["replicate"] == "(all)"].set_index("lag")
    # steps ending at frame k have speed k: at 5 - 1 min and 7 - 1 min lie steps 5 and 7
    assert whole["mean"].to_dict() == {-5.0: 4, -3.0: 5, -1.0: 6, 1.0: 7, 3.0: 8, 5.0: 9} | {}
    assert whole["n"].unique().tolist() == [2]
    # parts of the table, each with whole cells, give the same
    parts = [one for _, one in steps.groupby("track_id")]
    events = events_at((1, 5), (2, 7))
    pd.testing.assert_frame_equal(
        found, speed_around(parts, events, frames, None, window_frames=3)[0]
    )
    half = 1.96 * np.std([5, 7], ddof=1) / np.sqrt(2)
    assert whole.loc[-1.0, "low"] == pytest.approx(6 - half)
    assert whole.loc[-1.0, "high"] == pytest.approx(6 + half)
    one, _ = speed_around([steps], events_at((1, 5)), frames, None, window_frames=3)
    assert one["low"].isna().all()


def test_unknown_times_give_frames_and_pixels() -> None:
    steps, frames = walk(np.arange(8.0))
    lost = frames.assign(time_s=np.nan)
    found, units = speed_around([steps], events_at((1, 4)), lost, None, window_frames=2)
    assert units == ("px/frame", "frames") and found["lag"].unique().tolist() == [
        -1.5,
        -0.5,
        0.5,
        1.5,
    ]
    assert speed_around([steps], events_at((1, 4)), frames, None, False)[1] == (
        "px/frame",
        "frames",
    )


@given(st.permutations([1, 2, 3, 4]), st.integers(3, 8))
def test_relabelling_and_frame_rate_leave_the_means(names: list[int], frame: int) -> None:
    speed = np.arange(12.0) ** 2
    steps, frames = walk(speed)
    steps["speed_um_per_min"] *= steps["track_id"]
    new = dict(zip([1, 2, 3, 4], names, strict=True))
    events = events_at((1, frame), (3, frame + 1))
    there, _ = speed_around([steps], events, frames, None, window_frames=3)
    relabelled = [each.assign(track_id=each["track_id"].map(new)) for each in (steps, events)]
    pd.testing.assert_frame_equal(
        there, speed_around([relabelled[0]], relabelled[1], frames, None, window_frames=3)[0]
    )
    slow = speed_around(
        [steps], events, frames.assign(time_s=frames["time_s"] * 5), None, window_frames=3
    )[0]
    np.testing.assert_allclose(slow["lag"], there["lag"] * 5)
    np.testing.assert_array_equal(slow["mean"], there["mean"])


def test_figures_say_what_they_rest_on_or_why_there_is_none(
    assay: dict, uncalibrated: dict
) -> None:
    steps, frames = walk(np.arange(12.0))
    found, units = speed_around(
        [steps], events_at((1, 5), (2, 6), (3, 6)), frames, None, window_frames=3
    )
    axes = draw_speed_around(found, units, None).axes
    assert axes[0].texts[0].get_text() == "(no condition): 3 events"
    assert "fewer than 3" in axes[3].texts[0].get_text()
    assert axes[2].get_ylabel() == "mean speed (µm/min)"
    none = ContactFigures(dpi=40)({"roles": ROLES})["figures"]
    assert tuple(none) == ("contact_durations", "speed_around_contact")
    said = contact_durations(schemas.empty(schemas.Bouts), None, ROLES).axes[0]
    assert "No contact" in said.texts[0].get_text()
    axes = contact_durations(assay["bouts"], assay["sample_sheet"], assay["roles"]).axes
    assert axes[0].get_xlabel().endswith("(min)")
    assert len(ContactFigures(dpi=40)(uncalibrated)["figures"]) == 2
