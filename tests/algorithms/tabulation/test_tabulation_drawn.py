"""`OutlineDistance` on drawn outlines, against closed forms and shapely."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.drawn import mask_digests, outline_table
from cyto_kedro.algorithms.tabulation.subpixel import OutlineDistance

SHAPE = (64, 80)
MEASURES = ["distance_px", "contact_length_px", "perimeter_share_a", "perimeter_share_b"]


def square(y, x, side):
    return np.array([[y, x], [y, x + side], [y + side, x + side], [y + side, x]])


def circle(y, x, radius, n=360):
    angle = np.arange(n) * 2 * np.pi / n
    return np.stack([y + radius * np.sin(angle), x + radius * np.cos(angle)], axis=1)


def blob(rng, y, x, radius):
    ring, turn = circle(0, 0, 1, rng.integers(5, 40)), rng.uniform(0, 6, 2)
    angle = np.arctan2(*ring.T)
    wave = 1 + 0.2 * np.cos(2 * angle + turn[0]) + 0.15 * np.cos(3 * angle + turn[1])
    return ring * (radius * wave)[:, None] + (y, x)


def drawn_on(rings):
    """Pixels whose centres are inside of an odd number of rings."""
    inside = [polygon2mask(SHAPE, ring) for ring in rings]
    return np.logical_xor.reduce(inside)


def geometry(rings):
    """The same area as shapely has it."""
    parts = [shapely.Polygon(ring) for ring in rings]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.symmetric_difference(part)
    return whole


def film(frames, population):
    """Masks and table of frames, each {label: rings}."""
    label, drawn = np.zeros((len(frames), *SHAPE), np.uint32), {}
    for t, cells in enumerate(frames):
        for name, rings in cells.items():
            label[t][drawn_on(rings)] = name
            drawn[t, name] = rings
    return label, outline_table(label, drawn, "f1", population)


def touch(one, other=None, reach=3.0, **more):
    films = {"C": film(one, "C")} | ({"T": film(other, "T")} if other else {})
    data = {"label": {name: each[0] for name, each in films.items()}, "fov": "f1"}
    data |= {"outlines": pd.concat([each[1] for each in films.values()])} | more
    return schemas.check(schemas.Touches, OutlineDistance(max_distance_px=reach)(data)["touches"])


def test_squares_at_known_places():
    cells = {
        1: [square(10.2, 10.3, 8)],
        2: [square(12.2, 19.67, 6)],
    }  # beside each other, 1.37 px apart
    row = touch([cells]).iloc[0]
    assert row["distance_px"] == pytest.approx(1.37, abs=1e-12)
    # of either: the side that faces the other, and of the next ones what is within reach of its corners
    near_a = 8 + (np.sqrt(3**2 - 2**2) - 1.37) + (3 - 1.37)
    near_b = 6 + 2 * (3 - 1.37)
    assert row["contact_length_px"] == pytest.approx((near_a + near_b) / 2, abs=0.5)
    assert row["perimeter_share_a"] == pytest.approx(near_a / 32, abs=0.5 / 32)
    corner = {1: [square(10, 10, 8)], 2: [square(18.6, 18.8, 8)]}
    assert touch([corner])["distance_px"].tolist() == pytest.approx([1.0], abs=1e-12)
    assert touch([corner], reach=0.99).empty and len(touch([corner], reach=1.0)) == 1


def shapely_length(cells, reach):
    """Length of either outline within reach of the other cell, halved."""
    one, other = map(geometry, cells)
    lengths = [
        a.boundary.intersection(b.buffer(reach, 64)).length for a, b in ((one, other), (other, one))
    ]
    return sum(lengths) / 2


def test_circles_have_their_gap():
    frames = [
        {1: [circle(30, 25, 9)], 2: [circle(30 + 17.1 * np.sin(a), 25 + 17.1 * np.cos(a), 7)]}
        for a in np.linspace(0, 2 * np.pi, 40)
    ]
    found = touch(frames)
    assert len(found) == 40
    most = (9 + 7) * (1 - np.cos(np.pi / 360))  # polygons lie within their circles
    assert found["distance_px"].between(1.1 - 1e-9, 1.1 + most).all()


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_as_shapely_has_it(seed):
    rng = np.random.default_rng(seed)
    one, other = [], []
    for _ in range(8):
        y, x, far = *rng.uniform(24, 30, 2), rng.uniform(8, 24)
        turn = rng.uniform(0, 2 * np.pi)
        ring, hole = blob(rng, y, x, 9), circle(y, x, 3, 12)
        one.append({1: [ring, hole]})
        other.append({4: [blob(rng, y + far * np.sin(turn), x + far * np.cos(turn), 6)]})
        if rng.random() < 0.3:  # in the hole
            other[-1] = {4: [blob(rng, y, x, 1.2)]}
        elif rng.random() < 0.3:  # of two parts
            other[-1][4].append(blob(rng, 50, 60, 4))
    found = touch(one, other).set_index("frame")
    for t, (a, b) in enumerate(zip(one, other, strict=True)):
        shapes = geometry(a[1]), geometry(b[4])
        distance = shapes[0].distance(shapes[1])
        assert (t in found.index) == (distance <= 3)
        if distance <= 3:
            assert found.loc[t, "distance_px"] == pytest.approx(distance, abs=1e-9)
            expected = shapely_length([a[1], b[4]], 3.0)
            assert found.loc[t, "contact_length_px"] == pytest.approx(expected, abs=1.5)
            share = shapes[1].boundary.intersection(shapes[0].buffer(3, 64)).length
            whole = shapes[1].boundary.length
            assert found.loc[t, "perimeter_share_b"] == pytest.approx(share / whole, abs=0.06)


def test_within_across_and_edge_to_edge_are_no_distance():
    big, small = {1: [square(5.3, 5.3, 30)]}, {1: [square(15.1, 15.1, 4.4)]}
    row = touch([big], [small]).iloc[0]
    assert row["distance_px"] == 0 and row["perimeter_share_b"] == 1
    same = [{1: [square(10.5, 10.5, 6)], 2: [square(10.5, 16.5, 6)]}]
    assert touch(same)["distance_px"].tolist() == [0]
    # they cross by 0.1 px, and share no pixel
    over = touch([{1: [square(10.4, 10.4, 6.2)], 2: [square(10.4, 16.5, 6)]}]).iloc[0]
    assert over["distance_px"] == 0 and over["overlap_px"] == 0


def test_a_changed_mask_counts_by_itself(caplog):
    frames = [{1: [circle(30, 25, 9)], 2: [circle(30, 42.1, 7)], 3: [circle(47, 25, 7)]}] * 3
    label, table = film(frames, "C")
    label[1][30, 34] = 0  # of cell 1, beside cell 2
    label[2][label[2] == 2] = 7
    caplog.set_level(logging.INFO)
    find = OutlineDistance(max_distance_px=3)
    found = find(label={"C": label}, outlines=table)["touches"].set_index(["frame", "label_b"])
    assert "2 of 9 outlines are of masks that were changed since" in caplog.text
    assert found.loc[0, "distance_px"].tolist() == pytest.approx([1.1, 1.0], abs=0.01)
    masks = find(label={"C": label})["touches"].set_index(["frame", "label_b"])
    for t in (1, 2):
        assert found.loc[(t, 2 if t == 1 else 7), "distance_px"] == pytest.approx(1.1, abs=0.6)
    unequal = table.assign(mask_digest=table["mask_digest"] + 1)
    plain = find(label={"C": label}, outlines=unequal)["touches"].set_index(["frame", "label_b"])
    pd.testing.assert_frame_equal(plain, masks)


def test_from_outlines_to_masks_distances_are_unbiased():
    rng = np.random.default_rng(1)
    one, other, gaps = [], [], rng.uniform(0.5, 3, 80)
    for gap in gaps:
        turn, (y, x) = rng.uniform(0, 2 * np.pi), 28 + rng.random(2)
        far = 9 + 7 + gap
        one.append({1: [circle(y, x, 9)]})
        other.append({1: [circle(y + far * np.sin(turn), x + far * np.cos(turn), 7)]})
    (first, table), (second, _) = film(one, "C"), film(other, "T")
    data = {"label": {"C": first, "T": second}, "outlines": table}
    error = OutlineDistance(max_distance_px=6)(data)["touches"]["distance_px"] - gaps
    assert len(error) == 80 and abs(error.mean()) < 0.06 and error.std() < 0.15


def test_order_blocks_and_unknown_populations():
    rng = np.random.default_rng(2)
    one = [{1: [blob(rng, 30, 25, 9)], 2: [blob(rng, 30, 46, 9)]} for _ in range(5)]
    other = [{1: [blob(rng, 42, 36, 7)]} for _ in range(5)]
    whole = touch(one, other)
    assert len(whole) > 8
    swapped = touch(other, one)  # "C" and "T" change their names
    assert sorted(swapped["distance_px"]) == pytest.approx(sorted(whole["distance_px"]), abs=1e-12)
    films = {"C": film(one, "C"), "T": film(other, "T")}
    table = pd.concat([each[1] for each in films.values()]).sample(frac=1, random_state=0)
    stray = table.assign(population="Beads")
    for at in (slice(0, 2), slice(2, 5)):
        label = {name: each[0][at] for name, each in films.items()}
        part = OutlineDistance(max_distance_px=3)(
            label=label, outlines=pd.concat([table, stray]), fov="f1", frame_start=at.start
        )["touches"]
        expected = whole[whole["frame"].between(at.start, at.stop - 1)]
        np.testing.assert_allclose(part[MEASURES], expected[MEASURES])
    alone = OutlineDistance(max_distance_px=3)(
        label=np.zeros((1, *SHAPE), int), outlines=schemas.empty(schemas.Outlines)
    )
    assert alone["touches"].empty


def test_digests_tell_masks_apart():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 4, SHAPE)
    labels, digests = mask_digests(frame)
    assert labels.tolist() == [1, 2, 3] and len(set(digests)) == 3
    numbered = np.choose(frame, [0, 30, 7, 2**21])
    assert sorted(mask_digests(numbered)[1]) == sorted(digests)
    frame[5, 5] = 0 if frame[5, 5] else 2
    changed = mask_digests(frame)[1]
    assert (changed != digests).sum() == 1
    assert [len(each) for each in mask_digests(np.zeros(SHAPE, int))] == [0, 0]
