"""The hardships of a real film, one by one, and the preset that has them all."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cyto_kedro.algorithms.simulation import blemishes, motion, presets, render
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from cyto_kedro.algorithms.simulation.params import Camera, Mishaps, Targets
from cyto_kedro.errors import ConfigError

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))

import crowded

SMALL = {"seed": 5, "n_frames": 8, "size_px": 128, "n_effectors": 6, "n_targets": 8}


def film(**changed: object) -> dict:
    return SimulatedAssay(**{**SMALL, **changed})(fov="f1")


@pytest.fixture(scope="module")
def plain() -> dict:
    return film()


def test_a_preset_is_a_start_and_what_is_given_beside_it_counts():
    assay = SimulatedAssay(preset="crowded", seed=4, targets={"clumps": 0.3})
    assert (assay.n_frames, assay.size_px, assay.pixel_size_um) == (155, 512, 0.5)
    assert assay.targets.clumps == 0.3
    assert assay.targets.pile == presets.crowded(155)["targets"]["pile"]
    short = SimulatedAssay(preset="crowded", n_frames=40)
    assert short.mishaps.jump_frame == 32
    with pytest.raises(ConfigError, match="crowded"):
        SimulatedAssay(preset="crowd")


def test_a_pause_a_lost_frame_and_a_jump_are_where_they_are_asked_for(plain):
    hard = film(
        mishaps={
            "pause_frame": 3, "pause_min": 30, "dropped_frames": [5],
            "jump_frame": 6, "jump_px": (5, -2),
        }
    )  # fmt: skip
    steps = np.diff(hard["time_s"]) / 60
    assert steps[2] == pytest.approx(32, abs=0.2)
    assert np.delete(steps, 2).max() < 2.1
    for stack in (*hard["image"].values(), *hard["label"].values()):
        assert not stack[5].any() and stack[4].any() and stack[6].any()
    points = hard["track_points"]
    assert 5 not in set(points["frame"])
    through = points.groupby("track_id")["frame"].agg(["min", "max"])
    assert ((through["min"] < 5) & (through["max"] > 5)).any()  # a gap, not an end
    place = points.query("population == 'CancerCell'").set_index(["cell", "frame"])
    before, after = place.xs(4, level="frame"), place.xs(6, level="frame")
    moved = (after[["y_px", "x_px"]] - before[["y_px", "x_px"]]).dropna().median()
    assert moved.to_numpy() == pytest.approx([5, -2], abs=1.0)
    assert np.array_equal(hard["image"]["TCell"][0], plain["image"]["TCell"][0])


def test_nothing_is_filmed_or_marked_in_an_unfilmed_margin():
    hard = film(camera={"unfilmed_px": (0, 12, 7, 0)})
    for stack in (*hard["image"].values(), *hard["label"].values()):
        assert not stack[:, -12:].any() and not stack[:, :, :7].any()
        assert stack[:, :-12, 7:].any()


def test_cells_out_of_focus_leave_a_gap_in_their_track():
    kinds, time_min = (Targets(hidden_per_h=6.0, hidden_min=5.0),), np.arange(0.0, 4000.0, 1.0)
    hidden = blemishes.draw_hidden(np.random.default_rng(1), kinds, (30,), time_min, Mishaps())
    starts = (np.diff(hidden.astype(int), axis=0) == 1).sum()
    exposed = (~hidden).sum() / 60
    assert starts / exposed == pytest.approx(6.0, rel=0.06)  # per hour in focus
    # in frames of a minute: geometric with the chance that the state outlasts a frame
    assert hidden.sum() / starts == pytest.approx(1 / (1 - np.exp(-1 / 5.0)), rel=0.06)
    hard = film(targets={"hidden_per_h": 20.0})
    points = hard["track_points"].query("population == 'CancerCell'")
    gap = points.groupby("track_id")["frame"].diff().max()
    assert gap > 1
    masks = {(f, n) for f, p in enumerate(hard["label"]["CancerCell"]) for n in np.unique(p) if n}
    assert masks == set(zip(points["frame"], points["label"], strict=True))


def test_specks_have_the_asked_number_and_peak():
    camera = Camera(ghosts=0, debris=40, debris_brightness=1.0, debris_um=1.0)
    plane = blemishes.Plane(side_um=200.0, margin_um=20.0, size_px=320, pixel_size_um=0.5)
    found = blemishes.draw_blemishes(np.random.default_rng(2), camera, plane, 3)
    n = [len(peak) for _, peak in found.speck]
    assert np.mean(n) == pytest.approx(40 * (200 / 160) ** 2, rel=0.2)
    light = found.light(0, camera, np.zeros(2), plane)
    moved = found.light(0, camera, np.array([2.0, 0.0]), plane)
    assert light is not None and moved is not None
    # of every spot well inside: its integral is the Gaussian's, 2 pi sd^2 times its peak
    at, peak = found.speck[0]
    seen = (np.abs(at - 100) < 80).all(axis=1)
    assert light[0].sum() == pytest.approx(2 * np.pi * 4 * peak[seen].sum(), rel=0.06)
    np.testing.assert_allclose(moved[0][4:], light[0][:-4], atol=1e-4)


def test_focus_swings_from_best_to_worst():
    camera = Camera(psf_sigma_um=0.5, defocus_um=1.2, defocus_min=100)
    assert blemishes.point_spread_um(camera, 0) == 0.5
    assert blemishes.point_spread_um(camera, 50) == pytest.approx(1.3)  # 5, 12, 13
    assert blemishes.point_spread_um(camera, 100) == pytest.approx(0.5)


def test_pairs_that_may_overlap_stop_at_that_depth_and_those_that_cling_are_pulled_to_it():
    shape = (np.array([5.0, 5.0]), np.zeros((2, 3), complex))
    pairs, bound, mobility = np.array([[0, 1]]), np.array([-1, -1]), np.ones(2)
    for start, clinging, end in ((3.0, False, 8.0), (9.5, False, 9.5), (9.5, True, 8.0)):
        position = np.array([[50.0, 50.0], [50.0, 50.0 + start]])
        moved = motion.push_apart(
            position, shape, mobility, pairs, bound, 100.0, 60,
            np.array([clinging]), np.array([2.0]),
        )  # fmt: skip
        assert np.diff(moved[:, 1])[0] == pytest.approx(end, abs=1e-5)


def test_clinging_cells_of_a_kind_lie_together_and_overlapping_effectors_on_targets(plain):
    def rim(made: dict) -> float:
        stack = made["label"]["CancerCell"].astype(np.int32)
        return float(np.mean(np.concatenate([crowded.rim_shares(frame) for frame in stack]) > 0.1))

    def covered(made: dict) -> float:
        effectors, targets = (each > 0 for each in made["label"].values())
        return float((effectors & targets).sum() / effectors.sum())

    together = {"cluster_size": 3, "cling_rate_per_min": 1.0, "cling_min": 1e4, "pile": 0.1}
    hard = film(targets=together, effectors={"overlap": 0.9, "dwell_min": 1e4})
    assert rim(hard) > rim(plain) + 0.2
    assert covered(hard) > covered(plain) + 0.1


def test_rims_beside_another_cell_are_counted():
    label = np.zeros((12, 14), np.int32)
    label[2:8, 2:6], label[2:8, 6:10] = 1, 2  # 6 x 4 each, side by side along 6 pixels of 16
    assert crowded.rim_shares(label).tolist() == [6 / 16, 6 / 16]
    label[:, 6:] = np.roll(label[:, 6:], 3, axis=1)
    assert crowded.rim_shares(label).tolist() == [0, 0]


def test_steps_leave_the_stage_and_pauses_out():
    frame = np.arange(5)
    stage = np.where(frame >= 3, 7.0, 0.0)  # a jump of all cells
    time_min = np.array([0, 2, 4, 6, 30.0])  # a pause before the last frame
    own = {"a": [0, 1, 2, 3, 9.0], "b": [0, 0, 0, 0, 0.0], "c": [0, -1, -2, -3, -9.0]}
    rows = [
        {"track_id": n, "frame": f, "time_min": time_min[f], "x_px": x[f] + stage[f], "y_px": 0.0}
        for n, x in own.items()
        for f in frame
    ]
    assert sorted(crowded.steps_of(pd.DataFrame(rows))) == [0] * 3 + [1] * 6


def test_bouts_pair_one_to_one_by_ends_or_by_half_of_their_time():
    cell = {"population_a": "T", "track_id_a": 1, "population_b": "C", "track_id_b": 2}
    true = pd.DataFrame([{**cell, "start_frame": a, "end_frame": b} for a, b in [(0, 9), (20, 29)]])
    spans = [(1, 9), (20, 25), (27, 29), (40, 41)]
    found = pd.DataFrame([{**cell, "start_frame": a, "end_frame": b} for a, b in spans])
    assert crowded.bout_hits(true, found, slack=1) == 1
    assert crowded.bout_hits(true, found, slack=None) == 2
    assert crowded.bout_hits(true, found.assign(track_id_b=3), slack=None) == 0


@pytest.mark.slow
def test_the_crowded_preset_is_like_the_film_it_stands_for(monkeypatch):
    """Numbers, sizes, clusters and steps of three short films, masks only."""
    monkeypatch.setattr(render, "expose", lambda light, *_: light)
    monkeypatch.setattr(render, "detect", lambda _, level, __: np.zeros(level.shape, np.uint8))
    made = [crowded.statistics(crowded.crowded(seed, 20)) for seed in (1, 2, 3)]
    for population in ("CancerCell", "TCell"):
        for name, aim in crowded.AIMS[population].items():
            mean = np.mean([each[population][name] for each in made])
            share = name.startswith(("rim", "pixels"))
            assert mean == pytest.approx(aim, **({"abs": 0.15} if share else {"rel": 0.35})), name
