"""Nodes of motion in a whole run: drift, fits, columns of steps and of cells smoothed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro.algorithms.contacts.drift import CommonDrift
from cyto_kedro.algorithms.contacts.kinematics import Kinematics
from cyto_kedro.algorithms.contacts.smoothing import TrackSmoothing
from cyto_kedro.errors import ConfigError
from cyto_kedro.parameters import ContactsSpec
from cyto_kedro.pipelines.contacts.motion_nodes import describe_motion, less_drift, smooth_tracks
from tiny_project import BLOCKS, N_FRAMES, Project

GROUP = {"fov": "treated_1", "population": "TCell"}
KEYS = ["track_id", "frame"]


def spec(name: str, **args: object) -> ContactsSpec:
    return ContactsSpec(name=name, args=args)


@pytest.fixture(scope="module")
def assay(finished: Project) -> dict[str, pd.DataFrame]:
    """Tables of one population of the finished project, and its manifest."""
    catalog = finished.catalog
    tables = {name: catalog.load(name) for name in ("track_points", "steps", "motion_fits")}
    found = {name: parts["treated_1/TCell"]() for name, parts in tables.items()}
    cells = catalog.load("cells")
    blocks = {block: cells[f"treated_1/TCell/{block}"]() for block in BLOCKS}
    return {**found, "cells": blocks, "manifest": catalog.load("manifest")}  # type: ignore[dict-item]


def test_the_run_leaves_one_row_of_fits_and_an_empty_correction(finished: Project, assay) -> None:
    fits = assay["motion_fits"]
    assert len(fits) == 1 and fits["autocorrelation_persistence_min"].dtype == float
    drift = finished.table("drift")
    assert not drift["subtracted"].any() and len(drift) == 2 * N_FRAMES
    correction = finished.catalog.load("subtracted_drift")
    assert all(len(correction[fov]()) == 0 for fov in ("control_1", "treated_1"))


def test_subtracted_drift_reaches_every_measure(assay) -> None:
    points, manifest = assay["track_points"], assay["manifest"]
    drift = CommonDrift(subtract=True)(track_points=points, n_frames=N_FRAMES, fov="treated_1")
    correction = drift["subtracted_drift"]
    assert len(correction) == len(drift["drift"]) == N_FRAMES
    moved = less_drift({"track_points": points, "subtracted_drift": correction})
    steps = Kinematics()(moved)["steps"]
    left = steps.loc[steps["dt_frames_from_previous"] == 1]
    mean = left.groupby("frame")[["velocity_x_px_per_frame", "velocity_y_px_per_frame"]].mean()
    np.testing.assert_allclose(mean, 0, atol=1e-9)
    kinds = spec("MeanSquaredDisplacement"), spec("VelocityAutocorrelation")
    with_, without = (
        describe_motion(GROUP, points, each, manifest, *kinds)[0]["msd_um2"]
        for each in (correction, correction.iloc[:0])
    )
    assert (with_ < without).all()


def test_columns_of_steps_and_of_cells_are_smoothed(assay) -> None:
    cells = pd.concat(assay["cells"].values())
    parts = assay["steps"], assay["track_points"], assay["cells"], assay["manifest"]
    smoothing = spec("TrackSmoothing", columns=("Dead_mean", "net_displacement_um"))
    found = smooth_tracks(GROUP, *parts, smoothing)
    assert set(found["track_id"]) == set(assay["steps"]["track_id"])
    labels = assay["track_points"][[*KEYS, "label"]].dropna()
    truth = labels.astype({"label": int}).merge(cells[["frame", "label", "Dead_mean"]])
    times = assay["steps"].drop_duplicates("frame").set_index("frame")["time_min"]
    truth = truth.assign(**GROUP, time_min=times.loc[truth["frame"]].to_numpy())
    alone = TrackSmoothing(columns=("Dead_mean",))({"dataframe": truth})["smoothed_steps"]
    columns = [*KEYS, *(each for each in alone if str(each).startswith("Dead_mean"))]
    pd.testing.assert_frame_equal(found[columns], alone[columns])
    assert found["Dead_mean_smoothed"].notna().any()
    with pytest.raises(ConfigError, match="Did you mean 'Dead_mean'"):
        smooth_tracks(GROUP, *parts, spec("TrackSmoothing", columns=("Dead_men",)))
