"""Motion across a pause of the film is unknown: closed form, and the film without its pause."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.kinematics import Kinematics


def walk(pause_min: float, jump_um: float, n: int = 10) -> pd.DataFrame:
    """A cell at 3 µm a minute along x, a frame every two minutes; the film pauses after frame 4."""
    frame = np.arange(n)
    minute, x = 2.0 * frame, 6.0 * frame
    minute[5:] += pause_min
    x[5:] += jump_um - 6.0 if pause_min else 0.0
    rows = {"population": "T", "track_id": 1, "label": 1, "frame": frame, "time_min": minute}
    return schemas.filled(
        schemas.TrackPoints, rows | {"x_um": x, "y_um": 0.0, "x_px": x / 0.5, "y_px": 0.0}
    )


@pytest.mark.parametrize("jump", [0.0, 6.0, 40.0])
def test_a_walker_keeps_its_speed_whatever_it_did_in_the_pause(jump: float) -> None:
    made = Kinematics(arrest_speed_um_per_min=2.0)(track_points=walk(60.0, jump))
    track, steps = made["motility"].iloc[0], made["steps"]
    for name in ("mean", "mean_step", "median", "min", "max"):
        assert track[f"{name}_speed_um_per_min"] == pytest.approx(3.0)
        assert track[f"{name}_speed_px_per_frame"] == pytest.approx(12.0)
    assert track["sd_speed_um_per_min"] == pytest.approx(0, abs=1e-9)
    assert track["arrest_coefficient"] == 0  # an hour at 0 to 0.7 µm/min is nobody's arrest
    unseen = steps.set_index("frame").loc[5]
    assert np.isnan(unseen["speed_um_per_min"]) and np.isnan(unseen["velocity_x_px_per_frame"])
    assert unseen["displacement_from_previous_um"] == jump
    assert np.nanmax(steps["central_speed_um_per_min"]) == pytest.approx(3.0)
    # the two ends of the pause are told by their own side
    assert steps["central_speed_um_per_min"].notna().all()
    assert track["path_length_um"] == pytest.approx(8 * 6 + jump)
    assert track["straightness"] == pytest.approx(1.0)


def test_turns_at_a_pause_are_unknown() -> None:
    points = walk(60.0, 6.0)
    points.loc[points["frame"] >= 5, "y_px"] = 50.0
    angle = Kinematics()(track_points=points)["steps"].set_index("frame")["turning_angle_rad"]
    assert angle[[4, 5]].isna().all() and angle.drop([0, 4, 5, 9]).eq(0).all()


def test_a_cell_seen_once_on_either_side_has_no_speed() -> None:
    points = walk(60.0, 6.0)
    whole = points.assign(track_id=2)  # gives the film its clock
    points = points[points["frame"].isin([4, 5])]
    made = Kinematics()(track_points=pd.concat([points, whole]))["motility"].set_index("track_id")
    assert np.isnan(made.loc[1, "mean_speed_um_per_min"])
    assert np.isnan(made.loc[1, "median_speed_um_per_min"])
    assert np.isnan(made.loc[1, "arrest_coefficient"])


def test_without_a_pause_nothing_changes() -> None:
    steady = Kinematics()(track_points=walk(0.0, 6.0))["motility"].iloc[0]
    assert steady["mean_speed_um_per_min"] == 3.0 and steady["path_length_um"] == 54.0
    # an interval of three medians is none
    long = walk(4.0, 18.0)
    made = Kinematics()(track_points=long)
    assert made["steps"]["speed_um_per_min"].iloc[5] == pytest.approx(3.0)
