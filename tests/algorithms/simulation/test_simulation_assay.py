"""Whole simulated films: their truth against what can be computed independently."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import registry, schemas
from cyto_kedro.algorithms.simulation import outlines
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from cyto_kedro.errors import ConfigError
from walks import mean_squared_displacement

TABLES = {
    "track_points": schemas.TrackPoints,
    "tracks": schemas.Tracks,
    "touches": schemas.Contacts,
    "deaths": schemas.Deaths,
    "kills": schemas.Kills,
}
BUSY = {"n_targets": 25, "n_effectors": 25, "seed": 3}


@pytest.fixture(scope="module")
def single() -> dict:
    return SimulatedAssay(**BUSY)({"fov": "f1"})


@pytest.fixture(scope="module")
def additive() -> dict:
    return SimulatedAssay(**BUSY, killing={"rule": "additive_hits"})({"fov": "f1"})


def test_it_is_the_only_algorithm_of_its_stage():
    assert registry.algorithms("simulation") == {"SimulatedAssay": SimulatedAssay}
    with pytest.raises(ConfigError, match="n_target'"):
        registry.build("simulation", "SimulatedAssay", {"n_target": 3})
    with pytest.raises(ConfigError, match="hit_rate"):
        SimulatedAssay(killing={"hit_rate": 3})


def test_tables_satisfy_their_schemas(single, additive):
    for film in (single, additive):
        for name, table in TABLES.items():
            assert len(film[name]) > 3, name
            schemas.check(table, film[name])
            assert (film[name]["fov"] == "f1").all()


def test_equal_calls_give_equal_bytes_and_another_fov_another_film():
    assay = SimulatedAssay(seed=7, n_frames=6, size_px=96)
    film, again = assay({"fov": "a"}), SimulatedAssay(seed=7, n_frames=6, size_px=96)({"fov": "a"})
    for kind in ("image", "label"):
        for name, array in film[kind].items():
            assert array.tobytes() == again[kind][name].tobytes()
    for name in TABLES:
        pd.testing.assert_frame_equal(film[name], again[name], check_exact=True)
    assert film["time_s"].tobytes() == again["time_s"].tobytes()
    for other in (
        assay({"fov": "b"}),
        SimulatedAssay(seed=8, n_frames=6, size_px=96)({"fov": "a"}),
    ):
        assert not np.array_equal(other["image"]["TCell"], film["image"]["TCell"])


@pytest.mark.parametrize(("depth", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_images_and_masks_have_their_types_and_use_their_range(depth, dtype):
    film = SimulatedAssay(n_frames=3, camera={"bit_depth": depth})({})
    top = np.iinfo(dtype).max
    assert list(film["image"]) == ["TCell", "CancerCell", "Dead"]
    for name, image in film["image"].items():
        assert image.dtype == dtype and image.shape == (3, 192, 192), name
        assert 0 < image.min() < 0.15 * top
        assert (image == top).mean() < 0.002
    for label in film["label"].values():
        assert label.dtype == np.uint32 and label.shape == (3, 192, 192)
    assert film["image"]["CancerCell"].max() > 0.3 * top
    assert film["pixel_size_um"] == 0.65


def test_timestamps_start_at_zero_and_are_uneven(single):
    steps = np.diff(single["time_s"])
    assert single["time_s"][0] == 0
    assert steps.min() > 0 and 0 < steps.std() < 5
    assert steps.mean() == pytest.approx(120, rel=0.01)


def test_masks_hold_exactly_the_tracked_cells(single):
    for population, label in single["label"].items():
        points = single["track_points"]
        points = points[points["population"] == population]
        table = set(zip(points["frame"], points["label"], strict=True))
        masks = {(f, int(v)) for f, plane in enumerate(label) for v in np.unique(plane) if v}
        assert table == masks
        assert (points["label"] == points["track_id"]).all()


def test_areas_and_centres_of_masks_are_those_of_the_outlines(single):
    for population, label in single["label"].items():
        points = single["track_points"]
        inside = points[["x_px", "y_px"]].apply(lambda p: p.between(20, 171)).all(axis=1)
        points = points[inside & (points["population"] == population)]
        found = []
        for row in points.itertuples():
            y, x = np.nonzero(label[row.frame] == row.label)
            found.append((len(y), x.mean() - row.x_px, y.mean() - row.y_px))
        area, dx, dy = np.array(found).T
        assert (area / points["area_px"]).median() == pytest.approx(1, abs=0.01)
        assert np.abs(area - points["area_px"]).max() < 0.2 * points["area_px"].max()
        assert abs(np.mean(dx)) < 0.05 and abs(np.mean(dy)) < 0.05
        # Odd and even harmonics together move the centroid a little off the polar centre.
        assert np.abs([dx, dy]).max() < 1.0


def test_touches_are_those_that_shapely_finds(single):
    """All pairs in view, brute force, in the camera's pixels."""
    shapely = pytest.importorskip("shapely")
    assay = SimulatedAssay(**BUSY)
    world = assay.world("f1")
    centre, points = assay.centres_px(world), single["track_points"]
    n_true = 0
    for frame in (0, 17, 39):
        rows = points[points["frame"] == frame]
        cell = rows["cell"].to_numpy() - 1
        corners = outlines.polygons(
            centre[frame, cell], world.radius_um[frame, cell] / 0.65, world.coefs[frame, cell]
        )
        shape = shapely.polygons(corners)
        gap = shapely.distance(shape[:, None], shape[None, :])
        names = list(zip(rows["population"], rows["track_id"], strict=True))
        i, j = np.nonzero(np.triu(gap <= 1.0 / 0.65, 1))
        true = {frozenset((names[a], names[b])): gap[a, b] for a, b in zip(i, j, strict=True)}
        got = {
            frozenset(((t.population_a, t.track_id_a), (t.population_b, t.track_id_b))): (
                t.distance_px
            )
            for t in single["touches"].query("frame == @frame").itertuples()
        }
        assert got.keys() == true.keys()
        for pair, value in true.items():
            assert got[pair] == pytest.approx(value, abs=0.02)
        n_true += len(true)
    assert n_true > 30


