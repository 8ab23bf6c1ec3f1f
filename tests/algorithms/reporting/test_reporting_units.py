"""One field without a size or times does not put the others in pixels, nor mixes with them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.contact_figures import any_calibrated
from cyto_kedro.algorithms.reporting.further_figures import CURVES, draw_curves
from cyto_kedro.algorithms.reporting.motion_figures import msd_curves

LAG = np.arange(1, 5)


def msd(fov: str, size_um: float, minutes: float) -> pd.DataFrame:
    rows = {"fov": fov, "population": "T", "lag": LAG, "lag_frames": LAG.astype(float)}
    rows |= {"lag_min": minutes * LAG, "msd_px2": 4.0 * LAG, "msd_um2": 4.0 * LAG * size_um**2}
    return schemas.filled(schemas.Msd, rows)


def test_msd_keeps_the_units_of_the_fields_that_have_them() -> None:
    sheet = pd.DataFrame({"fov": ["A", "B", "C"], "condition": "x"})
    sized = [msd("A", 0.5, 2.0), msd("B", 0.25, 2.0)]
    alone, _ = msd_curves(pd.concat(sized), sheet)
    mixed, units = msd_curves(pd.concat([*sized, msd("C", np.nan, 2.0)]), sheet)
    assert units == ("µm²", "min")
    pd.testing.assert_frame_equal(mixed, alone)
    assert msd_curves(msd("C", np.nan, 2.0), sheet)[1] == ("px²", "frames")
    # one has a size, the other times: neither can be told in µm² and min
    halves = pd.concat([msd("A", 0.5, np.nan), msd("C", np.nan, 2.0)])
    assert msd_curves(halves, sheet)[1] == ("px²", "frames")


def test_a_field_is_calibrated_where_it_has_both_size_and_times() -> None:
    fields = pd.DataFrame({"fov": ["A", "B"], "pixel_size_um": [0.5, np.nan]})
    frames = pd.DataFrame({"fov": ["A", "B"], "frame": 0, "time_s": [0.0, 0.0]})
    assert any_calibrated(fields, frames)
    assert not any_calibrated(fields, frames.assign(time_s=[np.nan, 0.0]))
    assert any_calibrated(fields[:0], frames)


def test_one_panel_holds_one_unit() -> None:
    curve = next(each for each in CURVES if each.table == "death_index")
    timed = {"fov": "A", "population": "T", "frame": [0, 1], "time_min": [0.0, 30.0]}
    timed = schemas.filled(schemas.DeathIndexes, timed | {"death_index": [0.1, 0.2]})
    frames = timed.assign(fov="B", time_min=np.nan, death_index=[0.3, 0.4])
    drawn = draw_curves({curve: [curve.means(each) for each in (frames, timed)]}, None)
    axes = drawn.axes[0]
    assert axes.get_xlabel() == "time (min)"
    drawn_x = {tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata())}
    assert drawn_x == {(0.0, 30.0)}  # and no frames beside minutes
    only = draw_curves({curve: [curve.means(frames)]}, None).axes[0]
    assert only.get_xlabel() == "frame"
