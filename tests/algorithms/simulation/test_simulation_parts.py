"""Outlines, motion, killing and camera against closed forms and shapely."""

from __future__ import annotations

import numpy as np
import pytest

from cyto_kedro.algorithms.simulation import killing, motion, outlines, render
from cyto_kedro.algorithms.simulation.params import Camera, Killing
from walks import mean_squared_displacement


def _shapes(rng, n, sd=0.12):
    coefs = sd * (rng.standard_normal((n, 3)) + 1j * rng.standard_normal((n, 3))) / np.sqrt(2)
    return rng.uniform(3, 7, n), outlines.limited(coefs)


def test_the_area_of_an_outline_is_that_of_its_disc():
    shapely = pytest.importorskip("shapely")
    rng = np.random.default_rng(0)
    radius, coefs = _shapes(rng, 50, sd=0.3)
    corners = outlines.polygons(rng.random((50, 2)), radius, coefs)
    areas = shapely.area(shapely.polygons(corners))
    # A polygon of 64 corners is smaller than its curve, by 0.2 % for a disc.
    np.testing.assert_allclose(areas, np.pi * radius**2, rtol=0.015)
    assert np.all(areas < np.pi * radius**2)
    assert shapely.is_valid(shapely.polygons(corners)).all()


def test_contacts_agree_with_shapely():
    shapely = pytest.importorskip("shapely")
    rng = np.random.default_rng(1)
    n, within = 400, 1.0
    first, second = _shapes(rng, n), _shapes(rng, n)
    angle, distance = rng.random(n) * 2 * np.pi, rng.uniform(5, 14, n)
    delta = distance[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    gap, length, overlap = outlines.contacts(delta, first, second, within)

    a = shapely.polygons(outlines.polygons(np.zeros((n, 2)), *first))
    b = shapely.polygons(outlines.polygons(delta, *second))
    np.testing.assert_allclose(gap, shapely.distance(a, b), atol=0.02)
    true_overlap = shapely.area(shapely.intersection(a, b))
    np.testing.assert_allclose(overlap, true_overlap, rtol=0.02, atol=0.35)
    sides = [
        shapely.length(shapely.intersection(shapely.boundary(x), shapely.buffer(y, within)))
        for x, y in ((a, b), (b, a))
    ]
    true_length = (sides[0] + sides[1]) / 2
    np.testing.assert_allclose(length, true_length, atol=1.5)  # one edge is up to 0.9
    assert abs((length - true_length).mean()) < 0.15
    assert (gap == 0).sum() > 50 and (gap > within).sum() > 50


def test_free_cells_follow_fuerths_formula_whatever_the_steps():
    rng = np.random.default_rng(2)
    n, speed, persistence = 20000, 2.5, 4.0
    velocity = speed / np.sqrt(2) * rng.standard_normal((n, 2))
    start, position, now = velocity, np.zeros((n, 2)), 0.0
    for dt in (0.1, 0.4, 1.5, 6.0, 0.7, 11.3):  # uneven: exact for any step
        moved, velocity = motion.persistent_step(
            rng, velocity, np.full(n, speed), np.full(n, persistence), dt
        )
        position, now = position + moved, now + dt
        expected = mean_squared_displacement(speed, persistence, np.array(now))
        assert (position**2).sum(axis=1).mean() == pytest.approx(expected, rel=0.04)
        correlation = (start * velocity).sum(axis=1).mean() / speed**2
        assert correlation == pytest.approx(np.exp(-now / persistence), abs=0.03)
    assert mean_squared_displacement(1.0, 3.0, np.array(1e-3)) == pytest.approx(
        1e-6, rel=1e-3
    )  # short times: ballistic, (S t)^2


def test_outline_coefficients_keep_their_spread_and_memory():
    rng = np.random.default_rng(3)
    sd = np.full((20000, 3), 0.1)
    first = sd * (rng.standard_normal(sd.shape) + 1j * rng.standard_normal(sd.shape)) / np.sqrt(2)
    later = motion.deform(rng, first, sd, np.full(20000, 4.0), dt=2.0)
    assert np.sqrt((np.abs(later) ** 2).mean()) == pytest.approx(0.1, rel=0.02)
    kept = (later * first.conj()).real.mean() / 0.01
    assert kept == pytest.approx(np.exp(-0.5), abs=0.02)


def test_pushing_apart_removes_overlap_and_moves_the_lighter_more():
    position = np.array([[50.0, 50.0], [50.0, 53.0]])
    shape = (np.array([5.0, 5.0]), np.zeros((2, 3), complex))
    pairs, bound = np.array([[0, 1]]), np.array([-1, -1])
    moved = motion.push_apart(position, shape, np.array([1.0, 0.25]), pairs, bound, 100.0, 40)
    assert np.diff(moved[:, 1])[0] == pytest.approx(10, abs=1e-6)
    shift = np.abs(moved - position)[:, 1]
    assert shift[0] / shift[1] == pytest.approx(4)


def test_pairs_are_found_across_the_seam_of_the_plane():
    position = np.array([[1.0, 50.0], [99.0, 50.0], [50.0, 50.0]])
    assert motion.close_pairs(position, 100.0, 3.0).tolist() == [[0, 1]]
    np.testing.assert_allclose(motion.nearest_image(position[1] - position[0], 100.0), [-2, 0])


def test_hits_and_delays_have_the_stated_rate_and_mean():
    n, dt = 20000, 2.0
    rule = Killing(rule="single_hit", hit_rate_per_min=0.1, delay_min=10, delay_cv=0.4)
    rng = np.random.default_rng(4)
    fate = killing.draw_fate(rng, np.zeros(2 * n), np.zeros(2 * n))
    killing.attack(rng, rule, fate, 3, 6.0, dt, np.arange(n), n + np.arange(n))
    hit = np.isfinite(fate.onset[n:])
    assert hit.mean() == pytest.approx(1 - np.exp(-0.2), abs=0.01)
    delay = fate.onset[n:][hit] - 6.0
    assert delay.min() > 0
    assert delay.mean() == pytest.approx(10, rel=0.03)
    assert delay.std() == pytest.approx(4, rel=0.05)
    assert np.isinf(fate.onset[:n]).all()


def test_the_dead_neither_hit_nor_are_hit():
    rule = Killing(hit_rate_per_min=1e6)
    fate = killing.draw_fate(np.random.default_rng(0), np.zeros(4), np.array([1.0, 0, 0, 1.0]))
    killing.attack(
        np.random.default_rng(0), rule, fate, 0, 0.0, 2.0, np.array([0, 1]), np.array([2, 3])
    )
    assert np.isinf(fate.onset[[1, 2]]).all()
    assert not fate.hits or len(fate.hits[0][1]) == 0


def test_spontaneous_deaths_come_at_the_stated_rate():
    fate = killing.draw_fate(np.random.default_rng(5), np.full(20000, 0.5), np.zeros(20000))
    assert fate.onset.mean() == pytest.approx(120, rel=0.03)  # 0.5 per hour
    assert (fate.onset < 60).mean() == pytest.approx(1 - np.exp(-0.5), abs=0.015)


def test_camera_noise_has_poisson_and_read_variance():
    camera = Camera(bit_depth=16, photons_per_level=4, read_noise=1.5, offset=10)
    levels = np.full((400, 400), 60.0, np.float32)
    seen = render.detect(np.random.default_rng(6), levels, camera) / 257
    assert seen.mean() == pytest.approx(70, abs=0.1)
    assert seen.var() == pytest.approx(60 / 4 + 1.5**2, rel=0.02)


def test_blur_keeps_light_and_dye_spills_outside():
    camera = Camera(background=0, bleed_target_to_death=0.1, spill=0.3, haze=0.0)
    light = [np.zeros((101, 101), np.float32) for _ in range(3)]
    light[1][50, 50], light[2][50, 50] = 1000, 10
    _, target, death = render.expose(light, 0, camera, 0.65, np.ones((101, 101), np.float32))
    assert target.sum() == pytest.approx(1000, rel=1e-4)
    assert death.sum() == pytest.approx(10 * camera.death_brightness * 1.3 + 100, rel=1e-3)
    assert death[50, 60] > 0 and target[50, 60] == 0