def test_sides_of_touches_are_in_order(single):
    touches = single["touches"]
    same = touches["population_a"] == touches["population_b"]
    assert (touches.loc[same, "track_id_a"] < touches.loc[same, "track_id_b"]).all()
    assert (touches.loc[~same, "population_a"] == "TCell").all()
    assert same.any() and not same.all()


def test_cells_touch_but_barely_overlap(single):
    touches, area = single["touches"], single["track_points"].query("population == 'TCell'")
    assert (touches["distance_px"] == 0).mean() > 0.05
    assert touches["overlap_px"].mean() < 0.01 * area["area_px"].mean()
    assert touches["overlap_px"].max() < 0.25 * area["area_px"].mean()


def _contact_frames(film: dict) -> pd.DataFrame:
    touches = film["touches"].query("population_a == 'TCell' and population_b == 'CancerCell'")
    return touches.rename(columns={"track_id_a": "effector", "track_id_b": "target"})


def test_single_hit_killers_touch_at_the_hit_which_is_before_the_death(single):
    deaths = single["deaths"].query("cause == 'attack'").set_index("track_id")
    contact = set(_contact_frames(single)[["frame", "effector", "target"]].itertuples(index=False))
    kills = single["kills"]
    assert len(kills) >= 5 and (kills["share"] == 1).all()
    assert (deaths["n_killers"] <= 1).all() and deaths["n_killers"].sum() == len(kills)
    for kill in kills.itertuples():
        hit = deaths.loc[kill.target_track_id, "hit_frame"]
        assert (hit, kill.effector_track_id, kill.target_track_id) in contact
        assert hit < kill.death_frame == deaths.loc[kill.target_track_id, "frame"]
        assert kill.first_contact_frame <= hit <= kill.last_contact_frame <= kill.death_frame


def test_additive_shares_are_the_contact_minutes_up_to_the_threshold(additive):
    kills, contact = additive["kills"], _contact_frames(additive)
    sums = kills.groupby("target_track_id")["share"].sum()
    np.testing.assert_allclose(sums, 1)
    assert (kills.groupby("target_track_id").size() > 1).any()
    dt = np.diff(additive["time_s"] / 60, prepend=-2.0)
    deaths = additive["deaths"].set_index("track_id").query("population == 'CancerCell'")
    n_checked = 0
    for target, group in kills.groupby("target_track_id"):
        if group["damage_share"].sum() < 1 - 1e-9:
            continue  # some of the damage was done outside of the view
        n_checked += 1
        hit = deaths.loc[target, "hit_frame"]
        seen = contact[(contact["target"] == target) & (contact["frame"] <= hit)]
        minutes = pd.Series(dt[seen["frame"]]).groupby(seen["effector"].to_numpy()).sum()
        got = group.set_index("effector_track_id")["share"].sort_index()
        np.testing.assert_allclose(got, minutes.sort_index() / minutes.sum())
        assert minutes.sum() >= 24 > minutes.sum() - dt[seen["frame"]][seen["frame"] == hit].sum()
    assert n_checked >= 3


def test_long_delays_are_long():
    quick = SimulatedAssay(**BUSY, n_frames=80)
    slow = SimulatedAssay(**BUSY, n_frames=80, killing={"rule": "long_delay"})
    mean = {}
    for name, assay in (("quick", quick), ("slow", slow)):
        fate = assay.world("f1").fate
        hit = np.flatnonzero((fate.fatal_frame >= 0) & (fate.cause == 2))
        mean[name] = (fate.onset[hit] - 2 * fate.fatal_frame[hit]).mean()
    assert mean["quick"] == pytest.approx(10, rel=0.3)
    assert mean["slow"] == pytest.approx(40, rel=0.4)


def test_without_attack_cells_touch_and_nobody_kills():
    film = SimulatedAssay(**BUSY, killing={"rule": "spontaneous_only"})({"fov": "f1"})
    schemas.check(schemas.Kills, film["kills"])
    assert len(film["kills"]) == 0
    assert (film["deaths"]["cause"] == "spontaneous").all() and len(film["deaths"]) > 0
    assert (film["deaths"]["n_killers"] == 0).all()
    assert len(_contact_frames(film)) > 50


def test_the_dye_rises_from_the_death_frame_on(single):
    image, label = single["image"]["Dead"], single["label"]["CancerCell"]
    points = single["track_points"].query("population == 'CancerCell'")
    marker = points.set_index(["track_id", "frame"])["marker"]
    gain = []
    for death in single["deaths"].query("population == 'CancerCell'").itertuples():
        onset, now = death.marker_onset_min, single["time_s"][death.frame] / 60
        assert single["time_s"][death.frame - 1] / 60 < onset <= now
        assert marker[death.track_id, death.frame - 1] == 0
        assert marker[death.track_id, death.frame] == pytest.approx(1 - np.exp(-(now - onset) / 4))
        late = death.frame + 6
        if (death.track_id, late) in marker.index:
            assert death.marker_half_frame < late
            before, after = (
                image[f][label[f] == death.track_id].mean() for f in (death.frame - 1, late)
            )
            gain.append(after - before)
    assert len(gain) >= 5
    assert min(gain) > 20 and np.mean(gain) > 50


def test_dying_targets_shrink_and_lose_dye(single):
    points = single["track_points"].set_index(["population", "track_id", "frame"])["area_px"]
    for death in single["deaths"].itertuples():
        key = (death.population, death.track_id)
        late = (*key, death.frame + 12)
        early = (*key, max(death.frame - 6, 0))
        if late in points.index and early in points.index:
            assert points[late] / points[early] < 0.75  # a fifth of the diameter


def test_cells_come_and_go_through_the_border(single):
    tracks = single["tracks"]
    points = single["track_points"].set_index(["population", "track_id", "frame"])
    gone = tracks[tracks["end_reason"] == "border"]
    assert len(gone) >= 5 and (tracks["first_frame"] > 0).sum() >= 5
    last_frames = tracks.loc[tracks["end_reason"] == "film_end", "last_frame"]
    assert (last_frames == 39).all() and (gone["last_frame"] < 39).all()
    for track in gone.itertuples():
        last = points.loc[(track.population, track.track_id, track.last_frame)]
        room = min(last.x_px, last.y_px, 191 - last.x_px, 191 - last.y_px)
        # Four standard deviations of a free step in one direction, and a cell's size.
        assert room < 4 * 2.5 * 2 / np.sqrt(2) / 0.65 + 11
    assert (tracks["n_points"] == tracks["last_frame"] - tracks["first_frame"] + 1).all()


def test_free_cells_in_a_world_follow_fuerths_formula():
    assay = SimulatedAssay(
        n_targets=0, n_effectors=120, time_jitter=0, effectors={"diameter_um": 0.5}
    )
    world = assay.world("free")
    steps = np.diff(world.position_um, axis=0)
    path = np.cumsum(steps - world.side_um * np.round(steps / world.side_um), axis=0)
    for lag in (1, 3, 10):
        moved = np.concatenate([path[lag - 1 : lag], path[lag:] - path[:-lag]])
        msd = (moved**2).sum(axis=2).mean()
        expected = mean_squared_displacement(2.5, 4.0, np.array(2.0 * lag))
        assert msd == pytest.approx(expected, rel=0.06)


STILL = {"speed_um_per_min": 0, "deformation_min": 1e9, "death_rate_per_h": 0, "dead_at_start": 0}


def test_bleaching_scales_the_signal_above_background_and_nothing_else():
    rates = {"bleach_effector": 0.05, "bleach_target": 0.02}
    camera = {**rates, "bit_depth": 16, "photons_per_level": 2000, "read_noise": 0, "offset": 5}
    assay = SimulatedAssay(
        n_frames=20, size_px=96, effectors=STILL, targets=STILL, camera=camera | {"unevenness": 0},
        killing={"rule": "spontaneous_only"},
    )  # fmt: skip
    film = assay({})
    for channel, rate in (("TCell", 0.05), ("CancerCell", 0.02)):
        signal = film["image"][channel].mean(axis=(1, 2)) / 257 - (5 + assay.camera.background)
        slope = np.polyfit(np.arange(20), np.log(signal), 1)[0]
        assert slope == pytest.approx(-rate, rel=0.02)


def test_stage_drift_moves_all_cells_alike():
    assay = SimulatedAssay(
        n_frames=5, effectors=STILL, targets=STILL, camera={"drift_px_per_frame": (1.5, -0.5)}
    )
    points = assay({})["track_points"].sort_values("frame")
    step = points.groupby(["population", "track_id"])[["y_px", "x_px"]].diff().dropna()
    np.testing.assert_allclose(step.median(), [1.5, -0.5], atol=0.02)


@pytest.mark.parametrize(
    "size",
    [
        {"n_effectors": 0, "n_targets": 0},
        {"n_effectors": 0, "n_targets": 1},
        {"n_effectors": 1, "n_targets": 0},
        {"n_frames": 1},
        {"n_frames": 1, "size_px": 16, "n_effectors": 1, "n_targets": 0},
    ],
)
def test_few_cells_and_single_frames_are_ordinary(size):
    film = SimulatedAssay(
        **{"n_frames": 3, "size_px": 64, "n_effectors": 2, "n_targets": 2} | size
    )({})
    for name, table in TABLES.items():
        schemas.check(table, film[name])
    assert film["image"]["Dead"].shape[0] == len(film["time_s"])
    if size.get("n_effectors") == size.get("n_targets") == 0:
        assert all(len(film[name]) == 0 for name in TABLES)
        assert not any(label.any() for label in film["label"].values())


def test_dead_at_start_is_no_observed_death():
    film = SimulatedAssay(
        n_frames=4, targets={"dead_at_start": 1.0}, killing={"hit_rate_per_min": 100}
    )({})
    targets = film["tracks"].query("population == 'CancerCell'")
    assert targets["dead_at_first_sight"].all() and len(targets) > 5
    assert len(film["deaths"]) == len(film["kills"]) == 0


def test_effectors_may_die_too():
    film = SimulatedAssay(effectors={"death_rate_per_h": 2.0})({})
    deaths = film["deaths"].query("population == 'TCell'")
    assert len(deaths) > 0 and (deaths["cause"] == "spontaneous").all()


def test_what_cannot_work_is_refused():
    with pytest.raises(ConfigError, match=r"n_targets=200.*larger size_px"):
        SimulatedAssay(n_targets=200).world("f")
    with pytest.raises(ConfigError, match="three names"):
        SimulatedAssay(n_frames=1, death_channel="TCell")({})


def test_times_and_names_are_those_asked_for():
    names = {"effector_channel": "NK", "target_channel": "Raji", "death_channel": "PI"}
    small = {"n_frames": 40, "size_px": 64, "n_effectors": 2, "n_targets": 2, "seed": 1}
    film = SimulatedAssay(**small, **names, frame_interval_min=5.0)({"fov": "f"})
    assert set(film["image"]) == {"NK", "Raji", "PI"} and set(film["label"]) == {"NK", "Raji"}
    time_min = film["track_points"].drop_duplicates("frame").sort_values("frame")["time_min"]
    assert np.diff(time_min).mean() == pytest.approx(5, rel=0.02)
